"""How a run stands, for whoever listens."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.data.ledger import Ledger
from alpaca_cli.generate.progress import Progress
from alpaca_cli.generate.replay import Replay


class Standing:
    """Adds up what a run has; `is_priced` if the price of every server is known."""

    def __init__(self, replay: Replay, journal: Journal, ledger: Ledger, *, is_priced: bool) -> None:
        self._replay = replay
        self._journal = journal
        self._ledger = ledger
        self._is_priced = is_priced
        self._num_kept_before = len(replay.accepted)
        self._tokens = Counter[str]()
        for completion in journal.completions.values():
            self.count(completion)

    def count(self, completion: Completion) -> None:
        """A completion has been journalled."""
        self._tokens.update(completion.usage or {})

    def progress(
        self, *, num_under_way: int, most_under_way: Decimal, limit: int, seconds: float, oldest_s: float = 0.0
    ) -> Progress:
        """Where the run is; `most_under_way` is what the requests under way cost at most, in USD."""
        replay = self._replay
        spent = self._ledger.spent + self._ledger.reserved - most_under_way  # with what killed processes had sent
        return Progress(
            kept=len(replay.accepted),
            num=replay.num,
            num_kept_before=self._num_kept_before,
            num_tasks=len(replay.accepted) + len(replay.refused),
            num_completions=len(self._journal.completions),
            num_under_way=num_under_way,
            num_requests=self._ledger.num_requests,
            limit=limit,
            prompt_tokens=self._tokens["prompt_tokens"],
            completion_tokens=self._tokens["completion_tokens"],
            reasons=Counter(replay.reasons),
            seconds=seconds,
            spent=spent if self._is_priced else None,
            expected=self._expected(spent) if self._is_priced else None,
            num_waiting=0 if replay.is_done else replay.num_waiting,
            oldest_s=oldest_s,
        )

    def _expected(self, spent: Decimal) -> Decimal | None:
        """What the run will have cost, if what is missing costs as much a request as what there is did."""
        replay, num = self._replay, len(self._journal.completions)
        if not replay.accepted or not num:
            return None
        return spent * (num + max(0, replay.num_needed - replay.num_waiting)) / num
