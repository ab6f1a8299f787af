"""Time is an instant and a place.

Every datetime in the model is aware. A vendor's local wall time becomes one through `place`, in the
IANA zone of the location it is meant for; arithmetic happens in UTC, because zoneinfo's own
arithmetic across a transition is wall-clock arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

__all__ = [
    "AmbiguousTime",
    "NonexistentTime",
    "Window",
    "parse_instant",
    "place",
    "require_aware",
    "settled",
]


class NonexistentTime(ValueError):
    """A wall time that the zone skips (clocks go forward over it)."""


class AmbiguousTime(ValueError):
    """A wall time that the zone has twice (clocks go back over it), given without an offset."""


def require_aware(value: datetime, what: str) -> None:
    """Refuse a datetime without an offset. Raises ValueError naming `what`, never the value."""
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"{what} must be an aware datetime (with an offset or a zone)")


def settled(value: datetime, what: str) -> datetime:
    """The same instant with its offset instead of its zone. Raises ValueError as `require_aware`.

    Two datetimes of one ZoneInfo compare by what the clock shows: a visit from 01:30 to the second
    01:00 would end before it starts, and the two would be equal. With offsets they compare as the
    instants that they are, so the values of the model hold nothing else.
    """
    if type(value.tzinfo) is timezone:
        return value
    offset = value.utcoffset() if value.tzinfo is not None else None
    if offset is None:
        raise ValueError(f"{what} must be an aware datetime (with an offset or a zone)")
    return value.replace(tzinfo=timezone(offset), fold=0)


def parse_instant(text: str) -> datetime:
    """An ISO 8601 date and time that carries its offset, as an aware datetime.

    Raises ValueError for a text without date, time or offset: a local time has no meaning until
    `place` gives it one.
    """
    value = datetime.fromisoformat(text)
    if value.tzinfo is None or len(text) <= 10:
        raise ValueError("an instant needs a date, a time and an offset")
    return value


def place(wall: datetime, zone: tzinfo, *, offset: timedelta | None = None) -> datetime:
    """The instant at which a clock in `zone` shows `wall`, with its offset (see `settled`).

    `offset` is the UTC offset that the vendor named beside an ambiguous time, if it did.
    Raises NonexistentTime where the zone skips `wall`, AmbiguousTime where it has it twice and
    `offset` does not decide.
    """
    if wall.tzinfo is not None:
        raise ValueError("a wall time has no zone of its own; pass it naive")
    candidates = []
    for fold in (0, 1):
        candidate = wall.replace(tzinfo=zone, fold=fold)
        there = candidate.astimezone(UTC).astimezone(zone)
        if there.replace(tzinfo=None, fold=0) == wall.replace(fold=0):
            candidates.append(candidate)
    if not candidates:
        raise NonexistentTime(f"{zone} has no such local time: clocks go forward over it")
    if candidates[0].utcoffset() != candidates[-1].utcoffset():
        candidates = [c for c in candidates if c.utcoffset() == offset]
        if len(candidates) != 1:
            raise AmbiguousTime(
                f"{zone} has this local time twice and no offset says which is meant"
            )
    return settled(candidates[0], "a placed time")


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone called `name`. Raises ValueError where there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"no IANA time zone is called {name!r}") from error


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open stretch of time from `start` (included) to `end` (excluded), both aware."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", settled(self.start, "Window.start"))
        object.__setattr__(self, "end", settled(self.end, "Window.end"))
        if self.end <= self.start:
            raise ValueError("a window ends after it starts")

    @property
    def length(self) -> timedelta:
        """The time that really passes between start and end."""
        return self.end - self.start

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether any instant lies both in this window and in [start, end)."""
        start, end = settled(start, "start"), settled(end, "end")
        return start < self.end and self.start < end

    def contains(self, instant: datetime) -> bool:
        """Whether `instant` lies in this window."""
        return self.start <= settled(instant, "instant") < self.end

    def split(self, longest: timedelta) -> Iterator[Window]:
        """Adjoining windows, none longer than `longest`, that together are this one."""
        if longest <= timedelta(0):
            raise ValueError("a piece of a window is longer than nothing")
        start, end = self.start.astimezone(UTC), self.end.astimezone(UTC)
        while start < end:
            stop = min(start + longest, end)
            yield Window(start, stop)
            start = stop
