"""What is said when something that training has made cannot be brought to disk."""

from __future__ import annotations

import errno
from pathlib import Path

from alpaca_cli.data.files import reason
from alpaca_cli.errors import TrainingError

_ADVICE = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "make room there",
    errno.ENOENT: "put the run on a file system that all nodes share",
}


def unwritten(what: str, error: BaseException, path: Path) -> TrainingError:
    """The error that says why `what` (checkpoint, model) is not at `path`, and what to do about it."""
    words = reason(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    advice = _ADVICE.get(error.errno or 0) if isinstance(error, OSError) else None
    hint = f"{advice or 'see to that'}, then run the same command again: it goes on from the newest complete checkpoint"
    told = TrainingError(f"cannot write the {what}: {words}", where=str(path), hint=hint)
    told.__cause__ = error
    return told


def refuse_unseen(sizes: dict[Path, int]) -> None:
    """Raises FileNotFoundError if a file that another process has written is not seen here in its size."""
    for path, num_bytes in sizes.items():
        if not path.is_file() or path.stat().st_size != num_bytes:
            words = f"{path.name}, which another process has written, is not seen by the first"
            raise FileNotFoundError(errno.ENOENT, words)
