"""The ledger: what is sent counts at its worst until it is known what it cost, through kills and cuts at any byte."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from alpaca_cli.data.ledger import Ledger
from alpaca_cli.errors import IntegrityError


def sums(ledger: Ledger) -> tuple[int, str, str, str]:
    return ledger.num_requests, str(ledger.spent), str(ledger.unknown), str(ledger.reserved)


def test_what_is_sent_is_reserved_and_what_is_settled_is_spent(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        first, second, third = (ledger.send(Decimal("0.003"), k=k) for k in range(3))
        assert sums(ledger) == (3, "0", "0", "0.009")
        ledger.settle(first, Decimal("0.0011"))
        ledger.settle(second, None)
        ledger.settle(third, Decimal(0))

        assert sums(ledger) == (3, "0.0041", "0.003", "0")


def test_reopened_it_has_the_same_sums_and_what_a_killed_process_sent_stays_reserved(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.settle(ledger.send(Decimal("0.2"), k=0), Decimal("0.1"))
        ledger.send(Decimal("0.3"), k=1)
        batch = ledger.send(Decimal(5), num_requests=100, name="batch 0")
        before = sums(ledger)
    with Ledger(tmp_path / "l") as ledger:
        assert sums(ledger) == before == (102, "0.1", "0", "5.3")
        assert ledger.open[batch.number] == batch
        ledger.settle(batch, Decimal("2.5"))
        again = ledger.send(Decimal(1), k=2)

        assert again.number == 4
        assert sums(ledger) == (103, "2.6", "0", "1.3")


def test_cut_at_any_byte_it_never_counts_less_than_was_written(tmp_path: Path) -> None:
    path = tmp_path / "l"
    counts = []
    with Ledger(path) as ledger:
        for k in range(4):
            ticket = ledger.send(Decimal("0.25"), k=k)
            counts.append((path.stat().st_size, ledger.spent + ledger.reserved))
            ledger.settle(ticket, Decimal("0.125"))
            counts.append((path.stat().st_size, ledger.spent + ledger.reserved))
    raw = path.read_bytes()
    for cut in range(len(raw) + 1):
        path.write_bytes(raw[:cut])
        with Ledger(path) as ledger:
            known = [amount for size, amount in counts if size <= cut + 1]  # a line may lack its newline alone
            assert ledger.spent + ledger.reserved == (known[-1] if known else 0), cut
            ledger.send(Decimal(1), k=99)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"ticket": 3, "most": "1", "k": 0}', "ticket: expected 2, found 3"),
        ('{"ticket": 7, "cost": "1"}', "ticket: 7 is settled and was not sent, or is settled twice"),
        ('{"ticket": 2, "most": "much", "k": 0}', "expected an amount in USD"),
        ('{"ticket": 2, "most": "NaN", "k": 0}', "expected an amount in USD from 0"),
        ('{"ticket": 2, "most": "-1", "k": 0}', "expected an amount in USD from 0"),
        ('{"ticket": 2, "most": "1e999999999", "k": 0}', "expected an amount in USD of at most 1,000 places"),
        ('{"ticket": 1, "cost": "1e-999999999"}', "expected an amount in USD of at most 1,000 places"),
        ('{"ticket": 2, "most": "1", "num_requests": -5}', "num_requests: expected a number from 0, found -5"),
        ('{"ticket": 2, "most": 1, "k": 0}', "most: expected an amount in USD, found a number"),
        ('{"most": "1"}', "ticket: missing"),
        ("[]", "expected an object, found a list"),
    ],
)
def test_damage_is_told_with_its_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "l"
    path.write_text(f'{{"ticket": 1, "most": "1", "k": 0}}\n{line}\n')
    with pytest.raises(IntegrityError) as caught:
        Ledger(path)

    assert str(caught.value) == f"{path}:2: not an entry of the ledger: {message}"
    assert caught.value.problems[0].hint


def test_a_ledger_that_is_only_read_is_not_changed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        ledger.settle(ledger.send(Decimal("0.2"), k=0), Decimal("0.1"))
        ledger.send(Decimal("0.3"), k=1)
    raw = (tmp_path / "l").read_bytes() + b'{"ticket": 3'
    (tmp_path / "l").write_bytes(raw)
    with Ledger(tmp_path / "l", read_only=True) as ledger:
        assert sums(ledger) == (2, "0.1", "0", "0.3")

    assert (tmp_path / "l").read_bytes() == raw


def test_amounts_of_the_largest_and_smallest_prices_are_read_again(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l") as ledger:
        for amount in ("1.7e308", "5e-324"):
            ledger.settle(ledger.send(Decimal(amount) * 10**9, k=0), Decimal(amount).scaleb(-6))
        before = sums(ledger)
    with Ledger(tmp_path / "l") as ledger:
        assert sums(ledger) == before
