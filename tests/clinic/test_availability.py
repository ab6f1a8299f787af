"""Availability against slow, obvious reckonings, over every zone and every transition."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openslot.clinic import (
    DayException,
    Rules,
    WeeklyHours,
    WorkPlan,
    free_starts,
    open_stretches,
)

DAY = 86_400


def epoch(*parts: int, zone: str = "UTC") -> int:
    return int(datetime(*parts, tzinfo=ZoneInfo(zone)).timestamp())  # type: ignore[arg-type]


def daily(start: time, end: time) -> tuple[WeeklyHours, ...]:
    return tuple(WeeklyHours(day, start, end) for day in range(7))


def shown(starts: list[int], zone: str) -> list[str]:
    return [datetime.fromtimestamp(s, ZoneInfo(zone)).strftime("%d %H:%M%z") for s in starts]


def day_of(zone: str, day: date, hours: tuple[WeeklyHours, ...], rules: Rules) -> list[str]:
    low = datetime.combine(day, time(), ZoneInfo(zone)).timestamp()
    high = datetime.combine(day + timedelta(1), time(), ZoneInfo(zone)).timestamp()
    return shown(free_starts(WorkPlan(ZoneInfo(zone), hours), rules, (), int(low), int(high)), zone)


HALF = Rules(duration=1800, step=1800)


@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "expected"),
    [
        pytest.param(
            "America/New_York",
            date(2027, 3, 14),
            time(1),
            time(4),
            ["14 01:00-0500", "14 01:30-0500", "14 03:00-0400", "14 03:30-0400"],
            id="New York skips two to three",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 3, 14),
            time(2, 30),
            time(4),
            ["14 03:00-0400", "14 03:30-0400"],
            id="hours that begin in the gap begin when the clock jumps",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 3, 14),
            time(2),
            time(2, 45),
            [],
            id="hours within the gap do not exist",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 11, 7),
            time(0, 30),
            time(2, 30),
            [
                "07 00:30-0400",
                "07 01:00-0400",
                "07 01:30-0400",
                "07 01:00-0500",
                "07 01:30-0500",
                "07 02:00-0500",
            ],
            id="New York has one to two twice as real time",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 11, 7),
            time(1),
            time(2),
            ["07 01:00-0500", "07 01:30-0500"],
            id="hours that are the repeated hour are there once",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 11, 7),
            time(0),
            time(1, 30),
            ["07 00:00-0400", "07 00:30-0400", "07 01:00-0400"],
            id="hours that end in the repeated hour end in its first pass",
        ),
        pytest.param(
            "America/New_York",
            date(2027, 11, 7),
            time(1),
            time(1, 30),
            ["07 01:00-0400"],
            id="part of the repeated hour is its first pass",
        ),
        pytest.param(
            "Australia/Lord_Howe",
            date(2027, 4, 4),
            time(1),
            time(3),
            [
                "04 01:00+1100",
                "04 01:30+1100",
                "04 01:30+1030",
                "04 02:00+1030",
                "04 02:30+1030",
            ],
            id="Lord Howe repeats half an hour",
        ),
        pytest.param(
            "Australia/Lord_Howe",
            date(2027, 10, 3),
            time(1),
            time(3, 30),
            ["03 01:00+1030", "03 01:30+1030", "03 02:30+1100", "03 03:00+1100"],
            id="Lord Howe skips half an hour",
        ),
        pytest.param(
            "America/Santiago",
            date(2027, 9, 5),
            time(0),
            time(2),
            ["05 01:00-0300", "05 01:30-0300"],
            id="Santiago has no midnight",
        ),
        pytest.param(
            "America/Santiago",
            date(2027, 4, 3),
            time(22, 30),
            time(0),
            ["03 22:30-0300", "03 23:00-0300", "03 23:30-0300", "03 23:00-0400", "03 23:30-0400"],
            id="Santiago repeats the hour before midnight",
        ),
        pytest.param(
            "Asia/Kathmandu",
            date(2027, 3, 14),
            time(9),
            time(10),
            ["14 09:00+0545", "14 09:30+0545"],
            id="Kathmandu is three quarters off",
        ),
        pytest.param(
            "Pacific/Apia", date(2011, 12, 30), time(9), time(17), [], id="Samoa left a day out"
        ),
    ],
)
def test_transitions(zone: str, day: date, start: time, end: time, expected: list[str]) -> None:
    assert day_of(zone, day, daily(start, end), HALF) == expected


def test_overnight_hours_cross_a_transition_as_real_time() -> None:
    plan = WorkPlan(ZoneInfo("America/New_York"), (WeeklyHours(5, time(22), time(6)),))
    assert open_stretches(plan, epoch(2027, 11, 6), epoch(2027, 11, 8)) == [
        (epoch(2027, 11, 7, 2), epoch(2027, 11, 7, 11))
    ]
    assert open_stretches(plan, epoch(2027, 3, 13), epoch(2027, 3, 15)) == [
        (epoch(2027, 3, 14, 3), epoch(2027, 3, 14, 10))
    ]


def transitions(first: int, last: int) -> Iterator[tuple[ZoneInfo, int]]:
    """Every distinct change of offset of every zone, from the TZif files themselves (RFC 8536)."""
    seen: set[tuple[int, int, int]] = set()
    for key in sorted(available_timezones()):
        try:
            data = files("tzdata").joinpath("zoneinfo", *key.split("/")).read_bytes()
        except FileNotFoundError:
            continue  # a name of the system's own, like "localtime"
        isut, isstd, leap, times, types, chars = struct.unpack(">6L", data[20:44])
        second = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
        count = struct.unpack(">6L", data[second + 20 : second + 44])[3]
        zone = ZoneInfo(key)
        for at in struct.unpack(f">{count}q", data[second + 44 : second + 44 + 8 * count]):
            before, after = offset(zone, at - 1), offset(zone, at)
            if first <= at < last and before != after and (at, before, after) not in seen:
                seen.add((at, before, after))
                yield zone, at


def offset(zone: ZoneInfo, at: int) -> int:
    delta = datetime.fromtimestamp(at, zone).utcoffset()
    assert delta is not None
    return int(delta.total_seconds())


def wall_minutes(zone: ZoneInfo, at: int) -> int:
    wall = datetime.fromtimestamp(at, zone)
    return wall.hour * 60 + wall.minute


def test_every_transition_of_every_zone() -> None:
    """Around each transition since 1990: nothing where the clock shows a time outside the hours,
    nothing twice, and everything where the clock shows each time of the hours just once."""
    checked = 0
    for zone, at in transitions(epoch(1990, 1, 1), epoch(2038, 1, 1)):
        checked += 1
        around = WorkPlan(zone, daily(time(0), time(0)))
        assert open_stretches(around, at - DAY, at + DAY) == [(at - DAY, at + DAY)]
        jump = abs(offset(zone, at) - offset(zone, at - 1))
        if jump % 900 or at % 900 or jump > 12 * 3600:
            continue  # off-beat, or a whole day left out: the line above is all there is to say
        grid = range(at - jump - 7200, at + jump + 7200, 900)
        walls = [wall_minutes(zone, t) for t in grid]
        once = [walls.count(wall) == 1 for wall in walls]
        repeated = {wall for wall, alone in zip(walls, once, strict=True) if not alone}
        begin = (wall_minutes(zone, at) // 30 * 30 - 30) % 1440
        for shift in (0, 15, 45):
            start, end = (begin + shift) % 1440, (begin + shift + 75) % 1440
            plan = WorkPlan(zone, daily(time(*divmod(start, 60)), time(*divmod(end, 60))))
            starts = free_starts(plan, Rules(duration=900, step=900), (), grid.start, grid.stop)
            assert len(set(starts)) == len(starts)
            assert starts == sorted(starts)
            inside = {
                t: alone
                for t, wall, alone in zip(grid, walls, once, strict=True)
                if (wall - start) % 1440 < (end - start) % 1440
            }
            assert inside.keys() >= set(starts)
            if start not in repeated:
                assert set(starts) >= {t for t, alone in inside.items() if alone}, (zone.key, at)
    assert checked > 2000


@st.composite
def calendars(draw: st.DrawFn) -> tuple[WorkPlan, Rules, list[tuple[int, int]], int, int, int]:
    zone = draw(st.sampled_from(["UTC", "Asia/Kathmandu", "America/Phoenix"]))
    hour = st.integers(0, 23).map(lambda h: time(h))
    weekly = draw(
        st.lists(st.builds(WeeklyHours, st.integers(0, 6), hour, hour), min_size=1, max_size=8)
    )
    base = epoch(2027, 3, 8)
    days = st.integers(0, 6).map(lambda d: date(2027, 3, 8) + timedelta(d))
    exceptions = draw(
        st.lists(
            st.one_of(
                st.builds(DayException, days, st.booleans()),
                st.builds(DayException, days, st.booleans(), hour, hour),
            ),
            max_size=3,
        )
    )
    quarter = st.integers(0, 8).map(lambda n: n * 600)
    rules = Rules(
        duration=draw(st.integers(1, 9)) * 600,
        step=draw(st.integers(1, 6)) * 600,
        before=draw(quarter),
        after=draw(quarter),
        notice=draw(quarter),
        horizon=draw(st.one_of(st.none(), st.integers(0, 5 * DAY))),
    )
    begin = st.integers(0, 7 * 144).map(lambda n: base + n * 600)
    busy = draw(st.lists(st.tuples(begin, st.integers(1, 300).map(lambda n: n * 60)), max_size=12))
    start = draw(begin)
    end = start + draw(st.integers(1, 3 * 144)) * 600
    now = draw(begin)
    plan = WorkPlan(ZoneInfo(zone), tuple(weekly), tuple(exceptions))
    return plan, rules, [(b, b + length) for b, length in busy], start, end, now


@given(calendars())
@settings(max_examples=150, deadline=None)
def test_against_a_reckoning_by_ten_minutes(
    calendar: tuple[WorkPlan, Rules, list[tuple[int, int]], int, int, int],
) -> None:
    """Where clocks never change, free starts are those that a loop over all of time finds."""
    plan, rules, busy, start, end, now = calendar
    shift = offset(plan.zone, start)
    tick = 600 if shift % 600 == 0 else 300

    def spans(low: time | None, high: time | None) -> tuple[int, int]:
        if low is None or high is None:
            return 0, DAY
        first, last = low.hour * 3600, high.hour * 3600
        return first, last if last > first else last + DAY

    open_at: dict[int, bool] = {}
    anchors: set[int] = set()  # (anchor, low, high) of every shift, to know the grids
    rows: list[tuple[int, int]] = []
    closed: list[tuple[int, int]] = []
    extra: list[tuple[int, int]] = []
    for number in range(-2, 12):
        day = date(2027, 3, 8) + timedelta(number)
        midnight = int(datetime.combine(day, time(), UTC).timestamp()) - shift
        for hours in plan.weekly:
            if hours.weekday == day.weekday():
                low, high = spans(hours.start, hours.end)
                rows.append((midnight + low, midnight + high))
        for exception in plan.exceptions:
            if exception.day == day:
                low, high = spans(exception.start, exception.end)
                (extra if exception.open else closed).append((midnight + low, midnight + high))

    def is_open(t: int) -> bool:
        if t not in open_at:
            shut = any(a <= t < b for a, b in closed)
            open_at[t] = any(a <= t < b for a, b in extra) or (
                not shut and any(a <= t < b for a, b in rows)
            )
        return open_at[t]

    anchors = {a for a, _ in rows + extra}
    found = free_starts(plan, rules, busy, start, end, now=now)
    assert found == sorted(set(found))

    def fits(s: int) -> bool:
        if not start <= s < end or s < now + rules.notice:
            return False
        if rules.horizon is not None and s > now + rules.horizon:
            return False
        if not all(is_open(t) for t in range(s, s + rules.duration, tick)):
            return False
        low, high = s - rules.before, s + rules.duration + rules.after
        return not any(a < high and b > low for a, b in busy)

    for s in found:
        assert fits(s)
        assert any((s - a) % rules.step == 0 and a <= s for a in anchors)
    # Complete wherever one shift's grid is the only one that can apply.
    for a, b in rows:
        alone = [r for r in {*rows, *extra} if r != (a, b) and r[0] < b and r[1] > a]
        if not alone:
            for s in range(a, b, rules.step):
                if fits(s):
                    assert s in found


def test_the_grid_does_not_depend_on_the_window() -> None:
    """A position has one id whatever window it was found in, also where the clinic never closes."""
    plan = WorkPlan(ZoneInfo("America/New_York"), daily(time(0), time(0)))
    rules = Rules(duration=7 * 600, step=7 * 600)
    whole = free_starts(plan, rules, (), epoch(2027, 3, 10), epoch(2027, 3, 20))
    for start in range(epoch(2027, 3, 11), epoch(2027, 3, 16), 5 * 3600):
        part = free_starts(plan, rules, (), start, start + DAY)
        assert part == [s for s in whole if start <= s < start + DAY]


def test_a_visit_may_cross_from_one_shift_into_the_next() -> None:
    plan = WorkPlan(
        ZoneInfo("UTC"), (WeeklyHours(0, time(9), time(12)), WeeklyHours(0, time(12), time(13)))
    )
    rules = Rules(duration=5400, step=3600)
    found = free_starts(plan, rules, (), epoch(2027, 3, 8), epoch(2027, 3, 9))
    assert shown(found, "UTC") == ["08 09:00+0000", "08 10:00+0000", "08 11:00+0000"]


def test_long_busy_time_under_many_short_ones() -> None:
    plan = WorkPlan(ZoneInfo("UTC"), daily(time(9), time(11)))
    monday = epoch(2027, 3, 8)
    away = (monday, monday + 3 * DAY)
    short = [(monday + 9 * 3600 + n * DAY, monday + 10 * 3600 + n * DAY) for n in range(4)]
    found = free_starts(plan, Rules(3600, 3600), [*short, away], monday, monday + 4 * DAY)
    assert shown(found, "UTC") == ["11 10:00+0000"]


def test_buffers_may_lie_outside_the_hours_but_not_in_busy_time() -> None:
    plan = WorkPlan(ZoneInfo("UTC"), daily(time(9), time(11)))
    low = epoch(2027, 3, 8, 9)
    rules = Rules(duration=1800, step=1800, before=600, after=600)
    assert free_starts(plan, rules, (), low, low + 7200) == [low + n * 1800 for n in range(4)]
    assert free_starts(plan, rules, [(low - 900, low - 599)], low, low + 1) == []
    assert free_starts(plan, rules, [(low - 900, low - 600)], low, low + 1) == [low]
    assert free_starts(plan, rules, [(low + 2400, low + 2500)], low, low + 1) == [low]
    assert free_starts(plan, rules, [(low + 2399, low + 2500)], low, low + 1) == []


def test_hours_hold_from_and_until_their_dates() -> None:
    hours = tuple(
        WeeklyHours(d, time(9), time(10), date(2027, 3, 9), date(2027, 3, 10)) for d in range(7)
    )
    plan = WorkPlan(ZoneInfo("UTC"), hours)
    found = free_starts(plan, Rules(3600), (), epoch(2027, 3, 1), epoch(2027, 4, 1))
    assert shown(found, "UTC") == ["09 09:00+0000", "10 09:00+0000"]


def test_the_grid_goes_on_behind_a_closure() -> None:
    plan = WorkPlan(
        ZoneInfo("UTC"),
        daily(time(9), time(15)),
        (DayException(date(2027, 3, 8), start=time(12), end=time(12, 50)),),
    )
    found = free_starts(plan, Rules(3600, 3600), (), epoch(2027, 3, 8), epoch(2027, 3, 9))
    assert [text[3:8] for text in shown(found, "UTC")] == [
        "09:00",
        "10:00",
        "11:00",
        "13:00",
        "14:00",
    ]


def test_special_hours_replace_a_closed_day() -> None:
    day = date(2027, 12, 24)
    plan = WorkPlan(
        ZoneInfo("UTC"),
        daily(time(9), time(17)),
        (DayException(day), DayException(day, True, time(10), time(12))),
    )
    assert open_stretches(plan, epoch(2027, 12, 24), epoch(2027, 12, 25)) == [
        (epoch(2027, 12, 24, 10), epoch(2027, 12, 24, 12))
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: WeeklyHours(7, time(9), time(17)),
        lambda: WeeklyHours(0, time(9, tzinfo=UTC), time(17)),
        lambda: DayException(date(2027, 1, 1), start=time(9)),
        lambda: Rules(duration=0),
        lambda: Rules(duration=60, before=-1),
    ],
)
def test_nonsense_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        wrong()  # type: ignore[operator]
