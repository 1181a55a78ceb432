"""Which checkpoint is chosen: the newest that is whole; what is damaged is told, and never taken for nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpaca_cli.data.files import sha256
from alpaca_cli.errors import IntegrityError
from alpaca_cli.finetune.save.manifest import File, complete, folder_name, newest, read, remove, seal, sweep

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def make(folder: Path, step: int, raw: bytes = b"weights", facts: dict[str, object] | None = None) -> Path:
    temporary = folder / f".{folder_name(step)}.tmp"
    temporary.mkdir(parents=True)
    (temporary / "__0_0.distcp").write_bytes(raw)
    seal(temporary, step, facts or {}, {"__0_0.distcp": File(len(raw), sha256(raw))})
    return folder / folder_name(step)


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "missing") is None
    assert newest(tmp_path) is None


def test_the_highest_step_is_the_newest(tmp_path: Path) -> None:
    for step in (1_000_000, 999_999, 0, 200):
        make(tmp_path, step)

    found = newest(tmp_path)

    assert found is not None
    assert found.step == 1_000_000 and found.path == tmp_path / "step-1000000" and found.passed_over == ()
    assert [path.name for path in complete(tmp_path)] == ["step-000000", "step-000200", "step-999999", "step-1000000"]


@settings(max_examples=25, deadline=None)
@given(facts=st.dictionaries(st.text(), VALUES, max_size=4))
def test_facts_come_back(facts: dict[str, object], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = make(tmp_path_factory.mktemp("checkpoints"), 3, facts=facts)

    assert read(path).facts == facts


def test_a_changed_manifest_is_passed_over(tmp_path: Path) -> None:
    make(tmp_path, 1)
    manifest = make(tmp_path, 2, facts={"seed": 42}) / "manifest.json"
    whole = manifest.read_bytes()
    assert newest(tmp_path).step == 2  # type: ignore[union-attr]

    ends = [whole[:length] for length in range(len(whole) - 2)]
    bits = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in range(len(whole))]
    same = json.loads(whole)
    for raw in [*ends, *bits]:
        manifest.write_bytes(raw)
        found = newest(tmp_path)
        assert found is not None
        if found.step == 2:  # a bit of white space, say, that changes nothing
            assert json.loads(raw) == same
        else:
            assert found.step == 1
            (told,) = found.passed_over
            assert told.startswith(f"{tmp_path / 'step-000002'}: a damaged checkpoint: ")


def test_a_file_that_is_missing_or_of_another_size_is_told(tmp_path: Path) -> None:
    make(tmp_path, 1)
    shard = make(tmp_path, 2) / "__0_0.distcp"

    shard.write_bytes(b"weight")
    assert newest(tmp_path).passed_over == (  # type: ignore[union-attr]
        f"{shard.parent}: a damaged checkpoint: expected 7 bytes in __0_0.distcp, found 6",
    )
    shard.unlink()
    assert newest(tmp_path).passed_over == (  # type: ignore[union-attr]
        f"{shard.parent}: a damaged checkpoint: __0_0.distcp is missing",
    )


def test_all_damaged_is_an_error_and_not_a_new_start(tmp_path: Path) -> None:
    for step in (1, 2):
        (make(tmp_path, step) / "__0_0.distcp").unlink()

    with pytest.raises(IntegrityError) as caught:
        newest(tmp_path)

    (problem,) = caught.value.problems
    assert caught.value.exit_code == 5
    assert problem.where == str(tmp_path / "step-000002")
    assert problem.message == "a damaged checkpoint: __0_0.distcp is missing"
    assert problem.hint == f"put it back from a copy, or remove {tmp_path} to begin at the first step"


def test_a_format_of_the_future_is_told(tmp_path: Path) -> None:
    path = make(tmp_path, 1) / "manifest.json"
    content = json.loads(path.read_bytes())
    del content["sha256"]
    content["format"] = 9
    path.write_text(json.dumps({**content, "sha256": sha256(json.dumps(content, sort_keys=True).encode())}))

    with pytest.raises(IntegrityError, match="a checkpoint of an unknown format: 9"):
        read(path.parent)


def test_a_damaged_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    (make(tmp_path, 1) / "__0_0.distcp").unlink()

    make(tmp_path, 1, b"again")

    assert (read(tmp_path / "step-000001").path / "__0_0.distcp").read_bytes() == b"again"
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def test_what_a_kill_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    make(tmp_path, 1)
    for name in (".step-000002.tmp", ".step-000001.old", "notes", ".hidden"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()

    sweep(tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "notes", "step-000001"]
    remove(tmp_path / "step-000001")
    remove(tmp_path / "step-000001")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "notes"]


def test_it_is_read_without_torch() -> None:
    code = "import sys, alpaca_cli.finetune.save.manifest; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
