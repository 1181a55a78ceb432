"""The files that clients upload and batches write, on the disk of the server until it ends."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol, TypeVar

from alpaca_cli.rehearsal.multipart import Part
from alpaca_cli.rehearsal.protocol import ApiError, Json

LARGEST_FILE = 200 * 2**20
PURPOSES = ("assistants", "batch", "evals", "fine-tune", "user_data", "vision")
MOST_LISTED = 10_000
_CHUNK = 2**20


class Listed(Protocol):
    """What can be listed."""

    @property
    def id(self) -> str: ...


T = TypeVar("T", bound=Listed)


@dataclass
class StoredFile:
    """A file, without a name on the disk; `num_failures` downloads of it fail before one does not."""

    id: str
    filename: str
    purpose: str
    num_failures: int = 0
    created_at: int = field(default_factory=lambda: int(time.time()))
    num_bytes: int = 0
    _disk: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, content: bytes | memoryview) -> None:
        with self._lock:
            self._disk.seek(self.num_bytes)
            self._disk.write(content)
            self.num_bytes += len(content)

    def read(self, at: int, length: int) -> bytes:
        with self._lock:
            self._disk.seek(at)
            return self._disk.read(length)

    def chunks(self) -> Iterator[bytes]:
        """All of it, in pieces of up to a megabyte."""
        for at in range(0, self.num_bytes, _CHUNK):
            yield self.read(at, _CHUNK)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Each line without its end, and at which byte it begins."""
        at, rest = 0, b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield at, line
                at += len(line) + 1
        if rest:
            yield at, rest

    def close(self) -> None:
        with self._lock:
            self._disk.close()

    def as_json(self) -> Json:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.num_bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
        }


class Files:
    """All files of a server.  Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, StoredFile] = {}
        self._made: list[StoredFile] = []

    def create(self, filename: str, purpose: str) -> StoredFile:
        """A new, empty file, which is not to be found before it is kept."""
        with self._lock:
            self._made.append(StoredFile(f"file-{len(self._made) + 1:08d}", filename, purpose))
            return self._made[-1]

    def keep(self, file: StoredFile) -> StoredFile:
        with self._lock:
            self._files[file.id] = file
        return file

    def upload(self, parts: Mapping[str, Part]) -> StoredFile:
        """The file of a form.  Raises ApiError for one that OpenAI would not take."""
        given, purpose = parts.get("file"), parts.get("purpose")
        if given is None or given.filename is None:
            raise ApiError(400, "you must provide a file", param="file", code="missing_required_parameter")
        if purpose is None:
            raise ApiError(400, "you must provide a purpose", param="purpose", code="missing_required_parameter")
        name = bytes(purpose.content[:100]).decode("utf-8", "replace")
        if name not in PURPOSES:
            message = f"{name!r} is not one of {list(PURPOSES)} - 'purpose'"
            raise ApiError(400, message, param="purpose", code="invalid_value")
        if len(given.content) > LARGEST_FILE:
            message = f"the file has {len(given.content)} bytes; at most {LARGEST_FILE} are taken"
            raise ApiError(413, message, param="file", code="file_too_large")
        file = self.create(given.filename, name)
        file.append(given.content)
        return self.keep(file)

    def get(self, file_id: str) -> StoredFile:
        """Raises ApiError if there is no such file."""
        with self._lock:
            file = self._files.get(file_id)
        if file is None:
            raise ApiError(404, f"No such File object: {file_id[:100]}", param="id")
        return file

    def download(self, file_id: str) -> StoredFile:
        """A file whose content is to be sent.  Raises ApiError if it is not to be had, or not this time."""
        file = self.get(file_id)
        with self._lock:
            fails = file.num_failures > 0
            file.num_failures -= fails
        if fails:
            raise ApiError(502, "Bad gateway.")
        return file

    def delete(self, file_id: str) -> Json:
        """Forget a file; what reads it may go on."""
        self.get(file_id)
        with self._lock:
            self._files.pop(file_id, None)
        return {"id": file_id, "object": "file", "deleted": True}

    def close(self) -> None:
        """Give the disk back."""
        with self._lock:
            for file in self._made:
                file.close()

    def listing(self, query: Mapping[str, str]) -> Json:
        """The files, newest first unless `order` is asc."""
        with self._lock:
            files = list(self._files.values())
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise ApiError(400, f"{order!r} is not one of ['asc', 'desc'] - 'order'", param="order")
        if order == "desc":
            files.reverse()
        files = [file for file in files if query.get("purpose") in (None, file.purpose)]
        found, has_more = page(files, query, usual=MOST_LISTED, most=MOST_LISTED)
        return listed([file.as_json() for file in found], has_more=has_more)


def page(items: Sequence[T], query: Mapping[str, str], *, usual: int, most: int) -> tuple[list[T], bool]:
    """The items behind the id `after`, up to `limit` of them, and whether there are more."""
    limit = query.get("limit", str(usual))
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= most):
        raise ApiError(400, f"'limit' must be from 1 to {most}", param="limit", code="invalid_value")
    begin = 0
    if "after" in query:
        places = [at for at, item in enumerate(items) if item.id == query["after"]]
        if not places:
            raise ApiError(400, "there is nothing with the id 'after'", param="after", code="invalid_value")
        begin = places[0] + 1
    end = begin + int(limit)
    return list(items[begin:end]), end < len(items)


def listed(data: list[Json], *, has_more: bool) -> Json:
    """A page as OpenAI tells it."""
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {"object": "list", "data": data, "first_id": ends[0], "last_id": ends[1], "has_more": has_more}
