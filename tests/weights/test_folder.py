"""Which files of a folder are a model's weights, what is in them, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.weights.folder import ROTARY, list_files, read_folder

AGAIN = "download it again"
ONE, TWO = {"a": torch.ones(3), "b": torch.zeros(2, 2)}, {"c": torch.arange(4)}


@pytest.fixture
def model() -> Path:
    folder = Path("model")
    folder.mkdir()
    return folder


def shard(folder: Path, kind: str = "safetensors", **changes: Any) -> Path:
    """Two shards with their index; `changes`: to its weight_map.  The first shard has the later name."""
    stem, suffix = {"safetensors": ("model", "safetensors"), "bin": ("pytorch_model", "bin")}[kind]
    names = dict.fromkeys(ONE, f"{stem}-2-of-2.{suffix}") | dict.fromkeys(TWO, f"{stem}-1-of-2.{suffix}")
    for tensors in (ONE, TWO):
        path = folder / names[next(iter(tensors))]
        save_file(tensors, path) if kind == "safetensors" else torch.save(tensors, path)
    index = folder / f"{stem}.{suffix}.index.json"
    weight_map = {name: file for name, file in (names | changes).items() if file is not None}
    index.write_text(json.dumps({"metadata": {"total_size": 60}, "weight_map": weight_map}))
    return index


def refused(folder: Path, kind: type[AlpacaError], message: str, where: Path | None = None, hint: str = "") -> None:
    with pytest.raises(kind) as caught:
        read_folder(folder, "base")
    (problem,) = caught.value.problems
    assert message in problem.message
    assert "\n" not in problem.message and len(problem.message) < 500
    assert problem.where == str(where or folder)
    assert hint in (problem.hint or "")


def test_one_file_is_read_in_the_order_of_its_bytes(model: Path) -> None:
    save_file(ONE, model / "model.safetensors")

    found = read_folder(model, "base")

    assert (found.path, found.files, found.kind) == (model, (model / "model.safetensors",), "safetensors")
    assert sorted(found.tensors) == ["a", "b"]
    assert [each.offset for each in found.tensors.values()] == sorted(each.offset for each in found.tensors.values())
    assert found.num_bytes == (model / "model.safetensors").stat().st_size
    assert found.shared == {}


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_shards_are_read_in_the_order_of_their_names(model: Path, kind: str) -> None:
    index = shard(model, kind)

    found = read_folder(model, "base")

    assert found.kind == kind
    assert [file.stem[-6:] for file in found.files] == ["1-of-2", "2-of-2"]
    assert next(iter(found.tensors)) == "c" and sorted(found.tensors) == ["a", "b", "c"]
    assert found.num_bytes == sum(file.stat().st_size for file in found.files)
    named = json.loads(index.read_text())["weight_map"]
    assert list_files(model) == (kind, found.files, named)


def test_of_several_weights_those_that_transformers_takes_are_read(model: Path) -> None:
    shard(model, "bin")
    torch.save({"single": torch.ones(1)}, model / "pytorch_model.bin")
    assert list(read_folder(model).tensors) == ["single"]
    shard(model, "safetensors")
    assert next(iter(read_folder(model).tensors)) == "c"
    save_file({"one": torch.ones(1)}, model / "model.safetensors")
    assert list(read_folder(model).tensors) == ["one"]


def test_tied_weights_of_bin_files_are_told(model: Path) -> None:
    whole = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "embed": whole,
        "turned": whole.t(),
        "head": whole,
        "row": whole[0],
        "none": whole[:0],
        "zero": whole[:0],
    }
    torch.save(tensors, model / "pytorch_model.bin")

    found = read_folder(model)

    assert found.shared == {"head": "embed"}
    assert list(found.tensors) == ["embed", "turned", "head", "row", "none", "zero"]


def test_buffers_of_old_versions_are_known() -> None:
    buffers = ["model.layers.0.self_attn.rotary_emb.inv_freq", "h.3.attn.bias", "h.3.attn.masked_bias"]
    assert all(ROTARY.search(name) for name in buffers)
    assert not any(ROTARY.search(name) for name in ("h.3.attn.c_attn.bias", "model.embed_tokens.weight", "attn.weight"))


def test_a_folder_that_is_not_there_is_told_with_what_to_do(model: Path) -> None:
    hub = Path("huggyllama/llama-7b")
    refused(hub, UsageError, "expected the folder of the base, no such folder", hint="hf download huggyllama/llama-7b")
    refused(Path("modell"), UsageError, "no such folder", hint="did you mean model?")
    (model / "config.json").touch()
    refused(model / "config.json", UsageError, "found a file")


def test_a_folder_without_weights_is_told_by_what_it_has_instead(model: Path) -> None:
    none = "no weights in the folder of the base"
    refused(model, UsageError, none, hint="name a folder with model.safetensors")
    (model / "model-00001-of-00002.safetensors").touch()
    refused(model, UsageError, none, hint="the index of its shards is missing")
    (model / "consolidated.00.pth").touch()
    refused(model, UsageError, none, hint="convert them to Hugging Face layout")
    (model / "adapter_config.json").touch()
    refused(model, UsageError, none, hint="a LoRA adapter: merge it")


@pytest.mark.parametrize(
    "name",
    ["../model-1.safetensors", "/etc/passwd", "..", ".", "", "a/b.safetensors", "a\\b.safetensors", "x\0.safetensors",
     "x\n.safetensors", "x.bin", "x", "x" * 300 + ".safetensors", 1, None, True, ["x.safetensors"], {}, 10**400],
)  # fmt: skip
def test_an_index_that_leads_out_of_its_folder_is_refused(model: Path, name: Any) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": name}}))
    refused(model, DataError, "expected the names of shards beside it, found", index, AGAIN)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected the index of a model's shards, found no JSON object"),
        ("{", "expected the index of a model's shards, found no JSON"),
        ('{"weight_map": {}}', "expected the index of a model's shards"),
        ('{"weight_map": []}', "expected the index of a model's shards"),
        ('{"a": 1}', "expected the index of a model's shards"),
        ('{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}', "'a' is in it twice"),
        ("[" * 100_000, "found no JSON"),
        ("version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        ("<html>", "a web page"),
        ("", "an empty file"),
    ],
)
def test_what_is_no_index_is_refused(model: Path, text: str, message: str) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(text)
    refused(model, DataError, message, index)


def test_an_endless_index_is_refused_unread(model: Path) -> None:
    index = model / "model.safetensors.index.json"
    index.write_text(" ")
    os.truncate(index, 2**40)
    refused(model, DataError, "no model needs more than", index, AGAIN)


def test_missing_shards_are_counted(model: Path) -> None:
    shard(model)
    (model / "model-1-of-2.safetensors").unlink()
    refused(model, UsageError, "1 of 2 shards are missing: model-1-of-2.safetensors", hint="download them beside")
    (model / "model-2-of-2.safetensors").unlink()
    refused(model, UsageError, "2 of 2 shards are missing: model-1-of-2.safetensors and 1 more", hint="download them")


def test_shards_that_are_not_those_of_the_index_are_told(model: Path) -> None:
    shard(model, d="model-1-of-2.safetensors")
    refused(
        model, DataError, "1 of 4 tensors are not where the index says: 'd' should be in", hint="download the folder"
    )
    shard(model, c="model-2-of-2.safetensors", a="model-1-of-2.safetensors")
    refused(model, DataError, "2 of 3 tensors are not where the index says: 'a' should be in model-1-of-2")
    one, two = model / "model-1-of-2.safetensors", model / "model-2-of-2.safetensors"
    shard(model)
    one.rename(model / "swap")
    two.rename(one)
    (model / "swap").rename(two)
    refused(model, DataError, "3 of 3 tensors are not where the index says")


def test_a_tensor_that_the_index_leaves_out_is_read_all_the_same(model: Path) -> None:
    shard(model, a=None)
    assert sorted(read_folder(model).tensors) == ["a", "b", "c"]


def test_a_tensor_in_two_files_is_refused(model: Path) -> None:
    shard(model)
    save_file(TWO | {"a": torch.ones(3)}, model / "model-1-of-2.safetensors")
    path = model / "model-2-of-2.safetensors"
    refused(model, DataError, "tensor 'a' is in model-1-of-2.safetensors too", path, AGAIN)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_links_within_the_folder_and_into_the_hubs_cache_are_followed(kind: str) -> None:
    cache = Path("models--some--model")
    snapshot, blobs = cache / "snapshots" / "0123", cache / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    shard(snapshot, kind)
    for number, file in enumerate(sorted(snapshot.iterdir())):
        file.rename(blobs / str(number))
        file.symlink_to(f"../../blobs/{number}")
    assert sorted(read_folder(snapshot).tensors) == ["a", "b", "c"]
    Path("named otherwise").symlink_to(snapshot)
    assert sorted(read_folder(Path("named otherwise")).tensors) == ["a", "b", "c"]

    for file in snapshot.iterdir():
        file.rename(snapshot / f"real {file.name}")
        file.symlink_to(f"real {file.name}")
    assert sorted(read_folder(snapshot).tensors) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json", "model-2-of-2.safetensors"])
def test_links_that_lead_out_are_refused(model: Path, name: str) -> None:
    shard(model)
    elsewhere = Path("elsewhere").resolve()
    save_file(ONE, elsewhere)
    (model / name).unlink(missing_ok=True)
    (model / name).symlink_to(elsewhere)
    message = f"a link that leads out of the folder of the base, to {elsewhere}"
    refused(model, UsageError, message, model / name, "put the file itself there")


def test_links_into_anything_that_is_called_blobs_are_refused() -> None:
    model = Path("x/snapshots/model")
    model.mkdir(parents=True)
    for place in (Path("blobs"), Path("x/snapshots/blobs"), Path("x/blobs/deep")):
        place.mkdir(parents=True)
        save_file(ONE, place / "0")
        (model / "model.safetensors").unlink(missing_ok=True)
        (model / "model.safetensors").symlink_to((place / "0").resolve())
        refused(model, UsageError, "leads out of the folder", model / "model.safetensors")


def test_links_that_lead_nowhere_or_in_a_circle_are_told(model: Path) -> None:
    path = model / "model.safetensors"
    path.symlink_to("none")
    refused(model, UsageError, "cannot read this file of the base: no such file", path)
    path.unlink()
    path.symlink_to("model.safetensors")
    refused(model, UsageError, "cannot read", path if path.is_symlink() else model)


def test_pipes_and_folders_in_the_place_of_weights_are_refused_without_waiting(model: Path) -> None:
    path = model / "model.safetensors"
    os.mkfifo(path)
    refused(model, UsageError, "found a device or pipe", path)
    path.unlink()
    path.mkdir()
    refused(model, UsageError, "found a directory", path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_what_is_downloaded_in_the_place_of_weights_is_named(model: Path, name: str) -> None:
    (model / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 13476835328\n")
    refused(model, DataError, "a Git LFS pointer", model / name, "git lfs pull")
