"""Generated pairs of models for `benchmarks/diff.py`: a base, and a tuned one as a fine-tuning at 2e-5 leaves it.

    python benchmarks/diff_pairs.py SIZE FOLDER [--c 1.0]

LLaMA's names and shapes, 32,000 tokens, `[PAD]` added to the tuned.  Weights of the base are N(0, 0.02), its norms
N(1, 0.02), all rounded to bf16.  The tuned is the base + N(0, s), rounded again, where s is c * sqrt(sum of lr^2) over
the 1,219 steps of the original's run: a random walk of AdamW's, which `benchmarks/diff_assumption.py` checks; a fifth
of the rows of the input embeddings are unchanged, as are those of tokens that never occurred.  Same arguments, same
bytes; written as they are drawn, a block at a time.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

LR, STEPS, WARMUP = 2e-5, 1219, 37
VOCAB, UNSEEN = 32_000, 0.2
WEIGHT_RMS = 0.02
SHARD = 1_000_000_000  # bytes of one file
BLOCK = 1 << 22  # values that are drawn at once
Bits = npt.NDArray[np.uint16]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Shape:
    """A LLaMA."""

    hidden: int
    mlp: int
    layers: int

    def tensors(self, vocab: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes in the order of their files."""
        wide, up, down = (self.hidden, self.hidden), (self.mlp, self.hidden), (self.hidden, self.mlp)
        layer = {
            **{f"self_attn.{name}_proj": wide for name in "qkvo"},
            "mlp.gate_proj": up,
            "mlp.up_proj": up,
            "mlp.down_proj": down,
            "input_layernorm": (self.hidden,),
            "post_attention_layernorm": (self.hidden,),
        }
        return {
            "model.embed_tokens.weight": (vocab, self.hidden),
            **{f"model.layers.{k}.{n}.weight": s for k in range(self.layers) for n, s in layer.items()},
            "model.norm.weight": (self.hidden,),
            "lm_head.weight": (vocab, self.hidden),
        }


SHAPES = {"0.1": Shape(768, 2048, 12), "0.8": Shape(1536, 4096, 26), "3": Shape(3072, 8192, 24)}


def walk() -> float:
    """sqrt(sum of lr^2) over the original's schedule: how far a random walk of AdamW's gets, 4.3e-4."""
    rates = [LR * k / WARMUP for k in range(WARMUP)]
    rates += [LR / 2 * (1 + math.cos(math.pi * k / (STEPS - WARMUP))) for k in range(STEPS - WARMUP)]
    return math.sqrt(sum(rate**2 for rate in rates))


def bf16_bits(exact: Floats) -> Bits:
    """Rounded to the nearest, half to even, as an export rounds."""
    bits = exact.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def from_bits(bits: Bits) -> Floats:
    """The values of bf16 bit patterns."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def cost(base: Bits, tuned: Bits) -> float:
    """Bits a weight: the entropy of the differences of the bit patterns as integers, given the base's exponent.

    No code can go below it that codes each difference by itself and looks at no more of the base.
    """
    given = base >> 7 & 0xFF
    _, counts = np.unique(given.astype(np.uint32) << 16 | (tuned - base), return_counts=True)
    _, seen = np.unique(given, return_counts=True)
    return float((seen * np.log2(seen)).sum() - (counts * np.log2(counts)).sum()) / len(base)


class Writer:
    """A model folder, its tensors written one after another."""

    def __init__(self, folder: Path, shape: Shape, vocab: int) -> None:
        folder.mkdir(parents=True)
        self._folder, self._tensors = folder, shape.tensors(vocab)
        self._shards: list[list[str]] = []
        room = 0
        for name, each in self._tensors.items():
            if 2 * math.prod(each) > room:
                self._shards.append([])
                room = SHARD
            self._shards[-1].append(name)
            room -= 2 * math.prod(each)
        self._put_others(shape, vocab)
        self._stream: BinaryIO | None = None

    def files(self) -> list[Path]:
        """The weights', in order."""
        count = len(self._shards)
        if count == 1:
            return [self._folder / "model.safetensors"]
        return [self._folder / f"model-{k:05}-of-{count:05}.safetensors" for k in range(1, count + 1)]

    def write(self, name: str, bits: Bits) -> None:
        """The next part of a tensor; tensors come in order."""
        for path, names in zip(self.files(), self._shards, strict=True):
            if name == names[0] and not path.exists():
                self.close()
                self._stream = path.open("wb")
                self._stream.write(self._header(names))
        assert self._stream is not None
        self._stream.write(bits.tobytes())

    def close(self) -> None:
        """After the last tensor."""
        if self._stream is not None:
            self._stream.close()

    def _header(self, names: list[str]) -> bytes:
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name in names:
            begin, end = end, end + 2 * math.prod(self._tensors[name])
            header[name] = {"dtype": "BF16", "shape": self._tensors[name], "data_offsets": [begin, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text

    def _put_others(self, shape: Shape, vocab: int) -> None:
        config = {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16", "vocab_size": vocab,
            "hidden_size": shape.hidden, "intermediate_size": shape.mlp, "num_hidden_layers": shape.layers,
            "num_attention_heads": shape.hidden // 128, "num_key_value_heads": shape.hidden // 128,
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
            "bos_token_id": 1, "eos_token_id": 2,
        }  # fmt: skip
        (self._folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        pieces = {f"piece{k * 2654435761 % (1 << 32):08x}": k for k in range(vocab)}
        tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": pieces, "merges": []}}
        (self._folder / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1) + "\n", encoding="utf-8")
        if len(self._shards) > 1:
            size = sum(2 * math.prod(each) for each in self._tensors.values())
            places = {name: path.name for path, names in zip(self.files(), self._shards, strict=True) for name in names}
            index = json.dumps({"metadata": {"total_size": size}, "weight_map": places}, indent=2)
            (self._folder / "model.safetensors.index.json").write_text(index + "\n", encoding="utf-8")


def blocks(name: str, number: int, shape: tuple[int, ...], step: float) -> Iterator[tuple[Bits, Bits]]:
    """The base's values of a tensor and the tuned's, a block of whole rows at a time."""
    random = np.random.default_rng([number, 20230313])
    width = shape[-1] if len(shape) > 1 else 1
    rows = max(1, BLOCK // width)
    for begin in range(0, shape[0], rows):
        part = (min(rows, shape[0] - begin), width)
        base = random.standard_normal(part, np.float32) * np.float32(WEIGHT_RMS) + np.float32("norm" in name)
        change = random.standard_normal(part, np.float32) * np.float32(step)
        if "embed_tokens" in name:
            change[random.random(part[0]) < UNSEEN] = 0
        old = bf16_bits(base)
        yield old.ravel(), bf16_bits(from_bits(old) + change).ravel()


def put_pair(size: str, folder: Path, c: float) -> None:
    """FOLDER/base and FOLDER/tuned."""
    shape, step = SHAPES[size], c * walk()
    base, tuned = Writer(folder / "base", shape, VOCAB), Writer(folder / "tuned", shape, VOCAB + 1)
    for number, (name, each) in enumerate(shape.tensors(VOCAB).items()):
        for old, new in blocks(name, number, each, step):
            base.write(name, old)
            tuned.write(name, new)
        if each[0] == VOCAB:  # [PAD] began as the mean of the other rows, which is near 0
            random = np.random.default_rng([number, 32_000])
            tuned.write(name, bf16_bits(random.standard_normal(each[1], np.float32) * np.float32(step)))
    base.close()
    tuned.close()


def main() -> None:
    """Make one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--c", type=float, default=1.0, help="how far the weights moved, in random walks")
    arguments = parser.parse_args()
    put_pair(arguments.size, arguments.folder, arguments.c)


if __name__ == "__main__":
    main()
