"""What may be written in a recipe for `alpaca generate`, and what is said of what may not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_origin

import pytest

from alpaca_cli import yamlfile
from alpaca_cli.errors import RecipeError, UsageError
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import KINDS, Recipe, check_any, find_recipe, load_any
from alpaca_cli.yamlfile import Settings
from conftest import ROOT

LEAST = "kind: generate\nteacher: {model: m}\n"


def recipe(text: str, *assignments: str) -> Recipe:
    Path("r.yaml").write_text(text, encoding="utf-8")
    return load_any(Path("r.yaml"), assignments)


def told(text: str, *assignments: str) -> list[str]:
    with pytest.raises(RecipeError) as found:
        recipe(text, *assignments)
    return [
        re.sub(r"^r\.yaml:(?=\d)", "", str(problem)) + (f" [{problem.hint}]" if problem.hint else "")
        for problem in found.value.problems
    ]


def settings_of(settings: type[Settings], prefix: str = "") -> dict[str, Any]:
    """Every field in `settings` and below it, by its dotted name."""
    fields: dict[str, Any] = {}
    for name, field in settings.model_fields.items():
        fields[prefix + name] = field
        if (
            get_origin(field.annotation) is None
            and isinstance(field.annotation, type)
            and issubclass(field.annotation, Settings)
        ):
            fields |= settings_of(field.annotation, f"{prefix}{name}.")
    return fields


def test_kind_and_a_teacher_are_all_that_is_needed() -> None:
    least = recipe(LEAST)

    assert least == GenerateRecipe.model_validate({"kind": "generate", "teacher": {"model": "m"}})
    assert (least.num, least.prompt.num_tasks, least.prompt.num_seeds, least.novelty.threshold) == (None, 20, 3, 0.7)


def test_what_is_dumped_loads_as_the_same() -> None:
    full = recipe(
        LEAST, "num=5", "seed=-3", r'teacher.stop=["\n20. Instruction", "20."]', "teacher.temperature=2e-5",
        "teacher.extra_body={min_p: 1e-2, chat_template_kwargs: {enable_thinking: no}}",
        "rules.unsuitable_word=[go to]", "teacher.reasoning_effort='no'", "seeds='été 🙂.jsonl'",
    )  # fmt: skip
    text = yamlfile.dump(full)

    assert recipe(text) == full
    assert yamlfile.dump(recipe(text)) == text
    assert full.teacher.extra_body == {"min_p": 0.01, "chat_template_kwargs": {"enable_thinking": False}}


def test_a_checked_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        recipe(LEAST).teacher.model = "other"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "r.yaml: kind: expected generate or finetune, found nothing"),
        ("# a story\n", "r.yaml: kind: expected generate or finetune, found nothing"),
        ("\nteacher: {model: m}\n", "2:1: kind: expected generate or finetune, found nothing"),
        ("teacher: {model: m}\nkind:\n", "2:6: kind: expected generate or finetune, found nothing"),
        ("teacher: {model: m}\nkind: serve\n", "2:7: kind: expected generate or finetune, found 'serve'"),
        ("kind: Generate\n", "1:7: kind: expected generate or finetune, found 'Generate'"),
        ("kind: [generate]\n", "1:7: kind: expected generate or finetune, found ['generate']"),
        ("kind: yes\n", "1:7: kind: expected generate or finetune, found True"),
    ],
)
def test_a_missing_or_unknown_kind_is_told(text: str, problem: str) -> None:
    assert told(text) == [problem]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("num: 0", "3:6: num: input should be greater than or equal to 1, found 0"),
        ("num: 1.5", "3:6: num: input should be a valid integer, found 1.5"),
        ("num: yes", "3:6: num: input should be a valid integer, found True"),
        ("num: ten", "3:6: num: input should be a valid integer, found 'ten'"),
        ("sed: 0", "3:1: sed: unknown key [did you mean seed?]"),
        ("seeds: ''", "3:8: seeds: string should have at least 1 character, found ''"),
        ("seeds: [a]", "3:8: seeds: input should be a valid string"),
        ("prompt: {file: no}", "3:16: prompt.file: input should be a valid string, found False"),
        ("prompt: {num_tasks: 1}", "3:21: prompt.num_tasks: input should be greater than or equal to 2, found 1"),
        ("prompt: {num_tasks: 3}", "3:1: prompt: num_seeds (3) leaves no task to ask for of num_tasks (3)"),
        ("rules: {too_long: true}", "3:19: rules.too_long: input should be a valid integer, found True"),
        ("rules: {too_short: -1}", "3:20: rules.too_short: input should be greater than or equal to 0, found -1"),
        ("rules: {url: 1}", "3:14: rules.url: input should be a valid boolean, found 1"),
        ("rules: {unsuitable_word: a}", "3:26: rules.unsuitable_word: input should be a valid array, found 'a'"),
        ("rules: {unsuitable_word: [a, '']}", "3:30: rules.unsuitable_word.1: string should have at least 1 character, "
         "found ''"),
        ("rules: {unsuitable_word: [a, no]}", "3:30: rules.unsuitable_word.1: input should be a valid string, found "
         "False"),
        ("novelty: {threshold: 0}", "3:22: novelty.threshold: input should be greater than 0, found 0"),
        ("novelty: {threshold: 1.01}", "3:22: novelty.threshold: input should be less than or equal to 1, found 1.01"),
        ("novelty: {treshold: 1}", "3:11: novelty.treshold: unknown key [did you mean threshold?]"),
        ("novelty: {tokenizer: words}", "3:22: novelty.tokenizer: input should be 'rouge' or 'unicode', found 'words'"),
        ("novelty: 0.7", "3:10: novelty: input should be an object, found 0.7"),
        ("patience: 0", "3:11: patience: input should be greater than or equal to 1, found 0"),
    ],
)  # fmt: skip
def test_each_mistake_is_told_where_it_stands(lines: str, problem: str) -> None:
    assert told(f"{LEAST}{lines}\n") == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("model: 1:30", "3:10: teacher.model: input should be a valid string, found 90"),
        ("model: no", "3:10: teacher.model: input should be a valid string, found False"),
        ("model: ' '", "2:1: teacher: model: required for an openai teacher; name one in the recipe or with --model"),
        ("kind: openia", "3:9: teacher.kind: input should be 'openai' or 'rehearsal', found 'openia'"),
        ("max_tokens: 0", "3:15: teacher.max_tokens: input should be greater than or equal to 1, found 0"),
        ("temperature: 2.1", "3:16: teacher.temperature: input should be less than or equal to 2, found 2.1"),
        ("top_p: 0", "3:10: teacher.top_p: input should be greater than 0, found 0"),
        ("timeout_s: .inf", "3:14: invalid YAML: inf is not a finite number"),
        ("max_tries: 101", "3:14: teacher.max_tries: input should be less than or equal to 100, found 101"),
        ("stop: [a, b, c, d, e]", "3:9: teacher.stop: tuple should have at most 4 items after validation, not 5"),
        ("stop: ['']", "3:10: teacher.stop.0: string should have at least 1 character, found ''"),
        ("extra_body: [a]", "3:15: teacher.extra_body: input should be an object"),
        ("tempreature: 1", "3:3: teacher.tempreature: unknown key [did you mean temperature?]"),
    ],
)
def test_each_mistake_about_the_teacher_is_told_where_it_stands(line: str, problem: str) -> None:
    model = "" if line.startswith(("model", "timeout")) else "  model: m\n"

    assert told(f"kind: generate\nteacher:\n  {line}\n{model}") == [problem]


def test_all_mistakes_are_told_at_once_also_without_a_teacher() -> None:
    assert told("kind: generate\nnum: 0\nnovelty: {threshold: 7}\nnmu: 3\n", "prompt.num_seeds=0") == [
        "1:1: teacher: model: required for an openai teacher; name one in the recipe or with --model",
        "2:6: num: input should be greater than or equal to 1, found 0",
        "3:22: novelty.threshold: input should be less than or equal to 1, found 7",
        "4:1: nmu: unknown key [did you mean num?]",
        "--set prompt.num_seeds: prompt.num_seeds: input should be greater than or equal to 1, found 0",
    ]


def test_the_rehearsal_needs_no_model() -> None:
    assert recipe("kind: generate\nteacher: {kind: rehearsal}\n").teacher.model is None


def test_set_goes_before_the_file_and_is_named_in_mistakes() -> None:
    changed = recipe(LEAST, "teacher.temperature=0.5", "teacher.model=gpt", "num=9", "rules.url=on")

    assert (changed.teacher.temperature, changed.teacher.model, changed.num, changed.rules.url) == (0.5, "gpt", 9, True)
    assert told(LEAST, "teacher.temperature=9", "rules.to_short=3") == [
        "--set teacher.temperature: teacher.temperature: input should be less than or equal to 2, found 9",
        "--set rules.to_short: rules.to_short: unknown key [did you mean too_short?]",
    ]
    assert told("kind: generate\n", "kind=x") == ["--set kind: kind: expected generate or finetune, found 'x'"]


def test_set_may_give_what_the_file_lacks() -> None:
    assert recipe("num: 3\n", "kind=generate", "teacher.model=m").teacher.model == "m"


def test_a_recipe_has_no_place_for_a_key() -> None:
    """Only the name of an environment variable; and what stands in the wrong place is not shown."""
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789"
    for line in (f"api_key: {secret}", f"api_key_env: {secret}", f"key: {secret}", f"openai_api_key: {secret}"):
        (problem,) = told(f"kind: generate\nteacher:\n  model: m\n  {line}\n")

        assert problem.startswith("4:")
        assert secret not in problem
    for given in ("api_key", "api_key_env"):
        (problem,) = told(LEAST, f"teacher.{given}={secret}")

        assert problem.startswith(f"--set teacher.{given}: ")
        assert secret not in problem
    names = {name.rpartition(".")[2] for name in settings_of(GenerateRecipe)}
    assert {name for name in names if "key" in name or "secret" in name or "token" in name} == {
        "api_key_env", "max_tokens", "max_tokens_name", "tokenizer",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "_", "key2"])
def test_the_name_of_an_environment_variable_is_taken(name: str) -> None:
    assert recipe(LEAST, f"teacher.api_key_env={name}").teacher.api_key_env == name


@pytest.mark.parametrize("name", ["", "2KEY", "MY KEY", "MY-KEY", "$OPENAI_API_KEY"])
def test_what_is_no_name_of_an_environment_variable_is_refused(name: str) -> None:
    assert told(LEAST, f"teacher.api_key_env='{name}'") == [
        "--set teacher.api_key_env: teacher.api_key_env: expected the name of an environment variable"
    ]


def test_every_field_says_what_it_means() -> None:
    parts = ("teacher", "prompt", "rules", "novelty")
    lacking = [
        name for name, field in settings_of(GenerateRecipe).items() if name not in parts and not field.description
    ]

    assert lacking == []


def test_a_kind_is_the_kind_of_its_model() -> None:
    for kind, model in KINDS.items():
        assert model.model_fields["kind"].annotation.__args__ == (kind,)  # type: ignore[union-attr]


def test_a_recipe_is_found_by_path_or_shipped_name() -> None:
    Path("mine.yaml").write_text(LEAST)

    assert find_recipe("mine.yaml") == Path("mine.yaml")
    assert find_recipe("generate") == ROOT / "recipes" / "generate.yaml"
    with pytest.raises(UsageError, match="no such file, nor a shipped one of recipes"):
        find_recipe("mine")


def test_a_missing_recipe_file_is_told_with_the_name_that_was_meant() -> None:
    Path("mine.yaml").write_text(LEAST)
    with pytest.raises(UsageError) as found:
        load_any(Path("mien.yaml"))

    assert str(found.value) == "mien.yaml: no such YAML file"
    assert found.value.problems[0].hint == "did you mean mine.yaml?"


def test_flags_put_into_a_document_are_checked_like_the_file() -> None:
    Path("r.yaml").write_text(LEAST)
    document = yamlfile.read(Path("r.yaml"))
    document.put(("num",), 0, source="--num")
    with pytest.raises(RecipeError) as found:
        check_any(document)

    assert str(found.value) == "--num: num: input should be greater than or equal to 1, found 0"


@pytest.mark.parametrize(("word", "meant"), [("on", "on"), ("off", "off"), ("'on'", "on"), ("auto", "auto")])
def test_on_and_off_are_words_in_a_finetune_recipe(word: str, meant: str) -> None:
    found = recipe(f"kind: finetune\nmemory: {{shared_preamble: {word}}}\n")

    assert isinstance(found, FinetuneRecipe)
    assert found.memory.shared_preamble == meant
    assert recipe("kind: finetune\n", "compile=off").compile == "off"  # type: ignore[union-attr]
