"""The recipes that ship: each loads, finds its files, tells its story, and says the facts that it claims."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpaca_cli import yamlfile
from alpaca_cli.data.shipped import find, recipe_names
from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.plan.architecture import describe
from alpaca_cli.finetune.plan.gpus import named_gpus
from alpaca_cli.finetune.plan.memory import GIB
from alpaca_cli.finetune.plan.plan import Plan, make_plan
from alpaca_cli.format.template import alpaca_template, load_template
from alpaca_cli.generate.inputs import load_inputs
from alpaca_cli.generate.prompt import Request
from alpaca_cli.recipe.finetune import FinetuneRecipe
from alpaca_cli.recipe.generate import GenerateRecipe
from alpaca_cli.recipe.load import find_recipe, load, load_any
from conftest import ROOT
from published_models import CONFIGS, alpaca_tokens

RECIPES = sorted((ROOT / "recipes").iterdir())
GENERATE = [path for path in RECIPES if path.stem.startswith("generate")]
FINETUNE = [path for path in RECIPES if path not in GENERATE]
PLANNED = [path for path in FINETUNE if path.stem != "tiny_cpu"]
BY_NAME = pytest.mark.parametrize("path", RECIPES, ids=lambda path: str(path.stem))
FACT = re.compile(
    r"plan +(\d+) of (\d+) GiB a GPU; host (\d+) GiB(?: on each node)?, disk (\d+) GiB(?:; (\d+) to (\d+) min)?$"
)
ALPACA = alpaca_tokens()


def story(path: Path) -> list[str]:
    """The lines of the comment with which a recipe begins, without their marks."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def test_every_file_among_the_recipes_is_one_and_is_listed() -> None:
    assert [path.name for path in RECIPES] == [f"{name}.yaml" for name in recipe_names()]
    assert {path.stem for path in GENERATE} == {"generate", "generate_alpaca_2023"}
    assert {path.stem for path in FINETUNE} == {
        "7b_fsdp", "13b_fsdp", "7b_single_gpu", "7b_offload", "7b_multinode", "opt_6.7b_fsdp", "llama3_8b_fsdp",
        "tiny_cpu",
    }  # fmt: skip


def assignments(command: list[str]) -> list[str]:
    """What a command line sets."""
    return [command[at + 1] for at, word in enumerate(command) if word == "--set"]


@BY_NAME
def test_a_shipped_recipe_loads_and_so_does_its_dump(path: Path) -> None:
    recipe = load_any(path)
    Path("dumped.yaml").write_text(yamlfile.dump(recipe), encoding="utf-8")

    assert find_recipe(path.stem) == path
    assert load_any(Path("dumped.yaml")) == recipe


@BY_NAME
def test_a_shipped_recipe_writes_every_setting_out(path: Path) -> None:
    """Who reads it need not know the defaults; what is left out is null by default."""
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    full = yaml.safe_load(yamlfile.dump(load_any(path)))

    def left_out(whole: dict[str, Any], part: dict[str, Any], prefix: str = "") -> set[str]:
        missing = {f"{prefix}{key}" for key, value in whole.items() if key not in part and value not in (None, [], {})}
        inner = [key for key in whole if isinstance(whole[key], dict) and isinstance(part.get(key), dict)]
        return missing.union(*(left_out(whole[key], part[key], f"{prefix}{key}.") for key in inner))

    transport = {f"teacher.{key}" for key in ("api_key_env", "max_tries", "longest_pause_s", "tier")} | {
        "batch",
        "breaker_s",
    }
    assert left_out(full, written) <= transport


@pytest.mark.parametrize("path", GENERATE, ids=lambda path: str(path.stem))
def test_a_shipped_recipe_finds_its_prompt_and_seeds_and_makes_requests(path: Path) -> None:
    recipe = load(path, GenerateRecipe)
    inputs = load_inputs(recipe, beside=path.parent)
    request = inputs.request_maker(recipe).request(0)

    assert len(inputs.seed_tasks) == 175
    assert isinstance(request, Request)
    assert len(set(request.seed_ids)) == recipe.prompt.num_seeds
    assert "{num_tasks}" in inputs.prompt
    assert "{num_tasks}" not in request.text
    assert request.text.endswith(f"###\n{recipe.prompt.num_seeds + 1}. Instruction:")


@BY_NAME
def test_a_shipped_recipe_begins_with_its_story_and_a_command_to_copy(path: Path) -> None:
    lines = story(path)
    commands = [shlex.split(line.removeprefix("command")) for line in lines if line.startswith("command ")]

    assert len(lines) > 5
    assert lines[0].endswith(".")
    assert lines[1] == ""
    assert commands
    for command in commands:
        kind = load_any(path).kind
        assert command[:2] == ["alpaca", kind]
        if kind == "finetune":
            assert command[2] == path.stem
            assert {"--model", "--data", "--out"} <= set(command)
            load(path, FinetuneRecipe, assignments(command))
            continue
        assert "--num" in command
        named = command[command.index("--recipe") + 1] if "--recipe" in command else "generate"
        assert named == path.stem


def test_the_recipe_of_2023_says_stanfords_facts() -> None:
    """Source: stanford_alpaca generate_instruction.py L68-113 (rules), L118-135 and L142-149 (numbers)."""
    path = find_recipe("generate_alpaca_2023")
    recipe = load(path, GenerateRecipe)

    assert (recipe.prompt.num_seeds, recipe.prompt.num_tasks) == (3, 20)
    teacher = recipe.teacher
    assert (teacher.model, teacher.api) == ("text-davinci-003", "completions")
    assert (teacher.temperature, teacher.top_p, teacher.max_tokens, teacher.concurrency) == (1.0, 1.0, 3072, 5)
    assert teacher.stop == ("\n20. Instruction",)
    assert (recipe.novelty.threshold, recipe.novelty.tokenizer) == (0.7, "rouge")
    rules = recipe.rules.model_dump()
    assert (rules.pop("too_short"), rules.pop("too_long")) == (4, 150)
    assert rules.pop("unsuitable_word") == (
        "image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps", "draw", "plot",
        "go to", "video", "audio", "music", "flowchart", "diagram",
    )  # fmt: skip
    assert {name for name, on in rules.items() if on} == {
        "write_a_program", "opens_with_punctuation", "opens_with_non_ascii",
    }  # fmt: skip
    assert re.search(r"52,002", story(path)[0])


def test_the_default_recipe_uses_every_rule_but_the_list_of_words() -> None:
    rules = load(find_recipe("generate"), GenerateRecipe).rules.model_dump()

    assert [name for name, value in rules.items() if not value] == ["unsuitable_word"]  # its own comment says why


@pytest.mark.parametrize("path", FINETUNE, ids=lambda path: str(path.stem))
def test_a_finetuning_recipe_says_the_facts_of_the_original(path: Path) -> None:
    """Source: stanford_alpaca README.md (both columns) and train.py (PROMPT_DICT, [PAD])."""
    recipe = load(path, FinetuneRecipe)
    train, precision = recipe.train, recipe.precision

    assert (train.schedule, train.warmup, train.weight_decay, train.grad_clip) == ("cosine", 0.03, 0, 1.0)
    assert (train.beta1, train.beta2, train.eps) == (0.9, 0.999, 1e-8)
    assert (precision.weights, precision.moments, precision.reduce, precision.tf32) == ("fp32", "fp32", "fp32", True)
    assert (recipe.method, recipe.batch.order, recipe.model.path, recipe.data.path) == ("full", "shuffled", None, None)
    assert load_template(find(recipe.data.template, "prompts", beside=path.parent)) == alpaca_template()
    if path.stem == "tiny_cpu":
        assert (recipe.parallel.device, recipe.parallel.processes, precision.compute) == ("cpu", 2, "fp32")
        return
    assert (recipe.batch.examples_per_step, recipe.data.max_tokens, recipe.data.overlong) == (128, 512, "truncate")
    assert (train.epochs, train.lr) == ((5, 1e-5) if path.stem == "13b_fsdp" else (3, 2e-5))
    assert (recipe.data.val_fraction, precision.compute) == (0, "bf16")
    # A row for [PAD], as the original makes it for LLaMA: `alpaca diff` needs 32,001 of them.
    assert recipe.model.pad_token == ("none" if path.stem in ("opt_6.7b_fsdp", "llama3_8b_fsdp") else "add")


def plans_of(path: Path) -> list[tuple[Plan, str]]:
    """What each hardware that a story names comes to, with the line that tells it."""
    lines = story(path)
    gpus = [match[1] for line in lines if (match := re.search(r"^hardware .*--gpu ([a-z0-9:-]+)", line))]
    told = [line for line in lines if line.startswith("plan ")]
    commands = [shlex.split(line.removeprefix("command")) for line in lines if line.startswith("command ")]
    found = []
    for gpu, line, command in zip(gpus, told, commands, strict=True):
        recipe = load(path, FinetuneRecipe, assignments(command))
        model = describe(CONFIGS[command[command.index("--model") + 1]])
        found.append((make_plan(recipe, model, ALPACA, gpus=named_gpus(gpu), out=Path("run")), line))
    return found


@pytest.mark.parametrize("path", PLANNED, ids=lambda path: str(path.stem))
def test_a_finetuning_recipe_fits_the_hardware_that_it_names_and_tells_its_plan(path: Path) -> None:
    plans = plans_of(path)

    assert len(plans) == (2 if path.stem == "7b_single_gpu" else 1)
    for plan, line in plans:
        plan.refuse()
        match = FACT.match(line)
        assert match, line
        sizes = (plan.memory.total, plan.room, plan.host.total, plan.disk.total)
        minutes = [str(round(each / 60)) for each in plan.seconds] if plan.seconds else [None, None]
        assert list(match.groups()) == [*(str(round(size / GIB)) for size in sizes), *minutes]
        assert f"{plan.steps.num_steps:,} steps" in " ".join(story(path))


@pytest.mark.parametrize(
    ("name", "gpu"), [("7b_fsdp", "a100-40g"), ("13b_fsdp", "a100-80g:2"), ("7b_single_gpu", "a100-80g")]
)
def test_a_finetuning_recipe_is_refused_where_it_cannot_fit(name: str, gpu: str) -> None:
    recipe = load(find_recipe(name), FinetuneRecipe)
    model = describe(CONFIGS["llama-13b" if name == "13b_fsdp" else "llama-7b"])
    plan = make_plan(recipe, model, ALPACA, gpus=named_gpus(gpu), out=Path("run"))

    with pytest.raises(UsageError, match="a process needs") as caught:
        plan.refuse()
    assert "fits with: " in str(caught.value.problems[0].hint)
