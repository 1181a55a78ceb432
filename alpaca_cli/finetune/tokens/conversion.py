"""A tokenizer of any kind that transformers knows, as one tokenizer.json.

It runs in a process of its own, started by `tokenizer.py`: to find the right class transformers loads itself whole,
and torch with it unless that is hidden.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import AutoTokenizer

from alpaca_cli.finetune.tokens.special_tokens import NAMES


def main() -> None:
    """Open the tokenizer in the folder of the first argument; write it and the names of its tokens to the second."""
    source, out = map(Path, sys.argv[1:])
    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    tokenizer.backend_tokenizer.save(str(out / "tokenizer.json"))
    named = {name: getattr(tokenizer, name) for name in NAMES}
    (out / "named.json").write_text(json.dumps(named), encoding="utf-8")
