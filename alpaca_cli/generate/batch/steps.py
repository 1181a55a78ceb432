"""The steps of one batch at the server: uploaded, submitted, ended, downloaded; each is recorded, and none repeated."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal

from alpaca_cli.data.batchlog import Wave
from alpaca_cli.data.files import read_bytes, sha256
from alpaca_cli.errors import IntegrityError, TeacherRefused
from alpaca_cli.generate.batch.client import BatchClient, CallFailed, Json
from alpaca_cli.generate.batch.file import URLS
from alpaca_cli.generate.batch.folder import BatchFolder, Part
from alpaca_cli.generate.batch.money import BatchMoney
from alpaca_cli.generate.failure import Failure
from alpaca_cli.generate.progress import Listener
from alpaca_cli.generate.teacher import Teacher
from alpaca_cli.recipe.generate import GenerateRecipe

FIRST_LOOK_S, LONGEST_LOOK_S = 2.0, 60.0
ENDED = ("completed", "failed", "expired", "cancelled")


class BatchSteps:
    """Takes batches of a run through one server."""

    def __init__(
        self, recipe: GenerateRecipe, teacher: Teacher, folder: BatchFolder, money: BatchMoney, listener: Listener
    ) -> None:
        self._recipe = recipe
        self._teacher = teacher
        self._folder = folder
        self._log = folder.log
        self._money = money
        self._listener = listener
        self._may_be_uploaded = bool(
            folder.log.waves
        )  # by an earlier process, which was killed before it wrote that down
        self._client = BatchClient(teacher, breaker_s=recipe.breaker_s, listener=listener)

    async def go(self, wave: Wave) -> None:
        """Go on with a batch from wherever it is, until its results are in the folder.

        Raises UsageError when a file cannot be written, and TeacherError when the server refuses, does not answer, or
        is not the one that has the batch.
        """
        self._check_server(wave)
        try:
            if wave.step == "planned":
                await self._upload(wave)
            if wave.step in ("uploaded", "submitting"):
                await self._submit(wave)
            if wave.step == "submitted":
                await self._wait(wave)
            if wave.step == "ended":
                await self._download(wave)
        except CallFailed as error:
            raise await self._client.refused(error.failure) from None

    def _check_server(self, wave: Wave) -> None:
        """Another server would say that there is no such batch, and what is paid would be asked again."""
        if wave.step not in ("submitting", "submitted", "ended") or wave.base_url is None:
            return
        if wave.base_url.rstrip("/") != self._teacher.base_url.rstrip("/"):
            raise TeacherRefused(
                f"batch {wave.wave} is at another server, {wave.base_url}, and not taken yet",
                where=self._teacher.base_url,
                hint=f"take it first: run the same command with --base-url {wave.base_url}",
            )

    async def _upload(self, wave: Wave) -> None:
        path = self._folder.path(wave.wave, "input")
        if sha256(read_bytes(path)) != wave.sha256:
            hint = "put the file back as it was"
            raise IntegrityError("not the file that was planned", where=str(path), hint=hint)
        name = f"alpaca-{self._log.run}-{wave.wave}-{wave.sha256[:8]}.jsonl"
        file_id = await self._client.upload(path, name, may_be_there=self._may_be_uploaded)
        self._may_be_uploaded = False
        self._log.record(wave, "uploaded", file_id=file_id)

    async def _submit(self, wave: Wave) -> None:
        assert wave.file_id is not None
        self._money.send(wave)
        metadata = {"alpaca_run": self._log.run, "alpaca_wave": str(wave.wave), "sha256": wave.sha256}
        try:
            batch_id = await self._client.submit(
                wave.file_id,
                URLS[self._recipe.teacher.api],
                metadata,
                is_doubtful=wave.step == "submitting",
                before_try=lambda: self._submitting(wave),
            )
        except CallFailed as error:  # for sure there is no batch
            self._log.record(wave, "ended", status="failed", message=error.failure.message)
            self._money.settle(wave, Decimal(0))
            self._log.record(wave, "taken")
            raise
        self._log.record(wave, "submitted", batch_id=batch_id)

    def _submitting(self, wave: Wave) -> None:
        if wave.step != "submitting":
            self._log.record(wave, "submitting", base_url=self._teacher.base_url)

    async def _wait(self, wave: Wave) -> None:
        """Look at the batch until it has ended and its files are named."""
        assert wave.batch_id is not None
        pause, late_since, status = FIRST_LOOK_S, None, ""
        while True:
            batch = await self._look(wave)
            if batch["status"] != status:
                pause, status = FIRST_LOOK_S, batch["status"]
                self._listener.note(_state(wave, batch))
            if status in ENDED:
                if not _lacks_files(batch):
                    break
                now = time.monotonic()
                late_since = now if late_since is None else late_since
                if now - late_since >= self._recipe.breaker_s:
                    failure = Failure("it is completed, and names no file of results", "passing")
                    raise self._client.gave_up(f"looking at batch {wave.wave}", failure)
            self._listener.waiting(_state(wave, batch))
            await asyncio.sleep(pause)
            pause = min(LONGEST_LOOK_S, pause * 1.5)
        told = {key: self._teacher.clean(words) for key, words in _first_error(batch).items()}
        files = {name: batch[name] for name in ("output_file_id", "error_file_id") if isinstance(batch.get(name), str)}
        num_completed, num_failed = _counts(batch, "completed", "failed")
        self._log.record(
            wave, "ended", status=status, num_completed=num_completed, num_failed=num_failed, **files, **told
        )

    async def _look(self, wave: Wave) -> Json:
        assert wave.batch_id is not None
        try:
            return await self._client.look(wave.batch_id)
        except CallFailed as error:
            if error.failure.status != 404:
                raise
            raise TeacherRefused(
                f"batch {wave.wave} ({wave.batch_id}) is not known here: {error.failure.message}",
                where=self._teacher.base_url,
                hint=f"it was submitted to {wave.base_url}: ask there, with the same key",
            ) from None

    async def _download(self, wave: Wave) -> None:
        # some servers count the failed among the completed
        num_answers = min(wave.num_completed, wave.num_requests - wave.num_failed)
        parts: dict[Part, tuple[str | None, int]] = {
            "output": (wave.output_file_id, num_answers),
            "errors": (wave.error_file_id, min(wave.num_failed, wave.num_requests)),
        }
        for part, (file_id, num_lines) in parts.items():
            path = self._folder.path(wave.wave, part)
            if file_id is not None and not path.exists():
                await self._client.download(file_id, path, num_lines=num_lines)
        self._log.record(wave, "downloaded")


def _state(wave: Wave, batch: Json) -> str:
    """Where a batch stands, in words."""
    done = sum(_counts(batch, "completed", "failed"))
    parts = [f"batch {wave.wave}: {batch['status']}", f"{done:,} of {wave.num_requests:,} done"]
    return ", ".join([*parts, f"{max(0.0, wave.age_s) / 60:,.0f} min"])


def _counts(batch: Json, *names: str) -> list[int]:
    counts = batch.get("request_counts")
    found = [counts.get(name) if isinstance(counts, dict) else None for name in names]
    return [max(0, number) if type(number) is int else 0 for number in found]


def _lacks_files(batch: Json) -> bool:
    """Whether files of results are still to come, as they may a little after the word that the batch has ended."""
    if batch["status"] == "failed" or batch.get("output_file_id"):
        return False
    (num_completed,) = _counts(batch, "completed")
    return num_completed > 0 or (batch["status"] == "completed" and not batch.get("error_file_id"))


def _first_error(batch: Json) -> dict[str, str]:
    """Code and words of the first error for which a batch failed."""
    errors = batch.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
    return {key: first[key] for key in ("code", "message") if isinstance(first.get(key), str)}
