"""Compiles the inner loops of `alpaca dedup` and `alpaca diff` when the package is built, if there is a C compiler.

The library is plain C that Python calls through ctypes: one build serves every Python of its platform.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

FLAGS = ["-O3", "-std=c99", "-shared", "-fPIC", "-fvisibility=hidden"]
EXACT = ["-ffp-contract=off"]  # a fused multiply-add would round F otherwise than rouge_score does
POPCNT = ["-mpopcnt"] if platform.machine() in ("x86_64", "AMD64") else []  # pyarrow asks more of a processor
ROOMS = ("dedup", "diff/coder")  # each with its *.c, which become one library
NAME = "_kernel" + {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")


class KernelHook(BuildHookInterface):  # type: ignore[type-arg]
    """Puts a library beside each `kernel.py`, in the wheel or, where the source tree itself is installed, in that."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a wheel is put together."""
        self._made = tempfile.mkdtemp()
        for room in ROOMS:
            folder = Path(self.root, "alpaca_cli", room)
            library = Path(self._made, room.replace("/", "") + NAME)
            if not self._compile(sorted(folder.glob("*.c")), library):
                self.app.display_warning("no C compiler: alpaca dedup and diff will use their slower pure Python way")
                return
            if version == "editable":
                new = Path(shutil.copy(library, folder / f".{NAME}.new"))
                new.replace(folder / NAME)  # a process may be using the old one
            else:
                build_data["force_include"][str(library)] = f"alpaca_cli/{room}/{NAME}"
        build_data["pure_python"] = False
        build_data["tag"] = "py3-none-" + next(  # not sysconfig's name: of some Pythons for macOS pip does not know it
            name for name in platform_tags() if "manylinux" not in name and "musllinux" not in name
        )

    def finalize(self, *_: Any) -> None:
        """Called by hatchling after it."""
        shutil.rmtree(self._made, ignore_errors=True)

    def _compile(self, sources: list[Path], library: Path) -> bool:
        for compiler in filter(None, (os.environ.get("CC"), sysconfig.get_config_var("CC"), "cc", "gcc", "clang")):
            command = [*shlex.split(compiler), *FLAGS, *EXACT, *POPCNT, "-o", str(library), *map(str, sources)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False)
            except OSError:
                continue
            if done.returncode == 0:
                return True
            self.app.display_warning(f"{shlex.join(command)}: {done.stderr.strip()[-500:]}")
        return False
