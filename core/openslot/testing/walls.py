"""Local wall times as vendors write and read them: no offset, and an hour that is there twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from openslot.model.time import AmbiguousTime, NonexistentTime

__all__ = ["WALL_TIMES", "from_wall", "skipped", "to_wall"]

WALL_TIMES = {
    "compatible": "the earlier of two; a skipped one moves on by what was skipped",
    "earlier": "the earlier of two; a skipped one moves back by what was skipped",
    "later": "the later of two; a skipped one moves on by what was skipped",
    "reject": "both are refused",
}
"""What a server makes of a wall time that is there twice or not at all; the manner `wall_times`."""


def to_wall(instant: datetime, zone: tzinfo, shape: str = "%Y-%m-%dT%H:%M:%S") -> str:
    """What a clock in the zone shows, without saying which pass of a repeated hour it is."""
    return instant.astimezone(zone).strftime(shape)


def from_wall(
    text: str, zone: tzinfo, manner: str = "compatible", shape: str = "%Y-%m-%dT%H:%M:%S"
) -> datetime:
    """The instant, in UTC, that a server of this manner takes a wall time for.

    Raises ValueError for a text of another shape; NonexistentTime and AmbiguousTime where the
    server refuses, KeyError for a manner that is none.
    """
    WALL_TIMES[manner]
    wall = datetime.strptime(text, shape)  # noqa: DTZ007 (its zone is given beside it)
    # Of a skipped time, fold 0 is read with the offset before the change and so moves on.
    first, second = (wall.replace(tzinfo=zone, fold=f).astimezone(UTC) for f in (0, 1))
    if first == second:
        return first
    exists = first.astimezone(zone).replace(tzinfo=None, fold=0) == wall
    if manner == "reject":
        if exists:
            raise AmbiguousTime("this local time is there twice")
        raise NonexistentTime("this local time does not exist")
    if manner == "compatible":
        return first
    return min(first, second) if manner == "earlier" else max(first, second)


def skipped(start: datetime, end: datetime, step: timedelta, zone: tzinfo) -> Iterator[datetime]:
    """The wall times on a grid from `start` to before `end` (all naive) that the zone skips.

    Servers that step through a day without its zone offer them.
    """
    if step <= timedelta(0):
        raise ValueError("a step is longer than nothing")
    while start < end:
        there = start.replace(tzinfo=zone).astimezone(UTC).astimezone(zone)
        if there.replace(tzinfo=None, fold=0) != start:
            yield start
        start += step
