"""Bad input of every kind, at the command line: one clear error, the right code, nothing lost, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import Outcome

Alpaca = Callable[..., Outcome]
GOOD = '{"instruction": "Name a bird.", "input": "", "output": "Robin."}'

BAD_DATA: list[tuple[str, bytes, int, str]] = [
    ("invalid JSON in a list", b'[{"instruction": "a",\n "output": }]', 3, "data:2:12: invalid JSON"),
    ("invalid JSON on a line", f"{GOOD}\n{{'a': 1}}\n".encode(), 3, "data:2:2: invalid JSON"),
    ("missing fields", b'[{"instruction": "a"}]', 3, "data[0]: no form has the keys instruction"),
    ("a missing field of one row", f"{GOOD}\n{{\"instruction\": \"a\"}}".encode(), 3, "data:2: output: missing"),
    ("wrong type", f"{GOOD}\n{{\"instruction\": 5, \"output\": \"a\"}}".encode(), 3, "data:2: instruction: expected"),
    ("a list for an object", b"[[1, 2]]", 3, "data[0]: expected an object, found a list"),
    ("invalid UTF-8", b'{"instruction": "caf\xe9", "output": "a"}', 3, "data:1:21: invalid UTF-8: byte 0xe9"),
    ("empty file", b"", 3, "data: no rows in this file"),
    ("empty list", b"[]", 3, "data: no rows in this file"),
    ("only blank lines", b"\n\n  \n", 3, "data: no rows in this file"),
    ("a text", b"hello", 3, "found a text that begins: hello"),
    ("a cut parquet", b"PAR1\x00\x00", 3, "cannot read this parquet file"),
]  # fmt: skip


@pytest.mark.parametrize("command", ["dedup", "format"])
@pytest.mark.parametrize(("raw", "code", "words"), [case[1:] for case in BAD_DATA], ids=[case[0] for case in BAD_DATA])
def test_bad_data_is_named(alpaca: Alpaca, command: str, raw: bytes, code: int, words: str) -> None:
    Path("data").write_bytes(raw)
    run = alpaca(command, "data", "--out", "new", *(["--to", "jsonl"] if command == "format" else []))

    assert (run.code, run.out) == (code, "")
    assert words in run.err
    assert run.err.startswith("error: ")
    assert "Traceback" not in run.err
    assert sorted(path.name for path in Path().iterdir()) == ["data"]


@pytest.mark.parametrize("command", ["dedup", "format"])
def test_bad_paths_are_named(alpaca: Alpaca, dataset: Path, command: str) -> None:
    more = ["--to", "jsonl"] if command == "format" else []
    Path("there.json").write_text("mine")
    Path("folder").mkdir()
    cases: list[tuple[object, object, str]] = [
        ("data.jsn", "new", "data.jsn: no such dataset"),
        (
            "folder",
            "new",
            f"folder: {'no dataset in this folder' if command == 'dedup' else 'expected a dataset, found a directory'}",
        ),
        (dataset, "there.json", "there.json: output exists"),
        (dataset, "folder", "folder: expected a file to write, found a directory"),
        (dataset, "there.json/new", "there.json is not a directory"),
        ("nowhere/data.json", "new", "no such dataset"),
    ]
    for source, out, words in cases:
        run = alpaca(command, source, "--out", out, *more)
        assert (run.code, words in run.err, "Traceback" in run.err) == (2, True, False), run.err

    assert Path("there.json").read_text() == "mine"
    assert not Path("new").exists()


def test_a_near_name_is_suggested(alpaca: Alpaca, dataset: Path) -> None:
    run = alpaca("dedup", "dta.json", "--out", "new")

    assert "hint: did you mean data.json?" in run.err


BAD_RECIPES: list[tuple[str, str, str]] = [
    ("unknown key", "kind: generate\nteacher:\n  modle: m\n", "r.yaml:3:3: teacher.modle: unknown key"),
    ("duplicate key", "kind: generate\nnum: 1\nnum: 2\n", "r.yaml:3:1: num: given twice, first on line 2"),
    (
        "wrong type",
        "kind: generate\nseed: many\nteacher: {model: m}\n",
        "r.yaml:2:7: seed: input should be a valid integer",
    ),
    ("unknown kind", "kind: generat\n", "r.yaml:1:7: kind: expected generate or finetune, found 'generat'"),
    ("no kind", "num: 3\n", "kind: expected generate or finetune, found nothing"),
    ("not YAML", "kind: [generate\n", "invalid YAML"),
    ("a list", "- kind\n", "expected a mapping of keys to values"),
    ("no model", "kind: generate\n", "model: required for an openai teacher"),
    ("no room", "kind: generate\nteacher: {model: m}\nprompt: {num_tasks: 3}\n", "leaves no task to ask for"),
    ("missing seeds", "kind: generate\nteacher: {model: m}\nseeds: mine.jsonl\n", "mine.jsonl: no such file"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in BAD_RECIPES], ids=[case[0] for case in BAD_RECIPES])
def test_a_bad_recipe_is_named_by_validate_and_by_generate(alpaca: Alpaca, text: str, words: str) -> None:
    Path("r.yaml").write_text(text)
    checked = alpaca("recipes", "validate", "r.yaml")
    run = alpaca("generate", "--recipe", "r.yaml", "--num", 3, "--base-url", "http://127.0.0.1:9/v1", "--out", "o")

    assert (checked.code, run.code) == (2, 2)
    assert words in checked.err
    assert words in run.err
    assert "Traceback" not in checked.err + run.err
    assert not Path("o").exists()


def test_an_unknown_key_is_told_with_the_nearest(alpaca: Alpaca) -> None:
    Path("r.yaml").write_text("kind: generate\nteacher:\n  modle: m\n")
    run = alpaca("recipes", "validate", "r.yaml")

    assert "hint: did you mean model?" in run.err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "seeds.jsonl:1:2: invalid JSON"),
        ('{"id": "a", "instruction": "x"}', "seeds.jsonl:1: instances: expected a list of at least one, found nothing"),
        ('{"id": "a", "instruction": "", "instances": [{"output": "y"}]}', "seeds.jsonl:1: instruction: empty"),
        ('{"id": "a", "instruction": "x", "instances": [{"input": 3, "output": "y"}]}', "instances[0].input: expect"),
        ("", "no seed tasks in this file"),
    ],
)  # fmt: skip
def test_malformed_seeds_are_named(alpaca: Alpaca, line: str, words: str) -> None:
    Path("seeds.jsonl").write_text(line)
    run = alpaca("generate", "--seeds", "seeds.jsonl", "--num", 3, "--base-url", "http://127.0.0.1:9/v1", "--out", "o")

    assert (run.code, Path("o").exists()) == (3, False)
    assert words in run.err


def test_too_few_seeds_are_told(alpaca: Alpaca) -> None:
    Path("seeds.jsonl").write_text('{"id": "a", "instruction": "x", "instances": [{"output": "y"}]}\n')
    run = alpaca("generate", "--seeds", "seeds.jsonl", "--num", 3, "--base-url", "http://127.0.0.1:9/v1", "--out", "o")

    assert (run.code, Path("o").exists()) == (2, False)
    assert "there are only 1 seed tasks" in run.err


def test_a_folder_that_holds_something_else_is_no_run_folder(alpaca: Alpaca) -> None:
    Path("o").mkdir()
    Path("o/thesis.tex").write_text("years of work")
    run = alpaca("generate", "--num", 3, "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--out", "o")

    assert run.code == 2
    assert "not a run folder: it holds thesis.tex" in run.err
    assert Path("o/thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "no such command 'nonsense'"),
        (["dedup"], "missing argument 'DATA'"),
        (["dedup", "x", "--treshold", "0.5"], "no such option: --treshold"),
        (["generate", "--num", "0"], "0 is not in the range"),
        (["generate", "--num", "ten"], "'ten' is not a valid"),
        (["recipes", "show", "nothing"], "nothing: no such file"),
        (["generate", "--num", "1", "--set", "teacher"], "expected KEY=VALUE"),
        (["generate", "--num", "1", "--set", "teacher.modle=x"], "--set teacher.modle: teacher.modle: unknown key"),
        (["generate", "--num", "1", "--recipe", "genrate"], "genrate: no such file"),
        (["generate", "--num", "1", "--prompt", "missing.txt"], "missing.txt: no such file"),
        (["rehearsal", "--port", "70000"], "70000 is not in the range"),
    ],
)
def test_wrong_command_lines_are_one_error_and_a_hint(alpaca: Alpaca, arguments: list[str], words: str) -> None:
    run = alpaca(*arguments)

    assert (run.code, run.out) == (2, "")
    assert words in run.err
    assert "hint: " in run.err
    assert "Traceback" not in run.err


def test_errors_are_json_too(alpaca: Alpaca) -> None:
    run = alpaca("dedup", "missing.json", "--out", "new", "--json")

    error = run.json["error"]
    assert (run.code, error["kind"], error["exit_code"]) == (2, "UsageError", 2)
    assert error["problems"][0]["where"] == "missing.json"


def test_no_arguments_show_the_help(alpaca: Alpaca) -> None:
    run = alpaca()

    assert (run.code, run.out) == (2, "")
    assert "Usage: alpaca" in run.err


def test_a_bug_is_a_traceback_and_code_one(alpaca: Alpaca, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpaca_cli.dedup.local.decide", None)
    run = alpaca("dedup", dataset, "--out", "new")

    assert run.code == 1
    assert "Traceback" in run.err
    assert "please report it" in run.err


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m alpaca_cli recipes show generate | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}"
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert run.stderr == ""
    assert run.stdout.strip() in ("0", "141")


def test_no_colour_where_there_is_no_terminal_or_none_is_wanted(dataset: Path) -> None:
    command = [sys.executable, "-m", "alpaca_cli", "dedup", "missing.json", "--out", "new"]
    piped = subprocess.run(command, capture_output=True, text=True, check=False)
    line = " ".join(command)
    shown = {}
    for name in ("wanted", "unwanted"):
        environment = {**os.environ, "TERM": "xterm"} | ({"NO_COLOR": "1"} if name == "unwanted" else {})
        run = subprocess.run(
            ["script", "-qec", line, "/dev/null"], capture_output=True, text=True, check=False, env=environment
        )
        shown[name] = run.stdout

    assert "\033" not in piped.stderr
    assert "\033[31;1merror:\033[0m" in shown["wanted"]
    assert "\033[3" not in shown["unwanted"]


def test_what_a_file_says_cannot_command_the_terminal(alpaca: Alpaca) -> None:
    Path("data.jsonl").write_text(json.dumps({"\x1b[2J": 1}), encoding="utf-8")
    run = alpaca("format", "data.jsonl", "--to", "alpaca", "--out", "new")

    assert run.code == 3
    assert "\x1b[2J" not in run.err


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_stops_no_work(dataset: Path, closed: str) -> None:
    line = f"{sys.executable} -m alpaca_cli format {dataset} --to jsonl --out new.jsonl {closed}"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)

    assert (run.returncode, "Traceback" in run.stderr) == (0, False)
    assert len(Path("new.jsonl").read_text().splitlines()) == 4


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told() -> None:
    line = f"{sys.executable} -m alpaca_cli recipes show generate > /dev/full"
    run = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)

    assert run.returncode == 2
    assert run.stderr.splitlines()[0] == "error: no space left on device"
    assert "Traceback" not in run.stderr


def test_a_link_stays_a_link(alpaca: Alpaca, dataset: Path) -> None:
    Path("real.jsonl").write_text("old")
    Path("link.jsonl").symlink_to("real.jsonl")
    Path("nowhere.jsonl").symlink_to("missing.jsonl")
    dangling = alpaca("format", dataset, "--to", "jsonl", "--out", "nowhere.jsonl")
    alpaca("format", dataset, "--to", "jsonl", "--out", "link.jsonl", "--force")

    assert (dangling.code, Path("nowhere.jsonl").is_symlink()) == (2, True)
    assert Path("link.jsonl").is_symlink()
    assert len(Path("real.jsonl").read_text().splitlines()) == 4


def test_a_server_cannot_command_the_terminal(alpaca: Alpaca) -> None:
    from scripted_server import error, serving

    with serving(lambda number, body: error(400, "\x1b[2J\x1b]0;gone\x07 red")) as seen:
        run = alpaca("generate", "--num", 1, "--base-url", seen.base_url, "--model", "m", "--out", "r")

    assert run.code == 4
    assert "\x1b" not in run.err


@pytest.mark.parametrize(
    "address",
    [
        "http://[::1/v1",
        "http://localhost:abc/v1",
        "http://localhost:99999/v1",
        "http://:8000/v1",
        "ftp://x",
        "localhost",
    ],
)
def test_bad_addresses_are_told(alpaca: Alpaca, address: str) -> None:
    run = alpaca("generate", "--num", 1, "--base-url", address, "--model", "m", "--out", "r")

    assert (run.code, Path("r").exists()) == (2, False)
    assert "begins with http://" in run.err


def test_no_password_in_an_address_is_shown_or_kept(alpaca: Alpaca) -> None:
    run = alpaca("generate", "--num", 1, "--base-url", "http://me:secret@localhost:1/v1", "--model", "m", "--out", "r")

    assert (run.code, Path("r").exists()) == (2, False)
    assert "secret" not in run.err


def test_a_key_that_cannot_be_sent_is_told(alpaca: Alpaca, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "ключ")
    run = alpaca("generate", "--num", 1, "--model", "m", "--out", "r")

    assert (run.code, "ключ" in run.err) == (2, False)
    assert "OPENAI_API_KEY: expected a key of printable ASCII characters" in run.err
