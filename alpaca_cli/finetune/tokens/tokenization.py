"""Rows to tokens, a batch at a time, into the arrays of a folder."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np

from alpaca_cli.data.example import Example
from alpaca_cli.errors import DataError, Problem
from alpaca_cli.finetune.tokens.cache import Facts
from alpaca_cli.finetune.tokens.preamble import find_preambles
from alpaca_cli.finetune.tokens.tokenizer import Tokenizer
from alpaca_cli.format.row import count_of, shown
from alpaca_cli.format.sharded import Batch, ShardedDataset
from alpaca_cli.format.template import Template
from alpaca_cli.recipe.finetune import DataSettings

IDS = "ids.bin"
"""The file of all ids, 32 bits each, without a header: their number is known at the end only."""

Listener = Callable[[int, int], None]
"""Gets the number of rows that are done, and that of all."""

_ROWS = 1_024  # that are encoded at once
_MOST_TOLD = 10  # rows of one fault that are told one by one


class Tokenization:
    """One pass over the rows of a dataset.  It holds a batch of them, and about 20 bytes for each."""

    def __init__(
        self, dataset: ShardedDataset, template: Template, tokenizer: Tokenizer, settings: DataSettings
    ) -> None:
        self._dataset = dataset
        self._template = template
        self._tokenizer = tokenizer
        self._settings = settings
        self._marks = frozenset(tokenizer.named.values())
        self._lengths = array("q")
        self._prompt_lengths = array("i")
        self._has_input = array("b")
        self._num_rows = 0
        self._num_truncated = 0
        self._num_unsupervised = 0
        self._num_shifted = 0
        self._num_overlong = 0
        self._num_marked = 0
        self._too_long: list[Problem] = []

    def write(self, folder: Path, listener: Listener | None = None) -> Facts:
        """Fill `folder` with the arrays of a TokenSet; the fields of its TokenFacts but the key, and the preambles.

        Raises DataError if a row is no example, if one is longer than it may be, or if none is left.
        """
        total = sum(1 for shard in self._dataset.shards for _ in shard.container.rows()) if listener else 0
        with (folder / IDS).open("wb") as stream:
            for batch in self._batches():
                for begin in range(0, len(batch.examples), _ROWS):
                    some = slice(begin, begin + _ROWS)
                    self._add(batch.examples[some], batch.shard, batch.spots[some].tolist(), stream)
                    if listener:
                        listener(self._num_rows, total)
        self._check()
        ids = np.asarray(np.memmap(folder / IDS, dtype="<i4", mode="r"))
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(self._lengths, np.int64))])
        prompt_lengths = np.array(self._prompt_lengths, np.int32)
        has_input = np.array(self._has_input, np.bool_)
        preambles, preamble_of = find_preambles(ids, starts, prompt_lengths, has_input, self._template, self._tokenizer)
        np.save(folder / "starts.npy", starts)
        np.save(folder / "prompt_lengths.npy", prompt_lengths)
        np.save(folder / "preamble_of.npy", preamble_of)
        return {
            "num_rows": self._num_rows + self._dataset.tally.skipped,
            "num_bad": self._dataset.tally.skipped,
            "num_examples": len(prompt_lengths),
            "real_tokens": len(ids),
            "supervised_tokens": len(ids) - int(prompt_lengths.sum(dtype=np.int64)),
            "num_truncated": self._num_truncated,
            "num_dropped_overlong": self._num_overlong,
            "num_unsupervised": self._num_unsupervised,
            "num_shifted": self._num_shifted,
            "longest": max(self._lengths),
            "notes": self._notes(),
            "preambles": preambles,
        }

    def _batches(self) -> Iterator[Batch]:
        """Those of the dataset; where rows are bad, with a way out that there is here."""
        try:
            yield from self._dataset.batches()
        except DataError as error:
            *problems, last = error.problems
            if last.hint and "--skip-bad" in last.hint:
                hint = "mend these rows, or leave them out: --set data.skip_bad=true"
                raise DataError.of([*problems, replace(last, hint=hint)]) from None
            raise

    def _add(self, examples: Sequence[Example], shard: int, spots: Sequence[int], stream: IO[bytes]) -> None:
        """Tokenize some rows of a shard, and write what is trained on."""
        prompts = [self._template.render(example) for example in examples]
        eos = self._tokenizer.eos
        wholes = [prompt + example.output + eos for prompt, example in zip(prompts, examples, strict=True)]
        self._check_characters(wholes, shard, spots)
        encoded = self._tokenizer.encode(prompts + wholes)
        self._num_rows += len(examples)
        most, overlong = self._settings.max_tokens, self._settings.overlong
        kept: list[list[int]] = []
        for index, (prompt, whole) in enumerate(zip(encoded[: len(prompts)], encoded[len(prompts) :], strict=True)):
            is_overlong = len(whole) > most
            if is_overlong and overlong != "truncate":
                self._num_overlong += 1
                if overlong == "error" and len(self._too_long) < _MOST_TOLD:
                    message = f"expected at most {most:,} tokens, found {len(whole):,}"
                    self._too_long.append(Problem(message, self._dataset.place(shard, spots[index])))
                continue
            # The loss of a token is that of foretelling it, which nothing does for the first one.
            prompt_length = max(len(prompt), 1)
            if prompt_length >= min(len(whole), most):
                self._num_unsupervised += 1
                continue
            self._num_truncated += is_overlong
            self._num_shifted += whole[: len(prompt)] != prompt
            self._num_marked += any(token in wholes[index][: -len(eos)] for token in self._marks)
            self._lengths.append(min(len(whole), most))
            self._prompt_lengths.append(prompt_length)
            self._has_input.append(bool(examples[index].input))
            kept.append(whole[:most])
        stream.write(b"".join(array("i", ids).tobytes() for ids in kept))

    def _check(self) -> None:
        """Raises DataError for rows that are too long, or if nothing is left to train on."""
        source = str(self._dataset.source)
        if self._too_long:
            count = count_of(self._num_overlong, "row")
            hint = "raise data.max_tokens, or let data.overlong be truncate or drop"
            first = Problem(f"{count} longer than data.max_tokens; the first of them:", source, hint)
            raise DataError.of([first, *self._too_long])
        if not self._lengths:
            hint = "raise data.max_tokens: the template's words take room too"
            message = f"no example is left to train on: none of {count_of(self._num_rows, 'row')} has a response within"
            raise DataError(f"{message} {self._settings.max_tokens:,} tokens", where=source, hint=hint)

    def _check_characters(self, texts: Sequence[str], shard: int, spots: Sequence[int]) -> None:
        """Raises DataError for texts that no UTF-8 has, such as half of a pair that was cut in the middle."""
        problems = []
        for text, spot in zip(texts, spots, strict=True):
            try:
                text.encode()
            except UnicodeEncodeError:
                message, place = "half of a character, which has no tokens", self._dataset.place(shard, spot)
                problems.append(Problem(message, place, "mend this row"))
        if problems:
            raise DataError.of(problems)

    def _notes(self) -> list[str]:
        """What the user should know of the rows, a sentence each."""
        notes = []
        tally = self._dataset.tally
        if tally.left_out:
            counts = (f"{shown(name)} ({count_of(rows, 'row')})" for name, rows in sorted(tally.left_out.items()))
            notes.append(f"keys left out: {', '.join(counts)}")
        if tally.whole:
            prompts = count_of(tally.whole, "prompt")
            notes.append(f"{prompts} not made by this template, taken whole as the instruction: it is put around them")
        for number, what in (
            (self._num_truncated, "cut at data.max_tokens, and so trained not to stop there"),
            (self._num_overlong, "longer than data.max_tokens, left out"),
            (self._dataset.tally.skipped, "malformed, left out"),
            (self._num_unsupervised, "without any of the response within data.max_tokens, left out"),
            (self._num_marked, "with the text of a special token in it, trained as that token"),
            (self._num_shifted, "with a token that is part prompt and part response"),
        ):
            if number:
                notes.append(f"{count_of(number, 'row')} {what}")
        return notes
