"""The weather in which the rehearsal teacher serves: faults by rate or by script, and limits that it does not tell.

A storm may be written as a YAML file, of which every key is a field here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from alpaca_cli import yamlfile
from alpaca_cli.rehearsal.faults import BATCH_FAULTS, FAULTS, OPTIONAL_PARAMETERS, PASSING, ROW_FAULTS, UPLOAD_FAULTS
from alpaca_cli.yamlfile import Document, Settings

CALM_WORD = "ok"


def _known(name: str, names: Iterable[str], what: str) -> str:
    listed = tuple(names)
    if name not in listed:
        close = get_close_matches(name, listed, n=1)
        words = f"did you mean {close[0]}?" if close else f"known ones: {', '.join(listed)}"
        raise ValueError(f"unknown {what} {name!r}; {words}")
    return name


def check_fault(name: str) -> str:
    """The name of a fault, as it is.  Raises ValueError with what was probably meant."""
    return _known(name, FAULTS, "fault")


def _check_step(name: str) -> str:
    return _known(name, (CALM_WORD, *FAULTS), "fault")


def _check_batch_step(name: str) -> str:
    return _known(name, (CALM_WORD, *BATCH_FAULTS), "fault of a batch")


def _check_upload_step(name: str) -> str:
    return _known(name, (CALM_WORD, *UPLOAD_FAULTS), "fault of an upload")


def _check_row_fault(name: str) -> str:
    return _known(name, ROW_FAULTS, "fault of a row")


def _check_parameter(name: str) -> str:
    return _known(name, OPTIONAL_PARAMETERS, "parameter")


def _check_sum(rates: dict[str, float]) -> dict[str, float]:
    if sum(rates.values()) > 1 + 1e-9:
        raise ValueError(f"the rates come to {sum(rates.values()):.3g}, and must not exceed 1 together")
    return rates


Share = Annotated[float, Field(ge=0, le=1)]
Fault = Annotated[str, AfterValidator(check_fault)]
Step = Annotated[str, AfterValidator(_check_step)]
BatchStep = Annotated[str, AfterValidator(_check_batch_step)]
UploadStep = Annotated[str, AfterValidator(_check_upload_step)]
RowFault = Annotated[str, AfterValidator(_check_row_fault)]
Parameter = Annotated[str, AfterValidator(_check_parameter)]


class Storm(Settings):
    """Everything that the server does to its clients; without any setting it is calm."""

    rates: Annotated[dict[Fault, Share], AfterValidator(_check_sum)] = Field(default_factory=dict)
    """Share of the completion requests that meet each fault; together at most 1."""
    script: tuple[Step, ...] = ()
    """What the first requests meet, one after another: a fault or `ok`.  The rates apply to those that come after."""
    slow_s: float = Field(default=2, ge=0)
    """Seconds that the fault `slow` adds."""
    hang_s: float = Field(default=600, gt=0)
    """Seconds after which the fault `hang` closes the connection."""
    unsupported: tuple[Parameter, ...] = ()
    """Parameters that are refused in every request."""
    context_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of prompt and answer together, by this server's count; null: any number."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """Completion requests per minute beyond which 429 is answered; null: any number."""
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """Tokens per minute: those of the prompt and the most that may be answered.  Null: any number."""
    burst_s: float = Field(default=1, ge=0)
    """How many seconds' worth of the two limits may come at once after a rest; at least one request may."""
    concurrency: int | None = Field(default=None, ge=1)
    """Completion requests under way at once; null: any number."""
    queue: bool = False
    """Let requests beyond the concurrency wait, as local servers do, rather than refuse them."""
    retry_after: bool = True
    """Whether a refusal for these limits says how long to wait."""
    headers: bool = False
    """Whether answers tell the limits of requests and tokens, in OpenAI's x-ratelimit headers."""
    batch_s: float = Field(default=1, ge=0)
    """Seconds from a batch's creation to its end, or more if its answers take longer."""
    batch_script: tuple[BatchStep, ...] = ()
    """What the first batches meet, one after another: a fault of a whole batch, or `ok`; those after them, nothing."""
    upload_script: tuple[UploadStep, ...] = ()
    """What the first uploads meet, one after another."""
    row_rates: Annotated[dict[RowFault, Share], AfterValidator(_check_sum)] = Field(default_factory=dict)
    """Share of the rows of batches that meet each fault; together at most 1."""

    @field_validator("unsupported")
    @classmethod
    def check_a_limit_is_left(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if "max_tokens" in names and "max_completion_tokens" in names:
            raise ValueError("max_tokens and max_completion_tokens must not both be refused")
        return names


CALM = Storm()


def storm_of(rate: float) -> Storm:
    """Every passing fault equally often, in `rate` (0 to 1) of the requests together."""
    return Storm(rates=dict.fromkeys(PASSING, rate / len(PASSING)))


def read_storm(script: Path | None, flags: Sequence[tuple[str, tuple[str, ...], object]]) -> Storm:
    """The storm of a YAML file, or a calm, after what flags say: each with its name, which field it sets, and to what.

    Raises UsageError for a file or a flag that says something impossible, naming the place.
    """
    document = Document(Path(), {}, None) if script is None else yamlfile.read(script)
    for flag, keys, value in flags:
        document.put(keys, value, source=flag)
    return document.check(Storm)
