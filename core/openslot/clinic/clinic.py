"""A practice engine on SQLite that a small clinic can run on: schedules, bookings, holds, changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from openslot.clinic.availability import DayException, WeeklyHours
from openslot.clinic.records import Block, Event, Manners, Opening, Schedule, VisitType
from openslot.clock import Clock
from openslot.model import (
    Answer,
    Appointment,
    AppointmentStatus,
    Changes,
    Hold,
    Identifier,
    Location,
    Patient,
    PatientQuery,
    Practitioner,
    Reason,
    Resource,
    ResourceKind,
    VisitMode,
    Window,
)

__all__ = ["INTENT_SYSTEM", "Clinic", "opening_id"]

INTENT_SYSTEM = "urn:openslot:intent"
"""The system of the identifier that carries an intent's marker in `Appointment.identifiers`."""


def opening_id(practitioner: str, location: str, type: str, start: datetime) -> str:
    """The id of the opening at which a visit of this type starts: `PRACT.LOCATION.TYPE.EPOCH`."""
    return f"{practitioner}.{location}.{type}.{int(start.timestamp())}"


class Clinic:
    """One practice in one SQLite file (or ":memory:"), safe for threads and for several processes.

    Ids of practitioners, locations, rooms and types are 1 to 16 of `A-Za-z0-9-`, so that every id
    made of them is a FHIR id. Datetimes that it returns are in the location's zone. `version` of an
    appointment is a decimal counter ("1", "2", ...). Every write is one transaction; whatever
    raises has changed nothing. `manners.enforce_conflicts` is a property of the file: None keeps
    what the file says. Errors are leaves of `openslot.errors` with `sent=False`, without patient
    data.
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        clock: Clock | None = None,
        manners: Manners | None = None,
        hold_for: timedelta = timedelta(minutes=5),
    ) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several writes as one: all or nothing. Nests."""
        raise NotImplementedError

    # people, places, rules

    def add_location(self, location: Location) -> Location:
        """Add or replace a location; its `zone` is required."""
        raise NotImplementedError

    def add_practitioner(self, practitioner: Practitioner) -> Practitioner:
        """Add or replace a practitioner; where they work follows from `set_hours`."""
        raise NotImplementedError

    def add_resource(self, resource: Resource, *, location: str | None = None) -> Resource:
        """Add or replace a room or device."""
        raise NotImplementedError

    def add_type(self, type: VisitType) -> VisitType:
        """Add or replace an appointment type."""
        raise NotImplementedError

    def add_reason(self, reason: Reason) -> Reason:
        """Add or replace a reason; `use` is "visit" or "cancellation"."""
        raise NotImplementedError

    def set_hours(
        self, practitioner: str, location: str, hours: tuple[WeeklyHours, ...]
    ) -> Schedule:
        """Replace the weekly working hours of a practitioner at a location."""
        raise NotImplementedError

    def add_exception(
        self,
        exception: DayException,
        *,
        practitioner: str | None = None,
        location: str | None = None,
    ) -> None:
        """Close or open a date for one practitioner or all (None), at one location or all."""
        raise NotImplementedError

    def practitioners(self) -> tuple[Practitioner, ...]:
        """Everyone who sees patients, with the locations and types that follow from the rules."""
        raise NotImplementedError

    def locations(self) -> tuple[Location, ...]:
        """Every place."""
        raise NotImplementedError

    def resources(self, kind: ResourceKind | None = None) -> tuple[Resource, ...]:
        """Everything that time is taken from: practitioners, rooms, devices."""
        raise NotImplementedError

    def types(self) -> tuple[VisitType, ...]:
        """Everything that can be booked."""
        raise NotImplementedError

    def type(self, id: str) -> VisitType:
        """One appointment type. Raises NotFound."""
        raise NotImplementedError

    def reasons(self) -> tuple[Reason, ...]:
        """Reasons for visits and for cancellations."""
        raise NotImplementedError

    def schedules(self) -> tuple[Schedule, ...]:
        """Every practitioner and location that have working hours together."""
        raise NotImplementedError

    # patients

    def create_patient(self, patient: Patient, *, intent: str | None = None) -> Patient:
        """Register a person; the same intent answers the same record.

        Raises Rejected(DUPLICATE_PATIENT) where name and birth date are on file already,
        Rejected(MISSING_FIELD) without a name.
        """
        raise NotImplementedError

    def get_patient(self, id: str) -> Patient:
        """One patient. Raises NotFound."""
        raise NotImplementedError

    def update_patient(self, patient: Patient) -> Patient:
        """Replace a patient's record; where `patient.version` is given it must be current (Stale)."""
        raise NotImplementedError

    def find_patients(self, query: PatientQuery, *, limit: int = 50) -> tuple[Patient, ...]:
        """Patients that fit every field of the query; names without case and accents, by prefix."""
        raise NotImplementedError

    # openings

    def openings(
        self,
        window: Window,
        *,
        type: str | None = None,
        practitioners: tuple[str, ...] = (),
        locations: tuple[str, ...] = (),
        visit_mode: VisitMode | None = None,
        new_patient: bool | None = None,
        ignore_appointment: str | None = None,
        include_taken: bool = False,
        online_only: bool = True,
    ) -> tuple[Opening, ...]:
        """The openings that start in the window, sorted by start, then id.

        Notice and horizon are applied. `include_taken` adds those that are busy or held, with that
        status. Raises NotFound for an unknown type, practitioner or location.
        """
        raise NotImplementedError

    def opening(self, id: str) -> Opening:
        """One opening as it stands now: free, busy, or busy-tentative (held).

        Raises NotFound where the id names no position within working hours.
        """
        raise NotImplementedError

    def claim(
        self, opening: str, *, marker: str | None = None, version: int | None = None
    ) -> Opening:
        """Take an opening for an outside system, to be taken over by `book` with the same marker.

        A claim without marker is taken over by whichever booking names the opening. Claiming again
        with the same marker answers the opening as it stands. Raises Stale where `version` is not
        current (checked first), SlotTaken, NotFound, Rejected(NOTICE or HORIZON).
        """
        raise NotImplementedError

    def unclaim(
        self, opening: str, *, marker: str | None = None, version: int | None = None
    ) -> Opening:
        """Give a claimed opening back; no error where it is free already.

        Frees also what a cancelled appointment left busy (`frees_slot_on_cancel=False`). Raises
        Stale by version, Rejected(POLICY) where another's claim or an appointment stands on it.
        """
        raise NotImplementedError

    def hold(self, opening: str, *, intent: str | None = None) -> Hold:
        """Keep an opening for `hold_for`. Same intent, same hold. Raises as `claim`."""
        raise NotImplementedError

    def release(self, hold: str) -> None:
        """Give a hold back; no error where it is gone."""
        raise NotImplementedError

    # blocks

    def add_block(
        self,
        resources: tuple[str, ...],
        start: datetime,
        end: datetime,
        *,
        reason: str | None = None,
        marker: str | None = None,
    ) -> Block:
        """Make time busy without a patient. Raises SlotTaken where it is taken."""
        raise NotImplementedError

    def remove_block(self, id: str) -> None:
        """Take a block away; no error where it is gone."""
        raise NotImplementedError

    def blocks(self, window: Window) -> tuple[Block, ...]:
        """The blocks that touch the window, claims included."""
        raise NotImplementedError

    # appointments

    def book(
        self,
        opening: str,
        patient: str | Patient,
        *,
        intent: str | None = None,
        marker: str | None = None,
        hold: str | None = None,
        visit_mode: VisitMode | None = None,
        new_patient: bool | None = None,
        reason: str | None = None,
        comment: str | None = None,
        answers: tuple[Answer, ...] = (),
        identifiers: tuple[Identifier, ...] = (),
        ignore_appointment: str | None = None,
        staff: bool = False,
    ) -> Appointment:
        """Book an opening for a patient (an id, or the demographics of a new person).

        The same `intent` answers the same appointment, however it stands by now; with another
        request it is KeyReused. A claim with the same `marker` (default: the intent) or without one,
        or the `hold`, is taken over in the same transaction. `staff` skips the rules for online
        booking (hours, grid, notice, horizon, questions), never the conflicts.
        Raises SlotTaken, Stale (not within working hours), NotFound, Rejected.
        """
        raise NotImplementedError

    def reschedule(
        self,
        appointment: str,
        opening: str,
        *,
        intent: str | None = None,
        version: str | None = None,
        marker: str | None = None,
        hold: str | None = None,
        note: str | None = None,
        staff: bool = False,
    ) -> Appointment:
        """Move an appointment in one transaction: same id, next version. Raises as `book`."""
        raise NotImplementedError

    def cancel(
        self,
        appointment: str,
        *,
        intent: str | None = None,
        reason: str | None = None,
        version: str | None = None,
    ) -> Appointment:
        """Cancel; a cancelled one is answered as it stands. Raises NotFound, Stale, Rejected."""
        raise NotImplementedError

    def set_status(
        self, appointment: str, status: AppointmentStatus, *, version: str | None = None
    ) -> Appointment:
        """Approve, check in, complete, mark as no-show. Raises Rejected for what cannot follow."""
        raise NotImplementedError

    def update(
        self,
        appointment: str,
        *,
        intent: str | None = None,
        type: str | None = None,
        reason: str | None = None,
        comment: str | None = None,
        identifiers: tuple[Identifier, ...] | None = None,
        version: str | None = None,
    ) -> Appointment:
        """Change what an appointment says, not when it is. None leaves a field as it stands."""
        raise NotImplementedError

    def confirm(self, appointment: str) -> Appointment:
        """Record that the patient is coming."""
        raise NotImplementedError

    def get_appointment(self, id: str) -> Appointment:
        """One appointment as it stands now. Raises NotFound."""
        raise NotImplementedError

    def appointments(
        self,
        *,
        patient: str | None = None,
        resource: str | None = None,
        location: str | None = None,
        window: Window | None = None,
        opening: str | None = None,
        identifier: Identifier | None = None,
        include_cancelled: bool = True,
        limit: int = 10_000,
    ) -> tuple[Appointment, ...]:
        """Appointments that fit all that is given, by start; `window` means overlap with it."""
        raise NotImplementedError

    def by_intent(self, intent: str) -> tuple[Appointment, ...]:
        """The appointment that was booked with this intent, if there is one."""
        raise NotImplementedError

    def history(self, appointment: str) -> tuple[Event, ...]:
        """Every version of an appointment, oldest first."""
        raise NotImplementedError

    # changes

    def changes(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
        """What changed after the cursor, oldest first; None answers the cursor that means "now".

        Reading takes nothing away. "0" is the beginning. Types are "Appointment", "Patient",
        "Slot" (an opening was claimed, held or freed) and "Schedule".
        """
        raise NotImplementedError
