"""STAND-IN until the real one lands: a fixed limit, and pauses that a server asks for."""

from __future__ import annotations

from collections.abc import Mapping

Slot = int


class Throttle:
    def __init__(self, most: int, *, first: int = 4) -> None:
        self.limit: float = most
        self.num_under_way = 0
        self.paused_until = 0.0

    def wait(self, now: float, tokens: int) -> float | None:
        if self.num_under_way >= self.limit:
            return None
        return max(0.0, self.paused_until - now)

    def sent(self, now: float, tokens: int) -> Slot:
        self.num_under_way += 1
        return 0

    def answered(self, slot: Slot, now: float, *, tokens: int, headers: Mapping[str, str]) -> None:
        self.num_under_way -= 1

    def refused(self, slot: Slot, now: float, *, pause_s: float | None, headers: Mapping[str, str]) -> None:
        self.num_under_way -= 1
        self.paused_until = max(self.paused_until, now + (pause_s or 0.0))

    def failed(self, slot: Slot, now: float, *, timed_out: bool) -> None:
        self.num_under_way -= 1

    def dropped(self, slot: Slot) -> None:
        self.num_under_way -= 1
