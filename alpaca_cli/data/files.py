"""Files on disk: read with a clear error, written whole or not at all.

Every derived file of the project goes through `write_atomically`: a temporary neighbour, synced, then renamed, so that
a reader sees the old file or the new one and never half of either.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from alpaca_cli.errors import DataError, UsageError


def read_bytes(path: Path, *, what: str = "file") -> bytes:
    """The bytes of a file that the user named.  Raises UsageError if it is missing, a directory or unreadable."""
    with open_bytes(path, what=what) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise UsageError(f"cannot read this {what}: {reason(error)}", where=str(path)) from error


def open_bytes(path: Path, *, what: str = "file") -> IO[bytes]:
    """A file that the user named, open for reading.  Raises UsageError as `read_bytes`."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise UsageError(f"no such {what}", where=str(path), hint=nearest_name(path)) from None
    except IsADirectoryError:
        raise UsageError(f"expected a {what}, found a directory", where=str(path), hint="name a file in it") from None
    except OSError as error:
        raise UsageError(f"cannot read this {what}: {reason(error)}", where=str(path)) from error


def read_text(path: Path, *, what: str = "file") -> str:
    """The text of a UTF-8 file (a byte order mark is dropped).  Raises DataError with line and column otherwise."""
    return decode(read_bytes(path, what=what), path)


def decode(raw: bytes, path: Path, *, first_line: int = 1) -> str:
    """UTF-8 that begins on `first_line` of its file to text; a byte order mark where the file begins is dropped.

    Raises DataError with line and column of the first bad byte.
    """
    try:
        return raw.decode("utf-8-sig" if first_line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        if first_line == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "convert the file first: iconv -f utf-16 -t utf-8 OLD > NEW"
            raise DataError("expected UTF-8, found UTF-16", where=str(path), hint=hint) from None
        before = error.object[: error.start].decode("utf-8")  # of `object`: in `raw` the byte order mark counts
        line, column = first_line + before.count("\n"), len(before) - before.rfind("\n")
        raise DataError(
            f"invalid UTF-8: byte 0x{error.object[error.start]:02x}",
            where=f"{path}:{line}:{column}",
            hint="convert the file first, for example: iconv -f latin1 -t utf-8 OLD > NEW",
        ) from None


def refuse_existing(path: Path, *, force: bool) -> None:
    """Nothing is overwritten unasked, and no work starts that could not be written.

    Raises UsageError if `path` is a directory or device, exists without `force`, or lies where nothing can be written.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
        if path.is_symlink():
            hint = "choose another name, or remove the link"
            raise UsageError("a link that leads nowhere is here", where=str(path), hint=hint) from None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path), hint="choose another name") from error
    if mode is not None and stat.S_ISDIR(mode):
        raise UsageError("expected a file to write, found a directory", where=str(path), hint="name a file in it")
    if mode is not None and not stat.S_ISREG(mode):  # a rename would put a file in the place of /dev/null
        raise UsageError("expected a file to write, found a device or pipe", where=str(path), hint="name a file")
    if mode is not None and not force:
        raise UsageError("output exists", where=str(path), hint="choose another name, or overwrite it with --force")
    _refuse_closed_place(path)


def refuse_existing_folder(path: Path, names: Collection[str], *, force: bool) -> None:
    """Nothing in a folder is overwritten unasked, and nothing else in it may be taken for part of what is written.

    Raises UsageError if `path` is no folder, has something in it without `force` or something other than files of these
    `names`, is the working folder, or lies where nothing can be written.
    """
    if not path.exists():
        refuse_existing(path, force=force)
        return
    if not path.is_dir():
        hint = "choose another name for the folder"
        raise UsageError("expected a folder to write, found a file", where=str(path), hint=hint)
    if path.samefile(Path()):
        hint = "name a folder in it"
        raise UsageError("the working folder would be replaced", where=str(path), hint=hint)
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path)) from error
    if entries and not force:
        hint = "choose another name, or replace the files with --force"
        raise UsageError("the output folder is not empty", where=str(path), hint=hint)
    if others := [entry for entry in entries if entry.name not in names or entry.is_dir()]:
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        message = f"the output folder holds what would not be replaced: {others[0].name}{more}"
        raise UsageError(message, where=str(path), hint="move it away, or choose another folder")
    _refuse_closed_place(path.resolve())


def _refuse_closed_place(path: Path) -> None:
    """Raises UsageError if no new entry can be made beside `path`, or where the folders on the way would begin."""
    folder = next((parent for parent in path.absolute().parents if parent.exists()), Path("/"))
    if not folder.is_dir():
        raise UsageError(f"cannot write: {folder} is not a directory", where=str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write: no permission in {folder}", where=str(path), hint="choose another place")


def refuse_reading_and_writing(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raises UsageError if one of `outputs` is the same file as one of `inputs`, by whatever name."""
    read = {path.resolve(): path for path in inputs}
    for path in outputs:
        if path.resolve() in read:
            raise UsageError("this would overwrite a file that is read", where=str(path), hint="choose another name")


@contextmanager
def write_atomically(path: Path) -> Iterator[IO[bytes]]:
    """A binary stream that becomes `path` when the block ends well, and leaves nothing behind when it does not.

    Folders on the way are made; a link stays, and what it names is written.  Raises UsageError if the place cannot be
    written (permission, full disk).
    """
    temporary: Path | None = None
    try:
        if path.is_symlink():
            path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextmanager
def write_folder_atomically(path: Path) -> Iterator[Path]:
    """An empty folder that becomes `path`, with the files made in it, when the block ends well, and is gone otherwise.

    A folder that is there already is replaced: files of the same names are deleted, any others kept.  A process that
    is killed between the two renames which this takes leaves both folders whole, under hidden names beside `path`.
    Raises UsageError if the place cannot be written (permission, full disk).
    """
    temporary: Path | None = None
    try:
        path = path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
        yield temporary
        for entry in temporary.iterdir():
            _sync(entry)
        temporary.chmod(0o777 & ~_umask())
        _replace_folder(temporary, path)
        temporary = None
    except OSError as error:
        raise UsageError(f"cannot write: {reason(error)}", where=str(path)) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Give `new` the name `path`, and what it does not replace of the folder of that name."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
    try:
        path.rename(old)  # takes the place of the empty folder
        new.rename(path)
    except BaseException:
        if path.exists():
            old.rmdir()
        else:
            old.rename(path)
        raise
    for entry in old.iterdir():
        if not (path / entry.name).exists():
            entry.rename(path / entry.name)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_at(descriptor: int, data: memoryview, offset: int) -> int:
    """Write all of `data` (bytes) at `offset` of an open file; returns the offset behind it.  Raises OSError."""
    while data:
        count = os.pwrite(descriptor, data, offset)
        data, offset = data[count:], offset + count
    return offset


def write_text(path: Path, text: str) -> None:
    """`text` as UTF-8, whole or not at all."""
    with write_atomically(path) as stream:
        stream.write(text.encode("utf-8"))


def sha256(raw: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(raw).hexdigest()


def reason(error: OSError) -> str:
    """The system's own words for an error, in our lower case."""
    words = error.strerror or type(error).__name__
    return words[:1].lower() + words[1:]


def nearest_name(path: Path) -> str | None:
    """A hint naming the file in the same folder that the user may have meant, if one is close."""
    from difflib import get_close_matches  # noqa: PLC0415  (only on the way to an error)

    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return f"the folder {path.parent} does not exist" if not path.parent.exists() else None
    close = get_close_matches(path.name, names, n=1, cutoff=0.75)
    return f"did you mean {path.parent / close[0]}?" if close else None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
