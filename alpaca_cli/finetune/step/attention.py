"""Attention of packed spans: each to itself, causally, and to the preamble that it goes on from.

Shapes: T tokens of a pack, H heads, G heads of keys and values, D numbers of a head, B spans of a bucket, L the longest
of them, P tokens of their preamble.

Two ways to the same result.  On CUDA one call of PyTorch's variable-length FlashAttention, with the keys and values of
the preamble put before those of each span; elsewhere, in fp32, or where attention drops, spans of like length and the
same preamble side by side in ordinary scaled dot product attention: a causal mask keeps the filling at the end of the
shorter ones out of every real position.  Gradients flow back to the preamble by plain sums in a fixed order, so that a
step is repeatable; but for FlashAttention's backward pass, which adds in none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from alpaca_cli.errors import UsageError
from alpaca_cli.finetune.step.batches import ALONE, Pack

NAME = "alpaca_packed"
"""Under which `transformers` knows this attention."""
WASTE = 1.25  # a bucket holds spans whose longest is at most so many times its shortest


@dataclass(frozen=True)
class Bucket:
    """Spans that are computed side by side."""

    count: int
    """B."""
    length: int
    """L."""
    preamble: tuple[int, int]
    """Where the preamble begins in the pack, and P."""
    mask: torch.Tensor | None
    """[L, P + L] True where a query may look; None: plainly causal."""


@dataclass(frozen=True)
class Layout:
    """How the spans of a pack lie, in the form that the attention of its device wants."""

    buckets: tuple[Bucket, ...] = ()
    into: torch.Tensor | None = None
    """[sum of B * L] the token at each place of the buckets, which lie one after another; fillings repeat one."""
    back: torch.Tensor | None = None
    """[T] the place of each token in the buckets."""
    extended: Extended | None = None

    @property
    def longest(self) -> int:
        """Keys of the longest span, its preamble's among them."""
        if self.extended is not None:
            return self.extended.longest_k
        return max(bucket.preamble[1] + bucket.length for bucket in self.buckets)


@dataclass(frozen=True)
class Extended:
    """For variable-length attention: keys and values with each span's preamble put before it; K in all."""

    into: torch.Tensor
    """[K] the token at each place."""
    own: torch.Tensor
    """[T] the place of each token itself."""
    copies: tuple[tuple[int, torch.Tensor], ...]
    """For each preamble, where it begins in the pack, and [copies, P] the places of its copies."""
    ends_q: torch.Tensor
    """[N + 1] int32, where spans begin and end among the queries."""
    ends_k: torch.Tensor
    """[N + 1] int32, and among the keys."""
    longest_q: int
    longest_k: int


def lay_out(pack: Pack, device: torch.device, *, is_varlen: bool = False) -> Layout:
    """The layout of a pack on a device; `is_varlen`: for variable-length attention."""
    starts = np.concatenate([[0], np.cumsum(pack.lengths)]).astype(np.int64)
    if is_varlen:
        return Layout(extended=_extended(pack, starts, device))
    return _bucketed(pack, starts, device)


def _bucketed(pack: Pack, starts: np.ndarray[Any, Any], device: torch.device) -> Layout:
    order = sorted(range(len(pack.lengths)), key=lambda span: (pack.preambles[span], -pack.lengths[span], span))
    groups: list[list[int]] = []
    for span in order:
        first = groups[-1][0] if groups else span
        alike = pack.preambles[first] == pack.preambles[span] and pack.lengths[first] <= WASTE * pack.lengths[span]
        if groups and alike:
            groups[-1].append(span)
        else:
            groups.append([span])
    buckets, into, place = [], [], 0
    back = np.empty(int(starts[-1]), np.int64)
    for group in groups:
        length, preamble = pack.lengths[group[0]], pack.preambles[group[0]]
        begin, before = (0, 0) if preamble == ALONE else (int(starts[preamble]), pack.lengths[preamble])
        mask = torch.ones(length, before + length, dtype=torch.bool).tril(before).to(device) if before else None
        buckets.append(Bucket(len(group), length, (begin, before), mask))
        for span in group:
            own = np.arange(pack.lengths[span])
            into.append(starts[span] + np.minimum(np.arange(length), pack.lengths[span] - 1))
            back[starts[span] + own] = place + own
            place += length
    return Layout(tuple(buckets), torch.from_numpy(np.concatenate(into)).to(device), torch.from_numpy(back).to(device))


def _extended(pack: Pack, starts: np.ndarray[Any, Any], device: torch.device) -> Extended:
    into, own, ends_k = [], [], [0]
    copies: dict[int, list[np.ndarray[Any, Any]]] = {}
    for span, (length, preamble) in enumerate(zip(pack.lengths, pack.preambles, strict=True)):
        place = ends_k[-1]
        if preamble != ALONE:
            before = pack.lengths[preamble]
            into.append(starts[preamble] + np.arange(before))
            copies.setdefault(preamble, []).append(place + np.arange(before))
            place += before
        into.append(starts[span] + np.arange(length))
        own.append(place + np.arange(length))
        ends_k.append(place + length)

    def moved(numbers: Any, dtype: torch.dtype = torch.int64) -> torch.Tensor:
        return torch.as_tensor(np.asarray(numbers), dtype=dtype).to(device, non_blocking=True)

    return Extended(
        into=moved(np.concatenate(into)),
        own=moved(np.concatenate(own)),
        copies=tuple((int(starts[span]), moved(np.stack(places))) for span, places in copies.items()),
        ends_q=moved(starts, torch.int32),
        ends_k=moved(ends_k, torch.int32),
        longest_q=max(pack.lengths),
        longest_k=max(np.diff(ends_k).tolist()),
    )


class _Take(torch.autograd.Function):
    """Rows of x at `into`, where every row that matters for the gradient is taken once, at `back`."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, into: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(back)
        return x[into]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return grads[0][back], None, None


class _Return(torch.autograd.Function):
    """Rows of y at `back`, each once; the rest of y is dropped."""

    @staticmethod
    def forward(ctx: Any, y: torch.Tensor, back: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(back)
        ctx.num_rows = len(y)
        return y[back]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (back,) = ctx.saved_tensors
        whole = grads[0].new_zeros(ctx.num_rows, *grads[0].shape[1:])
        whole[back] = grads[0]
        return whole, None


class _Extend(torch.autograd.Function):
    """Rows of x at `into`: each once as itself, and a preamble's once more for each span that goes on from it."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, extended: Extended) -> torch.Tensor:
        ctx.extended = extended
        return x[extended.into]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        extended: Extended = ctx.extended
        grad = grads[0][extended.own]
        for begin, places in extended.copies:
            grad[begin : begin + places.shape[1]] += grads[0][places].sum(0, dtype=torch.float32).to(grad.dtype)
        return grad, None


@torch.compiler.disable
def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """`query` [1, H, T, D], `key` and `value` [1, G, T, D] to [1, T, H, D], as transformers' AttentionInterface asks.

    Without a layout the tokens are one sequence, attended to causally.
    Raises UsageError for what a model wants of attention and this one does not do: capped scores (Gemma 2), sinks
    (gpt-oss), a window that is shorter than an example.
    """
    longest = query.shape[2] if layout is None else layout.longest
    if softcap is not None or s_aux is not None or (sliding_window is not None and sliding_window < longest):
        what = (
            f"a window of {sliding_window:,} tokens" if softcap is None and s_aux is None else "scores of its own kind"
        )
        hint = "take another base; where it is a window, a data.max_tokens that is no larger will do"
        raise UsageError(f"the attention of this model has {what}, which alpaca does not compute", hint=hint)
    dropout = dropout if module.training else 0.0
    if layout is None:
        grouped = query.shape[1] != key.shape[1]
        plain = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=grouped
        )
        return plain.transpose(1, 2).contiguous(), None
    query, key, value = (each[0].transpose(0, 1) for each in (query, key, value))
    if layout.extended is not None:
        if dropout:
            raise ValueError("variable-length attention drops nothing")
        return _attend_extended(query, key, value, layout.extended, scaling)[None], None
    return _attend_bucketed(query, key, value, layout, scaling, dropout)[None], None


def _attend_extended(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, extended: Extended, scaling: float | None
) -> torch.Tensor:
    if extended.copies:
        key, value = _Extend.apply(key, extended), _Extend.apply(value, extended)
    attended = varlen_attn(
        query.contiguous(),
        key.contiguous(),
        value.contiguous(),
        extended.ends_q,
        extended.ends_k,
        extended.longest_q,
        extended.longest_k,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
        num_splits=1,
    )
    assert isinstance(attended, torch.Tensor)
    return attended


def _attend_bucketed(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float | None,
    dropout: float,
) -> torch.Tensor:
    assert layout.into is not None
    taken = [_Take.apply(each, layout.into, layout.back) for each in (query, key, value)]
    grouped = query.shape[1] != key.shape[1]
    attended, place = [], 0
    for bucket in layout.buckets:
        end = place + bucket.count * bucket.length
        q, k, v = (each[place:end].unflatten(0, (bucket.count, bucket.length)).transpose(1, 2) for each in taken)
        place = end
        begin, before = bucket.preamble
        if before:
            k, v = (
                torch.cat([each[begin : begin + before].transpose(0, 1).expand(bucket.count, -1, -1, -1), own], 2)
                for each, own in ((key, k), (value, v))
            )
        out = scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=bucket.mask,
            is_causal=bucket.mask is None,
            scale=scaling,
            dropout_p=dropout,
            enable_gqa=grouped,
        )
        attended.append(out.transpose(1, 2).flatten(0, 1))
    returned: torch.Tensor = _Return.apply(torch.cat(attended), layout.back)
    return returned


AttentionInterface.register(NAME, attend)
