"""Every kind of tokenizer gives the ids that transformers gives, before and after it is written, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.errors import AlpacaError, DataError, UsageError
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer, open_tokenizer
from finetune.tokenizer_folders import (
    SENTENCES,
    TEXTS,
    byte_level,
    generic,
    model_folder,
    opt,
    pieces,
    sentencepiece_folder,
)

ROOT = Path(__file__).resolve().parent.parent.parent
GENERIC = {"tokenizer_class": "TokenizersBackend"}
CANNOT = "cannot open the tokenizer: "
BAD_CONVERSION = {"tokenizer_class": "LLaMATokenizer", **dict.fromkeys(("bos_token", "eos_token", "unk_token"), "")}


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all tests here: what transformers has opened once, it need not open again."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_CACHE", str(shared_cache))


def auto(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def llama(folder: Path) -> Path:
    return sentencepiece_folder(folder, tokenizer_class="LlamaTokenizer", add_bos_token=True)


def llama_rebuilt(folder: Path) -> Path:
    """A tokenizer.json whose class transformers builds anew from its vocabulary."""
    made = llama(folder.with_name("pieces"))
    auto(made).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "LlamaTokenizer"
    (folder / "config.json").write_bytes((made / "config.json").read_bytes())
    return folder


@pytest.mark.parametrize("make", [generic, llama, llama_rebuilt, opt], ids=lambda make: make.__name__)
def test_ids_are_those_of_transformers_here_and_where_it_is_saved(make: Callable[[Path], Path], tmp_path: Path) -> None:
    model = make(tmp_path / "model")
    theirs = auto(model)
    ours = open_tokenizer(model, "none")
    saved = tmp_path / "saved"
    ours.save(saved, "{{ 'a template' }}")
    (saved / "config.json").write_bytes((model / "config.json").read_bytes())
    again = auto(saved)

    assert ours.encode(TEXTS) == theirs(TEXTS).input_ids == again(TEXTS).input_ids
    assert (ours.bos_id, ours.eos_id) == (theirs.bos_token_id, theirs.eos_token_id)
    assert (again.bos_token, again.eos_token, again.pad_token) == (theirs.bos_token, ours.eos, theirs.pad_token)
    assert ours.num_tokens == len(theirs) == len(again)
    assert again.chat_template == "{{ 'a template' }}"
    assert again.padding_side == "left"
    assert again.decode(again(SENTENCES[3]).input_ids, skip_special_tokens=True) == SENTENCES[3]
    assert ours.notes == ()


def test_a_llama_with_empty_names_is_the_same_as_a_well_named_one(tmp_path: Path) -> None:
    bad = sentencepiece_folder(tmp_path / "bad", **BAD_CONVERSION, model_max_length=1e30)
    (bad / "special_tokens_map.json").write_text("{}")
    good = open_tokenizer(llama(tmp_path / "good"), "add")
    found = open_tokenizer(bad, "add")

    assert found.digest == good.digest
    assert (found.bos_id, found.eos_id, found.pad_id, found.num_tokens) == (1, 2, 400, 401)
    assert found.encode(["a</s>"])[0][0] == 1
    assert found.encode(["a</s>"])[0][-1] == 2
    assert found.model_max_length is None
    assert found.notes == (
        "the tokenizer names no bos_token: <s> of its vocabulary is taken",
        "the tokenizer names no eos_token: </s> of its vocabulary is taken",
    )
    found.save(tmp_path / "saved", "")
    assert (tmp_path / "saved" / "tokenizer.model").read_bytes() == pieces()
    assert json.loads((tmp_path / "saved" / "added_tokens.json").read_text()) == {"[PAD]": 400}
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "llama"}')
    again = auto(tmp_path / "saved")
    assert (again.pad_token, again.pad_token_id, len(again)) == ("[PAD]", 400, 401)
    assert again(TEXTS).input_ids == found.encode(TEXTS)


@pytest.mark.parametrize("named", [{"eos_token": ""}, {"eos_token": None}, {"eos_token": {"content": ""}}])
def test_a_missing_end_is_taken_from_the_vocabulary(named: dict[str, Any], tmp_path: Path) -> None:
    found = open_tokenizer(generic(tmp_path / "model", **named), "none")

    assert (found.eos, found.eos_id) == ("</s>", 1)
    assert found.notes == ("the tokenizer names no eos_token: </s> of its vocabulary is taken",)


def test_a_tokenizer_without_any_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALPACA_CACHE", str(tmp_path / "cache"))
    model = generic(tmp_path / "model", byte_level(special=("<s>",)), eos_token=None)

    with pytest.raises(UsageError, match="no end-of-sequence token in this tokenizer") as caught:
        open_tokenizer(model, "none")
    assert caught.value.problems[0].where == str(model)
    assert caught.value.problems[0].hint is not None
    assert [path.suffix for path in (tmp_path / "cache" / "tokenizers").iterdir()] == [".lock"]


def test_an_end_that_is_in_no_vocabulary_is_added(tmp_path: Path) -> None:
    plain = byte_level()
    found = open_tokenizer(generic(tmp_path / "model", plain, eos_token="<end>"), "none")

    assert (found.eos_id, found.num_tokens) == (plain.get_vocab_size(), plain.get_vocab_size() + 1)
    assert found.encode(["a<end>"])[0][-1] == found.eos_id
    assert found.notes == ("eos_token <end> is in no vocabulary: added",)


def test_special_tokens_map_goes_before_the_configuration(tmp_path: Path) -> None:
    model = generic(tmp_path / "model", byte_level(special=("<s>", "</s>", "<end>")))
    (model / "special_tokens_map.json").write_text('{"eos_token": {"content": "<end>", "lstrip": false}}')

    assert open_tokenizer(model, "none").eos == "<end>" == auto(model).eos_token


@pytest.mark.parametrize(
    ("special", "config", "pad", "is_added", "growth"),
    [
        (("<s>", "</s>"), {}, "[PAD]", True, 1),
        (("<s>", "</s>", "<pad>"), {"pad_token": "<pad>"}, "<pad>", False, 0),
        (("<s>", "</s>"), {"pad_token": "</s>"}, "</s>", False, 0),
        (("<s>", "</s>", "[PAD]"), {"pad_token": ""}, "[PAD]", False, 0),
    ],
)
def test_padding_is_added_only_where_there_is_none(
    special: tuple[str, ...], config: dict[str, str], pad: str, is_added: bool, growth: int, tmp_path: Path
) -> None:
    tokenizer = byte_level(special=special)
    model = generic(tmp_path / "model", tokenizer, **config)
    found = open_tokenizer(model, "add")
    left = open_tokenizer(model, "none")

    assert (found.named["pad_token"], found.added_pad) == (pad, is_added)
    assert found.num_tokens == tokenizer.get_vocab_size() + growth
    assert left.num_tokens == tokenizer.get_vocab_size()
    assert left.named.get("pad_token") == (config.get("pad_token") or None)
    assert found.encode([pad], is_opened=True) == [[found.pad_id]]


@pytest.mark.parametrize("opening", [True, False])
def test_a_tokenizer_that_ends_every_text_does_so_no_more(opening: bool, tmp_path: Path) -> None:
    found = open_tokenizer(generic(tmp_path / "model", byte_level(opening=opening, closing=True)), "none")
    plain = byte_level(opening=opening)

    assert found.encode(["a b</s>"]) == [plain.encode("a b</s>").ids]
    assert found.opening == ("<s>" if opening else "")
    assert found.notes == ("the tokenizer ends every text with </s>: it does so no more",)
    found.save(tmp_path / "saved", "")
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "llama"}')
    assert auto(tmp_path / "saved")("a b").input_ids == plain.encode("a b").ids


def test_truncation_and_padding_of_the_file_are_not_kept(tmp_path: Path) -> None:
    tokenizer = byte_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding()
    found = open_tokenizer(generic(tmp_path / "model", tokenizer), "none")

    assert found.encode(["a", SENTENCES[0]]) == [byte_level().encode("a").ids, byte_level().encode(SENTENCES[0]).ids]


def test_the_second_time_nothing_is_made(tmp_path: Path) -> None:
    model = generic(tmp_path / "model")
    first = open_tokenizer(model, "none")
    made = (first.folder / "tokenizer.json").stat().st_ino

    assert open_tokenizer(model, "none") == first
    assert (first.folder / "tokenizer.json").stat().st_ino == made
    (model / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<s>"}')
    assert open_tokenizer(model, "none").digest != first.digest


def test_what_is_kept_is_made_again_when_it_is_torn(tmp_path: Path) -> None:
    model = generic(tmp_path / "model")
    first = open_tokenizer(model, "none")
    for path in sorted(first.folder.iterdir()):
        raw = path.read_bytes()
        path.write_bytes(raw[: len(raw) // 2])
        assert open_tokenizer(model, "none") == first
        assert path.read_bytes() == raw


@pytest.mark.parametrize(
    ("files", "kind", "message"),
    [
        ({}, UsageError, "no tokenizer in this model folder"),
        ({"tokenizer.json": b"{", "tokenizer_config.json": GENERIC}, UsageError, CANNOT),
        ({"tokenizer.model": b"no pieces"}, UsageError, CANNOT),
        ({"tokenizer.json": b"{}", "tokenizer_config.json": b"{'a'"}, DataError, "not JSON: "),
        ({"tokenizer.json": b"{}", "tokenizer_config.json": b"[]"}, DataError, "expected a JSON object"),
    ],
    ids=["none", "broken json", "broken pieces", "broken settings", "no object"],
)  # fmt: skip
def test_a_folder_whose_tokenizer_cannot_be_opened(
    files: dict[str, Any], kind: type[AlpacaError], message: str, tmp_path: Path
) -> None:
    model = model_folder(tmp_path / "model", files)

    with pytest.raises(kind, match=message) as caught:
        open_tokenizer(model, "none")
    (problem,) = caught.value.problems
    assert problem.where is not None
    assert problem.where.startswith(str(model))
    assert "\n" not in problem.message


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    generic(tmp_path / "llama-7b")
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match="no such model folder") as caught:
        open_tokenizer(tmp_path / "llama-7", "none")
    assert caught.value.problems[0].hint == f"did you mean {tmp_path / 'llama-7b'}?"
    with pytest.raises(UsageError, match="expected a model folder, found a file"):
        open_tokenizer(tmp_path / "file", "none")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("ALPACA_CACHE", str(tmp_path / "file"))

    with pytest.raises(UsageError, match="cannot write") as caught:
        open_tokenizer(generic(tmp_path / "model"), "none")
    assert "ALPACA_CACHE" in (caught.value.problems[0].hint or "")


def test_the_cache_lies_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = generic(tmp_path / "model")

    def place() -> Path:
        return open_tokenizer(model, "none").folder.parent

    monkeypatch.setenv("ALPACA_CACHE", str(tmp_path / "own"))
    assert place() == tmp_path / "own" / "tokenizers"
    monkeypatch.delenv("ALPACA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert place() == tmp_path / "xdg" / "alpaca" / "tokenizers"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert place() == tmp_path / "home" / ".cache" / "alpaca" / "tokenizers"


def test_neither_torch_nor_transformers_is_loaded(tmp_path: Path) -> None:
    """Not even where transformers has to open the tokenizer, and whatever lies in the working folder."""
    model = llama(tmp_path / "model")
    (tmp_path / "transformers.py").write_text("raise ImportError('a file of the user')")
    data = tmp_path / "data.jsonl"
    data.write_text('{"instruction": "Add.", "output": "3"}\n')
    code = (
        "import sys; from pathlib import Path\n"
        "from alpaca_cli.finetune.tokens.chat_template import chat_template\n"
        "from alpaca_cli.finetune.tokens.tokenizer import open_tokenizer\n"
        "from alpaca_cli.finetune.tokens.token_set import make_tokens\n"
        "from alpaca_cli.format.template import alpaca_template\n"
        "from alpaca_cli.recipe.finetune import DataSettings\n"
        "tokenizer = open_tokenizer(Path(sys.argv[1]), 'add')\n"
        "chat_template(alpaca_template(), tokenizer)\n"
        "make_tokens(Path(sys.argv[2]), alpaca_template(), tokenizer, DataSettings())\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", code, str(model), str(data)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")


def test_an_opening_that_is_written_out_is_the_one_that_is_put_before(tmp_path: Path) -> None:
    for tokenizer in (
        open_tokenizer(generic(tmp_path / "bytes"), "none"),
        open_tokenizer(llama(tmp_path / "pieces"), "none"),
    ):
        assert isinstance(tokenizer, Tokenizer)
        assert tokenizer.opening == "<s>"
        assert tokenizer.encode([f"<s>{text}" for text in TEXTS], is_opened=True) == tokenizer.encode(TEXTS)
