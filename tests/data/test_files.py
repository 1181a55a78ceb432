"""Files: read with a clear error, written whole or not at all, whatever happens in between."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpaca_cli.data.files import (
    decode,
    read_bytes,
    read_text,
    refuse_existing,
    refuse_existing_folder,
    sha256,
    write_atomically,
    write_folder_atomically,
    write_text,
)
from alpaca_cli.errors import AlpacaError, DataError, UsageError


def problem(error: pytest.ExceptionInfo[AlpacaError]) -> tuple[str, str | None, str | None]:
    (only,) = error.value.problems
    return only.message, only.where, only.hint


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "text.txt"
    write_text(path, "Grüße\r\n\u2028end")

    assert read_text(path) == "Grüße\r\n\u2028end"
    assert list(path.parent.iterdir()) == [path]


def test_the_file_is_the_old_one_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")
    with write_atomically(path) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_block_that_raises_leaves_the_old_file_and_nothing_beside(tmp_path: Path, raised: BaseException) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")

    def write_half() -> None:
        with write_atomically(path) as stream:
            stream.write(b"half")
            raise raised

    with pytest.raises((RuntimeError, KeyboardInterrupt, UsageError)):
        write_half()

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the same failure of the same call."""
    path = tmp_path / "data"
    path.write_bytes(b"old")
    code = f"""
import resource
from pathlib import Path
from alpaca_cli.data.files import write_text
from alpaca_cli.errors import UsageError
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    write_text(Path({str(path)!r}), "x" * 101)
except UsageError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout == f"{path}: cannot write: file too large\n"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_killed_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"old")
    code = f"""
import time
from pathlib import Path
from alpaca_cli.data.files import write_atomically
with write_atomically(Path({str(path)!r})) as stream:
    stream.write(b"half")
    stream.flush()
    print("half", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()

    assert process.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
    (leftover,) = (entry for entry in tmp_path.iterdir() if entry != path)
    assert leftover.name.startswith(".data.")
    assert leftover.name.endswith(".tmp")


def test_a_process_killed_anywhere_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    code = f"""
from itertools import cycle
from pathlib import Path
from alpaca_cli.data.files import write_atomically
for letter in cycle(b"ab"):
    with write_atomically(Path({str(path)!r})) as stream:
        for _ in range(50):
            stream.write(bytes([letter]) * 10_000)
    print(flush=True)
"""
    delay = random.Random(1)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay.uniform(0, 0.03))
            process.kill()

        assert path.read_bytes() in (b"a" * 500_000, b"b" * 500_000)


def test_permissions_follow_the_umask(tmp_path: Path, umask: None) -> None:
    write_text(tmp_path / "data", "x")

    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o640
    assert os.umask(0o027) == 0o027  # and the umask is what it was


def test_a_file_in_the_way_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "data", tmp_path / "file" / "deep" / "data"):
        with pytest.raises(UsageError) as found:
            write_text(path, "y")

        assert problem(found)[1] == str(path)
        assert problem(found)[0].startswith("cannot write: ")
    assert (tmp_path / "file").read_text() == "x"


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(UsageError) as found:
        write_text(tmp_path / "data", "y")

    assert problem(found)[:2] == ("cannot write: is a directory", str(tmp_path / "data"))
    assert list(tmp_path.iterdir()) == [tmp_path / "data"]


def test_a_name_too_long_for_the_system_is_told(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 300)
    with pytest.raises(UsageError) as late:
        write_text(path, "y")
    with pytest.raises(UsageError) as before_any_work:
        refuse_existing(path, force=True)

    for found in (late, before_any_work):
        assert problem(found)[:2] == ("cannot write: file name too long", str(path))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_without_permission_is_told_before_any_work(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o500)
    with pytest.raises(UsageError) as found:
        refuse_existing(folder / "data", force=False)

    assert problem(found)[0] == f"cannot write: no permission in {folder}"


def test_an_existing_output_is_refused_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    refuse_existing(path, force=False)
    refuse_existing(tmp_path / "new" / "folders" / "out.json", force=False)
    path.write_text("x")
    refuse_existing(path, force=True)
    with pytest.raises(UsageError) as found:
        refuse_existing(path, force=False)

    assert problem(found) == ("output exists", str(path), "choose another name, or overwrite it with --force")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_or_a_file_on_the_way_is_refused_even_with_force(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as folder:
        refuse_existing(tmp_path, force=force)
    with pytest.raises(UsageError) as on_the_way:
        refuse_existing(tmp_path / "file" / "a" / "out", force=force)

    assert problem(folder)[0] == "expected a file to write, found a directory"
    assert problem(on_the_way)[0] == f"cannot write: {tmp_path / 'file'} is not a directory"


@pytest.mark.parametrize("force", [False, True])
def test_a_device_or_pipe_is_never_replaced_by_a_file(tmp_path: Path, force: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for path in (Path(os.devnull), tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(UsageError) as found:
            refuse_existing(path, force=force)

        assert problem(found)[0] == "expected a file to write, found a device or pipe"


def test_a_missing_file_is_told_with_the_name_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "alpaca_data.json").write_text("[]")
    with pytest.raises(UsageError) as near:
        read_bytes(tmp_path / "alpaca-data.json", what="dataset")
    with pytest.raises(UsageError) as far:
        read_bytes(tmp_path / "q")
    with pytest.raises(UsageError) as nowhere:
        read_bytes(tmp_path / "no" / "q")

    meant = f"did you mean {tmp_path / 'alpaca_data.json'}?"
    assert problem(near) == ("no such dataset", str(tmp_path / "alpaca-data.json"), meant)
    assert problem(far) == ("no such file", str(tmp_path / "q"), None)
    assert problem(nowhere)[2] == f"the folder {tmp_path / 'no'} does not exist"


def test_a_directory_for_a_file_and_a_file_for_a_directory_are_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError) as folder:
        read_bytes(tmp_path, what="recipe")
    with pytest.raises(UsageError) as inside:
        read_bytes(tmp_path / "file" / "data", what="recipe")

    assert problem(folder) == ("expected a recipe, found a directory", str(tmp_path), "name a file in it")
    assert problem(inside)[0] == "cannot read this recipe: not a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_file_without_permission_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0)
    with pytest.raises(UsageError) as found:
        read_bytes(tmp_path / "file")

    assert problem(found)[0] == "cannot read this file: permission denied"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte-order-mark"])
@pytest.mark.parametrize(
    ("raw", "place", "byte"),
    [
        (b"\xff", "1:1", "ff"),
        (b"abc\xe9", "1:4", "e9"),
        (b"one\ntwo\n \x80", "3:2", "80"),
        ("é€🙂".encode() + b"\xc3(", "1:4", "c3"),  # columns count characters, as an editor does
        ("é\n🙂🙂".encode() + b"\xf0\x9f", "2:3", "f0"),  # cut in the middle of a character
        (b"\xed\xa0\x80", "1:1", "ed"),  # a surrogate
    ],
)
def test_invalid_utf_8_is_told_by_line_and_column(mark: bytes, raw: bytes, place: str, byte: str) -> None:
    with pytest.raises(DataError) as found:
        decode(mark + raw, Path("data.jsonl"))

    message, where, hint = problem(found)
    assert (message, where) == (f"invalid UTF-8: byte 0x{byte}", f"data.jsonl:{place}")
    assert hint is not None
    assert "iconv" in hint


def test_a_byte_order_mark_is_dropped_once() -> None:
    assert decode(b"\xef\xbb\xbfx", Path()) == "x"
    assert decode(b"\xef\xbb\xbf\xef\xbb\xbfx", Path()) == "\ufeffx"
    assert decode(b"", Path()) == ""


def test_sha256_is_the_standard_one() -> None:
    assert sha256(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def fill(path: Path, content: str, *names: str) -> None:
    with write_folder_atomically(path) as folder:
        for name in names:
            (folder / name).write_text(content)


def test_a_folder_is_there_when_the_block_ends(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "deep" / "folder"
    with write_folder_atomically(path) as folder:
        (folder / "a").write_text("x")
        assert not path.exists()

    assert [(entry.name, entry.read_text()) for entry in path.iterdir()] == [("a", "x")]
    assert path.stat().st_mode & 0o777 == 0o750
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_folders_block_that_raises_leaves_the_old_folder(tmp_path: Path, raised: BaseException) -> None:
    path = tmp_path / "folder"
    fill(path, "old", "a")

    def write_half() -> None:
        with write_folder_atomically(path) as folder:
            (folder / "a").write_text("new")
            raise raised

    with pytest.raises((RuntimeError, KeyboardInterrupt, UsageError)):
        write_half()

    assert (path / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_and_what_is_not_of_it_stays(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    fill(path, "old", "a", "b")
    (path / "deep").mkdir()
    (path / "deep" / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(path)
    fill(tmp_path / "link", "new", "a", "c")

    assert sorted(entry.name for entry in path.iterdir()) == ["a", "b", "c", "deep"]
    assert [(path / name).read_text() for name in ("a", "b", "c", "deep/mine")] == ["new", "old", "new", "mine"]
    assert sorted(tmp_path.iterdir()) == [path, tmp_path / "link"]


def test_a_process_killed_anywhere_leaves_one_whole_folder(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    code = f"""
from itertools import cycle
from pathlib import Path
from alpaca_cli.data.files import write_folder_atomically
for letter in cycle("ab"):
    with write_folder_atomically(Path({str(path)!r})) as folder:
        for name in "xyz":
            (folder / name).write_text(letter * 1_000)
    print(flush=True)
"""
    delay = random.Random(1)
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay.uniform(0, 0.03))
            process.kill()

        whole = [path] if path.exists() else [left for left in tmp_path.iterdir() if left.suffix == ".old"]
        assert len(whole) == 1
        assert [(whole[0] / name).read_text() for name in "xyz"] in (["a" * 1_000] * 3, ["b" * 1_000] * 3)
        for left in tmp_path.iterdir():
            shutil.rmtree(left)


def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(UsageError) as found:
        fill(path, "new", "a")

    assert problem(found)[:2] == ("cannot write: is a directory", str(path))  # the system's word for the other side
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_folder_is_refused_where_something_would_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    refuse_existing_folder(path, ["a"], force=False)
    path.mkdir()
    refuse_existing_folder(path, ["a"], force=False)
    (path / "a").touch()
    refuse_existing_folder(path, ["a", "b"], force=True)

    def refused(*, force: bool, place: Path = path) -> tuple[str, str | None, str | None]:
        with pytest.raises(UsageError) as found:
            refuse_existing_folder(place, ["a", "b"], force=force)
        return problem(found)

    hint = "choose another name, or replace the files with --force"
    assert refused(force=False) == ("the output folder is not empty", str(path), hint)
    (path / "b").mkdir()
    message = "the output folder holds what would not be replaced: b"
    assert refused(force=True) == (message, str(path), "move it away, or choose another folder")
    found = refused(force=True, place=path / "a")
    assert found == ("expected a folder to write, found a file", str(path / "a"), "choose another name for the folder")
    (tmp_path / "link").symlink_to("nowhere")
    assert refused(force=True, place=tmp_path / "link")[0] == "a link that leads nowhere is here"
    monkeypatch.chdir(path / "b")
    assert refused(force=True, place=Path()) == ("the working folder would be replaced", ".", "name a folder in it")
