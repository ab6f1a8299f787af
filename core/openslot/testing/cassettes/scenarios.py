"""The sessions that are recorded: scripts over the verbs, the same for every connector.

A session asks for nothing that it did not learn from the practice or from its options, makes its
own patients from the synthetic people of its seed, and tells in one line what each step came to.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from openslot.clinic.synthetic import synthetic_names
from openslot.errors import OpenSlotError
from openslot.model import (
    AppointmentQuery,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Listing,
    Patient,
    PatientQuery,
    Slot,
    SlotQuery,
    Window,
)
from openslot.testing.cassettes.file import CassetteError

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.desk import Desk, Outcome
    from openslot.practice import Practice
    from openslot.testing.cassettes.clock import TapeClock

__all__ = ["SCENARIOS", "Options", "Scenario", "Stage", "scenario_named", "strangers"]

T = TypeVar("T")
Scenario = Callable[["Stage"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What a session asks for. `patient` is one whom the practice knows, where none can be made.

    Without `day` it is the fifth from the clock's; `hours` are local, from and until.
    """

    day: date | None = None
    hours: tuple[int, int] = (9, 11)
    practitioner: str | None = None
    type: str | None = None
    patient: str | None = None

    def plain(self) -> dict[str, Any]:
        """The options as they stand in a file; what is not given is left out."""
        return {
            k: v
            for k, v in {
                "day": self.day.isoformat() if self.day else None,
                "hours": list(self.hours),
                "practitioner": self.practitioner,
                "type": self.type,
                "patient": self.patient,
            }.items()
            if v is not None
        }

    @classmethod
    def read(cls, plain: dict[str, Any]) -> Options:
        """The options as they stand in a file. Raises CassetteError."""
        try:
            first, last = plain.get("hours", (9, 11))
            day = plain.get("day")
            return cls(
                day=date.fromisoformat(str(day)) if day else None,
                hours=(int(first), int(last)),
                practitioner=plain.get("practitioner"),
                type=plain.get("type"),
                patient=plain.get("patient"),
            )
        except (TypeError, ValueError) as error:
            raise CassetteError(f"the options cannot be read: {error}") from None


@dataclass(slots=True)
class Stage:
    """What a session plays on: an open connector, its practice, and a clock that stands."""

    connector: Connector
    practice: Practice
    clock: TapeClock
    seed: int
    options: Options
    told: list[str] = field(default_factory=list)

    @property
    def query(self) -> SlotQuery:
        """The slots that the session looks at."""
        zone = self.practice.zone_info
        day = self.options.day or (self.clock.now().astimezone(zone) + timedelta(days=5)).date()
        first, last = self.options.hours
        return SlotQuery(
            Window(
                datetime.combine(day, time(first), zone), datetime.combine(day, time(last), zone)
            ),
            appointment_type=self.options.type,
            practitioners=(self.options.practitioner,) if self.options.practitioner else (),
        )

    def person(self, number: int) -> Patient:
        """A synthetic person of this seed, the same each time, whom no synthetic clinic knows."""
        given, family = strangers(self.seed)[number].split(" ")
        return Patient(
            name=HumanName(family, (given,)),
            birth_date=date(1950 + 7 * number, 1 + number, 10 + number),
            gender=Gender.UNKNOWN,
            telecom=(
                ContactPoint(ContactSystem.PHONE, f"+1 212 555 {180 + number:04d}", "mobile"),
            ),
        )

    def intent(self, name: str) -> str:
        """A marker as the desk makes them, the same each time."""
        digest = hashlib.sha256(f"{self.seed} {name}".encode()).digest()
        return base64.b32encode(digest[:20]).decode().lower()

    def tell(self, step: str, came_to: str) -> None:
        """Note what a step came to, in words without a patient's data."""
        self.told.append(f"{step}: {came_to}")

    async def step(
        self, name: str, work: Awaitable[T], words: Callable[[T], str] = lambda _: "done"
    ) -> T | None:
        """Do one step and tell what it came to; an error of the tree is an answer too: None."""
        try:
            result = await work
        except OpenSlotError as error:
            self.tell(name, error.code)
            return None
        self.tell(name, words(result))
        return result

    @asynccontextmanager
    async def desk(self) -> AsyncIterator[Desk]:
        """A desk with a journal of its own, as if on another machine."""
        from openslot.desk import Desk
        from openslot.journal import Journal

        async with Journal(":memory:") as journal:
            desk = Desk(
                self.practice,
                journal=journal,
                connector=self.connector,
                clock=self.clock,
                recover_every=None,
            )
            async with desk:
                yield desk


async def contract(stage: Stage) -> None:
    """Verb by verb, as a connector's author calls them."""
    connector, can = stage.connector, stage.connector.capabilities.can
    patient = await _patient(stage, stage.person(0))
    found = await stage.step("find_slots", connector.find_slots(stage.query), _count)
    slot = _first(found)
    request = BookingRequest(stage.intent("book"), slot, patient)
    booked = await stage.step("book", connector.book(request), lambda w: w.level.value)
    other = BookingRequest(stage.intent("taken"), slot, patient)
    await stage.step("book the same slot again", connector.book(other), lambda w: w.level.value)
    if can("find_booking"):
        marker = BookingQuery(request.intent, slot=slot, patient=patient)
        await stage.step("find_booking", connector.find_booking(marker), _count)
    if booked is None or booked.id is None:
        return
    if can("get_appointment"):
        work = connector.get_appointment(booked.id)
        await stage.step("get_appointment", work, lambda a: a.status.value)
    if can("list_appointments"):
        mine = AppointmentQuery(patient=patient)
        await stage.step("list_appointments", connector.list_appointments(mine), _count)
    if can("cancel"):
        cancel = CancelRequest(stage.intent("cancel"), booked.id)
        await stage.step("cancel", connector.cancel(cancel), lambda w: w.level.value)
        again = await stage.step("find_slots", connector.find_slots(stage.query), _count)
        freed = again is not None and any(s.identity == slot.identity for s in again)
        stage.tell("the slot", "is free again" if freed else "is not offered")


async def desk(stage: Stage) -> None:
    """As a front end goes about it: two callers, one slot; then the first moves, then cancels."""
    async with stage.desk() as first, stage.desk() as second:
        found = await stage.step("find_slots", first.find_slots(stage.query), _count)
        slot = _first(found)
        one = stage.options.patient or stage.person(1)
        two = stage.options.patient or stage.person(2)
        booked = await stage.step("book", first.book(slot, one, key="call-1"), _outcome)
        again = first.book(slot, one, key="call-1")
        await stage.step("book under the same key", again, _outcome)
        await stage.step("book as another caller", second.book(slot, two, key="call-2"), _outcome)
        if booked is None or booked.appointment is None:
            return
        mine = booked.appointment.id
        other = next((s for s in found or () if s.start >= slot.end), None)
        if other is not None:
            work = first.reschedule(mine, other, key="call-3")
            await stage.step("reschedule", work, _outcome)
        await stage.step("cancel", first.cancel(mine, key="call-4"), _outcome)
        await stage.step("find_slots", first.find_slots(stage.query), _count)


SCENARIOS: dict[str, Scenario] = {"contract": contract, "desk": desk}


def scenario_named(name: str) -> Scenario:
    """The scenario of that name, or the coroutine function `package.module:name`.

    Raises CassetteError where there is none.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    module, _, function = name.partition(":")
    try:
        found: Scenario = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError):
        known = ", ".join(SCENARIOS)
        raise CassetteError(
            f"there is no scenario {name!r}; it is one of {known}, or package.module:function"
        ) from None
    return found


async def _patient(stage: Stage, person: Patient) -> str:
    connector, can = stage.connector, stage.connector.capabilities.can
    assert person.name is not None
    query = PatientQuery(
        family=person.name.family, given=person.name.given[0], birth_date=person.birth_date
    )
    if can("find_patients"):
        await stage.step("find_patients", connector.find_patients(query), _count)
    if stage.options.patient is None and can("create_patient"):
        work = connector.create_patient(person, intent=stage.intent("patient"))
        made = await stage.step("create_patient", work)
        if can("find_patients"):
            await stage.step("find_patients", connector.find_patients(query), _count)
        if made is not None and made.id is not None:
            return made.id
    if stage.options.patient is None:
        raise CassetteError("this system registers nobody: name one of its patients (--patient)")
    return stage.options.patient


def _first(found: Listing[Slot] | None) -> Slot:
    if found is None or not found.items:
        raise CassetteError(
            "no slot is free in the hours that the session looks at: name others (--day, --hours)"
        )
    return found.items[0]


def _count(found: Listing[Any]) -> str:
    return f"{len(found.items)}{'' if found.complete else ', not complete'}"


def _outcome(outcome: Outcome) -> str:
    words = [outcome.state.value, f"exclusive {outcome.exclusive.value}"]
    words += ["confirmed"] if outcome.confirmed else []
    words += [f"by {outcome.way}"] if outcome.way else []
    words += [f"old slot {outcome.old_slot.value}"] if outcome.old_slot else []
    words += [f"differs in {', '.join(outcome.mismatch)}"] if outcome.mismatch else []
    return ", ".join(words)


def strangers(seed: int) -> tuple[str, ...]:
    """Names that look like the clinic's own and belong to none of its people."""
    known = set(synthetic_names(seed))
    names = synthetic_names(random.Random(f"strangers {seed}").randrange(2**32))  # noqa: S311
    return tuple(n for n in names if n not in known)[:10]
