"""What a front end, through the desk, asks of a connector, and what a write answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from openslot.model.people import Identifier, Patient, Resource, VisitMode
from openslot.model.scheduling import Appointment, ProofLevel, Slot
from openslot.model.time import Window

__all__ = [
    "Answer",
    "AppointmentQuery",
    "AppointmentUpdate",
    "BookingQuery",
    "BookingRequest",
    "CancelRequest",
    "Change",
    "ChangeKind",
    "Changes",
    "ConflictQuery",
    "HoldRequest",
    "PatientQuery",
    "Question",
    "QuestionType",
    "RescheduleRequest",
    "SlotQuery",
    "Written",
]


@dataclass(frozen=True, slots=True)
class SlotQuery:
    """Which free slots are wanted. Empty tuples and None mean "any"; ids are the vendor's.

    A slot belongs to the answer when it starts in the window. `ignore_appointment` is the
    appointment that is being moved: its own time counts as free.
    """

    window: Window
    appointment_type: str | None = None
    practitioners: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    patient: str | None = None
    new_patient: bool | None = None
    reason: str | None = None
    plan: str | None = None
    visit_mode: VisitMode | None = None
    ignore_appointment: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A caller's answer to one of the questions of `booking_requirements`."""

    question: str
    value: str | bool | int | date


class QuestionType(StrEnum):
    """What kind of answer a question takes."""

    TEXT = "text"
    CHOICE = "choice"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Question:
    """Something that a booking of this type must (or may) say."""

    id: str
    text: str
    type: QuestionType = QuestionType.TEXT
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """Book this slot for this patient.

    `intent` is the marker of the caller's intent: opaque, stable over retries, safe to write into
    the vendor's record. `patient` is the vendor's id, or the demographics of a person who may be
    new. `notify` says whether the vendor may message the patient (None: the vendor's default).
    """

    intent: str
    slot: Slot
    patient: str | Patient = field(repr=False)
    appointment_type: str | None = None
    reason: str | None = field(default=None, repr=False)
    comment: str | None = field(default=None, repr=False)
    plan: str | None = None
    visit_mode: VisitMode | None = None
    new_patient: bool | None = None
    answers: tuple[Answer, ...] = field(default=(), repr=False)
    notify: bool | None = None
    ignore_appointment: str | None = None
    hold: str | None = None


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """Move this appointment to this slot, in the vendor's own way."""

    intent: str
    appointment: str
    slot: Slot
    version: str | None = None
    reason: str | None = field(default=None, repr=False)
    notify: bool | None = None


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """Cancel this appointment. `reason` is an id from `list_reasons`, or plain text."""

    intent: str
    appointment: str
    reason: str | None = field(default=None, repr=False)
    version: str | None = None
    notify: bool | None = None


@dataclass(frozen=True, slots=True)
class AppointmentUpdate:
    """Change what an appointment says, not when it is. None leaves a field as it stands."""

    intent: str
    appointment: str
    appointment_type: str | None = None
    reason: str | None = field(default=None, repr=False)
    comment: str | None = field(default=None, repr=False)
    version: str | None = None


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """Keep this slot for a patient who is deciding."""

    intent: str
    slot: Slot
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class AppointmentQuery:
    """Which appointments: of a patient, or of a resource in a window; all statuses, unless told."""

    patient: str | None = None
    resource: Resource | None = None
    window: Window | None = None
    include_cancelled: bool = True


@dataclass(frozen=True, slots=True)
class ConflictQuery:
    """Who else takes the time of these resources between start and end (law 7).

    The answer holds every overlapping appointment whose status takes time, pending included,
    whoever made it.
    """

    window: Window
    resources: tuple[Resource, ...] = ()
    location: str | None = None


@dataclass(frozen=True, slots=True)
class BookingQuery:
    """Find the record that an intent made, by the marker it was written with.

    `patient` and `slot` narrow the search where the vendor cannot search by marker.
    """

    intent: str
    slot: Slot | None = None
    patient: str | None = None


@dataclass(frozen=True, slots=True)
class PatientQuery:
    """Who is wanted. What is None is not looked at; the vendor's search may be fuzzy."""

    id: str | None = None
    family: str | None = field(default=None, repr=False)
    given: str | None = field(default=None, repr=False)
    birth_date: date | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    email: str | None = field(default=None, repr=False)
    identifier: Identifier | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Written:
    """What a write answered.

    `level` is ACCEPTED or WRITTEN; VERIFIED is never a write's to claim. `id` is None where the
    vendor answers without one. `replaces` is the old id of a moved appointment. `exclusive` is
    left to the traits and the desk.
    """

    level: ProofLevel
    id: str | None = None
    appointment: Appointment | None = None
    replaces: str | None = None
    version: str | None = None
    request_id: str | None = None
    as_of: datetime | None = None


class ChangeKind(StrEnum):
    """What happened to a record."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """Word that a record changed: a reason to read it again, never the truth itself."""

    kind: ChangeKind
    type: str
    id: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """A stretch of a vendor's change feed; pass `cursor` to get the next."""

    items: tuple[Change, ...]
    cursor: str | None = None
    more: bool = False
