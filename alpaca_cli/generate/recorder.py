"""Keeping what was paid for, also when the disk is full."""

from __future__ import annotations

from alpaca_cli.data.journal import GIVEN_UP, Completion, Journal
from alpaca_cli.errors import UsageError
from alpaca_cli.generate.prompt import Request


class Recorder:
    """Journals completions; what a full disk keeps out is held until `record_late`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._unrecorded: list[Completion] = []

    def record(self, completion: Completion) -> UsageError | None:
        """Journal a completion; or say why that cannot be done, and make room for those under way."""
        try:
            self._journal.append(completion)
        except UsageError as error:
            self._unrecorded.append(completion)
            self._journal.free_reserve()
            return error
        return None

    def record_late(self) -> int:
        """Try once more to record what was kept out: it is paid, and there may be room by now.  How many are lost."""
        lost = 0
        for completion in self._unrecorded:
            try:
                self._journal.append(completion)
            except UsageError:
                lost += 1
        self._unrecorded.clear()
        return lost


def given_up(request: Request, tries: int) -> Completion:
    """What stands in the journal for a request that is left aside: it is not asked again."""
    return Completion(
        k=request.k,
        seed_ids=request.seed_ids,
        prompt_sha256=request.prompt_sha256,
        text="",
        finish_reason=GIVEN_UP,
        usage=None,
        model=None,
        request_id=None,
        started="",
        seconds=0.0,
        tries=tries,
    )
