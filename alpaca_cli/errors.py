"""Every failure a user can meet, and the exit code it ends with.

AlpacaError                never raised itself
├─ UsageError          2   flags, recipe, paths or installation are wrong
│  └─ RecipeError          the recipe is wrong: path:line:col
├─ DataError           3   an input file is malformed
├─ TeacherError        4   the teacher failed for good
│  ├─ TeacherRefused       key, quota, permission or model: asking again will not help
│  └─ TeacherUnreachable   gave up after the tries the message names
├─ IntegrityError      5   bytes do not match their checksum or their journal
├─ TrainingError       6   a training process failed; its log is named
└─ LimitReached        7   a limit that the user set ended the run; what was got is kept
anything else          1   a bug: traceback, and "please report"
Ctrl-C, SIGTERM      130   what was paid is in the journal; the same command goes on
closed stdout        141   as any program in a pipe whose reader left

Messages are lower case, one line, with what was expected and what was found; a hint is an imperative that names
the next action.  Only `cli/app.py` turns an error into words on the screen and an exit code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where (`path`, `path:line` or `path:line:col`), what, and what to do about it."""

    message: str
    where: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class AlpacaError(Exception):
    """A failure that is not a bug: one problem, or several found in one pass."""

    exit_code: ClassVar[int]

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.problems: tuple[Problem, ...] = (Problem(message, where, hint),)

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> AlpacaError:
        """The error of this class that reports all of `problems` (at least one) at once."""
        error = cls(problems[0].message)
        error.problems = tuple(problems)
        return error

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class UsageError(AlpacaError):
    """Flags, recipe, paths or installation are wrong; nothing was done."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe is malformed or says something impossible."""


class DataError(AlpacaError):
    """An input file is malformed."""

    exit_code = 3


class TeacherError(AlpacaError):
    """The teacher failed for good; what was paid is in the journal."""

    exit_code = 4


class TeacherRefused(TeacherError):
    """Key, quota, permission or model: asking again will not help."""


class TeacherUnreachable(TeacherError):
    """No usable answer after the tries that the message names."""


class IntegrityError(AlpacaError):
    """Bytes do not match their checksum or their journal."""

    exit_code = 5


class TrainingError(AlpacaError):
    """A training process failed; the message names its log."""

    exit_code = 6


class LimitReached(AlpacaError):
    """A limit that the user set ended the run cleanly; `limit` is its name (max_cost, max_requests)."""

    exit_code = 7

    def __init__(self, message: str, *, limit: str = "", where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, where=where, hint=hint)
        self.limit = limit
