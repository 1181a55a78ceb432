"""`make_exact`, then `recover_exact`: every tensor bit for bit, every file byte for byte, whatever the folders are."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.diff import make
from alpaca_cli.diff.coder import blocks, codec
from alpaca_cli.diff.make import Made, make_exact
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.recover import recover_exact
from alpaca_cli.diff.verify import verify_exact
from alpaca_cli.errors import IntegrityError, UsageError
from tiny_base import make_base, make_data
from weight_folders import (
    BYTES,
    Weights,
    anything,
    as_torch,
    content,
    floats,
    patterns,
    read_model,
    safetensors_bytes,
    trained,
    tree,
    write_model,
)

SHAPES = [
    (), (1,), (7,), (100,), (101,), (250,),  # 100: the values of a block, in most tests
    (0,), (3, 0), (0, 5), (2, 0, 3),
    (5, 1), (1, 9), (2, 99), (2, 100), (2, 101), (2, 250),
    (4, 16), (9, 33), (40, 20), (2, 3, 5), (3, 2, 2, 17),
]  # fmt: skip
FLOATS = ["F32", "BF16", "F16"]
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_VALUES", 100)


def round_trip(base: Path, tuned: Path, **how: Any) -> Made:
    """Make a diff beside `tuned`, prove it, and recover from it; leaves "diff" and "recovered" there."""
    diff, recovered = tuned.with_name("diff"), tuned.with_name("recovered")
    made = make_exact(base, tuned, diff, **how)
    verify_exact(diff, base=base, tuned=tuned)
    again = recover_exact(base, diff, recovered)
    assert (again.path, again.digest, again.num_kept) == (recovered, made.digest, 0)
    assert read_manifest(diff) == (made.manifest, made.digest)
    assert sorted(each.name for each in tuned.parent.iterdir() if each.name.startswith(".")) == []
    return made


def same_files(base: Path, tuned: Path, **how: Any) -> Made:
    """As `round_trip`, of safetensors: every file of the tuned model comes back byte for byte, and nothing else."""
    made = round_trip(base, tuned, **how)
    assert tree(tuned.with_name("recovered")) == tree(tuned)
    return made


def size(diff: Path) -> int:
    """Bytes of a diff's shards."""
    return sum(each.stat().st_size for each in diff.glob("*.alpacadiff"))


def changed(rng: np.random.Generator, tensor: tuple[str, np.ndarray], share: float) -> tuple[str, np.ndarray]:
    """The tensor with some of its values replaced."""
    dtype, values = tensor
    _, other = anything(rng, dtype, values.shape)
    return dtype, np.where(rng.random(values.shape) < share, other, values)


# every type, every shape


@pytest.mark.parametrize("dtype", BYTES)
def test_every_type_in_every_shape(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    before = {f"{i}.{share}": anything(rng, dtype, shape) for i, shape in enumerate(SHAPES) for share in (0, 0.02, 1)}
    after = {name: changed(rng, tensor, float(name.partition(".")[2])) for name, tensor in before.items()}

    made = same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))

    for tensor in made.manifest.tensors:
        assert tensor.num_changed == np.count_nonzero(before[tensor.name][1] != after[tensor.name][1])


@pytest.mark.parametrize("dtype", ["BF16", "F16"])
@pytest.mark.parametrize("largest", [100, 1 << 20])
def test_every_short_pattern_becomes_every_other_kind(
    dtype: str, largest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MAX_VALUES", largest)
    every = np.arange(1 << 16).reshape(512, 128)
    before = {f"{step}.weight": patterns(dtype, every) for step in (0, 1, 0x4001, 0x7F81, 0x8000)}
    after = {name: patterns(dtype, every + int(name.partition(".")[0]) & 0xFFFF) for name in before}

    same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))


def test_what_is_special_in_long_numbers(tmp_path: Path) -> None:
    special = [
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007FFFFF, 0x00800000,  # zeros, subnormal, smallest
        0x7F7FFFFF, 0x7F800000, 0xFF800000,  # largest, infinities
        0x7F800001, 0xFF800001, 0x7FC00000, 0xFFC00000, 0x7FC12345, 0xFFFFFFFF, 0x7FBFFFFF,  # signalling, quiet NaN
    ]  # fmt: skip
    pairs = np.array([(one, other) for one in special for other in special])
    before = {"a.weight": patterns("F32", pairs[:, :1]), "b.weight": patterns("F64", pairs[:, 0] << 32 | 1)}
    after = {"a.weight": patterns("F32", pairs[:, 1:]), "b.weight": patterns("F64", pairs[:, 1] << 32 | 2)}

    same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("largest", [3_000, 1 << 20])
def test_trained_weights_become_few_bytes(
    dtype: str, largest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MAX_VALUES", largest)
    rng = np.random.default_rng(1)
    pairs = {name: trained(rng, dtype, shape) for name, shape in {"q.weight": (96, 128), "n.weight": (512,)}.items()}
    base = write_model(tmp_path / "base", {name: pair[0] for name, pair in pairs.items()})
    tuned = write_model(tmp_path / "tuned", {name: pair[1] for name, pair in pairs.items()})

    made = same_files(base, tuned)

    assert made.num_bytes == size(tmp_path / "diff") < 0.7 * made.manifest.tuned.num_bytes


@pytest.mark.skipif(codec.LIBRARY is None, reason="the compiled coder was not built")
def test_what_is_made_with_one_coder_is_recovered_with_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "MAX_VALUES", 3_000)
    rng = np.random.default_rng(17)
    pairs = {dtype: trained(rng, dtype, (96, 64)) for dtype in FLOATS}
    for dtype in ("F64", "I8"):
        before = anything(rng, dtype, (70, 65))
        pairs[dtype] = before, changed(rng, before, 0.1)
    base = write_model(tmp_path / "base", {name: pair[0] for name, pair in pairs.items()})
    tuned = write_model(tmp_path / "tuned", {name: pair[1] for name, pair in pairs.items()})
    compiled = make_exact(base, tuned, tmp_path / "compiled")

    with monkeypatch.context() as patch:
        patch.setattr(codec, "LIBRARY", None)
        plain = make_exact(base, tuned, tmp_path / "plain")
        recover_exact(base, tmp_path / "compiled", tmp_path / "by plain")
    recover_exact(base, tmp_path / "plain", tmp_path / "by compiled")

    assert plain.digest == compiled.digest
    assert tree(tmp_path / "by plain") == tree(tmp_path / "by compiled") == tree(tuned)


def mixed(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pair of small models of LLaMA's names with several types in each."""
    kinds = {
        EMBED: ("BF16", (30, 16)),
        "model.layers.0.mlp.up_proj.weight": ("F16", (20, 24)),
        "model.layers.0.input_layernorm.weight": ("F32", (16,)),
        "model.layers.1.mlp.up_proj.weight": ("BF16", (20, 24)),
        "model.layers.1.bits": ("BOOL", (33,)),
        "model.steps": ("I64", ()),
        "model.norm.weight": ("F32", (16,)),
        HEAD: ("BF16", (30, 16)),
    }
    before, after = {}, {}
    for name, (dtype, shape) in kinds.items():
        if dtype in FLOATS:
            before[name], after[name] = trained(rng, dtype, shape)
        else:
            before[name], after[name] = anything(rng, dtype, shape), anything(rng, dtype, shape)
    return before, after


# at random


@st.composite
def models(draw: st.DrawFn) -> tuple[Weights, Weights]:
    """A base and a tuned model whose tensors are alike, or not, in every way that there is."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    before, after = {}, {}
    for number in range(draw(st.integers(1, 5))):
        name = f"{draw(st.sampled_from(['model.layers', 'h', 'ü']))}.{number}.weight"
        dtype, shape = draw(st.sampled_from(sorted(BYTES))), draw(st.sampled_from(SHAPES))
        before[name] = anything(rng, dtype, shape)
        after[name] = changed(rng, before[name], draw(st.sampled_from([0, 0.01, 0.3, 1])))
        how = draw(st.sampled_from(["same", "same", "rows", "type", "trained", "gone", "new", "other"]))
        if how == "rows" and shape:
            after[name] = anything(rng, dtype, (draw(st.integers(0, 45)), *shape[1:]))
            common = min(len(before[name][1]), len(after[name][1]))
            after[name][1][:common] = before[name][1][:common]
        elif how == "type":
            before[name] = anything(rng, draw(st.sampled_from(FLOATS)), shape)
            after[name] = anything(rng, draw(st.sampled_from(FLOATS)), shape)
        elif how == "trained":
            before[name], after[name] = trained(rng, draw(st.sampled_from(FLOATS)), shape)
        elif how == "gone":
            del after[name]
        elif how == "new":
            del before[name]
        elif how == "other":
            before[name] = anything(rng, draw(st.sampled_from(sorted(BYTES))), draw(st.sampled_from(SHAPES)))
    before.setdefault("x", patterns("U8", [1]))
    after.setdefault("x", patterns("U8", [2]))
    return before, after


def split(draw: st.DrawFn, weights: Weights) -> list[list[str]] | None:
    """The names in up to three shards, in any order; None: one file."""
    names = draw(st.permutations(list(weights)))
    cuts = sorted(draw(st.lists(st.integers(1, max(1, len(names) - 1)), max_size=2, unique=True)))
    parts = [names[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(names)], strict=True)]
    return None if draw(st.booleans()) else [part for part in parts if part]


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_pair_of_models(data: st.DataObject) -> None:
    before, after = data.draw(models())
    with TemporaryDirectory() as name:
        base = write_model(Path(name, "base"), before, parts=split(data.draw, before))
        tuned = write_model(Path(name, "tuned"), after, parts=split(data.draw, after))

        made = same_files(base, tuned, allow_whole=True, workers=data.draw(st.integers(1, 3)))

        assert made.num_bytes <= sum(values.nbytes + 5 * (values.size + 1) for _, values in after.values()) + 48


# files of every kind

LAYOUTS: dict[str, tuple[str, Callable[[list[str]], list[list[str]] | None]]] = {
    "one file": ("safetensors", lambda names: None),
    "shards": ("safetensors", lambda names: [names[:3], names[3:]]),
    "other shards": ("safetensors", lambda names: [names[5:], names[1::2][:2], sorted({*names[:5]} - {*names[1:4:2]})]),
    "one shard": ("safetensors", lambda names: [names]),
    "one .bin": ("bin", lambda names: None),
    ".bin shards": ("bin", lambda names: [names[2:], names[:2]]),
}


@pytest.mark.parametrize("tuned_layout", LAYOUTS)
@pytest.mark.parametrize("base_layout", LAYOUTS)
def test_files_of_every_kind(base_layout: str, tuned_layout: str, tmp_path: Path) -> None:
    before, after = mixed(np.random.default_rng(2))
    folders = {}
    for what, layout, weights in (("base", base_layout, before), ("tuned", tuned_layout, after)):
        kind, cut = LAYOUTS[layout]
        folders[what] = write_model(tmp_path / what, weights, kind, cut(list(weights)))

    if LAYOUTS[tuned_layout][0] == "safetensors":
        same_files(folders["base"], folders["tuned"])
    else:
        round_trip(folders["base"], folders["tuned"])

    assert read_model(tmp_path / "recovered") == content(after)


def test_shards_of_bin_get_an_index_of_their_own(tmp_path: Path) -> None:
    before, after = mixed(np.random.default_rng(2))
    names = list(after)
    tuned = write_model(tmp_path / "tuned", after, "bin", [names[4:], names[:4]])
    round_trip(write_model(tmp_path / "base", before), tuned)

    recovered = tmp_path / "recovered"
    first, second = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
    assert sorted(tree(recovered)) == ["config.json", first, second, "model.safetensors.index.json"]
    index = json.loads((recovered / "model.safetensors.index.json").read_text())
    assert index["weight_map"] == dict.fromkeys(names[4:], first) | dict.fromkeys(names[:4], second)
    assert index["metadata"] == {"total_size": sum(values.nbytes for _, values in after.values())}


def test_headers_that_no_library_would_write(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    weights = {"z": anything(rng, "U8", (3,)), "e": anything(rng, "F32", (0, 4)), 'ä\n"': anything(rng, "F64", (2, 1))}
    for folder in ("base", "tuned"):
        (tmp_path / folder).mkdir()
    (tmp_path / "base/model.safetensors").write_bytes(safetensors_bytes(dict(reversed(weights.items()))))
    odd = {"": "", "ünïcode": "\u2028 \ud83d\ude00"}
    (tmp_path / "tuned/model.safetensors").write_bytes(safetensors_bytes(weights, odd, padding=13))

    same_files(tmp_path / "base", tmp_path / "tuned")


def test_bin_of_transposed_tensors(tmp_path: Path) -> None:
    (tmp_path / "tuned").mkdir()
    values = torch.arange(300, dtype=torch.float32).reshape(12, 25)
    state = {"a.weight": values.T, "b.weight": values[2:9, 3:20]}
    torch.save(state, tmp_path / "tuned/pytorch_model.bin")
    before = {name: floats(np.zeros(tuple(tensor.shape)), "F32") for name, tensor in state.items()}

    round_trip(write_model(tmp_path / "base", before), tmp_path / "tuned")

    expected = {name: ("F32", tuple(each.shape), each.contiguous().numpy().tobytes()) for name, each in state.items()}
    assert read_model(tmp_path / "recovered") == expected


def test_a_base_in_the_cache_of_the_hub(tmp_path: Path) -> None:
    before, after = mixed(np.random.default_rng(4))
    base = tmp_path / "models--who--what/snapshots/0123"
    write_model(base, before)
    (tmp_path / "models--who--what/blobs").mkdir()
    (base / "model.safetensors").rename(tmp_path / "models--who--what/blobs/4567")
    (base / "model.safetensors").symlink_to("../../blobs/4567")

    same_files(base, write_model(tmp_path / "tuned", after))


# models that differ in more than their values


def test_untied_and_written_twice_from_a_tied_base(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    before, embed = trained(rng, "BF16", (60, 32))
    other = changed(rng, embed, 0.1)
    base = write_model(tmp_path / "base", {EMBED: before})
    twice = write_model(tmp_path / "twice" / "tuned", {EMBED: embed, HEAD: embed})
    untied = write_model(tmp_path / "untied" / "tuned", {EMBED: embed, HEAD: other})
    once = write_model(tmp_path / "once" / "tuned", {EMBED: embed})

    told = {folder.parent.name: same_files(base, folder).manifest.tensors for folder in (twice, untied, once)}

    first, second = told["twice"]
    assert second == first.model_copy(update={"name": HEAD})  # told once
    assert size(tmp_path / "twice/diff") == size(tmp_path / "once/diff")
    assert [tensor.base.name for tensor in told["untied"] if tensor.base] == [EMBED, EMBED]


def test_progress_comes_to_its_end_though_something_is_written_twice(tmp_path: Path) -> None:
    before, embed = trained(np.random.default_rng(5), "BF16", (60, 32))
    tuned = write_model(tmp_path / "tuned", {EMBED: embed, HEAD: embed})
    seen: list[tuple[str, int, int]] = []
    told = lambda *each: seen.append(each)  # noqa: E731

    make_exact(write_model(tmp_path / "base", {EMBED: before}), tuned, tmp_path / "diff", on_progress=told)
    total = 2 * 60 * 32 * 2
    assert seen[-1] == ("diff", total, total)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})

    seen.clear()
    recover_exact(tmp_path / "base", tmp_path / "diff", tmp_path / "recovered", on_progress=told)
    assert seen[-1] == ("recover", total, total)


def test_storage_that_two_tensors_of_bin_share(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    (old, new), (norm, tuned_norm) = trained(rng, "F16", (50, 20)), trained(rng, "F16", (20,))
    for folder, embed, other in (("base", old, norm), ("tuned", new, tuned_norm)):
        (tmp_path / folder).mkdir()
        shared = as_torch(embed)
        state = {EMBED: shared, "model.norm.weight": as_torch(other), HEAD: shared}
        torch.save(state, tmp_path / folder / "pytorch_model.bin")

    made = round_trip(tmp_path / "base", tmp_path / "tuned")

    assert read_model(tmp_path / "recovered") == content({EMBED: new, "model.norm.weight": tuned_norm, HEAD: new})
    places = {tensor.name: tensor.diff for tensor in made.manifest.tensors}
    assert places[EMBED] == places[HEAD]


def test_a_tied_model_from_an_untied_base(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    before = {EMBED: anything(rng, "BF16", (20, 16)), HEAD: anything(rng, "BF16", (20, 16))}
    after = {HEAD: before[HEAD]}

    made = same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))

    assert [(tensor.base and tensor.base.name, tensor.num_changed) for tensor in made.manifest.tensors] == [(HEAD, 0)]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("rows", [(32, 33), (33, 32), (32, 64), (64, 1), (1, 7), (32, 0)])
def test_vocabularies_that_grow_and_shrink(dtype: str, rows: tuple[int, int], tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    whole = anything(rng, dtype, (64, 24))[1]
    before = {EMBED: (dtype, whole[: rows[0]]), HEAD: (dtype, whole[::-1][: rows[0]])}
    after = {EMBED: (dtype, whole[: rows[1]]), HEAD: changed(rng, (dtype, whole[::-1][: rows[1]]), 0.01)}

    made = same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))

    new = max(0, rows[1] - rows[0]) * 24
    assert made.manifest.tensors[0].num_changed == new
    assert size(tmp_path / "diff") < 2 * new * BYTES[dtype] + 600 + len(whole) * BYTES[dtype]


@pytest.mark.parametrize("tuned_dtype", FLOATS)
@pytest.mark.parametrize("base_dtype", FLOATS)
@pytest.mark.parametrize("is_random", [True, False])
def test_another_type_than_the_base(base_dtype: str, tuned_dtype: str, is_random: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    if is_random:  # NaN, infinities and what overflows included
        before, after = anything(rng, base_dtype, (40, 30)), anything(rng, tuned_dtype, (41, 30))
    else:
        before, after = (floats(rng.standard_normal((40, 32)) / 2048, dtype) for dtype in (base_dtype, tuned_dtype))
        after = tuned_dtype, floats_of(before, tuned_dtype)

    base = write_model(tmp_path / "base", {"a.weight": before})
    made = same_files(base, write_model(tmp_path / "tuned", {"a.weight": after}))

    (told,) = made.manifest.tensors
    assert told.base is not None and (told.base.dtype, told.dtype) == (base_dtype, tuned_dtype)
    if not is_random:  # the tuned model is the base, converted
        assert told.num_changed == 0
        assert size(tmp_path / "diff") < 200


def floats_of(tensor: tuple[str, np.ndarray], dtype: str) -> np.ndarray:
    """The bits of a tensor, converted by torch."""
    return floats(as_torch(tensor).to(torch.float32).numpy(), dtype)[1]


@pytest.mark.parametrize(("there", "here"), [("model.", ""), ("", "model."), ("model.", "transformer."), ("a.", "a.")])
def test_the_same_tensors_with_another_prefix(there: str, here: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    tensors = {f"layers.{i}.weight": anything(rng, "BF16", (30, 20)) for i in range(3)}
    base = write_model(tmp_path / "base", {there + name: tensor for name, tensor in tensors.items()})
    tuned = write_model(tmp_path / "tuned", {here + name: tensor for name, tensor in tensors.items()})

    if there and here and there != here:
        with pytest.raises(UsageError, match=r"3 of 3 tensors, 100% of the model, have no counterpart in the base"):
            make_exact(base, tuned, tmp_path / "diff")
        return
    made = same_files(base, tuned)

    assert [tensor.num_changed for tensor in made.manifest.tensors] == [0, 0, 0]


def test_a_base_whose_names_have_another_prefix_than_when_the_diff_was_made(tmp_path: Path) -> None:
    before, after = mixed(np.random.default_rng(11))
    base = write_model(tmp_path / "base", before)
    other = write_model(tmp_path / "other", {f"llama.{name}": tensor for name, tensor in before.items()})
    tuned = write_model(tmp_path / "tuned", after)
    make_exact(base, tuned, tmp_path / "diff")

    recover_exact(other, tmp_path / "diff", tmp_path / "recovered")

    assert tree(tmp_path / "recovered") == tree(tuned)


# what it costs


def test_what_did_not_change_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "MAX_VALUES", 1 << 20)
    rng = np.random.default_rng(12)
    before = {f"{i}.weight": anything(rng, "BF16", (1_000, 64)) for i in range(8)}
    after = {**before, "3.weight": ("BF16", before["3.weight"][1].copy())}
    after["3.weight"][1][[5, 700]] ^= 1

    made = same_files(write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after))

    assert [tensor.num_changed for tensor in made.manifest.tensors] == [0, 0, 0, 2 * 64, 0, 0, 0, 0]
    sizes = [tensor.diff.num_bytes for tensor in made.manifest.tensors if tensor.diff]
    assert max(sizes[:3] + sizes[4:]) <= 8
    assert 2 * 64 * 2 // 16 < sizes[3] < 1_000 // 8 + 2 * 64 * 2 + 50  # two rows, and which they are


def test_the_same_bytes_however_many_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    pairs = {f"{i}.weight": trained(rng, "BF16", (rng.integers(1, 200), 40)) for i in range(30)}
    names = list(pairs)
    base = write_model(tmp_path / "base", {name: pair[0] for name, pair in pairs.items()})
    after = {name: pair[1] for name, pair in pairs.items()}
    tuned = write_model(tmp_path / "tuned", after, parts=[names[:7], names[7:8], names[8:]])

    made = [make_exact(base, tuned, tmp_path / f"diff{workers}", workers=workers) for workers in (1, 2, 7)]

    first, *others = (tree(tmp_path / f"diff{workers}") for workers in (1, 2, 7))
    assert others == [first, first]
    assert len({each.digest for each in made}) == 1
    for workers in (1, 7):
        recover_exact(base, tmp_path / "diff1", tmp_path / f"recovered{workers}", workers=workers)
        assert tree(tmp_path / f"recovered{workers}") == tree(tuned)


# what is refused, and what else is in a folder


def test_tensors_without_a_base_are_not_published_unasked(tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    before = {"a.weight": anything(rng, "F32", (40, 20))}
    little = write_model(tmp_path / "little" / "tuned", before | {"new.weight": anything(rng, "F32", (4, 20))})
    much = write_model(
        tmp_path / "much" / "tuned",
        before | {"new.weight": anything(rng, "F32", (5, 20)), "a.bias": anything(rng, "F32", (9,))},
    )
    base = write_model(tmp_path / "base", before)

    same_files(base, little)  # a tenth is no more than a tenth
    with pytest.raises(UsageError) as caught:
        make_exact(base, much, tmp_path / "much/diff")
    assert not (tmp_path / "much/diff").exists()
    made = same_files(base, much, allow_whole=True)

    (problem,) = caught.value.problems
    message = f"2 of 3 tensors, 12% of the model, have no counterpart in the base ({base}), and would be published as"
    assert problem.message == f"{message} they are: new.weight and 1 more"
    assert problem.where == str(much)
    assert problem.hint is not None and problem.hint.endswith("--allow-whole")
    assert {tensor.name: tensor.base is None for tensor in made.manifest.tensors} == {
        "a.weight": False, "new.weight": True, "a.bias": True,
    }  # fmt: skip


def test_a_quantised_base_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(16)
    base = write_model(tmp_path / "base", {"a.weight": anything(rng, "F8_E4M3", (4, 20))})
    tuned = write_model(tmp_path / "tuned", {"a.weight": anything(rng, "BF16", (4, 20))})

    with pytest.raises(UsageError, match="have no counterpart in the base") as caught:
        make_exact(base, tuned, tmp_path / "diff")

    types = "it is F8_E4M3 in the base, and BF16 in the tuned model"
    assert caught.value.problems[0].hint == f"{types}: both have to be of one type, or of F32, BF16 or F16 each"
    assert not (tmp_path / "diff").exists()


@pytest.mark.parametrize("shape", [(), (1,), (64,)])
def test_a_base_that_has_the_tuned_values_already_is_another(shape: tuple[int, ...], tmp_path: Path) -> None:
    """Where all values are one number, and become one of the next exponent, it comes to the right result too."""
    rng = np.random.default_rng(17)
    before, after = (patterns("BF16", np.full(shape, bits)) for bits in (0x3F7F, 0x3F80))
    base = write_model(tmp_path / "base", {"a.weight": anything(rng, "BF16", (4, 20)), "norm": before})
    tuned = write_model(tmp_path / "tuned", {"a.weight": anything(rng, "BF16", (4, 20)), "norm": after})
    make_exact(base, tuned, tmp_path / "diff")
    raw = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(raw[: -after[1].nbytes] + after[1].tobytes())

    with pytest.raises(IntegrityError, match=r"1 of 2 tensors differ \(norm\)"):
        recover_exact(base, tmp_path / "diff", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_folders_whose_names_are_no_text(tmp_path: Path) -> None:
    tensors = {"a.weight": anything(np.random.default_rng(18), "BF16", (4, 20))}
    base, tuned = (tmp_path / os.fsdecode(name) for name in (b"base\xff", b"tuned\xff"))
    try:
        write_model(base, tensors)
    except OSError:
        pytest.skip("no such names here")
    write_model(tuned, tensors)

    made = make_exact(base, tuned, tmp_path / "diff")
    recover_exact(base, tmp_path / "diff", tmp_path / "out")

    assert (made.manifest.base.name, made.manifest.tuned.name) == ("base?", "tuned?")
    assert read_model(tmp_path / "out") == content(tensors)


def test_other_files_come_back_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    before, after = mixed(np.random.default_rng(15))
    base = write_model(tmp_path / "base", before)
    (base / "tokenizer.json").write_text("of the base")
    tuned = write_model(tmp_path / "tuned", after)
    kept = {
        "tokenizer.json": b'{"\xc3\xa4": 1}\r\n',
        "tokenizer.model": bytes(range(256)),
        "chat_template.jinja": b"{{ x }}",
        "additional_chat_templates/tool.jinja": b"{# #}\n",
        "README.md": b"",
        "LICENSE": b"mine",
        "added.txt": b"\xff",
        "modeling_x.py": b"pass",
    }
    left_out = [
        "optimizer.pt",
        "training_args.bin",
        "q4.gguf",
        "adapter_model.safetensors",
        "runs/events",
        "notes.docx",
    ]
    for name, raw in (kept | dict.fromkeys([*left_out, ".git/HEAD"], b"1")).items():
        (tuned / name).parent.mkdir(exist_ok=True)
        (tuned / name).write_bytes(raw)
    notes: list[str] = []

    round_trip(base, tuned, on_note=notes.append)

    expected = tree(tuned)
    for name in [*left_out, ".git/HEAD"]:
        del expected[name]
    assert tree(tmp_path / "recovered") == expected
    assert expected.keys() >= kept.keys()
    names = "adapter_model.safetensors, notes.docx, optimizer.pt, q4.gguf, runs/, training_args.bin"
    assert notes == [f"not part of the model, left out: {names}"]


def test_more_tensors_than_a_manifest_has_room_for_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = mixed(np.random.default_rng(16))
    base, tuned = write_model(tmp_path / "base", before), write_model(tmp_path / "tuned", after)
    monkeypatch.setattr(make, "MOST_TENSORS", len(after) - 1)

    with pytest.raises(UsageError, match="8 tensors: a diff has room for 7"):
        make_exact(base, tuned, tmp_path / "diff")

    assert sorted(each.name for each in tmp_path.iterdir()) == ["base", "tuned"]


@pytest.mark.parametrize("name", ["", "x" * 1_001])
def test_names_that_a_manifest_cannot_hold_are_refused_first(name: str, tmp_path: Path) -> None:
    weights = {name: patterns("U8", [1, 2]), "y": patterns("U8", [3])}
    base, tuned = write_model(tmp_path / "base", weights), write_model(tmp_path / "tuned", weights)

    with pytest.raises(UsageError, match=f"of 1 to 1,000 characters, found {len(name):,}"):
        make_exact(base, tuned, tmp_path / "diff")

    assert sorted(each.name for each in tmp_path.iterdir()) == ["base", "tuned"]


# a model that is one


def test_a_model_opens_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.setattr(blocks, "MAX_VALUES", 1 << 20)
    data = make_data(tmp_path / "data.json")
    base = make_base(tmp_path / "base", data)
    tuned = tmp_path / "tuned"
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(len(AutoTokenizer.from_pretrained(base)) + 1, mean_resizing=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 1e-4)
    model.save_pretrained(tuned, max_shard_size="40KB")
    AutoTokenizer.from_pretrained(base).save_pretrained(tuned)
    assert len(list(tuned.glob("model-*.safetensors"))) > 1

    same_files(base, tuned)
    shutil.rmtree(tuned)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "recovered", dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(tmp_path / "recovered")("Say red 1 times.", return_tensors="pt").input_ids

    with torch.no_grad():
        assert torch.equal(found(ids).logits, model(ids).logits)
