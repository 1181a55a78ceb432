"""The batches of a server: created, listed, looked at and cancelled as at OpenAI, each worked off by its own thread."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping

from alpaca_cli.rehearsal.batch import ENDED, WINDOW, Batch
from alpaca_cli.rehearsal.batch_work import BatchWork
from alpaca_cli.rehearsal.books import Bill, Books
from alpaca_cli.rehearsal.files import Files, listed, page
from alpaca_cli.rehearsal.protocol import ApiError, Json
from alpaca_cli.rehearsal.weather import Weather

ENDPOINTS = ("/v1/chat/completions", "/v1/completions")
MOST_METADATA, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
MOST_LISTED, USUALLY_LISTED = 100, 20


class Batches:
    """All batches of a server.  Safe to use from many threads."""

    def __init__(self, *, weather: Weather, files: Files, books: Books, stopping: threading.Event) -> None:
        self._weather = weather
        self._files = files
        self._books = books
        self._stopping = stopping
        self._lock = threading.Lock()
        self._batches: dict[str, Batch] = {}
        self._threads: list[threading.Thread] = []

    def create(self, body: bytes) -> Batch | None:
        """Begin with the batch that a request's body asks for; None: it is begun, and the answer is to be lost.

        Raises ApiError for a request that OpenAI would refuse.
        """
        data = _read(body)
        fault = self._weather.next_batch_fault()
        if fault == "create_500":
            raise ApiError(500, "The server had an error while processing your request. Sorry about that!")
        input_file = self._files.get(data["input_file_id"])
        with self._lock:
            batch = Batch(
                f"batch_{len(self._batches) + 1:08d}",
                data["input_file_id"],
                data["endpoint"],
                data.get("metadata"),
                fault,
            )
            self._batches[batch.id] = batch
            self._books.bill(Bill(), batch=batch.id)
            work = BatchWork(
                batch, input_file, weather=self._weather, files=self._files, books=self._books, stopping=self._stopping
            )
            thread = threading.Thread(target=work.run, name=batch.id, daemon=True)
            self._threads.append(thread)
            thread.start()
        return None if fault == "lost_batch" else batch

    def look(self, batch_id: str) -> Json:
        """Where a batch stands.  Raises ApiError if there is none, or if the look is to fail."""
        batch = self._get(batch_id)
        with self._lock:
            batch.num_polls += 1
            batch.num_polls_ended += batch.status in ENDED
            if batch.fault == "poll_503" and batch.num_polls == 1:
                raise ApiError(503, "The server is overloaded or not ready yet.")
            return batch.as_json()

    def cancel(self, batch_id: str) -> Json:
        """Ask a batch to stop.  Raises ApiError if it has ended."""
        batch = self._get(batch_id)
        if not batch.stop():
            raise ApiError(400, f"Cannot cancel a batch with status '{batch.status}'.")
        return batch.as_json()

    def listing(self, query: Mapping[str, str]) -> Json:
        """The batches, newest first."""
        with self._lock:
            batches = list(reversed(self._batches.values()))
        found, has_more = page(batches, query, usual=USUALLY_LISTED, most=MOST_LISTED)
        return listed([batch.as_json() for batch in found], has_more=has_more)

    def close(self) -> None:
        """End all work, which the server's stop has begun, and wait for that."""
        with self._lock:
            batches, threads = list(self._batches.values()), list(self._threads)
        for batch in batches:
            batch.cancel.set()
        for thread in threads:
            thread.join()

    def _get(self, batch_id: str) -> Batch:
        with self._lock:
            batch = self._batches.get(batch_id)
        if batch is None:
            raise ApiError(404, f"No batch found with id '{batch_id[:100]}'.")
        return batch


def _read(body: bytes) -> Json:
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body must be JSON, and is not") from None
    if not isinstance(data, dict):
        raise ApiError(400, "the body must be a JSON object")
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(data.get(name), str):
            raise ApiError(400, f"you must provide {name!r}", param=name, code="missing_required_parameter")
    if data["endpoint"] not in ENDPOINTS:
        message = f"'endpoint' must be one of {', '.join(ENDPOINTS)}"
        raise ApiError(400, message, param="endpoint", code="invalid_value")
    if data["completion_window"] != WINDOW:
        message = f"'completion_window' must be {WINDOW}"
        raise ApiError(400, message, param="completion_window", code="invalid_value")
    if data.get("metadata") is not None and not _is_metadata(data["metadata"]):
        message = f"'metadata' must be up to {MOST_METADATA} texts, each under a key that is one"
        raise ApiError(400, message, param="metadata", code="invalid_value")
    return data


def _is_metadata(value: object) -> bool:
    return (
        isinstance(value, dict)
        and len(value) <= MOST_METADATA
        and all(
            isinstance(text, str) and len(key) <= LONGEST_KEY and len(text) <= LONGEST_VALUE
            for key, text in value.items()
        )
    )
