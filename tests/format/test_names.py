"""The names of the formats cost nothing to know: the shell completes them."""

from __future__ import annotations

import subprocess
import sys

from alpaca_cli.format.names import FORMAT_NAMES


def test_names_import_nothing_heavy() -> None:
    code = "import sys, alpaca_cli.format.names; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "alpaca_cli.format.names" in loaded
    assert not {"pyarrow", "yaml", "pydantic", "numpy", "difflib"} & set(loaded)


def test_names_are_words_for_a_flag() -> None:
    assert len(set(FORMAT_NAMES)) == len(FORMAT_NAMES)
    assert all(name.replace("-", "").isalpha() and name.islower() for name in FORMAT_NAMES)
