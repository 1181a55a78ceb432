"""How the tests of the rehearsal teacher ask it: by hand, over the standard library's HTTP."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import Any

from alpaca_cli.rehearsal.server import RehearsalServer

PROMPT = "Come up with a list of 20 tasks.\n\nList of 20 tasks:\n###\n4. Instruction:"
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"
KEY = "sk-very-secret-key"


@dataclass(frozen=True)
class Heard:
    """What came back: status, headers in lower case, and the body as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        return self.json["error"]

    @property
    def text(self) -> str:
        choice = self.json["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])


def address(server: RehearsalServer) -> tuple[str, int]:
    host, _, port = server.base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    return host, int(port)


def chat(content: object = PROMPT, **more: object) -> dict[str, object]:
    return {"model": "rehearsal", "messages": [{"role": "user", "content": content}], **more}


def send(server: RehearsalServer, method: str, path: str, body: object = None, **headers: str) -> Heard:
    connection = http.client.HTTPConnection(*address(server), timeout=20)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Authorization": f"Bearer {KEY}", **headers})
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Heard(response.status, names, response.read())
    finally:
        connection.close()


def ask(server: RehearsalServer, content: object = PROMPT, **more: object) -> Heard:
    return send(server, "POST", CHAT, chat(content, **more))
