"""What the results of batches give: completions for the journal, and what is to be asked again, or otherwise.

It looks at every batch of a run in order, also at those taken by earlier processes, so that all it knows is a function
of the run's files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.errors import DataError
from alpaca_cli.generate.batch.file import UNDONE, Row, request_of
from alpaca_cli.generate.body import Body
from alpaca_cli.generate.failure import Failure, failure_of
from alpaca_cli.generate.prompt import Request, RequestMaker
from alpaca_cli.generate.recorder import given_up
from alpaca_cli.generate.teacher import FILTERED, fields_of, is_filtered
from alpaca_cli.recipe.generate import TeacherSettings

MOST_FAILURES = 3  # of one request, in batches that gave others their answers

Cost = Callable[[Request, int, Mapping[str, int] | None], Decimal]
"""USD of an answer to a request that allowed so many new tokens, by its usage or at its worst."""


@dataclass
class Gathered:
    """What one batch gave."""

    new: list[Completion] = field(default_factory=list)
    """Those that the journal did not have, and has now."""
    num_known: int = 0
    num_foreign: int = 0
    """Lines that answer nothing which this run asks."""
    num_unreadable: int = 0
    num_undone: int = 0
    """Requests that the batch ended without having asked."""
    failures: dict[int, Failure] = field(default_factory=dict)
    """By number, the requests that were asked and have no answer."""
    cost: Decimal = Decimal(0)

    @property
    def num_answered(self) -> int:
        """Requests that have their answer."""
        return len(self.new) + self.num_known


class Harvest:
    """Takes the results of batches, one batch after the other.  `clean` makes a server's words fit to be shown."""

    def __init__(
        self,
        maker: RequestMaker,
        body: Body,
        settings: TeacherSettings,
        journal: Journal,
        *,
        clean: Callable[[str], str] = str,
    ) -> None:
        self._maker = maker
        self._body = body
        self._settings = settings
        self._journal = journal
        self._clean = clean
        self._num_seeds: dict[int, int] = {}
        self._num_failures = Counter[int]()

    def request(self, k: int) -> Request:
        """The request of number k, with as many seed tasks as the context has room for, as far as is known."""
        return self._maker.request(k, self._num_seeds.get(k))

    def num_failures(self, k: int) -> int:
        """How often a request failed in batches that gave others their answers."""
        return self._num_failures[k]

    def to_leave(self) -> Iterable[Completion]:
        """What stands in the journal for the requests that failed too often to be asked again."""
        for k, count in sorted(self._num_failures.items()):
            if count >= MOST_FAILURES and k not in self._journal.completions:
                yield given_up(self.request(k), count)

    def take(
        self,
        rows: Iterable[Row | DataError],
        *,
        started: str,
        sent: Mapping[str, dict[str, Any]] | None = None,
        is_whole: bool = True,
        cost: Cost = lambda *_: Decimal(0),
    ) -> Gathered:
        """Journal every answer among `rows`, and learn from every failure.

        `sent` are the bodies of the requests by name, None where others asked them; `is_whole` if each of them must
        have a result.  Raises UsageError when the journal cannot be written.
        """
        gathered = Gathered()
        left_out = tuple(self._body.left_out)
        open_ids = set(sent or ())
        failed: dict[str, tuple[Request, Row]] = {}
        answered: set[str] = set()
        for row in rows:
            if isinstance(row, DataError):
                gathered.num_unreadable += 1
                continue
            name = row.custom_id
            request = request_of(name, self._maker) if sent is None or name in sent else None
            if request is None:
                gathered.num_foreign += 1
                continue
            open_ids.discard(name)
            found = _answer(row)
            most = self._body.max_tokens(request) if sent is None else _num_allowed(sent[name])
            if found is None:
                failed[name] = request, row
                gathered.cost += cost(request, most, None) if row.status == 200 else 0
            elif name not in answered:
                answered.add(name)
                completion = _completion(request, found, started=started, left_out=left_out)
                if most < self._settings.max_tokens:
                    completion = replace(completion, max_tokens=most)
                gathered.cost += cost(request, most, found["usage"]) if found is not _FILTERED else 0
                self._record(completion, gathered)
        for name, (request, row) in failed.items():
            if name not in answered and request.k not in self._journal.completions:
                self._failed(request, row, sent[name] if sent is not None else self._body.of(request), gathered)
        for name in open_ids if is_whole else ():
            request = request_of(name, self._maker)
            assert request is not None
            assert sent is not None
            gathered.cost += cost(request, _num_allowed(sent[name]), None)
            if request.k not in self._journal.completions:
                gathered.failures[request.k] = Failure("no line in the results", "passing")
        if gathered.num_answered:
            self._num_failures.update(
                k for k, each in gathered.failures.items() if each.kind not in ("changed", "fatal")
            )
        return gathered

    def _record(self, completion: Completion, gathered: Gathered) -> None:
        if completion.k in self._journal.completions:
            gathered.num_known += 1
            return
        self._journal.append(completion)
        gathered.new.append(completion)

    def _failed(self, request: Request, row: Row, sent: dict[str, Any], gathered: Gathered) -> None:
        if row.status is None and row.code in UNDONE:
            gathered.num_undone += 1
            return
        if row.status is None or row.status < 400:
            words = row.message or f"no completion, with status {row.status or 'none'}"
            failure = Failure(f"{words} ({row.code})" if row.code else words, "passing", status=row.status)
        else:
            error = row.error
            failure = failure_of(error, timeout_s=self._settings.deadline_s)
            if failure.kind == "rejected":
                failure = replace(failure, kind=self._body.react(error, request, sent) or failure.kind)
        if failure.kind == "too_long" and len(request.seed_ids) > 1:
            self._num_seeds[request.k] = len(request.seed_ids) - 1
            failure = replace(failure, kind="changed")
        gathered.failures[request.k] = replace(failure, message=self._clean(failure.message))


_FILTERED = dict(FILTERED)


def _answer(row: Row) -> dict[str, Any] | None:
    """What a completion takes from a result; `_FILTERED` where a filter refused the prompt, None if there is none."""
    if row.status == 200:
        found = fields_of(dumps(row.body).encode("utf-8"))
        if found is not None and row.request_id:
            found["request_id"] = row.request_id
        return found
    return _FILTERED if row.status == 400 and is_filtered(row.error) else None


def _completion(
    request: Request, found: Mapping[str, Any], *, started: str, tries: int = 1, left_out: tuple[str, ...] = ()
) -> Completion:
    fields = {**found, "tier": "batch"}
    return Completion(
        k=request.k,
        seed_ids=request.seed_ids,
        prompt_sha256=request.prompt_sha256,
        started=started,
        seconds=0.0,
        tries=tries,
        left_out=left_out,
        **fields,
    )


def _num_allowed(body: Mapping[str, Any]) -> int:
    """Most new tokens that a request's body allows."""
    return int(body.get("max_completion_tokens") or body.get("max_tokens") or 0)
