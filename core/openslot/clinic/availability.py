"""Availability: working hours, exceptions and busy times in, free starts out. Pure, no I/O.

All instants are epoch seconds. Working hours are local wall times; they are placed in the zone day
by day, and from there on everything is a sweep over sorted integers. At a transition of the zone:

- A wall time that does not exist is skipped: hours that begin or end in it begin or end at the
  moment when the clock jumps.
- A stretch that contains a repeated hour contains it as the real time that it is: both passes, each
  instant once. Where hours begin or end inside a repeated hour, they begin in its second pass and
  end in its first, so that nothing is offered at which the clock shows a time outside the hours.
  Hours that lie wholly inside one are there once: the second pass where that leaves any time, else
  the first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from zoneinfo import ZoneInfo

__all__ = ["DayException", "Rules", "WeeklyHours", "WorkPlan", "free_starts", "open_stretches"]

_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_EPOCH_WEEKDAY = date(1970, 1, 1).weekday()


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

    def __post_init__(self) -> None:
        if not 0 <= self.weekday <= 6:
            raise ValueError("a weekday is 0 (Monday) to 6 (Sunday)")
        _check_wall(self.start, self.end)


@dataclass(frozen=True, slots=True)
class DayException:
    """What is different on one date: closed, all day or between two wall times, or open besides.

    Closing takes away from the weekly hours; opening adds to what is left, so a closed day with an
    opening from 9 to 12 is open from 9 to 12.
    """

    day: date
    open: bool = False
    start: time | None = None
    end: time | None = None

    def __post_init__(self) -> None:
        if (self.start is None) is not (self.end is None):
            raise ValueError("an exception has both a start and an end, or is the whole day")
        if self.start is not None and self.end is not None:
            _check_wall(self.start, self.end)


@dataclass(frozen=True, slots=True)
class WorkPlan:
    """When a resource works at one place, as that place's clocks show it."""

    zone: ZoneInfo
    weekly: tuple[WeeklyHours, ...]
    exceptions: tuple[DayException, ...] = ()


@dataclass(frozen=True, slots=True)
class Rules:
    """What a visit needs, in seconds.

    The visit lies within working hours and begins a whole number of `step` after its shift does.
    `before` and `after` must be free of busy time, but may lie outside the working hours. `notice`
    and `horizon` count from now: the earliest and the latest start.
    """

    duration: int
    step: int = 900
    before: int = 0
    after: int = 0
    notice: int = 0
    horizon: int | None = None

    def __post_init__(self) -> None:
        if self.duration <= 0 or self.step <= 0:
            raise ValueError("a visit and its step last longer than nothing")
        if min(self.before, self.after, self.notice, self.horizon or 0) < 0:
            raise ValueError("buffers, notice and horizon are not negative")


def open_stretches(plan: WorkPlan, start: int, end: int) -> list[tuple[int, int]]:
    """The working time in [start, end): sorted, disjoint stretches, adjoining ones as one."""
    result: list[tuple[int, int]] = []
    for _, low, high in _shifts(plan, start, end):
        low, high = max(low, start), min(high, end)
        if low >= high:
            continue
        if result and result[-1][1] == low:
            result[-1] = (result[-1][0], high)
        else:
            result.append((low, high))
    return result


def free_starts(
    plan: WorkPlan,
    rules: Rules,
    busy: Iterable[tuple[int, int]],
    start: int,
    end: int,
    *,
    now: int | None = None,
) -> list[int]:
    """The epoch seconds in [start, end) at which a visit can start, ascending, each once.

    `busy` are half-open intervals in any order, overlapping or not. Without `now`, notice and
    horizon are not applied.
    """
    if now is not None:
        start = max(start, now + rules.notice)
        if rules.horizon is not None:
            end = min(end, now + rules.horizon + 1)
    if start >= end:
        return []
    duration, step, before = rules.duration, rules.step, rules.before
    lead = duration + rules.after - 1  # a start at busy_start - lead or later runs into it
    taken = sorted(busy)
    count = len(taken)
    shifts = _shifts(plan, start, end + duration)
    result: list[int] = []
    add = result.extend
    position = 0
    reach = start  # no start before this: the window, or the end of busy time seen so far
    for index, (anchor, low, high) in enumerate(shifts):
        if low >= end:
            break
        run = high
        following = index + 1
        while following < len(shifts) and shifts[following][1] == run and run - high < duration:
            run = shifts[following][2]
            following += 1
        stop = min(high, run - duration + 1, end)
        cursor = low if low > reach else reach
        while position < count:
            busy_start, busy_end = taken[position]
            until = busy_start - lead
            if until >= stop:
                break
            position += 1
            if until > cursor:
                add(range(cursor + (anchor - cursor) % step, until, step))
            busy_end += before
            if busy_end > cursor:
                reach = cursor = busy_end
        if cursor < stop:
            add(range(cursor + (anchor - cursor) % step, stop, step))
    return result


# working hours, placed in the zone


def _shifts(plan: WorkPlan, start: int, end: int) -> list[tuple[int, int, int]]:
    """Disjoint pieces (anchor, low, high) of working time that touch [start, end), unclipped.

    The anchor is where the piece's shift begins: its grid of starts counts from there, whatever
    window is asked for.
    """
    offsets = _offsets(plan.zone, start - 6 * _DAY, end + 6 * _DAY)
    # Two days more on either side: an overnight shift, and the largest offset change known (24 h).
    first = (start + offsets[0][2]) // _DAY - 2
    last = (end + offsets[-1][2]) // _DAY + 2
    pieces = _weekly(plan.weekly, offsets, first, last)
    if plan.exceptions:
        pieces = _except(plan.exceptions, offsets, first, last, pieces)
    result: list[tuple[int, int, int]] = []
    reach = pieces[0][1] if pieces else 0
    for anchor, low, high in pieces:
        if low < reach:
            low = reach
        if high > low:
            reach = high
            if high > start and low < end:
                result.append((anchor, low, high))
    return result


def _weekly(
    weekly: tuple[WeeklyHours, ...],
    offsets: Sequence[tuple[int, int, int]],
    first: int,
    last: int,
) -> list[tuple[int, int, int]]:
    by_weekday: list[list[tuple[int, int, int, int]]] = [[] for _ in range(7)]
    for hours in weekly:
        low, high = _wall(hours.start, hours.end)
        since = first if hours.since is None else hours.since.toordinal() - _EPOCH
        until = last if hours.until is None else hours.until.toordinal() - _EPOCH
        by_weekday[hours.weekday].append((low, high, since, until))
    for rows in by_weekday:
        rows.sort()
    pieces: list[tuple[int, int, int]] = []
    index = 0
    reach = first * _DAY - 1
    for day in range(first, last + 1):
        rows = by_weekday[(day + _EPOCH_WEEKDAY) % 7]
        if not rows:
            continue
        midnight = day * _DAY
        while index < len(offsets) - 1 and midnight >= offsets[index][1] + offsets[index][2]:
            index += 1
        since_utc, until_utc, offset = offsets[index]
        # Within two days of a transition, walls are placed one by one; elsewhere by subtraction.
        calm_from, calm_until = since_utc + offset + 2 * _DAY, until_utc + offset - 4 * _DAY
        calm = calm_from <= midnight <= calm_until
        for low, high, since, until in rows:
            if not since <= day <= until:
                continue
            if calm:
                begin = midnight + low - offset
                pieces.append((begin, begin, midnight + high - offset))
                continue
            # Hours that go on from earlier ones begin where those end, in the first pass.
            goes_on = midnight + low <= reach
            reach = max(reach, midnight + high)
            if placed := _placed(offsets, midnight + low, midnight + high, goes_on=goes_on):
                pieces.append((placed[0], *placed))
    pieces.sort()
    return pieces


def _except(
    exceptions: tuple[DayException, ...],
    offsets: Sequence[tuple[int, int, int]],
    first: int,
    last: int,
    pieces: list[tuple[int, int, int]],
) -> list[tuple[int, int, int]]:
    """(weekly hours - closures) + extra hours."""
    closed: list[tuple[int, int]] = []
    extra: list[tuple[int, int, int]] = []
    for exception in exceptions:
        day = exception.day.toordinal() - _EPOCH
        if not first <= day <= last:
            continue
        low, high = 0, _DAY
        if exception.start is not None and exception.end is not None:
            low, high = _wall(exception.start, exception.end)
        low, high = day * _DAY + low, day * _DAY + high
        if exception.open:
            if placed := _placed(offsets, low, high):
                extra.append((placed[0], *placed))
        else:
            # In doubt a closure is the longer one: nobody is sent to a closed door.
            closed.append(
                (_instant(offsets, low, later=False), _instant(offsets, high, later=True))
            )
    if closed:
        closed.sort()
        pieces = [piece for whole in pieces for piece in _without(whole, closed)]
    return sorted(pieces + extra)


def _without(
    piece: tuple[int, int, int], closed: list[tuple[int, int]]
) -> Iterable[tuple[int, int, int]]:
    anchor, low, high = piece
    for shut, reopened in closed:
        if reopened <= low:
            continue
        if shut >= high:
            break
        if shut > low:
            yield anchor, low, shut
        low = max(low, reopened)
    if low < high:
        yield anchor, low, high


def _placed(
    offsets: Sequence[tuple[int, int, int]], low: int, high: int, *, goes_on: bool = False
) -> tuple[int, int] | None:
    begin = _instant(offsets, low, later=not goes_on)
    end = _instant(offsets, high, later=False)
    if end <= begin:
        begin = _instant(offsets, low, later=False)
    return (begin, end) if begin < end else None


def _instant(offsets: Sequence[tuple[int, int, int]], wall: int, *, later: bool) -> int:
    """When clocks show `wall` (seconds since 1970 on that clock); in a gap, when they jump."""
    found: int | None = None
    for since, until, offset in offsets:
        instant = wall - offset
        if since <= instant < until:
            if not later:
                return instant
            found = instant
        elif found is None and instant < since:
            return since  # this clock started later than `wall`, and the one before ended earlier
    if found is None:
        raise ValueError("the wall time lies outside the stretch that was looked up")
    return found


def _wall(start: time, end: time) -> tuple[int, int]:
    low = start.hour * 3600 + start.minute * 60 + start.second
    high = end.hour * 3600 + end.minute * 60 + end.second
    return low, high if high > low else high + _DAY


def _check_wall(start: time, end: time) -> None:
    if start.tzinfo is not None or end.tzinfo is not None:
        raise ValueError("working hours are wall times without a zone of their own")
    if start.microsecond or end.microsecond:
        raise ValueError("working hours are whole seconds")


# a zone as stretches of constant offset

_PIECE = 1 << 25  # seconds, some 388 days: one cached look-up
_PROBE = (
    4 * _DAY
)  # no zone has two transitions within six days of each other (tested over all zones)


def _offsets(zone: ZoneInfo, start: int, end: int) -> list[tuple[int, int, int]]:
    """Stretches (since, until, UTC offset in seconds) that cover [start, end) and adjoin."""
    result: list[tuple[int, int, int]] = []
    for number in range(start // _PIECE, -(-end // _PIECE)):
        for stretch in _offsets_of_piece(zone, number):
            if result and result[-1][2] == stretch[2]:
                result[-1] = (result[-1][0], stretch[1], stretch[2])
            else:
                result.append(stretch)
    return result


@lru_cache(maxsize=2048)
def _offsets_of_piece(zone: ZoneInfo, number: int) -> tuple[tuple[int, int, int], ...]:
    start, end = number * _PIECE, (number + 1) * _PIECE
    result: list[tuple[int, int, int]] = []
    since, offset = start, _offset(zone, start)
    at = start
    while at < end:
        ahead = min(at + _PROBE, end)
        if (new := _offset(zone, ahead)) != offset:
            low, high = at, ahead  # the offset differs first somewhere in (low, high]
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(zone, middle) == offset:
                    low = middle
                else:
                    high = middle
            result.append((since, high, offset))
            since, offset = high, new
        at = ahead
    if since < end:
        result.append((since, end, offset))
    return tuple(result)


def _offset(zone: ZoneInfo, instant: int) -> int:
    delta = datetime.fromtimestamp(instant, zone).utcoffset()
    assert delta is not None
    return delta.days * _DAY + delta.seconds
