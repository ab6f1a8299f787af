"""Availability: working hours, exceptions and busy times in, free starts out. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from zoneinfo import ZoneInfo

__all__ = ["DayException", "Rules", "WeeklyHours", "WorkPlan", "free_starts", "open_stretches"]


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """Working time that comes back every week: local wall times in the plan's zone.

    `weekday` is 0 for Monday to 6 for Sunday. An `end` not after `start` is on the next day, so
    00:00 as end is midnight. `since` and `until` are the first and last date on which it holds.
    """

    weekday: int
    start: time
    end: time
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class DayException:
    """What is different on one date: closed, all day or between two wall times, or open besides."""

    day: date
    open: bool = False
    start: time | None = None
    end: time | None = None


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """When a resource works at one place, as that place's clocks show it."""

    zone: ZoneInfo
    weekly: tuple[WeeklyHours, ...]
    exceptions: tuple[DayException, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a visit needs; all in seconds."""

    duration: int
    step: int = 900
    before: int = 0
    after: int = 0
    notice: int = 0
    horizon: int | None = None


def open_stretches(plan: WorkPlan, start: int, end: int) -> list[tuple[int, int]]:
    """The working time that touches [start, end): sorted, disjoint stretches in epoch seconds."""
    raise NotImplementedError


def free_starts(
    plan: WorkPlan,
    rules: Rules,
    busy: Iterable[tuple[int, int]],
    start: int,
    end: int,
    *,
    now: int | None = None,
) -> list[int]:
    """The epoch seconds in [start, end) at which a visit can start, ascending, each once."""
    raise NotImplementedError
