"""The compiled kernel and what does the same without it, for tests of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alpaca_cli.dedup import kernel

COMPILED = kernel.LIBRARY


@pytest.fixture(params=["compiled", "plain"], scope="module")
def each_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test of a module twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "LIBRARY", COMPILED if request.param == "compiled" else None)
        yield
