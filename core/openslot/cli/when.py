"""Dates and times as people type them, made instants in the practice's zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

import click

from openslot.model import AmbiguousTime, NonexistentTime, Window, place

__all__ = ["first_instant", "window"]

DEFAULT_SPAN = timedelta(days=7)


def window(since: str | None, until: str | None, zone: tzinfo, now: datetime) -> Window:
    """The window that `--from` and `--to` mean: now, and seven days, where they are not given.

    A date, `today` and `tomorrow` mean the whole day, also as `--to`. A time without an offset is
    shown by a clock in `zone`. Raises BadParameter with one sentence.
    """
    start = _instant("--from", since, zone, now, ends=False) if since else now
    try:
        end = _instant("--to", until, zone, now, ends=True) if until else start + DEFAULT_SPAN
    except OverflowError:
        raise click.BadParameter("it is out of reach", param_hint="--from") from None
    if end <= start:
        raise click.BadParameter("it must be later than --from", param_hint="--to")
    return Window(start, end)


def _instant(option: str, text: str, zone: tzinfo, now: datetime, *, ends: bool) -> datetime:
    local = now.astimezone(zone).date()
    words = {"today": local, "tomorrow": local + timedelta(days=1)}
    text = text.strip()
    if text.lower() == "now":
        return now
    day = words.get(text.lower()) or _date(text)
    try:
        if day is not None:
            return first_instant(day + timedelta(days=1) if ends else day, zone)
        value = datetime.fromisoformat(text)
        return value if value.tzinfo is not None else place(value, zone)
    except AmbiguousTime as error:
        said = f"{error}; write it with one, like 2026-11-01T01:30-04:00"
    except NonexistentTime as error:
        said = str(error)
    except (ValueError, OverflowError):
        said = f"{text!r} is no date or time; write 2026-08-04, 2026-08-04T09:00 or today"
    raise click.BadParameter(said, param_hint=option)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def first_instant(day: date, zone: tzinfo) -> datetime:
    """The first instant whose local date in `zone` is `day` or later.

    Midnight, nearly always; some zones change their clocks at midnight, and one has skipped a day.
    """
    midnight = datetime.combine(day, time())
    try:
        return place(midnight, zone)
    except AmbiguousTime:
        return midnight.replace(tzinfo=zone, fold=0)
    except NonexistentTime:
        # The transition lies between what the two offsets around it make of midnight.
        low, high = sorted(
            int(midnight.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (0, 1)
        )
    low -= 1
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, UTC).astimezone(zone).date() < day:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC).astimezone(zone)
