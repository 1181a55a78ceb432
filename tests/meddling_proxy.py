"""A real HTTP proxy on loopback in front of a real server, that does to its answers what a test says."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Answer:
    """What the server answered, or what to send in its place; `drop` closes the connection instead."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    drop: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def but(self, **changes: Any) -> Answer:
        """The same JSON object with some keys changed."""
        return Answer(self.status, json.dumps({**self.json, **changes}).encode())


def error(status: int, message: str, code: str | None = None) -> Answer:
    """An error in OpenAI's form."""
    return Answer(status, json.dumps({"error": {"message": message, "code": code, "type": "x"}}).encode())


Before = Callable[[str, str], Answer | None]
"""Of method and path: an answer without asking the server, or None to ask it."""
After = Callable[[str, str, Answer], Answer]
"""Of method, path and the server's answer: what to send."""


@contextmanager
def meddling(
    base_url: str, *, before: Before = lambda *_: None, after: After = lambda _, __, answer: answer
) -> Iterator[tuple[str, list[str]]]:
    """Run a proxy for the server at `base_url`: its own address, and what it was asked, as "METHOD /path"."""
    target = urlsplit(base_url)
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            path = self.path.removeprefix("/v1")
            asked.append(f"{self.command} {path.partition('?')[0]}")
            answer = before(self.command, path)
            if answer is None:
                answer = after(self.command, path, self._ask(body))
            if answer.drop:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = _forward

        def _ask(self, body: bytes) -> Answer:
            connection = http.client.HTTPConnection(target.hostname or "", target.port)
            kept = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(self.command, self.path, body, kept)
            response = connection.getresponse()
            answer = Answer(response.status, response.read(), {"content-type": response.headers["content-type"]})
            connection.close()
            return answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
