"""A made-up clinic for demonstrations and tests: the same seed makes the same clinic.

Nobody in it exists: names are strings of syllables, telephone numbers lie in 555-0100 to 555-0199,
which are set aside for fiction, and mail addresses under example.org (set aside by RFC 2606).
"""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from openslot.clinic.availability import (
    DayException,
    WeeklyHours,
    free_starts,
    open_stretches,
)
from openslot.clinic.clinic import Clinic
from openslot.clinic.openings import rules_of
from openslot.clinic.records import Manners, VisitType
from openslot.clock import Clock
from openslot.errors import Rejected, SlotTaken
from openslot.model import (
    Address,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Location,
    Patient,
    Practitioner,
    Reason,
    Resource,
    ResourceKind,
    VisitMode,
)

__all__ = ["fill", "synthetic_clinic", "synthetic_names"]

_ONSETS = ("b", "br", "d", "dr", "f", "g", "gl", "k", "l", "m", "n", "p", "pr", "s", "t", "v", "z")
_VOWELS = ("a", "e", "i", "o", "u", "ai", "io", "ea")
_CODAS = ("", "", "", "l", "n", "r", "s", "x")
_SPECIALTIES = ("family medicine", "paediatrics", "dermatology", "internal medicine")


def synthetic_clinic(
    path: str | Path = ":memory:",
    *,
    seed: int = 1,
    zone: str = "America/New_York",
    practitioners: int = 3,
    patients: int = 50,
    days: int = 14,
    start: date | None = None,
    clock: Clock | None = None,
    manners: Manners | None = None,
    hold_for: timedelta = timedelta(minutes=5),
) -> Clinic:
    """Open a clinic and fill it, unless somebody has (also another process, at the same time).

    `days` from `start` (default: the clinic's today) hold appointments, about a third of what fits.
    Ids: location `main`; practitioners `dr-1`, `dr-2`...; rooms `room-1`...; types `new` (new
    patients, 30 min), `follow-up` (existing, 15 min), `video` (by video, 20 min, needs no room),
    `procedure` (60 min with buffers, not bookable online); patients `pat-1`...
    """
    clinic = Clinic(path, clock=clock, manners=manners, hold_for=hold_for)
    try:
        fill(
            clinic,
            seed=seed,
            zone=zone,
            practitioners=practitioners,
            patients=patients,
            days=days,
            start=start,
        )
    except BaseException:
        clinic.close()
        raise
    return clinic


def fill(
    clinic: Clinic,
    *,
    seed: int = 1,
    zone: str = "America/New_York",
    practitioners: int = 3,
    patients: int = 50,
    days: int = 14,
    start: date | None = None,
) -> None:
    """Fill an empty clinic with invented people; one that has a location is left alone."""
    rng = random.Random(seed)  # noqa: S311 (reproducible, not secret)
    with clinic.transaction():
        if clinic.locations():
            return
        _set_up(clinic, rng, zone, practitioners)
        names = _names(rng, patients)
        for number in range(1, patients + 1):
            clinic.create_patient(_person(rng, names[number - 1], number))
        first = start or clinic.clock.now().astimezone(ZoneInfo(zone)).date()
        if patients and days:
            _appointments(clinic, rng, first, days, patients)


def synthetic_names(
    seed: int = 1, *, practitioners: int = 3, patients: int = 50
) -> tuple[str, ...]:
    """The names, given and family, of everybody whom a clinic of this seed is filled with."""
    rng = random.Random(seed)  # noqa: S311 (reproducible, not secret)
    return (*_names(rng, practitioners), *_names(rng, patients))


def _set_up(clinic: Clinic, rng: random.Random, zone: str, practitioners: int) -> None:
    clinic.add_location(
        Location(
            "main",
            "Sample Clinic",
            zone,
            Address(("1 Example Street",), "Sampleton"),
            (ContactPoint(ContactSystem.PHONE, "+1 212 555 0100"),),
        )
    )
    rooms = tuple(f"room-{number}" for number in range(1, max(practitioners, 1) + 1))
    for number, room in enumerate(rooms, 1):
        clinic.add_resource(Resource(ResourceKind.ROOM, room, f"Room {number}"), location="main")
    people = tuple(f"dr-{number}" for number in range(1, practitioners + 1))
    for number, (id, name) in enumerate(zip(people, _names(rng, practitioners), strict=True)):
        specialty = _SPECIALTIES[number % len(_SPECIALTIES)]
        clinic.add_practitioner(Practitioner(id, f"Dr. {name}", specialties=(specialty,)))
        begin = time(8 + number % 2)
        morning = [WeeklyHours(day, begin, time(12)) for day in range(5)]
        afternoon = [WeeklyHours(day, time(13), time(17)) for day in range(5)]
        clinic.set_hours(id, "main", (*morning, *afternoon))
    minute = timedelta(minutes=1)
    for visit_type in (
        VisitType(
            "new",
            "New patient, 30 min",
            30 * minute,
            notice=60 * minute,
            horizon=timedelta(days=180),
            existing_patients=False,
            needs=(rooms,),
        ),
        VisitType(
            "follow-up",
            "Follow-up, 15 min",
            15 * minute,
            notice=30 * minute,
            horizon=timedelta(days=180),
            new_patients=False,
            needs=(rooms,),
        ),
        VisitType(
            "video",
            "Video visit, 20 min",
            20 * minute,
            step=10 * minute,
            horizon=timedelta(days=90),
            visit_modes=(VisitMode.VIDEO,),
        ),
        VisitType(
            "procedure",
            "Minor procedure, 60 min",
            60 * minute,
            step=30 * minute,
            before=10 * minute,
            after=10 * minute,
            needs=(rooms,),
            bookable_online=False,
        ),
    ):
        clinic.add_type(visit_type)
    for reason in (
        Reason("checkup", "Check-up"),
        Reason("pain", "Pain or discomfort"),
        Reason("results", "Results and questions"),
        Reason("recovered", "Feels better", "cancellation"),
        Reason("conflict", "Cannot come at that time", "cancellation"),
        Reason("other", "Other reason", "cancellation"),
    ):
        clinic.add_reason(reason)


def _appointments(
    clinic: Clinic, rng: random.Random, first: date, days: int, patients: int
) -> None:
    """About a third of what fits, as the front desk would have booked it, some of it cancelled."""
    closed = first + timedelta(days=rng.randrange(days))
    clinic.add_exception(DayException(closed, start=time(15), end=time(17)), location="main")
    kinds = [clinic.type(id) for id in ("new", "follow-up", "follow-up", "video")]
    for schedule in clinic.schedules():
        plan = clinic.plan(schedule)
        begin = int(datetime.combine(first, time(), plan.zone).timestamp())
        for midnight in range(begin, begin + days * 86_400, 86_400):
            for low, high in open_stretches(plan, midnight, midnight + 86_400):
                for _ in range((high - low) // 3600):
                    kind = rng.choice(kinds)
                    starts = free_starts(plan, rules_of(kind), (), low, high)
                    at, patient = rng.choice(starts), rng.randint(1, patients)
                    opening = f"{schedule.id}.{kind.id}.{at}"
                    _book(clinic, rng, opening, f"pat-{patient}")


def _book(clinic: Clinic, rng: random.Random, opening: str, patient: str) -> None:
    reason, cancelled = rng.choice(("checkup", "pain", "results")), rng.random() < 1 / 12
    try:
        appointment = clinic.book(opening, patient, reason=reason, staff=True)
    except (SlotTaken, Rejected):
        return  # the dice chose a time that is spoken for, or a patient who is elsewhere
    if cancelled:
        clinic.cancel(appointment.id, reason="conflict")


def _person(rng: random.Random, name: str, number: int) -> Patient:
    given, family = name.split(" ")
    return Patient(
        name=HumanName(family, (given,)),
        birth_date=date(1935, 1, 1) + timedelta(days=rng.randrange(31_000)),
        gender=rng.choice((Gender.FEMALE, Gender.MALE, Gender.OTHER, Gender.UNKNOWN)),
        telecom=(
            ContactPoint(ContactSystem.PHONE, f"+1 212 555 {100 + number % 100:04d}", "mobile"),
            ContactPoint(ContactSystem.EMAIL, f"{given}.{family}@example.org".lower()),
        ),
    )


def _names(rng: random.Random, count: int) -> list[str]:
    """So many different names, given and family, made of syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        found[f"{_word(rng, 2)} {_word(rng, 3)}"] = None
    return list(found)


def _word(rng: random.Random, syllables: int) -> str:
    return "".join(
        rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(syllables)
    ).capitalize()
