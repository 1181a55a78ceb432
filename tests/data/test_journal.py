"""The journal: what was paid for survives a crash at any byte, a full disk and a kill, and damage is told by line."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.errors import IntegrityError, UsageError

TEXTS = [
    "", " ", "\n", "one\ntwo\n", "\r\n", '"quoted"', "back\\slash \\n", "{}", '{"k": 0}\n', "é", "日本語", "🙂👩‍🚀",
    "\ud83d", "half \ude00 and 🙂", "\u2028\u2029\x85", "\x00\x1f\x7f", "\ufeff", "NaN", "###\n4. Instruction:",
]  # fmt: skip


def completion(k: int, text: str = "") -> Completion:
    return Completion(k, (), "", text, None, None, None, None, "", 0.5)


FULL = Completion(
    k=7,
    seed_ids=("seed_task_1", "ü"),
    prompt_sha256="ab" * 32,
    text="Hi.",
    finish_reason="stop",
    usage={"prompt_tokens": 12, "completion_tokens": 3},
    model="m",
    request_id="r",
    started="2026-01-02T03:04:05.678+00:00",
    seconds=1.25,
    tries=3,
    left_out=("stop",),
    max_tokens=900,
    tier="flex",
    base_url="http://localhost:8000/v1",
)


REQUIRED = [name for name in asdict(FULL) if name not in ("tries", "left_out", "max_tokens", "tier", "base_url")]


def write(path: Path, *completions: Completion) -> list[bytes]:
    """The lines of a journal of these completions."""
    with Journal(path) as journal:
        for each in completions:
            journal.append(each)
    return path.read_bytes().splitlines(keepends=True)


def read(path: Path) -> dict[int, Completion]:
    with Journal(path) as journal:
        return journal.completions


def line(**changes: Any) -> bytes:
    row = {**asdict(FULL), **changes}
    return json.dumps({key: value for key, value in row.items() if value != "LEFT OUT"}).encode() + b"\n"


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A folder whose syncs cost nothing, where the system has one: for thousands of journals."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def test_every_field_comes_back(tmp_path: Path) -> None:
    write(tmp_path / "j", FULL)

    assert read(tmp_path / "j") == {7: FULL}


def test_any_text_comes_back_one_line_each(tmp_path: Path) -> None:
    completions = [completion(k, text) for k, text in enumerate(TEXTS)]
    write(tmp_path / "j", *completions)

    assert read(tmp_path / "j") == dict(enumerate(completions))
    assert (tmp_path / "j").read_bytes().count(b"\n") == len(TEXTS)


def test_a_completion_is_on_disk_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        for number in range(3):
            journal.append(completion(number))

            assert (tmp_path / "j").read_bytes().count(b"\n") == number + 1
            assert list(journal.completions) == list(range(number + 1))


def test_a_journal_cut_at_any_byte_gives_a_prefix_and_goes_on(memory_path: Path) -> None:
    path = memory_path / "j"
    completions = [completion(k, text) for k, text in enumerate(TEXTS)]
    lines = write(path, *completions)
    raw = b"".join(lines)
    ends = [sum(map(len, lines[: count + 1])) for count in range(len(lines))]
    extra = completion(1000, "afterwards")
    (extra_line,) = write(memory_path / "extra", extra)
    for cut in range(len(raw) + 1):
        path.write_bytes(raw[:cut])
        whole = sum(end <= cut + 1 for end in ends)  # a line that lacks nothing but its newline is whole
        kept = b"".join(lines[:whole])
        with Journal(path) as journal:
            assert journal.completions == dict(enumerate(completions[:whole])), cut
            assert journal.torn_bytes == max(0, cut - len(kept)), cut
            assert path.read_bytes() == kept, cut
            journal.append(extra)
        assert path.read_bytes() == kept + extra_line, cut
        if cut % 10 == 0:
            assert read(path) == {**dict(enumerate(completions[:whole])), 1000: extra}, cut


def test_a_line_that_lacks_only_its_newline_is_kept_and_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "j"
    raw = b"".join(write(path, completion(0, "a"), completion(1, "b")))
    path.write_bytes(raw[:-1])
    with Journal(path) as journal:
        assert journal.torn_bytes == 0
        assert list(journal.completions) == [0, 1]
        journal.append(completion(2, "c"))

    assert list(read(path)) == [0, 1, 2]
    assert path.read_bytes().startswith(raw)


@pytest.mark.parametrize("tail", [b"\0" * 300, b'{"k": 5, "seed_ids": ["x', b'{"k": 1, "text": "\xf0\x9f', b"{\xff"])
def test_what_a_crash_leaves_at_the_end_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "j"
    raw = b"".join(write(path, completion(0)))
    path.write_bytes(raw + tail)
    with Journal(path) as journal:
        assert journal.torn_bytes == len(tail)
        assert list(journal.completions) == [0]

    assert path.read_bytes() == raw


def test_a_last_line_that_no_crash_could_have_torn_is_not_thrown_away(tmp_path: Path) -> None:
    """A part of an object is never JSON: this was written by someone else, and is perhaps the wrong file."""
    path = tmp_path / "j"
    path.write_bytes(b'{"somebody": "else\'s"}')
    with pytest.raises(IntegrityError) as found:
        Journal(path)

    assert str(found.value) == f"{path}:1: not a completion: k: missing"
    assert path.read_bytes() == b'{"somebody": "else\'s"}'


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (b"\n", "invalid JSON: expecting value"),
        (b"{oops\n", "invalid JSON: expecting property name enclosed in double quotes"),
        (line()[:-2] + b"\n", "invalid JSON: expecting ',' delimiter"),
        (b'"\xff"\n', "invalid UTF-8: byte 0xff"),
        (b"[]\n", "expected an object, found a list"),
        (b"null\n", "expected an object, found null"),
        (line(seconds=float("nan")), "invalid JSON: NaN is not JSON"),
    ],
)
def test_a_bad_line_in_the_middle_is_told_with_its_number_and_nothing_is_changed(
    tmp_path: Path, bad: bytes, message: str
) -> None:
    path = tmp_path / "j"
    raw = line(k=0) + line(k=1) + bad + line(k=2) + b'{"torn'
    path.write_bytes(raw)
    with pytest.raises(IntegrityError) as found:
        Journal(path)

    (problem,) = found.value.problems
    assert (problem.message, problem.where) == (f"not a completion: {message}", f"{path}:3")
    assert problem.hint is not None
    assert found.value.exit_code == 5
    assert path.read_bytes() == raw


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *[({name: "LEFT OUT"}, f"{name}: missing") for name in REQUIRED],
        ({"k": "7"}, "k: expected a whole number, found a string"),
        ({"k": True}, "k: expected a whole number, found a boolean"),
        ({"k": 1.0}, "k: expected a whole number, found a number"),
        ({"seed_ids": "x"}, "seed_ids: expected a list, found a string"),
        ({"prompt_sha256": None}, "prompt_sha256: expected a string, found null"),
        ({"text": None}, "text: expected a string, found null"),
        ({"finish_reason": 5}, "finish_reason: expected a string or null, found a number"),
        ({"usage": []}, "usage: expected an object or null, found a list"),
        ({"usage": {"prompt_tokens": None}}, "usage.prompt_tokens: expected a whole number, found null"),
        ({"usage": {"prompt_tokens": 1, "x": "1"}}, "usage.x: expected a whole number, found a string"),
        ({"model": {}}, "model: expected a string or null, found an object"),
        ({"request_id": 5}, "request_id: expected a string or null, found a number"),
        ({"started": 5}, "started: expected a string, found a number"),
        ({"seconds": "1"}, "seconds: expected a number, found a string"),
        ({"seconds": False}, "seconds: expected a number, found a boolean"),
        ({"tries": None}, "tries: expected a whole number, found null"),
        ({"left_out": None}, "left_out: expected a list, found null"),
        ({"left_out": "stop"}, "left_out: expected a list, found a string"),
    ],
)
def test_a_missing_or_wrong_value_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = tmp_path / "j"
    path.write_bytes(line(k=0) + line(**changes))
    with pytest.raises(IntegrityError) as found:
        Journal(path)

    assert str(found.value) == f"{path}:2: not a completion: {message}"


def test_unknown_keys_are_passed_over_and_new_ones_have_defaults(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(line(logprobs=[1], seconds=2, **dict.fromkeys(set(asdict(FULL)) - {*REQUIRED}, "LEFT OUT")))

    assert read(path) == {7: Completion(**{name: getattr(FULL, name) for name in REQUIRED} | {"seconds": 2})}


def test_of_two_answers_to_one_request_the_first_counts_before_and_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(completion(3, "first"))
        journal.append(completion(3, "second"))
        live = dict(journal.completions)

    assert live == read(path) == {3: completion(3, "first")}


def test_order_of_lines_is_order_of_arrival(tmp_path: Path) -> None:
    write(tmp_path / "j", *map(completion, (2, 0, 1)))

    assert list(read(tmp_path / "j")) == [2, 0, 1]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, why in ((tmp_path, "is a directory"), (tmp_path / "no" / "j", "no such file or directory")):
        with pytest.raises(UsageError) as found:
            Journal(path)

        assert str(found.value) == f"{path}: cannot write: {why}"


@pytest.mark.parametrize("room", [0, 1, 100], ids=lambda room: f"{room} bytes left")
def test_a_full_disk_is_told_and_leaves_the_journal_as_it_was(tmp_path: Path, room: int) -> None:
    """A limit on the size of files stands for the full disk; with room for a part of the line, a part is written."""
    path = tmp_path / "j"
    before = b"".join(write(path, completion(0), completion(1)))
    code = f"""
import resource
from pathlib import Path
from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + room}, resource.RLIM_INFINITY))
path = Path({str(path)!r})
with Journal(path) as journal:
    answer = Completion(2, (), "", "paid", None, None, None, None, "", 0.5)
    for _ in range(2):
        try:
            journal.append(answer)
        except UsageError as error:
            print(error.problems[0].message, "|", error.problems[0].hint)
        assert path.stat().st_size == {len(before)}
        assert list(journal.completions) == [0, 1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    journal.append(answer)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    why = "file too large" if room == 0 else "no space left on device"
    told = f"cannot record the answer to request 2: {why} | make room, then run the same command again\n"
    assert run.stdout == told * 2
    assert path.read_bytes().startswith(before)
    assert read(path) == {0: completion(0), 1: completion(1), 2: completion(2, "paid")}


def test_a_process_killed_while_appending_loses_nothing_that_it_was_told_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j"
    code = f"""
from pathlib import Path
from alpaca_cli.data.journal import Completion, Journal
with Journal(Path({str(path)!r})) as journal:
    k = len(journal.completions)
    while True:
        journal.append(Completion(k, (), "", "x" * 5_000, None, None, None, None, "", 0.5))
        print(k, flush=True)
        k += 1
"""
    delay = random.Random(0)
    kept = 0
    for _ in range(10):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            time.sleep(delay.uniform(0, 0.02))
            process.kill()
            told = [int(number) for number in [first, *process.stdout] if number.endswith("\n")]

        assert process.returncode == -signal.SIGKILL
        assert told[0] == kept  # it took up what was there
        completions = read(path)
        assert list(completions) == list(range(len(completions)))
        assert len(completions) in (told[-1] + 1, told[-1] + 2)  # the line in flight may be there or not
        kept = len(completions)


def test_room_is_kept_on_the_disk_while_a_journal_is_open(tmp_path: Path) -> None:
    reserve = tmp_path / ".reserve"
    with Journal(tmp_path / "journal.jsonl") as journal:
        kept = reserve.stat().st_size
        journal.free_reserve()
        freed = not reserve.exists()
    with Journal(tmp_path / "journal.jsonl"):
        pass

    assert kept == 1 << 20
    assert freed
    assert not reserve.exists()


def test_a_journal_that_is_only_read_is_not_changed(tmp_path: Path) -> None:
    """Another process may be writing: neither its torn line nor the room it keeps on the disk are ours to touch."""
    path = tmp_path / "j"
    with Journal(path) as writer:
        writer.append(completion(k=0))
        with path.open("ab") as stream:
            stream.write(b'{"k": 1, "te')
        before = {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in tmp_path.iterdir()}
        with Journal(path, read_only=True) as reader:
            assert (list(reader.completions), reader.torn_bytes) == ([0], 12)
        assert {each: (each.read_bytes(), each.stat().st_mtime_ns) for each in tmp_path.iterdir()} == before


def test_a_journal_that_is_only_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read: no such file"):
        Journal(tmp_path / "j", read_only=True)
    assert list(tmp_path.iterdir()) == []
