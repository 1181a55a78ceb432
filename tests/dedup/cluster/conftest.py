"""A Ray of this machine, for all tests of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

from alpaca_cli.dedup.cluster.launch import prepare_ray
from conftest import ROOT


@pytest.fixture(scope="package")
def cluster() -> Iterator[ModuleType]:
    """The module, beside a Ray of two workers that it will find."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'tests'}")  # of the workers
        for name in ("RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
            patch.delenv(name, raising=False)
        assert prepare_ray(None) is None
        import ray

        from alpaca_cli.dedup.cluster import flow

        ray.init(
            address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
            object_store_memory=200_000_000,
        )  # fmt: skip
        yield flow
        ray.shutdown()
