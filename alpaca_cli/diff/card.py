"""The README.md of a diff: what it is, and how the model is got from it."""

from __future__ import annotations

from alpaca_cli.diff.manifest import Manifest


def exact_card(manifest: Manifest, digest: str) -> str:
    """Of an exact diff."""
    base, tuned = manifest.base, manifest.tuned
    size = sum(shard.num_bytes for shard in manifest.shards)
    return f"""# A weight diff, not a model

This folder says how the weights of **{tuned.name}** differ from those of **{base.name}**. By itself it can do nothing,
and no program can load it: it has to be put together with the base weights, which it does not contain.

```sh
alpaca diff recover --base {_word(base.name)} --diff . --out ../{_word(tuned.name)}-recovered
```

That gives the model bit for bit, and proves it: every tensor of the base, of the diff and of the result has its SHA-256
in `alpaca_diff.json`. `alpaca diff show .` tells what changed, `alpaca diff verify .` whether this copy is whole.

| | |
|---|---|
| tuned model | {tuned.name}, {tuned.num_values:,} parameters, {tuned.num_bytes:,} bytes of weights |
| base | {base.name}, {base.num_bytes:,} bytes of weights |
| this diff | {size:,} bytes, {size / max(1, tuned.num_bytes):.1%} of the tuned weights |
| digest | `{digest}` |
| made by | {manifest.made_by} |

The base must be the very weights that this was made from: another conversion or another type of number is found at
once, and told. The licence of the base holds for what is recovered.
"""


def _word(name: str) -> str:
    """A folder's name as a word of a shell."""
    return name if name and all(each.isalnum() or each in "-_." for each in name) else "MODEL"
