"""A process that is killed, interrupted or out of room: no target or the right one, and the same command goes on."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from alpaca_cli.diff.folders import new_folder
from alpaca_cli.diff.make import make_exact
from alpaca_cli.diff.readmanifest import read_manifest
from alpaca_cli.diff.recover import recover_exact
from alpaca_cli.errors import UsageError
from conftest import Outcome
from small_pairs import SmallPair, base_tensors, contents, tuned_tensors, write_model

SHARDS = 6


def _pair(folder: Path, width: int) -> SmallPair:
    base = base_tensors(layers=6, width=width)
    pair = SmallPair(folder / "base", folder / "tuned", folder / "diff")
    write_model(pair.base, base, SHARDS)
    write_model(pair.tuned, tuned_tensors(base), SHARDS)
    make_exact(pair.base, pair.tuned, pair.diff)
    return pair


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> SmallPair:
    """A pair that takes a moment: 32 MB of weights."""
    return _pair(tmp_path_factory.mktemp("large"), 640)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SmallPair:
    """A pair of half a megabyte."""
    return _pair(tmp_path_factory.mktemp("small"), 64)


def _recover(pair: SmallPair, out: Path) -> list[str]:
    options = ["--base", str(pair.base), "--diff", str(pair.diff), "--out", str(out)]
    return [sys.executable, "-m", "alpaca_cli", "diff", "recover", *options]


def _make(pair: SmallPair, out: Path) -> list[str]:
    options = ["--base", str(pair.base), "--tuned", str(pair.tuned), "--out", str(out)]
    return [sys.executable, "-m", "alpaca_cli", "diff", "make", *options]


def _begun(command: list[str], parent: Path) -> subprocess.Popen[bytes]:
    """A process that has begun to write beside its target."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(parent.glob(".out.*/folder/*")) and not (parent / "out").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return process


def _took(run: Callable[[], object]) -> float:
    begin = time.monotonic()
    run()
    return time.monotonic() - begin


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_recover_killed_at_any_moment(large: SmallPair, tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    expected = contents(large.tuned)
    whole = _took(lambda: recover_exact(large.base, large.diff, tmp_path / "whole"))
    shutil.rmtree(tmp_path / "whole")
    num_kept = num_unfinished = 0
    for number in range(kills):
        parent = tmp_path / f"{number}"
        parent.mkdir()
        process = _begun(_recover(large, parent / "out"), parent)
        time.sleep(rng.random() * whole * 1.2)
        process.kill()
        process.wait()
        if (parent / "out").exists():
            assert contents(parent / "out") == expected
            continue
        num_unfinished += 1
        finished = [path for path in parent.glob(".out.*/folder/*.safetensors") if not path.name.startswith(".")]
        for path in finished:
            assert path.read_bytes() == expected[path.name]
        done = subprocess.run(_recover(large, parent / "out"), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert contents(parent / "out") == expected
        assert [path.name for path in parent.iterdir()] == ["out"]
        told = f"note: {len(finished)} of {SHARDS} files are there from before, and whole\n"
        assert (told in done.stderr) == bool(finished), done.stderr
        num_kept += bool(finished)
        shutil.rmtree(parent)
    assert num_unfinished
    assert num_kept or kills < 50


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_make_killed_at_any_moment(large: SmallPair, tmp_path: Path, kills: int) -> None:
    rng = random.Random(kills)
    expected = contents(large.diff)
    whole = _took(lambda: make_exact(large.base, large.tuned, tmp_path / "whole"))
    num_unfinished = 0
    for number in range(kills):
        parent = tmp_path / f"{number}"
        parent.mkdir()
        process = _begun(_make(large, parent / "out"), parent)
        time.sleep(rng.random() * whole)
        process.kill()
        process.wait()
        if not (parent / "out").exists():
            num_unfinished += 1
            subprocess.run(_make(large, parent / "out"), capture_output=True, check=True)
            assert [path.name for path in parent.iterdir()] == ["out"]
        assert contents(parent / "out") == expected
        shutil.rmtree(parent)
    assert num_unfinished


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_recovery_keeps_only_what_is_finished(large: SmallPair, tmp_path: Path, stop: int) -> None:
    process = subprocess.Popen(_recover(large, tmp_path / "out"), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*/folder/model*")):  # until the first file is finished
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    process.send_signal(stop)
    _, said = process.communicate()

    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert " of 6 files are finished, and kept: the same command goes on from there\n" in said
    kept = {path.name for path in tmp_path.glob(".out.*/folder/*")}
    assert kept
    assert all(name.startswith("model-") for name in kept)
    assert not (tmp_path / "out").exists()
    done = subprocess.run(_recover(large, tmp_path / "out"), capture_output=True, text=True, check=True)
    assert f"note: {len(kept)} of 6 files are there from before, and whole\n" in done.stderr
    assert contents(tmp_path / "out") == contents(large.tuned)


def test_two_recoveries_at_once(small: SmallPair, tmp_path: Path, alpaca: Callable[..., Outcome]) -> None:
    _, digest = read_manifest(small.diff)
    with new_folder(tmp_path / "out", f"recovering-{digest[:12]}", is_resumed=True) as folder:
        (folder / "model").write_text("being written")
        second = alpaca(*_recover(small, tmp_path / "out")[3:])
        assert second.code == 2
        assert "another alpaca is writing this\nhint: wait for it, or name another output\n" in second.err
        assert (folder / "model").read_text() == "being written"
    assert contents(tmp_path / "out") == {"model": b"being written"}


def test_a_target_that_appears_meanwhile_is_not_touched(small: SmallPair, tmp_path: Path) -> None:
    def meddle(*_: object) -> None:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "mine").write_text("precious")

    with pytest.raises(UsageError, match="directory not empty") as caught:
        recover_exact(small.base, small.diff, tmp_path / "out", on_progress=meddle)

    assert caught.value.exit_code == 2
    assert contents(tmp_path / "out") == {"mine": b"precious"}


def test_a_folder_of_the_hidden_name_that_is_not_ours_is_not_touched(small: SmallPair, tmp_path: Path) -> None:
    (tmp_path / ".out.making" / "photos").mkdir(parents=True)
    with pytest.raises(UsageError, match="a folder that alpaca did not make"):
        make_exact(small.base, small.tuned, tmp_path / "out")
    (tmp_path / "elsewhere" / "folder").mkdir(parents=True)
    (tmp_path / "elsewhere" / "folder" / "mine").write_text("precious")
    (tmp_path / ".out-2.making").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="a folder that alpaca did not make"):
        make_exact(small.base, small.tuned, tmp_path / "out-2")
    (tmp_path / ".out-3.making").mkdir()
    (tmp_path / ".out-3.making" / "folder").symlink_to(tmp_path / "elsewhere" / "folder")
    make_exact(small.base, small.tuned, tmp_path / "out-3")

    assert (tmp_path / ".out.making" / "photos").is_dir()
    assert contents(tmp_path / "elsewhere") == {"folder": None, "folder/mine": b"precious"}
    assert contents(tmp_path / "out-3") == contents(small.diff)
    assert not (tmp_path / ".out-3.making").exists()


@pytest.mark.parametrize("limit", [10_000, 100_000])
def test_a_file_that_may_not_grow(small: SmallPair, tmp_path: Path, limit: int) -> None:
    """As on a full disk: the system refuses a write."""
    for command in (_recover(small, tmp_path / "out"), _make(small, tmp_path / "out")):
        limited = (
            f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
            "from alpaca_cli.cli.app import main; sys.exit(main(sys.argv[1:]))"
        )
        full = subprocess.run(
            [sys.executable, "-c", limited, *command[3:]], capture_output=True, text=True, check=False
        )
        if full.returncode:
            assert full.returncode == 2, full.stderr
            errors = [line for line in full.stderr.splitlines() if line.startswith("error: ")]
            assert errors == [f"error: {tmp_path / 'out'}: cannot write: file too large"]
            assert not (tmp_path / "out").exists()
            subprocess.run(command, capture_output=True, check=True)
        assert contents(tmp_path / "out") == contents(small.tuned if "recover" in command else small.diff)
        assert [path.name for path in tmp_path.iterdir()] == ["out"]
        shutil.rmtree(tmp_path / "out")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Makes a file system of so many bytes."""
    mounted: list[Path] = []

    def mount(num_bytes: int) -> Path:
        place = tmp_path / "disk"
        place.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "none", str(place)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("only root can mount a disk that is full")
        mounted.append(place)
        return place

    if not shutil.which("mount"):
        pytest.skip("there is no mount here")
    yield mount
    for place in mounted:
        subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    small: SmallPair, disk: Callable[[int], Path], alpaca: Callable[..., Outcome]
) -> None:
    place = disk(256 * 1024)
    needed = sum(path.stat().st_size for path in small.tuned.iterdir())

    outcome = alpaca(*_recover(small, place / "out")[3:])

    assert outcome.code == 2
    assert f"{place / 'out'}: the disk is too small: {needed:,} bytes are needed, 262,144 are free\n" in outcome.err
    assert "hint: make room, or write to another disk\n" in outcome.err
    assert not list(place.iterdir())


def test_a_disk_that_fills_up_meanwhile(small: SmallPair, disk: Callable[[int], Path]) -> None:
    place, filler, notes = disk(1 << 20), [], []

    def fill(what: str, done: int, total: int) -> None:
        """Another program takes what room is left, once a third is written."""
        if not filler and done > total / 3:
            filler.append(place / "filler")
            with filler[0].open("wb", buffering=0) as stream, suppress(OSError):
                while True:
                    stream.write(bytes(4096))

    with pytest.raises(UsageError, match="cannot write: no space left on device") as caught:
        recover_exact(small.base, small.diff, place / "out", workers=1, on_progress=fill, on_note=notes.append)

    assert caught.value.problems[0].where == str(place / "out")
    assert filler
    assert not (place / "out").exists()
    assert not list(place.glob(".out.*/folder/.*"))
    kept = len(list(place.glob(".out.*/folder/*")))
    assert 0 < kept < SHARDS
    assert notes == [f"{kept} of {SHARDS} files are finished, and kept: the same command goes on from there"]
    filler[0].unlink()
    recovered = recover_exact(small.base, small.diff, place / "out")
    assert recovered.num_kept == kept
    assert contents(place / "out") == contents(small.tuned)
    assert [path.name for path in place.iterdir()] == ["out"]


def test_what_a_killed_recovery_left_half_written_needs_no_room_of_its_own(
    small: SmallPair, disk: Callable[[int], Path]
) -> None:
    needed = sum(-(-path.stat().st_size // 4096) * 4096 for path in small.tuned.iterdir())
    place = disk(needed + 64 * 1024)
    _, digest = read_manifest(small.diff)
    left = place / f".out.recovering-{digest[:12]}" / "folder"
    left.mkdir(parents=True)
    for path in small.tuned.glob("*.safetensors"):
        (left / f".{path.name}").write_bytes(np.zeros(path.stat().st_size, np.uint8).tobytes())

    recover_exact(small.base, small.diff, place / "out")

    assert contents(place / "out") == contents(small.tuned)


def test_a_mounted_disk_cannot_be_the_target(small: SmallPair, disk: Callable[[int], Path]) -> None:
    place = disk(1 << 22)
    with pytest.raises(UsageError, match="the output is where a disk is mounted, which cannot be replaced") as caught:
        recover_exact(small.base, small.diff, place)
    assert caught.value.problems[0].hint == "name a new folder in it"


def test_a_kept_file_that_is_damaged_is_written_again(small: SmallPair, tmp_path: Path) -> None:
    _, digest = read_manifest(small.diff)
    left = tmp_path / f".out.recovering-{digest[:12]}" / "folder"
    left.mkdir(parents=True)
    first, second, *_ = sorted(small.tuned.glob("*.safetensors"))
    (left / first.name).write_bytes(first.read_bytes()[:-1] + b"?")
    (left / second.name).write_bytes(second.read_bytes())
    notes: list[str] = []
    told: list[str] = []

    recovered = recover_exact(
        small.base, small.diff, tmp_path / "out", on_note=notes.append, on_progress=lambda what, *_: told.append(what)
    )

    assert recovered.num_kept == 1
    assert list(dict.fromkeys(told)) == [f"check {first.name}", f"check {second.name}", "recover"]
    assert notes == [f"1 of {SHARDS} files are there from before, and whole"]
    assert contents(tmp_path / "out") == contents(small.tuned)


def test_few_files_are_open_at_once(tmp_path: Path) -> None:
    base = base_tensors(layers=20, width=4)
    write_model(tmp_path / "base", base, 1)
    write_model(tmp_path / "tuned", tuned_tensors(base), len(base))
    make_exact(tmp_path / "base", tmp_path / "tuned", tmp_path / "diff")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
    try:
        recover_exact(tmp_path / "base", tmp_path / "diff", tmp_path / "out", workers=2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert contents(tmp_path / "out") == contents(tmp_path / "tuned")
