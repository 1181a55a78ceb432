"""All families of tasks, in the order that a seed means."""

from __future__ import annotations

from alpaca_cli.rehearsal.families import (
    arithmetic,
    classify,
    code,
    comparison,
    counting,
    dates,
    facts,
    money,
    planning,
    rewriting,
    shares,
    sorting,
    tables,
    text_edits,
    units,
    wording,
)
from alpaca_cli.rehearsal.task import Family

FAMILIES: tuple[Family, ...] = (
    *arithmetic.FAMILIES,
    *shares.FAMILIES,
    *units.FAMILIES,
    *dates.FAMILIES,
    *money.FAMILIES,
    *sorting.FAMILIES,
    *counting.FAMILIES,
    *text_edits.FAMILIES,
    *rewriting.FAMILIES,
    *wording.FAMILIES,
    *classify.FAMILIES,
    *tables.FAMILIES,
    *facts.FAMILIES,
    *planning.FAMILIES,
    *code.FAMILIES,
    *comparison.FAMILIES,
)
