"""The rehearsal teacher: a real OpenAI-compatible HTTP server on the loopback, offline, without any intelligence.

It composes instruction tasks by rule, so that `alpaca generate` can be tried for free, and for load and faults to be
tried at all.  Credentials are neither wanted nor looked at.  See `protocol` for what it understands, and `storm` for
what it can be made to do to its clients.
"""

from __future__ import annotations

import errno
import threading
from types import TracebackType

from alpaca_cli.errors import UsageError
from alpaca_cli.rehearsal.books import Books
from alpaca_cli.rehearsal.handler import Handler
from alpaca_cli.rehearsal.listener import Listener
from alpaca_cli.rehearsal.service import Service
from alpaca_cli.rehearsal.storm import CALM, Storm

POLL_S = 0.05


class RehearsalServer:
    """The teacher, serving from its construction until `close`, from a daemon thread; use it inside `with`.

    Its answers depend on `seed`, the request and the storm alone.  It waits `latency_s` before each completion.  Port 0
    is any free port.  Raises UsageError if it cannot listen there.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        host: str = "127.0.0.1",
        seed: int = 0,
        latency_s: float = 0.0,
        storm: Storm = CALM,
    ) -> None:
        self._service = Service(seed=seed, latency_s=latency_s, storm=storm)
        self._http = _listen(host, port, self._service)
        shown = f"[{host}]" if ":" in host else host
        self.base_url = f"http://{shown}:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(POLL_S,), name="rehearsal teacher", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> RehearsalServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def books(self) -> Books:
        """What the server has written down of its clients; also at GET /rehearsal/books."""
        return self._service.books

    @property
    def storm(self) -> Storm:
        """The weather; another one may be given at any time, and begins with the first step of its script."""
        return self._service.weather.storm

    @storm.setter
    def storm(self, storm: Storm) -> None:
        self._service.change(storm)

    @property
    def num_requests(self) -> int:
        """How many requests of any kind have come in so far."""
        return self.books.num_arrived

    def serve_forever(self) -> None:
        """Wait until the server is closed or the caller is interrupted, which it is left to handle."""
        while self._thread.is_alive():
            self._thread.join(0.2)

    def close(self) -> None:
        """Stop listening, let answers under way be sent for a moment, and hang up.  May be repeated."""
        self._http.stop()
        self._service.close()
        self._thread.join()


def _listen(host: str, port: int, service: Service) -> Listener:
    where = f"{host}:{port}"
    handler = type("Handler", (Handler,), {"service": service})
    try:
        return Listener((host, port), handler, service.stopping)
    except OverflowError:
        raise UsageError(f"a port is a number from 0 to 65535, not {port}", where=where) from None
    except OSError as error:
        other = "choose another one with --port, or --port 0 for any free port"
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"port {port} is already in use", where=where, hint=other) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            message = f"listening on port {port} is not permitted"
            raise UsageError(message, where=where, hint="choose a port from 1024 up with --port") from error
        raise UsageError(f"cannot listen here: {error.strerror or error}", where=where, hint=other) from error
