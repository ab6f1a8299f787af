"""The sandbox's own time, and what it still has to do when that time comes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from openslot.clock import SystemClock

__all__ = ["Alarm", "SandboxClock"]


@dataclass(order=True, slots=True)
class Alarm:
    """Something to do at an instant; `off` keeps it from being done (again)."""

    due: datetime
    number: int
    action: Callable[[], None] = field(compare=False)
    off: bool = field(default=False, compare=False)


class SandboxClock(SystemClock):
    """The machine's time, moved by `advance`; or frozen at `at` and moved so.

    What is due happens at its instant and in order: while the clock is moved past it, at the next
    request, and where the clock runs by itself, then too.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self._at = at
        self._moved = timedelta(0)
        self._alarms: list[Alarm] = []
        self._numbers = count()
        # Two locks, because an alarm writes to a clinic and a clinic's write sets alarms: whoever
        # sets one never waits for one that rings.
        self._lock = threading.Lock()
        self._turn = threading.RLock()
        self._rings = False

    def now(self) -> datetime:
        """The current instant in UTC."""
        return ((self._at or super().now()) + self._moved).astimezone(UTC)

    def advance(self, by: timedelta) -> None:
        """Move the clock, forwards or back; what is due on the way happens at its own time."""
        with self._turn:
            target, until = self._moved + by, self.now() + by
            while (due := self._next()) is not None and due <= until:
                self._moved += max(due - self.now(), timedelta(0))
                self.ring()
            self._moved = target
            self.ring()

    def at(self, due: datetime, action: Callable[[], None]) -> Alarm:
        """Let something happen at an instant of this clock, soon if that has passed."""
        with self._lock:
            alarm = Alarm(due.astimezone(UTC), next(self._numbers), action)
            heappush(self._alarms, alarm)
        if self._at is None:
            wait = max(0.0, (alarm.due - self.now()).total_seconds())
            timer = threading.Timer(min(wait, threading.TIMEOUT_MAX), self.ring)
            timer.daemon = True
            timer.start()
        return alarm

    def ring(self) -> None:
        """Do what is due. Whoever returns from it knows that it is done."""
        with self._turn:
            if self._rings:
                return
            self._rings = True
            try:
                while (alarm := self._due()) is not None:
                    if not alarm.off:
                        alarm.off = True
                        alarm.action()
            finally:
                self._rings = False

    def _next(self) -> datetime | None:
        with self._lock:
            return self._alarms[0].due if self._alarms else None

    def _due(self) -> Alarm | None:
        with self._lock:
            if self._alarms and self._alarms[0].due <= self.now():
                return heappop(self._alarms)
            return None
