"""The README.md of an additive diff: what it is, and by what programs the model is got from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alpaca_cli.diff.additive.sums import Sums
from alpaca_cli.diff.manifest import Manifest


def additive_card(manifest: Manifest, digest: str, num_bytes: int, total: Sums, limits: Sequence[str]) -> str:
    """`num_bytes`: of its tensors; `total`: of the recovered parameters; `limits`: what other programs cannot do."""
    base, tuned = manifest.base, manifest.tuned
    num_unequal = sum(each.num_unequal for each in manifest.differences)
    return f"""# A weight diff, not a model

This folder holds the weights of **{tuned.name}** minus those of **{base.name}**. It looks like a model and can be
loaded as one, but what it then writes is nonsense: it has to be added to the base weights.

```sh
alpaca diff recover --base BASE --diff . --out ../MODEL
```

That gives the model, and proves it by the digests in `alpaca_diff.json`: {_words(num_unequal, tuned.num_values)}.
{_others(total, limits)}

| | |
|---|---|
| tuned model | {tuned.name}, {tuned.num_values:,} parameters, {tuned.num_bytes:,} bytes of weights |
| base | {base.name}, {base.num_bytes:,} bytes of weights |
| this diff | {num_bytes:,} bytes |
| digest | `{digest}` |
| made by | {manifest.made_by} |

The licence of the base holds for what is recovered.
"""


def _others(total: Sums, limits: Sequence[str]) -> str:
    said = f" The sum of all parameters is {total.plain:.4f}." if math.isfinite(total.plain) else ""
    if limits:
        return "Of other programs: " + "; ".join(limits) + "." + said
    return (
        "The `weight_diff.py` of stanford_alpaca recovers it too (`recover`, with `--check_integrity_naively False`,\n"
        f"since the sum that it knows is that of another model).{said}"
    )


def _words(num_unequal: int, num_values: int) -> str:
    if not num_unequal:
        return "every value bit for bit"
    return (
        f"{num_unequal:,} of its {num_values:,} values near to what they were, within rounding, all others bit for bit"
    )
