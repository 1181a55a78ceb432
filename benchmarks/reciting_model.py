"""A tiny LLaMA that recites: a table of which piece of text follows which, written down as a model's weights.

    python benchmarks/reciting_model.py transformers|gguf PATH

Nothing is trained and nothing is learnt.  The vocabulary is the 256 bytes, which prompts are read in, and some 2,500
pieces of tasks of the rehearsal teacher; the embedding of a token is its own axis, the one block adds nothing, and the
last matrix gives each token the tokens that may follow it.  So any server of LLaMA models answers our prompt with a
list of tasks, other tasks each time, at a speed that tests the server and not the patience.  For `gguf` run it with an
interpreter that has the package of this name.
"""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path

import numpy as np

from alpaca_cli.rehearsal.families.registry import FAMILIES

CONTEXT = 8192
"""Positions of the model: our prompt is read byte by byte, and takes some 3,500."""
FIRST, LAST = 4, 20
"""The numbers of the tasks: our prompt shows three, and asks for 20."""
TASKS_PER_NUMBER = 12
WORDS_PER_PIECE = 3
HEADS, HEAD_SIZE, FEED_FORWARD = 4, 16, 64
SURE = 30.0
"""The logit of what may follow, where that of all else is 0."""
USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_letters() -> list[str]:
    """The letter that stands for each byte in a byte-level vocabulary.  Source: GPT-2's encoder."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


class Table:
    """The vocabulary, and which tokens may follow which."""

    def __init__(self) -> None:
        self._letters = byte_letters()
        self.tokens = [*self._letters, USER, ASSISTANT, END]
        self._ids = {token: number for number, token in enumerate(self.tokens)}
        self.follows: dict[int, set[int]] = {}
        rng = random.Random(0)
        labels = {number: self.token(f"{number}. Instruction:") for number in range(FIRST, LAST + 1)}
        self._follow(self._ids[ASSISTANT], labels[FIRST])
        for number in range(FIRST, LAST + 1):
            for family in rng.sample(FAMILIES, TASKS_PER_NUMBER):
                task = family.make(rng)
                text = (
                    f" {task.instruction}\n{number}. Input:\n{task.input or '<noinput>'}\n"
                    f"{number}. Output:\n{task.output}\n"
                )
                last = labels[number]
                for piece in self._pieces(text if number == LAST else f"{text}###\n"):
                    self._follow(last, piece)
                    if number == FIRST and last == labels[number]:
                        self._follow(self._ids[":"], piece)  # where the prompt itself ends in the label
                    last = piece
                self._follow(last, self._ids[END] if number == LAST else labels[number + 1])
        while len(self.tokens) % HEADS:  # the size of the vocabulary is that of the model's states too
            self.token(f"(filler {len(self.tokens)})")

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return self._ids[END]

    def token(self, text: str) -> int:
        """The token of a text, a new one if there was none."""
        name = self._name(text)
        if name not in self._ids:
            self._ids[name] = len(self.tokens)
            self.tokens.append(name)
        return self._ids[name]

    def _name(self, text: str) -> str:
        return "".join(self._letters[byte] for byte in text.encode("utf-8"))

    def _pieces(self, text: str) -> list[int]:
        """A text cut into tokens that stand nowhere else, so that each has one that follows."""
        pieces, piece = [], ""
        for word in re.findall(r"\s*\S+", text[: len(text.rstrip())]):
            piece += word
            if len(piece.split()) >= WORDS_PER_PIECE and self._is_new(piece, pieces):
                pieces.append(piece)
                piece = ""
        piece += text[len(text.rstrip()) :]
        while not self._is_new(piece, pieces):
            piece = pieces.pop() + piece
        return [self.token(each) for each in (*pieces, piece)]

    def _is_new(self, piece: str, pieces: list[str]) -> bool:
        return piece not in pieces and self._name(piece) not in self._ids

    def _follow(self, token: int, after: int) -> None:
        self.follows.setdefault(token, set()).add(after)

    def tensors(self) -> dict[str, np.ndarray]:
        """The weights, under the names of a Hugging Face checkpoint; a state is as wide as the vocabulary is large."""
        size = len(self.tokens)
        head = np.zeros((size, size), np.float32)
        for token in range(size):
            head[sorted(self.follows.get(token, {self.end})), token] = SURE / size**0.5
        heads, layer = HEADS * HEAD_SIZE, "model.layers.0"
        shapes = {
            f"{layer}.self_attn.q_proj": (heads, size),
            f"{layer}.self_attn.k_proj": (heads, size),
            f"{layer}.self_attn.v_proj": (heads, size),
            f"{layer}.self_attn.o_proj": (size, heads),
            f"{layer}.mlp.gate_proj": (FEED_FORWARD, size),
            f"{layer}.mlp.up_proj": (FEED_FORWARD, size),
            f"{layer}.mlp.down_proj": (size, FEED_FORWARD),
        }
        ones = {
            name: np.ones(size, np.float32)
            for name in (f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm", "model.norm")
        }
        tensors = {
            "model.embed_tokens": np.eye(size, dtype=np.float32) * np.float32(size**0.5),  # of root mean square 1
            "lm_head": head,
            **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()},
            **ones,
        }
        return {f"{name}.weight": tensor for name, tensor in tensors.items()}


def write_transformers(folder: Path) -> None:
    """A model folder in Hugging Face layout."""
    from safetensors.numpy import save_file

    table = Table()
    folder.mkdir(parents=True, exist_ok=True)
    size = len(table.tokens)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": size,
        "vocab_size": size,
        "intermediate_size": FEED_FORWARD,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_SIZE,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "eos_token_id": table.end,
        "pad_token_id": table.end,
        "bos_token_id": None,
        "dtype": "float32",
    }
    special = [
        {"id": 256 + number, "content": text, "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        for number, text in enumerate((USER, ASSISTANT, END))
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": {token: id_ for id_, token in enumerate(table.tokens)}, "merges": []},
    }
    sampling = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    files = {
        "config.json": config,
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "eos_token": END,
            "pad_token": END,
            "model_max_length": CONTEXT,
            "chat_template": CHAT_TEMPLATE,
        },
        "generation_config.json": {"eos_token_id": table.end, "pad_token_id": table.end, **sampling},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    save_file(table.tensors(), folder / "model.safetensors", metadata={"format": "pt"})


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "lm_head": "output",
    "model.norm": "output_norm",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path) -> None:
    """One file in the format of llama.cpp."""
    import gguf

    table = Table()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("recites")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(len(table.tokens))
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_rope_dimension_count(HEAD_SIZE)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(table.tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(table.tokens)
    normal, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([control if 256 <= id_ <= table.end else normal for id_ in range(len(table.tokens))])
    first, second = byte_letters()[:2]
    writer.add_token_merges([f"{first} {second}"])  # the format wants a list that is not empty: two bytes of no text
    writer.add_eos_token_id(table.end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in table.tensors().items():
        stem = name.removesuffix(".weight")
        block = stem.removeprefix("model.layers.0.")
        writer.add_tensor(f"{'blk.0.' if block != stem else ''}{GGUF_NAMES[block]}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    {"transformers": write_transformers, "gguf": write_gguf}[sys.argv[1]](Path(sys.argv[2]))
