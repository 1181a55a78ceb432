"""A real HTTP server on loopback that answers as a test says: OpenAI's good answers, and everything that goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """What to send: a status, a body (an object becomes JSON), headers; `drop` closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


Script = Callable[[int, dict[str, Any]], Answer]


@dataclass
class Seen:
    """What a server was asked."""

    base_url: str
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


def chat(text: str | None, *, finish_reason: str | None = "stop", usage: object = None) -> Answer:
    """A chat completion as OpenAI sends it."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    return Answer(
        200, {"id": "chatcmpl-1", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}
    )


def error(status: int, message: str, *, code: str | None = None, param: str | None = None, **headers: str) -> Answer:
    """An error as OpenAI sends it."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def tasks(*instructions: str, first: int = 4) -> str:
    """A completion with these instructions, as a continuation of the prompt's list."""
    parts = [
        f"{number}. Instruction: {text}\n{number}. Input:\n<noinput>\n{number}. Output:\nDone, as asked.\n"
        for number, text in enumerate(instructions, first)
    ]
    return "###\n".join(parts)


VERBS = ["Explain", "Describe", "List", "Compare", "Summarize", "Invent", "Translate", "Sort", "Rewrite", "Count"]
THINGS = [
    "gravel",
    "violins",
    "harbours",
    "thunder",
    "marmalade",
    "glaciers",
    "ledgers",
    "kites",
    "walnuts",
    "lanterns",
]


def distinct(number: int) -> str:
    """Instruction number `number`, unlike all others."""
    words = [f"w{number * 7 + step}x" for step in range(4)]
    return f"{VERBS[number % 10]} {THINGS[number // 10 % 10]} {' '.join(words)} please."


def by_seeds(number: int, body: dict[str, Any]) -> Answer:
    """A deterministic teacher: three tasks that depend on the prompt alone."""
    key = sum(body["messages"][0]["content"].encode()) % 100_003
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    return chat(tasks(*(distinct(key * 3 + part) for part in range(3))), usage=usage)


@contextmanager
def serving(script: Script, *, model: str = "m") -> Iterator[Seen]:
    """Run a server of one model, whose POSTs are answered by `script(number of the request from 0, its JSON body)`."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            with lock:
                number = len(seen.requests)
                seen.requests.append(body)
                seen.headers.append({name.lower(): value for name, value in self.headers.items()})
                seen.paths.append(self.path)
            self._send(script(number, body))

        def do_GET(self) -> None:
            self._send(Answer(200, {"object": "list", "data": [{"id": model, "object": "model"}]}))

        def _send(self, answer: Answer) -> None:
            if answer.drop:
                self.close_connection = True
                return
            raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {"content-type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a client that hung up
    seen = Seen(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
