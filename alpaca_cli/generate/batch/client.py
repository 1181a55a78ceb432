"""The calls to a server's Batch API, each patient with what may pass, and sure of what it says.

A try to create a batch that got no answer may have created it: before another try the server's batches are looked
through, since a second batch would be paid as well.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import openai

from alpaca_cli.data.files import write_atomically
from alpaca_cli.data.jsonl import dumps
from alpaca_cli.errors import TeacherError, TeacherRefused, TeacherUnreachable
from alpaca_cli.generate.answer import excerpt
from alpaca_cli.generate.failure import Failure, failure_of
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.generate.trouble import FIRST_PAUSE_S, LONGEST_PAUSE_S

PAGE = 100  # batches in one list
LISTED_AFTER_S = 10.0  # a server that is many shows within this time what one of them was told
AGAIN = "once the server answers again, run the same command: it goes on where it stopped"
_NOT_FOUND = (404, 405, 410)
_T = TypeVar("_T")
Json = dict[str, Any]


class CallFailed(Exception):
    """A call that will not pass."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class _Odd(Exception):
    """An answer that is none: torn, short, or a web page."""


class BatchClient:
    """Calls one teacher's server.  `breaker_s`: seconds of failures after which a call gives up."""

    def __init__(self, teacher: Teacher, *, breaker_s: float, listener: Listener) -> None:
        self._teacher = teacher
        self._breaker_s = breaker_s
        self._listener = listener
        self._is_proven = False

    async def upload(self, path: Path, name: str, *, may_be_there: bool) -> str:
        """The id of a file that the server has under `name`, which is looked for before it is sent a second time."""

        async def send() -> str:
            nonlocal may_be_there
            if may_be_there and (found := await self._uploaded(name)) is not None:
                return found
            may_be_there = True
            with path.open("rb") as stream:
                files = self._teacher.client.files.with_raw_response
                answer = await files.create(file=(name, stream, "application/jsonl"), purpose="batch")
            return self._id(self._object(answer.content))

        return await self.call(f"uploading {name}", send)

    async def submit(
        self,
        file_id: str,
        url: str,
        metadata: Mapping[str, str],
        *,
        is_doubtful: bool,
        before_try: Callable[[], None],
    ) -> str:
        """The id of the batch of a file, of which the server has one after this, and not two.

        It is looked for first if a try before may have created it (`is_doubtful`), and again after a while, since the
        list may be late.  Raises CallFailed if for sure there is none, and TeacherUnreachable or TeacherRefused else.
        """

        async def send() -> str:
            nonlocal is_doubtful
            for pause in (0.0, LISTED_AFTER_S) if is_doubtful else ():
                await asyncio.sleep(pause)
                if (found := await self._created(file_id, metadata)) is not None:
                    return found
            before_try()
            was_doubtful, is_doubtful = is_doubtful, True
            try:
                answer = await self._teacher.client.batches.with_raw_response.create(
                    input_file_id=file_id,
                    endpoint=url,  # type: ignore[arg-type]  # of two, by the recipe
                    completion_window="24h",
                    metadata=dict(metadata),
                )
            except openai.APIError as error:
                is_doubtful = was_doubtful or self._failure(error).may_be_paid
                raise
            return self._id(self._object(answer.content))

        try:
            return await self.call("submitting a batch", send)
        except CallFailed as error:
            if not is_doubtful:
                raise
            failure = error.failure
            if failure.kind == "fatal" and failure.status not in _NOT_FOUND:
                raise await self.refused(failure) from None
            # another key, or another server, does not find what is there
            raise TeacherRefused(
                f"a batch may have been created, and there is no way to tell: {failure.message}",
                where=self._teacher.base_url,
                hint="run the same command with the key that was used first; or find out whether the server has a "
                f"batch of the file {file_id}; if it has none, delete the last line of batches.jsonl and run the same "
                "command again",
            ) from None

    async def _uploaded(self, name: str) -> str | None:
        """The id of the file under `name`, if it is found easily: a second one would cost nothing."""
        files = self._teacher.client.files.with_raw_response
        try:
            async for file in self._pages(lambda **after: files.list(purpose="batch", **after)):
                if file.get("filename") == name:
                    return self._id(file)
        except (openai.APIError, CallFailed, _Odd):
            pass
        return None

    async def _created(self, file_id: str, metadata: Mapping[str, str]) -> str | None:
        """The id of the first batch of a file or with our metadata, after a look at all there are."""
        batches = self._teacher.client.batches.with_raw_response

        async def look() -> str | None:
            pages = self._pages(lambda **after: batches.list(limit=PAGE, **after))
            ours = None
            async for each in pages:  # the newest first
                if file_id == each.get("input_file_id") or metadata == each.get("metadata"):
                    ours = self._id(each)
            return ours

        return await self.call("looking for a batch that may have been created", look)

    async def look(self, batch_id: str) -> Json:
        """Where a batch stands, as the server says."""

        async def send() -> Json:
            answer = await self._teacher.client.batches.with_raw_response.retrieve(batch_id)
            found = self._object(answer.content)
            if not isinstance(found.get("status"), str):
                raise self._odd("a batch without a status", answer.content)
            return found

        return await self.call("looking at a batch", send)

    async def download(self, file_id: str, path: Path, *, num_lines: int) -> None:
        """Write the whole of a server's file, which has `num_lines` lines at least, to `path`, or nothing."""

        async def fetch() -> None:
            last, tail, found = b"", b"", 0
            with write_atomically(path) as stream:
                async with self._teacher.client.files.with_streaming_response.content(file_id) as answer:
                    async for chunk in answer.iter_bytes(1 << 16):
                        stream.write(chunk)
                        *lines, tail = (tail + chunk).split(b"\n")
                        filled = [line for line in lines if line.strip()]
                        found += len(filled)
                        last = filled[-1] if filled else last
                if tail.strip():
                    last, found = tail, found + 1
                if last:
                    self._object(last)  # else it was torn, or is something else
                if found < num_lines:
                    raise _Odd(f"a file of {found:,} lines, where the server counted {num_lines:,} results")

        await self.call(
            "downloading the results of a batch",
            fetch,
            may_pass=(404,),  # a file may come later than the word that it is there
            hint=f"{AGAIN}; or get the file {file_id} in another way, put it at {path}, and run the same command",
        )

    async def call(
        self, what: str, send: Callable[[], Awaitable[_T]], *, may_pass: tuple[int, ...] = (), hint: str = AGAIN
    ) -> _T:
        """What `send` gives, tried again as long as it may pass.

        Raises CallFailed for what will not, and TeacherUnreachable with `hint` after `breaker_s` seconds of failures.
        """
        since: float | None = None
        pause = FIRST_PAUSE_S
        while True:
            try:
                result = await send()
            except (openai.APIError, _Odd) as error:
                failure = self._failure(error)
            except Exception as error:  # the SDK passes on what its HTTP library raises while a body is read
                if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2"):
                    raise
                failure = Failure(f"the connection failed: {error or type(error).__name__}", "passing")
            else:
                self._is_proven = True
                return result
            now = time.monotonic()
            since = now if since is None else since
            is_final = failure.kind in ("fatal", "rejected") and (failure.is_spoken or not self._is_proven)
            if is_final and failure.status not in may_pass:
                raise CallFailed(failure)
            asked = failure.pause_s or 0.0
            if now - since >= self._breaker_s or asked > self._teacher.settings.longest_pause_s:
                raise self.gave_up(what, failure, hint)
            since = max(since, now + asked)
            seconds = max(pause * (1 - random.random() / 4), asked)
            pause = min(LONGEST_PAUSE_S, pause * 2)
            self._listener.retry(f"{what}: {failure.message}; again in {seconds:.1f} s")
            await asyncio.sleep(seconds)

    def gave_up(self, what: str, failure: Failure, hint: str = AGAIN) -> TeacherUnreachable:
        """The error that ends a process whose server does not answer."""
        return TeacherUnreachable(
            f"{what} failed for {self._breaker_s:g} s; last: {failure.message}",
            where=self._teacher.base_url,
            hint=hint,
        )

    async def refused(self, failure: Failure) -> TeacherError:
        """The error that ends a run for a call that will not pass."""
        if failure.status in (404, 405, 501) and not self._is_proven:
            hint = "this server has no Batch API: leave out --batch, or write the batch to a file with --batch-export"
        elif failure.status in _NOT_FOUND:  # not for want of the model, which these calls do not name
            hint = "check the key: a server shows files and batches only to the project that they belong to"
        else:
            return await self._teacher.refused(failure)
        return TeacherRefused(failure.message, where=self._teacher.base_url, hint=hint)

    async def _pages(self, page: Callable[..., Awaitable[Any]]) -> AsyncIterator[Json]:
        """Every object of a list of many pages.  Raises CallFailed if the server does not give all of them."""
        seen: set[str] = set()
        after: dict[str, str] = {}
        while True:
            answer = await page(**after)
            found = self._object(answer.content)
            rows = found.get("data")
            if not isinstance(rows, list):
                raise self._odd("not a list", answer.content)
            new = [row for row in rows if isinstance(row, dict) and self._id(row) not in seen]
            for row in new:
                yield row
            if not found.get("has_more"):
                return
            if not new:
                raise CallFailed(Failure("the server's list does not end", "rejected"))
            seen.update(self._id(row) for row in new)
            after = {"after": self._id(new[-1])}

    def _failure(self, error: openai.APIError | _Odd) -> Failure:
        if isinstance(error, _Odd):
            return Failure(self._teacher.clean(str(error)), "passing", may_be_paid=True, is_spoken=False)
        failure = failure_of(error, timeout_s=self._teacher.settings.deadline_s)
        return replace(failure, message=self._teacher.clean(failure.message))

    def _object(self, answer: bytes) -> Json:
        try:
            found = json.loads(answer.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise self._odd("not what was asked for", answer)
        return found

    def _id(self, found: Json) -> str:
        if not isinstance(found.get("id"), str):
            raise self._odd("an object without an id", dumps(found).encode())
        return str(found["id"])

    def _odd(self, what: str, answer: bytes) -> _Odd:
        """The key is struck out first: of a key cut in the middle a part would be shown."""
        return _Odd(f"{what}: {excerpt(self._teacher.struck(answer))}")
