"""The files of a model folder that make its tokenizer, and what transformers makes of them, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tokenizers

from alpaca_cli.data.files import nearest_name, read_bytes, sha256
from alpaca_cli.errors import DataError, UsageError
from alpaca_cli.finetune.tokens.special_tokens import NAMES

_NAMES = (
    "config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "tokenizer.json", "tokenizer.model", "tiktoken.model", "tekken.json", "spiece.model", "vocab.json", "merges.txt",
)  # fmt: skip
_VOCABULARIES = _NAMES[4:]
_GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
_LARGEST_LENGTH = 1 << 30  # a larger model_max_length says that nobody knew
# In place of torch: transformers then opens tokenizers alone, in a second rather than three.
_CHILD = "import sys; sys.modules['torch'] = None; from alpaca_cli.finetune.tokens.conversion import main; main()"


@dataclass(frozen=True)
class TokenizerFiles:
    """What lies in a model folder, by name."""

    model: Path
    contents: dict[str, bytes]

    @property
    def digest(self) -> str:
        """SHA-256 over names and contents."""
        return sha256(json.dumps({name: sha256(raw) for name, raw in self.contents.items()}).encode())

    @cached_property
    def config(self) -> dict[str, Any]:
        """tokenizer_config.json, and what special_tokens_map.json changes of it."""
        config = self._json("tokenizer_config.json")
        return config if "added_tokens_decoder" in config else {**config, **self._json("special_tokens_map.json")}

    @property
    def empty(self) -> list[str]:
        """The special tokens that are named, but as "", which no text is."""
        return [name for name in NAMES if name in self.config and _content(self.config[name]) == ""]

    @property
    def model_max_length(self) -> int | None:
        """The most tokens, if the folder says it."""
        length = self.config.get("model_max_length")
        return int(length) if isinstance(length, int | float) and 0 < length < _LARGEST_LENGTH else None

    def open(self) -> tuple[tokenizers.Tokenizer, dict[str, str]]:
        """The tokenizer, and its special tokens by name, as `AutoTokenizer` gives them.

        Raises UsageError if transformers cannot open it.
        """
        if "tokenizer.json" in self.contents and self._is_generic:
            raw = self.contents["tokenizer.json"]
            try:
                backend = tokenizers.Tokenizer.from_buffer(raw)
            except ValueError as error:
                raise self._not_opened(str(error)) from error
            named = {name: _content(self.config.get(name)) for name in NAMES}
        else:
            with tempfile.TemporaryDirectory(prefix="alpaca-") as folder:
                backend, named = self._convert(Path(folder))
        backend.no_padding()
        backend.no_truncation()
        return backend, {name: token for name, token in named.items() if token}

    @property
    def _is_generic(self) -> bool:
        """Whether `AutoTokenizer` takes tokenizer.json as it is, rather than build a tokenizer of the model's class."""
        is_llama = self._json("config.json").get("model_type") == "llama"
        return is_llama and self.config.get("tokenizer_class") in _GENERIC and "auto_map" not in self.config

    def _convert(self, folder: Path) -> tuple[tokenizers.Tokenizer, dict[str, str | None]]:
        """What transformers makes of the mended files, in a process that ends with all that it has loaded."""
        source, out = folder / "source", folder / "out"
        for made in (source, out):
            made.mkdir()
        for name, raw in self._mended().items():
            (source / name).write_bytes(raw)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error",
        }
        try:
            subprocess.check_output(
                [sys.executable, "-c", _CHILD, source, out],
                cwd=folder,  # Python looks for modules there first
                env=environment,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
            )
        except subprocess.CalledProcessError as error:
            raise self._not_opened(error.output.strip().rpartition("\n")[2]) from error
        named: dict[str, str | None] = json.loads((out / "named.json").read_bytes())
        return tokenizers.Tokenizer.from_file(str(out / "tokenizer.json")), named

    def _mended(self) -> dict[str, bytes]:
        """The files without what was wrong in the first conversions of LLaMA, which are in wide use.

        They name tokens "", at which transformers fails, and a class that no release has had; and they trust that a
        LLaMA's sentencepiece model goes with a token that begins every text, as in its pretraining, which
        transformers 5 does only if told.  (The original trained with that token.)
        """
        settings = {key: self._json(key) for key in ("tokenizer_config.json", "special_tokens_map.json")}
        for values in settings.values():
            for name in self.empty:
                values.pop(name, None)
        config = settings["tokenizer_config.json"]
        if config.get("tokenizer_class") == "LLaMATokenizer":
            config["tokenizer_class"] = "LlamaTokenizer"
        if self._json("config.json").get("model_type") == "llama":
            config.setdefault("add_bos_token", True)  # not looked at where there is a tokenizer.json
        return {**self.contents, **{name: json.dumps(values).encode() for name, values in settings.items()}}

    def _json(self, name: str) -> dict[str, Any]:
        """A JSON object of the folder; an empty one if there is no such file.  Raises DataError if it is none."""
        if name not in self.contents:
            return {}
        try:
            value = json.loads(self.contents[name])
        except ValueError as error:
            raise DataError(f"not JSON: {error}", where=str(self.model / name)) from error
        if not isinstance(value, dict):
            raise DataError("expected a JSON object", where=str(self.model / name))
        return value

    def _not_opened(self, reason: str) -> UsageError:
        hint = "see that its tokenizer files are complete: download them again"
        return UsageError(f"cannot open the tokenizer: {reason}", where=str(self.model), hint=hint)


def read_files(model: Path) -> TokenizerFiles:
    """The files of a model folder.  Raises UsageError if there is no such folder, or no tokenizer in it."""
    if not model.is_dir():
        if model.exists():
            raise UsageError("expected a model folder, found a file", where=str(model), hint="name its folder")
        raise UsageError("no such model folder", where=str(model), hint=nearest_name(model))
    contents = {name: read_bytes(model / name) for name in _NAMES if (model / name).is_file()}
    if not any(name in contents for name in _VOCABULARIES):
        hint = "take the tokenizer files of the base model too: tokenizer.json, or tokenizer.model, or vocab.json"
        raise UsageError("no tokenizer in this model folder", where=str(model), hint=hint)
    return TokenizerFiles(model, contents)


def _content(token: Any) -> str | None:
    """The text of a special token as the files write it: a text, or an object that holds one."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
