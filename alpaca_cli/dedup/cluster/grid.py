"""Where rows meet: parts by word, and in a crowded part cells by row number, so that no task gets too many rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FOUND, ASKS = 1, 2
"""What a row does in a cell: it may be found by a later one, it asks for earlier ones, or both."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Grid:
    """The cells of a search.

    Every two near rows stand together in a part (`index.parts_of`).  A part whose rows are too many for a task is cut
    in slices by number, and each slice of rows that ask meets itself and each earlier slice in a cell of their own:
    slice b meets slice a <= b in the part's cell b (b + 1) / 2 + a.
    """

    rows: int
    """Of the whole run: row numbers are below this."""
    slices: Numbers
    """Of each part; 0 where nothing is asked, and the part is left out."""

    @staticmethod
    def over(standing: Numbers, asking: Numbers, rows: int, cell_rows: int) -> Grid:
        """The grid for as many rows standing and asking in each part.

        About `cell_rows` or less in a cell, if the rows of a part are spread evenly over the run: where those of a
        crowded part stand close together, few of its slices hold them all.
        A row of a part of s slices stands in s cells, and s grows with the rows of the part: it is these crowded parts,
        of a word that very many rows hold for one of their rarest, that cost more than their share.
        """
        slices = np.where(standing <= cell_rows, 1, -(-2 * standing // cell_rows))
        return Grid(rows, np.where(asking > 0, slices, 0).astype(np.int64))

    @property
    def cells(self) -> int:
        """How many there are, numbered from 0, in order of parts."""
        return int(self._firsts[-1])

    def part_of(self, cell: int) -> int:
        """The part that a cell belongs to."""
        return int(np.searchsorted(self._firsts, cell, side="right")) - 1

    def places(
        self, numbers: Numbers, parts: Numbers, roles: npt.NDArray[np.uint8]
    ) -> tuple[Numbers, Numbers, npt.NDArray[np.uint8]]:
        """Where rows stand, given pairs of a row's number and a part, and what the row does.

        Returns the index of the pair, the cell, and what the row does there: a record each.
        """
        slices = self.slices[parts]
        pairs = np.repeat(np.arange(len(parts)), slices)
        met = np.arange(len(pairs)) - np.repeat(np.cumsum(slices) - slices, slices)
        own = (numbers * slices // max(self.rows, 1))[pairs]
        does = roles[pairs] & np.where(met > own, FOUND, np.where(met < own, ASKS, FOUND | ASKS)).astype(np.uint8)
        last = np.maximum(met, own)
        cells = self._firsts[parts[pairs]] + last * (last + 1) // 2 + np.minimum(met, own)
        takes_part = does > 0
        return pairs[takes_part], cells[takes_part], does[takes_part]

    @property
    def _firsts(self) -> Numbers:
        return np.concatenate([[0], np.cumsum(self.slices * (self.slices + 1) // 2)])
