"""What the compiled index takes of memory, and where that runs out: MemoryError, and nothing of it is lost or wrong."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
import sys

import pytest

from alpaca_cli.dedup import kernel
from alpaca_cli.dedup.encode import Encoder
from alpaca_cli.dedup.index import Index, parts_of
from alpaca_cli.dedup.rows import Rows
from conftest import ROOT

COMPILER = shutil.which("cc")
FAILING = """
#include <stdlib.h>
#include <string.h>
#define EXPORT __attribute__((visibility("default")))
#ifdef ALLOCATOR
EXPORT long left = -1; /* allocations that succeed before one fails; -1 for all */
static int fails(void) { return left >= 0 && left-- == 0; }
void *my_malloc(size_t size) { return fails() ? NULL : malloc(size); }
void *my_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }
void *my_realloc(void *old, size_t size) { return fails() ? NULL : realloc(old, size); }
#else
void *my_malloc(size_t), *my_calloc(size_t, size_t), *my_realloc(void *, size_t);
#define malloc my_malloc
#define calloc my_calloc
#define realloc my_realloc
#endif
"""


class Allocator:
    """A kernel whose allocations fail on demand."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._left = ctypes.c_long.in_dll(library, "left")

    def fail_after(self, count: int) -> None:
        self._left.value = count

    def failed(self) -> bool:
        """Whether one did since; none does from here on."""
        failed = self._left.value == -1
        self._left.value = -1
        return failed


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("kernel")
    (folder / "failing.h").write_text(FAILING)
    (folder / "allocator.c").write_text("#define ALLOCATOR\n" + FAILING)
    objects = []
    for source, flags in (
        *((source, ["-include", str(folder / "failing.h")]) for source in ROOT.glob("alpaca_cli/dedup/*.c")),
        (folder / "allocator.c", []),
    ):
        objects.append(str(folder / source.with_suffix(".o").name))
        subprocess.run([COMPILER, "-std=c99", "-fPIC", *flags, "-c", str(source), "-o", objects[-1]], check=True)
    subprocess.run([COMPILER, "-shared", *objects, "-o", str(folder / "failing.so")], check=True)
    found = kernel.load(folder / "failing.so")
    assert found is not None
    return found


@pytest.fixture
def allocator(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Allocator:
    monkeypatch.setattr(kernel, "LIBRARY", library)
    return Allocator(library)


def some_rows() -> list[list[int]]:
    """Some words often, so that their lists are split; enough others to make the table of words grow."""
    rng = random.Random(7)
    lengths = [0, 1, 3, 5, 8, 12, 40, 70, 130]
    return [
        [rng.choice([rng.randrange(6), rng.randrange(10**6)]) for _ in range(rng.choice(lengths))] for _ in range(150)
    ]


def test_a_row_is_added_whole_or_not_at_all(allocator: Allocator, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, rng, num_failed = some_rows(), random.Random(3), 0
    for _ in range(10):
        index, added = Index(0.3), list[list[int]]()
        for row in rows:
            allocator.fail_after(rng.choice([0, 1, 2, 4, 8, 16, 32]))
            try:
                index.add(Rows.of([row]))
                added.append(row)
            except MemoryError:
                num_failed += 1
            allocator.failed()
            assert len(index) == len(added)
        asked = Rows.of(rows)
        with monkeypatch.context() as patch:
            patch.setattr(kernel, "LIBRARY", None)
            plain = Index(0.3)
            plain.add(Rows.of(added))
        for mine, other in zip(index.near(asked, limit=200), plain.near(asked, limit=200), strict=True):
            assert mine.tolist() == other.tolist()
    assert num_failed > 100


def test_any_allocation_may_fail(allocator: Allocator) -> None:
    rows = Rows.of(some_rows())
    texts = [f"word{number}" for number in range(5000)]

    def work() -> list[object]:
        encoder, index = Encoder("rouge"), Index(0.5)
        numbered = encoder.number(texts)
        admitted = index.admit(rows).tolist()
        found = index.nearest(rows)[0].tolist(), index.near(rows, limit=3)[1].tolist(), index.has_near(rows).tolist()
        return [numbered.numbers.tolist(), admitted, *found, parts_of(rows, 0.5, 3)[1].tolist()]

    expected, count = work(), 0
    while True:
        allocator.fail_after(count)
        try:
            assert work() == expected
            if not allocator.failed():
                break
        except MemoryError:
            assert allocator.failed()
        count += 1 if count < 40 else 17
    assert count > 100


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold a process to its limit")
def test_a_long_row_takes_memory_by_its_words_and_not_by_their_square() -> None:
    code = """
import resource
import numpy as np
from alpaca_cli.dedup.index import Index
from alpaca_cli.dedup.rows import Rows
count = 1 << 17
codes, starts = np.arange(count, dtype=np.uint64), np.array([0, count])
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (400 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
index = Index(0.7)
index.add(Rows(codes, starts))
print(*index.nearest(Rows(codes[::-1].copy(), starts))[0], *index.nearest(Rows(codes[9:].copy(), starts - [0, 9]))[0])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout == "-1 0\n", run.stderr
