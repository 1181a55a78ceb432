"""The rehearsal teacher: a real OpenAI-compatible HTTP server on the loopback, offline, without any intelligence.

It composes instruction tasks by rule, so that `alpaca generate` can be tried for free, and for load and faults to be
tried at all.  Credentials are neither wanted nor looked at.  See `protocol` for what it understands.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from alpaca_cli.errors import UsageError
from alpaca_cli.rehearsal import protocol
from alpaca_cli.rehearsal.protocol import ApiError

SERVER_NAME = "alpaca-rehearsal (no intelligence)"
ABOUT = {
    "status": "ok",
    "name": "alpaca rehearsal teacher",
    "what": "an offline teacher without intelligence: it composes instruction tasks by rule",
    "model": protocol.MODEL,
    "endpoints": ["GET /v1/models", "POST /v1/chat/completions", "POST /v1/completions"],
}
LARGEST_BODY = 8 * 2**20
LARGEST_SKIPPED = 8 * LARGEST_BODY
"""A body that is too large is read past up to here, so that its sender hears why; a larger one is cut off."""
IDLE_S = 300.0
GRACE_S = 2.0
POLL_S = 0.05
_CHUNK = 2**16
_POSTED = {"/v1/chat/completions": True, "/v1/completions": False}


class RehearsalServer:
    """The teacher, serving from its construction until `close`, from a daemon thread; use it inside `with`.

    Its answers depend on `seed` and the request alone.  It waits `latency_s` before each completion.  Port 0 is any
    free port.  Raises UsageError if it cannot listen there.
    """

    def __init__(self, port: int = 0, *, host: str = "127.0.0.1", seed: int = 0, latency_s: float = 0.0) -> None:
        self._http = _listen(host, port, seed=seed, latency_s=latency_s)
        shown = f"[{host}]" if ":" in host else host
        self.base_url = f"http://{shown}:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(POLL_S,), name="rehearsal teacher", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> RehearsalServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def num_requests(self) -> int:
        """How many requests of any kind have come in so far."""
        return self._http.num_requests

    def serve_forever(self) -> None:
        """Wait until the server is closed or the caller is interrupted, which it is left to handle."""
        while self._thread.is_alive():
            self._thread.join(0.2)

    def close(self) -> None:
        """Stop listening, let answers under way be sent for up to GRACE_S seconds, and hang up.  May be repeated."""
        self._http.stop()
        self._thread.join()


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers share a port

    def __init__(self, address: tuple[str, int], *, seed: int, latency_s: float) -> None:
        self.seed = seed
        self.latency_s = latency_s
        self.num_requests = 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # not HTTPServer's own, which asks the network for the host's full name
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no news, and everything else is answered with status 500."""

    def count_request(self) -> None:
        with self._changed:
            self.num_requests += 1

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._changed:
            _hang_up(self._open, socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._open, GRACE_S)
            _hang_up(self._open, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, GRACE_S)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S
    server: _HttpServer
    _allowed: tuple[str, ...] = ("GET", "HEAD", "POST")

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
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(status, ApiError(status, (message or explain or status.phrase).lower()).body())

    def _serve(self) -> None:
        self.server.count_request()
        path = self.path.partition("?")[0].rstrip("/") or "/"
        try:
            body = self._body()
            if body is None:
                self.close_connection = True
            elif path in _POSTED:
                self._allow("POST")
                self._complete(body, chat=_POSTED[path])
            else:
                found = self._found(path)
                self._allow("GET", "HEAD")
                self._send(HTTPStatus.OK, found)
        except ApiError as error:
            self._send(error.status, error.body())
        except OSError:
            raise
        except Exception as error:  # a bug: told to the client, who asked, rather than to the terminal
            self._send(500, ApiError(500, f"the rehearsal teacher failed: {type(error).__name__}").body())

    def _found(self, path: str) -> protocol.Json:
        if path in ("/", "/health"):
            return ABOUT
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
            self._allowed = methods
            raise ApiError(405, f"{self.command} is not allowed here; use {methods[0]}", code="method_not_allowed")

    def _body(self) -> bytes | None:
        """The request's body, or None if the client hung up inside it."""
        if "transfer-encoding" in self.headers:
            self.close_connection = True
            raise ApiError(411, "send the body with a Content-Length")
        given = self.headers.get("content-length", "0")
        if not (given.isascii() and given.isdigit()):
            self.close_connection = True
            raise ApiError(400, "Content-Length must be a number")
        length = int(given[:20])
        if length > LARGEST_BODY:
            self._skip(length)
            raise ApiError(413, f"the body has {length} bytes; at most {LARGEST_BODY} are read", code="body_too_large")
        body = self.rfile.read(length)
        return body if len(body) == length else None

    def _skip(self, length: int) -> None:
        if length > LARGEST_SKIPPED:
            self.close_connection = True
            return
        while length > 0 and (part := self.rfile.read(min(length, _CHUNK))):
            length -= len(part)

    def _complete(self, body: bytes, *, chat: bool) -> None:
        question = protocol.read_question(body, chat=chat)
        answers = protocol.answer(question, seed=self.server.seed)
        if self.server.latency_s > 0:
            self.server.stopping.wait(self.server.latency_s)
        name = f"rehearsal-{question.digest[:24]}"
        if question.stream:
            self._send(HTTPStatus.OK, "".join(protocol.events(question, answers)), request_id=name)
        else:
            self._send(HTTPStatus.OK, protocol.completion(question, answers), request_id=name)

    def _send(self, status: int, content: protocol.Json | str, *, request_id: str = "rehearsal") -> None:
        """Headers and body in one write: two would cost a delayed acknowledgement on some systems."""
        is_json = isinstance(content, dict)
        body = (json.dumps(content) if is_json else str(content)).encode("utf-8")
        head = [
            f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}",
            f"server: {SERVER_NAME}",
            f"date: {self.date_time_string()}",
            f"content-type: {'application/json' if is_json else 'text/event-stream; charset=utf-8'}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
            *(["connection: close"] if self.close_connection else []),
            *([f"allow: {', '.join(self._allowed)}"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        ]
        text = "\r\n".join([*head, "", ""]).encode("latin-1")
        self.wfile.write(text if self.command == "HEAD" else text + body)


def _listen(host: str, port: int, *, seed: int, latency_s: float) -> _HttpServer:
    where = f"{host}:{port}"
    try:
        return _HttpServer((host, port), seed=seed, latency_s=latency_s)
    except OverflowError:
        raise UsageError(f"a port is a number from 0 to 65535, not {port}", where=where) from None
    except OSError as error:
        other = "choose another one with --port, or --port 0 for any free port"
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is already in use", where=where, hint=other) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            message = f"listening on port {port} is not permitted"
            raise UsageError(message, where=where, hint="choose a port from 1024 up with --port") from error
        raise UsageError(f"cannot listen here: {error.strerror or error}", where=where, hint=other) from error


def _hang_up(sockets: set[socket.socket], how: int) -> None:
    for each in sockets:
        try:
            each.shutdown(how)
        except OSError:
            continue  # it has gone by itself
