"""Slots, appointments, holds, and how far each is known to be true."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Generic, TypeVar

from openslot.model.people import Identifier, Resource, ResourceKind, VisitMode
from openslot.model.time import require_aware, settled

__all__ = [
    "Appointment",
    "AppointmentStatus",
    "Exclusive",
    "Hold",
    "Listing",
    "Missing",
    "MissingWhat",
    "Proof",
    "ProofLevel",
    "Segment",
    "Slot",
    "SlotStatus",
]

T = TypeVar("T")


class SlotStatus(StrEnum):
    """What a slot's system of record says of it (FHIR Slot.status)."""

    FREE = "free"
    BUSY = "busy"
    BUSY_UNAVAILABLE = "busy-unavailable"
    BUSY_TENTATIVE = "busy-tentative"
    ENTERED_IN_ERROR = "entered-in-error"


class AppointmentStatus(StrEnum):
    """Where an appointment is in its life (FHIR Appointment.status)."""

    PROPOSED = "proposed"
    PENDING = "pending"
    BOOKED = "booked"
    ARRIVED = "arrived"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    NOSHOW = "noshow"
    ENTERED_IN_ERROR = "entered-in-error"
    CHECKED_IN = "checked-in"
    WAITLIST = "waitlist"

    @property
    def means_booked(self) -> bool:
        """Whether the practice expects the patient: never for pending, proposed or waitlist."""
        return self in _BOOKED

    @property
    def takes_time(self) -> bool:
        """Whether the time is spoken for, pending included."""
        return self in _BOOKED or self is AppointmentStatus.PENDING


_BOOKED = frozenset(
    {
        AppointmentStatus.BOOKED,
        AppointmentStatus.ARRIVED,
        AppointmentStatus.CHECKED_IN,
        AppointmentStatus.FULFILLED,
    }
)


class ProofLevel(StrEnum):
    """How far a write is known to have got. It only climbs; levels compare by rank."""

    HELD = "held"
    """The time is kept for the patient; nothing is booked."""
    ACCEPTED = "accepted"
    """The vendor took the request; the practice's own system may not show it yet."""
    WRITTEN = "written"
    """The vendor says that it is written."""
    VERIFIED = "verified"
    """The system of record, read after the write, shows what was asked for."""

    @property
    def rank(self) -> int:
        """Its place on the ladder, from 1 (held) to 4 (verified)."""
        return _LADDER.index(self.value) + 1

    def __lt__(self, other: str) -> bool:
        return self.rank < ProofLevel(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= ProofLevel(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > ProofLevel(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= ProofLevel(other).rank


_LADDER = ("held", "accepted", "written", "verified")


class Exclusive(StrEnum):
    """Whether somebody else can hold the same time."""

    ENFORCED = "enforced"
    """The vendor refuses overlaps."""
    CHECKED = "checked"
    """After the write we read every overlapping appointment and found ours alone."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a write, when it was known, and what was and was not compared."""

    level: ProofLevel
    as_of: datetime
    exclusive: Exclusive = Exclusive.UNKNOWN
    compared: tuple[str, ...] = ()
    uncompared: tuple[str, ...] = ()
    inferred: bool = False
    """The record was recognised by patient and time, not by a key or marker of ours."""

    def __post_init__(self) -> None:
        require_aware(self.as_of, "Proof.as_of")


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a slot that needs several resources one after the other."""

    start: datetime
    end: datetime
    resources: tuple[Resource, ...]

    def __post_init__(self) -> None:
        _settle_span(self, self.start, self.end)


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of time that the practice offered at `as_of`: a fact with a date.

    `id` is the vendor's and None where slots have none; `location` is the place where the visit
    happens; `ref` is what the connector needs to book it, opaque to all others and free of patient
    data; `token` is the same slot sealed by the desk, to be handed between services.
    """

    start: datetime
    end: datetime
    id: str | None = None
    schedule: str | None = None
    resources: tuple[Resource, ...] = ()
    location: str | None = None
    appointment_type: str | None = None
    visit_mode: VisitMode | None = None
    status: SlotStatus = SlotStatus.FREE
    capacity: int = 1
    segments: tuple[Segment, ...] = ()
    as_of: datetime | None = None
    source: str | None = None
    ref: str | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        _settle_span(self, self.start, self.end)

    @property
    def practitioner(self) -> str | None:
        """The id of the first practitioner among the resources."""
        return _first(self.resources, ResourceKind.PRACTITIONER)

    @property
    def duration(self) -> timedelta:
        """The time that really passes."""
        return self.end - self.start

    @property
    def identity(self) -> tuple[object, ...]:
        """What makes two readings the same slot: the vendor's id, else time and resources."""
        if self.id is not None:
            return (self.id, self.start, self.end)
        taken = tuple((r.kind, r.id) for r in self.resources)
        return (self.start, self.end, self.schedule, taken, self.location, self.appointment_type)


@dataclass(frozen=True, slots=True)
class Appointment:
    """A patient's place in the schedule, as the vendor showed it at `as_of`.

    `start` and `end` are None only where the vendor's record has none (FHIR allows it for proposed
    and cancelled ones). `patient` is the vendor's id. `proof` is set by the desk.
    """

    id: str
    status: AppointmentStatus
    start: datetime | None
    end: datetime | None
    patient: str | None = None
    resources: tuple[Resource, ...] = ()
    location: str | None = None
    appointment_type: str | None = None
    slots: tuple[str, ...] = ()
    visit_mode: VisitMode | None = None
    reason: str | None = None
    comment: str | None = None
    cancellation_reason: str | None = None
    identifiers: tuple[Identifier, ...] = ()
    created: datetime | None = None
    version: str | None = None
    replaces: str | None = None
    as_of: datetime | None = None
    source: str | None = None
    written_through: bool = True
    """False for a copy that does not mark the record as present in the practice's own system."""
    proof: Proof | None = None

    def __post_init__(self) -> None:
        if self.start is not None and self.end is not None:
            _settle_span(self, self.start, self.end)
        elif self.start is not None or self.end is not None:
            raise ValueError("an appointment has both a start and an end, or neither")

    def __repr__(self) -> str:
        return f"Appointment(id={self.id!r}, status={self.status.value!r})"

    @property
    def practitioner(self) -> str | None:
        """The id of the first practitioner among the resources."""
        return _first(self.resources, ResourceKind.PRACTITIONER)


@dataclass(frozen=True, slots=True)
class Hold:
    """A slot kept for a short time. `emulated` holds bind only those who share our journal."""

    id: str
    slot: Slot
    expires: datetime
    emulated: bool = False
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        require_aware(self.expires, "Hold.expires")


class MissingWhat(StrEnum):
    """What an answer lacks."""

    RESOURCE = "resource"
    PAGE = "page"
    ENTRY = "entry"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing that could not be read, and why: a sentence without patient data.

    `id` names the resource or entry where it has a name; `path` leads into the vendor's document.
    """

    what: MissingWhat
    why: str
    id: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """What a search found, and what it could not see.

    Empty means none only where `complete`: ask `none`, not truthiness (a listing is always true).
    """

    items: tuple[T, ...]
    missing: tuple[Missing, ...] = ()
    as_of: datetime | None = None
    source: str | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was read."""
        return not self.missing

    @property
    def none(self) -> bool:
        """Whether it is known that there is nothing: complete, and empty."""
        return not self.missing and not self.items

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


def _first(resources: tuple[Resource, ...], kind: ResourceKind) -> str | None:
    return next((r.id for r in resources if r.kind is kind), None)


def _settle_span(value: Slot | Segment | Appointment, start: datetime, end: datetime) -> None:
    if type(start.tzinfo) is not timezone or type(end.tzinfo) is not timezone:
        what = type(value).__name__
        start, end = settled(start, f"{what}.start"), settled(end, f"{what}.end")
        object.__setattr__(value, "start", start)
        object.__setattr__(value, "end", end)
    if end <= start:
        raise ValueError(f"{type(value).__name__}.end must be after its start")
