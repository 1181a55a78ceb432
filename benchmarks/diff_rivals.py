"""Other ways to keep what a fine-tuning changed, each a process of its own, for `benchmarks/diff.py`.

    python benchmarks/diff_rivals.py original-make BASE TUNED OUT       tuned - base, as the original's script does it
    python benchmarks/diff_rivals.py original-recover BASE DIFF OUT     and back, with its sum
    python benchmarks/diff_rivals.py copy TUNED OUT                     nothing but the bytes
    python benchmarks/diff_rivals.py copy-fsync TUNED OUT               and wait until they are on disk
    python benchmarks/diff_rivals.py sizes BASE TUNED                   what zstd makes of it, as a table

The original's way is restated from what is known of it: both models whole in fp32 by transformers, the base given the
rows that it lacks (the mean of the others), a subtraction tensor by tensor, `save_pretrained`.  The tokenizers, which
it loads and saves too, are left out: the generated ones are none.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diff_pairs import Bits, cost

BLOCK = 1 << 22  # values that are compressed by themselves
LEVELS = (1, 3, 9)
SAMPLED = 8  # the entropy is reckoned from one value of so many


def load(path: Path) -> Any:
    """A model in fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, low_cpu_mem_usage=True)


def resize(base: Any, vocab: int) -> None:
    """Give the base's embeddings the rows that it lacks, each the mean of those that it has."""
    lacks = vocab - base.config.vocab_size
    if not lacks:
        return
    base.resize_token_embeddings(vocab, mean_resizing=False)
    for embeddings in (base.get_input_embeddings(), base.get_output_embeddings()):
        rows = embeddings.weight.data
        rows[-lacks:] = rows[:-lacks].mean(dim=0, keepdim=True)


def original_make(base: Path, tuned: Path, out: Path) -> None:
    """The tuned minus the base."""
    old, new = load(base), load(tuned)
    resize(old, new.config.vocab_size)
    before, after = old.state_dict(), new.state_dict()
    for name in after:
        after[name].sub_(before[name])
    new.save_pretrained(out)


def original_recover(base: Path, diff: Path, out: Path) -> None:
    """The base plus the difference, and the sum of all of it, which the original holds against a constant."""
    old, new = load(base), load(diff)
    resize(old, new.config.vocab_size)
    before, after = old.state_dict(), new.state_dict()
    for name in after:
        after[name].add_(before[name])
    print("sum", sum(each.sum().item() for each in after.values()))
    new.save_pretrained(out)


def copy(source: Path, out: Path, is_synced: bool) -> None:
    """All files of a folder."""
    out.mkdir()
    for path in sorted(source.iterdir()):
        shutil.copyfile(path, out / path.name)
        if is_synced:
            with (out / path.name).open("rb") as stream:
                os.fsync(stream.fileno())


def stored(folder: Path) -> dict[str, tuple[Path, int, int]]:
    """File, first byte and number of bytes of each tensor."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        for name, told in header.items():
            begin, end = told["data_offsets"]
            found[name] = (path, 8 + length + begin, end - begin)
    return found


def blocks(base: Path, tuned: Path) -> Iterator[tuple[Bits, Bits]]:
    """Base and tuned of each block of values; rows that the base lacks meet zeros."""
    old, new = stored(base), stored(tuned)
    for name, (path, begin, size) in new.items():
        for start in range(0, size, 2 * BLOCK):
            count = min(BLOCK, (size - start) // 2)
            values = np.fromfile(path, "<u2", count, offset=begin + start)
            known = max(0, min(count, (old[name][2] - start) // 2))
            before = np.zeros(count, np.uint16)
            before[:known] = np.fromfile(old[name][0], "<u2", known, offset=old[name][1] + start)
            yield before, values


def planes(values: Bits) -> tuple[bytes, bytes]:
    """The low bytes and the high bytes."""
    pairs = values.view(np.uint8).reshape(-1, 2)
    return pairs[:, 0].tobytes(), pairs[:, 1].tobytes()


def sizes(base: Path, tuned: Path) -> None:
    """Bytes of each form at each level of zstd, as a share of the tuned weights."""
    import zstandard  # of this part only, and no dependency of ours

    compressors = {level: zstandard.ZstdCompressor(level=level) for level in LEVELS}
    total, found, sampled = 0, defaultdict(int), []
    for before, after in blocks(base, tuned):
        total += after.nbytes
        change = after - before  # modulo 2^16
        # Small changes of either sign become small numbers: 0, -1, 1, -2, 2, ...
        folded = (change << 1) ^ (0 - (change >> 15))
        forms = {
            "the tuned's weights": (after.tobytes(),),
            "the tuned's byte planes": planes(after),
            "XOR, byte planes": planes(after ^ before),
            "integer difference, byte planes": planes(change),
            "the same, sign folded in": planes(folded),
        }
        for form, parts in forms.items():
            for level, compressor in compressors.items():
                found[form, level] += sum(len(compressor.compress(part)) for part in parts)
        sampled.append((before[::SAMPLED], after[::SAMPLED]))
    print("| | " + " | ".join(f"zstd -{level}" for level in LEVELS) + " |\n|---|" + "---|" * len(LEVELS))
    for form in dict.fromkeys(form for form, _ in found):
        print(f"| {form} | " + " | ".join(f"{found[form, level] / total:.1%}" for level in LEVELS) + " |")
    bits = cost(*(np.concatenate(side) for side in zip(*sampled, strict=True)))
    print(f"\nentropy of the differences, given the base's exponent: {bits:.2f} bits, {bits / 16:.1%}")


def main() -> None:
    """One of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ways: dict[str, Callable[..., None]] = {
        "original-make": original_make,
        "original-recover": original_recover,
        "copy": partial(copy, is_synced=False),
        "copy-fsync": partial(copy, is_synced=True),
        "sizes": sizes,
    }
    parser.add_argument("way", choices=ways)
    parser.add_argument("paths", nargs="+", type=Path)
    arguments = parser.parse_args()
    ways[arguments.way](*arguments.paths)


if __name__ == "__main__":
    main()
