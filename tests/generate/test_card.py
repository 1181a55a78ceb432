"""The dataset's card: its text to the byte, its header as hubs read it, and never over what the user wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from alpaca_cli.data.shipped import shipped_dir
from alpaca_cli.generate.card import card, write_card
from alpaca_cli.generate.inputs import Inputs, load_inputs
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import load

SHIPPED = shipped_dir("prompts")
RUN: dict[str, Any] = {
    "command": "alpaca generate --num 1200 --license cc-by-nc-4.0",
    "recipe": "mine.yaml",
    "alpaca": "0.1.0",
    "first_asked": "2026-11-21T08:37:16.123+00:00",
    "last_asked": "2026-11-22T01:02:03.000+00:00",
    "models": {"gpt-6-luna-2026-09-22": 118},
    "base_urls": ["https://api.openai.com/v1"],
    "requests": 121,
    "spent": "0.1234",
    "unknown": "0.002",
    "prices": [
        {"input": "0.1", "cached_input": "0.01", "output": "0.5", "date": "2026-11-21", "source": "https://a/b"}
    ],
    "license": "cc-by-nc-4.0",
}
REPORT: dict[str, Any] = {
    "num": 1200,
    "kept": 1200,
    "is_complete": True,
    "with_input": 400,
    "completions": 118,
    "tasks": 2000,
    "refused": {"truncated": 10, "too_short": 20, "url": 70, "not_novel": 700},
    "finish_reasons": {"stop": 118},
    "tokens": {"prompt": 88000, "completion": 210000, "estimated": {"prompt": 1500, "completion": 3600}},
    "completions_without_usage": 2,
    "run": RUN,
}
GOLDEN = """\
---
license: cc-by-nc-4.0
pretty_name: birds
task_categories:
- text-generation
tags:
- instruction-tuning
- self-instruct
- synthetic
size_categories:
- 1K<n<10K
configs:
- config_name: default
  data_files: alpaca_data.json
---

# birds

1,200 examples of instructions with answers, made by self-instruct: a teacher model was shown a few seed tasks written \
by people and was asked for more; of what it wrote, rules and a test of novelty against the seeds and everything kept \
before (ROUGE-L F of at most 0.7) let this through.

## How it was made

```sh
alpaca generate --num 1200 --license cc-by-nc-4.0
```

|  |  |
| --- | --- |
| recipe | `mine.yaml`; every value of it is in `recipe.resolved.yaml` |
| teacher | `gpt-6-luna-2026-09-22` (118 answers) |
| asked at | `https://api.openai.com/v1` |
| asked from | 2026-11-21 08:37 UTC |
| asked until | 2026-11-22 01:02 UTC |
| alpaca | 0.1.0 |
| prompt | own, in `prompt.txt` |

## Numbers

|  |  |
| --- | --- |
| examples | 1,200, of them 400 with an input |
| answers | 118 |
| requests | 121, all tries counted |
| tokens | 88,000 in, 210,000 out, as the server counted them; of 2 answers it did not count them, which is about \
1,500 in and 3,600 out more |
| cost | 0.1234 USD, of which 0.002 USD were counted at their worst, since no server said what they cost; at 0.1 in \
and 0.5 out per 1,000,000 tokens of 2026-11-21 (https://a/b) |

| step | refused | left |
| --- | --- | --- |
| tasks written by the teacher |  | 2,000 |
| `malformed` | 0 | 2,000 |
| `truncated` | 10 | 1,990 |
| `too_short` | 20 | 1,970 |
| `url` | 70 | 1,900 |
| `not_novel` | 700 | 1,200 |

## Fields

`alpaca_data.json` is a list of objects in the form of Stanford's Alpaca data:

- `instruction`: what to do
- `input`: on what to do it; empty where the instruction stands on its own
- `output`: the teacher's answer

`provenance.jsonl` says for each row which answer it comes from and what it is most similar to; `refused.jsonl` holds
what was not kept, and why.

## Licence

`cc-by-nc-4.0`, as stated by who made this dataset.

## The provider's terms

Many providers forbid training models that compete with theirs on what theirs write, and many licences of models limit \
it too. Nobody has checked this for you: read the terms of `gpt-6-luna-2026-09-22` at `api.openai.com` before you \
train on this data or publish it. Datasets made this way are often published for non-commercial research only.

## Seed tasks

1 seed task of other origin than alpaca's own: `seed_tasks.jsonl`, sha256 \
`ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad`. Whoever made this dataset knows their origin and \
licence, and should state them here. They are not part of the dataset.

## Limits

- The answers were not checked: some are wrong, and some are made up.
- The rules look at form. They do not know what is true, fair or harmful, so the data has the teacher's biases.
- New means new in its words: two rows may ask the same in other words.
- A model trained on this is not made safe by it.

"""


def recipe(**teacher: Any) -> GenerateRecipe:
    rules = {"url": True, "too_long": 0, "write_a_program": False, "opens_with_punctuation": False}
    rules["opens_with_non_ascii"] = False
    plain = {"kind": "generate", "teacher": {"model": "m", **teacher}, "rules": rules}
    return GenerateRecipe.model_validate(plain)


def own_inputs() -> Inputs:
    return Inputs("Ask.", b"abc", load_inputs(recipe()).seed_tasks[:1])


def text_of(*, inputs: Inputs | None = None, run: dict[str, Any] | None = None, **changes: Any) -> str:
    report = {**REPORT, **changes, "run": {**RUN, **(run or {})}}
    return card("birds", report, recipe(), inputs or own_inputs())


def header_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n")[1])
    return found


def test_the_card_to_the_byte() -> None:
    text, newline, mark = text_of().rpartition("<!-- ")

    assert text == GOLDEN
    assert newline and mark.startswith("written by alpaca; once edited, it is not overwritten; sha256 of all above: ")


def test_no_licence_is_stated_that_was_not_given() -> None:
    text = text_of(run={"license": None})

    assert "license" not in header_of(text)
    assert "Not stated. Decide before you publish" in text


def test_a_language_is_stated_only_where_it_is_known() -> None:
    shipped = load_inputs(recipe())
    one_own = Inputs(shipped.prompt, b"abc", shipped.seed_tasks), Inputs("Fragt.", shipped.seeds, shipped.seed_tasks)

    assert header_of(text_of(inputs=shipped))["language"] == ["en"]
    assert all("language" not in header_of(text_of(inputs=each)) for each in one_own)


@pytest.mark.parametrize("recipe_name", ["generate", "generate_alpaca_2023"])
def test_the_shipped_recipes_have_shipped_inputs(recipe_name: str) -> None:
    path = SHIPPED.parent / "recipes" / f"{recipe_name}.yaml"
    text = text_of(inputs=load_inputs(load(path, GenerateRecipe), beside=path.parent))

    assert "seed tasks were written for alpaca and ship with it under the Apache License 2.0" in text
    assert "| prompt | shipped with alpaca |" in text


@pytest.mark.parametrize(
    ("num", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (52002, "10K<n<100K"), (10**6, "1M<n<10M"), (10**7, "10M<n<100M")],
)
def test_sizes_have_the_names_of_the_hub(num: int, size: str) -> None:
    assert header_of(text_of(kept=num))["size_categories"] == [size]


def test_a_stopped_run_says_so() -> None:
    assert "It is not complete: 300 of the 1,200 examples that were asked for." in text_of(kept=300, is_complete=False)
    assert "not complete" not in text_of()


def test_a_price_that_is_not_known_is_not_made_up() -> None:
    assert "| cost | not known: no price was given |" in text_of(run={"spent": None, "unknown": None, "prices": []})


def test_what_imported_answers_cost_is_not_made_up() -> None:
    elsewhere = "what the imported answers cost is not known to alpaca: they were paid for elsewhere |"
    free = text_of(run={"imported": 2, "spent": "0", "unknown": "0"})
    mixed = text_of(run={"imported": 1, "prices": []})

    assert "| imported | 2 files of answers, asked for elsewhere |" in free
    assert f"| cost | {elsewhere}" in free
    assert f"counted at their worst, since no server said what they cost; {elsewhere}" in mixed
    assert "| asked at | `https://api.openai.com/v1` |" in free


def test_terms_of_a_teacher_without_an_address_are_not_at_nowhere() -> None:
    assert "read the terms of `gpt-6-luna-2026-09-22` before you train" in text_of(run={"base_urls": []})


def test_a_run_that_was_filtered_again_shows_both_commands() -> None:
    text = text_of(run={"refiltered_by": "alpaca generate --refilter --out birds"})

    assert f"```sh\n{RUN['command']}\nalpaca generate --refilter --out birds\n```" in text


def test_a_server_that_gives_itself_an_odd_name_breaks_no_table() -> None:
    assert "| teacher | `a\\|'b' c` (1 answer) |" in text_of(run={"models": {"a|`b`\nc": 1}})


def test_what_is_no_text_becomes_a_question_mark() -> None:
    assert "| teacher | `m?` (1 answer) |" in text_of(run={"models": {"m\ud800": 1}})


def test_the_rehearsal_is_told_to_be_no_training_data() -> None:
    text = card("birds", REPORT, recipe(kind="rehearsal"), own_inputs())

    assert "**Not for training.**" in text
    assert "| cost | nothing |" in text


# --- the file -----------------------------------------------------------------------------------------------------


def write(**changes: Any) -> str | None:
    return write_card(Path(), {**REPORT, **changes}, recipe(), own_inputs())


def test_a_card_that_nobody_edited_follows_the_report() -> None:
    assert write() is None
    assert write(kept=7) is None

    assert "\n7 examples of" in Path("README.md").read_text("utf-8")
    assert [path.name for path in Path().iterdir()] == ["README.md"]


def test_the_same_card_is_not_written_again() -> None:
    write()
    before = Path("README.md").stat().st_mtime_ns, Path("README.md").stat().st_ino
    write()

    assert (Path("README.md").stat().st_mtime_ns, Path("README.md").stat().st_ino) == before


@pytest.mark.parametrize("edit", ["before", "after", "all", "mark"])
def test_a_card_that_was_edited_is_left_as_it_is(edit: str) -> None:
    write()
    text = Path("README.md").read_text("utf-8")
    edited = {"before": f"Mine. {text}", "after": f"{text}\nMine.\n", "all": "", "mark": text[:-5]}[edit]
    Path("README.md").write_text(edited, "utf-8")
    notes = write(kept=7), write(kept=7), write(kept=8)

    assert (
        notes[0]
        == notes[2]
        == "README.md was edited and is left as it is; the card as of now is in README.generated.md"
    )
    assert notes[1] is None
    assert Path("README.md").read_text("utf-8") == edited
    assert "\n8 examples of" in Path("README.generated.md").read_text("utf-8")


def test_when_both_cards_were_edited_neither_is_overwritten() -> None:
    write()
    Path("README.md").write_text("mine")
    write(kept=7)
    Path("README.generated.md").write_text("mine too")

    told = "README.md and README.generated.md were edited and are left as they are; no card as of now was written"
    assert write(kept=8) == told
    assert {path.name: path.read_text() for path in Path().iterdir()} == {
        "README.md": "mine",
        "README.generated.md": "mine too",
    }
