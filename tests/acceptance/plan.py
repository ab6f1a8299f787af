"""What a practice in these tests looks like, and which slots it therefore has.

The slots are worked out by walking through every quarter of an hour of UTC and asking what a clock
on the wall shows: slow, obvious, and nothing of the availability engine in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from openslot import ContactPoint, ContactSystem, HumanName, Patient, Window

NOW = datetime(2027, 1, 4, 12, tzinfo=UTC)
"""When every target's clock starts: all of 2027 lies ahead, on whatever day the tests run."""

QUARTER = timedelta(minutes=15)
LAST = 24 * 60


def _minutes(at: time, *, closing: bool = False) -> int:
    minutes = at.hour * 60 + at.minute
    return LAST if closing and minutes == 0 else minutes


def person(family: str, given: str, born: date, phone: str = "") -> Patient:
    """Somebody who does not exist."""
    telecom = (ContactPoint(ContactSystem.PHONE, phone),) if phone else ()
    return Patient(name=HumanName(family, (given,)), birth_date=born, telecom=telecom)


PEOPLE = (
    person("Vasko", "Ilmari", date(1990, 2, 3), "+1 212 555 0101"),
    person("Tremblo", "Mia", date(1984, 6, 5), "+1 212 555 0102"),
    person("Tremblo", "Lea", date(1984, 6, 5), "+1 212 555 0103"),
)
"""`pat-1`, and two of one family name and birth date, `pat-2` and `pat-3`."""


@dataclass(frozen=True)
class Plan:
    """A practice: who works when, on which dates, in which zone; patients: pat-1, ..."""

    zone: str = "America/New_York"
    practitioners: tuple[str, ...] = ("dr-1", "dr-2")
    first: date = date(2027, 3, 1)
    days: int = 2
    hours: tuple[tuple[time, time], ...] = ((time(9), time(12)),)
    minutes: int = 30
    patients: tuple[Patient, ...] = field(default=PEOPLE)

    @property
    def window(self) -> Window:
        """All of it, with a day to spare on both sides."""
        start = datetime.combine(self.first, time(), UTC) - timedelta(days=1)
        return Window(start, start + timedelta(days=self.days + 2))

    @property
    def dates(self) -> tuple[date, ...]:
        """The dates on which somebody works."""
        return tuple(self.first + timedelta(days=n) for n in range(self.days))

    def starts(self) -> Iterator[datetime]:
        """When a visit can start, with the offset that is then in force in the zone."""
        zone = ZoneInfo(self.zone)
        at, end = self.window.start, self.window.end
        while at < end:
            wall = at.astimezone(zone)
            if wall.date() in self.dates and any(
                self._fits(wall, open_at, close_at) for open_at, close_at in self.hours
            ):
                yield wall
            at += QUARTER

    def _fits(self, wall: datetime, open_at: time, close_at: time) -> bool:
        since = _minutes(wall.timetz()) - _minutes(open_at)
        left = _minutes(close_at, closing=True) - _minutes(wall.timetz())
        return since >= 0 and since % self.minutes == 0 and left >= self.minutes

    @property
    def expected(self) -> set[tuple[str, datetime]]:
        """Every slot there is, as practitioner and start."""
        starts = [at.astimezone(UTC) for at in self.starts()]
        return {(who, at) for who in self.practitioners for at in starts}
