"""A clock that stands where a recording says, so that the same session asks for the same things."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

__all__ = ["TapeClock"]


class TapeClock:
    """Stands at `at` and moves by what is slept, and by nothing else.

    While recording against a server that takes its time, `waits` makes a sleep last; in a replay
    it takes no time. Either way the clock shows the same afterwards.
    """

    def __init__(self, at: datetime, *, waits: bool = False) -> None:
        self._at = at.astimezone(UTC)
        self._slept = 0.0
        self._waits = waits

    def now(self) -> datetime:
        """The recording's instant, and what was slept since."""
        return self._at + timedelta(seconds=self._slept)

    def monotonic(self) -> float:
        """Seconds slept since the beginning."""
        return self._slept

    async def sleep(self, seconds: float) -> None:
        """Move by that many seconds."""
        await asyncio.sleep(seconds if self._waits else 0)
        self._slept += max(seconds, 0.0)
