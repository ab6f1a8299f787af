"""The contract between OpenSlot and one vendor's system.

`find_slots` and `book` are what makes a connector; every other verb has a default that raises
`Unsupported` before any I/O, so a connector supports a verb exactly when it overrides it. What code
cannot show is declared once, as traits, in `Connector.info`. The same declaration drives the desk,
the conformance suite, the matrix and what a front end offers.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Self

from openslot.clock import Clock, SystemClock
from openslot.errors import Unsupported

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from openslot.model import (
        Appointment,
        AppointmentQuery,
        AppointmentType,
        AppointmentUpdate,
        BookingQuery,
        BookingRequest,
        CancelRequest,
        Change,
        Changes,
        ConflictQuery,
        Hold,
        HoldRequest,
        Listing,
        Location,
        Patient,
        PatientQuery,
        Practitioner,
        Question,
        Reason,
        RescheduleRequest,
        Slot,
        SlotQuery,
        Written,
    )

__all__ = [
    "VERBS",
    "Capabilities",
    "Claim",
    "Connector",
    "ConnectorInfo",
    "Evidence",
    "ProbeReport",
    "Traits",
]


class Claim(StrEnum):
    """What is claimed of a vendor's behaviour. Unproven is treated as the worse of the two."""

    YES = "yes"
    NO = "no"
    UNPROVEN = "unproven"


class Evidence(StrEnum):
    """How a connector's claims were checked."""

    LIVE = "live"
    """Its tests run against that vendor's real server software."""
    SPEC = "spec"
    """Every request and every sandbox answer validates against the vendor's own spec."""
    DOCS = "docs"
    """Written from the vendor's documentation."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a vendor's system does, where no verb's presence can show it."""

    conflict_enforcement: Claim = Claim.UNPROVEN
    """Yes: of concurrent bookings of one resource's time, the vendor lets one through. Tested by
    racing writers and counting what stands."""
    idempotent_booking: Claim = Claim.UNPROVEN
    """Yes: `book` sent again with the same intent, also after a lost answer or by another process,
    leads to the same single appointment. Tested by repeating and killing."""
    asynchronous_writes: Claim = Claim.NO
    """Yes: a 2xx answer means accepted; the record lands, or fails, later. (Unproven: as yes.)"""
    native_hold: Claim = Claim.UNPROVEN
    """Yes: `hold` makes the vendor itself refuse others until it expires or is released."""
    atomic_reschedule: Claim = Claim.UNPROVEN
    """Yes: `reschedule` moves all or nothing; at every instant one appointment stands."""
    frees_slot_on_cancel: Claim = Claim.UNPROVEN
    """Yes: after `cancel` the time is offered again."""
    computed_availability: Claim = Claim.NO
    """Yes: slots are computed from schedules and busy times, and have no record of their own."""
    lists_by_resource: Claim = Claim.UNPROVEN
    """Yes: appointments of a resource in a window can be listed, whoever made them."""
    creation_may_pend: Claim = Claim.UNPROVEN
    """Yes: a new appointment may wait for the practice's approval."""
    one_appointment_per_patient: Claim = Claim.UNPROVEN
    """Yes: the vendor refuses a second upcoming appointment of the same patient."""
    id_changes_on_move: Claim = Claim.UNPROVEN
    """Yes: a moved appointment has a new id."""
    destructive_feed: Claim = Claim.NO
    """Yes: reading the change feed removes what was read. (Unproven: as yes.)"""
    notifies_patient: Claim = Claim.UNPROVEN
    """Yes: the vendor may message the patient on its own."""
    largest_window: timedelta | None = None
    """The longest window one search may span; None where there is no limit."""
    read_lag: timedelta = timedelta(0)
    """How much older than the truth a read may be."""
    settle_within: timedelta = timedelta(seconds=30)
    """After this long, a request in flight has landed or never will."""

    def holds(self, name: str) -> bool:
        """Whether to act as if the trait were there: unproven counts as the worse."""
        claim = getattr(self, name)
        if not isinstance(claim, Claim):
            raise TypeError(f"{name} is a quantity, not a claim")
        return claim is Claim.YES or (claim is Claim.UNPROVEN and name in _WORSE_WHEN_TRUE)

    def as_dict(self) -> dict[str, str | float | None]:
        """The traits by name, claims as words, durations in seconds: what the matrix shows."""
        result: dict[str, str | float | None] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            result[f.name] = value.total_seconds() if isinstance(value, timedelta) else value
        return result


_WORSE_WHEN_TRUE = frozenset(
    {
        "asynchronous_writes",
        "creation_may_pend",
        "one_appointment_per_patient",
        "id_changes_on_move",
        "destructive_feed",
        "notifies_patient",
    }
)


@dataclass(frozen=True, slots=True)
class ConnectorInfo:
    """Who a connector speaks to, what it claims at best, and how that was checked."""

    name: str
    title: str
    traits: Traits
    documentation: str
    """The vendor document it follows."""
    evidence: Evidence = Evidence.DOCS
    verified_against: tuple[str, ...] = ()
    """The software and versions that its tests run against."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What a verb cannot do at this vendor, by verb or trait."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one practice's connector can do: overrides, and profile, and credentials, and probe."""

    verbs: frozenset[str]
    traits: Traits

    def can(self, verb: str) -> bool:
        """Whether the verb may be called."""
        return verb in self.verbs


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What a read-only look at the vendor's system told.

    `server` names the software where it says so; `skew` is its clock minus ours, None where its
    answers carry no date; `withheld` are verbs that this practice's access does not allow, each
    with the reason; `traits` are what the server itself says, None where it says nothing.
    """

    server: str | None = None
    skew: timedelta | None = None
    withheld: Mapping[str, str] = field(default_factory=dict)
    traits: Traits | None = None
    notes: tuple[str, ...] = ()


class Connector(ABC):
    """Talks to one vendor's system for one practice.

    A connector translates and nothing more: it keeps no journal, retries no write that may have
    left, and claims no more than it was told. It is used as `async with`. Verbs are coroutines.
    """

    info: ClassVar[ConnectorInfo]
    Settings: ClassVar[type[Any]]
    """The pydantic model of this connector's settings; its docstrings say where a user finds each
    value, secrets are `SecretStr`."""

    def __init__(
        self,
        settings: Any,
        *,
        zone: ZoneInfo,
        practice: str = "practice",
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.zone = zone
        self.practice = practice
        self.clock: Clock = clock or SystemClock()
        self._withheld: dict[str, str] = {}
        self._traits: Traits = self.info.traits

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in VERBS:
            own = cls.__dict__.get(verb)
            asynchronous = verb not in _SYNCHRONOUS
            if own is not None and inspect.iscoroutinefunction(own) is not asynchronous:
                kind = "async def" if asynchronous else "plain def"
                raise TypeError(f"{cls.__name__}.{verb} must be a {kind}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:  # noqa: B027  (a default, not an omission)
        """Let go of connections and files. Safe to call twice."""

    @classmethod
    def verbs(cls) -> frozenset[str]:
        """The verbs that this class overrides: the upper bound of what it can do."""
        return frozenset(v for v in VERBS if getattr(cls, v) is not getattr(Connector, v))

    @property
    def traits(self) -> Traits:
        """The traits for this practice: the class's, narrowed by settings, profile and probe."""
        return self._traits

    @property
    def capabilities(self) -> Capabilities:
        """What this practice's connector can do."""
        return Capabilities(self.verbs() - self._withheld.keys(), self.traits)

    def withhold(self, verb: str, why: str) -> None:
        """Take a verb away for this practice; calling `capabilities.can(verb)` then says no."""
        if verb not in VERBS:
            raise ValueError(f"{verb} is not a verb of the contract")
        self._withheld[verb] = why

    def require(self, verb: str) -> None:
        """Raise Unsupported, with the reason, where this practice's connector lacks `verb`."""
        if verb in self._withheld:
            raise Unsupported(f"{self.practice}: {verb}: {self._withheld[verb]}", sent=False)
        if verb not in self.verbs():
            self._unsupported(verb)

    async def probe(self) -> ProbeReport:
        """Look, without writing, whether the practice is reachable and authorised."""
        return ProbeReport()

    async def doctor_write_probe(self) -> tuple[str, ...]:
        """Prove by writing what reading cannot show. Only ever called on a test practice.

        Returns a sentence a finding. The default finds nothing out.
        """
        return ()

    # availability

    @abstractmethod
    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        """The free slots that start in the window, each once, sorted by start.

        What could not be read is listed under `missing`, never silently left out (law 1, law 14).
        """

    async def hold(self, request: HoldRequest) -> Hold:
        """Keep a slot for a short time. Raises SlotTaken."""
        self._unsupported("hold")

    async def release(self, hold: Hold) -> None:
        """Give a held slot back. Releasing what is gone is no error."""
        self._unsupported("release")

    # booking

    @abstractmethod
    async def book(self, request: BookingRequest) -> Written:
        """Book the slot, marked with the intent where the vendor's record has room for it.

        Raises SlotTaken whatever the vendor calls it, Rejected by the practice's rules, Stale for
        a slot that is not offered any more. An error whose `sent` is False says that nothing of the
        booking stands, also not of an earlier step; any other may hide a write.
        """

    async def cancel(self, request: CancelRequest) -> Written:
        """Cancel an appointment. Cancelling a cancelled one answers it as it stands."""
        self._unsupported("cancel")

    async def reschedule(self, request: RescheduleRequest) -> Written:
        """Move an appointment in the vendor's own way; `replaces` names the old id."""
        self._unsupported("reschedule")

    async def update_appointment(self, request: AppointmentUpdate) -> Written:
        """Change what an appointment says, preserving what we do not understand (law 13)."""
        self._unsupported("update_appointment")

    async def confirm(self, appointment: str) -> Written:
        """Record that the patient confirmed that they are coming."""
        self._unsupported("confirm")

    # reading back

    async def get_appointment(self, appointment: str) -> Appointment:
        """The appointment as the system of record has it now. Raises NotFound."""
        self._unsupported("get_appointment")

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        """Appointments of a patient, or of a resource in a window, whoever made them."""
        self._unsupported("list_appointments")

    async def find_conflicts(self, query: ConflictQuery) -> Listing[Appointment]:
        """Every appointment that takes time of these resources in the window, pending included."""
        self._unsupported("find_conflicts")

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        """The records that carry this intent's marker, cancelled ones included."""
        self._unsupported("find_booking")

    # people and places

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        """Patients who may be the one wanted; whether one is, the desk decides."""
        self._unsupported("find_patients")

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        """Register a person. Raises Rejected(DUPLICATE_PATIENT) where the vendor says so."""
        self._unsupported("create_patient")

    async def list_practitioners(self) -> Listing[Practitioner]:
        """Who sees patients here."""
        self._unsupported("list_practitioners")

    async def list_locations(self) -> Listing[Location]:
        """Where patients are seen."""
        self._unsupported("list_locations")

    async def list_appointment_types(self) -> Listing[AppointmentType]:
        """What can be booked."""
        self._unsupported("list_appointment_types")

    async def list_reasons(self) -> Listing[Reason]:
        """The vendor's reasons for visits and cancellations."""
        self._unsupported("list_reasons")

    async def booking_requirements(self, slot: Slot) -> tuple[Question, ...]:
        """What a booking of this slot must answer."""
        self._unsupported("booking_requirements")

    async def booking_url(self, slot: Slot) -> str:
        """Where the patient books this slot themselves (systems that only link out)."""
        self._unsupported("booking_url")

    # changes

    async def changes(self, cursor: str | None = None) -> Changes:
        """What changed since the cursor; None asks for a cursor that means "now"."""
        self._unsupported("changes")

    def parse_webhook(self, headers: Mapping[str, str], body: bytes) -> tuple[Change, ...]:
        """What a webhook says changed, its signature and age checked. Raises AuthFailed.

        Not a coroutine: it never does I/O. What changed is read again before it is believed.
        """
        self._unsupported("parse_webhook")

    def _unsupported(self, verb: str) -> NoReturn:
        why = self.info.notes.get(verb)
        reason = f": {why}" if why else ""
        raise Unsupported(f"{self.info.title} cannot {verb}{reason}", sent=False)

    def _narrow(self, **changes: Any) -> None:
        """Replace traits for this practice, by what settings, profile or probe say."""
        self._traits = replace(self._traits, **changes)


_SYNCHRONOUS = frozenset({"parse_webhook"})

VERBS: tuple[str, ...] = (
    "find_slots",
    "hold",
    "release",
    "book",
    "cancel",
    "reschedule",
    "update_appointment",
    "confirm",
    "get_appointment",
    "list_appointments",
    "find_conflicts",
    "find_booking",
    "find_patients",
    "create_patient",
    "list_practitioners",
    "list_locations",
    "list_appointment_types",
    "list_reasons",
    "booking_requirements",
    "booking_url",
    "changes",
    "parse_webhook",
)
"""The verbs of the contract, in the order in which they are shown."""
