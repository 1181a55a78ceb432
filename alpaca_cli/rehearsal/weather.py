"""Where a storm stands: how far its scripts have come, what chance says next, and what has been refused for good."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping

from alpaca_cli.rehearsal.faults import parameter_to_refuse, too_long, unsupported
from alpaca_cli.rehearsal.protocol import ApiError, Question
from alpaca_cli.rehearsal.storm import CALM_WORD, Storm


class Weather:
    """The storm of one server over time.  Safe to use from many threads.

    Another storm may come at any time; its scripts then begin, and what was refused by chance is forgotten.
    """

    def __init__(self, storm: Storm, *, seed: int) -> None:
        self.seed = seed
        self._lock = threading.Lock()
        self._ordinal = 0
        self.storm = storm

    @property
    def storm(self) -> Storm:
        return self._storm

    @storm.setter
    def storm(self, storm: Storm) -> None:
        with self._lock:
            self._storm = storm
            self._steps = iter(storm.script)
            self._batch_steps = iter(storm.batch_script)
            self._upload_steps = iter(storm.upload_script)
            self._unsupported = set(storm.unsupported)

    def next_fault(self) -> str | None:
        """What the next request meets: what the script says, or else chance, which hangs on seed and number alone."""
        with self._lock:
            ordinal = self._ordinal
            self._ordinal += 1
            step = next(self._steps, None)
            rates = self._storm.rates
        if step is None:
            return drawn(rates, f"storm {self.seed} {ordinal}")
        return _fault(step)

    def next_batch_fault(self) -> str | None:
        """What the next batch meets."""
        with self._lock:
            return _fault(next(self._batch_steps, CALM_WORD))

    def next_upload_fault(self) -> str | None:
        """What the next upload meets."""
        with self._lock:
            return _fault(next(self._upload_steps, CALM_WORD))

    def check(self, question: Question) -> None:
        """Raises ApiError for a question that this server never answers."""
        for name in sorted(self._unsupported & question.parameters):
            raise unsupported(name)
        most = self._storm.context_tokens
        if most is not None and question.num_prompt_tokens + (question.most_tokens or 0) > most:
            raise too_long(question, most)

    def refuse_a_parameter(self, question: Question) -> ApiError | None:
        """Refuse one of the question's parameters from now on; None if it has none that could be."""
        with self._lock:
            name = parameter_to_refuse(question, self._unsupported)
            if name is None:
                return None
            self._unsupported.add(name)
        return unsupported(name)


def drawn(rates: Mapping[str, float], seed: str) -> str | None:
    """A name at its rate, or None at what is left to 1."""
    fate = random.Random(seed).random() if rates else 1.0
    for name, rate in rates.items():
        fate -= rate
        if fate < 0:
            return name
    return None


def _fault(step: str) -> str | None:
    return None if step == CALM_WORD else step
