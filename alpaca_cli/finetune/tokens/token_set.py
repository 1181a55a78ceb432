"""A dataset as token ids: every example once, whole, one after another, kept in the cache and mapped into memory."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.files import sha256
from alpaca_cli.errors import DataError
from alpaca_cli.finetune.tokens.cache import Facts, cache_dir, keep, read_kept, sha256_of
from alpaca_cli.finetune.tokens.tokenization import IDS, Listener, Tokenization
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer
from alpaca_cli.format.sharded import ShardedDataset
from alpaca_cli.format.template import Template
from alpaca_cli.recipe.finetune import DataSettings

_FORMAT = 1  # of what is kept; to be raised when the same dataset comes to something else


@dataclass(frozen=True)
class TokenFacts:
    """What a plan needs to know of a dataset."""

    num_rows: int
    """Of the data; `num_examples` + `num_bad` + `num_dropped_overlong` + `num_unsupervised`."""
    num_examples: int
    """That are trained on."""
    real_tokens: int
    """Of these examples."""
    supervised_tokens: int
    """Of these, responses and end-of-sequence tokens: those that carry loss."""
    num_bad: int
    """Rows left out because they are malformed."""
    num_truncated: int
    """Examples that were cut at the longest length, and so lost their end-of-sequence token."""
    num_dropped_overlong: int
    """Rows left out because they are too long."""
    num_unsupervised: int
    """Rows left out because nothing of the response would be left within the longest length."""
    num_shifted: int
    """Examples whose prompt alone has other tokens than within the whole, so that the border lies a token beside."""
    longest: int
    """Tokens of the longest example."""
    notes: tuple[str, ...]
    """What the user should know of the rows, a sentence each."""
    key: str
    """SHA-256 over all that decides the tokens."""


@dataclass(frozen=True)
class TokenSet:
    """The examples of a dataset as ids: prompt, response, end of sequence."""

    ids: npt.NDArray[np.int32]
    """[real_tokens] whole examples, one after another."""
    starts: npt.NDArray[np.int64]
    """[num_examples + 1] where each begins in `ids`, and the end."""
    prompt_lengths: npt.NDArray[np.int32]
    """[num_examples] leading tokens that carry no loss; at least 1, and fewer than the example has."""
    preamble_of: npt.NDArray[np.int8]
    """[num_examples] with which of `preambles` each begins; -1: with none."""
    preambles: tuple[npt.NDArray[np.int32], ...]
    """Constant beginnings, each shorter than any prompt that begins with it."""
    facts: TokenFacts

    def __len__(self) -> int:
        return self.facts.num_examples


def make_tokens(
    data: Path,
    template: Template,
    tokenizer: Tokenizer,
    settings: DataSettings,
    *,
    cache: Path | None = None,
    listener: Listener | None = None,
) -> TokenSet:
    """The dataset at `data`, in any format, as tokens; from the cache if they are there, whole.

    As the original has them: prompt, output and end of sequence are tokenized as one text, and as many leading tokens
    carry no loss as the prompt alone has.  `listener` gets the number of rows that are done, and of all.
    Cost: about 150 us a row the first time; later a reading of the data and of what is kept.
    Raises DataError if a row is no example, if one is longer than it may be (`overlong: error`), or if none is left.
    Source: stanford_alpaca train.py, preprocess.
    """
    dataset = ShardedDataset(data, template=template, skip_bad=settings.skip_bad)
    key = _key(dataset, template, tokenizer, settings)
    folder = (cache or cache_dir()) / "tokens" / key

    def make(new: Path) -> Facts:
        return {**Tokenization(dataset, template, tokenizer, settings).write(new, listener), "key": key}

    return _mapped(folder, keep(folder, make))


def open_tokens(folder: Path) -> TokenSet:
    """The tokens that `make_tokens` has kept in a folder.  Raises IntegrityError if they are not as they were made."""
    return _mapped(folder, read_kept(folder))


def split(tokens: TokenSet | int, fraction: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The numbers of the examples to train on, and of those held out, each in order.

    Held out are `fraction` of them, a half rounded up, at least 1 and at most all but 1; none if it is 0.
    Chance is `seed` alone.  Raises DataError for fewer than 2 examples.
    """
    number = tokens if isinstance(tokens, int) else len(tokens)
    if fraction == 0:
        return np.arange(number), np.arange(0)
    if number < 2:
        hint = "hold none out: --set data.val_fraction=0"
        raise DataError(f"expected at least 2 examples to hold some out, found {number}", hint=hint)
    exact = (Decimal(repr(fraction)) * number).quantize(Decimal(1), ROUND_HALF_UP)
    size = min(max(int(exact), 1), number - 1)
    # Raw words of the generator, for which numpy promises the same ones in every release.
    order = np.argsort(np.random.PCG64(seed).random_raw(number), kind="stable")
    return np.sort(order[size:]), np.sort(order[:size])


def _key(dataset: ShardedDataset, template: Template, tokenizer: Tokenizer, settings: DataSettings) -> str:
    shards = []
    for shard in dataset.shards:
        with shard.open() as stream:
            shards.append(sha256_of(stream))
    parts: list[Any] = [
        _FORMAT, version("tokenizers"), shards, template.model_dump(), tokenizer.digest,
        settings.max_tokens, settings.overlong, settings.skip_bad,
    ]  # fmt: skip
    return sha256(json.dumps(parts).encode())


def _mapped(folder: Path, facts: Facts) -> TokenSet:
    fields = {field.name: facts[field.name] for field in dataclasses.fields(TokenFacts)}
    return TokenSet(
        ids=np.asarray(np.memmap(folder / IDS, dtype="<i4", mode="r")),
        starts=_array(folder, "starts"),
        prompt_lengths=_array(folder, "prompt_lengths"),
        preamble_of=_array(folder, "preamble_of"),
        preambles=tuple(np.array(ids, np.int32) for ids in facts["preambles"]),
        facts=TokenFacts(**{**fields, "notes": tuple(fields["notes"])}),
    )


def _array(folder: Path, name: str) -> npt.NDArray[Any]:
    return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r"))
