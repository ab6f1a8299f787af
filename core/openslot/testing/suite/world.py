"""The clinic that every check starts from: small, the same each time, and entirely made up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from openslot.clinic import Clinic, VisitType, WeeklyHours
from openslot.model import (
    Address,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Location,
    Patient,
    PatientQuery,
    Practitioner,
    Reason,
    Window,
)

__all__ = ["CANARY", "NEW_CANARY", "NOW", "PEOPLE", "World", "leaks", "named", "populate", "week"]

NOW = datetime(2027, 3, 8, 11, 0, tzinfo=UTC)
"""A Monday morning, before anybody is at work, in the week before New York's clocks go forward."""

CANARY = Patient(
    name=HumanName("Qanaryfam", ("Qanarygiv",)),
    birth_date=date(1907, 3, 5),
    gender=Gender.OTHER,
    telecom=(
        ContactPoint(ContactSystem.PHONE, "+1 212 555 0147", "mobile"),
        ContactPoint(ContactSystem.EMAIL, "qanary.mail@example.org"),
    ),
    address=Address(("17 Qanarystreet",), "Qanarytown"),
)
"""A person every field of whom can be recognised wherever it turns up."""

NEW_CANARY = Patient(
    name=HumanName("Qanarynew", ("Qanaryfirst",)),
    birth_date=date(1907, 4, 6),
    gender=Gender.UNKNOWN,
    telecom=(
        ContactPoint(ContactSystem.PHONE, "+1 212 555 0148", "mobile"),
        ContactPoint(ContactSystem.EMAIL, "qanary.next@example.org"),
    ),
)
"""Such a person whom the practice does not know yet."""

COMMENT = "Qanarycomment about what hurts"
"""What a patient said, as recognisable."""

_MARKERS = re.compile(
    r"qanary[a-z.]*|1907.?0[34].?0[56]|0[56].0[34].1907|555.?014[78]", re.IGNORECASE
)


def leaks(text: str) -> list[str]:
    """The canaries' marks in a text."""
    return sorted(set(_MARKERS.findall(text)))


def named(person: Patient) -> PatientQuery:
    """A search by name and birth date."""
    assert person.name is not None
    return PatientQuery(
        family=person.name.family, given=person.name.given[0], birth_date=person.birth_date
    )


@dataclass(frozen=True, slots=True)
class World:
    """Who and what there is, by the clinic's ids.

    `dr-1` and `dr-2` work on weekdays at `main`, 9 to 12, and `dr-1` also 13 to 17; `dr-3` works
    through the night from Saturday to Sunday, 22 to 6, at `east`, so that clocks change during
    working hours. `visit` lasts 30 minutes, `long` an hour and is for `dr-1` alone.
    """

    patients: tuple[str, ...]
    canary: str
    main: str = "main"
    east: str = "east"
    doctors: tuple[str, ...] = ("dr-1", "dr-2", "dr-3")
    visit: str = "visit"
    long: str = "long"


def populate(clinic: Clinic, zone: str) -> World:
    """Fill an empty clinic."""
    with clinic.transaction():
        for place in ("main", "east"):
            clinic.add_location(Location(place, f"Clinic {place}", zone))
        for doctor, name in (("dr-1", "Dr. One"), ("dr-2", "Dr. Two"), ("dr-3", "Dr. Three")):
            clinic.add_practitioner(Practitioner(doctor, name))
        mornings = [WeeklyHours(day, time(9), time(12)) for day in range(5)]
        afternoons = [WeeklyHours(day, time(13), time(17)) for day in range(5)]
        clinic.set_hours("dr-1", "main", (*mornings, *afternoons))
        clinic.set_hours("dr-2", "main", tuple(mornings))
        clinic.set_hours("dr-3", "east", (WeeklyHours(5, time(22), time(6)),))
        half = timedelta(minutes=30)
        clinic.add_type(VisitType("visit", "Visit, 30 min", half, step=half, notice=half))
        clinic.add_type(
            VisitType(
                "long", "Long visit, 60 min", half * 2, step=half * 2, practitioners=("dr-1",)
            )
        )
        clinic.add_reason(Reason("other", "Other reason", "cancellation"))
        patients = tuple(str(clinic.create_patient(person).id) for person in PEOPLE)
        canary = str(clinic.create_patient(CANARY).id)
    return World(patients, canary)


def _person(number: int, family: str) -> Patient:
    return Patient(
        name=HumanName(family, ("Sample",)),
        birth_date=date(1980, 1, 10 + number),
        telecom=(ContactPoint(ContactSystem.PHONE, f"+1 212 555 010{number}", "mobile"),),
    )


PEOPLE = tuple(
    _person(number, name)
    for number, name in enumerate(("Adalo", "Brinto", "Celuma", "Dorive", "Elkano"))
)
"""The patients of the checks."""


def week(days: int = 5) -> Window:
    """The first days from the clinic's today on."""
    return Window(NOW, NOW + timedelta(days=days))
