"""A vendor in memory whose manners are switches, for what no single real server shows."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from openslot import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    Claim,
    ConflictQuery,
    Connector,
    ConnectorInfo,
    Hold,
    HoldRequest,
    Identifier,
    Listing,
    Missing,
    MissingWhat,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    Patient,
    PatientQuery,
    ProofLevel,
    Rejected,
    RejectedReason,
    RescheduleRequest,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    SlotTaken,
    Traits,
    Unavailable,
    Window,
    Written,
)
from openslot.call import current

START = datetime(2027, 3, 1, 14, 0, tzinfo=UTC)
DR = Resource(ResourceKind.PRACTITIONER, "dr-1")
HALF = timedelta(minutes=30)
SYSTEM = "urn:openslot:intent"


class FakeClock:
    """A clock that sleeping moves, so that no test waits long; other desks get a turn meanwhile."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2027, 2, 28, 12, 0, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds
        await asyncio.sleep(min(seconds, 0.05))


@dataclass
class Vendor:
    """What stands in the practice's system, and how it behaves."""

    enforces: bool = True
    pends: bool = False
    single: bool = False
    holds: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    appointments: dict[str, Appointment] = field(default_factory=dict)
    patients: dict[str, Patient] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    before: dict[str, list[Callable[[], Any]]] = field(default_factory=dict)
    after: dict[str, list[Callable[[], Any]]] = field(default_factory=dict)
    shift: timedelta = timedelta(0)
    blind: bool = False
    ids: Any = field(default_factory=lambda: itertools.count(1))

    @property
    def standing(self) -> list[Appointment]:
        return [a for a in self.appointments.values() if a.status.takes_time]

    def taken(self, start: datetime, end: datetime, but: str | None = None) -> bool:
        booked = any(
            a.id != but and a.start and a.end and Window(start, end).overlaps(a.start, a.end)
            for a in self.standing
        )
        return booked or any(
            h != but and Window(start, end).overlaps(*span) for h, span in self.holds.items()
        )

    def add(
        self, patient: str, start: datetime, intent: str = "", end: datetime | None = None
    ) -> Appointment:
        status = AppointmentStatus.PENDING if self.pends else AppointmentStatus.BOOKED
        made = Appointment(
            id=f"a{next(self.ids):04d}",
            status=status,
            start=start + self.shift,
            end=(end or start + HALF) + self.shift,
            patient=patient,
            resources=(DR,),
            identifiers=(Identifier(SYSTEM, intent),) if intent else (),
        )
        self.appointments[made.id] = made
        return made

    def set_status(self, id: str, status: AppointmentStatus) -> Appointment:
        self.appointments[id] = replace(self.appointments[id], status=status)
        return self.appointments[id]


def lost() -> None:
    """The answer does not arrive."""
    raise OutcomeUnknown("the connection broke after the request was sent", sent=True)


def down() -> None:
    """Nothing can be sent."""
    raise Unavailable("connection refused", sent=False)


class Plain(Connector):
    """Books, cancels and reads by id and by patient; has no marker."""

    info = ConnectorInfo(
        name="toy",
        title="Toy",
        documentation="none",
        traits=Traits(
            conflict_enforcement=Claim.YES,
            creation_may_pend=Claim.NO,
            one_appointment_per_patient=Claim.NO,
            frees_slot_on_cancel=Claim.YES,
            settle_within=timedelta(seconds=5),
        ),
    )
    Settings = dict

    def __init__(self, vendor: Vendor, clock: FakeClock, **traits: Any) -> None:
        super().__init__({}, zone=ZoneInfo("America/New_York"), practice="toy", clock=clock)
        self.vendor = vendor
        self._narrow(**traits)

    async def _sent(self, step: str) -> None:
        self._run(self.vendor.before, step)
        await current().sending(step)
        self.vendor.requests.append(step)
        await asyncio.sleep(0)

    def _run(self, hooks: dict[str, list[Callable[[], Any]]], step: str) -> None:
        queue = hooks.get(step, [])
        if queue:
            queue.pop(0)()

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        await asyncio.sleep(0)
        slots = []
        for n in range(12):
            at = START + n * HALF
            if query.window.contains(at) and not self.vendor.taken(at, at + HALF):
                slots.append(Slot(at, at + HALF, id=f"s{at:%H%M}", resources=(DR,), source="toy"))
        missing = (Missing(MissingWhat.PAGE, "page 2 is gone"),) if self.vendor.blind else ()
        return Listing(tuple(slots), missing, as_of=self.clock.now())

    async def book(self, request: BookingRequest) -> Written:
        await self._sent("book")
        slot, patient = request.slot, request.patient
        assert isinstance(patient, str)
        if self.vendor.enforces and self.vendor.taken(slot.start, slot.end, but=request.hold):
            raise SlotTaken
        if self.vendor.single and any(a.patient == patient for a in self.vendor.standing):
            raise Rejected("one at a time", reason=RejectedReason.PATIENT_CONFLICT)
        if request.hold:
            self.vendor.holds.pop(request.hold, None)
        made = self.vendor.add(patient, slot.start, request.intent, slot.end)
        self._run(self.vendor.after, "book")
        return Written(ProofLevel.WRITTEN, id=made.id)

    async def cancel(self, request: CancelRequest) -> Written:
        await self._sent("cancel")
        if request.appointment not in self.vendor.appointments:
            raise NotFound("no such appointment")
        done = self.vendor.set_status(request.appointment, AppointmentStatus.CANCELLED)
        self._run(self.vendor.after, "cancel")
        return Written(ProofLevel.WRITTEN, id=done.id, appointment=done)

    async def get_appointment(self, appointment: str) -> Appointment:
        await asyncio.sleep(0)
        self._run(self.vendor.before, "get_appointment")
        try:
            return replace(self.vendor.appointments[appointment], as_of=self.clock.now())
        except KeyError:
            raise NotFound("no such appointment") from None

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        await asyncio.sleep(0)
        self._run(self.vendor.before, "list_appointments")
        return Listing(
            tuple(a for a in self.vendor.appointments.values() if a.patient == query.patient)
        )

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        found = tuple(
            p
            for p in self.vendor.patients.values()
            if p.name and query.family and (p.name.family or "").lower() == query.family.lower()
        )
        missing = (Missing(MissingWhat.PAGE, "page 2 is gone"),) if self.vendor.blind else ()
        return Listing(found, missing)

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        await self._sent("create_patient")
        made = replace(patient, id=f"p{next(self.vendor.ids):04d}")
        self.vendor.patients[str(made.id)] = made
        self._run(self.vendor.after, "create_patient")
        return made


class Marked(Plain):
    """As Plain, and its records carry our marker."""

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        await asyncio.sleep(0)
        self._run(self.vendor.before, "find_booking")
        wanted = Identifier(SYSTEM, query.intent)
        return Listing(
            tuple(a for a in self.vendor.appointments.values() if wanted in a.identifiers)
        )

    async def find_conflicts(self, query: ConflictQuery) -> Listing[Appointment]:
        await asyncio.sleep(0)
        return Listing(
            tuple(
                a
                for a in self.vendor.standing
                if a.start and a.end and query.window.overlaps(a.start, a.end)
            )
        )


class Atomic(Marked):
    """As Marked, with holds and a native move."""

    async def hold(self, request: HoldRequest) -> Hold:
        await self._sent("hold")
        if self.vendor.taken(request.slot.start, request.slot.end):
            raise SlotTaken
        self.vendor.holds[request.intent] = (request.slot.start, request.slot.end)
        return Hold(request.intent, request.slot, self.clock.now() + timedelta(minutes=5))

    async def release(self, hold: Hold) -> None:
        self.vendor.holds.pop(hold.id, None)

    async def reschedule(self, request: RescheduleRequest) -> Written:
        await self._sent("reschedule")
        slot = request.slot
        if self.vendor.taken(slot.start, slot.end, but=request.appointment):
            raise SlotTaken
        old = self.vendor.appointments[request.appointment]
        self.vendor.appointments[old.id] = replace(old, start=slot.start, end=slot.end)
        self._run(self.vendor.after, "reschedule")
        return Written(ProofLevel.WRITTEN, id=old.id)


def error_of(kind: type[OpenSlotError]) -> Callable[[], None]:
    """A hook that raises a leaf with its plainest message."""

    def fail() -> None:
        raise kind("as the test wants it")

    return fail
