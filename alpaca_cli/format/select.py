"""Rows of a file copied to another as they stand, with every key and column that they have, known to us or not."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from alpaca_cli.data.files import write_atomically
from alpaca_cli.format.container import container_of
from alpaca_cli.format.dataset import Dataset


def copy_rows(dataset: Dataset, indexes: Sequence[int], out: Path) -> int:
    """Write the rows behind these examples of a dataset to `out`, in the order of the file; return the bytes.

    JSON Lines are copied byte for byte; a JSON list is written with indent 4, as Stanford's file; a parquet table keeps
    its schema.  `out` may be the file that was read.
    """
    kept = np.zeros(len(dataset.examples) + dataset.skipped, dtype=np.bool_)
    kept[[dataset.numbers[index] for index in indexes]] = True
    container = container_of(lambda: BytesIO(dataset.raw), dataset.path)
    with write_atomically(out) as stream:
        container.join(container.pieces(kept), stream)
        return stream.tell()
