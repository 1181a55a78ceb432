"""The rehearsal teacher over HTTP: through the official SDK, by hand, by many at once, and at its end."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from alpaca_cli.errors import UsageError
from alpaca_cli.rehearsal import handler, listener, protocol, tokens
from alpaca_cli.rehearsal.compose import compose
from alpaca_cli.rehearsal.server import RehearsalServer

PROMPT = "Come up with a list of 20 tasks.\n\nList of 20 tasks:\n###\n4. Instruction:"
CHAT = "/v1/chat/completions"
TEXT = "/v1/completions"


@pytest.fixture(scope="module")
def server() -> Iterator[RehearsalServer]:
    with RehearsalServer() as running:
        yield running


@pytest.fixture
def client(server: RehearsalServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.base_url, api_key="not looked at", max_retries=0, timeout=20) as sdk:
        yield sdk


def _address(server: RehearsalServer) -> tuple[str, int]:
    host, _, port = server.base_url.removeprefix("http://").removesuffix("/v1").rpartition(":")
    return host, int(port)


def _send(
    server: RehearsalServer, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, dict[str, str], Any]:
    connection = http.client.HTTPConnection(*_address(server), timeout=20)
    try:
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        text = response.read()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, json.loads(text) if text[:1] == b"{" else text
    finally:
        connection.close()


def _chat(content: object = PROMPT, **more: object) -> dict[str, object]:
    return {"model": "rehearsal", "messages": [{"role": "user", "content": content}], **more}


def test_models(client: openai.OpenAI) -> None:
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("rehearsal", "model", "alpaca rehearsal, no intelligence")
    assert client.models.retrieve("rehearsal") == model
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-5")
    assert caught.value.code == "model_not_found"


def test_chat_completion(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="rehearsal", messages=[{"role": "user", "content": PROMPT}]
    )
    answer = raw.parse()
    (choice,) = answer.choices
    assert choice.message.content == compose(PROMPT)
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert (answer.object, answer.model, answer.system_fingerprint) == ("chat.completion", "rehearsal", "rehearsal")
    assert answer.id.startswith("chatcmpl-")
    assert raw.headers["x-request-id"] and "no intelligence" in raw.headers["server"]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == tokens.count(PROMPT)
    assert answer.usage.completion_tokens == tokens.count(compose(PROMPT))
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_completion_of_one_and_of_several_prompts(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="rehearsal", prompt=PROMPT)
    assert answer.choices[0].text == compose(PROMPT, chat=False)
    assert (answer.object, answer.choices[0].finish_reason) == ("text_completion", "stop")
    assert answer.id.startswith("cmpl-")
    other = PROMPT.replace("20", "12")
    several = client.completions.create(model="rehearsal", prompt=[PROMPT, other], n=2)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    assert [choice.text for choice in several.choices] == [
        compose(prompt, choice=choice, chat=False) for prompt in (PROMPT, other) for choice in (0, 1)
    ]


def test_n_gives_different_answers(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="rehearsal", messages=[{"role": "user", "content": PROMPT}], n=3)
    texts = [choice.message.content for choice in answer.choices]
    assert texts == [compose(PROMPT, choice=choice) for choice in range(3)]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("stop", ["\n###", ["\n9.", "\n6. Instruction:"], ["not there"]])
def test_stop(client: openai.OpenAI, stop: str | list[str]) -> None:
    answer = client.completions.create(model="rehearsal", prompt=PROMPT, stop=stop).choices[0]
    whole = compose(PROMPT, chat=False)
    ends = [whole.find(each) for each in ([stop] if isinstance(stop, str) else stop) if each in whole]
    assert answer.text == whole[: min(ends, default=len(whole))]
    assert answer.finish_reason == "stop"


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_limit_of_tokens(client: openai.OpenAI, name: str) -> None:
    create: Any = client.chat.completions.create
    answer = create(model="rehearsal", messages=[{"role": "user", "content": PROMPT}], **{name: 25})
    text = answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 25 == tokens.count(text)
    assert compose(PROMPT).startswith(text)
    most = tokens.count(compose(PROMPT))
    whole = create(model="rehearsal", messages=[{"role": "user", "content": PROMPT}], **{name: most})
    assert whole.choices[0].finish_reason == "stop"


def test_what_ends_a_text_first() -> None:
    assert tokens.ended("one two, three", (), None) == ("one two, three", "stop")
    assert tokens.ended("one two, three", (), 4) == ("one two, three", "stop")
    assert tokens.ended("one two, three", (), 3) == ("one two,", "length")
    assert tokens.ended("one two, three", ("th",), 3) == ("one two, ", "stop")
    assert tokens.ended("one two, three", ("th",), 2) == ("one two", "length")
    assert tokens.ended("one two, three", ("two", "one"), 2) == ("", "stop")


def test_streams(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="rehearsal",
        messages=[{"role": "user", "content": PROMPT}],
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == compose(PROMPT)
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-2:] == [None, "stop"]
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == tokens.count(compose(PROMPT))
    assert len(chunks) > 30
    with client.completions.create(model="rehearsal", prompt=PROMPT, stream=True, max_tokens=9) as text_stream:
        parts = list(text_stream)
    assert tokens.count("".join(part.choices[0].text for part in parts)) == 9
    assert parts[-1].choices[0].finish_reason == "length"


def test_a_conversation_is_its_contents(server: RehearsalServer) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": None},
        {"role": "user", "content": [{"type": "text", "text": PROMPT[:30]}, {"type": "text", "text": PROMPT[30:]}]},
    ]
    status, _, answer = _send(server, "POST", CHAT, {"model": "rehearsal", "messages": messages})
    assert status == 200
    assert answer["choices"][0]["message"]["content"] == compose(f"Be brief.\n\n\n\n{PROMPT}")


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": PROMPT}])
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    assert "rehearsal" in caught.value.message


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        (CHAT, b"{torn", 400, None),
        (CHAT, b"", 400, None),
        (CHAT, b"\xff\xfe", 400, None),
        (CHAT, b"[" * 100_000, 400, None),
        (CHAT, [], 400, None),
        (CHAT, {"messages": []}, 400, "model"),
        (CHAT, {"model": 3}, 400, "model"),
        (CHAT, {"model": "rehearsal"}, 400, "messages"),
        (CHAT, {"model": "rehearsal", "messages": []}, 400, "messages"),
        (CHAT, {"model": "rehearsal", "messages": ["x"]}, 400, "messages[0]"),
        (CHAT, {"model": "rehearsal", "messages": [{"role": "user"}]}, 400, "messages[0].content"),
        (CHAT, _chat([{"type": "image_url"}]), 400, "messages[0].content"),
        (CHAT, _chat(n=0), 400, "n"),
        (CHAT, _chat(n=129), 400, "n"),
        (CHAT, _chat(n=True), 400, "n"),
        (CHAT, _chat(stop=[3]), 400, "stop"),
        (CHAT, _chat(stop=""), 400, "stop"),
        (CHAT, _chat(stream="yes"), 400, "stream"),
        (CHAT, _chat(stream_options=3), 400, "stream_options"),
        (CHAT, _chat(max_tokens="9"), 400, "max_tokens"),
        (CHAT, _chat(max_completion_tokens=0), 400, "max_completion_tokens"),
        (TEXT, {"model": "rehearsal"}, 400, "prompt"),
        (TEXT, {"model": "rehearsal", "prompt": [1, 2]}, 400, "prompt"),
        (TEXT, {"model": "rehearsal", "prompt": []}, 400, "prompt"),
        (TEXT, {"model": "rehearsal", "prompt": ["x"] * 300, "n": 2}, 400, "n"),
        (TEXT, {"model": "rehearsal", "prompt": "x", "echo": True}, 400, "echo"),
    ],
)
def test_bad_requests(server: RehearsalServer, path: str, body: object, status: int, param: str | None) -> None:
    found, headers, answer = _send(server, "POST", path, body)
    assert found == status
    assert headers["content-type"] == "application/json"
    assert set(answer) == {"error"} and set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["param"] == param
    assert answer["error"]["type"] == "invalid_request_error" and answer["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/completions", 405),
        ("POST", "/v1/models", 405),
        ("PUT", "/health", 405),
        ("BREW", "/health", 405),
        ("GET", "/v1/nothing", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/models/gpt-5", 404),
    ],
)
def test_wrong_paths_and_methods(server: RehearsalServer, method: str, path: str, status: int) -> None:
    found, headers, answer = _send(server, method, path, {} if method == "POST" else None)
    assert found == status
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert ("allow" in headers) == (status == 405)


def test_it_says_what_it_is(server: RehearsalServer) -> None:
    for path in ("/", "/health", "/health?x=1"):
        status, headers, answer = _send(server, "GET", path)
        assert (status, answer["status"]) == (200, "ok")
        assert "without intelligence" in answer["what"]
        assert "no intelligence" in headers["server"]
    status, headers, body = _send(server, "HEAD", "/v1/models")
    assert (status, body) == (200, b"") and int(headers["content-length"]) > 0


def test_credentials_are_never_echoed(server: RehearsalServer) -> None:
    for path, body in ((CHAT, _chat()), (CHAT, {}), ("/v1/nowhere", {})):
        _, headers, answer = _send(server, "POST", path, body, Authorization="Bearer sk-very-secret")
        assert "very-secret" not in json.dumps([headers, answer])
    assert _send(server, "POST", CHAT, _chat())[0] == 200


def test_large_bodies_are_refused_and_the_connection_serves_on(server: RehearsalServer) -> None:
    connection = http.client.HTTPConnection(*_address(server), timeout=20)
    try:
        connection.request("POST", CHAT, b"x" * (handler.LARGEST_BODY + 1))
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["error"]["code"]) == (413, "body_too_large")
        connection.request("POST", CHAT, json.dumps(_chat("p" * (handler.LARGEST_BODY - 1000))))
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    finally:
        connection.close()


def test_a_body_without_its_length_is_refused(server: RehearsalServer) -> None:
    for head, status in ((b"Transfer-Encoding: chunked", b"411"), (b"Content-Length: many", b"400")):
        with socket.create_connection(_address(server), timeout=20) as raw:
            raw.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\n" + head + b"\r\n\r\n")
            assert raw.recv(2000).split()[1] == status
    with socket.create_connection(_address(server), timeout=20) as raw:
        raw.sendall(b"no request at all\r\n\r\n")
        assert b'"error"' in raw.recv(2000)


def test_connections_are_kept_alive(server: RehearsalServer) -> None:
    connection = http.client.HTTPConnection(*_address(server), timeout=20)
    try:
        sockets = set()
        for _ in range(40):
            connection.request("POST", CHAT, json.dumps(_chat()))
            connection.getresponse().read()
            sockets.add(connection.sock)
        assert len(sockets) == 1
        assert None not in sockets
    finally:
        connection.close()


def test_clients_that_hang_up_leave_no_trace(server: RehearsalServer, capfd: pytest.CaptureFixture[str]) -> None:
    request = json.dumps(_chat(n=20)).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    for sent in (head % len(request) + request, head % (len(request) + 9) + request, b"GET /he"):
        with socket.create_connection(_address(server), timeout=20) as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.sendall(sent)
    assert _send(server, "GET", "/health")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_bugs_are_told_to_the_client(
    server: RehearsalServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> list[object]:
        raise ZeroDivisionError

    monkeypatch.setattr(protocol, "answer", fail)
    status, _, answer = _send(server, "POST", CHAT, _chat())
    assert (status, answer["error"]["type"]) == (500, "server_error")
    assert capfd.readouterr() == ("", "")


def test_many_at_once_get_what_one_after_another_gets(server: RehearsalServer) -> None:
    bodies = [_chat(f"{at}\n{PROMPT}", n=1 + at % 2) for at in range(96)]
    alone = [_send(server, "POST", CHAT, body)[2] for body in bodies]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda body: _send(server, "POST", CHAT, body)[2], reversed(bodies)))
    assert together[::-1] == alone
    assert len({answer["id"] for answer in alone}) == len(alone)


def test_the_seed_changes_the_answers_and_requests_are_counted() -> None:
    with RehearsalServer(seed=7) as other:
        assert other.num_requests == 0
        text = _send(other, "POST", TEXT, {"model": "rehearsal", "prompt": PROMPT})[2]["choices"][0]["text"]
        assert text == compose(PROMPT, seed=7, chat=False) != compose(PROMPT, chat=False)
        _send(other, "GET", "/nowhere")
        assert other.num_requests == 2


def test_a_port_in_use_is_a_usage_error(server: RehearsalServer) -> None:
    _, port = _address(server)
    with pytest.raises(UsageError) as caught:
        RehearsalServer(port)
    (problem,) = caught.value.problems
    assert problem.message == f"port {port} is already in use"
    assert problem.where == f"127.0.0.1:{port}"
    assert problem.hint is not None and "--port 0" in problem.hint


def test_a_port_out_of_range_or_reserved_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="from 0 to 65535, not 70000"):
        RehearsalServer(70000)
    with pytest.raises(UsageError, match="cannot listen here"):
        RehearsalServer(host="256.0.0.1")

    def forbid(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(listener.Listener, "server_bind", forbid)
    with pytest.raises(UsageError, match="port 80 is not permitted") as caught:
        RehearsalServer(80)
    assert caught.value.problems[0].hint == "choose a port from 1024 up with --port"


def test_it_closes_promptly_with_idle_and_waiting_clients() -> None:
    before = threading.active_count()
    server = RehearsalServer(latency_s=30.0)
    idle = socket.create_connection(_address(server), timeout=20)
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(_send(server, "POST", CHAT, _chat())[0]))
    waiting.start()
    while server.num_requests == 0:
        time.sleep(0.01)
    waiter = threading.Thread(target=server.serve_forever)
    waiter.start()
    server.close()
    waiting.join(20)  # not the thirty seconds of the latency
    waiter.join(20)
    assert answers == [200]
    assert idle.recv(10) == b""
    idle.close()
    server.close()
    with pytest.raises(OSError):
        socket.create_connection(_address(server), timeout=2)
    assert threading.active_count() <= before + 1


def test_latency_is_waited_for() -> None:
    with RehearsalServer(latency_s=0.2) as slow:
        started = time.perf_counter()
        assert _send(slow, "POST", CHAT, _chat())[0] == 200
        assert time.perf_counter() - started >= 0.2
