"""The paths of files and batches: what each one does, and what is sent for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from alpaca_cli.rehearsal import multipart
from alpaca_cli.rehearsal.files import StoredFile
from alpaca_cli.rehearsal.protocol import Json
from alpaca_cli.rehearsal.service import Service

FILES, BATCHES = "/v1/files", "/v1/batches"


@dataclass(frozen=True)
class Filed:
    """A request for a file or a batch: its path, the pattern that this is of, and what came with it."""

    method: str
    path: str
    query: str
    content_type: str
    body: bytes | bytearray

    @property
    def route(self) -> str:
        """The path with {id} in the place of an id."""
        room, _, rest = self.path.removeprefix("/v1/").partition("/")
        _, slash, deed = rest.partition("/")
        return f"/v1/{room}" + (f"/{{id}}{slash}{deed}" if rest else "")

    @property
    def id(self) -> str:
        return self.path.split("/")[3]


ROUTES: Mapping[str, tuple[str, ...]] = {
    FILES: ("GET", "POST"),
    f"{FILES}/{{id}}": ("GET", "DELETE"),
    f"{FILES}/{{id}}/content": ("GET",),
    BATCHES: ("GET", "POST"),
    f"{BATCHES}/{{id}}": ("GET",),
    f"{BATCHES}/{{id}}/cancel": ("POST",),
}


def serve(service: Service, filed: Filed) -> Json | StoredFile | None:
    """What a request for one of ROUTES, with one of its methods, is answered with; None: with nothing at all.

    Raises ApiError for an answer that is an error.
    """
    query = dict(parse_qsl(filed.query, keep_blank_values=True))
    match filed.route.removeprefix("/v1/").split("/"), filed.method:
        case ["files"], "POST":
            file = service.files.upload(multipart.parse(filed.content_type, filed.body))
            return None if service.weather.next_upload_fault() == "lost_upload" else file.as_json()
        case ["files"], _:
            return service.files.listing(query)
        case ["files", _], "DELETE":
            return service.files.delete(filed.id)
        case ["files", _], _:
            return service.files.get(filed.id).as_json()
        case ["files", _, _], _:
            return service.files.download(filed.id)
        case ["batches"], "POST":
            batch = service.batches.create(bytes(filed.body))
            return None if batch is None else batch.as_json()
        case ["batches"], _:
            return service.batches.listing(query)
        case ["batches", _], _:
            return service.batches.look(filed.id)
    return service.batches.cancel(filed.id)
