"""Where more requests at once no longer bring more: servers that queue tell of their limit by latency only."""

from __future__ import annotations

import math
from dataclasses import dataclass

WORTH_IT = 0.25  # d log(throughput) / d log(requests under way) from which more at once are worth their latency
LEAST_RATIO = 1.2  # of the requests under way in two rounds; closer ones tell nothing apart


@dataclass(slots=True)
class Round:
    """Answers to requests that were sent under the same conditions."""

    num_answers: int = 0
    sum_under_way: float = 0.0
    sum_seconds: float = 0.0
    sum_tokens: float = 0.0

    def add(self, under_way: int, seconds: float, tokens: int) -> None:
        """One answer, of `tokens`, to a request that was sent as one of `under_way`."""
        self.num_answers += 1
        self.sum_under_way += under_way
        self.sum_seconds += seconds
        self.sum_tokens += max(1, tokens)

    @property
    def under_way(self) -> float:
        """Mean number of requests under way."""
        return self.sum_under_way / self.num_answers

    @property
    def slowness(self) -> float:
        """Seconds for a token: a round of long answers is as slow as one of short ones."""
        return self.sum_seconds / self.sum_tokens


def knee_of(one: Round, other: Round) -> float | None:
    """How many requests under way give the throughput that both rounds reached; None if the busier one had more.

    By Little's law throughput is requests under way / latency, so latency alone tells.
    """
    low, high = sorted((one, other), key=lambda found: found.under_way)
    ratio = high.under_way / low.under_way
    if ratio < LEAST_RATIO:
        return None
    gain = max(1.0, ratio * low.slowness / max(high.slowness, 1e-12))
    return low.under_way * gain if math.log(gain) < WORTH_IT * math.log(ratio) else None
