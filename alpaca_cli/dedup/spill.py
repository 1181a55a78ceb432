"""The rows of a run, block by block, on disk: of more rows than memory holds.

A folder of files, each written whole or not at all; one that is there is done.  So a run that was killed goes on where
it was, and what it finds is what an undisturbed run finds.

    plan.json              what is compared, and how: a folder of another run is refused
    block-000000.npz       words of each row as numbers; the words; how often each came
    proved.json            all rows are read, and no two words of the run share a hash under this salt
    000000.kept.npz        which rows are kept; see `join` for this and the others
    done.json              the plan of a run that needs its folder no more: what is left beside it may go

Each block has a vocabulary of its own, and its words are known to other blocks by their hashes (see `encode`).  All
that is read has a checksum, and a file that is missing is missed: bytes that have changed never change an answer.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from alpaca_cli.data.files import reason
from alpaca_cli.dedup.encode import Encoder, Numbered, agree, bucket_counts, bucket_ranks, hash_words, hashed
from alpaca_cli.dedup.rouge import TokenizerName
from alpaca_cli.dedup.rows import Rows, Words
from alpaca_cli.dedup.sealed import read_array, read_json, write_arrays, write_json
from alpaca_cli.errors import IntegrityError, UsageError

VERSION = 2
_PLAN, _PROVED, _DONE, _LOCK = "plan.json", "proved.json", "done.json", ".lock"
_FOUND, _BLOCKS, _TEMPORARY = "[0-9][0-9][0-9][0-9][0-9][0-9].*.npz", "block-*.npz", ".*.tmp"
BYTES_A_WORD = 80
"""What a block takes of memory while it is encoded or held against an index, at most, for each of its words."""
WORDS_AT_ONCE = 1 << 22  # of those of all blocks, looked through for two that share a hash


@contextmanager
def spilled(folder: Path, plan: dict[str, Any], tokenizer: TokenizerName, *, memory: int) -> Iterator[DiskBlocks]:
    """The blocks in a folder, new or of a run that was stopped, locked against a second process.

    `memory` bytes are enough for one block.
    Raises UsageError if another process works there, if the folder holds something else or what another plan left, or
    if it cannot be written.
    """
    lock, plan = FileLock(folder / _LOCK, timeout=0), {"version": VERSION, **plan}
    try:
        _check(folder, plan)  # before anything, the lock too, is put there
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        hint = "wait for it, stop it, or name another folder"
        raise UsageError("another process spills to this folder", where=str(folder), hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(folder), hint="name another folder") from error
    try:
        _check(folder, plan)  # again: another process may have been here before the lock was ours
        if (folder / _DONE).exists():
            _clear(folder)
        _remove(folder, _TEMPORARY)
        if not (folder / _PLAN).exists():
            write_json(folder / _PLAN, plan)
        yield DiskBlocks(folder, tokenizer, memory=memory)
    finally:
        lock.release()
        with suppress(OSError):  # of a run that is done nothing is left in it
            folder.rmdir()


class DiskBlocks:
    """Blocks in a folder; see `join.Blocks`."""

    def __init__(self, folder: Path, tokenizer: TokenizerName, *, memory: int) -> None:
        self._folder = folder
        self._tokenizer = tokenizer
        self._words_of_a_block = max(1, memory // BYTES_A_WORD)
        self._found: dict[int, set[str]] = defaultdict(set)
        for path in folder.glob(_FOUND):
            self._found[int(path.name[:6])].add(path.name[7:-4])
        self._reports: list[dict[str, Any]] = []
        while (path := self._path(len(self._reports))).exists():
            self._reports.append(json.loads(str(read_array(path, "report"))))
        self._check_complete()
        self._against = bool(self._reports[-1]["against"]) if self._reports else True
        self._batches: list[Numbered] = []
        self._begin()

    @property
    def num_against(self) -> int:
        """Blocks that are kept whatever they repeat."""
        return sum(report["against"] for report in self._reports)

    @property
    def num_rows(self) -> int:
        """Rows that stand in whole blocks: when a run goes on, those behind them are to be appended."""
        return sum(report["rows"] for report in self._reports)

    @property
    def is_read(self) -> bool:
        """Whether no row follows."""
        return (self._folder / _PROVED).exists()

    def append(self, texts: list[str], *, against: bool = False) -> None:
        """More rows; with `against` ones that are kept whatever they repeat."""
        if self._against != against:
            assert self._against
            self._end()
        self._against = against
        self._batches.append(self._encoder.number(texts))
        self._num_words += len(self._batches[-1].numbers) + len(texts)
        if self._num_words >= self._words_of_a_block:
            self._end()

    def close(self) -> None:
        """No row follows."""
        self._end()
        self.begins = np.concatenate([[0], np.cumsum([report["rows"] for report in self._reports], dtype=np.int64)])
        proved = self._folder / _PROVED
        if not self.is_read:
            salt = next(salt for salt in range(1 << 32) if self._proves(salt))
            write_json(proved, {"salt": salt, "blocks": len(self._reports)})
        self._salt = read_json(proved)["salt"]
        counts = np.zeros(1, dtype=np.int64)
        for block in range(len(self._reports)):
            hashes = hash_words(self._words(block), self._salt)
            counts = counts + bucket_counts(hashes, read_array(self._path(block), "counts"))
        self._ranks = bucket_ranks(counts)

    def rows(self, block: int) -> Rows:
        """See `join.Blocks`."""
        path = self._path(block)
        codes = hashed(hash_words(self._words(block), self._salt), self._ranks)
        return Numbered(read_array(path, "numbers"), read_array(path, "starts")).coded(codes)

    def num_wordless(self, block: int) -> int:
        """Rows of a block without a word."""
        wordless: int = self._reports[block]["wordless"]
        return wordless

    def get(self, name: str, block: int) -> npt.NDArray[Any] | None:
        """See `join.Blocks`."""
        if name not in self._found[block]:
            return None
        return read_array(self._path_of(name, block), "found")

    def put(self, name: str, block: int, found: npt.NDArray[Any]) -> None:
        """See `join.Blocks`."""
        write_arrays(self._path_of(name, block), found=found)
        self._found[block].add(name)

    def names(self, block: int) -> list[str]:
        """See `join.Blocks`."""
        return sorted(self._found[block])

    def delete(self) -> None:
        """Leave nothing of the run behind."""
        (self._folder / _PLAN).replace(self._folder / _DONE)  # takes no room on a full disk
        _clear(self._folder)
        (self._folder / _LOCK).unlink(missing_ok=True)

    def _begin(self) -> None:
        self._encoder = Encoder(self._tokenizer)
        self._batches.clear()
        self._num_words = 0

    def _end(self) -> None:
        """Write the rows since the last block as a block."""
        if self._batches:
            lengths = np.concatenate([np.diff(batch.starts) for batch in self._batches])
            words = self._encoder.vocabulary.words()
            report = {
                "rows": len(lengths),
                "wordless": int((lengths == 0).sum()),
                "against": self._against,
            }
            write_arrays(
                self._path(len(self._reports)),
                numbers=np.concatenate([batch.numbers for batch in self._batches]),
                starts=np.concatenate([[0], np.cumsum(lengths)]),
                words=words.raw,
                word_starts=words.starts,
                counts=self._encoder.vocabulary.counts(),
                report=np.array(json.dumps(report)),
            )
            self._reports.append(report)
        self._begin()

    def _check_complete(self) -> None:
        """Raises IntegrityError if a file is gone that was there when another was written."""
        num_blocks = len(self._reports)
        gone = len(list(self._folder.glob(_BLOCKS))) != num_blocks
        if self.is_read:
            gone = gone or read_json(self._folder / _PROVED)["blocks"] != num_blocks
        if gone or (self._found and not self.is_read):
            hint = "remove it and start again"
            raise IntegrityError("files of this run are missing", where=str(self._folder), hint=hint)

    def _proves(self, salt: int) -> bool:
        """Whether no two words of the run share a hash.  They are looked at in turns, by the first bits."""
        num_words = sum(len(self._words(block)) for block in range(len(self._reports)))
        bits = max(0, (num_words // WORDS_AT_ONCE).bit_length())
        for turn in range(1 << bits):
            some, hashes = (
                [Words(np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64))],
                [np.zeros(0, dtype=np.uint64)],
            )
            for block in range(len(self._reports)):
                words = self._words(block)
                found = hash_words(words, salt)
                if bits:
                    mine = np.flatnonzero(found >> np.uint64(64 - bits) == turn)
                    words, found = words.take(mine), found[mine]
                some.append(words)
                hashes.append(found)
            if not agree(Words.join(some), np.concatenate(hashes)):
                return False
        return True

    def _words(self, block: int) -> Words:
        path = self._path(block)
        return Words(read_array(path, "words"), read_array(path, "word_starts"))

    def _path(self, block: int) -> Path:
        return self._folder / f"block-{block:06d}.npz"

    def _path_of(self, name: str, block: int) -> Path:
        return self._folder / f"{block:06d}.{name}.npz"


def is_stopped(folder: Path) -> bool:
    """Whether a run was stopped that spilled to this folder."""
    return (folder / _PLAN).is_file()


def _check(folder: Path, plan: dict[str, Any]) -> None:
    """Raises UsageError unless the folder is of this plan, of a run that is done, empty, or not there yet."""
    path = folder / _PLAN
    if path.exists():
        before = read_json(path)
        if differing := sorted(key for key in {*before, *plan} if before.get(key) != plan.get(key)):
            raise UsageError(
                f"this folder is of another run: it differs in {', '.join(differing)}",
                where=str(folder),
                hint="name another with --spill, or remove this one",
            )
    elif folder.exists() and not folder.is_dir():
        raise UsageError("expected a folder, found a file", where=str(folder), hint="name another")
    elif (folder / _DONE).exists():
        read_json(folder / _DONE)  # so it is ours
    elif folder.exists():
        nothing = {folder / _LOCK, *folder.glob(f".{_PLAN}.*.tmp")}  # a run may be killed before it has its plan
        if any(entry not in nothing for entry in folder.iterdir()):
            raise UsageError(
                "expected an empty folder, or one of this run", where=str(folder), hint="name another, or a new one"
            )


def _clear(folder: Path) -> None:
    """Remove the files of a run that is done, and only those; the word that it is done goes last."""
    for pattern in (_TEMPORARY, _FOUND, _PROVED, _BLOCKS, _DONE):
        _remove(folder, pattern)


def _remove(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink()
