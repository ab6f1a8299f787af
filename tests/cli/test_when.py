"""What people type as times, and the instants it means."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openslot.cli.when import first_instant, window

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 5, 17, 0, tzinfo=UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        (None, None, "2026-03-05T17:00Z", "2026-03-12T17:00Z"),
        ("now", "today", "2026-03-05T17:00Z", "2026-03-06T05:00Z"),
        ("2026-03-08", "2026-03-08", "2026-03-08T05:00Z", "2026-03-09T04:00Z"),  # 23 hours
        ("2026-11-01", "2026-11-01", "2026-11-01T04:00Z", "2026-11-02T05:00Z"),  # 25 hours
        ("tomorrow", "tomorrow", "2026-03-06T05:00Z", "2026-03-07T05:00Z"),
        ("2026-03-09T09:00", "2026-03-09 10:30", "2026-03-09T13:00Z", "2026-03-09T14:30Z"),
        ("2026-11-01T01:30-05:00", "2026-11-01T07:00Z", "2026-11-01T06:30Z", "2026-11-01T07:00Z"),
    ],
)
def test_windows(since: str | None, until: str | None, start: str, end: str) -> None:
    found = window(since, until, NEW_YORK, NOW)
    assert (found.start.astimezone(UTC), found.end.astimezone(UTC)) == (utc(start), utc(end))


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("2026-03-08T02:30", None, "no such local time"),
        ("2026-11-01T01:30", None, "write it with one"),
        ("next week", None, "is no date or time"),
        ("2026-02-30", None, "is no date or time"),
        ("9999-12-28", None, "out of reach"),
        ("now", "9999-12-31", "is no date or time"),
        ("tomorrow", "today", "must be later"),
    ],
)
def test_what_is_no_time_is_said_in_a_sentence(since: str, until: str | None, said: str) -> None:
    with pytest.raises(click.BadParameter, match=said):
        window(since, until, NEW_YORK, NOW)


@pytest.mark.parametrize(
    ("zone", "day", "first"),
    [
        ("America/Santiago", date(2026, 9, 6), "2026-09-06T04:00Z"),  # clocks skip midnight
        ("America/Havana", date(2026, 11, 1), "2026-11-01T04:00Z"),  # midnight comes twice
        ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00Z"),  # a day that never was
        ("Australia/Lord_Howe", date(2026, 10, 4), "2026-10-03T13:30Z"),
    ],
)
def test_days_begin_where_the_zone_lets_them(zone: str, day: date, first: str) -> None:
    assert first_instant(day, ZoneInfo(zone)).astimezone(UTC) == utc(first)


@settings(deadline=None)  # the first look into a zone reads its file
@given(
    st.sampled_from(sorted(available_timezones())),
    st.dates(min_value=date(1975, 1, 1), max_value=date(2037, 1, 1)),
)
def test_no_instant_before_it_is_of_that_day(name: str, day: date) -> None:
    zone = ZoneInfo(name)
    first = first_instant(day, zone).astimezone(UTC)
    assert first.astimezone(zone).date() >= day
    before = (first - timedelta(seconds=1)).astimezone(zone)
    assert before.date() < day or before.replace(tzinfo=None) > first.astimezone(zone).replace(
        tzinfo=None
    )
