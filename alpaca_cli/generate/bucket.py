"""What a server says of its rate limits, kept as a bucket: so much is left, and it fills again at a known rate.

Source: the `x-ratelimit-*` headers as OpenAI documents them (platform.openai.com/docs/guides/rate-limits); others send
them too, some with -1 or 0 where they mean nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

WINDOW_S = 60.0  # a limit is per minute
LONGEST_S = 2 * 86400.0  # what takes longer to fill is no duration, but a time of day or nonsense
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_DURATION = re.compile(rf"(?:{_PART})+", re.ASCII)
_NUMBER = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def seconds_of(duration: str) -> float | None:
    """Seconds of a duration such as "12ms", "1s", "6m0s", "1h2m" or "2.5"; None if it is none.

    >>> seconds_of("6m0.5s")
    360.5
    """
    text = duration.strip()
    if _NUMBER.fullmatch(text):
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text, re.ASCII))


class Bucket:
    """What may still be sent of one kind: `requests` or `tokens`.  Without headers it holds nothing back."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._limit = math.inf
        self._per_second = math.inf
        self._left = math.inf
        self._at = 0.0
        self.spent = 0.0
        """All that was ever sent; a request's headers are read against it."""

    def wait(self, now: float, cost: float) -> float:
        """Seconds until `cost` is there; what is larger than the whole bucket waits for a full one."""
        missing = min(cost, self._limit) - self._left_at(now)
        return missing / self._per_second if missing > 1e-6 * cost else 0.0

    def spend(self, now: float, cost: float) -> None:
        """Count what is sent; it may leave less than nothing."""
        self._left = self._left_at(now) - cost
        self._at = now
        self.spent += cost

    def learn(self, now: float, headers: Mapping[str, str], *, sent_at: float, spent: float) -> None:
        """Correct what is left by an answer's headers (names in lower case, or a mapping that takes any).

        `sent_at` and `spent` are the times and the count when the request was sent, itself included.  A server may
        write the headers when the request comes or when the answer goes; of the two readings the lower one is taken.
        """
        limit, remaining = (self._number(headers, name) for name in ("limit", "remaining"))
        if not limit or remaining is None or remaining > limit:
            return
        self._limit = limit
        self._per_second = limit / WINDOW_S
        full_in_s = seconds_of(headers.get(f"x-ratelimit-reset-{self._kind}", ""))
        if full_in_s and full_in_s <= LONGEST_S and remaining < limit:  # some limits are per day under the same name
            self._per_second = min(self._per_second, (limit - remaining) / full_in_s)
        since = max(0.0, now - sent_at) * self._per_second - (self.spent - spent)
        self._left = remaining + min(0.0, since)
        self._at = now

    def _left_at(self, now: float) -> float:
        if math.isinf(self._limit):
            return math.inf
        return min(self._limit, self._left + max(0.0, now - self._at) * self._per_second)

    def _number(self, headers: Mapping[str, str], name: str) -> float | None:
        text = headers.get(f"x-ratelimit-{name}-{self._kind}", "").strip()
        return float(text) if _NUMBER.fullmatch(text) else None
