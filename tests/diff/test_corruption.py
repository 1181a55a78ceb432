"""Damaged and wrong files: every one is found and told apart, and the target never appears."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.manifest import MANIFEST
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.recover import recover_exact
from alpaca_cli.diff.verify import verify_exact
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from alpaca_cli.weights.safetensors import read_header
from conftest import Outcome
from small_pairs import SmallPair, base_tensors, contents, tuned_tensors, write_model

UNUSED = "model.layers.0.self_attn.rotary_emb.inv_freq"
"""A tensor that only the base has, so that nothing of the result hangs on it."""
SHARDS = ["tensors-00001-of-00002.alpacadiff", "tensors-00002-of-00002.alpacadiff"]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><title>Sign in</title></html>\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallPair:
    """A pair of two files each, and its diff; not to be changed."""
    folder = tmp_path_factory.mktemp("pair")
    base = base_tensors() | {UNUSED: np.arange(8, dtype=np.uint32)}
    tuned = tuned_tensors({name: values for name, values in base.items() if name != UNUSED})
    pair = SmallPair(write_model(folder / "base", base), write_model(folder / "tuned", tuned), folder / "diff")
    make_exact(pair.base, pair.tuned, pair.diff)
    return pair


@pytest.fixture
def pair(made: SmallPair, tmp_path: Path) -> SmallPair:
    """A copy that may be damaged."""
    for name in ("base", "tuned", "diff"):
        shutil.copytree(getattr(made, name), tmp_path / name)
    return SmallPair(tmp_path / "base", tmp_path / "tuned", tmp_path / "diff")


def carry_nothing(base: Path) -> dict[Path, list[range]]:
    """The places of a base's files on which the result does not hang."""
    found: dict[Path, list[range]] = {}
    index = base / "model.safetensors.index.json"
    begin = index.read_bytes().index(b'"metadata"')
    found[index] = [range(begin, index.read_bytes().index(b"}", begin))]  # a total that nobody reads
    for path in base.glob("*.safetensors"):
        begin = path.read_bytes().index(b'"__metadata__"')
        found[path] = [range(begin, path.read_bytes().index(b"}", begin))]
        unused = [each for each in read_header(path).tensors if each.name == UNUSED]
        found[path] += [range(each.offset, each.offset + each.num_bytes) for each in unused]
    return found


@pytest.mark.parametrize("count", [300, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_found(pair: SmallPair, tmp_path: Path, count: int) -> None:
    rng = random.Random(count)
    diff = [pair.diff / MANIFEST, *(pair.diff / name for name in SHARDS), *sorted((pair.diff / "model").iterdir())]
    files = [*sorted(pair.base.glob("model*")), *diff]
    nothing, expected = carry_nothing(pair.base), contents(pair.tuned)
    sizes = [path.stat().st_size for path in files]
    num_harmless = 0
    for number in range(count):
        path = files[number % len(files)] if number % 2 else rng.choices(files, sizes)[0]  # every file, every byte
        raw = path.read_bytes()
        at, bit = rng.randrange(len(raw)), rng.randrange(8)
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        out = tmp_path / f"out-{number}"
        place = f"bit {bit} of byte {at} of {path.name}"
        try:
            recover_exact(pair.base, pair.diff, out, workers=1)
            error = None
        except AlpacaError as raised:
            error = raised
        path.write_bytes(raw)
        assert out.exists() == (error is None), place
        for each in tmp_path.glob(".out-*"):  # what was finished before the damage was met
            shutil.rmtree(each)
        if error is None:
            assert contents(out) == expected, place
            assert any(at in each for each in nothing.get(path, [])), place
            num_harmless += 1
            continue
        assert type(error) is IntegrityError or (path not in diff and type(error) in (UsageError, DataError)), place
        assert "\n" not in str(error), place
        assert all(each.where and len(each.message) < 400 for each in error.problems), place
    assert num_harmless < count / 10  # that there are such places: see below


def test_what_the_result_does_not_hang_on_may_change(pair: SmallPair, tmp_path: Path) -> None:
    for path, places in carry_nothing(pair.base).items():
        raw = bytearray(path.read_bytes())
        *_, last = places
        at = max((at for at in last if chr(raw[at]).isalnum()), default=last[-1])  # JSON stays JSON
        raw[at] ^= 1
        path.write_bytes(raw)
    (pair.base / "config.json").write_text("not read")
    (pair.diff / "README.md").write_text("not read")

    recover_exact(pair.base, pair.diff, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(pair.tuned)


def test_verify_finds_a_flipped_bit_of_a_diff_without_a_base(pair: SmallPair) -> None:
    rng = random.Random(3)
    for path in [
        pair.diff / MANIFEST,
        *(pair.diff / name for name in SHARDS),
        *sorted((pair.diff / "model").iterdir()),
    ]:
        raw = path.read_bytes()
        for _ in range(5):
            at = rng.randrange(len(raw))
            path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :])
            with pytest.raises(IntegrityError):
                verify_exact(pair.diff, workers=1)
        path.write_bytes(raw)
    verify_exact(pair.diff, workers=1)


def test_a_manifest_cut_at_any_line_is_told(pair: SmallPair, tmp_path: Path) -> None:
    lines = (pair.diff / MANIFEST).read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        (pair.diff / MANIFEST).write_bytes(b"".join(lines[:count]))
        with pytest.raises(IntegrityError, match=r"as it was written, but seems cut short, after [0-9,]+ bytes"):
            recover_exact(pair.base, pair.diff, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_shard_cut_at_any_boundary_is_told(pair: SmallPair, tmp_path: Path) -> None:
    manifest, _ = read_manifest(pair.diff)
    ends = {(each.diff.shard, each.diff.offset) for each in manifest.tensors if each.diff}
    assert len(ends) == len(manifest.tensors)
    for number, end in sorted(ends | {(0, 1), (0, 15), (1, 17)}):
        path = pair.diff / manifest.shards[number].name
        raw = path.read_bytes()
        path.write_bytes(raw[:end])
        with pytest.raises(DataError, match=f"cut short: expected {len(raw):,} bytes, found {end:,}") as caught:
            recover_exact(pair.base, pair.diff, tmp_path / "out")
        assert caught.value.problems[0].where == str(path)
        assert caught.value.problems[0].hint == "download it again"
        path.write_bytes(raw)
    assert not list(tmp_path.glob("*out*"))


# What happens to a pair; the exit code; what the message says, and the hint.
Damage = Callable[[SmallPair], None]


def _put(path: str, raw: bytes) -> Damage:
    """A file in the place of another."""

    def damage(pair: SmallPair) -> None:
        folder, _, name = path.partition("/")
        (getattr(pair, folder) / name).write_bytes(raw)

    return damage


def _removed(path: str) -> Damage:
    def damage(pair: SmallPair) -> None:
        folder, _, name = path.partition("/")
        (getattr(pair, folder) / name).unlink()

    return damage


def _swapped(pair: SmallPair) -> None:
    one, other = (pair.diff / name for name in SHARDS)
    one.rename(pair.diff / "aside")
    other.rename(one)
    (pair.diff / "aside").rename(other)


def _shard_of_another(pair: SmallPair) -> None:
    tuned = {name: values for name, values in base_tensors().items() if name != UNUSED}
    other = write_model(pair.diff.parent / "tuned-2", tuned_tensors(tuned, seed=7))
    make_exact(pair.base, other, pair.diff.parent / "diff-2")
    shutil.copy(pair.diff.parent / "diff-2" / SHARDS[1], pair.diff / SHARDS[1])


def _longer(pair: SmallPair) -> None:
    with (pair.diff / SHARDS[0]).open("ab") as stream:
        stream.write(b"more")


def _windows_lines(pair: SmallPair) -> None:
    path = pair.diff / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


def _cut_base(pair: SmallPair) -> None:
    path = pair.base / "model-00002-of-00002.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _base(**changes: object) -> Damage:
    """Another base, of `base_tensors` by these changes (functions of the tensors), perhaps under other dtypes."""

    def damage(pair: SmallPair) -> None:
        shutil.rmtree(pair.base)
        change = changes["change"]
        assert callable(change)
        write_model(pair.base, change(base_tensors()), dtypes=changes.get("dtypes"))  # type: ignore[arg-type]

    return damage


def _one_changed(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    tensors["model.layers.2.mlp.down_proj.weight"][3, 5] ^= 1
    return tensors


def _in_fp32(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values.astype(np.uint32) << 16 for name, values in tensors.items()}


def _grown(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([each, each[:1]]) if len(each) == 48 else each for name, each in tensors.items()}


def _other_embeddings(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: each[::-1] if len(each) == 48 and each.ndim == 2 and "down" not in name else each
            for name, each in tensors.items()}  # fmt: skip


def _permuted(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    def rows(values: np.ndarray) -> np.ndarray:
        return values.reshape(2, 4, 2, 16).swapaxes(1, 2).reshape(16, 16)

    is_turned = ("q_proj.weight", "k_proj.weight")
    return {name: rows(each) if name.endswith(is_turned) else each for name, each in tensors.items()}


def _renamed(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.replace("model.layers", "transformer.h"): each for name, each in tensors.items()}


def _fewer_layers(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: each for name, each in tensors.items() if ".layers.2." not in name}


def _wider(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return base_tensors(width=32)


AGAIN = "download it again"
LFS = "run `git lfs pull` in its folder"
WANTED = "the diff was made from 'base': get those weights, unchanged"
PUBLISHED = "use the base as it was published, before tokens were added to it or taken from it"
BASE_SHARD = "model-00001-of-00002.safetensors"
CASES: dict[str, tuple[Damage, int, str, str]] = {
    "manifest missing": (
        _removed(f"diff/{MANIFEST}"), 2, f"diff: the manifest of this diff, {MANIFEST}, is missing",
        AGAIN,
    ),
    "manifest a pointer": (_put(f"diff/{MANIFEST}", POINTER), 3, "a Git LFS pointer, not the weights themselves", LFS),
    "manifest a page": (_put(f"diff/{MANIFEST}", PAGE), 3, "a web page, not weights", AGAIN),
    "manifest empty": (_put(f"diff/{MANIFEST}", b""), 3, "an empty file", AGAIN),
    "manifest something else": (
        _put(f"diff/{MANIFEST}", b'{"a": 1}\n'), 5, "this is not the manifest of a diff",
        "name the folder of a diff that `alpaca diff make` wrote",
    ),
    "manifest with other line ends": (
        _windows_lines, 5, "the line ends of this manifest were changed",
        "download it as it is; where git did this: git config core.autocrlf false, and clone again",
    ),
    "shard missing": (
        _removed(f"diff/{SHARDS[1]}"), 2, f"diff: 1 of 2 shards of the diff are missing: {SHARDS[1]}",
        "download them beside the manifest",
    ),
    "shard a pointer": (_put(f"diff/{SHARDS[0]}", POINTER), 3, "a Git LFS pointer, not the weights themselves", LFS),
    "shard a page": (_put(f"diff/{SHARDS[0]}", PAGE), 3, "a web page, not weights", AGAIN),
    "shard empty": (_put(f"diff/{SHARDS[0]}", b""), 3, f"{SHARDS[0]}: an empty file", AGAIN),
    "shards swapped": (
        _swapped, 5, f"{SHARDS[0]}: expected shard 1 of 2 of the diff, found shard 2 of 2",
        "its files were renamed or swapped: download again",
    ),
    "shard of another diff": (
        _shard_of_another, 5, f"{SHARDS[1]}: a shard of another diff: expected ",
        "take manifest and shards from one download",
    ),
    "shard with more behind it": (_longer, 3, f"{SHARDS[0]}: longer than it was made: expected ", AGAIN),
    "config missing": (
        _removed("diff/model/config.json"), 2, "config.json: cannot read this file of the diff: no such file", "",
    ),
    "config changed": (
        _put("diff/model/config.json", b"{}"), 5,
        "model/config.json: this file of the diff is not as it was made: expected 24 bytes, found 2", AGAIN,
    ),
    "tokenizer a pointer": (
        _put("diff/model/tokenizer.json", POINTER), 3, "tokenizer.json: a Git LFS pointer, not the file itself", LFS,
    ),
    "base shard missing": (
        _removed(f"base/{BASE_SHARD}"), 2, f"base: 1 of 2 shards are missing: {BASE_SHARD}",
        "download them beside the index",
    ),
    "base shard a pointer": (
        _put(f"base/{BASE_SHARD}", POINTER), 3, "a Git LFS pointer, not the weights themselves", LFS,
    ),
    "base shard a page": (_put(f"base/{BASE_SHARD}", PAGE), 3, "a web page, not weights", AGAIN),
    "base shard empty": (_put(f"base/{BASE_SHARD}", b""), 3, f"{BASE_SHARD}: an empty file", AGAIN),
    "base shard cut": (_cut_base, 3, "model-00002-of-00002.safetensors: cut short: expected ", AGAIN),
    "other weights": (
        _base(change=lambda _: base_tensors(seed=5)), 5,
        "base: 21 of 21 tensors differ (model.embed_tokens.weight and 20 more): this is not the base it was made from",
        WANTED,
    ),
    "one bit of the base": (
        _base(change=_one_changed), 5,
        "base: 1 of 21 tensors differ (model.layers.2.mlp.down_proj.weight): the base, but damaged: all of them are in"
        " model-00002-of-00002.safetensors",
        "download model-00002-of-00002.safetensors of the base again",
    ),
    "other dtype": (
        _base(change=_in_fp32), 5,
        "the base is in another type, so its bits were not looked at: expected BF16, found F32",
        "an exact diff needs the very bits: get the base in BF16",
    ),
    "other half": (
        _base(change=lambda tensors: tensors, dtypes=dict.fromkeys(base_tensors(), "F16")), 5,
        "the base is in another type, so its bits were not looked at: expected BF16, found F16",
        "an exact diff needs the very bits: get the base in BF16",
    ),
    "other vocabulary": (
        _base(change=_grown), 5,
        "base: 2 of 21 tensors differ (model.embed_tokens.weight and 1 more): this is not the base it was made from,"
        " but one with another vocabulary: expected 48 rows, found 49",
        PUBLISHED,
    ),
    "other embeddings": (
        _base(change=_other_embeddings), 5,
        "base: 2 of 21 tensors differ (model.embed_tokens.weight and 1 more): this is not the base it was made from,"
        " but one whose embeddings were changed",
        "use the base as it was published",
    ),
    "other conversion": (
        _base(change=_permuted), 5,
        "base: 6 of 21 tensors differ (model.layers.0.self_attn.q_proj.weight and 5 more): this is not the base it was"
        " made from, but another conversion of it: only q_proj and k_proj differ, whose rows a converter orders",
        "convert the original weights as 'base' was",
    ),
    "other names": (
        _base(change=_renamed), 5,
        "base: 18 of 21 tensors differ (model.layers.0.self_attn.q_proj.weight and 17 more): this is not the base it"
        " was made from: it has others, or other names (transformer.h.0.self_attn.q_proj.weight)",
        WANTED,
    ),
    "fewer layers": (
        _base(change=_fewer_layers), 5,
        "base: 6 of 21 tensors differ (model.layers.2.self_attn.q_proj.weight and 5 more): this is not the base it was"
        " made from: it lacks them",
        WANTED,
    ),
    "other size": (
        _base(change=_wider), 5,
        "base: 21 of 21 tensors differ (model.embed_tokens.weight and 20 more): this is not the base it was made from,"
        " but a model of another size: model.embed_tokens.weight is [48, 32] there, and was [48, 16]",
        WANTED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_fault_has_its_own_message(
    pair: SmallPair, alpaca: Callable[..., Outcome], tmp_path: Path, name: str
) -> None:
    damage, code, message, hint = CASES[name]
    damage(pair)
    before = contents(tmp_path)

    outcome = alpaca("diff", "recover", "--base", pair.base, "--diff", pair.diff, "--out", tmp_path / "out")

    lines = [line for line in outcome.err.splitlines() if not line.startswith("note: ")]
    assert outcome.code == code, outcome.err
    assert lines[0].startswith("error: ")
    assert message in lines[0]
    assert lines[1:] == ([f"hint: {hint}"] if hint else [])
    assert outcome.out == ""
    after = contents(tmp_path)
    kept = {path for path in after if path.startswith(".out.recovering-")}  # files finished before the fault was met
    assert {path: each for path, each in after.items() if path not in kept} == before
