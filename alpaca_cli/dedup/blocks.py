"""The rows of a run, block by block, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from alpaca_cli.dedup.encode import Encoder, Numbered, ranked
from alpaca_cli.dedup.rouge import TokenizerName
from alpaca_cli.dedup.rows import Rows


class MemoryBlocks:
    """Blocks as they were given, `against` first; see `join.Blocks`.  Memory: 4 bytes a word and 8 a row."""

    def __init__(self, tokenizer: TokenizerName) -> None:
        self.num_against = 0
        self._encoder = Encoder(tokenizer)
        self._blocks: list[Numbered] = []
        self._found: list[dict[str, npt.NDArray[Any]]] = []

    def append(self, texts: list[str], *, against: bool = False) -> None:
        """A block more; with `against` one that is kept whatever it repeats."""
        assert not against or self.num_against == len(self._blocks)
        self._blocks.append(self._encoder.number(texts))
        self._found.append({})
        self.num_against += against

    def close(self) -> None:
        """No block follows: the words get the codes by which they are looked for."""
        self._codes = ranked(self._encoder.vocabulary.counts())
        sizes = [len(block.starts) - 1 for block in self._blocks]
        self.begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])

    @property
    def num_rows(self) -> int:
        """Rows that were appended."""
        return sum(len(block.starts) - 1 for block in self._blocks)

    def num_wordless(self, block: int) -> int:
        """Rows of a block without a word."""
        return int((np.diff(self._blocks[block].starts) == 0).sum())

    def delete(self) -> None:
        """Nothing is left behind."""

    def rows(self, block: int) -> Rows:
        """See `join.Blocks`."""
        return self._blocks[block].coded(self._codes)

    def get(self, name: str, block: int) -> npt.NDArray[Any] | None:
        """See `join.Blocks`."""
        return self._found[block].get(name)

    def put(self, name: str, block: int, found: npt.NDArray[Any]) -> None:
        """See `join.Blocks`."""
        self._found[block][name] = found

    def names(self, block: int) -> list[str]:
        """See `join.Blocks`."""
        return list(self._found[block])
