"""The names of the dataset formats and of an example's fields, for flags and shell completion: imports nothing heavy.

alpaca             one JSON list of {"instruction", "input", "output"}, Stanford's own file
jsonl              one such object a line
messages           {"messages": [{"role": "user", "content"}, {"role": "assistant", "content"}]} a line (OpenAI, TRL)
sharegpt           {"conversations": [{"from": "human", "value"}, {"from": "gpt", "value"}]} a line (FastChat, Axolotl)
prompt-completion  {"prompt": the rendered template, "completion": the output} a line
text               {"text": the rendered template and the output} a line
parquet            columns instruction, input, output
"""

from __future__ import annotations

FORMAT_NAMES = ("alpaca", "jsonl", "messages", "sharegpt", "prompt-completion", "text", "parquet")

FIELD_NAMES = ("instruction", "input", "output", "instruction+input")
"""What may be taken of an example as one text."""
