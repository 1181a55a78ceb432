"""What a diff says of itself: every tensor counted once, in its layer and its kind."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alpaca_cli.diff.additive.additive import make_additive
from alpaca_cli.diff.floats import from_float32
from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.manifest import MANIFEST
from alpaca_cli.diff.pairs import is_embedding, is_head
from alpaca_cli.diff.summary import Place, Summary, folded, place_of, read_summary
from alpaca_cli.errors import DataError, IntegrityError, UsageError
from small_models import HIDDEN, TOKENS, make_pair, write_model


def summary(folder: Path, tensors: dict[str, tuple[int, ...]], *, of_base: set[str] | None = None) -> Summary:
    """Of an exact diff between random models of these shapes; the base has some of the tensors, or all."""
    rng = np.random.default_rng(0)
    for name in ("base", "tuned"):
        drawn = {
            each: from_float32(rng.normal(size=shape).astype(np.float32), "BF16") for each, shape in tensors.items()
        }
        if name == "base" and of_base is not None:
            drawn = {each: values for each, values in drawn.items() if each in of_base}
        write_model(folder / name, {each: values.reshape(tensors[each]) for each, values in drawn.items()})
    make_exact(folder / "base", folder / "tuned", folder / "diff", allow_whole=True)
    return read_summary(folder / "diff")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("model.layers.31.mlp.down_proj.weight", Place("model.layers", 31, "down_proj")),
        ("model.layers.0.self_attn.q_proj.bias", Place("model.layers", 0, "q_proj")),
        ("model.layers.3.mlp.experts.7.gate_proj.weight", Place("model.layers", 3, "gate_proj")),
        ("transformer.h.11.attn.c_attn.weight", Place("transformer.h", 11, "c_attn")),
        ("vision.encoder.layers.2.norm1", Place("vision.encoder.layers", 2, "norm1")),
        ("model.embed_tokens.weight", Place("", 0, "embed_tokens")),
        ("transformer.wte.weight", Place("", 0, "transformer.wte")),
        ("lm_head.weight", Place("", 0, "lm_head")),
        ("weight", Place("", 0, "weight")),
        ("", Place("", 0, "")),
    ],
)
def test_where_a_tensor_is(name: str, place: Place) -> None:
    assert place_of(name) == place


def test_everything_is_counted_once_in_both_ways(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path, num_layers=11)
    made = make_exact(base, tuned, tmp_path / "diff")
    found = read_summary(tmp_path / "diff")

    assert [part.name for part in found.before + found.after] == ["embed_tokens", "norm", "lm_head"]
    assert [part.name for part in found.layers] == [f"layer {number}" for number in range(11)]
    for field in ("num_values", "num_changed", "tuned_bytes", "diff_bytes"):
        whole, outside = getattr(found.total, field), found.before + found.after
        assert sum(getattr(part, field) for part in found.parts) == whole
        assert sum(getattr(group, field) for group in (*found.kinds, *outside)) == whole
        assert sum(getattr(cell, field) for cell in found.cells.values()) == whole - sum(
            getattr(part, field) for part in outside
        )
        assert sum(getattr(part, field) for part in folded(found.layers, 4)) == sum(
            getattr(part, field) for part in found.layers
        )
    assert found.total.diff_bytes == sum(tensor.diff.num_bytes for tensor in made.manifest.tensors if tensor.diff)
    assert (found.digest, found.kind, found.num_files) == (made.digest, "exact", 1)
    assert found.new_rows == dict.fromkeys(("model.embed_tokens.weight", "lm_head.weight"), (TOKENS, TOKENS + 1))
    assert found.cells[("layer 7", "down_proj")].num_values == 48 * HIDDEN


def test_what_changed_is_the_count_of_values_whose_bits_differ(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path, num_new_rows=0)
    raws = [np.frombuffer((path / "model.safetensors").read_bytes(), np.uint16) for path in (base, tuned)]
    make_exact(base, tuned, tmp_path / "diff")
    found = read_summary(tmp_path / "diff")
    start = len(raws[0]) - found.total.num_values

    assert found.total.num_changed == np.count_nonzero(raws[0][start:] != raws[1][start:])
    (norms,) = [kind for kind in found.kinds if kind.name == "input_layernorm"]
    assert (norms.num_changed, norms.changed_share) == (0, 0.0)


@pytest.mark.parametrize(
    ("count", "most", "names"),
    [
        (3, 3, ["layer 0", "layer 1", "layer 2"]),
        (3, 16, ["layer 0", "layer 1", "layer 2"]),
        (5, 3, ["layer 0-1", "layer 2-3", "layer 4"]),
        (7, 2, ["layer 0-3", "layer 4-6"]),
        (1, 1, ["layer 0"]),
        (0, 1, []),
    ],
)
def test_long_models_are_folded(tmp_path: Path, count: int, most: int, names: list[str]) -> None:
    shapes = {f"model.layers.{number}.mlp.up_proj.weight": (2, 3) for number in range(count)}
    found = summary(tmp_path, {"model.norm.weight": (4,), **shapes})

    assert [layer.name for layer in folded(found.layers, most)] == names


def test_stacks_of_layers_are_told_apart(tmp_path: Path) -> None:
    names = [f"{stack}.layers.{number}.fc1.weight" for stack in ("vision", "text") for number in range(3)]
    found = summary(tmp_path, dict.fromkeys(names, (2, 3)))

    assert [layer.name for layer in folded(found.layers, 2)] == [
        "text.layers 0-1", "text.layers 2", "vision.layers 0-1", "vision.layers 2",
    ]  # fmt: skip
    assert [(kind.name, kind.num_values) for kind in found.kinds] == [("fc1", 36)]


def test_how_each_tensor_is_told(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path)
    raw = bytearray((tuned / "model.safetensors").read_bytes())
    size = (TOKENS + 1) * HIDDEN * 2
    start = int.from_bytes(raw[:8], "little") + 8
    raw[-size:] = raw[start : start + size]  # the head becomes the input embedding
    (tuned / "model.safetensors").write_bytes(raw)
    make_exact(base, tuned, tmp_path / "diff")
    found = read_summary(tmp_path / "diff")

    methods = {piece.name: piece.method for piece in found.pieces}
    assert methods["lm_head.weight"] == "repeat"
    assert methods["model.norm.weight"] == "same"
    assert methods["model.embed_tokens.weight"] == "changed"
    (head,) = [part for part in found.after if part.name == "lm_head"]
    assert (head.diff_bytes, head.size_share) == (0, 0.0)


def test_what_the_base_lacks_is_whole(tmp_path: Path) -> None:
    found = summary(tmp_path, {"a.weight": (2, 3), "b.weight": (4,), "c": ()}, of_base={"b.weight"})

    assert {piece.name: piece.method for piece in found.pieces} == {
        "a.weight": "whole",
        "b.weight": "changed",
        "c": "whole",
    }
    assert found.num_told("whole") == 2
    assert (found.layers, found.kinds, found.before) == ((), (), ())


def test_shares_of_nothing_are_not_known(tmp_path: Path) -> None:
    empty = replace(summary(tmp_path, {"a": (0, 3), "b": (1,)}).parts[0])

    assert (empty.name, empty.changed_share, empty.size_share, empty.bits) == ("a", None, None, None)


def test_an_additive_diff_with_and_without_its_manifest(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path)
    make_additive(base, tuned, tmp_path / "diff", dtype="F32")
    ours = read_summary(tmp_path / "diff")
    (tmp_path / "diff" / MANIFEST).unlink()
    others = read_summary(tmp_path / "diff")

    assert (ours.kind, ours.total.size_share, ours.tuned_name) == ("additive", 2.0, "tuned")
    assert 0.7 < (ours.total.changed_share or 0) < 1
    assert (others.kind, others.total.size_share, others.tuned_name, others.digest) == ("additive", None, None, None)
    assert others.total.changed_share is None
    assert others.total.diff_bytes == ours.total.diff_bytes
    assert {piece.method for piece in others.pieces} == {"unknown"}
    assert [part.name for part in others.parts] == [part.name for part in ours.parts]


def test_what_is_none_or_damaged(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path)
    make_exact(base, tuned, tmp_path / "diff")
    make_additive(base, tuned, tmp_path / "added")
    shutil.copy(base / "model.safetensors", tmp_path / "added" / "model.safetensors")
    raw = (tmp_path / "diff" / MANIFEST).read_bytes()
    (tmp_path / "diff" / MANIFEST).write_bytes(raw.replace(b'"exact"', b'"exacT"'))

    with pytest.raises(IntegrityError, match="not as it was written"):
        read_summary(tmp_path / "diff")
    with pytest.raises(UsageError, match="no such folder"):
        read_summary(tmp_path / "nothing")
    (tmp_path / "added" / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(DataError, match="Git LFS"):
        read_summary(tmp_path / "added")


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the folder of the diff: .*too long"):
        read_summary(tmp_path / ("n" * 300))


def test_a_tensor_that_an_additive_diff_lacks(tmp_path: Path) -> None:
    base, tuned = make_pair(tmp_path)
    make_additive(base, tuned, tmp_path / "diff")
    shorter = write_model(tmp_path / "shorter", {"model.norm.weight": np.zeros(HIDDEN, np.uint16)})
    shutil.copy(shorter / "model.safetensors", tmp_path / "diff" / "model.safetensors")

    with pytest.raises(IntegrityError, match=r"the diff lacks model\.embed_tokens\.weight"):
        read_summary(tmp_path / "diff")


@pytest.mark.parametrize(
    ("name", "is_input", "is_output"),
    [
        ("model.embed_tokens.weight", True, False),
        ("lm_head.weight", False, True),
        ("model.layers.0.self_attn.q_proj.weight", False, False),
        ("gpt_neox.embed_in.weight", True, False),
        ("embed_out.weight", False, True),
        ("output.weight", False, True),
        ("model.layers.0.attention.output.weight", False, False),
    ],
)
def test_matrices_with_a_row_for_each_token(name: str, is_input: bool, is_output: bool) -> None:
    assert (is_embedding(name), is_head(name)) == (is_input or is_output, is_output)
