"""What is built of the source tree: the compiled kernel where there is a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from alpaca_cli.dedup import kernel
from alpaca_cli.diff.coder import kernel as coder
from conftest import ROOT

pytest.importorskip("hatchling.build")

LIBRARY = "_kernel" + kernel.ENDING
LOADS = {"dedup": kernel.load, "diff/coder": coder.load}
"""By room: what loads its library, or gives None."""


def built(kind: str, source: Path, out: Path, **environment: str) -> Path:
    """The sdist, wheel or editable wheel of a source tree."""
    code = f"import sys, hatchling.build as build; build.build_{kind}(sys.argv[1])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    out.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of an sdist."""
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built("sdist", ROOT, folder / "out")) as archive:
        for member in archive.getmembers():
            assert not member.name.endswith(kernel.ENDING)
            stream = archive.extractfile(member)
            assert stream is not None
            path = folder / member.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(stream.read())
    (tree,) = (path for path in folder.iterdir() if path.name != "out")
    return tree


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_a_wheel_of_the_sdist_holds_a_kernel_of_its_own_for_this_platform(source: Path, tmp_path: Path) -> None:
    from packaging.tags import sys_tags
    from packaging.utils import parse_wheel_filename

    for room in LOADS:
        (source / "alpaca_cli" / room / LIBRARY).write_bytes(b"of older sources")
    wheel = built("wheel", source, tmp_path / "wheel")
    tags = parse_wheel_filename(wheel.name)[3]
    assert tags & set(sys_tags())
    assert "any" not in {tag.platform for tag in tags}
    with zipfile.ZipFile(wheel) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(kernel.ENDING))
        assert names == [f"alpaca_cli/{room}/{LIBRARY}" for room in LOADS]
        libraries = [Path(archive.extract(name, tmp_path)) for name in names]
    assert None not in [load(library) for load, library in zip(LOADS.values(), libraries, strict=True)]


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_an_editable_install_replaces_kernels_of_older_sources(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("editables")  # hatchling asks pip for it
    libraries = {room: source / "alpaca_cli" / room / LIBRARY for room in LOADS}
    for library in libraries.values():
        library.write_bytes(b"of older sources")
    built("editable", source, tmp_path / "editable")
    assert [room for room, library in libraries.items() if LOADS[room](library) is None] == []


def test_a_wheel_is_built_without_a_compiler(source: Path, tmp_path: Path) -> None:
    wheel = built("wheel", source, tmp_path / "wheel", CC=str(tmp_path / "none"), PATH=str(tmp_path))
    assert wheel.name.endswith("-py3-none-any.whl")
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(kernel.ENDING)]
