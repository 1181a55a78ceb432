"""Runs that spill: killed at every step, over a full disk, from a folder that was tampered with; in little memory."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alpaca_cli.dedup import encode, machine, spill
from alpaca_cli.dedup.encode import hash_words
from alpaca_cli.dedup.file import dedup_file
from alpaca_cli.dedup.sealed import read_array, read_json, write_arrays, write_json
from alpaca_cli.errors import AlpacaError, DataError, IntegrityError, UsageError
from alpaca_cli.format import sharded
from conftest import Outcome

Alpaca = Callable[..., Outcome]

MEMORY = 40_000
"""Bytes: some 120 words make a block, and some 20 kB an index."""

# Runs the command in forks of itself, each of which dies before its n-th change of a folder (of many removals that are
# alike before some), or for want of room at its n-th sync; for n = 1, 2, ... until one comes to its end.  After each:
# what is there, and what the next tries come to.
DRIVER = """
import contextlib, errno, gc, io, itertools, json, os, shutil, signal, sys
from pathlib import Path
from alpaca_cli.cli.app import main
from alpaca_cli.dedup import encode, file, machine
from alpaca_cli.format import sharded

machine.LEAST, sharded.BATCH_ROWS, encode.RANK_BITS = 0, 10, 8
gc.disable()  # it would write to each page that a fork shares with this process
way, folder, *arguments = sys.argv[1:]
folder = Path(folder)

def run(left, *more):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        def counted(call):
            def dying(*rest, **named):
                nonlocal left
                left -= 1
                if left == 0 and way == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                if left == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return call(*rest, **named)
            return dying

        os.fsync = lambda _: None
        if way == "kill":
            unlink = Path.unlink
            for name in ("replace", "unlink", "mkdir", "rmdir"):
                setattr(Path, name, counted(getattr(Path, name)))
            dying_unlink = Path.unlink
            Path.unlink = lambda path, **named: (unlink if path.match("*.[ns]*-*.npz") else dying_unlink)(path, **named)
        else:
            os.fsync = counted(os.fsync)
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = main([*arguments, *more])
        os.write(writing, said.getvalue().encode()[:60_000])
        os._exit(code)
    os.close(writing)
    with open(reading) as stream:
        said = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said

def files():
    return {str(path.relative_to(folder)): path.read_bytes().decode("latin1")
            for path in sorted(folder.rglob("*")) if path.is_file()}

for n in itertools.count(1):
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    first = run(n)
    there = files()
    tries = [run(0)] if first[0] else []
    if tries and tries[0][0]:
        tries.append(run(0, "--force"))
    print(json.dumps([first, there, tries, files()]), flush=True)
    if first[0] == 0:
        break
"""


def make(path: Path, rows: int = 120, seed: int = 0) -> Path:
    """Rows among which many are near one another."""
    rng = random.Random(seed)
    words = [f"w{number}" for number in range(60)]
    texts: list[list[str]] = []
    for _ in range(rows):
        text = rng.choices(words, k=rng.randint(0, 9))
        if texts and rng.random() < 0.4:
            text = [*rng.choice(texts), rng.choice(words)]
        texts.append(text[:12])
    lines = [json.dumps({"instruction": " ".join(text) or "…", "input": "", "output": "x"}) for text in texts]
    path.write_text("\n".join(lines) + "\n")
    return path


def whole(source: Path, folder: Path, **options: object) -> dict[str, bytes]:
    """Output and report of a run in memory."""
    out, report = folder / "whole.jsonl", folder / "whole.report"
    dedup_file(source, out, report=report, **options)  # type: ignore[arg-type]
    return {"out.jsonl": out.read_bytes(), "report": report.read_bytes()}


@dataclass(frozen=True)
class Try:
    """What became of a run that was stopped, and of the same command after it."""

    code: int
    said: str
    outputs: set[str]
    """That were there when it was stopped; whole, as everything is looked at by `driven`."""
    spilled: set[str]
    """Files of the run that were there then."""
    again: list[tuple[int, str]]
    """Exit code and words of the same command; and with --force, if it did not end well."""


def driven(way: str, tmp_path: Path) -> list[Try]:
    """A try for each n, the last undisturbed.  In the end all was as in memory, but for hidden files beside outputs."""
    source, folder = make(tmp_path / "in.jsonl", 18), tmp_path / "at"
    against = make(tmp_path / "other.jsonl", 6, seed=1)
    expected = whole(source, tmp_path, against=[against])
    folder.mkdir()
    command = ["dedup", source, "--out", folder / "out.jsonl", "--report", folder / "report", "--against", against]
    command += ["--spill", folder / "spill", "--memory", "8KB", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, way, folder, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    tries = []
    for line in done.stdout.splitlines():
        (code, said), there, again, after = json.loads(line)
        outputs = {name: text.encode("latin1") for name, text in there.items() if name in expected}
        assert all(expected[name] == raw for name, raw in outputs.items())
        left = {name: text for name, text in after.items() if name.startswith("spill") or not name.endswith(".tmp")}
        assert {name: text.encode("latin1") for name, text in left.items()} == expected
        spilled = {name[6:] for name in there if name.startswith("spill/")}
        tries.append(Try(code, said, set(outputs), spilled, [(code, said) for code, said in again]))
    return tries


@pytest.mark.slow
def test_killed_before_each_change_of_a_folder_the_same_command_goes_on(tmp_path: Path) -> None:
    *killed, last = driven("kill", tmp_path)
    assert last.code == 0
    for each in killed:
        assert each.code == -signal.SIGKILL
        assert each.again[-1][0] == 0, each.again
        if each.outputs:  # nothing that is there is overwritten unasked
            assert each.again[0][0] == 2
            assert "output exists" in each.again[0][1]
        assert len(each.again) == (2 if each.outputs else 1)
    names = set.union(*(each.spilled for each in killed))
    assert len({name for name in names if name.startswith("block-") and name.endswith(".npz")}) >= 3
    assert len({name.split(".")[1] for name in names if ".numbers-" in name}) >= 3
    assert {name[7:11] for name in names} >= {"agai", "near", "kept"}
    assert sum(len(each.outputs) == 2 and bool(each.spilled) for each in killed) > 10  # as the folder was removed
    assert sum(not each.spilled for each in killed) >= 2


def test_over_a_full_disk_the_same_command_goes_on_when_there_is_room(tmp_path: Path) -> None:
    *failed, last = driven("room", tmp_path)
    assert last.code == 0
    assert len(failed) > 20
    for each in failed:
        assert each.code == 2
        assert "cannot write: no space left on device" in each.said
        assert ("make room, then run the same command again" in each.said) == ("/spill/" in each.said)
        assert each.again[-1][0] == 0, each.again
        assert each.spilled
    for each in failed[:-1]:  # the last: a report that was on the disk already could not be synced once more
        assert not each.outputs
        assert len(each.again) == 1
    assert [each.said.split(":")[1].rpartition("/")[2] for each in failed[-3:]] == ["report", "out.jsonl", "report"]


def test_killed_at_random_moments_the_same_command_goes_on(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl", 20_000)
    expected = whole(source, tmp_path)
    folder, rng = tmp_path / "at", random.Random(3)
    command = [sys.executable, "-m", "alpaca_cli", "dedup", source, "--out", folder / "out.jsonl", "--spill"]
    command += [folder / "spill", "--report", folder / "report", "--memory", "16MB"]
    num_killed = 0
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 30
            while not (folder / "spill/plan.json").exists() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(rng.random() * 0.5)
            process.kill()
        num_killed += process.returncode == -signal.SIGKILL
    assert num_killed
    done = subprocess.run([*command, "--force"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {name: (folder / name).read_bytes() for name in expected} == expected
    assert not (folder / "spill").exists()


class Stop(Exception):
    """As a kill, at a moment of one's choice."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows."""
    monkeypatch.setattr(sharded, "BATCH_ROWS", 10)
    monkeypatch.setattr(machine, "LEAST", 0)
    monkeypatch.setattr(encode, "RANK_BITS", 8)


def stopped(source: Path, folder: Path, moment: str = "writing", **options: Any) -> Path:
    """The folder of a run that was stopped when it was about to do this."""

    def stop(what: str, *_: int) -> None:
        if what == moment:
            raise Stop

    with pytest.raises(Stop):
        dedup_file(
            source, folder / "out.jsonl", spill=folder / "spill", memory=MEMORY, on_progress=stop, workers=1,
            report=folder / "report", **options,
        )  # fmt: skip
    return folder / "spill"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def touched(source: Path) -> dict[str, Any]:
    os.utime(source, ns=(1, 1))
    return {}


def longer(source: Path) -> dict[str, Any]:
    status = source.stat()
    source.write_bytes(source.read_bytes() + b"\n")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    return {}


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        (lambda _: {"threshold": 0.6}, "threshold"),
        (lambda _: {"field": "output"}, "field"),
        (lambda _: {"tokenizer": "unicode", "skip_bad": True}, "skip_bad, tokenizer"),
        (lambda source: {"against": [make(source.with_name("other.jsonl"), 3)]}, "against"),
        (touched, "data"),
        (longer, "data"),
    ],
)
@pytest.mark.usefixtures("small")
def test_the_folder_of_another_run_is_refused(
    tmp_path: Path, change: Callable[[Path], dict[str, Any]], differing: str
) -> None:
    source = make(tmp_path / "in.jsonl")
    folder = stopped(source, tmp_path)
    before, options = contents(folder), change(source)
    with pytest.raises(UsageError) as raised:
        dedup_file(source, tmp_path / "out.jsonl", spill=folder, **options)
    (problem,) = raised.value.problems
    assert problem.message == f"this folder is of another run: it differs in {differing}"
    assert problem.where == str(folder)
    assert problem.hint == "name another with --spill, or remove this one"
    assert contents(folder) == before
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.usefixtures("small")
def test_what_a_kill_left_half_written_is_removed_when_the_run_goes_on(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl")
    folder = stopped(source, tmp_path)
    before = contents(folder)
    (folder / ".000000.kept.npz.x1y2.tmp").write_bytes(b"half")
    assert contents(stopped(source, tmp_path)) == before


@pytest.mark.usefixtures("small")
def test_what_a_done_run_could_not_remove_is_in_nobodys_way(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl")
    folder = stopped(source, tmp_path)
    (folder / "plan.json").rename(folder / "done.json")
    (folder / "block-000000.npz").unlink()
    (folder / "theirs").write_text("a file of someone else")
    expected = whole(source, tmp_path, threshold=0.5)
    dedup_file(source, tmp_path / "out.jsonl", spill=folder, threshold=0.5, memory=MEMORY)
    assert (tmp_path / "out.jsonl").read_bytes() == expected["out.jsonl"]
    assert contents(folder) == {"theirs": b"a file of someone else"}


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl")
    command = [sys.executable, "-m", "alpaca_cli", "dedup", source, "--out", tmp_path / "b", "--spill", tmp_path / "s"]
    said: list[subprocess.CompletedProcess[str]] = []

    def meanwhile(what: str, *_: int) -> None:
        if what == "writing":
            said.append(subprocess.run(command, capture_output=True, text=True, check=False))

    dedup_file(source, tmp_path / "a", spill=tmp_path / "s", on_progress=meanwhile)
    assert [run.returncode for run in said] == [2]
    assert f"{tmp_path / 's'}: another process spills to this folder" in said[0].stderr
    assert "wait for it, stop it, or name another folder" in said[0].stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "in.jsonl"]


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("notes.txt", "mine", UsageError, "expected an empty folder, or one of this run"),
        ("plan.json", '{"mine": 1}', IntegrityError, "expected this file as it was written, found it changed"),
        ("done.json", "[]", IntegrityError, "expected this file as it was written, found it changed"),
    ],
)
def test_a_foreign_folder_is_refused_and_untouched(
    tmp_path: Path, name: str, text: str, error: type[AlpacaError], message: str
) -> None:
    source, folder = make(tmp_path / "in.jsonl"), tmp_path / "mine"
    folder.mkdir()
    (folder / name).write_text(text)
    (folder / "block-000000.npz").write_text("mine too")
    before = contents(folder)
    with pytest.raises(error) as raised:
        dedup_file(source, tmp_path / "out", spill=folder)
    assert raised.value.problems[0].message == message
    assert contents(folder) == before
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_place_of_the_folder_is_refused_and_untouched(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl")
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UsageError, match="expected a folder, found a file"):
        dedup_file(source, tmp_path / "out", spill=tmp_path / "mine")
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.parametrize(("out", "spill"), [("s/out", "s"), ("s", "s"), ("o", "o/s"), ("a/../s/b/out", "s")])
def test_the_folder_holds_no_output_for_it_is_removed(tmp_path: Path, out: str, spill: str) -> None:
    source = make(tmp_path / "in.jsonl")
    (tmp_path / "a").mkdir()
    for options in ({"out": tmp_path / out}, {"out": tmp_path / "x", "report": tmp_path / out}):
        with pytest.raises(UsageError) as raised:
            dedup_file(source, spill=tmp_path / spill, **options)
        assert raised.value.problems[0].message == f"--spill: expected a folder apart from {(tmp_path / out).resolve()}"
        assert raised.value.problems[0].hint == "name a folder beside it"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "in.jsonl"]


def test_bad_rows_leave_no_folder_behind(tmp_path: Path) -> None:
    source = make(tmp_path / "in.jsonl")
    source.write_text(source.read_text() + "{}\n")
    with pytest.raises(DataError):
        dedup_file(source, tmp_path / "out", spill=tmp_path / "s")
    assert list(tmp_path.iterdir()) == [source]
    assert dedup_file(source, tmp_path / "out", spill=tmp_path / "s", skip_bad=True).skipped == 1


@pytest.mark.usefixtures("small")
def test_a_run_that_spilled_by_itself_goes_on_though_there_is_memory_now(tmp_path: Path) -> None:
    source, notes, heard = make(tmp_path / "in.jsonl"), list[str](), set[str]()
    expected = whole(source, tmp_path)
    folder = tmp_path / "out.jsonl.spill"
    stopped(source, tmp_path).rename(folder)
    dedup_file(source, tmp_path / "out.jsonl", on_note=notes.append, on_progress=lambda what, *_: heard.add(what))
    assert heard == {"reading", "writing"}  # what was compared is not compared again
    assert notes == [f"a run that was stopped goes on in {folder}"]
    assert (tmp_path / "out.jsonl").read_bytes() == expected["out.jsonl"]
    assert not folder.exists()


def damaged(raw: bytes, rng: random.Random) -> bytes:
    """Cut off, or with a bit that is another."""
    if rng.random() < 0.3:
        return raw[: rng.randrange(len(raw))]
    at = rng.randrange(len(raw))
    return raw[:at] + bytes([raw[at] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]


@pytest.mark.usefixtures("small")
def test_a_file_that_has_changed_never_changes_the_result(tmp_path: Path, alpaca: Alpaca) -> None:
    source, rng = make(tmp_path / "in.jsonl", 40), random.Random(5)
    against = make(tmp_path / "other.jsonl", 6, seed=1)
    expected = whole(source, tmp_path, against=[against])
    folder, kept = stopped(source, tmp_path, against=[against]), tmp_path / "kept"
    shutil.copytree(folder, kept)
    names = sorted(path.name for path in kept.iterdir() if path.name != ".lock")
    assert len(names) > 15
    out, report = tmp_path / "out.jsonl", tmp_path / "report"
    found = []
    for name in [*names, *rng.choices(names, k=60), "plan.json", "proved.json"]:
        raw = (kept / name).read_bytes()
        (folder / name).write_bytes(damaged(raw, rng))
        run = alpaca(
            "dedup", source, "--out", out, "--against", against, "--report", report, "--spill", folder, "--memory",
            "40KB", "--workers", 1,
        )  # fmt: skip
        found.append(run.code)
        if run.code == 0:  # what had changed says nothing, such as the time in an archive
            assert {path.name: path.read_bytes() for path in (out, report)} == expected
            out.unlink()
            report.unlink()
        else:
            assert run.code == 5, run.err
            assert f"{folder / name}: expected this file as it was written, found it changed" in run.err
            assert f"if {folder} holds nothing else than such a run, remove it and start again" in run.err
        assert not out.exists()
        assert not report.exists()
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
    assert found.count(5) > 0.7 * len(found)  # the rest hit bytes without meaning, more or fewer as paths are long


@pytest.mark.parametrize("name", ["block-000000.npz", "block-000002.npz", "last", "proved.json"])
@pytest.mark.usefixtures("small")
def test_a_file_that_is_missing_is_missed(tmp_path: Path, name: str) -> None:
    source = make(tmp_path / "in.jsonl")
    folder = stopped(source, tmp_path)
    (max(folder.glob("block-*")) if name == "last" else folder / name).unlink()
    with pytest.raises(IntegrityError) as raised:
        dedup_file(source, tmp_path / "out.jsonl", spill=folder)
    assert str(raised.value) == f"{folder}: files of this run are missing"
    assert raised.value.problems[0].hint == "remove it and start again"
    assert not (tmp_path / "out.jsonl").exists()


def test_every_bit_of_a_file_and_every_length_is_looked_at(tmp_path: Path) -> None:
    path, array = tmp_path / "file", np.arange(20)
    write_arrays(path, found=array)
    raw = path.read_bytes()
    assert read_array(path, "found").tolist() == array.tolist()
    refused = 0
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(IntegrityError):
            read_array(path, "found")
    for bit in range(8 * len(raw)):
        path.write_bytes(raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :])
        try:
            assert read_array(path, "found").tolist() == array.tolist()
        except IntegrityError:
            refused += 1
    assert refused > 8 * array.nbytes

    write_json(path, {"salt": 0, "threshold": 0.7, "path": "ä"})
    raw = path.read_bytes()
    for bit in range(8 * len(raw)):
        path.write_bytes(raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :])
        try:
            assert read_json(path) == {"salt": 0, "threshold": 0.7, "path": "ä"}  # white space
        except IntegrityError:
            refused += 1
    for length in range(len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(IntegrityError):
            read_json(path)


@pytest.mark.parametrize("at_once", [1, 7, 1 << 22])
@pytest.mark.usefixtures("small")
def test_where_two_words_share_a_hash_another_salt_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    source = make(tmp_path / "in.jsonl")
    expected = whole(source, tmp_path)
    shared = np.uint64(0xFC00000000000000)
    monkeypatch.setattr(spill, "WORDS_AT_ONCE", at_once)
    monkeypatch.setattr(
        spill,
        "hash_words",
        lambda words, salt: hash_words(words, salt) & (shared if salt < 2 else np.uint64(-1 % 2**64)),
    )
    folder = stopped(source, tmp_path)
    assert read_json(folder / "proved.json")["salt"] == 2
    dedup_file(source, tmp_path / "out.jsonl", report=tmp_path / "report", spill=folder)
    assert {name: (tmp_path / name).read_bytes() for name in expected} == expected


# A new process begins with the peak memory of the one that started it: so this small one does.
LAUNCHER = """
import os, sys
_, status, usage = os.wait4(os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ), 0)
print(usage.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_run_that_spills_takes_less_memory(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    with source.open("w") as stream:
        for row in np.random.default_rng(0).integers(30_000, size=(30_000, 60)).tolist():
            stream.write(json.dumps({"instruction": " ".join(map(str, row)), "output": "x"}) + "\n")
    command = [sys.executable, "-S", "-c", LAUNCHER, "-m", "alpaca_cli", "dedup", source, "--workers", "1", "--out"]
    outs, peaks = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"], []
    for out, options in zip(outs, ([], ["--spill", tmp_path / "s", "--memory", "16MB"]), strict=True):
        run = subprocess.run([*command, out, *options], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stderr
        peaks.append(float(run.stdout.splitlines()[-1]))
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert peaks[1] < 0.85 * peaks[0]  # measured: 127 and 187 MB
