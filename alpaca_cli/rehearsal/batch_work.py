"""The work on a batch: from its input to its outputs, in the time that the storm gives it.

Each row is answered as the same request would be online; the rows come out in another order than they went in.
"""

from __future__ import annotations

import json
import random
import threading
import time

from alpaca_cli.rehearsal import chance, mangle, protocol
from alpaca_cli.rehearsal.batch import Batch
from alpaca_cli.rehearsal.batch_input import Row, read_rows
from alpaca_cli.rehearsal.books import Books, bill_of
from alpaca_cli.rehearsal.faults import error_of
from alpaca_cli.rehearsal.files import Files, StoredFile
from alpaca_cli.rehearsal.protocol import ApiError, Json
from alpaca_cli.rehearsal.storm import Storm
from alpaca_cli.rehearsal.weather import Weather, drawn

VALIDATING_SHARE = FINALIZING_SHARE = 0.1
_UNDONE = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}
_ENQUEUED = "Enqueued token limit reached for this model. Please try again once some batches have been completed."


class BatchWork:
    """Works off one batch in the thread that calls `run`; `stopping` ends it at once, unfinished."""

    def __init__(
        self,
        batch: Batch,
        input_file: StoredFile,
        *,
        weather: Weather,
        files: Files,
        books: Books,
        stopping: threading.Event,
    ) -> None:
        self._batch = batch
        self._input = input_file
        self._weather = weather
        self._files = files
        self._books = books
        self._stopping = stopping
        self._storm: Storm = weather.storm
        self._output = files.create(f"{batch.id}_output.jsonl", "batch_output")
        self._errors = files.create(f"{batch.id}_error.jsonl", "batch_output")

    def run(self) -> None:
        """Bring the batch to its end."""
        batch = self._batch
        self._wait(self._storm.batch_s * VALIDATING_SHARE)
        if self._stopping.is_set():
            return
        rows, batch.errors = read_rows(self._input, batch.endpoint)
        if batch.fault == "token_limit":
            batch.errors = [{"code": "token_limit_exceeded", "message": _ENQUEUED, "param": None, "line": None}]
        if batch.errors:
            batch.enter("failed")
            return
        batch.total = len(rows)
        batch.enter("in_progress")
        ending = self._answer(rows)
        if ending == "completed":
            batch.enter("finalizing")
        self._wait(self._storm.batch_s * FINALIZING_SHARE)
        if self._stopping.is_set():
            return
        self._keep_files()
        batch.enter(ending)

    def _answer(self, rows: list[Row]) -> str:
        """Answer the rows, evenly over the time; gives the status that the batch ends with."""
        batch = self._batch
        seconds = self._storm.batch_s * (1 - VALIDATING_SHARE - FINALIZING_SHARE)
        begin = time.monotonic()
        order = chance.shuffled(random.Random(f"order {self._weather.seed} {batch.id}"), rows)
        most = len(order) // 2 if batch.fault in ("expired", "cancelled") else len(order)
        ending = batch.fault if batch.fault in ("expired", "cancelled") else "completed"
        for done, row in enumerate(order[:most]):
            self._wait(begin + seconds * (done + 1) / len(order) - time.monotonic())
            if self._stopping.is_set():
                return ending
            if batch.cancel.is_set():
                most, ending = done, "cancelled"
                break
            self._answer_row(row)
        for row in order[most:]:
            code, message = _UNDONE[ending]
            self._write(self._errors, row, response=None, error={"code": code, "message": message})
        return ending

    def _answer_row(self, row: Row) -> None:
        batch = self._batch
        body = json.dumps(json.loads(self._input.read(row.at, row.length))["body"]).encode("ascii")
        try:
            question = protocol.read_question(body, chat=batch.endpoint.endswith("/chat/completions"))
            self._weather.check(question)
            fault = drawn(self._storm.row_rates, f"row {self._weather.seed} {batch.id} {row.custom_id}")
            if fault is not None and (error := error_of(fault, question, key="")) is not None:
                raise error
        except ApiError as error:
            batch.failed += 1
            self._write(self._errors, row, response=_response(error.status, error.body()), error=None)
            return
        answers = mangle.answers_of(fault, question, seed=self._weather.seed)
        work = bill_of(protocol.usage(question, answers), answers)
        batch.bill += work
        self._books.bill(work, batch=batch.id)
        self._books.deliver(question.prompts)
        self._write(self._output, row, response=_response(200, mangle.completion(fault, question, answers)), error=None)
        batch.completed += 1

    def _write(self, file: StoredFile, row: Row, *, response: Json | None, error: Json | None) -> None:
        name = f"batch_req_{self._batch.id.removeprefix('batch_')}_{row.at}"
        line = {"id": name, "custom_id": row.custom_id, "response": response, "error": error}
        file.append(json.dumps(line).encode("ascii") + b"\n")

    def _keep_files(self) -> None:
        batch = self._batch
        if self._output.num_bytes:
            self._output.num_failures = int(batch.fault == "download_502")
            batch.output_file_id = self._files.keep(self._output).id
        if self._errors.num_bytes:
            batch.error_file_id = self._files.keep(self._errors).id

    def _wait(self, seconds: float) -> None:
        """Wait so long, if it is long enough to notice, unless the batch is cancelled or the server stops."""
        if seconds > 0.005:
            self._batch.cancel.wait(seconds)


def _response(status: int, body: Json) -> Json:
    return {"status_code": status, "request_id": "rehearsal", "body": body}
