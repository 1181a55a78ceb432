"""The run folder: one writer, one recipe, nothing of anybody else's touched, and taken up again after any kill."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from alpaca_cli import yamlfile
from alpaca_cli.data.journal import Completion, Journal
from alpaca_cli.errors import IntegrityError, UsageError
from alpaca_cli.generate import report as report_module
from alpaca_cli.generate.inputs import Inputs, load_inputs
from alpaca_cli.generate.prompt import RequestMaker
from alpaca_cli.generate.replay import Replay
from alpaca_cli.generate.report import report
from alpaca_cli.generate.runfolder import RunFolder, check_paid, opened, versions
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import load
from scripted_server import tasks

BEGINNING = ["prompt.txt", "seed_tasks.jsonl", "versions.json", "recipe.resolved.yaml"]
OUTPUTS = ["alpaca_data.json", "provenance.jsonl", "refused.jsonl", "report.json"]
ABOUT: dict[str, Any] = {
    "command": "alpaca generate", "recipe": "mine.yaml", "alpaca": "0.1.0", "first_asked": None, "last_asked": None,
    "models": {"m\ud800": 2}, "base_urls": [], "requests": 3, "spent": "0.5", "unknown": None, "prices": [],
    "license": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_inputs() -> None:
    Path("ask.txt").write_text("Ask for {num_tasks}.\n\n", encoding="utf-8")
    rows = [{"id": each, "instruction": f"Say {each}.", "instances": [{"output": each}]} for each in "abcd"]
    Path("mine.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def recipe(**changes: Any) -> GenerateRecipe:
    plain: dict[str, Any] = {
        "kind": "generate", "num": 5, "teacher": {"model": "m"}, "seeds": "mine.jsonl", "prompt": {"file": "ask.txt"},
    }  # fmt: skip
    for name, value in changes.items():
        room, _, key = name.rpartition("__")
        (plain.setdefault(room, {}) if room else plain)[key] = value
    return GenerateRecipe.model_validate(plain)


@contextmanager
def opening(path: Path = Path("run"), **changes: Any) -> Iterator[RunFolder]:
    with opened(path, recipe(**changes), load_inputs(recipe(**changes))) as folder:
        yield folder


def refused(path: Path = Path("run"), **changes: Any) -> str:
    def enter() -> None:
        with opening(path, **changes):
            pass

    journal = path / "journal.jsonl"
    is_run = os.path.exists(path / "recipe.resolved.yaml") and not journal.exists()
    if is_run:
        journal.write_bytes(b"{}\n")  # as if something were paid: only then a folder is held to its recipe
    with pytest.raises(UsageError) as found:
        enter()
    if is_run:
        journal.unlink()
    return str(found.value)


def contents(path: Path) -> dict[str, bytes]:
    return {entry.name: entry.read_bytes() for entry in path.iterdir() if entry.name != ".lock"}


def replay_of(num: int, *texts: str) -> Replay:
    made = recipe(num=num)
    replay = Replay(made, load_inputs(made).seed_tasks, num)
    for k, text in enumerate(texts):
        usage = {"prompt_tokens": 10, "completion_tokens": 5} if k else None
        replay.offer(Completion(k, ("a", "b", "c"), "", text, "stop", usage, "m", None, "", 1.0))
    return replay


def maker() -> RequestMaker:
    return load_inputs(recipe()).request_maker(recipe())


# --- what is in it --------------------------------------------------------------------------------------------------


def test_a_new_folder_holds_what_the_run_was_told() -> None:
    with opening(Path("deep/run")) as folder:
        assert sorted(contents(folder.path)) == sorted(BEGINNING)

    assert Path("deep/run/prompt.txt").read_text() == "Ask for {num_tasks}.\n"
    assert Path("deep/run/seed_tasks.jsonl").read_bytes() == Path("mine.jsonl").read_bytes()
    assert json.loads(Path("deep/run/versions.json").read_text()) == versions()
    assert {"alpaca", "python", "numpy", "openai", "rapidfuzz"} <= set(versions())


def test_the_resolved_recipe_loads_again_and_names_what_lies_beside_it() -> None:
    with opening(seed=7):
        pass
    resolved = load(Path("run/recipe.resolved.yaml"), GenerateRecipe)
    Path("run").rename("moved")
    Path("mine.jsonl").unlink()
    Path("ask.txt").unlink()
    inputs = load_inputs(resolved, beside=Path("moved"))

    assert (resolved.seeds, resolved.prompt.file, resolved.seed) == ("seed_tasks.jsonl", "prompt.txt", 7)
    assert [task.id for task in inputs.seed_tasks] == ["a", "b", "c", "d"]
    assert inputs.prompt == "Ask for {num_tasks}."


def test_the_resolved_recipe_begins_an_equal_run_elsewhere_and_goes_on_here() -> None:
    with opening():
        pass
    resolved = load(Path("run/recipe.resolved.yaml"), GenerateRecipe)
    inputs = load_inputs(resolved, beside=Path("run"))
    for place in ("run", "elsewhere"):
        with opened(Path(place), resolved, inputs):
            pass

    assert contents(Path("elsewhere")) == contents(Path("run"))


def test_the_resolved_recipe_has_every_setting() -> None:
    with opening():
        pass

    text = Path("run/recipe.resolved.yaml").read_text(encoding="utf-8")
    assert yamlfile.dump(load(Path("run/recipe.resolved.yaml"), GenerateRecipe)) == text
    assert "  temperature: null\n" in text


# --- one writer -----------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.runfolder import opened
from alpaca_cli.recipe.generate import GenerateRecipe
recipe = GenerateRecipe.model_validate({
    "kind": "generate", "num": 5, "teacher": {"model": "m"}, "seeds": "mine.jsonl", "prompt": {"file": "ask.txt"},
})
inputs = load_inputs(recipe)
"""


def test_a_second_process_is_kept_out_until_the_first_is_gone() -> None:
    hold = f'{HOLD}\nwith opened(Path("run"), recipe, inputs):\n    print(flush=True)\n    time.sleep(60)\n'
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = contents(Path("run"))

        assert refused() == "run: another process is writing to this run"
        assert refused(seed=5) == "run: another process is writing to this run"
        assert contents(Path("run")) == before
        process.kill()

    assert process.returncode == -signal.SIGKILL
    with opening() as folder:
        assert contents(folder.path) == before


def test_a_second_writer_in_the_same_process_is_kept_out_too() -> None:
    with opening():
        assert refused() == "run: another process is writing to this run"
    with opening():
        pass


def test_the_lock_is_given_back_when_a_run_fails() -> None:
    def fail() -> None:
        with opening():
            raise RuntimeError

    for _ in range(2):
        with pytest.raises(RuntimeError):
            fail()


# --- one recipe -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed: 0 there, 1 now"),
        ({"teacher__model": "n"}, 'teacher.model: "m" there, "n" now'),
        ({"teacher__temperature": 0.5}, "teacher.temperature: null there, 0.5 now"),
        ({"teacher__stop": ["\n20."]}, 'teacher.stop: [] there, ["\\n20."] now'),
        ({"novelty__threshold": 0.8}, "novelty.threshold: 0.7 there, 0.8 now"),
        ({"prompt__num_seeds": 2}, "prompt.num_seeds: 3 there, 2 now"),
        ({"rules__url": True}, "rules.url: false there, true now"),
        (
            {"rules__url": True, "seed": 2, "rules__too_long": 9},
            "rules.too_long: 150 there, 9 now; rules.url: false there, true now; seed: 0 there, 2 now",
        ),
        (
            {"rules__unsuitable_word": ["abcdefghij"] * 9},
            'rules.unsuitable_word: [] there, ["abcdefghij", "abcdefghij", "abcdefghij", "abcdefghij", ... now',
        ),
    ],
)
def test_another_recipe_is_refused_with_the_difference_shown(changes: dict[str, Any], difference: str) -> None:
    with opening():
        pass
    before = contents(Path("run"))

    assert refused(**changes) == f"run: this folder holds a run of another recipe ({difference})"
    assert contents(Path("run")) == before
    with opening():
        pass


def test_another_prompt_or_other_seeds_are_refused_by_what_they_hold() -> None:
    with opening():
        pass
    before = contents(Path("run"))
    for name, difference in (("ask.txt", "prompt: another text"), ("mine.jsonl", "seeds: other seed tasks")):
        raw = Path(name).read_bytes()
        Path(name).write_bytes(raw.replace(b"a", b"e", 1))

        assert refused() == f"run: this folder holds a run of another recipe ({difference})"
        assert contents(Path("run")) == before
        Path(name).write_bytes(raw)


def test_the_same_prompt_and_seeds_from_elsewhere_are_the_same() -> None:
    with opening():
        pass
    Path("copy").mkdir()
    Path("ask.txt").rename("copy/other_name.txt")
    Path("mine.jsonl").rename("copy/other_name.jsonl")
    with opening(seeds="copy/other_name.jsonl", prompt__file="copy/other_name.txt"):
        pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num", 9), ("patience", 1), ("teacher__api_key_env", "OTHER"), ("teacher__timeout_s", 1.0),
        ("teacher__max_tries", 1), ("teacher__concurrency", 1),
    ],
)  # fmt: skip
def test_what_only_changes_the_pace_may_change_and_is_written_down(name: str, value: Any) -> None:
    with opening():
        pass
    with opening(**{name: value}):
        pass

    written: Any = load(Path("run/recipe.resolved.yaml"), GenerateRecipe)
    for part in name.split("__"):
        written = getattr(written, part)
    assert written == value


def test_num_may_be_raised_but_not_below_what_was_kept() -> None:
    texts = [tasks("Name a river of some length.", "Tell why the sky looks blue.", "Give three uses for old string.")]
    with opening(num=3) as folder:
        folder.write_outputs(replay_of(3, *texts), ABOUT)
    before = contents(Path("run"))

    assert json.loads(before["report.json"])["kept"] == 3
    assert refused(num=2) == "run: this run has kept 3 examples already, more than --num 2"
    assert contents(Path("run")) == before
    for num in (3, 4, 3):
        with opening(num=num):
            pass


def test_what_is_compared_is_told_while_the_dataset_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_module, "PROGRESS_ROWS", 2)
    heard = []

    def hear(done: int, count: int) -> None:
        heard.append((done, count, len(json.loads(Path("run/alpaca_data.json").read_text()))))

    texts = [tasks("Name a river of some length.", "Tell why the sky looks blue.", "Give three uses for old string.")]
    with opening(num=3) as folder:
        folder.write_outputs(replay_of(3, *texts), ABOUT, hear)
    assert heard == [(0, 3, 3), (2, 3, 3)]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"kept": "3"}', b"\xff"])
def test_a_damaged_report_keeps_no_run_from_going_on(damage: bytes) -> None:
    with opening() as folder:
        Path("run/report.json").write_bytes(damage)
        assert folder.report_if_complete(5, {}) is None
    with opening(num=1):
        pass


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kept", -1), ("completions", "x"), ("completions", None), ("completions", True), ("refused", None),
        ("refused", {"url": "1"}), ("tokens", []), ("is_complete", "yes"), ("run", None), ("run", {}),
        ("run", {**ABOUT, "spent": "much"}), ("run", {**ABOUT, "models": ["m"]}), ("run", {**ABOUT, "prices": [{}]}),
    ],
)  # fmt: skip
def test_a_report_that_was_edited_into_none_counts_as_none(key: str, value: Any) -> None:
    with opening(num=1) as folder:
        replay = replay_of(1, *TEXTS)
        paid = {completion.k: completion for completion in replay.used}
        whole = folder.write_outputs(replay, ABOUT)
        assert folder.report_if_complete(1, paid) is not None
        Path("run/report.json").write_text(json.dumps({**whole, key: value}))

        assert folder.report_if_complete(1, paid) is None
        assert check_paid(folder.path, {}) == {}
    with opening(num=1):
        pass


def test_a_report_that_counts_more_than_any_journal_holds_is_told_at_once() -> None:
    with opening(num=1) as folder:
        replay = replay_of(1, *TEXTS)
        whole = folder.write_outputs(replay, ABOUT)
        Path("run/report.json").write_text(json.dumps({**whole, "completions": 10**15}))
        with pytest.raises(IntegrityError) as caught:
            folder.report_if_complete(1, {completion.k: completion for completion in replay.used})

    missing = f"{10**15 - len(replay.used):,}"
    assert str(caught.value) == (
        f"run/journal.jsonl: the journal lacks {missing} of {10**15:,} completions that report.json counts"
    )


@pytest.mark.parametrize("damage", ["[]", "{", "null", '"3.12"', '{"python": []}'])
def test_damaged_versions_keep_no_run_from_going_on(damage: str) -> None:
    with opening():
        pass
    Path("run/versions.json").write_text(damage)
    Path("run/journal.jsonl").write_text("{}\n")
    with opening() as folder:
        assert ["python [] then" in note for note in folder.notes] == [True] * damage.startswith('{"')


@pytest.mark.parametrize("name", ["prompt.txt", "seed_tasks.jsonl"])
def test_a_folder_that_lacks_a_part_or_has_a_damaged_one_is_refused(name: str) -> None:
    with opening():
        pass
    (Path("run") / name).write_bytes(b"\xff")

    assert refused().startswith("run: this folder holds a run of another recipe (")
    (Path("run") / name).unlink()
    assert refused() == f"run/{name}: no such file"


def test_a_damaged_recipe_is_told_by_its_place() -> None:
    with opening():
        pass
    Path("run/recipe.resolved.yaml").write_text("kind: generate\nnmu: 1\n")

    assert "run/recipe.resolved.yaml:2:1: nmu: unknown key" in refused()


# --- nothing of anybody else's --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["notes.txt", "journal.jsonl", *BEGINNING[:3], *OUTPUTS, ".hidden", ".git", "a.tmp"])
def test_a_folder_that_holds_something_else_is_refused_and_left_as_it_is(name: str) -> None:
    """Also where it has a name of ours: somebody's own alpaca_data.json must not be overwritten."""
    Path("run").mkdir()
    (Path("run") / name).write_text("mine")

    assert refused() == f"run: not a run folder: it holds {name} and no recipe.resolved.yaml"
    assert {entry.name: entry.read_bytes() for entry in Path("run").iterdir()} == {name: b"mine"}


def test_a_folder_with_a_folder_in_it_is_refused() -> None:
    Path("run/prompt.txt").mkdir(parents=True)

    assert refused() == "run/prompt.txt: expected a file, found a directory"


def test_an_empty_folder_is_taken() -> None:
    Path("run").mkdir()
    with opening():
        pass


def test_a_file_where_the_folder_should_be_is_told() -> None:
    Path("file").write_text("mine")

    assert refused(Path("file")) == "file: expected a folder, found a file"
    assert refused(Path("file/run")) == "file/run: cannot write: not a directory"
    assert refused(Path("x" * 300)).endswith("cannot write: file name too long")
    assert Path("file").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_written_is_told() -> None:
    Path("closed").mkdir(mode=0o500)

    assert refused(Path("closed")) == "closed: cannot write: permission denied"
    assert refused(Path("closed/run")) == "closed/run: cannot write: permission denied"


# --- after a kill ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", range(len(BEGINNING)))
def test_a_folder_half_made_is_taken_up(count: int) -> None:
    with opening(Path("whole")):
        pass
    Path("run").mkdir()
    Path("run/.lock").touch()
    for name in BEGINNING[:count]:
        (Path("run") / name).write_bytes((Path("whole") / name).read_bytes())
    (Path("run") / f".{BEGINNING[count]}.x1y2z3.tmp").write_bytes(b"half")
    with opening():
        pass

    assert contents(Path("run")) == contents(Path("whole"))


def test_a_folder_half_made_for_another_prompt_is_not_taken_up() -> None:
    Path("run").mkdir()
    Path("run/prompt.txt").write_text("Ask for something else.\n")

    assert refused() == "run: not a run folder: it holds prompt.txt and no recipe.resolved.yaml"


def test_a_folder_whose_maker_was_killed_anywhere_is_taken_up() -> None:
    make = f"""{HOLD}
for number in range(int(sys.argv[1]), 10**6):
    with opened(Path("runs") / str(number), recipe, inputs):
        print(number, flush=True)
"""
    with opening(Path("whole")):
        pass
    delay = random.Random(2)
    made = 0
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", make, str(made)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(delay.uniform(0, 0.02))
            process.kill()
        folders = sorted(Path("runs").iterdir(), key=lambda path: int(path.name))
        for folder in folders[made:]:
            with opening(folder):
                pass
            assert contents(folder) == contents(Path("whole"))
        made = len(folders)
    assert made >= 3


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else() -> None:
    with opening():
        pass
    leftovers = [f".{name}.abc123_x.tmp" for name in (*BEGINNING, *OUTPUTS)]
    others = [".notes.abc.tmp", "alpaca_data.json.tmp", ".alpaca_data.json.bak"]
    for name in (*leftovers, *others):
        (Path("run") / name).write_text("half")
    with opening():
        assert sorted(contents(Path("run"))) == sorted([*BEGINNING, *others])


# --- the derived files ----------------------------------------------------------------------------------------------

TEXTS = [
    tasks("Name a river of some length.", "Say a.", "Sing."),
    tasks("Tell why the sky looks blue.", "Name a river of any length.", "Half \ud83d of an emoji is here."),
    tasks("Give three uses for old string."),
]


def test_the_outputs_say_what_the_replay_found() -> None:
    with opening(num=4) as folder:
        replay = replay_of(4, *TEXTS)
        paid = {completion.k: completion for completion in replay.used}
        folder.write_outputs(replay, ABOUT)
        found = folder.report_if_complete(4, paid)
        assert found is not None
        assert {key: value for key, value in found.items() if key not in ("sha256", "run")} == report(replay, maker())
        assert found["run"] == ABOUT
        assert folder.report_if_complete(3, paid) is None

    rows = json.loads(Path("run/alpaca_data.json").read_text(encoding="utf-8"))
    origins = [json.loads(line) for line in Path("run/provenance.jsonl").read_text(encoding="utf-8").splitlines()]
    others = [json.loads(line) for line in Path("run/refused.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["instruction"] for row in rows] == [
        "Name a river of some length.", "Tell why the sky looks blue.", "Half \ud83d of an emoji is here.",
        "Give three uses for old string.",
    ]  # fmt: skip
    assert [(row["row"], row["request"]) for row in origins] == [(0, 0), (1, 1), (2, 1), (3, 2)]
    assert all(len(row["most_similar_instructions"]) == 4 + row["row"] for row in origins)
    assert [(row["request"], row["reason"], row["instruction"]) for row in others] == [
        (0, "too_short", "Say a."), (0, "too_short", "Sing."), (1, "not_novel", "Name a river of any length."),
    ]  # fmt: skip
    assert (others[2]["repeats"], round(others[2]["score"], 3)) == ("Name a river of some length.", 0.833)


def test_the_report_counts() -> None:
    characters = len(maker().request(0).text), len(TEXTS[0])
    assert characters == (211, 239)  # four to a token
    assert report(replay_of(4, *TEXTS), maker()) == {
        "num": 4, "kept": 4, "is_complete": True, "with_input": 0, "completions": 3, "tasks": 7,
        "refused": {"too_short": 2, "not_novel": 1}, "finish_reasons": {"stop": 3},
        "tokens": {"prompt": 20, "completion": 10, "estimated": {"prompt": 53, "completion": 60}},
        "completions_without_usage": 1,
    }  # fmt: skip


def test_outputs_of_nothing_are_whole_files_too() -> None:
    with opening() as folder:
        folder.write_outputs(replay_of(5), ABOUT)

    assert {name: Path("run", name).read_bytes() for name in OUTPUTS[:3]} == {
        "alpaca_data.json": b"[]", "provenance.jsonl": b"", "refused.jsonl": b"",
    }  # fmt: skip


def test_outputs_that_could_not_all_be_written_are_never_called_complete() -> None:
    """Stopped after the larger dataset came and before its report, the folder must not pass for the smaller run."""
    with opening(num=1) as folder:
        replay = replay_of(1, *TEXTS)
        paid = {completion.k: completion for completion in replay.used}
        folder.write_outputs(replay, ABOUT)
        assert folder.report_if_complete(1, paid) is not None
        Path("run/provenance.jsonl").unlink()
        Path("run/provenance.jsonl").mkdir()
        with pytest.raises(UsageError, match="is a directory"):
            folder.write_outputs(replay_of(4, *TEXTS), ABOUT)

        Path("run/provenance.jsonl").rmdir()
        Path("run/provenance.jsonl").touch()
        assert len(json.loads(Path("run/alpaca_data.json").read_text(encoding="utf-8"))) == 4
        assert folder.report_if_complete(1, paid) is None


def test_the_journal_is_where_the_folder_says() -> None:
    with opening() as folder, Journal(folder.journal_path) as journal:
        journal.append(Completion(0, (), "", "x", None, None, None, None, "", 0.5))

    assert Path("run/journal.jsonl").read_bytes().count(b"\n") == 1
    with opening() as folder, Journal(folder.journal_path) as journal:
        assert list(journal.completions) == [0]


def test_inputs_are_only_read() -> None:
    before = {name: Path(name).read_bytes() for name in ("ask.txt", "mine.jsonl")}
    inputs: Inputs = load_inputs(recipe())
    with opened(Path("run"), recipe(), inputs):
        pass

    assert {name: Path(name).read_bytes() for name in before} == before
