"""One completion request, answered as the storm has it: what the server says, and what it writes into its books."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from alpaca_cli.rehearsal import mangle, protocol
from alpaca_cli.rehearsal.books import Books, bill_of
from alpaca_cli.rehearsal.capacity import Capacity, Refused
from alpaca_cli.rehearsal.faults import error_of
from alpaca_cli.rehearsal.protocol import Answer, ApiError, Question
from alpaca_cli.rehearsal.weather import Weather

_UNREADABLE = frozenset(["torn_body", "torn_json", "empty_body", "missing_choices"])
JSON_TYPE = "application/json"


@dataclass(frozen=True)
class Reply:
    """What to send: of the body only the first `num_sent` bytes if that is set, after which the connection closes."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    request_id: str = "rehearsal"
    headers: Mapping[str, str] = field(default_factory=dict)
    num_sent: int | None = None


class Online:
    """Answers completion requests, from many threads at once."""

    def __init__(self, *, weather: Weather, latency_s: float, books: Books, stopping: threading.Event) -> None:
        self._weather = weather
        self._latency_s = latency_s
        self._books = books
        self._stopping = stopping
        self.capacity = Capacity(weather.storm, stopping)

    def reply(
        self, body: bytes | bytearray, *, chat: bool, key: str, wait_for_leaving: Callable[[float], None]
    ) -> Reply | None:
        """The answer to a request's body; None if the connection is to be closed without one.

        `wait_for_leaving` waits until the client has left or so many seconds have gone.  Raises ApiError for an
        answer that is an error.
        """
        storm = self._weather.storm
        question = protocol.read_question(body, chat=chat)
        self._weather.check(question)
        fault = self._weather.next_fault()
        error = self._error(fault, question, key)
        if fault == "unsupported_parameter" and error is None:
            fault = None  # the request has nothing that could still be refused
        if fault is not None:
            self._books.met(fault)
        if error is not None and fault != "error_504":
            raise error
        if fault == "drop":
            return None
        if fault in ("html", "html_502"):
            return Reply(200 if fault == "html" else 502, mangle.HTML.encode("ascii"), "text/html; charset=utf-8")
        try:
            with self.capacity.admitted(self._num_charged(question)), self._books.under_way():
                answers = mangle.answers_of(fault, question, seed=self._weather.seed)
                self._books.bill(bill_of(protocol.usage(question, answers), answers))
                delay = self._latency_s + (storm.slow_s if fault == "slow" else 0.0)
                if delay > 0:
                    self._stopping.wait(delay)
                if fault == "hang":
                    wait_for_leaving(storm.hang_s)
        except Refused as refusal:
            self._books.turned_away(refusal.limit)
            refusal.error.headers = {**refusal.error.headers, **self.capacity.headers()}
            raise refusal.error from None
        if error is not None:
            raise error
        if fault in ("hang", "drop_after_work"):
            return None
        if fault not in _UNREADABLE:
            self._books.deliver(question.prompts)
        return self._written(fault, question, answers)

    def _error(self, fault: str | None, question: Question, key: str) -> ApiError | None:
        if fault == "unsupported_parameter":
            return self._weather.refuse_a_parameter(question)
        return None if fault is None else error_of(fault, question, key=key)

    @staticmethod
    def _num_charged(question: Question) -> int:
        """Tokens that count against the limit: the prompts and the most that may be answered."""
        num_answers = question.num_choices * len(question.prompts)
        return question.num_prompt_tokens + (question.most_tokens or 0) * num_answers

    def _written(self, fault: str | None, question: Question, answers: list[Answer]) -> Reply:
        name = f"rehearsal-{question.digest[:24]}"
        if question.stream:
            text, kind = "".join(protocol.events(question, answers)), "text/event-stream; charset=utf-8"
        else:
            text, kind = json.dumps(mangle.completion(fault, question, answers)), JSON_TYPE
        body = text.encode("utf-8")
        num_sent = None
        match fault:
            case "torn_body":
                num_sent = len(body) // 2
            case "torn_json":
                body = body[: len(body) // 2]
            case "empty_body":
                body = b""
        return Reply(200, body, kind, name, self.capacity.headers(), num_sent)
