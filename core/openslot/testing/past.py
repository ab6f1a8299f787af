"""Stale reads: the clinic as it was, for servers whose reads show a copy that lags behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from openslot.clinic import Clinic
from openslot.clock import Clock

__all__ = ["Past", "WatchedClinic"]

MOST_COPIES = 256

T = TypeVar("T")


class WatchedClinic(Clinic):
    """A clinic that tells of every transaction that it has committed, whoever began it."""

    committed: tuple[Callable[[], None], ...] = ()

    @contextmanager
    def transaction(self, *, tidy: bool = True) -> Iterator[None]:
        """As the clinic's."""
        with self._lock:
            with super().transaction(tidy=tidy):
                yield
            for tell in () if self._depth else self.committed:
                tell()


class Past:
    """A clinic at every instant at which it changed, as far back as `lags` reach.

    A read never shows anything younger than asked for. Where there are very many instants, older
    ones are thinned out, and it may then show something older.
    """

    def __init__(self, clinic: Clinic, clock: Clock, longest: Callable[[], float]) -> None:
        self._clinic = clinic
        self._clock = clock
        self._longest = longest
        self._lock = threading.RLock()
        self._copies: list[tuple[datetime, Clinic]] = []
        # Before the clinic was opened it was what it was when it was opened.
        self._keep(datetime.min.replace(tzinfo=UTC))

    def keep(self) -> None:
        """Keep the clinic as it is now; what it was before at this very instant is forgotten."""
        self._keep(self._clock.now())

    def _keep(self, now: datetime) -> None:
        copy = Clinic(":memory:", clock=self._clock, manners=self._clinic.manners)
        self._clinic.copy_into(copy)
        with self._lock:
            if self._copies and self._copies[-1][0] == now:
                self._copies.pop()[1].close()
            self._copies.append((now, copy))
            self._forget(now)

    def read(self, read: Callable[[Clinic], T], lag: float) -> T:
        """What `read` finds in the clinic as it was `lag` seconds ago; nothing is left to read."""
        now = self._clock.now()
        with self._lock:
            old = [c for at, c in self._copies if (now - at).total_seconds() >= lag]
            return read(old[-1])

    def close(self) -> None:
        """Let go of every copy."""
        with self._lock:
            while self._copies:
                self._copies.pop()[1].close()

    def _forget(self, now: datetime) -> None:
        longest = self._longest()
        while len(self._copies) > 1 and (now - self._copies[1][0]).total_seconds() >= longest:
            self._copies.pop(0)[1].close()
        if len(self._copies) > MOST_COPIES:
            for at in range(len(self._copies) // 2, 0, -2):
                self._copies.pop(at)[1].close()
