"""One batch: what was asked, where it stands, and how it tells so."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from alpaca_cli.rehearsal.books import Bill
from alpaca_cli.rehearsal.protocol import MODEL, Json

WINDOW = "24h"
SECONDS_PER_DAY = 24 * 60 * 60
ENDED = ("completed", "failed", "expired", "cancelled")
NUM_LATE_POLLS = 2
"""How often a batch whose output comes late is shown as completed without it."""


@dataclass
class Batch:
    """A batch, changed by its own thread alone, but for `stop`; `cancel` is set when its work is to end."""

    id: str
    input_file_id: str
    endpoint: str
    metadata: Mapping[str, str] | None
    fault: str | None
    status: str = "validating"
    created_at: int = field(default_factory=lambda: int(time.time()))
    times: dict[str, int] = field(default_factory=dict)
    errors: list[Json] = field(default_factory=list)
    total: int = 0
    completed: int = 0
    failed: int = 0
    bill: Bill = field(default_factory=Bill)
    output_file_id: str | None = None
    error_file_id: str | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    num_polls_ended: int = 0
    num_polls: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def enter(self, status: str) -> None:
        """Take the next status, and note when; one that is being cancelled goes on to nothing but its end."""
        with self._lock:
            if self.status == "cancelling" and status not in ENDED:
                return
            self.status = "cancelled" if self.status == "cancelling" and status == "completed" else status
            self._note_time()

    def stop(self) -> bool:
        """Cancel it; False if it has ended."""
        with self._lock:
            if self.status in ENDED:
                return False
            self.status = "cancelling"
            self._note_time()
            self.cancel.set()
            return True

    def _note_time(self) -> None:
        self.times[self.status] = int(time.time())

    def as_json(self) -> Json:
        """The batch as OpenAI tells it."""
        with self._lock:
            status, times = self.status, dict(self.times)
        names = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        has_ended = status in ENDED
        shows_files = has_ended and (self.fault != "late_output" or self.num_polls_ended > NUM_LATE_POLLS)
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": MODEL if self.total else None,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": WINDOW,
            "status": status,
            "output_file_id": self.output_file_id if shows_files else None,
            "error_file_id": self.error_file_id if shows_files else None,
            "created_at": self.created_at,
            "expires_at": self.created_at + SECONDS_PER_DAY,
            **{f"{name}_at": times.get(name) for name in names},
            "request_counts": {"total": self.total, "completed": self.completed, "failed": self.failed},
            "usage": self._usage() if has_ended and self.total else None,
            "metadata": self.metadata,
        }

    def _usage(self) -> Json:
        asked, told = self.bill.prompt_tokens, self.bill.completion_tokens
        return {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": told,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + told,
        }
