"""What a clinic keeps beside the model's own values: rules, openings, blocks and manners."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from openslot.model import AppointmentType, Question, Resource, Slot, VisitMode

__all__ = ["Block", "Event", "Manners", "Opening", "Schedule", "VisitType"]


@dataclass(frozen=True, slots=True)
class Manners:
    """How the engine behaves; the defaults are a good clinic's, the rest is for sandboxes."""

    enforce_conflicts: bool = True
    """False: overlapping bookings of one resource are accepted, as several vendors accept them."""
    frees_slot_on_cancel: bool = True
    """False: a cancelled appointment's time stays busy until somebody frees its opening."""
    bookings_pend: bool = False
    """True: a new appointment is pending until `set_status(..., BOOKED)`."""


@dataclass(frozen=True, slots=True)
class VisitType:
    """What is booked, with the rules that the engine applies to it.

    `before` and `after` are taken with the visit and shared with no other; they may lie outside the
    working hours. Empty `practitioners` or `locations` mean all. `needs` names what else is taken
    for a visit in person: of each inner tuple one room or device (`(("room-1", "room-2"),)`).
    `capacity` above one makes a group visit: so many patients share one start.
    """

    id: str
    name: str
    duration: timedelta
    step: timedelta = timedelta(minutes=15)
    before: timedelta = timedelta(0)
    after: timedelta = timedelta(0)
    notice: timedelta = timedelta(0)
    horizon: timedelta = timedelta(days=365)
    new_patients: bool = True
    existing_patients: bool = True
    visit_modes: tuple[VisitMode, ...] = (VisitMode.IN_PERSON,)
    practitioners: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    needs: tuple[tuple[str, ...], ...] = ()
    capacity: int = 1
    bookable_online: bool = True
    questions: tuple[Question, ...] = ()

    def __post_init__(self) -> None:
        if self.duration <= timedelta(0) or self.step <= timedelta(0):
            raise ValueError("a visit and its step last longer than nothing")
        if min(self.before, self.after, self.notice, self.horizon) < timedelta(0):
            raise ValueError("buffers, notice and horizon are not negative")
        if self.capacity < 1:
            raise ValueError("at least one patient fits into a visit")

    def as_appointment_type(self) -> AppointmentType:
        """What a front end is shown of it."""
        return AppointmentType(
            id=self.id,
            name=self.name,
            duration=self.duration,
            visit_modes=self.visit_modes,
            new_patients=self.new_patients,
            existing_patients=self.existing_patients,
            practitioners=self.practitioners,
            locations=self.locations,
            bookable_online=self.bookable_online,
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """One practitioner's working time at one location; `id` is `PRACTITIONER.LOCATION`."""

    id: str
    practitioner: str
    location: str
    zone: str


@dataclass(frozen=True, slots=True)
class Opening:
    """A position in a schedule at which a visit of one type can start, free or not.

    `slot.id` is `PRACTITIONER.LOCATION.TYPE.EPOCH` (epoch seconds of the start), the same in every
    process and at every time. `version` starts at 1 and grows with every claim, hold, booking and
    release of this very opening; `marker` is that of the claim on it, if there is one.
    """

    slot: Slot
    version: int = 1
    marker: str | None = None

    @property
    def id(self) -> str:
        """The id of the opening, and of its slot."""
        assert self.slot.id is not None
        return self.slot.id


@dataclass(frozen=True, slots=True)
class Block:
    """Busy time without a patient: a lunch, a closed room, or an opening claimed from outside."""

    id: str
    start: datetime
    end: datetime
    resources: tuple[Resource, ...]
    reason: str | None = field(default=None, repr=False)
    marker: str | None = None
    opening: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One version of an appointment: what was done to it, when, and where that left it."""

    version: int
    at: datetime
    what: str
    status: str
    start: datetime
    end: datetime
    note: str | None = field(default=None, repr=False)
