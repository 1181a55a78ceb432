"""The sockets of the rehearsal teacher: a loopback address, a thread for each connection, and an orderly end."""

from __future__ import annotations

import os
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GRACE_S = 2.0


class Listener(ThreadingHTTPServer):
    """A thread per connection, all of which end with `stop`."""

    daemon_threads = True
    request_queue_size = 1024
    allow_reuse_address = os.name == "posix"  # elsewhere it would let two servers share a port

    def __init__(
        self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], stopping: threading.Event
    ) -> None:
        self.stopping = stopping
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        # not HTTPServer's own, which asks the network for the host's full name
        if self.allow_reuse_address:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that hangs up is no news, and everything else is answered with status 500."""

    def stop(self) -> None:
        """Stop listening, let answers under way be sent for up to GRACE_S seconds, and hang up.  May be repeated."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._changed:
            _hang_up(self._open, socket.SHUT_RD)
            self._changed.wait_for(lambda: not self._open, GRACE_S)
            _hang_up(self._open, socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, GRACE_S)


def _hang_up(sockets: set[socket.socket], how: int) -> None:
    for each in sockets:
        try:
            each.shutdown(how)
        except OSError:
            continue  # it has gone by itself
