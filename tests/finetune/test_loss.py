"""The chunked cross entropy is PyTorch's own, value and gradients, whatever the chunk."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy as reference

from alpaca_cli.finetune.step.loss import cross_entropy


def made(rows: int, width: int, vocab: int, dtype: torch.dtype, seed: int) -> tuple[torch.Tensor, ...]:
    source = torch.Generator().manual_seed(seed)
    hidden = torch.randn(rows, width, generator=source).to(dtype).requires_grad_()
    weight = torch.randn(vocab, width, generator=source).to(dtype).requires_grad_()
    return hidden, weight, torch.randint(0, vocab, (rows,), generator=source)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 40), width=st.integers(1, 9), vocab=st.integers(1, 30), chunk=st.integers(1, 50),
    seed=st.integers(0, 99), scale=st.sampled_from([1.0, -2.5]),
)  # fmt: skip
def test_value_and_gradients_are_pytorchs(
    rows: int, width: int, vocab: int, chunk: int, seed: int, scale: float
) -> None:
    hidden, weight, targets = made(rows, width, vocab, torch.float64, seed)
    expected = reference(hidden @ weight.t(), targets, reduction="sum") / 17
    wanted = torch.autograd.grad(expected * scale, (hidden, weight))
    loss = cross_entropy(hidden, weight, targets, divisor=17, chunk=chunk)
    found = torch.autograd.grad(loss * scale, (hidden, weight))

    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)


def test_the_loss_of_bf16_is_fp32_and_so_are_sums_over_chunks() -> None:
    hidden, weight, targets = made(600, 16, 50, torch.bfloat16, 0)
    loss = cross_entropy(hidden, weight, targets, divisor=600, chunk=7)
    loss.backward()
    exact, wide = (each.detach().double().requires_grad_() for each in (hidden, weight))
    expected = reference(exact @ wide.t(), targets)
    expected.backward()

    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=2e-3)
    assert hidden.grad is not None and weight.grad is not None and wide.grad is not None
    assert hidden.grad.dtype == weight.grad.dtype == torch.bfloat16
    assert float((weight.grad.double() - wide.grad).abs().max() / wide.grad.abs().max()) < 2e-2


def test_what_needs_no_gradient_gets_none() -> None:
    hidden, weight, targets = made(5, 4, 6, torch.float32, 0)
    cross_entropy(hidden, weight.detach(), targets, divisor=1, chunk=2).backward()

    assert hidden.grad is not None and weight.grad is None
    with torch.no_grad():
        assert not cross_entropy(hidden, weight, targets, divisor=1, chunk=2).requires_grad
