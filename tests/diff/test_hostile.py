"""Diffs made to harm: refused in words, in little memory and time, and nothing but the target is ever written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alpaca_cli.data.files import sha256
from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.manifest import (
    MANIFEST,
    MODEL_FILES,
    MOST_TENSORS,
    BaseTensor,
    Manifest,
    Model,
    Shard,
    Stored,
    TunedTensor,
    WeightFile,
    written,
)
from alpaca_cli.diff.otherfiles import find_others
from alpaca_cli.diff.readmanifest import LONGEST, read_manifest
from alpaca_cli.diff.recover import recover_exact
from alpaca_cli.diff.verify import verify_exact
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from alpaca_cli.weights.folder import read_folder
from alpaca_cli.weights.safetensors import header_text
from conftest import Outcome
from small_pairs import SmallPair, base_tensors, contents, tuned_tensors, write_model

SHARD = "tensors-00001-of-00002.alpacadiff"
Content = dict[str, Any]
Change = Callable[[Content], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallPair:
    """A pair and its diff; not to be changed."""
    folder = tmp_path_factory.mktemp("pair")
    base = base_tensors(layers=1)
    pair = SmallPair(folder / "base", folder / "tuned", folder / "diff")
    write_model(pair.base, base)
    write_model(pair.tuned, tuned_tensors(base))
    make_exact(pair.base, pair.tuned, pair.diff)
    return pair


@pytest.fixture
def pair(made: SmallPair, tmp_path: Path) -> Iterator[SmallPair]:
    """A copy with neighbours; at the end these are as they were, and nothing is beside them but `out`."""
    work = tmp_path / "work"
    for name in ("base", "tuned", "diff"):
        shutil.copytree(getattr(made, name), work / name)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "config.json").write_text("mine")
    before = contents(tmp_path / "precious")
    yield SmallPair(work / "base", work / "tuned", work / "diff")
    assert contents(tmp_path / "precious") == before
    assert {path.name for path in tmp_path.iterdir()} <= {"work", "precious", "cache"}
    assert {path.name for path in work.iterdir()} <= {"base", "tuned", "diff", "out", "link", "fifo"}


def write_manifest(diff: Path, rest: bytes) -> None:
    """A manifest of these bytes after its first line, with the digest that is theirs."""
    (diff / MANIFEST).write_bytes(b'{"digest": "' + sha256(rest).encode() + b'",\n' + rest)


def rest_of(diff: Path) -> bytes:
    return (diff / MANIFEST).read_bytes().partition(b"\n")[2]


def forge(diff: Path, change: Change) -> None:
    """A manifest that says something else, and has its digest."""
    content = json.loads(b"{" + rest_of(diff))
    change(content)
    write_manifest(diff, json.dumps(content).encode()[1:] + b"\n")


def refused(pair: SmallPair, kind: type[AlpacaError], message: str) -> AlpacaError:
    """The error that both recover and verify meet, one line long; nothing is left but files finished before it."""
    before = contents(pair.diff.parent)
    for run in (
        lambda: recover_exact(pair.base, pair.diff, pair.diff.parent / "out", workers=2),
        lambda: verify_exact(pair.diff, base=pair.base, workers=2),
    ):
        with pytest.raises(AlpacaError) as caught:
            run()
        assert type(caught.value) is kind, caught.value
        assert message in str(caught.value)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1000
    for kept in pair.diff.parent.glob(".out.recovering-*"):
        assert {path.name for path in kept.rglob("*")} == {"lock", "folder", "model-00002-of-00002.safetensors"}
        assert kind is IntegrityError
        shutil.rmtree(kept)
    assert contents(pair.diff.parent) == before
    return caught.value


def _set(*place: str | int, to: object) -> Change:
    """Puts something at a place of the manifest."""

    def change(content: Any) -> None:
        *way, last = place
        for each in way:
            content = content[each]
        content[last] = to

    return change


def _dropped(*place: str | int) -> Change:
    def change(content: Any) -> None:
        *way, last = place
        for each in way:
            content = content[each]
        del content[last]

    return change


OUTSIDE = [
    "../precious/config{}", "..{}", "../{}", "/etc/passwd{}", "a/../../b{}", "a//b{}", "a/./b{}", "..\\b{}", "C:\\b{}",
    "C:b{}", "a\x00b{}", "a\nb{}", "a\u202eb{}", "con{}", "NUL.json{}", "a/aux{}", "com1{}", "a./b{}", "a /b{}", "b{}.",
    "b{} ", "a?{}", "a*b{}", 'a"b{}', "a<b{}", "a|b{}", ".hidden{}", ".alpaca-writing{}", "a/.b{}", "x" * 251 + "{}",
    "é" * 130 + "{}", "a/b/c/d/e{}", "\ud800{}", "", ".", "..",
]  # fmt: skip


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize(
    ("where", "ending"), [("weights", ".safetensors"), ("files", ".json"), ("shards", ".alpacadiff")]
)
def test_names_that_lead_elsewhere(pair: SmallPair, where: str, ending: str, name: str) -> None:
    forge(pair.diff, _set(where, 0, "name", to=name.format(ending)))
    refused(pair, DataError, "malformed manifest: ")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model-2.safetensors", "A/Evil.PT", "consolidated.00.pth"])
def test_weights_that_nothing_proves_are_not_copied(pair: SmallPair, name: str) -> None:
    forge(pair.diff, _set("files", 0, "name", to=name))
    refused(pair, DataError, f"malformed manifest: a file of weights that is not proved: '{name}'")


TWINS = [
    ("config.json", "config.json"), ("config.json", "CONFIG.json"), ("stra\u00dfe.json", "STRASSE.json"),
    ("caf\u00e9.json", "cafe\u0301.json"), ("config.json", "config.json/deep.json"), ("a/b.json", "A"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), TWINS)
def test_names_that_some_system_takes_for_one(pair: SmallPair, one: str, other: str) -> None:
    def change(content: Content) -> None:
        content["files"][0]["name"], content["files"][1]["name"] = one, other

    forge(pair.diff, change)
    refused(pair, DataError, "malformed manifest: two files of one name")


def _header(content: Content, number: int = 0) -> Content:
    found = json.loads(content["weights"][number]["header"])
    assert isinstance(found, dict)
    return found


def _new_header(change: Change) -> Change:
    """Changes the header of the first file of weights."""

    def change_all(content: Content) -> None:
        header = _header(content)
        change(header)
        content["weights"][0]["header"] = json.dumps(header)

    return change_all


FIRST = "model.embed_tokens.weight"
HUGE = 2**60


def _huge(content: Content) -> None:
    """A tensor of 2^60 bytes, said everywhere alike."""
    header = _header(content)
    header[FIRST] |= {"shape": [HUGE // 32, 16], "data_offsets": [0, HUGE]}
    for name, each in header.items():
        if name not in (FIRST, "__metadata__"):
            each["data_offsets"] = [at + HUGE - 48 * 32 for at in each["data_offsets"]]
    content["weights"][0]["header"] = json.dumps(header)
    content["tensors"][0]["shape"] = [HUGE // 32, 16]


def _overlap(content: Content) -> None:
    content["tensors"][1]["diff"]["offset"] -= 1


def _same_place(content: Content) -> None:
    content["tensors"][1]["diff"] = dict(content["tensors"][0]["diff"])


def _swap_tensors(content: Content) -> None:
    content["tensors"][:2] = content["tensors"][1::-1]


# What the manifest says; the class of the error; its message.
SAID: dict[str, tuple[Change, type[AlpacaError], str]] = {
    "a newer version": (_set("version", to=2), UsageError, "a diff of format version 2; this alpaca reads version 1"),
    "version 0": (_set("version", to=0), DataError, "malformed manifest: version: "),
    "version true": (_set("version", to=True), DataError, "malformed manifest: version: "),
    "version 1.0": (_set("version", to=1.5), DataError, "malformed manifest: version: "),
    "no version": (_dropped("version"), DataError, "malformed manifest: version: field required"),
    "another format": (_set("format", to="zip"), DataError, "malformed manifest: format: "),
    "another kind": (_set("kind", to="xor"), DataError, "malformed manifest: kind: "),
    "an additive kind": (_set("kind", to="additive"), DataError, "malformed manifest: its differences are not"),
    "more than is known": (_set("run", to="rm -rf"), DataError, "malformed manifest: run: extra inputs are not perm"),
    "a long field": (_set("x" * 5000, to=1), DataError, "malformed manifest: xxxxx"),
    "a long maker": (_set("made_by", to="x" * 5000), DataError, "malformed manifest: made_by: "),
    "a size that is a text": (_set("shards", 0, "num_bytes", to="12"), DataError, "shards.0.num_bytes: "),
    "a size that is true": (_set("shards", 0, "num_bytes", to=True), DataError, "shards.0.num_bytes: "),
    "a size below 0": (_set("shards", 0, "num_bytes", to=-1), DataError, "shards.0.num_bytes: "),
    "a size with a fraction": (_set("shards", 0, "num_bytes", to=1.5), DataError, "shards.0.num_bytes: "),
    "a size of 2^63": (_set("shards", 0, "num_bytes", to=2**63), DataError, "shards.0.num_bytes: "),
    "a size of 300 digits": (_set("shards", 0, "num_bytes", to=10**300), DataError, "malformed manifest: "),
    "no number": (_set("tensors", 0, "num_changed", to=float("nan")), DataError, "malformed manifest: "),
    "infinity": (_set("tensors", 0, "num_changed", to=float("inf")), DataError, "malformed manifest: "),
    "a list for an object": (_set("base", to=[]), DataError, "malformed manifest: base: "),
    "nothing for a list": (_set("tensors", to=None), DataError, "malformed manifest: tensors: "),
    "half a letter": (_set("made_by", to="\ud800"), DataError, "malformed manifest: "),
    "a digest in capitals": (_set("tensors", 0, "sha256", to="A" * 64), DataError, "tensors.0.sha256: "),
    "too many axes": (_set("tensors", 0, "shape", to=[1] * 65), DataError, "tensors.0.shape: "),
    "an unknown dtype": (_set("tensors", 0, "dtype", to="F4"), DataError, f"tensor '{FIRST}' cannot be so"),
    "another shape than the header": (
        _set("tensors", 0, "shape", to=[16, 48]), DataError, f"malformed manifest: tensor '{FIRST}' cannot be so",
    ),
    "more changed than there are": (
        _set("tensors", 0, "num_changed", to=48 * 16 + 1), DataError, f"tensor '{FIRST}' cannot be so",
    ),
    "a tensor too few": (_dropped("tensors", 3), DataError, "its tensors are not those of its files of weights"),
    "tensors in another order": (_swap_tensors, DataError, "its tensors are not those of its files of weights"),
    "a tensor without a diff": (_set("tensors", 0, "diff", to=None), DataError, f"tensor '{FIRST}' cannot be so"),
    "a shard that there is not": (
        _set("tensors", 0, "diff", "shard", to=2), DataError, "is stored over another one, or behind a gap",
    ),
    "a diff in the head of its shard": (
        _set("tensors", 0, "diff", "offset", to=0), DataError, "is stored over another one, or behind a gap",
    ),
    "a diff over another": (_overlap, DataError, "is stored over another one, or behind a gap"),
    "a diff of two tensors": (_same_place, DataError, "is stored where another one is"),
    "a diff longer than its values": (
        _set("tensors", 0, "diff", "num_bytes", to=2**50), DataError, f"tensor '{FIRST}' cannot be so",
    ),
    "a diff shorter than its blocks": (
        _set("tensors", 0, "diff", "num_bytes", to=4), DataError, f"tensor '{FIRST}' cannot be so",
    ),
    "a shard larger than its diffs": (
        _set("shards", 0, "num_bytes", to=2**50), DataError, f"shard '{SHARD}' holds more or less than its tensors",
    ),
    "a base of other columns": (
        _set("tensors", 0, "base", "shape", to=[48, 17]), DataError, f"tensor '{FIRST}' cannot be so",
    ),
    "a base without axes": (_set("tensors", 0, "base", "shape", to=[]), DataError, f"tensor '{FIRST}' cannot be so"),
    "a base of another kind": (
        _set("tensors", 0, "base", "dtype", to="I16"), DataError, f"tensor '{FIRST}' cannot be so",
    ),
    "a base of two digests": (
        _set("tensors", 1, "base", to={"name": FIRST, "dtype": "BF16", "shape": [16, 16], "sha256": "0" * 64}),
        DataError, f"tensor '{FIRST}' of the base is two things at once",
    ),
    "no header": (_set("weights", 0, "header", to=""), DataError, "model-00001-of-00002.safetensors: "),
    "a header that is none": (_set("weights", 0, "header", to="[1, 2]"), DataError, ".safetensors: "),
    "a name twice in a header": (
        _set("weights", 0, "header", to='{"a": {}, "a": {}}'), DataError, "model-00001-of-00002.safetensors: ",
    ),
    "one header twice": (
        lambda content: content["weights"][1].update(header=content["weights"][0]["header"]), DataError,
        "its tensors are not those of its files of weights",
    ),
    "tensors of a header that overlap": (
        _new_header(_set(FIRST, "data_offsets", to=[4, 1540])), DataError, "model-00001-of-00002.safetensors: ",
    ),
    "a huge shape in a header": (
        _new_header(_set(FIRST, "shape", to=[2**40, 2**40])), DataError, "a shape that fits no disk",
    ),
    "a huge tensor": (_huge, DataError, f"tensor '{FIRST}' cannot be so"),
    "ten thousand files": (
        lambda content: content["weights"].extend(
            {"name": f"{number}.safetensors", "header": "{}"} for number in range(10_000)
        ),
        DataError, "malformed manifest: weights: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_manifest_that_lies(pair: SmallPair, name: str) -> None:
    change, kind, message = SAID[name]
    forge(pair.diff, change)
    refused(pair, kind, message)


def test_a_forged_manifest_that_does_not_lie_is_read(pair: SmallPair) -> None:
    forge(pair.diff, _set("made_by", to="somebody else"))
    recover_exact(pair.base, pair.diff, pair.diff.parent / "out")
    assert contents(pair.diff.parent / "out") == contents(pair.tuned)


# What stands after the first line; the message.
TEXTS: dict[str, tuple[bytes, str]] = {
    "a name twice": (b'"format": "alpaca-diff", "format": "zip"}', "'format' is in it twice"),
    "a second digest": (b'"digest": "0", "version": 1}', "'digest' is in it twice"),
    "deep lists": (b'"made_by": ' + b"[" * 500_000 + b"]" * 500_000 + b"}", "found no JSON"),
    "lists as deep as Python reads": (b'"made_by": ' + b"[" * 900 + b"]" * 900 + b"}", "manifest"),
    "ten million empty tensors": (b'"tensors": [' + b"{}," * 10_000_000 + b"{}]}", "bytes in which no text ends"),
    "ten million tensors": (
        b'"tensors": [' + b'{"a":0},' * 10_000_000 + b"{}]}",
        "parts: no model needs more than 8,388,608",
    ),
    "ten million lists": (b'"tensors": ' + b"[" * 10_000_000, "parts: no model needs more than 8,388,608"),
    "a number of a million digits": (b'"version": ' + b"9" * 1_000_000 + b"}", "found no JSON"),
    "a huge exponent": (b'"format": "alpaca-diff", "version": 1e999999}', "malformed manifest: "),
    "no text": (b'"made_by": "\xff\xfe"}', "found no JSON"),
    "more behind it": (b'"version": 1} {}', "found no JSON"),
    "nothing": (b"", "found no JSON"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_manifest_of_another_text(pair: SmallPair, name: str) -> None:
    rest, message = TEXTS[name]
    write_manifest(pair.diff, rest)
    refused(pair, DataError, message)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("../precious/model.safetensors", "expected the names of shards beside it"),
        ("model-00002-of-00002.safetensors", "1 tensors are not where this index of the diff says"),
        ("other.safetensors", "1 tensors are not where this index of the diff says"),
    ],
)
def test_an_index_that_leads_elsewhere(file: str, message: str, pair: SmallPair) -> None:
    name = "model.safetensors.index.json"
    index = json.loads((pair.diff / "model" / name).read_text())
    index["weight_map"]["model.embed_tokens.weight"] = file
    raw = json.dumps(index).encode()
    (pair.diff / "model" / name).write_bytes(raw)

    def change(content: Content) -> None:
        (said,) = (each for each in content["files"] if each["name"] == name)
        said.update(num_bytes=len(raw), sha256=sha256(raw))

    forge(pair.diff, change)

    refused(pair, DataError, message)


def test_an_additive_manifest_is_nothing_for_exact_code(pair: SmallPair) -> None:
    def change(content: Content) -> None:
        content |= {"kind": "additive", "shards": [], "differences": []}
        for tensor in content["tensors"]:
            tensor["diff"] = None
            content["differences"].append(
                {"name": tensor["name"], "dtype": "F32", "sha256": "0" * 64, "second_base": None,
                 "recovered_sha256": "0" * 64, "num_unequal": 0}
            )  # fmt: skip

    forge(pair.diff, change)
    assert read_manifest(pair.diff)[0].kind == "additive"
    refused(pair, UsageError, "expected an exact diff, found one of kind additive")


def _replace_blocks(pair: SmallPair, raw: bytes) -> None:
    """Puts other bytes in the place of the first tensor's diff, and makes every digest right."""

    def change(content: Content) -> None:
        stored = content["tensors"][0]["diff"]
        shard = (pair.diff / SHARD).read_bytes()
        moved = len(raw) - stored["num_bytes"]
        (pair.diff / SHARD).write_bytes(shard[:16] + raw + shard[16 + stored["num_bytes"] :])
        for tensor in content["tensors"][1:]:
            if tensor["diff"]["shard"] == 0:
                tensor["diff"]["offset"] += moved
        content["shards"][0]["num_bytes"] += moved
        content["tensors"][0]["diff"] |= {"num_bytes": len(raw), "sha256": sha256(raw)}

    forge(pair.diff, change)


def _block(body: bytes, length: int | None = None) -> bytes:
    return (len(body) if length is None else length).to_bytes(4, "little") + body


BLOCKS = {
    "a length of 4 GB": _block(b"\1" * 100, 2**32 - 1),
    "a length beyond its diff": _block(b"\1" * 100, 101),
    "a length of nothing": _block(b"") + b"\0" * 8,
    "an unknown kind": _block(b"\7" + bytes(20)),
    "same, and something": _block(b"\0\0"),
    "rows, all of none": _block(b"\2" + bytes(6)),
    "rows without bits": _block(b"\2\xff"),
    "values too few": _block(b"\3" + bytes(48 * 32 - 1)),
    "a block too many": _block(b"\0") + _block(b"\0"),
    "coded zeros": _block(b"\1" + bytes(1000)),
    "coded ones": _block(b"\1" + b"\xff" * 1000),
    "another model": _block(b"\3" + bytes(48 * 32)),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_that_lie(pair: SmallPair, name: str) -> None:
    _replace_blocks(pair, BLOCKS[name])
    error = refused(pair, IntegrityError, f"{FIRST} comes out otherwise than the manifest says")
    assert error.problems[0].hint == "ask whoever made the diff to make it again"


def test_random_blocks_never_come_out_right(pair: SmallPair) -> None:
    rng = np.random.default_rng(4)
    right = (pair.diff / SHARD).read_bytes()[16:][: read_manifest(pair.diff)[0].tensors[0].diff.num_bytes]  # type: ignore[union-attr]
    for _ in range(60):
        raw = bytearray(right)
        for _ in range(rng.integers(1, 5)):
            raw[rng.integers(4, len(raw))] = rng.integers(256)
        if raw != right:
            _replace_blocks(pair, bytes(raw))
            refused(pair, IntegrityError, f"{FIRST} comes out otherwise than the manifest says")


def _link(path: Path, target: Path) -> None:
    """The file or folder moves to `target`, and a link to it stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    path.rename(target)
    path.symlink_to(target)


@pytest.mark.parametrize("name", [MANIFEST, SHARD, f"{MODEL_FILES}/config.json", MODEL_FILES])
def test_links_that_lead_out_of_a_diff(pair: SmallPair, name: str) -> None:
    _link(pair.diff / name, pair.base / "moved")
    refused(pair, UsageError, "a link that leads out of the folder of the diff, to ")


@pytest.mark.parametrize("name", [MANIFEST, SHARD, f"{MODEL_FILES}/config.json"])
def test_links_that_lead_nowhere(pair: SmallPair, name: str) -> None:
    (pair.diff / name).unlink()
    (pair.diff / name).symlink_to(name.rpartition("/")[2])
    error = refused(pair, UsageError, "")
    assert "shards of the diff are missing" in str(error) or "a circle of links" in str(error)


PIPES = [
    f"diff/{MANIFEST}", f"diff/{SHARD}", f"diff/{MODEL_FILES}/config.json", "base/model-00001-of-00002.safetensors",
    "base/model.safetensors.index.json",
]  # fmt: skip


@pytest.mark.parametrize("name", PIPES)
def test_a_pipe_is_not_waited_for(pair: SmallPair, name: str) -> None:
    path = pair.diff.parent / name
    path.unlink()
    os.mkfifo(path)
    refused(pair, UsageError, "found a device or pipe")


def test_a_diff_in_a_cache_of_hugging_face_is_read(pair: SmallPair, tmp_path: Path) -> None:
    """There every file is a link into `blobs`, also those in a subfolder."""
    cache = tmp_path / "cache"
    folders = {}
    for name in ("base", "diff"):
        snapshot = cache / f"models--me--{name}" / "snapshots" / "0123"
        blobs = snapshot.parent.parent / "blobs"
        blobs.mkdir(parents=True)
        for path in [path for path in getattr(pair, name).rglob("*") if path.is_file()]:
            link = snapshot / path.relative_to(getattr(pair, name))
            blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
            link.parent.mkdir(parents=True, exist_ok=True)
            path.rename(blob)
            link.symlink_to(os.path.relpath(blob, link.parent))
        folders[name] = snapshot

    recover_exact(folders["base"], folders["diff"], pair.diff.parent / "out")

    assert contents(pair.diff.parent / "out") == contents(pair.tuned)


def test_a_link_from_a_cache_to_elsewhere_is_refused(pair: SmallPair, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "models--me--diff" / "snapshots" / "0123"
    shutil.copytree(pair.diff, snapshot)
    (snapshot / MODEL_FILES / "config.json").unlink()
    (snapshot / MODEL_FILES / "config.json").symlink_to(pair.diff / MODEL_FILES / "config.json")
    with pytest.raises(UsageError, match="a link that leads out of the folder of the diff"):
        recover_exact(pair.base, snapshot, pair.diff.parent / "out")


# Which folders are named (of base, diff, out; link leads to base), and what is said.
ENTANGLED = [
    ("base", "base", "out", "base and diff are the same folder"),
    ("base", "link", "out", "base and diff are the same folder"),
    ("base", "diff", "base", "base and output are the same folder"),
    ("base", "diff", "diff", "diff and output are the same folder"),
    ("base", "diff", "link", "base and output are the same folder"),
    ("base", "diff", "base/out", "the output lies in the folder of the base"),
    ("base", "diff", "link/out", "the output lies in the folder of the base"),
    ("base", "diff", "diff/model/out", "the output lies in the folder of the diff"),
    ("base", "diff", "../work", "the base lies in the folder of the output"),
    ("base", "diff", "diff/../base/./out", "the output lies in the folder of the base"),
    ("diff/model", "diff", "out", "the base lies in the folder of the diff"),
]


@pytest.mark.parametrize(("base", "diff", "out", "message"), ENTANGLED)
def test_folders_in_one_another(
    pair: SmallPair, alpaca: Callable[..., Outcome], base: str, diff: str, out: str, message: str
) -> None:
    work = pair.diff.parent
    (work / "link").symlink_to(pair.base)
    before = contents(work)
    for name, words in (("recover", ["--diff", work / diff]), ("make", ["--tuned", work / diff])):
        outcome = alpaca("diff", name, "--base", work / base, *words, "--out", work / out)
        assert outcome.code == 2
        assert message.replace("diff", "diff" if name == "recover" else "tuned model") in outcome.err
        assert "hint: give each a folder of its own\n" in outcome.err
        assert contents(work) == before


def _a_file(out: Path) -> None:
    out.write_text("mine")


def _a_full_folder(out: Path) -> None:
    out.mkdir()
    (out / ".hidden").write_text("mine")


def _a_link_to_nowhere(out: Path) -> None:
    out.symlink_to("nowhere")


def _a_circle(out: Path) -> None:
    out.symlink_to(out.name)


def _a_pipe(out: Path) -> None:
    os.mkfifo(out)


TAKEN: list[tuple[Callable[[Path], None], str]] = [
    (_a_file, "the output exists, and is no folder\nhint: nothing is ever overwritten or deleted: name a new folder\n"),
    (_a_pipe, "the output exists, and is no folder\nhint: nothing is ever overwritten or deleted: name a new folder\n"),
    (
        _a_full_folder,
        "the output folder is not empty\nhint: nothing is ever overwritten or deleted: name a new folder\n",
    ),
    (_a_link_to_nowhere, "a link that leads nowhere is here\nhint: choose another name, or remove the link\n"),
    (_a_circle, "no folder can be here: a circle of links\nhint: name another folder\n"),
]


@pytest.mark.parametrize(("take", "message"), TAKEN)
def test_a_target_that_is_taken(
    pair: SmallPair, alpaca: Callable[..., Outcome], take: Callable[[Path], None], message: str
) -> None:
    out = pair.diff.parent / "out"
    take(out)
    before = contents(pair.diff.parent)
    for words in (["recover", "--diff", pair.diff], ["make", "--tuned", pair.tuned]):
        outcome = alpaca("diff", *words, "--base", pair.base, "--out", out)
        assert outcome.code == 2
        assert outcome.err.endswith(f"{out}: {message}")
        assert contents(pair.diff.parent) == before


def test_an_empty_folder_is_a_target_also_behind_a_link(pair: SmallPair) -> None:
    work = pair.diff.parent
    (work / "out").mkdir()
    (work / "link").symlink_to("out")
    recover_exact(pair.base, pair.diff, work / "link")
    assert (work / "link").is_symlink()
    assert contents(work / "out") == contents(pair.tuned)


def test_the_working_folder_is_no_target(pair: SmallPair, monkeypatch: pytest.MonkeyPatch) -> None:
    (pair.diff.parent / "out").mkdir()
    monkeypatch.chdir(pair.diff.parent / "out")
    with pytest.raises(UsageError, match="the output is the working folder, which cannot be replaced"):
        recover_exact(pair.base, pair.diff, Path())


def test_make_keeps_no_file_that_recover_would_refuse(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "tuned", base_tensors(layers=1))
    (folder / "Config.json").write_text("a twin of config.json on a Mac")
    (folder / "con.json").write_text("a device of Windows")
    (folder / "a:b.json").write_text("")
    (folder / "LICENSE.bin").write_text("")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool.jinja").write_text("")
    (folder / "additional_chat_templates" / "what?.jinja").write_text("")

    kept, left_out = find_others(read_folder(folder))

    assert kept == ["Config.json", "additional_chat_templates/tool.jinja", "tokenizer.json"]
    assert left_out == ["LICENSE.bin", "a:b.json", "additional_chat_templates/what?.jinja", "con.json", "config.json"]


@pytest.mark.slow
def test_a_manifest_of_as_many_tensors_as_make_takes_is_read(tmp_path: Path) -> None:
    """As a large mixture of experts has; of its names and digests only the length counts here."""
    names = [
        f"model.layers.{number // 800}.mlp.experts.{number % 800}.down_proj.weight" for number in range(MOST_TENSORS)
    ]
    digest = "0123456789abcdef" * 4
    base = [BaseTensor(name=name, dtype="BF16", shape=(4, 4), sha256=digest) for name in names]
    tensors = [
        TunedTensor(
            name=each.name, dtype="BF16", shape=(4, 4), sha256=digest, base=each, num_changed=0,
            diff=Stored(shard=0, offset=16 + 5 * number, num_bytes=5, sha256=digest),
        )
        for number, each in enumerate(base)
    ]  # fmt: skip
    files = [
        WeightFile(
            name=f"model-{first}.safetensors",
            header=header_text([(name, "BF16", (4, 4)) for name in names[first : first + 600]]).decode(),
        )
        for first in range(0, len(names), 600)
    ]
    model = Model(name="m", num_bytes=3_200_000, num_values=1_600_000)
    manifest = Manifest(
        format="alpaca-diff", version=1, kind="exact", made_by="x", base=model, tuned=model, weights=tuple(files),
        files=(), shards=(Shard(name="s.alpacadiff", num_bytes=16 + 5 * len(names)),), tensors=tuple(tensors),
    )  # fmt: skip
    (tmp_path / MANIFEST).write_bytes(written(manifest))
    assert read_manifest(tmp_path)[0] == manifest


BOMB = """
import sys
from pathlib import Path
from alpaca_cli.diff.recover import recover_exact
from alpaca_cli.errors import AlpacaError

base, diff, out = map(Path, sys.argv[1:])
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024
before = peak()
try:
    recover_exact(base, diff, out, workers=2)
except AlpacaError as error:
    print(type(error).__name__, peak() - before, error, sep="|")
"""


def _one_text(diff: Path) -> None:
    write_manifest(diff, b'"made_by": "\\ud83d\\ude00' + b"x" * (LONGEST - 200) + b'"}')


def _texts(diff: Path) -> None:
    text = b'"\\ud83d\\ude00' + b"x" * (15 << 20) + b'"'
    write_manifest(diff, b'"made_by": [' + b",".join([text] * 6) + b"]}")


def _many_parts(diff: Path) -> None:
    write_manifest(diff, b'"tensors": [' + b"[]," * 3_100_000 + b"[]]}")


def _many_objects(diff: Path) -> None:
    write_manifest(diff, b'"tensors": [' + b'{"name": 1},' * 2_000_000 + b"{}]}")


def _endless(diff: Path) -> None:
    with (diff / MANIFEST).open("r+b") as stream:
        stream.truncate(1 << 42)


def _endless_shard(diff: Path) -> None:
    with (diff / SHARD).open("r+b") as stream:
        stream.truncate(1 << 42)


def _endless_config(diff: Path) -> None:
    with (diff / MODEL_FILES / "config.json").open("r+b") as stream:
        stream.truncate(1 << 42)
    forge(diff, _set("files", 0, "num_bytes", to=1 << 42))


def _endless_tensor(diff: Path) -> None:
    """Zeros without end, from a diff that says so in a few bytes a block."""

    def change(content: Content) -> None:
        _huge(content)
        content["tensors"][0]["base"] = None
        content["tensors"][0]["diff"] |= {"num_bytes": 5 * HUGE // 2**21, "offset": 16}

    forge(diff, change)


# Name; the class of the error; its message; megabytes that it may take beyond what the program itself does.
BOMBS: list[tuple[Callable[[Path], None], str, str, int]] = [
    (_one_text, "DataError", "malformed manifest: more than 16,777,216 bytes in which no text ends", 400),
    (_texts, "DataError", "malformed manifest: ", 800),
    (_many_parts, "DataError", "malformed manifest: ", 500),
    (_many_objects, "DataError", "malformed manifest: ", 800),
    (_endless, "DataError", "expected a manifest of at most ", 20),
    (_endless_shard, "DataError", "longer than it was made: expected ", 20),
    (_endless_config, "UsageError", "expected at most 268,435,456 bytes in a file that holds no weights", 20),
    (_endless_tensor, "DataError", "malformed manifest", 20),
]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from Linux")
@pytest.mark.parametrize(("plant", "kind", "message", "most"), BOMBS)
def test_bombs_take_little_memory_and_time(
    pair: SmallPair, plant: Callable[[Path], None], kind: str, message: str, most: int
) -> None:
    plant(pair.diff)
    arguments = [str(pair.base), str(pair.diff), str(pair.diff.parent / "out")]
    done = subprocess.run(
        [sys.executable, "-c", BOMB, *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    found, peak, told = done.stdout.split("|", 2)
    assert found == kind, done.stdout
    assert message in told
    assert int(peak) < most, peak
    assert not (pair.diff.parent / "out").exists()
