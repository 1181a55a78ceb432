"""Weight diffs need none of the heavy libraries, and little memory, however large the model is."""

from __future__ import annotations

import ast
import filecmp
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import alpaca_cli
from weight_folders import content, floats, read_model, safetensors_head, trained, write_model

PACKAGE = Path(alpaca_cli.__file__).parent
HEAVY = [
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "openai",
    "safetensors",
    "pyarrow",
    "tokenizers",
    "sentencepiece",
]
BARE = f"""
import sys


class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Refused())
from alpaca_cli.cli.app import main

code = main(sys.argv[1:])
assert not set({HEAVY!r}) & {{name.partition(".")[0] for name in sys.modules}}
sys.exit(code)
"""
MEASURED = """
import sys
from pathlib import Path
from alpaca_cli.cli.app import main

code = main(sys.argv[1:])
(line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM:")]
print("peak", int(line.split()[1]) * 1024)
sys.exit(code)
"""


def run(program: str, *words: object) -> str:
    """What a command line says on stdout, run by `program`."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, words)], capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("room", ["diff", "weights"])
def test_no_module_asks_for_a_heavy_library(room: str) -> None:
    asked = set()
    for path in (PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                asked |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                asked.add((node.module or "").partition(".")[0])

    assert "numpy" in asked
    assert asked & set(HEAVY) == set()


def test_commands_work_where_no_heavy_library_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before, after = trained(rng, "BF16", (60, 40))
    norm = floats(rng.random(40), "F32")
    models = {"base": before, "tuned": after}
    for name, embed in models.items():
        write_model(tmp_path / name, {"model.embed_tokens.weight": embed, "model.norm.weight": norm}, "bin")
    base, tuned, diff, out = (tmp_path / name for name in ("base", "tuned", "diff", "out"))

    with pytest.raises(AssertionError, match="No module named 'torch'"):  # the programs that follow could not have it
        run(BARE.replace("from alpaca_cli.cli.app import main", "import torch"))
    run(BARE, "diff", "make", "--base", base, "--tuned", tuned, "--out", diff)
    run(BARE, "diff", "recover", "--base", base, "--diff", diff, "--out", out)

    assert read_model(out) == content({"model.embed_tokens.weight": after, "model.norm.weight": norm})


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_model_takes_little_memory(tmp_path: Path) -> None:
    pair = trained(np.random.default_rng(2), "BF16", (512, 1024))
    shapes = {f"model.layers.{i}.mlp.up_proj.weight": (51_200, 1_024) for i in range(4)}  # 105 MB each
    for which, (_, piece) in zip(("base", "tuned"), pair, strict=True):
        (tmp_path / which).mkdir()
        with (tmp_path / which / "model.safetensors").open("wb") as stream:
            stream.write(safetensors_head({name: ("BF16", shape) for name, shape in shapes.items()}))
            for _ in range(400):
                stream.write(piece.data)
    base, tuned = tmp_path / "base", tmp_path / "tuned"

    made = run(MEASURED, "diff", "make", "--workers", 2, "--base", base, "--tuned", tuned, "--out", tmp_path / "diff")
    words = ["--workers", 2, "--base", base, "--diff", tmp_path / "diff", "--out", tmp_path / "out"]
    recovered = run(MEASURED, "diff", "recover", *words)

    peaks = [int(each.split("peak ")[1]) for each in (made, recovered)]
    assert max(peaks) < 200e6, peaks
    assert (tuned / "model.safetensors").stat().st_size > 400e6
    assert filecmp.cmp(tuned / "model.safetensors", tmp_path / "out/model.safetensors", shallow=False)
