"""`alpaca rehearsal`: the flags of a storm, and the server that they make."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import pytest

from alpaca_cli.cli.app import main
from alpaca_cli.rehearsal.faults import PASSING
from alpaca_cli.rehearsal.storm import Storm, read_storm, storm_of
from conftest import Outcome

Alpaca = Callable[..., Outcome]


@contextmanager
def _running(*flags: str) -> Iterator[str]:
    """The address of the API of a server in a process of its own, which ends as by Ctrl-C."""
    command = [sys.executable, "-m", "alpaca_cli", "rehearsal", "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.send_signal(signal.SIGINT)
            _, talk = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in talk


def _status(url: str, body: object = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as response:
            return int(response.status)
    except HTTPError as error:
        with error:
            return int(error.code)


def test_a_storm_from_flags_and_a_file_is_served() -> None:
    Path("storm.yaml").write_text(
        "# two failures, then chance\nscript: [error_503, ok, error_500]\nrates: {drop: 0.5}\n"
    )
    ask = {"model": "rehearsal", "messages": [{"role": "user", "content": "a list of 3 tasks"}]}
    with _running("--script", "storm.yaml", "--fault", "drop=0", "--rpm", "1", "--rate-limit-headers") as url:
        assert [_status(f"{url}/chat/completions", ask) for _ in range(4)] == [503, 200, 500, 429]
        with urllib.request.urlopen(f"{url.removesuffix('/v1')}/rehearsal/books", timeout=20) as response:
            books = json.load(response)
    assert books["requests"] == {"/v1/chat/completions": {"200": 1, "429": 1, "500": 1, "503": 1}}
    assert (books["refused"], books["faults"]) == ({"requests": 1}, {"error_503": 1, "error_500": 1})


def test_flags_change_what_the_file_says() -> None:
    Path("storm.yaml").write_text("rates: {drop: 0.5, html: 0.1}\nconcurrency: 3\n")
    flags = [("--fault drop=0.2", ("rates", "drop"), 0.2), ("--max-concurrency", ("concurrency",), 5)]
    assert read_storm(Path("storm.yaml"), flags) == Storm(rates={"drop": 0.2, "html": 0.1}, concurrency=5)
    every = [("--faults", ("rates", name), 0.3 / len(PASSING)) for name in PASSING]
    assert read_storm(None, every) == storm_of(0.3)
    assert read_storm(None, []) == Storm()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fault", "eror_500=0.1"], "did you mean error_500?"),
        (["--fault", "drop"], "expected NAME=SHARE"),
        (["--fault", "drop=much"], "--fault drop=much: expected NAME=SHARE"),
        (["--fault", "drop=2"], "expected a share from 0 to 1, found 2"),
        (["--fault", "drop=nan"], "expected a share from 0 to 1"),
        (["--faults", "-1"], "--faults: expected a share from 0 to 1"),
        (["--faults", "0.5", "--fault", "echo_key=0.7"], "the rates come to 1.2"),
        (["--rpm", "0"], "--rpm: requests_per_minute: input should be greater than 0"),
        (["--tpm", "-1"], "--tpm: tokens_per_minute"),
        (["--max-concurrency", "0"], "--max-concurrency: concurrency"),
        (["--batch-seconds", "-1"], "--batch-seconds: batch_s"),
        (["--script", "missing.yaml"], "missing.yaml"),
        (["--script", "bad.yaml"], "bad.yaml:1:1: slow: unknown key"),
        (["--script", "bad.yaml"], "did you mean slow_s?"),
        (["--script", "bad.yaml"], "bad.yaml:2:14: script.1: unknown fault 'hangs'; did you mean hang?"),
        (
            ["--script", "bad.yaml"],
            "bad.yaml:3:16: batch_script.0: unknown fault of a batch 'expire'; did you mean expired?",
        ),
    ],
)
def test_what_is_impossible_is_said_before_anything_is_served(alpaca: Alpaca, flags: list[str], message: str) -> None:
    Path("bad.yaml").write_text("slow: 3\nscript: [ok, hangs]\nbatch_script: [expire]\nrates: {hung: 0.1}\n")
    run = alpaca("rehearsal", "--port", "0", *flags)
    assert (run.code, run.out) == (2, "")
    assert message in run.err


def test_help_names_every_flag_of_the_storm(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rehearsal", "--help"]) == 0
    shown = capsys.readouterr().out
    for flag in ("--faults", "--fault", "--script", "--rpm", "--tpm", "--max-concurrency", "--batch-seconds"):
        assert f"{flag} " in shown
