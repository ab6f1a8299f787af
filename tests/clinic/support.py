"""A clock that tests turn, and a clinic small enough to reckon by hand."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from openslot.clinic import Clinic, Manners, VisitType, WeeklyHours, opening_id
from openslot.model import HumanName as Name
from openslot.model import Location, Patient, Practitioner, Resource, ResourceKind, VisitMode

MONDAY = datetime(2027, 3, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Clock:
    """Stands still until a test turns it."""

    def __init__(self, now: datetime = MONDAY) -> None:
        self.at = now

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def at(hour: int, minute: int = 0, day: int = 8) -> datetime:
    return datetime(2027, 3, day, hour, minute, tzinfo=UTC)


def slot(hour: int, minute: int = 0, *, day: int = 8, kind: str = "visit", who: str = "ann") -> str:
    return opening_id(who, "main", kind, at(hour, minute, day))


def small_clinic(
    path: str | Path = ":memory:",
    *,
    clock: Clock | None = None,
    manners: Manners | None = None,
) -> Clinic:
    """Ann and Bea, nine to five on weekdays in UTC, one room; two patients, Zed and Yen."""
    clinic = Clinic(path, clock=clock or Clock(), manners=manners)
    with clinic.transaction():
        if clinic.locations():
            return clinic
        clinic.add_location(Location("main", "Main", "UTC"))
        clinic.add_resource(Resource(ResourceKind.ROOM, "room", "Room"), location="main")
        for id in ("ann", "bea"):
            clinic.add_practitioner(Practitioner(id, f"Dr. {id.title()}"))
            weekly = tuple(WeeklyHours(day, time(9), time(17)) for day in range(5))
            clinic.set_hours(id, "main", weekly)
        both = (VisitMode.IN_PERSON, VisitMode.VIDEO)
        clinic.add_type(VisitType("visit", "Visit", 30 * MINUTE, horizon=timedelta(days=30)))
        clinic.add_type(
            VisitType("padded", "Padded", 30 * MINUTE, before=10 * MINUTE, after=5 * MINUTE)
        )
        clinic.add_type(VisitType("soon", "With notice", 30 * MINUTE, notice=timedelta(hours=2)))
        clinic.add_type(
            VisitType("roomed", "In the room", 30 * MINUTE, needs=(("room",),), visit_modes=both)
        )
        clinic.add_type(VisitType("group", "Class", 60 * MINUTE, step=60 * MINUTE, capacity=3))
        clinic.create_patient(Patient(name=Name("Zedroxa", ("Zed",))))
        clinic.create_patient(Patient(name=Name("Yentruva", ("Yen",))))
    return clinic
