"""What is said of a disk that takes no more, or that not all processes see."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from alpaca_cli.finetune.save.unwritten import refuse_unseen, unwritten

AGAIN = "then run the same command again: it goes on from the newest complete checkpoint"


@pytest.mark.parametrize(
    ("number", "words", "advice"),
    [
        (errno.ENOSPC, "no space left on device", "make room there"),
        (errno.EDQUOT, "disk quota exceeded", "make room there"),
        (errno.EROFS, "read-only file system", "see to that"),
        (errno.ENOENT, "no such file or directory", "put the run on a file system that all nodes share"),
    ],
)
def test_why_and_what_to_do(number: int, words: str, advice: str) -> None:
    error = unwritten("model", OSError(number, os.strerror(number)), Path("runs/7b/model"))

    (problem,) = error.problems
    assert error.exit_code == 6
    assert problem.message == f"cannot write the model: {words}"
    assert problem.where == "runs/7b/model"
    assert problem.hint == f"{advice}, {AGAIN}"


def test_a_file_that_only_another_node_sees(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"1234")
    refuse_unseen({tmp_path / "mine": 4})

    for name, size in (("mine", 5), ("other", 4)):
        with pytest.raises(FileNotFoundError) as caught:
            refuse_unseen({tmp_path / name: size})
        assert caught.value.strerror == f"{name}, which another process has written, is not seen by the first"
