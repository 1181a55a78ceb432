"""The report of a run: for each dropped row the kept one that it repeats."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from alpaca_cli.data.jsonl import dumps
from alpaca_cli.dedup.job import Repeats, Source
from alpaca_cli.format.field import field_text

IN_MEMORY = 1 << 26  # bytes of texts that are repeated; what is more goes to a temporary file


def write_report(stream: IO[bytes], sources: Sequence[Source], found: Repeats, folder: Path) -> None:
    """A JSON line for each dropped row, in order.  A temporary file in `folder` may hold the texts that are repeated.

    The sources are read once more; memory: 24 bytes for each dropped row and 16 for each that is repeated, at first
    twice the 24.
    """
    dropped, repeated, score = _joined(found)
    wanted = np.unique(repeated)
    offsets = np.zeros(len(wanted) + 1, dtype=np.int64)
    num_seen = num_told = 0
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder)) as seen:
        for begin, batch in _numbered(sources):
            end = begin + len(batch)
            last = int(np.searchsorted(wanted, end))
            for number in range(num_seen, last):
                _, place, text = batch[int(wanted[number]) - begin]
                seen.write(json.dumps([place, text]).encode())
                offsets[number + 1] = seen.tell()
            num_seen = last
            last = int(np.searchsorted(dropped, end))
            for at in range(num_told, last):
                row, place, text = batch[int(dropped[at]) - begin]
                number = int(np.searchsorted(wanted, repeated[at]))
                seen.seek(int(offsets[number]))
                other_place, other = json.loads(seen.read(int(offsets[number + 1] - offsets[number])))
                line = {
                    "row": row,
                    "place": place,
                    "text": text,
                    "repeats_place": other_place,
                    "repeats": other,
                    "score": float(score[at]),
                }
                stream.write((dumps(line) + "\n").encode("utf-8"))
            num_told = last
            seen.seek(0, 2)


def _joined(found: Repeats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    none = np.zeros(0, dtype=np.int64)
    rows, others, scores = zip((none, none, np.zeros(0)), *found, strict=True)
    return np.concatenate(rows), np.concatenate(others), np.concatenate(scores)


def _numbered(sources: Sequence[Source]) -> Iterator[tuple[int, list[tuple[int, str, str]]]]:
    """Batches of rows: the number of the first through all sources; each row's number in its file, place and text."""
    begin = 0
    for source in sources:
        for batch in source.dataset.batches():
            places = (source.dataset.place(batch.shard, spot) for spot in batch.spots.tolist())
            texts = (field_text(example, source.field) for example in batch.examples)
            yield begin, list(zip(batch.numbers.tolist(), places, texts, strict=True))
            begin += len(batch.examples)
