"""Additive diffs: ours recovered by others' programs, theirs by ours, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from alpaca_cli.data.files import sha256
from alpaca_cli.diff.additive.additive import make_additive, recover_additive
from alpaca_cli.diff.additive.modelfiles import MAX_SHARD_BYTES, MAX_SHARD_TENSORS, Outline, split
from alpaca_cli.diff.manifest import MANIFEST, OtherFile, written
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.verify import verify_additive
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from diff_scripts import (
    as_bin,
    fastchat_recover,
    llava_recover,
    load,
    stanford_make,
    stanford_recover,
    tiny_base,
    tiny_tuned,
)
from weight_folders import anything, floats, write_model

F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16
SHARDS = 20_000  # bytes: some ten files


class Notes(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)

    def about(self, words: str) -> list[str]:
        return [note for note in self if words in note]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Base and tuned model of some kind, made once and never changed."""
    made: dict[Any, tuple[Path, Path]] = {}

    def give(
        base: torch.dtype = F16, tuned: torch.dtype = BF16, *, tied: bool = False, grow: bool = True
    ) -> tuple[Path, Path]:
        key = base, tuned, tied, grow
        if key not in made:
            folder = tmp_path_factory.mktemp("models")
            first = tiny_base(folder / "base", base, tie_word_embeddings=tied)
            made[key] = first, tiny_tuned(first, folder / "tuned", tuned, grow=grow)
        return made[key]

    return give


def state(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load(folder, "auto").state_dict())


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.int16 if tensor.element_size() == 2 else torch.int32)


def num_unequal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> int:
    assert one.keys() == other.keys()
    assert {name: (t.dtype, t.shape) for name, t in one.items()} == {
        name: (t.dtype, t.shape) for name, t in other.items()
    }
    return sum(int((bits(one[name]) != bits(other[name])).sum()) for name in one)


def copied(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))


def only_inputs(folder: Path, *names: str) -> bool:
    """Whether nothing else is there, hidden or not."""
    return {entry.name for entry in folder.iterdir()} == set(names)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("grow", [False, True], ids=["same tokens", "one more token"])
@pytest.mark.parametrize("types", [(F16, BF16), (BF16, F16), (F32, F32)], ids=["F16 BF16", "BF16 F16", "F32 F32"])
def test_ours_is_recovered_by_us_and_by_the_original(
    models: Any, tmp_path: Path, types: Any, grow: bool, tied: bool
) -> None:
    base, tuned = models(*types, tied=tied, grow=grow)
    if not grow:  # else the original adds a token to the base
        base = copied(base, tmp_path / "base")
        config = json.loads((base / "tokenizer_config.json").read_text()) | {"pad_token": "<unk>"}
        (base / "tokenizer_config.json").write_text(json.dumps(config))
    notes = Notes()

    made = make_additive(base, tuned, tmp_path / "diff", max_shard_bytes=SHARDS, on_note=notes)
    ours = recover_additive(base, tmp_path / "diff", tmp_path / "ours", expect_sum=made.sums.plain)
    theirs, total = stanford_recover(base, tmp_path / "diff")

    expected = state(tuned)
    rounded = types[1] == F32
    assert not notes.about("cannot recover this diff")
    assert ours.is_proven and ours.num_unequal == made.num_unequal
    assert rounded or made.num_unequal == 0
    if not tied:  # else one matrix is counted under two names
        assert num_unequal(state(tmp_path / "ours"), expected) == made.num_unequal
    for name, tensor in state(tmp_path / "ours").items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=1e-7 if rounded else 0)
    assert total == pytest.approx(made.sums.plain, abs=0.01)
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(tensor.to(types[1]), expected[name], rtol=0, atol=1e-7 if rounded else 0)
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json", "generation_config.json"):
        assert (tmp_path / "ours" / name).read_bytes() == (tuned / name).read_bytes()
    assert len(list((tmp_path / "diff").glob("*.safetensors"))) > 3
    assert not list((tmp_path / "ours").glob("alpaca*")) and not (tmp_path / "ours" / "README.md").exists()


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("num_shards", [0, 1, 3], ids=["safetensors", "bin", "bin in shards"])
def test_the_originals_is_recovered(models: Any, tmp_path: Path, num_shards: int, tied: bool) -> None:
    base, tuned = models(tied=tied)
    stanford_make(base, tuned, tmp_path / "diff")
    theirs, total = stanford_recover(base, tmp_path / "diff")
    if num_shards:
        layers = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.zeros(4) for i in range(2)}
        as_bin(tmp_path / "diff", num_shards=num_shards, more=layers)
    notes = Notes()

    found = recover_additive(
        base, tmp_path / "diff", tmp_path / "out", dtype="BF16", expect_sum=total, on_note=notes, max_shard_bytes=SHARDS
    )

    assert not found.is_proven and found.manifest is None
    assert num_unequal(state(tmp_path / "out"), state(tuned)) == 0
    assert notes.about("no manifest") and notes.about("the mean of the others") and notes.about(f"expected {total:.4f}")
    assert not any("inv_freq" in name for file in (tmp_path / "out").glob("*.safetensors") for name in load_file(file))
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    out = state(tmp_path / "out")
    for name, tensor in theirs.state_dict().items():
        torch.testing.assert_close(tensor.to(BF16), out[name], rtol=0, atol=0)


def test_a_diff_is_recovered_in_its_own_type_unless_another_is_asked_for(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    stanford_make(base, tuned, tmp_path / "diff")
    theirs, _ = stanford_recover(base, tmp_path / "diff")

    recover_additive(base, tmp_path / "diff", tmp_path / "out")

    for name, tensor in state(tmp_path / "out").items():
        torch.testing.assert_close(tensor, theirs.state_dict()[name], rtol=0, atol=1e-7)
        assert tensor.dtype == F32


def test_a_tuned_model_of_bin_files_is_that_of_safetensors(models: Any, tmp_path: Path) -> None:
    base, tuned = models(tied=True)
    tuned = as_bin(copied(tuned, tmp_path / "tuned"))
    base_bin = as_bin(copied(base, tmp_path / "base"), num_shards=2)

    made = make_additive(base_bin, tuned, tmp_path / "diff")
    recover_additive(base, tmp_path / "diff", tmp_path / "out")

    assert made.num_unequal == 0
    assert num_unequal(state(tmp_path / "out"), state(models(tied=True)[1])) == 0


def test_fastchats_way_gives_the_tuned_model(models: Any, tmp_path: Path) -> None:
    base, tuned = models(F16, F16, grow=False)

    made = make_additive(base, tuned, tmp_path / "diff", dtype="F16")
    theirs = fastchat_recover(base, tmp_path / "diff").state_dict()
    recover_additive(base, tmp_path / "diff", tmp_path / "ours")

    assert num_unequal(dict(theirs), state(tmp_path / "ours")) == 0
    assert num_unequal(dict(theirs), state(tuned)) == made.num_unequal > 0


@pytest.mark.parametrize("bin_shards", [1, 2])
def test_fastchats_diffs_are_recovered(models: Any, tmp_path: Path, bin_shards: int) -> None:
    base, tuned = models(F16, F16, grow=False)
    delta, other = load(tuned, F16), load(base, F16).state_dict()
    for name, tensor in delta.state_dict().items():
        tensor.sub_(other[name])
    delta.save_pretrained(tmp_path / "diff")
    theirs = fastchat_recover(base, tmp_path / "diff").state_dict()
    as_bin(tmp_path / "diff", num_shards=bin_shards)

    recover_additive(base, tmp_path / "diff", tmp_path / "out")

    assert num_unequal(dict(theirs), state(tmp_path / "out")) == 0


def test_vicunas_first_diffs_are_told_from_zero_rows(models: Any, tmp_path: Path) -> None:
    base, tuned = models(F16, F16)
    other, delta = load(base, F16).state_dict(), load(tuned, F16)
    for name, tensor in delta.state_dict().items():
        tensor[: len(other[name])].sub_(other[name])
    delta.save_pretrained(tmp_path / "diff")
    theirs = fastchat_recover(base, tmp_path / "diff", zero_rows=1).state_dict()

    recover_additive(base, tmp_path / "diff", tmp_path / "out", new_rows="zero")

    assert num_unequal(dict(theirs), state(tmp_path / "out")) == 0


def test_llavas_diffs_are_recovered_with_what_the_base_lacks(models: Any, tmp_path: Path) -> None:
    base, _ = models()
    diff = copied(base, tmp_path / "diff")
    torch.manual_seed(2)
    weights = {name: torch.randn_like(tensor) * 0.01 for name, tensor in load_file(base / "model.safetensors").items()}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], torch.randn(3, 32).half()])
    weights["model.mm_projector.weight"] = torch.randn(32, 8).half()
    save_file(weights, diff / "model.safetensors")
    expected = llava_recover(base, weights)

    with pytest.raises(UsageError) as caught:
        recover_additive(base, diff, tmp_path / "out")
    recover_additive(base, diff, tmp_path / "out", new_rows="zero")

    assert "the base has 500 tokens, the diff 503" in str(caught.value)
    assert "--new-rows mean" in (caught.value.problems[0].hint or "")
    assert num_unequal(load_file(tmp_path / "out" / "model.safetensors"), expected) == 0


def test_the_published_sum_that_counts_rotary_buffers(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    made, notes = make_additive(base, tuned, tmp_path / "diff"), Notes()
    rotary = 2 * sum(10_000.0 ** (-2 * i / 8) for i in range(4))

    recover_additive(base, tmp_path / "diff", tmp_path / "out", expect_sum=made.sums.plain + rotary, on_note=notes)

    assert notes.about("the latter expected")


@pytest.mark.parametrize("off", [0.02, -0.02, 1.0, float("nan")])
def test_a_wrong_sum_leaves_nothing(models: Any, tmp_path: Path, off: float) -> None:
    base, tuned = models()
    made = make_additive(base, tuned, tmp_path / "diff")

    with pytest.raises(IntegrityError) as caught:
        recover_additive(base, tmp_path / "diff", tmp_path / "out", expect_sum=made.sums.plain + off)

    assert f"the sum of all parameters is {made.sums.plain:.4f}" in str(caught.value)
    assert only_inputs(tmp_path, "diff")


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("dtype", ["F32", "BF16", "F16"])
@pytest.mark.parametrize("own", [BF16, F16, F32])
def test_any_bits_come_back_or_are_counted(tmp_path: Path, own: torch.dtype, dtype: str, tied: bool) -> None:
    """Every kind of number against every other: what the module promises of a diff in fp32 holds."""
    rng, name = np.random.default_rng(0), "model.embed_tokens.weight"
    count, size = 1 << 17, torch.tensor([], dtype=own).element_size()
    for folder in ("base", "tuned"):
        raw = torch.from_numpy(rng.integers(0, 256, count * size, np.uint8)).view(own).view(-1, 64)
        (tmp_path / folder).mkdir()
        save_file({name: raw}, tmp_path / folder / "model.safetensors")
        (tmp_path / folder / "config.json").write_text(json.dumps({"tie_word_embeddings": tied}))

    made = make_additive(tmp_path / "base", tmp_path / "tuned", tmp_path / "diff", dtype=dtype)
    recover_additive(tmp_path / "base", tmp_path / "diff", tmp_path / "out")

    base, tuned, out = (load_file(tmp_path / each / "model.safetensors")[name] for each in ("base", "tuned", "out"))
    is_unequal = bits(out) != bits(tuned)
    assert int(is_unequal.sum()) == made.num_unequal > 0
    if dtype == "F32" and own != F32:
        old, new = base.float(), tuned.float()
        largest = (2.0**13 if own == BF16 else 2.0**10) / (4 if tied else 1)
        is_finite = old.isfinite() & new.isfinite() & (new - old - old if tied else new - old).isfinite()
        is_promised = is_finite & (new != 0) & (old.double().abs() <= new.double().abs() * largest)
        assert not (is_unequal & is_promised).any()
        assert is_promised.sum() > count // 4
        assert (is_unequal & ~is_promised & is_finite & (new != 0)).any() or own == F16


@pytest.mark.parametrize("tied", [False, True], ids=["now untied", "now tied"])
def test_what_is_tied_may_change(models: Any, tmp_path: Path, tied: bool) -> None:
    base, tuned = models(BF16, BF16, tied=not tied)[0], models(BF16, BF16, tied=tied)[1]

    made = make_additive(base, tuned, tmp_path / "diff")
    found = recover_additive(base, tmp_path / "diff", tmp_path / "out")
    theirs, total = stanford_recover(base, tmp_path / "diff")

    assert found.is_proven and made.num_unequal == 0
    assert [each.name for each in made.manifest.differences if each.second_base] == ["model.embed_tokens.weight"] * tied
    expected = state(tuned)
    assert num_unequal(state(tmp_path / "out"), expected) == 0
    assert num_unequal({name: t.to(BF16) for name, t in theirs.state_dict().items()}, expected) == 0
    assert total == pytest.approx(found.sums.plain, abs=0.01)


def test_a_second_base_tensor_that_differs_is_told(models: Any, tmp_path: Path) -> None:
    base, tuned = copied(models(BF16, BF16)[0], tmp_path / "base"), models(BF16, BF16, tied=True)[1]
    make_additive(base, tuned, tmp_path / "diff")
    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"][0, 0] += 1
    save_file(weights, base / "model.safetensors", {"format": "pt"})

    told = r"1 of 21 tensors differ \(lm_head.weight\): the base, but damaged"
    with pytest.raises(IntegrityError, match=told):
        recover_additive(base, tmp_path / "diff", tmp_path / "out")
    with pytest.raises(IntegrityError, match=told):
        verify_additive(tmp_path / "diff", base=base)

    assert only_inputs(tmp_path, "diff", "base")


def test_an_interrupt_leaves_nothing(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    make_additive(base, tuned, tmp_path / "diff")

    def interrupt(what: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover_additive(base, tmp_path / "diff", tmp_path / "out", on_progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_additive(base, tuned, tmp_path / "other", on_progress=interrupt)

    assert only_inputs(tmp_path, "diff")


def test_a_wrong_base_is_told_and_leaves_nothing(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    make_additive(base, tuned, tmp_path / "diff")
    other = copied(base, tmp_path / "base")
    weights = load_file(other / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"][3, 5] += 1
    save_file(weights, other / "model.safetensors", {"format": "pt"})

    with pytest.raises(IntegrityError) as caught:
        recover_additive(other, tmp_path / "diff", tmp_path / "out")

    assert "1 of 21 tensors differ (model.layers.1.mlp.up_proj.weight)" in str(caught.value)
    assert only_inputs(tmp_path, "diff", "base")


def test_a_base_of_another_type_is_told(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    make_additive(base, tuned, tmp_path / "diff")
    load(base, F32).save_pretrained(tmp_path / "base")

    with pytest.raises(IntegrityError, match="expected F16, found F32"):
        recover_additive(tmp_path / "base", tmp_path / "diff", tmp_path / "out")

    assert only_inputs(tmp_path, "diff", "base")


def test_a_base_with_a_token_of_its_own_is_told_by_its_size(models: Any, tmp_path: Path) -> None:
    grown, stanford_like = models()[1], copied(models(grow=False)[1], tmp_path / "diff")

    with pytest.raises(UsageError) as caught:
        recover_additive(grown, stanford_like, tmp_path / "out")

    assert "the base has 501 tokens, the diff 500" in str(caught.value)
    assert "before tokens such as [PAD] were added" in (caught.value.problems[0].hint or "")
    assert only_inputs(tmp_path, "diff")


@pytest.mark.parametrize("name", ["model.safetensors", MANIFEST, "model/config.json"])
def test_a_changed_byte_of_the_diff_is_found(models: Any, tmp_path: Path, name: str) -> None:
    base, tuned = models()
    make_additive(base, tuned, tmp_path / "diff")
    raw = bytearray((tmp_path / "diff" / name).read_bytes())
    raw[-3] ^= 1
    (tmp_path / "diff" / name).write_bytes(raw)

    with pytest.raises(IntegrityError, match="not as it was"):
        recover_additive(base, tmp_path / "diff", tmp_path / "out")

    assert only_inputs(tmp_path, "diff")


def test_another_architecture_is_refused(models: Any, tmp_path: Path) -> None:
    _, tuned = models()
    wide = tiny_base(tmp_path / "wide", F16, hidden_size=48, num_attention_heads=4)

    with pytest.raises(UsageError, match="of another size"):
        make_additive(wide, tuned, tmp_path / "diff")
    with pytest.raises(UsageError, match="of another size"):
        recover_additive(wide, tuned, tmp_path / "out", new_rows="mean")

    assert only_inputs(tmp_path, "wide", "wide.json")


def test_what_the_base_lacks_is_not_published_unasked(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    more = copied(tuned, tmp_path / "tuned")
    weights = load_file(more / "model.safetensors") | {"extra.weight": torch.ones(300, 300)}
    save_file(weights, more / "model.safetensors", {"format": "pt"})
    notes = Notes()

    with pytest.raises(UsageError, match="of the model has no counterpart in the base") as caught:
        make_additive(base, more, tmp_path / "diff")
    made = make_additive(base, more, tmp_path / "diff", allow_whole=True, on_note=notes)
    recover_additive(base, tmp_path / "diff", tmp_path / "out")

    assert "--allow-whole" in (caught.value.problems[0].hint or "")
    assert notes.about("the base lacks extra.weight")
    assert made.num_unequal == 0
    assert num_unequal(load_file(tmp_path / "out" / "model.safetensors"), weights) == 0


def test_a_quantised_base_is_told(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    base = write_model(tmp_path / "base", {"w": anything(rng, "F8_E4M3", (4, 4))})
    tuned = write_model(tmp_path / "tuned", {"w": anything(rng, "BF16", (4, 4))})

    with pytest.raises(DataError, match="w is F8_E4M3: differences are made of F32, BF16, F16") as caught:
        make_additive(base, tuned, tmp_path / "diff")

    assert caught.value.problems[0].hint == "name both models in one of these types"
    assert only_inputs(tmp_path, "base", "tuned")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", UsageError, "expected tensors with names of 1 to 1,000 characters, found 0"),
        ("n" * 1001, UsageError, "expected tensors with names of 1 to 1,000 characters, found 1,001"),
        ("__metadata__", DataError, "header of a safetensors file"),
    ],
)
def test_names_that_cannot_be_written_are_refused_before_the_work(
    name: str, error: type[AlpacaError], message: str, tmp_path: Path
) -> None:
    weights = {"w": floats(np.ones((4, 4)), "BF16")}
    base = write_model(tmp_path / "base", weights)
    tuned = write_model(tmp_path / "tuned", {**weights, name: floats(np.ones(1), "BF16")}, kind="bin")
    told: list[str] = []

    with pytest.raises(error, match=message):
        make_additive(base, tuned, tmp_path / "diff", on_progress=lambda what, *_: told.append(what))

    assert not told
    assert only_inputs(tmp_path, "base", "tuned")


def test_more_tensors_than_a_header_has_room_for_are_split() -> None:
    contents = split([Outline(f"{n}", "BF16", ()) for n in range(MAX_SHARD_TENSORS + 1)], MAX_SHARD_BYTES)

    assert [len(content) for content in contents.values()] == [MAX_SHARD_TENSORS, 1]


def test_a_config_with_half_a_character_is_written(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", {"w": floats(np.ones((4, 4)), "BF16")})
    tuned = write_model(tmp_path / "tuned", {"w": floats(np.full((4, 4), 1.5), "BF16")})
    (tuned / "config.json").write_text('{"model_type": "llama", "note": "\\ud800"}')

    make_additive(base, tuned, tmp_path / "diff")
    recover_additive(base, tmp_path / "diff", tmp_path / "out", dtype="F32")

    assert json.loads((tmp_path / "out/config.json").read_text())["note"] == "\ud800"


def test_what_the_original_cannot_recover_is_told(models: Any, tmp_path: Path) -> None:
    base, tuned = models(grow=False)
    notes = Notes()

    make_additive(base, tuned, tmp_path / "diff", on_note=notes)

    assert notes.about("it adds one token to this base, and the tuned model has 0 more")
    with pytest.raises(RuntimeError, match="must match"):
        stanford_recover(base, tmp_path / "diff")


def test_rows_of_ours_are_not_told_from_zero(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    make_additive(base, tuned, tmp_path / "diff")

    with pytest.raises(UsageError, match="made from the mean of the base's rows"):
        recover_additive(base, tmp_path / "diff", tmp_path / "out", new_rows="zero")

    assert only_inputs(tmp_path, "diff")


def test_the_manifest_counts_what_changed(models: Any, tmp_path: Path) -> None:
    base, tuned = models(BF16, BF16)
    made = make_additive(base, tuned, tmp_path / "diff")

    old, new = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    for tensor in made.manifest.tensors:
        rows = len(old[tensor.name])
        changed = int((bits(new[tensor.name][:rows]) != bits(old[tensor.name])).sum())
        assert tensor.num_changed == changed + new[tensor.name][rows:].numel()
    assert read_manifest(tmp_path / "diff") == (made.manifest, made.digest)


def test_progress_ends_where_it_should(models: Any, tmp_path: Path) -> None:
    base, tuned = models()
    told: list[tuple[str, int, int]] = []

    make_additive(base, tuned, tmp_path / "diff", on_progress=lambda *each: told.append(each))
    made = told.copy()
    recover_additive(base, tmp_path / "diff", tmp_path / "out", on_progress=lambda *each: told.append(each))

    assert made[-1][1] == made[-1][2] and told[-1][1] == told[-1][2]
    assert (made[-1][0], told[-1][0]) == ("subtract", "add")


def test_an_index_among_the_files_of_a_diff_is_refused(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", {"w": floats(np.ones((4, 4)), "BF16")})
    tuned = write_model(tmp_path / "tuned", {"w": floats(np.full((4, 4), 1.5), "BF16")})
    manifest = make_additive(base, tuned, tmp_path / "diff").manifest
    name, raw = "model.safetensors.index.json", b'{"weight_map": {"w": "../elsewhere.safetensors"}}'
    (tmp_path / "diff/model" / name).write_bytes(raw)
    more = OtherFile(name=name, num_bytes=len(raw), sha256=sha256(raw))
    (tmp_path / "diff" / MANIFEST).write_bytes(written(manifest.model_copy(update={"files": (*manifest.files, more)})))

    with pytest.raises(DataError, match=r"expected no model.safetensors.index.json among the files"):
        recover_additive(base, tmp_path / "diff", tmp_path / "out")

    assert only_inputs(tmp_path, "base", "tuned", "diff")


def test_a_pipe_among_the_files_of_the_base_is_not_waited_for(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", {"w": floats(np.ones((4, 4)), "BF16")})
    tuned = write_model(tmp_path / "tuned", {"w": floats(np.full((4, 4), 1.5), "BF16")})
    os.mkfifo(base / "tokenizer_config.json")

    made = make_additive(base, tuned, tmp_path / "diff")

    assert made.num_unequal == 0
