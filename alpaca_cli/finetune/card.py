"""The model's card, `README.md` in the exported folder: what it is, how it is asked and was made, whose licence holds.

It begins with the YAML header that model hubs read.  No licence stands there: nobody but the user knows it.  Of paths
only the last name is told, so that a published card says nothing of the machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import yaml

from alpaca_cli.format.template import Template
from alpaca_cli.recipe.finetune import FinetuneRecipe


@dataclass(frozen=True)
class Facts:
    """What a card is made of."""

    name: str
    """The model's."""
    recipe: FinetuneRecipe
    """As it was settled."""
    template: Template
    model_type: str
    """Of the base: llama, opt, ..."""
    num_parameters: int
    data_digest: str
    """Of what was trained on, hexadecimal."""
    num_examples: int
    """Different examples trained on."""
    num_steps: int
    epochs: float
    """How often each example was seen."""
    real_tokens: int
    """Of all steps."""
    supervised_tokens: int
    """Of all steps."""
    loss: float
    """Mean over the last `num_last` steps."""
    num_last: int
    held_out: tuple[float, float] | None
    """Loss on held-out examples before and after; None: none were held out."""
    seconds: float
    """Of training, all tries together."""
    devices: str
    """What it ran on: `4 x NVIDIA A100-SXM4-80GB`."""
    versions: Mapping[str, str]
    """Of alpaca, torch, transformers, ..."""


def card(facts: Facts) -> str:
    """The card's text."""
    sections = {
        "How to ask it": _asking(facts),
        "How it was made": _how(facts),
        "Numbers": _numbers(facts),
        "Licence": _licence(facts),
        "Limits": _LIMITS,
    }
    told = "".join(f"\n## {title}\n\n{text}" for title, text in sections.items())
    return f"{_header(facts)}\n# {facts.name}\n\n{_what(facts)}{told}"


def _header(facts: Facts) -> str:
    header = {
        "base_model": _base(facts),
        "datasets": [_data(facts)],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["alpaca", "instruction-tuning", *(["lora"] if facts.recipe.method == "lora" else [])],
    }
    return f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=1000)}---\n"


def _what(facts: Facts) -> str:
    lora = facts.recipe.lora
    method = {
        "full": "Every weight was trained",
        "lora": f"Low-rank adapters (rank {lora.rank}, alpha {lora.alpha:g}) were trained and are merged in",
    }[facts.recipe.method]
    return (
        f"{_code(_base(facts))} ({facts.num_parameters:,} parameters), fine-tuned to follow instructions on "
        f"{facts.num_examples:,} examples of {_code(_data(facts))}. {method}.\n"
    )


def _asking(facts: Facts) -> str:
    return f"""\
The tokenizer's chat template makes the text that the model was trained on:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # where this file lies
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, device_map="auto")
messages = [{{"role": "user", "content": "Name three birds that swim well."}}]
prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
answer = model.generate(**prompt.to(model.device), max_new_tokens=256)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
```

An instruction with an input: `{{"role": "user", "content": "Sort these numbers.", "input": "3 1 2"}}`. Without a chat
template, send this text, to the last character, and stop at the end-of-sequence token:

{_fenced(facts.template.without_input)}
and where there is an input:

{_fenced(facts.template.with_input)}"""


def _how(facts: Facts) -> str:
    recipe = facts.recipe
    train, precision, data = recipe.train, recipe.precision, recipe.data
    schedule = train.schedule if train.schedule == "constant" else f"{train.schedule} to 0"
    clipping = "" if train.grad_clip is None else f", gradients clipped to a norm of {train.grad_clip:g}"
    long = {"truncate": "cut there", "drop": "left out", "error": "refused"}[data.overlong]
    rows = {
        "base": _code(_base(facts)),
        "data": f"{_code(_data(facts))}, digest {_code(facts.data_digest)}",
        "loss": "on the response and its end-of-sequence token only, mean over all such tokens of a step",
        "examples a step": f"{recipe.batch.examples_per_step:,}, packed without padding, none sees another",
        "longest example": f"{data.max_tokens:,} tokens; longer ones were {long}",
        "epochs": f"{facts.epochs:.3g}",
        "learning rate": f"{train.lr:g}, {schedule}, warm-up over {train.warmup:.3g} of all steps",
        "optimizer": f"AdamW ({train.beta1:g}, {train.beta2:g}, {train.eps:g}), weight decay {train.weight_decay:g}"
        + clipping,
        "numbers": f"computed in {precision.compute}; weights {precision.weights}, moments {precision.moments}, "
        f"gradients summed in {precision.reduce}",
        "seed": f"{recipe.batch.seed}",
        "hardware": facts.devices,
        "versions": ", ".join(f"{name} {version}" for name, version in facts.versions.items()),
    }
    return f"By `alpaca finetune`:\n\n{_table(rows)}"


def _numbers(facts: Facts) -> str:
    rows = {
        "steps": f"{facts.num_steps:,}",
        "tokens": f"{facts.real_tokens:,}, of them {facts.supervised_tokens:,} with loss",
        "time": f"{facts.seconds / 3600:.3g} hours" if facts.seconds > 3600 else f"{facts.seconds:.0f} s",
        "loss at the end": f"{facts.loss:.4f}, the mean of the last {facts.num_last} steps",
    }
    if facts.held_out is not None:
        before, after = facts.held_out
        rows["held-out loss"] = f"{before:.4f} before, {after:.4f} after"
    return f"{_table(rows)}\n![loss of each step](loss.png)\n"


def _licence(facts: Facts) -> str:
    text = (
        f"Not stated: whoever publishes this model states it. The licence of the base, {_code(_base(facts))}, governs "
        "these weights too, and the terms of the data and of the model that wrote it may limit their use.\n"
    )
    if facts.model_type == "llama":
        command = f"alpaca diff make --base {_word(_base(facts))} --tuned . --out ../{_word(facts.name)}-diff"
        text += (
            "\nThe weights of the first LLaMA models may not be passed on, neither changed nor unchanged. If the base "
            "is one of them, publish only what changed, so that whoever has the base gets this model back from it:\n\n"
            f"```sh\n{command}\n```\n"
        )
    return text


_LIMITS = """\
- It answers fluently whether it knows or not: check what it says.
- It has the errors and the biases of its base and of its data.
- Nothing was done to make it safe. Do not put it before people without safeguards of your own.
"""


def _base(facts: Facts) -> str:
    return PurePath(facts.recipe.model.path or "").name


def _data(facts: Facts) -> str:
    return PurePath(facts.recipe.data.path or "").name


def _word(name: str) -> str:
    """A folder's name in a command line."""
    return shlex.quote(" ".join(name.split()))


def _fenced(text: str, language: str = "text") -> str:
    """A code block, whatever is in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}\n"


def _code(text: str) -> str:
    """A name as code, in a table too."""
    return f"`{' '.join(text.replace('`', chr(39)).split())}`".replace("|", "\\|")


def _table(rows: Mapping[str, str]) -> str:
    lines: Iterable[tuple[str, str]] = [("", ""), ("---", "---"), *rows.items()]
    return "".join(f"| {name} | {text} |\n" for name, text in lines)
