"""What stands behind the rehearsal teacher's sockets: its answers and its books."""

from __future__ import annotations

import threading

from alpaca_cli.rehearsal.books import Books
from alpaca_cli.rehearsal.online import Online
from alpaca_cli.rehearsal.storm import Storm


class Service:
    """All that the requests of one server share; `stopping` is set when it ends."""

    def __init__(self, *, seed: int, latency_s: float, storm: Storm) -> None:
        self.stopping = threading.Event()
        self.books = Books()
        self.online = Online(seed=seed, latency_s=latency_s, storm=storm, books=self.books, stopping=self.stopping)
