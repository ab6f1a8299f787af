"""Law 2, over every IANA zone and its transitions."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openslot import Appointment, AppointmentStatus, Slot
from openslot.model import AmbiguousTime, NonexistentTime, Window, parse_instant, place
from openslot.model.time import zone_named

HOUR = timedelta(hours=1)
BOOKED = AppointmentStatus.BOOKED


def transitions(zone: ZoneInfo, year: int) -> list[datetime]:
    """The instants at which the offset changes, found by bisection between the days."""
    found = []
    at = datetime(year, 1, 1, tzinfo=UTC)
    while at.year == year:
        low, high = at, at + timedelta(days=1)
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                same = middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at += timedelta(days=1)
    return found


@pytest.mark.parametrize("zone_name", sorted(available_timezones()))
def test_wall_times_around_every_transition(zone_name: str) -> None:
    zone = ZoneInfo(zone_name)
    for moment in transitions(zone, 2027):
        before = (moment - timedelta(seconds=1)).astimezone(zone)
        after = moment.astimezone(zone)
        jump = after.utcoffset() - before.utcoffset()  # type: ignore[operator]
        wall = before.replace(tzinfo=None, fold=0) + timedelta(seconds=1)
        if jump > timedelta(0):
            with pytest.raises(NonexistentTime):
                place(wall + jump / 2, zone)
            assert place(wall + jump, zone) == moment
        elif jump < timedelta(0):
            twice = wall + jump / 2
            with pytest.raises(AmbiguousTime):
                place(twice, zone)
            first = place(twice, zone, offset=before.utcoffset())
            second = place(twice, zone, offset=after.utcoffset())
            assert second.astimezone(UTC) - first.astimezone(UTC) == -jump
            with pytest.raises(AmbiguousTime):
                place(twice, zone, offset=timedelta(hours=13, minutes=37))


@given(
    wall=st.datetimes(
        min_value=datetime(1990, 1, 1),  # noqa: DTZ001
        max_value=datetime(2037, 12, 31),  # noqa: DTZ001
    ),
    zone=st.sampled_from(sorted(available_timezones())).map(ZoneInfo),
)
def test_a_placed_time_shows_the_wall_it_was_placed_at(wall: datetime, zone: ZoneInfo) -> None:
    try:
        placed = place(wall, zone)
    except (NonexistentTime, AmbiguousTime):
        return
    there = placed.astimezone(UTC).astimezone(zone)
    assert there.replace(tzinfo=None, fold=0) == wall


@pytest.mark.parametrize(
    "text", ["2027-03-01", "2027-03-01T09:00:00", "09:00", "", "2027-13-01T00:00:00Z"]
)
def test_an_instant_needs_date_time_and_offset(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_instant(text)


def test_an_instant_is_read_with_any_offset() -> None:
    assert parse_instant("2027-03-01T09:00:00Z") == datetime(2027, 3, 1, 9, tzinfo=UTC)
    assert parse_instant("2027-03-01T09:00:00.000+05:45") == datetime(2027, 3, 1, 3, 15, tzinfo=UTC)


@given(hours=st.integers(1, 24 * 400), piece=st.integers(1, 24 * 31))
def test_a_window_splits_into_adjoining_pieces(hours: int, piece: int) -> None:
    start = datetime(2027, 3, 1, tzinfo=ZoneInfo("America/New_York"))
    window = Window(start, (start.astimezone(UTC) + hours * HOUR).astimezone(start.tzinfo))
    pieces = list(window.split(piece * HOUR))
    assert pieces[0].start == window.start
    assert pieces[-1].end == window.end
    assert all(a.end == b.start for a, b in itertools.pairwise(pieces))
    assert max(p.length for p in pieces) <= piece * HOUR
    assert sum((p.length for p in pieces), timedelta(0)) == hours * HOUR


def test_an_unknown_zone_is_an_error() -> None:
    for name in ("Mars/Olympus", "../etc/passwd", ""):
        with pytest.raises(ValueError, match="IANA"):
            zone_named(name)


NEW_YORK = ZoneInfo("America/New_York")
SECOND_ONE = datetime(2027, 11, 7, 1, 0, tzinfo=NEW_YORK, fold=1)
HALF_PAST_FIRST = datetime(2027, 11, 7, 1, 30, tzinfo=NEW_YORK)


@pytest.mark.parametrize("make", [Window, Slot, lambda s, e: Appointment("1", BOOKED, s, e)])
def test_values_compare_as_instants_also_where_a_clock_goes_back(make: Any) -> None:
    visit = make(HALF_PAST_FIRST, SECOND_ONE)  # half an hour, although the clock says less
    assert visit.end - visit.start == timedelta(minutes=30)
    assert (visit.start.utcoffset(), visit.end.utcoffset()) == (-4 * HOUR, -5 * HOUR)
    first = make(HALF_PAST_FIRST - HOUR / 2, HALF_PAST_FIRST)
    assert first.start != visit.end, "one o'clock is not the other one o'clock"
    with pytest.raises(ValueError, match="after"):
        make(SECOND_ONE, HALF_PAST_FIRST)
    window = Window(HALF_PAST_FIRST, SECOND_ONE)
    assert window.contains(visit.start)
    assert not window.contains(SECOND_ONE)
    assert not window.overlaps(SECOND_ONE, SECOND_ONE + HOUR)
