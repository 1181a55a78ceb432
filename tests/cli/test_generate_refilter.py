"""`alpaca generate --refilter`: other rules for the same answers, at no cost."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from conftest import Outcome

Alpaca = Callable[..., Outcome]
RUN = ["generate", "--num", 80, "--teacher", "rehearsal", "--out", "r"]
AGAIN = ["generate", "--refilter", "--out", "r"]
STRICT = ["--set", "rules.too_long=14", "--set", "novelty.threshold=0.5"]
DERIVED = ("alpaca_data.json", "provenance.jsonl", "refused.jsonl")


def files(folder: str = "r") -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def rows(folder: str = "r") -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(Path(folder, "alpaca_data.json").read_text())
    return found


def report(folder: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "report.json").read_text())
    return found


@pytest.fixture
def run(alpaca: Alpaca) -> dict[str, bytes]:
    """The files of a complete run."""
    assert alpaca(*RUN).code == 0
    return files()


def test_other_rules_make_what_a_run_with_them_would_have_made_of_these_answers(
    alpaca: Alpaca, run: dict[str, bytes]
) -> None:
    before = rows()
    done = alpaca(*AGAIN, *STRICT, "--json")

    after, found = rows(), done.json
    assert done.code == 0
    assert all(len(row["instruction"].split()) <= 14 for row in after)
    assert found["kept"] == {"before": 80, "now": len(after)}
    assert found["rows"] == {
        "same": sum(row in before for row in after),
        "new": sum(row not in before for row in after),
        "gone": sum(row not in after for row in before),
    }
    assert found["rows"]["gone"] > 5
    assert {each["instruction"] for each in found["gone"]} == {row["instruction"] for row in before if row not in after}
    assert found["gone"][0]["reason"] in ("too_long", "not_novel")
    assert {reason: counts["now"] for reason, counts in found["refused"].items() if counts["now"]} == report()[
        "refused"
    ]
    assert json.loads(run["report.json"])["refused"] == {
        reason: counts["before"] for reason, counts in found["refused"].items() if counts["before"]
    }
    for name in ("journal.jsonl", "ledger.jsonl", "prompt.txt", "seed_tasks.jsonl", "versions.json"):
        assert files()[name] == run[name]


def test_a_plain_run_with_the_same_rules_goes_on_and_equals_one_from_the_start(
    alpaca: Alpaca, run: dict[str, bytes]
) -> None:
    alpaca(*AGAIN, *STRICT)
    kept = rows()
    old_rules = alpaca(*RUN)
    on = alpaca(*RUN, *STRICT)
    whole = alpaca(*RUN[:-1], "whole", *STRICT)

    assert (old_rules.code, on.code, whole.code) == (2, 0, 0)
    assert "rules.too_long: 14 there, 150 now" in old_rules.err
    assert rows()[: len(kept)] == kept
    assert len(rows()) == 80
    for name in DERIVED:
        assert files()[name] == files("whole")[name]


def test_the_command_that_it_names_asks_for_the_rest(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    done = alpaca(*AGAIN, *STRICT)
    told = done.err.partition("to ask for the rest: alpaca ")[2].splitlines()[0]
    on = alpaca(*shlex.split(told))

    assert done.out == "r/alpaca_data.json\n"
    assert on.code == 0
    assert len(rows()) == 80


def test_the_old_rules_again_give_the_old_bytes(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    alpaca(*AGAIN, *STRICT)
    alpaca(*AGAIN, "--recipe", "generate")

    assert {name: files()[name] for name in DERIVED} == {name: run[name] for name in DERIVED}
    assert files()["recipe.resolved.yaml"] == run["recipe.resolved.yaml"]
    pure = [text.partition(b'"run": {')[0] for text in (files()["report.json"], run["report.json"])]
    assert pure[0] == pure[1]


def test_what_it_shows(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    done = alpaca(*AGAIN, "--set", "rules.no_output=false", "--set", "rules.too_long=20", "--dry-run")

    lines = done.out.splitlines()
    assert lines[0] == "nothing was written; filtered again it would be: r/alpaca_data.json"
    assert lines[1].split() == ["kept", "80", "->", lines[1].split()[3], lines[1].split()[4]]
    assert any(line.split()[0] == "too_long" and line.split()[1] == "0" for line in lines)
    assert sum(line.startswith("  gone  ") and line.endswith("(refused now: too_long)") for line in lines) in range(
        1, 6
    )
    assert any(line.startswith("  new   ") and line.endswith("(refused before: no_output)") for line in lines)
    assert files() == run


def test_a_dry_run_writes_nothing_even_beside_a_running_one(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    with FileLock("r/.lock"):
        dry = alpaca(*AGAIN, *STRICT, "--dry-run", "--json")
        wet = alpaca(*AGAIN, *STRICT)

    assert (dry.code, dry.json["is_written"], wet.code) == (0, False, 2)
    assert "another process is writing to this run" in wet.err
    assert files() == run


def test_num_and_licence_may_change(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    before = rows()
    done = alpaca(*AGAIN, "--num", 30, "--license", "cc-by-4.0", "--json")

    assert (done.code, rows()) == (0, before[:30])
    assert {each["reason"] for each in done.json["gone"]} == {"not looked at"}
    assert "license: cc-by-4.0\n" in Path("r/README.md").read_text()
    assert "\n30 examples of" in Path("r/README.md").read_text()


def test_the_card_shows_the_command_that_asked_and_the_one_that_filtered(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    alpaca(*AGAIN, "--set", "rules.url=false")
    alpaca(*AGAIN, "--set", "rules.url=true")

    asked = "alpaca generate --num 80 --teacher rehearsal --out r"
    filtered = "alpaca generate --refilter --out r --set rules.url=true"
    assert (report()["run"]["command"], report()["run"]["refiltered_by"]) == (asked, filtered)
    assert f"```sh\n{asked}\n{filtered}\n```" in Path("r/README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        (["--set", "teacher.temperature=1"], "--set teacher.temperature"),
        (["--set", "prompt.num_tasks=9"], "--set prompt.num_tasks"),
        (["--set", "rules.url=false", "--set", "seed=3"], "--set seed"),
        (["--model", "n"], "--model"),
        (["--teacher", "rehearsal"], "--teacher"),
        (["--max-cost", "1"], "--max-cost"),
        (["--seeds", "seed_tasks.jsonl"], "--seeds"),
    ],
)
def test_what_would_need_other_answers_is_refused(
    alpaca: Alpaca, run: dict[str, bytes], changes: list[str], where: str
) -> None:
    done = alpaca(*AGAIN, *changes)

    assert done.code == 2
    assert f"error: {where}: --refilter asks nothing anew, so this cannot change" in done.err
    assert files() == run


def test_a_wrong_value_is_told_and_changes_nothing(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    done = alpaca(*AGAIN, "--set", "rules.ulr=true")

    assert done.code == 2
    assert "--set rules.ulr: rules.ulr: unknown key" in done.err
    assert files() == run


def test_a_folder_without_a_journal_is_refused(alpaca: Alpaca) -> None:
    Path("r").mkdir()
    for name in ("r", "nowhere"):
        done = alpaca("generate", "--refilter", "--out", name)
        assert (done.code, f"{name}: no journal to filter again" in done.err) == (2, True)

    assert [path.name for path in Path().iterdir()] == ["r"]
    assert list(Path("r").iterdir()) == []


def test_a_run_that_was_killed_before_its_report_is_filtered_too(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    Path("r/report.json").unlink()
    done = alpaca(*AGAIN, *STRICT)

    assert done.code == 0
    assert report()["run"]["command"].startswith("alpaca generate --refilter --out r --set")
    assert "refiltered_by" not in report()["run"]


def test_stopped_amid_writing_the_new_rules_are_what_the_next_run_goes_by(
    alpaca: Alpaca, run: dict[str, bytes]
) -> None:
    """Else the old dataset would pass for a complete one by the new rules."""
    Path("r/provenance.jsonl").unlink()
    Path("r/provenance.jsonl").mkdir()
    stopped = alpaca(*AGAIN, *STRICT)
    Path("r/provenance.jsonl").rmdir()
    on = alpaca(*RUN, *STRICT)
    whole = alpaca(*RUN[:-1], "whole", *STRICT)

    assert (stopped.code, on.code, whole.code) == (2, 0, 0)
    assert {name: files()[name] for name in DERIVED} == {name: files("whole")[name] for name in DERIVED}


def test_a_journal_that_lost_what_was_paid_is_told_and_nothing_is_changed(
    alpaca: Alpaca, run: dict[str, bytes]
) -> None:
    shorter = run["journal.jsonl"].partition(b"\n")[2]
    Path("r/journal.jsonl").write_bytes(shorter)
    runs = [alpaca(*AGAIN, *STRICT), alpaca(*AGAIN, *STRICT, "--dry-run"), alpaca(*RUN, "--dry-run")]

    assert [each.code for each in runs] == [5, 5, 5]
    assert all("completions that report.json counts" in each.err for each in runs)
    assert files() == {**run, "journal.jsonl": shorter}


def test_a_damaged_journal_changes_nothing(alpaca: Alpaca, run: dict[str, bytes]) -> None:
    Path("r/journal.jsonl").write_bytes(b"torn\n" + run["journal.jsonl"])
    done = alpaca(*AGAIN, *STRICT)

    assert done.code == 5
    assert "r/journal.jsonl:1: not a completion" in done.err
    assert files() == {**run, "journal.jsonl": b"torn\n" + run["journal.jsonl"]}
