"""What stands behind the rehearsal teacher's sockets: its answers, its files and batches, and its books."""

from __future__ import annotations

import threading

from alpaca_cli.rehearsal.batches import Batches
from alpaca_cli.rehearsal.books import Books
from alpaca_cli.rehearsal.files import Files
from alpaca_cli.rehearsal.online import Online
from alpaca_cli.rehearsal.storm import Storm
from alpaca_cli.rehearsal.weather import Weather


class Service:
    """All that the requests of one server share; `stopping` is set when it ends."""

    def __init__(self, *, seed: int, latency_s: float, storm: Storm) -> None:
        self.stopping = threading.Event()
        self.books = Books()
        self.weather = Weather(storm, seed=seed)
        self.files = Files()
        self.online = Online(weather=self.weather, latency_s=latency_s, books=self.books, stopping=self.stopping)
        self.batches = Batches(weather=self.weather, files=self.files, books=self.books, stopping=self.stopping)

    def change(self, storm: Storm) -> None:
        """Go on in another storm."""
        self.weather.storm = storm
        self.online.capacity.change(storm)

    def close(self) -> None:
        """End the work on batches, and drop all files; once `stopping` is set."""
        self.batches.close()
        self.files.close()
