"""Writes that are accepted now and land, or fail, later."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from openslot.errors import OpenSlotError
from openslot.testing.clock import Alarm, SandboxClock
from openslot.testing.faults import Faults

__all__ = ["Later", "Write", "WriteState"]


class WriteState(StrEnum):
    """How far an accepted write has got."""

    ACCEPTED = "accepted"
    LANDED = "landed"
    FAILED = "failed"


@dataclass(slots=True)
class Write:
    """One accepted write: `id` is what the vendor may answer, `what` its method and path.

    `due` is None for one that never settles. `result` is what the effect returned, `error` why it
    failed; a failure by fault has no reason, as vendors give none.
    """

    id: str
    what: str
    accepted: datetime
    due: datetime | None
    state: WriteState = WriteState.ACCEPTED
    settled: datetime | None = None
    result: Any = field(default=None, repr=False)
    error: OpenSlotError | None = field(default=None, repr=False)


class Later:
    """The queue behind a server whose answer means no more than "accepted".

    It is kept in memory, so what was not yet carried out is lost with the process.
    """

    def __init__(
        self, clock: SandboxClock, faults: Faults, settled: Callable[[Write], None]
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._settled = settled
        self._lock = threading.Lock()
        self._writes: list[Write] = []
        self._alarms: list[Alarm] = []

    @property
    def writes(self) -> tuple[Write, ...]:
        """Every write that was accepted, in order."""
        with self._lock:
            return tuple(self._writes)

    def clear(self) -> None:
        """Forget them all; what has not settled never will."""
        with self._lock:
            for alarm in self._alarms:
                alarm.off = True
            self._writes, self._alarms = [], []

    def accept(self, effect: Callable[[], Any], after: float, method: str, path: str) -> Write:
        """Carry out `effect` that many seconds from now; at once, errors raised, where it is 0."""
        now = self._clock.now()
        struck = self._faults.strikes("landing", method, path) if after > 0 else ()
        names = {fault.name: fault for fault in struck}
        if late := names.get("landing-delayed"):
            after += 60.0 if late.seconds is None else late.seconds
        due = None if "landing-never" in names else now + timedelta(seconds=max(after, 0))
        result = effect() if after <= 0 else None
        with self._lock:
            write = Write(f"write-{len(self._writes) + 1}", f"{method} {path}", now, due)
            self._writes.append(write)
        if after <= 0:
            write.result, write.state, write.settled = result, WriteState.LANDED, now
        elif due is not None:
            fails = "landing-fails" in names
            alarm = self._clock.at(due, lambda: self._settle(write, None if fails else effect))
            with self._lock:
                self._alarms = [a for a in self._alarms if not a.off]
                self._alarms.append(alarm)
        return write

    def _settle(self, write: Write, effect: Callable[[], Any] | None) -> None:
        state = WriteState.FAILED
        if effect is not None:
            try:
                write.result = effect()
                state = WriteState.LANDED
            except OpenSlotError as error:
                write.error = error
        write.settled = self._clock.now()
        write.state = state
        self._settled(write)
