"""Which folders may be named together, and that a new one is there whole or not at all."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from alpaca_cli.diff import folders
from alpaca_cli.diff.folders import FOLDER, new_folder, refuse_entangled, refuse_full, refuse_too_large
from alpaca_cli.errors import UsageError


def hidden(out: Path) -> list[str]:
    """What is beside a folder."""
    return sorted(each.name for each in out.parent.iterdir() if each.name.startswith("."))


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("a", "a", "base and output are the same folder"),
        ("a", "./x/../a", "base and output are the same folder"),
        ("a", "link", "base and output are the same folder"),
        ("a", "a/b/c", "the output lies in the folder of the base"),
        ("a", "link/new", "the output lies in the folder of the base"),
        ("a/b", "a", "the base lies in the folder of the output"),
        ("a", "ab", None),
        ("a/b", "a/c", None),
    ],
)
def test_folders_that_are_one_or_nested_are_refused(one: str, other: str, message: str | None, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "x").mkdir()
    (tmp_path / "link").symlink_to("a")
    named = {"base": tmp_path / one, "diff": tmp_path / "elsewhere", "output": tmp_path / other}

    if message is None:
        refuse_entangled(named)
        return
    with pytest.raises(UsageError) as caught:
        refuse_entangled(named)
    assert [(each.message, each.where) for each in caught.value.problems] == [(message, str(tmp_path / other))]


def test_an_output_must_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full/.hidden").touch()
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to("gone")

    refuse_full(tmp_path / "new")
    refuse_full(tmp_path / "far/away/new")
    refuse_full(tmp_path / "empty")
    for name, message in {
        "full": "the output folder is not empty",
        "file": "the output exists, and is no folder",
        "nowhere": "a link that leads nowhere is here",
        "file/new": "cannot write",
    }.items():
        with pytest.raises(UsageError, match=message):
            refuse_full(tmp_path / name)
    assert (tmp_path / "full/.hidden").exists()


@pytest.mark.parametrize("name", ["new", "far/away/new", "empty"])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_folder_gets_its_name_when_all_is_well(name: str, is_resumed: bool, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / name

    with new_folder(out, "making", is_resumed=is_resumed) as folder:
        (folder / "deep").mkdir()
        (folder / "deep/file").write_text("x")
        assert not out.exists() or not any(out.iterdir())

    assert (out / "deep/file").read_text() == "x"
    assert hidden(out) == []


class Trouble(Exception):
    pass


def fail(out: Path, *, is_resumed: bool, **files: str) -> None:
    """Write these files of a new folder, then fail."""
    with new_folder(out, "recovering", is_resumed=is_resumed) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        raise Trouble


def test_what_was_finished_stays_for_the_next_time_and_only_that(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Trouble):
        fail(out, is_resumed=True, done="1", **{".half": "2"})
    assert not out.exists()

    with new_folder(out, "recovering", is_resumed=True) as folder:
        assert [each.name for each in folder.iterdir()] == ["done"]
    assert [each.name for each in out.iterdir()] == ["done"]
    assert hidden(out) == []


def test_nothing_stays_of_what_cannot_be_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(Trouble):
        fail(out, is_resumed=True, **{".half": "2"})
    assert hidden(out) == []
    with pytest.raises(Trouble):
        fail(out, is_resumed=False, done="1")
    assert hidden(out) == []

    left = tmp_path / ".out.making" / FOLDER
    left.mkdir(parents=True)
    (left / "of one that was killed").touch()
    with new_folder(out, "making", is_resumed=False) as folder:
        assert list(folder.iterdir()) == []
    assert list(tmp_path.iterdir()) == [out]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".out.making"
    mine.mkdir()
    (mine / "thesis.txt").touch()

    with (
        pytest.raises(UsageError, match="a folder that alpaca did not make"),
        new_folder(tmp_path / "out", "making", is_resumed=False),
    ):
        raise AssertionError
    assert [each.name for each in mine.iterdir()] == ["thesis.txt"]


def test_two_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with new_folder(out, "making", is_resumed=False) as folder:
        (folder / "file").touch()
        with (
            pytest.raises(UsageError, match="another alpaca is writing this"),
            new_folder(out, "making", is_resumed=False),
        ):
            raise AssertionError
    assert [each.name for each in out.iterdir()] == ["file"]
    assert hidden(out) == []


def write_while_it_is_taken(out: Path) -> None:
    """Write a new folder, whose name somebody else takes before it is finished."""
    with new_folder(out, "recovering", is_resumed=True) as folder:
        (folder / "weights").write_text("x")
        out.mkdir()
        (out / "theirs").touch()


def test_a_name_that_was_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"

    with pytest.raises(UsageError, match="cannot write") as caught:
        write_while_it_is_taken(out)

    assert caught.value.problems[0].where == str(out)
    assert [each.name for each in out.iterdir()] == ["theirs"]
    shutil.rmtree(out)
    with new_folder(out, "recovering", is_resumed=True) as folder:
        assert (folder / "weights").read_text() == "x"


def test_an_interrupt_is_no_failure_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", "making", is_resumed=False):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_room_that_is_needed(tmp_path: Path) -> None:
    refuse_too_large(tmp_path / "far/away", 1)
    with pytest.raises(UsageError, match="the disk is too small: 1,152,921,504,606,846,976 bytes are needed"):
        refuse_too_large(tmp_path / "far/away", 1 << 60)


def test_a_folder_that_has_its_name_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some disks that lie elsewhere cannot sync the folder that a new one is in."""

    def sync(path: Path) -> None:
        if path == tmp_path:
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(folders, "_sync", sync)

    with new_folder(tmp_path / "out", "making", is_resumed=False) as folder:
        (folder / "weights").write_text("x")

    assert (tmp_path / "out/weights").read_text() == "x"
    assert hidden(tmp_path / "out") == []
