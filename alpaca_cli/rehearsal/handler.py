"""The HTTP of the rehearsal teacher: which path does what, and how bodies are read and answers sent."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from alpaca_cli.rehearsal import filing, protocol
from alpaca_cli.rehearsal.files import LARGEST_FILE, StoredFile
from alpaca_cli.rehearsal.filing import FILES, ROUTES, Filed
from alpaca_cli.rehearsal.online import JSON_TYPE, Reply
from alpaca_cli.rehearsal.protocol import ApiError
from alpaca_cli.rehearsal.service import Service

SERVER_NAME = "alpaca-rehearsal (no intelligence)"
ABOUT = {
    "status": "ok",
    "name": "alpaca rehearsal teacher",
    "what": "an offline teacher without intelligence: it composes instruction tasks by rule",
    "model": protocol.MODEL,
    "endpoints": [
        "GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions",
        *(f"{method} {route}" for route, methods in ROUTES.items() for method in methods),
        "GET /rehearsal/books",
    ],
}  # fmt: skip
LARGEST_BODY = 8 * 2**20
LARGEST_UPLOAD = LARGEST_FILE + 2**20
LARGEST_SKIPPED = 8 * LARGEST_BODY
"""A body that is too large is read past up to here, so that its sender hears why; a larger one is cut off."""
IDLE_S = 300.0
_CHUNK = 2**16
_LOOK_S = 0.05
_POSTED = {"/v1/chat/completions": True, "/v1/completions": False}
_OTHER_PATH = "other"


class Handler(BaseHTTPRequestHandler):
    """One connection; a server uses a subclass that knows its `service`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    service: Service
    _route = _OTHER_PATH

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client hung up

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the caller owns the terminal."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer in OpenAI's shape what the standard library finds wrong with a request's first lines."""
        self.close_connection = True
        self._route = _OTHER_PATH
        words = (message or explain or HTTPStatus(code).phrase).lower()
        if code == HTTPStatus.NOT_IMPLEMENTED:
            self._send_error(ApiError(405, words, headers={"allow": "GET, HEAD, POST, DELETE"}))
        else:
            self._send_error(ApiError(code, words))

    def _serve(self) -> None:
        self.service.books.arrived()
        path, _, query = self.path.partition("?")
        path = path.rstrip("/") or "/"
        self._route = _OTHER_PATH
        try:
            body = self._body(LARGEST_UPLOAD if (self.command, path) == ("POST", FILES) else LARGEST_BODY)
            filed = Filed(self.command, path, query, self.headers.get("content-type", ""), body or b"")
            if body is None:
                self._close()
            elif path in _POSTED:
                self._route = path
                self._allow("POST")
                self._complete(body, chat=_POSTED[path])
            elif filed.route in ROUTES:
                self._route = filed.route
                self._allow(*ROUTES[filed.route])
                self._send_filed(filing.serve(self.service, filed))
            else:
                found = self._found(path)
                self._route = path
                self._allow("GET", "HEAD")
                self._send_json(found)
        except ApiError as error:
            self._send_error(error)
        except OSError:
            raise
        except Exception as error:  # a bug: told to the client, who asked, rather than to the terminal
            self._send_error(ApiError(500, f"the rehearsal teacher failed: {type(error).__name__}"))

    def _found(self, path: str) -> protocol.Json:
        if path in ("/", "/health"):
            return ABOUT
        if path == "/rehearsal/books":
            return self.service.books.as_json()
        if path == "/v1/models":
            return {"object": "list", "data": [protocol.model_card()]}
        if path == f"/v1/models/{protocol.MODEL}":
            return protocol.model_card()
        if path.startswith("/v1/models/"):
            message = f"there is no such model here; the only one is {protocol.MODEL!r}"
            raise ApiError(404, message, param="model", code="model_not_found")
        raise ApiError(404, f"unknown path: {self.command} {path[:200]}", code="unknown_url")

    def _allow(self, *methods: str) -> None:
        if self.command not in methods:
            message = f"{self.command} is not allowed here; use {methods[0]}"
            raise ApiError(405, message, code="method_not_allowed", headers={"allow": ", ".join(methods)})

    def _body(self, most: int) -> bytes | bytearray | None:
        """The request's body, or None if the client hung up inside it."""
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise ApiError(411, "send the body with a Content-Length")
        given = self.headers.get("content-length", "0")
        if not (given.isascii() and given.isdigit()):
            self.close_connection = True
            raise ApiError(400, "Content-Length must be a number")
        length = int(given[:20])
        if length > most:
            self._skip(length)
            raise ApiError(413, f"the body has {length} bytes; at most {most} are read", code="body_too_large")
        if length <= LARGEST_BODY:
            body = self.rfile.read(length)
            return body if len(body) == length else None
        large = bytearray(length)  # read in place: twice its size would be much
        return large if self.rfile.readinto(large) == length else None

    def _skip(self, length: int) -> None:
        if length > LARGEST_SKIPPED:
            self.close_connection = True
            return
        while length > 0 and (part := self.rfile.read(min(length, _CHUNK))):
            length -= len(part)

    def _complete(self, body: bytes | bytearray, *, chat: bool) -> None:
        key = self.headers.get("authorization", "").removeprefix("Bearer ")
        reply = self.service.online.reply(body, chat=chat, key=key, wait_for_leaving=self._wait_for_leaving)
        if reply is None:
            self._close()
        else:
            self._send(reply)

    def _wait_for_leaving(self, seconds: float) -> None:
        """Wait until the client has closed the connection, the server stops, or so many seconds have gone."""
        end = time.monotonic() + seconds
        self.connection.settimeout(_LOOK_S)
        try:
            while time.monotonic() < end and not self.service.stopping.is_set():
                try:
                    if not self.connection.recv(1, socket.MSG_PEEK):
                        return
                    time.sleep(_LOOK_S)  # the client sent something more, and is still there
                except TimeoutError:
                    continue
        finally:
            self.connection.settimeout(self.timeout)

    def _close(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.service.books.answered(self._route, None)

    def _send_filed(self, found: protocol.Json | StoredFile | None) -> None:
        if found is None:
            self._close()
        elif isinstance(found, StoredFile):
            self.service.books.answered(self._route, HTTPStatus.OK)
            self.wfile.write(self._head(HTTPStatus.OK, "application/octet-stream", found.num_bytes, "rehearsal", {}))
            for chunk in found.chunks():
                self.wfile.write(chunk)
        else:
            self._send_json(found)

    def _send_json(self, content: protocol.Json) -> None:
        self._send(Reply(HTTPStatus.OK, json.dumps(content).encode("utf-8")))

    def _send_error(self, error: ApiError) -> None:
        self._send(Reply(error.status, json.dumps(error.body()).encode("utf-8"), JSON_TYPE, headers=error.headers))

    def _send(self, reply: Reply) -> None:
        """Headers and body in one write: two would cost a delayed acknowledgement on some systems."""
        if reply.num_sent is not None:
            self.close_connection = True
        self.service.books.answered(self._route, reply.status)
        text = self._head(reply.status, reply.content_type, len(reply.body), reply.request_id, reply.headers)
        self.wfile.write(text if self.command == "HEAD" else text + reply.body[: reply.num_sent])

    def _head(self, status: int, kind: str, length: int, request_id: str, headers: Mapping[str, str]) -> bytes:
        lines = [
            f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}",
            f"server: {SERVER_NAME}",
            f"date: {self.date_time_string()}",
            f"content-type: {kind}",
            f"content-length: {length}",
            f"x-request-id: {request_id}",
            *(f"{name}: {value}" for name, value in headers.items()),
            *(["connection: close"] if self.close_connection else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
