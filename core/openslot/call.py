"""What surrounds one call into a connector: how long it may take, how urgent it is, who must know
that a write leaves.

It travels in a context variable, so that a connector's verbs keep short signatures and a
connector's author never forgets to pass it on. `RestConnector` honours it; a connector with another
transport calls `current().sending(step)` itself before the first byte of a write leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum

from openslot.clock import Clock, SystemClock
from openslot.errors import DeadlineExceeded

__all__ = ["Call", "Lane", "call", "current"]


class Lane(StrEnum):
    """Who waits for the answer: a person on the line, or nobody."""

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(slots=True)
class Call:
    """One call: its deadline on `clock.monotonic()` (None: no limit), its lane, its send hook."""

    clock: Clock = field(default_factory=SystemClock)
    deadline: float | None = None
    lane: Lane = Lane.LIVE
    on_send: Callable[[str], Awaitable[None]] | None = None
    sent: bool = False
    """Whether a write has left, or may have left, under this call."""

    def remaining(self, at_most: float = 30.0) -> float:
        """Seconds until the deadline, never more than `at_most`.

        Raises DeadlineExceeded when none are left; its `sent` says whether a write had left.
        """
        if self.deadline is None:
            return at_most
        left = self.deadline - self.clock.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the time for this call ran out", sent=self.sent)
        return min(left, at_most)

    async def sending(self, step: str) -> None:
        """Say that the first byte of the write `step` is about to leave.

        Whoever listens (the desk's journal) has it on disk when this returns; if that fails, so
        does this, and the write must not leave.
        """
        self.remaining()
        if self.on_send is not None:
            await self.on_send(step)
        self.sent = True

    @contextmanager
    def entered(self) -> Iterator[Call]:
        """Make this the current call for the length of a `with` block."""
        token = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(token)


_current: ContextVar[Call | None] = ContextVar("openslot_call", default=None)


def current() -> Call:
    """The call that is under way; outside of one, a call without a deadline."""
    return _current.get() or Call()


@contextmanager
def call(
    *,
    clock: Clock | None = None,
    seconds: float | None = None,
    lane: Lane | None = None,
    on_send: Callable[[str], Awaitable[None]] | None = None,
) -> Iterator[Call]:
    """Open a call that ends in `seconds`; inside another call, never later than that one."""
    outer = _current.get()
    clock = clock or (outer.clock if outer else SystemClock())
    deadline = None if seconds is None else clock.monotonic() + seconds
    if outer is not None and outer.deadline is not None:
        deadline = outer.deadline if deadline is None else min(deadline, outer.deadline)
    inner = Call(
        clock=clock,
        deadline=deadline,
        lane=lane or (outer.lane if outer else Lane.LIVE),
        on_send=on_send or (outer.on_send if outer else None),
    )
    try:
        with inner.entered():
            yield inner
    finally:
        if outer is not None and inner.sent:
            outer.sent = True
