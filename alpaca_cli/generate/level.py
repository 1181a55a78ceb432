"""The level at which a server is asked: how many requests at once, or how many a second, learnt from its answers.

Servers have limits of three kinds, and do not say which:

- slots: it refuses when more than some number are under way;
- a rate: it refuses when more come in a time than it grants.  The level then counts requests a second.  What speaks for
  a rate is a refusal while no more were under way than it has just been taking (`_is_by_slots`), or, where a rate looks
  like few slots, that pacing does better than those (`_to_beat`);
- a queue: it refuses nothing and only gets slower.  The level stays near the `knee`, where throughput ends to grow.

The law, in answers rather than seconds: below the ceiling, which is the last level known to be good, one up for each
good answer; at the ceiling, stay for PLATEAU answers, so that less than 1 % are refused; then probe in growing steps as
long as nothing is refused.  A refused probe goes back to the best level found, any other refusal lowers ceiling and
level.  At a knee, instead of a probe, two levels are tried against each other.

Source: slow start and AIMD, Jacobson 1988, Chiu and Jain 1989; the ceiling remembered, with a plateau and ever larger
steps beyond, CUBIC, Ha, Rhee and Xu 2008; levels tried against each other, PCC, Dong et al. 2015.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from alpaca_cli.generate.knee import Round, knee_of

FIRST_PLATEAU, PLATEAU, PLATEAU_S = 4, 160, 5.0  # answers between probes, doubled by each in vain; least seconds
STEP_ANSWERS, STEP_S = 10, 1.0  # least length of a probe's step
STEP, STEP_GROWTH = 0.02, 1.5  # a probe's first step, as a share of a rate (of slots: one); ratio of the next ones
RATE_GROWTH = 0.15  # requests a second for each answer, below the ceiling: a growth of 15 % a second
DECREASE = 0.7  # the level below its ceiling after a refusal
NEAR = 0.92  # the ceiling below a level that was refused
LEAST_RATE = 0.01  # requests a second
RECENT = 300  # requests looked at to tell slots from a rate
SURE = 3  # refusals that speak for the other kind of limit
SAME = 0.05  # share by which two ends of slots may differ
FIRST_CHANGE, CHANGE_GROWTH = 2, 4  # refused probes of slots before a rate is tried, and ratio of the next number
BETTER = 1.15  # ratio from which a level is truly better than another
ROUND_ANSWERS, TRIAL_ANSWERS = 8, 50  # least answers for a latency in slow start, and to try a level against another
TRIAL = 1.5  # ratio of two levels tried against each other
HEADROOM = 1.1  # above the knee
SLOWER = 1.3  # ratio of latencies from which a lower level is tried


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A request under way, and what was known when it was sent."""

    sent_at: float
    tokens: int
    under_way: int
    """Requests under way, this one included."""
    epoch: int
    round: Round
    spent: tuple[float, float]
    """Requests and tokens ever sent, this one's included."""


class Level:
    """Starts at `first` requests under way, and lets no more than `most` be; times are seconds of any clock."""

    def __init__(self, first: int, most: int) -> None:
        self.amount = float(min(first, most))
        """Requests under way, or a second if `is_rate`."""
        self.is_rate = False
        self.latency_s: float | None = None
        """Smoothed; None before the first answer."""
        self.epoch = 0
        """Number of decreases: what was sent before one tells nothing of the level after it."""
        self.round = Round()
        self.pause_cost_s = 0.0
        """Least seconds between probes, where each may cost a pause."""
        self._most = float(most)
        self._ceiling = math.inf
        self._is_knee = False  # the ceiling is where throughput ends to grow, not where refusals begin
        self._quiet_answers, self._quiet_since = 0, 0.0  # since the level was changed
        self._plateau = FIRST_PLATEAU
        self._step = 0.0  # the last one of a probe; 0 if there is none
        self._recent: deque[Mark] = deque(maxlen=RECENT)  # sent since the last decrease
        self._doubt = 0  # refusals that spoke for the other kind since one clearly spoke for this one
        self._last_end = 0  # requests under way at the last refusal that spoke for slots
        self._num_vain, self._next_change = 0, FIRST_CHANGE  # refused probes of slots; how many until a rate is tried
        self._to_beat = 0.0  # slots that a rate on trial must surpass
        self._round_began_at = self.amount
        self._before: Round | None = None  # of another level, to compare with
        self._least_slowness = math.inf

    def sent(self, mark: Mark) -> None:
        """Remember a request of this epoch."""
        self._recent.append(mark)

    def learn(self, mark: Mark, now: float, tokens: int) -> None:
        """Take the latency of a good answer."""
        seconds = max(0.0, now - mark.sent_at)
        self.latency_s = seconds if self.latency_s is None else self.latency_s + (seconds - self.latency_s) / 16
        if mark.round is self.round:
            self.round.add(mark.under_way, seconds, tokens)

    def ease(self, num_under_way: int) -> None:
        """Begin again after a pause: what still runs keeps its place, the rest comes gently."""
        running = num_under_way / self.latency_s if self.is_rate and self.latency_s else float(num_under_way)
        self.amount = min(self.amount, max(self.amount * DECREASE, running))

    def begin_epoch(self) -> None:
        """Take nothing more from what was sent so far."""
        self.epoch += 1
        self._recent.clear()

    # Growth

    def grow(self, now: float) -> None:
        """A good answer came while requests were kept waiting by the level."""
        if math.isinf(self._ceiling):
            self.amount = min(self.amount + 1, 2 * self._round_began_at, self._most)
            self._compare_rounds(now)
        elif self._before is not None:
            self._end_trial(now)
        elif self.amount < self._ceiling:
            self.amount = min(self.amount + (RATE_GROWTH if self.is_rate else 1), self._ceiling)
            self._quiet_answers, self._quiet_since = 0, now
        else:
            self._quiet_answers += 1
            quiet_s = now - self._quiet_since
            if not self._step:
                if self._quiet_answers >= self._plateau and quiet_s >= max(PLATEAU_S, self.pause_cost_s):
                    self._end_plateau(now)
            elif self._is_slower():
                self._settle(now, self.amount)
            elif self._quiet_answers >= min(STEP_ANSWERS, 2 * self.amount) and quiet_s >= STEP_S:
                self._take_step(now, STEP_GROWTH * self._step)

    def _compare_rounds(self, now: float) -> None:
        """In slow start each round has about twice as many under way as the one before."""
        if self.round.num_answers < max(ROUND_ANSWERS, self.amount / 2):
            return
        self._least_slowness = min(self._least_slowness, self.round.slowness)
        knee = knee_of(self._before, self.round) if self._before else None
        if knee is not None:
            self._settle(now, knee * HEADROOM)
        elif self.round.under_way > 0.9 * self._most:
            self._settle(now, self._most)
        else:
            self._before, self.round, self._round_began_at = self.round, Round(), self.amount

    def _end_plateau(self, now: float) -> None:
        """Try another level: a lower one if answers have become slower, else a higher one."""
        if self._is_knee:
            if self.round.num_answers < TRIAL_ANSWERS:
                return
            self._plateau = PLATEAU
        self._quiet_answers, self._quiet_since = 0, now
        if self._is_slower() and self.amount >= 2:
            self._begin_trial(min(self.amount - 1, self.amount / TRIAL))
        elif self.amount >= self._most and not self.is_rate:
            self.round = Round()
        elif self._is_knee:
            self._begin_trial(max(self.amount + 1, self.amount * TRIAL))
        else:
            self.round = Round()
            self._take_step(now, STEP * self.amount if self.is_rate else 1.0)

    def _take_step(self, now: float, step: float) -> None:
        self._step = step
        self.amount = self.amount + step if self.is_rate else min(self.amount + step, self._most)
        self._quiet_answers, self._quiet_since = 0, now

    def _is_slower(self) -> bool:
        """Whether answers come slower than they were once seen to come."""
        if self.is_rate or self.round.num_answers < TRIAL_ANSWERS:
            return False
        slowness = self.round.slowness
        self._least_slowness = min(self._least_slowness, slowness)
        return slowness > SLOWER * self._least_slowness

    def _begin_trial(self, amount: float) -> None:
        self.amount = min(amount, self._most)
        self._before, self.round = self.round, Round()

    def _end_trial(self, now: float) -> None:
        if self._before is None or self.round.num_answers < max(TRIAL_ANSWERS, 2 * self.amount):
            return
        knee = knee_of(self._before, self.round)
        if knee is not None:
            self._settle(now, knee * HEADROOM)
        elif self.amount < self._ceiling:  # fewer at once did worse: the answers are slower, not the queue longer
            self._least_slowness = self._before.slowness
            self._settle(now, self._ceiling)
        elif self.amount < self._most:
            self._ceiling = self.amount
            self._begin_trial(self.amount * TRIAL)
        else:
            self._settle(now, self._most)

    def _settle(self, now: float, amount: float) -> None:
        """Stay until the end of a plateau."""
        self._is_knee = True
        self._ceiling = self.amount = min(max(1.0, amount), self._most)
        self._begin_quiet(now)

    def _begin_quiet(self, now: float) -> None:
        self._quiet_answers, self._quiet_since = 0, now
        self._step = 0.0
        self._before, self.round = None, Round()

    # Decrease

    def lower(self, now: float, refused: Mark | None) -> None:
        """Once for a burst of refusals; None: a timeout, which tells nothing of the kind of limit."""
        is_probe = self.amount > self._ceiling
        if is_probe:
            self._plateau = min(PLATEAU, 2 * self._plateau)
        self._is_knee = False
        if self.is_rate:
            self._lower_rate(refused, is_probe)
        else:
            self._lower_slots(refused, is_probe)
        self.begin_epoch()
        self._begin_quiet(now)

    def _lower_slots(self, refused: Mark | None, is_probe: bool) -> None:
        if refused is not None and self._is_by_slots(refused):
            if self._is_same_end(refused):
                self._doubt = 0
            self._ceiling = refused.under_way - 1.0
            self.amount = self._ceiling if is_probe else max(1.0, DECREASE * self._ceiling)
        else:
            self._ceiling = max(1.0, NEAR * min(self._ceiling, self.amount))
            self.amount = max(1.0, DECREASE * self._ceiling)
            self._doubt += refused is not None
        self._num_vain += is_probe
        if self.latency_s and (self._doubt >= SURE or self._num_vain >= self._next_change):
            # Refused for coming too close after each other, requests look like too many at once: see what pacing does.
            self._to_beat = self._ceiling if self._doubt < SURE else 0.0
            self._num_vain, self._next_change = 0, CHANGE_GROWTH * self._next_change
            self._doubt, self.is_rate, self._plateau = 0, True, FIRST_PLATEAU
            self.amount, self._ceiling = self.amount / self.latency_s, self._ceiling / self.latency_s

    def _lower_rate(self, refused: Mark | None, is_probe: bool) -> None:
        if self._to_beat:
            if refused is None or refused.under_way <= max(BETTER * self._to_beat, self._to_beat + 1):
                self._return_to_slots(self._to_beat)
                return
            self._to_beat = 0.0
        if is_probe:  # what a bucket had saved took part in the last two steps
            found = NEAR * (self.amount - self._step - self._step / STEP_GROWTH)
            if found > BETTER * self._ceiling:
                self._plateau = FIRST_PLATEAU
            self._ceiling = max(self._ceiling, found)
            is_slots = refused is not None and self._is_same_end(refused) and self._is_by_slots(refused)
        else:
            self._ceiling = max(LEAST_RATE, NEAR * min(self._ceiling, self.amount))
            is_slots = refused is not None and self._is_by_slots(refused)
        self._doubt = self._doubt + 1 if is_slots else 0
        self.amount = DECREASE * self._ceiling
        if refused is not None and self._doubt >= SURE:
            self._return_to_slots(refused.under_way - 1.0)

    def _return_to_slots(self, amount: float) -> None:
        self._doubt, self.is_rate, self._plateau, self._to_beat = 0, False, PLATEAU, 0.0
        self.amount = self._ceiling = amount

    def _is_same_end(self, refused: Mark) -> bool:
        """Whether it was refused at the same number under way as the last one; a rate refuses now here, now there."""
        last, self._last_end = self._last_end, refused.under_way
        return abs(self._last_end - last) <= SAME * last

    def _is_by_slots(self, refused: Mark) -> bool:
        """Whether hardly any earlier request since the last decrease found as many under way; all have one slot."""
        earlier = [mark.under_way for mark in self._recent if mark.sent_at < refused.sent_at]
        return refused.under_way > 1 and 10 * sum(n >= refused.under_way for n in earlier) <= len(earlier)
