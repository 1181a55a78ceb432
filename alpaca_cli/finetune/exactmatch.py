"""What a model answers, word for word: greedy, up to its end-of-sequence token."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from alpaca_cli.data.example import Example
from alpaca_cli.format.template import Template

BATCH = 32
MAX_TOKENS = 32


def num_exact(model: Path, examples: Sequence[Example], template: Template) -> int:
    """How many of the examples the model in this folder answers word for word; white space at the ends aside."""
    return sum(
        given.strip() == example.output.strip()
        for given, example in zip(answers(model, examples, template), examples, strict=True)
    )


def answers(model: Path, examples: Sequence[Example], template: Template) -> list[str]:
    """What the model in this folder, in Hugging Face layout, answers to each example; for tiny models, on one core.

    An answer ends at the end-of-sequence token, or after MAX_TOKENS.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several only wait for one another where the products are tiny
    try:
        return _answers(model, examples, template)
    finally:
        torch.set_num_threads(num_threads)


@torch.inference_mode()
def _answers(model: Path, examples: Sequence[Example], template: Template) -> list[str]:
    disable_progress_bar()
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    causal = AutoModelForCausalLM.from_pretrained(model, local_files_only=True).eval()
    prompts = [template.render(example) for example in examples]
    found = [""] * len(prompts)
    by_length = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    for begin in range(0, len(prompts), BATCH):
        places = by_length[begin : begin + BATCH]
        batch = tokenizer([prompts[place] for place in places], return_tensors="pt", padding=True)
        ids = causal.generate(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=MAX_TOKENS,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )[:, batch.input_ids.shape[1] :]
        for place, text in zip(places, tokenizer.batch_decode(ids, skip_special_tokens=True), strict=True):
            found[place] = text
    return found
