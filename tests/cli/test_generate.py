"""`alpaca generate` against a real server, from argv to files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Outcome
from scripted_server import Answer, by_seeds, chat, distinct, error, serving, tasks

Alpaca = Callable[..., Outcome]


def test_a_run_ends_with_exactly_num_examples(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        run = alpaca("generate", "--num", 10, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    rows = json.loads(Path("r/alpaca_data.json").read_text())
    report = json.loads(Path("r/report.json").read_text())
    assert (run.code, run.out) == (0, "r/alpaca_data.json\n")
    assert len(rows) == 10
    assert all(list(row) == ["instruction", "input", "output"] for row in rows)
    assert (report["kept"], report["is_complete"], report["tokens"]) == (10, True, {"prompt": 40, "completion": 80})
    assert len(Path("r/provenance.jsonl").read_text().splitlines()) == 10
    assert len(Path("r/journal.jsonl").read_text().splitlines()) == len(seen.requests)


def test_the_dataset_is_in_stanfords_form(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        alpaca("generate", "--num", 2, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    text = Path("r/alpaca_data.json").read_text()
    assert text == json.dumps(json.loads(text), indent=4)


def test_the_same_command_does_nothing_when_the_run_is_complete(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        command = ["generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        alpaca(*command)
        before = {path: path.read_bytes() for path in Path("r").iterdir()}
        asked = len(seen.requests)
        again = alpaca(*command)

    assert again.code == 0
    assert len(seen.requests) == asked
    assert {path: path.read_bytes() for path in Path("r").iterdir()} == before
    assert "none now" in again.err


def test_a_larger_num_goes_on_and_keeps_what_was_there(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        alpaca(*command, 4)
        first = json.loads(Path("r/alpaca_data.json").read_text())
        asked = len(seen.requests)
        more = alpaca(*command, 9)
        prompts = [body["messages"][0]["content"] for body in seen.requests]

    rows = json.loads(Path("r/alpaca_data.json").read_text())
    assert more.code == 0
    assert rows[:4] == first
    assert len(rows) == 9
    assert len(seen.requests) > asked
    assert len(set(prompts)) == len(prompts)


def test_another_recipe_in_the_folder_is_refused_with_the_difference(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        command = ["generate", "--num", 2, "--base-url", seen.base_url, "--out", "r"]
        alpaca(*command, "--model", "m")
        before = {path: path.read_bytes() for path in Path("r").iterdir()}
        refused = alpaca(*command, "--model", "other", "--set", "novelty.threshold=0.6")

    assert refused.code == 2
    assert "novelty.threshold: 0.7 there, 0.6 now" in refused.err
    assert 'teacher.model: "m" there, "other" now' in refused.err
    assert {path: path.read_bytes() for path in Path("r").iterdir()} == before


def test_without_a_key_or_an_address_nothing_is_begun(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 3, "--out", "r")

    assert run.code == 2
    assert "OPENAI_API_KEY is not set" in run.err
    assert "--base-url" in run.err
    assert "--teacher rehearsal" in run.err
    assert not Path("r").exists()


def test_num_is_asked_for(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--out", "r")

    assert (run.code, Path("r").exists()) == (2, False)
    assert "--num" in run.err


def test_an_address_without_http_is_refused(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 1, "--base-url", "localhost:8000", "--model", "m", "--out", "r")

    assert (run.code, Path("r").exists()) == (2, False)
    assert "begins with http://" in run.err


def test_the_environment_names_the_server(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(by_seeds) as seen:
        monkeypatch.setenv("OPENAI_BASE_URL", seen.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
        run = alpaca("generate", "--num", 1, "--model", "m", "--out", "r")

    assert run.code == 0
    assert seen.headers[0]["authorization"] == "Bearer sk-from-the-environment"
    assert not any("sk-from" in path.read_text() for path in Path("r").iterdir())


def test_a_wrong_key_is_one_request_and_one_line(alpaca: Alpaca) -> None:
    with serving(lambda number, body: error(401, "Incorrect API key provided", code="invalid_api_key")) as seen:
        run = alpaca("generate", "--num", 50, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert run.code == 4
    assert len(seen.requests) == 1
    assert "HTTP 401: Incorrect API key provided" in run.err
    assert "check the key in OPENAI_API_KEY" in run.err
    assert "Traceback" not in run.err


def test_a_failure_in_the_middle_keeps_what_was_paid_and_the_same_command_goes_on(alpaca: Alpaca) -> None:
    broken = [True]

    def script(number: int, body: dict[str, Any]) -> Answer:
        return error(401, "revoked") if broken[0] and number >= 3 else by_seeds(number, body)

    with serving(script) as seen:
        command = ["generate", "--num", 30, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        failed = alpaca(*command, "--set", "teacher.concurrency=1")
        kept = json.loads(Path("r/alpaca_data.json").read_text())
        broken[0] = False
        done = alpaca(*command)
        answered = len(Path("r/journal.jsonl").read_text().splitlines())

    assert (failed.code, done.code) == (4, 0)
    assert len(kept) == 9
    assert json.loads(Path("r/alpaca_data.json").read_text())[:9] == kept
    assert len(seen.requests) == answered + 1  # the one that was refused


def test_a_teacher_that_writes_no_tasks_is_given_up_with_its_words(alpaca: Alpaca) -> None:
    with serving(lambda number, body: chat("blah blah blah")) as seen:
        run = alpaca(
            "generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r", "--set", "patience=6"
        )

    assert run.code == 4
    assert 6 <= len(seen.requests) <= 6 + 16
    assert "6 completions in a row gave no accepted task" in run.err or "gave no accepted task" in run.err
    assert "blah blah blah" in run.err
    assert json.loads(Path("r/alpaca_data.json").read_text()) == []


def test_refused_tasks_are_kept_with_their_reason(alpaca: Alpaca) -> None:
    bad = "Write poem", "Draw a picture of a small boat on the lake.", "Explain the tides to a child in short words."

    def script(number: int, body: dict[str, Any]) -> Answer:
        return chat(tasks(*bad, bad[2])) if number == 0 else by_seeds(number, body)

    with serving(script) as seen:
        run = alpaca(
            "generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r", "--json",
            "--set", "teacher.concurrency=1",
        )  # fmt: skip

    rows = [json.loads(line) for line in Path("r/refused.jsonl").read_text().splitlines()]
    assert [(row["reason"], row["instruction"]) for row in rows] == [
        ("too_short", bad[0]),
        ("asks_for_picture", bad[1]),
        ("not_novel", bad[2]),
    ]
    assert (rows[2]["repeats"], rows[2]["score"]) == (bad[2], 1.0)
    assert run.json["refused"] == {"too_short": 1, "asks_for_picture": 1, "not_novel": 1}


def test_concurrency_does_not_change_the_files(alpaca: Alpaca) -> None:
    files = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl", "report.json")
    made = []
    for concurrency in (1, 7, 32):

        def script(number: int, body: dict[str, Any]) -> Answer:
            time.sleep((number * 37 % 11) / 1000)
            return by_seeds(number, body)

        with serving(script) as seen:
            out = f"r{concurrency}"
            alpaca(
                "generate", "--num", 60, "--base-url", seen.base_url, "--model", "m", "--out", out,
                "--set", f"teacher.concurrency={concurrency}",
            )  # fmt: skip
        made.append([(Path(out) / name).read_bytes().partition(b'"run": {')[0] for name in files])

    assert made[0] == made[1] == made[2]


def test_small_runs_are_not_asked_for_more_than_they_need(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        alpaca("generate", "--num", 3, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert len(seen.requests) == 1


@contextmanager
def _running(out: Path, base_url: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, which does not outlive the test."""
    command = ["generate", "--num", "400", "--base-url", base_url, "--model", "m", "--out", str(out), *more]
    process = subprocess.Popen(
        [sys.executable, "-m", "alpaca_cli", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.01)


def test_a_second_writer_is_kept_out(alpaca: Alpaca, tmp_path: Path) -> None:
    def slow(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.2)
        return by_seeds(number, body)

    with serving(slow) as seen, _running(tmp_path / "r", seen.base_url):
        _wait_for(lambda: len(seen.requests) > 0)
        second = alpaca("generate", "--num", 400, "--base-url", seen.base_url, "--model", "m", "--out", tmp_path / "r")

    assert second.code == 2
    assert "another process is writing to this run" in second.err


def test_ctrl_c_waits_for_what_is_under_way_and_loses_nothing(tmp_path: Path) -> None:
    def slow(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.3)
        return by_seeds(number, body)

    with serving(slow) as seen, _running(tmp_path / "r", seen.base_url, "--set", "teacher.concurrency=8") as run:
        _wait_for(lambda: len(seen.requests) >= 5)
        os.kill(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=30)
        asked = len(seen.requests)

    journal = (tmp_path / "r" / "journal.jsonl").read_text().splitlines()
    assert run.returncode == 130
    assert len(journal) == asked
    assert "to go on: alpaca generate --num 400 --base-url http://127.0.0.1:" in err
    assert "Traceback" not in err
    assert len(json.loads((tmp_path / "r" / "alpaca_data.json").read_text())) > 0


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    def hanging(number: int, body: dict[str, Any]) -> Answer:
        if number > 0:
            time.sleep(60)
        return by_seeds(number, body)

    with serving(hanging) as seen, _running(tmp_path / "r", seen.base_url, "--set", "teacher.concurrency=4") as run:
        _wait_for(lambda: len(seen.requests) >= 4)
        os.kill(run.pid, signal.SIGINT)
        assert run.stderr is not None
        _wait_for(lambda: "Ctrl-C again leaves at once" in run.stderr.readline())  # type: ignore[union-attr]
        os.kill(run.pid, signal.SIGINT)
        _, err = run.communicate(timeout=30)  # not the minute of the answers

    assert run.returncode == 130
    assert "Traceback" not in err


def test_a_server_that_moved_is_told_and_gone_on_with(alpaca: Alpaca) -> None:
    for num in (4, 8):
        with serving(by_seeds) as seen:
            run = alpaca("generate", "--num", num, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert run.code == 0
    assert "note: the teacher was at http://127.0.0.1:" in run.err
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 8


def test_other_versions_than_those_a_run_was_begun_with_are_told(alpaca: Alpaca) -> None:
    with serving(by_seeds) as seen:
        command = ["generate", "--base-url", seen.base_url, "--model", "m", "--out", "r", "--num"]
        alpaca(*command, 4)
        versions = json.loads(Path("r/versions.json").read_text())
        Path("r/versions.json").write_text(json.dumps({**versions, "rapidfuzz": "3.0"}))
        run = alpaca(*command, 8)

    assert run.code == 0
    assert f"rapidfuzz 3.0 then, {versions['rapidfuzz']} now" in run.err


def _whole_run(alpaca: Alpaca) -> list[str]:
    with serving(by_seeds) as seen:
        command = ["generate", "--num", "6", "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        assert alpaca(*command).code == 0
    return command


@pytest.mark.parametrize("lost", ["all", "a line", "the end"])
def test_a_journal_that_lost_what_was_paid_is_told_and_nothing_is_asked(alpaca: Alpaca, lost: str) -> None:
    command = _whole_run(alpaca)
    journal = Path("r/journal.jsonl")
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text({"all": "", "a line": "".join(lines[1:]), "the end": "".join(lines)[:-20]}[lost])
    run = alpaca(*command)

    assert run.code == 5
    assert "completions that report.json counts" in run.err
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 6


@pytest.mark.parametrize("name", ["alpaca_data.json", "provenance.jsonl", "refused.jsonl"])
def test_a_derived_file_that_was_changed_or_lost_is_made_again(alpaca: Alpaca, name: str) -> None:
    command = _whole_run(alpaca)
    path = Path("r") / name
    before = path.read_bytes()
    for damage in (b"changed", None):
        path.unlink() if damage is None else path.write_bytes(damage)
        run = alpaca(*command)
        assert (run.code, path.read_bytes()) == (0, before)


def test_a_folder_in_which_nothing_was_paid_takes_another_recipe(alpaca: Alpaca) -> None:
    def script(number: int, body: dict[str, Any]) -> Answer:
        return by_seeds(number, body) if body["model"] == "m" else error(404, "no such model", code="model_not_found")

    with serving(script) as seen:
        command = ["generate", "--num", 2, "--base-url", seen.base_url, "--out", "r", "--model"]
        wrong = alpaca(*command, "wrong")
        right = alpaca(*command, "m")

    assert (wrong.code, right.code) == (4, 0)
    assert "the server knows: m" in wrong.err


def test_running_a_hopeless_command_again_asks_one_more_and_no_further_patience(alpaca: Alpaca) -> None:
    with serving(lambda number, body: chat(tasks("Explain the tides."), finish_reason="length")) as seen:
        command = ["generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r"]
        first = alpaca(*command, "--set", "patience=6")
        asked = len(seen.requests)
        again = alpaca(*command, "--set", "patience=6")

    assert (first.code, again.code) == (4, 4)
    assert asked <= 6 + 4
    assert len(seen.requests) == asked + 1
    assert "raise --set teacher.max_tokens" in first.err


def test_two_teachers_at_once_are_refused(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 5, "--teacher", "rehearsal", "--base-url", "http://localhost:1/v1")

    assert run.code == 2
    assert "--teacher rehearsal and --base-url name two teachers" in run.err


def test_a_recipe_may_name_the_rehearsal_and_nothing_else(alpaca: Alpaca) -> None:
    Path("r.yaml").write_text("kind: generate\nteacher: {kind: rehearsal}\n")
    run = alpaca("generate", "--recipe", "r.yaml", "--num", 5, "--out", "r")

    assert run.code == 0
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 5


@pytest.mark.parametrize("field", ["n", "stream", "messages", "max_tokens", "service_tier", "best_of"])
def test_extra_fields_may_not_change_what_an_answer_is(alpaca: Alpaca, field: str) -> None:
    run = alpaca("generate", "--num", 5, "--out", "r", "--set", f"teacher.extra_body={{{field}: 1}}")

    assert (run.code, Path("r").exists()) == (2, False)
    assert f"{field}: set by alpaca itself" in run.err


def test_sigterm_waits_for_what_is_under_way_too(tmp_path: Path) -> None:
    def slow(number: int, body: dict[str, Any]) -> Answer:
        time.sleep(0.3)
        return by_seeds(number, body)

    with serving(slow) as seen, _running(tmp_path / "r", seen.base_url, "--set", "teacher.concurrency=4") as run:
        _wait_for(lambda: len(seen.requests) >= 4)
        os.kill(run.pid, signal.SIGTERM)
        run.communicate(timeout=30)
        asked = len(seen.requests)

    assert run.returncode == 130
    assert len((tmp_path / "r" / "journal.jsonl").read_text().splitlines()) == asked


def test_a_surplus_request_that_fails_spoils_no_complete_run(alpaca: Alpaca) -> None:
    from alpaca_cli.generate.inputs import load_inputs
    from alpaca_cli.recipe.generate import GenerateRecipe
    from alpaca_cli.recipe.load import find_recipe, load

    recipe = load(find_recipe("generate"), GenerateRecipe)
    maker = load_inputs(recipe, beside=find_recipe("generate").parent).request_maker(recipe)
    number_of = {maker.request(k).text: k for k in range(20)}

    def script(number: int, body: dict[str, Any]) -> Answer:
        k = number_of[body["messages"][0]["content"]]
        if k == 0:
            return chat(tasks(distinct(0)))  # a poor first answer, after which four more are asked at once
        if k > 2:
            time.sleep(0.7)
            return error(401, "revoked")
        return chat(tasks(*(distinct(10 * k + part) for part in range(3))))

    with serving(script) as seen:
        run = alpaca("generate", "--num", 5, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert len(seen.requests) > 3
    assert run.code == 0
    assert len(json.loads(Path("r/alpaca_data.json").read_text())) == 5
