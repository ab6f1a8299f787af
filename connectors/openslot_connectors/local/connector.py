"""The `local` connector: OpenSlot's own practice engine, spoken to through the contract."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from openslot.call import current
from openslot.clinic import Clinic, opening_id, synthetic_clinic
from openslot.connector import (
    Claim,
    Connector,
    ConnectorInfo,
    Evidence,
    ProbeReport,
    Traits,
)
from openslot.errors import DeadlineExceeded, OutcomeUnknown, Rejected, Stale, Unavailable
from openslot.model import (
    Appointment,
    AppointmentQuery,
    AppointmentType,
    AppointmentUpdate,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    Changes,
    ConflictQuery,
    Hold,
    HoldRequest,
    Listing,
    Location,
    Missing,
    MissingWhat,
    Patient,
    PatientQuery,
    Practitioner,
    ProofLevel,
    Question,
    Reason,
    RescheduleRequest,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    Written,
)
from openslot_connectors.local.settings import LocalSettings

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from openslot.clock import Clock

__all__ = ["LocalConnector"]

T = TypeVar("T")

_APPOINTMENTS = 10_000
_PATIENTS = 50


class LocalConnector(Connector):
    """Books in a clinic that lives in one SQLite file on this machine.

    The clinic is opened on first use, on the one thread that all its work is done on. A deadline or
    a cancelled task ends the wait; a write that has begun still ends whole, or not at all.
    """

    Settings = LocalSettings
    info = ConnectorInfo(
        name="local",
        title="OpenSlot clinic",
        documentation="docs/connectors/local.md",
        evidence=Evidence.LIVE,
        verified_against=(f"SQLite {sqlite3.sqlite_version}",),
        traits=Traits(
            conflict_enforcement=Claim.YES,
            idempotent_booking=Claim.YES,
            asynchronous_writes=Claim.NO,
            native_hold=Claim.YES,
            atomic_reschedule=Claim.YES,
            frees_slot_on_cancel=Claim.YES,
            computed_availability=Claim.YES,
            lists_by_resource=Claim.YES,
            creation_may_pend=Claim.NO,
            one_appointment_per_patient=Claim.NO,
            id_changes_on_move=Claim.NO,
            destructive_feed=Claim.NO,
            notifies_patient=Claim.NO,
        ),
        notes={
            "booking_url": "the clinic has no web page of its own",
            "parse_webhook": "the clinic calls nobody; read its changes",
            "find_slots": "insurance plans and visit reasons do not change what is free",
        },
    )

    def __init__(
        self,
        settings: LocalSettings,
        *,
        zone: ZoneInfo,
        practice: str = "practice",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, zone=zone, practice=practice, clock=clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"openslot-local-{practice}")
        self._opened: Clinic | None = None
        self._closed = False

    async def aclose(self) -> None:
        """Close the file once the work under way is done. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def probe(self) -> ProbeReport:
        """Open the file and look whether it is a clinic's. Raises ConfigError."""
        await self._read(lambda clinic: clinic.locations())
        return ProbeReport(
            server=f"OpenSlot clinic on SQLite {sqlite3.sqlite_version}",
            skew=timedelta(0),
            traits=self.traits,
        )

    # availability

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        """The free openings that start in the window. Raises NotFound for unknown ids."""
        known = query.patient is not None
        found = await self._read(
            lambda clinic: clinic.openings(
                query.window,
                type=query.appointment_type,
                practitioners=query.practitioners,
                locations=query.locations,
                visit_mode=query.visit_mode,
                new_patient=False if known and query.new_patient is None else query.new_patient,
                ignore_appointment=query.ignore_appointment,
            )
        )
        return self._listing(replace(opening.slot, source=self.info.name) for opening in found)

    async def hold(self, request: HoldRequest) -> Hold:
        """Keep an opening for `hold_seconds`; the same intent answers the same hold."""
        opening = _opening(request.slot)
        return await self._write("hold", lambda clinic: clinic.hold(opening, intent=request.intent))

    async def release(self, hold: Hold) -> None:
        """Give a held opening back."""
        await self._write("release", lambda clinic: clinic.release(hold.id))

    # booking

    async def book(self, request: BookingRequest) -> Written:
        """Book an opening; the clinic's file remembers the intent."""
        opening = _opening(request.slot, request.appointment_type)
        return self._written(
            await self._write(
                "book",
                lambda clinic: clinic.book(
                    opening,
                    request.patient,
                    intent=request.intent,
                    hold=request.hold,
                    visit_mode=request.visit_mode or request.slot.visit_mode,
                    new_patient=request.new_patient,
                    reason=request.reason,
                    comment=request.comment,
                    answers=request.answers,
                    ignore_appointment=request.ignore_appointment,
                ),
            )
        )

    async def cancel(self, request: CancelRequest) -> Written:
        """Cancel an appointment and free its time."""
        return self._written(
            await self._write(
                "cancel",
                lambda clinic: clinic.cancel(
                    request.appointment,
                    intent=request.intent,
                    reason=request.reason,
                    version=request.version,
                ),
            )
        )

    async def reschedule(self, request: RescheduleRequest) -> Written:
        """Move an appointment in one transaction; its id stays, so `replaces` is None."""
        opening = _opening(request.slot)
        return self._written(
            await self._write(
                "reschedule",
                lambda clinic: clinic.reschedule(
                    request.appointment,
                    opening,
                    intent=request.intent,
                    version=request.version,
                    note=request.reason,
                ),
            )
        )

    async def update_appointment(self, request: AppointmentUpdate) -> Written:
        """Change type, reason or comment; all else stays."""
        return self._written(
            await self._write(
                "update_appointment",
                lambda clinic: clinic.update(
                    request.appointment,
                    intent=request.intent,
                    type=request.appointment_type,
                    reason=request.reason,
                    comment=request.comment,
                    version=request.version,
                ),
            )
        )

    async def confirm(self, appointment: str) -> Written:
        """Record that the patient is coming."""
        return self._written(
            await self._write("confirm", lambda clinic: clinic.confirm(appointment))
        )

    # reading back

    async def get_appointment(self, appointment: str) -> Appointment:
        """The appointment as the file has it now."""
        return self._own(await self._read(lambda clinic: clinic.get_appointment(appointment)))

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        """Appointments of a patient, or of a resource in a window, by start."""

        def work(clinic: Clinic) -> tuple[Appointment, ...]:
            resource, location = _where(clinic, query.resource)
            return clinic.appointments(
                patient=query.patient,
                resource=resource,
                location=location,
                window=query.window,
                include_cancelled=query.include_cancelled,
                limit=_APPOINTMENTS + 1,
            )

        return self._listing(map(self._own, await self._read(work)), at_most=_APPOINTMENTS)

    async def find_conflicts(self, query: ConflictQuery) -> Listing[Appointment]:
        """Every appointment that takes time of these resources in the window."""

        def work(clinic: Clinic) -> tuple[Appointment, ...]:
            found: dict[str, Appointment] = {}
            for resource in query.resources or (None,):
                id, location = _where(clinic, resource)
                for appointment in clinic.appointments(
                    resource=id,
                    location=location or query.location,
                    window=query.window,
                    include_cancelled=False,
                    limit=_APPOINTMENTS + 1,
                ):
                    if appointment.status.takes_time:
                        found[appointment.id] = appointment
            return tuple(found.values())

        return self._listing(map(self._own, await self._read(work)), at_most=_APPOINTMENTS)

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        """The appointment that was booked with this intent, cancelled or not."""
        found = await self._read(lambda clinic: clinic.by_intent(query.intent))
        return self._listing(map(self._own, found))

    # people and places

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        """Patients that fit every field; what lies beyond the first 50 is named as missing."""
        found = await self._read(lambda clinic: clinic.find_patients(query, limit=_PATIENTS + 1))
        return self._listing(found, at_most=_PATIENTS)

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        """Register a person; the same intent answers the same record."""
        return await self._write(
            "create_patient", lambda clinic: clinic.create_patient(patient, intent=intent)
        )

    async def list_practitioners(self) -> Listing[Practitioner]:
        """Who sees patients here."""
        return self._listing(await self._read(lambda clinic: clinic.practitioners()))

    async def list_locations(self) -> Listing[Location]:
        """Where patients are seen."""
        return self._listing(await self._read(lambda clinic: clinic.locations()))

    async def list_appointment_types(self) -> Listing[AppointmentType]:
        """What can be booked."""
        types = await self._read(lambda clinic: clinic.types())
        return self._listing(visit_type.as_appointment_type() for visit_type in types)

    async def list_reasons(self) -> Listing[Reason]:
        """The clinic's reasons for visits and cancellations."""
        return self._listing(await self._read(lambda clinic: clinic.reasons()))

    async def booking_requirements(self, slot: Slot) -> tuple[Question, ...]:
        """The questions of the opening's appointment type."""
        kind = _opening(slot).split(".")[2]
        return (await self._read(lambda clinic: clinic.type(kind))).questions

    # changes

    async def changes(self, cursor: str | None = None) -> Changes:
        """What changed since the cursor. Raises Stale for a cursor that is not the clinic's."""

        def work(clinic: Clinic) -> Changes:
            try:
                return clinic.changes(cursor)
            except ValueError as error:
                raise Stale("this cursor is not the clinic's", sent=False) from error

        return await self._read(work)

    # the thread

    async def _read(self, work: Callable[[Clinic], T]) -> T:
        return await self._on_thread(work, writes=False)

    async def _write(self, step: str, work: Callable[[Clinic], T]) -> T:
        await current().sending(step)
        return await self._on_thread(work, writes=True)

    async def _on_thread(self, work: Callable[[Clinic], T], *, writes: bool) -> T:
        if self._closed:
            raise Unavailable("the connector was closed", sent=False)
        call = current()
        left = None if call.deadline is None else call.deadline - call.clock.monotonic()
        if left is not None and left <= 0:
            raise DeadlineExceeded("the time for this call ran out", sent=False)
        job = self._thread.submit(lambda: work(self._clinic()))
        waiting = asyncio.wrap_future(job)
        waiting.add_done_callback(_heard)
        done, _ = await asyncio.wait({waiting}, timeout=left)
        if done:
            return waiting.result()
        if job.cancel() or not writes:  # a job that can be cancelled has not begun
            raise DeadlineExceeded("the time for this call ran out", sent=False)
        raise OutcomeUnknown("the clinic's file is busy; the write may still happen", sent=True)

    def _clinic(self) -> Clinic:
        if self._opened is None:
            settings: LocalSettings = self.settings
            options: dict[str, Any] = {
                "clock": self.clock,
                "hold_for": timedelta(seconds=settings.hold_seconds),
            }
            if settings.synthetic is None:
                self._opened = Clinic(settings.database, **options)
            else:
                self._opened = synthetic_clinic(
                    settings.database, seed=settings.synthetic, zone=self.zone.key, **options
                )
            if not self._opened.enforces_conflicts:
                self._narrow(conflict_enforcement=Claim.NO)
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    # values

    def _listing(self, items: Iterable[T], *, at_most: int | None = None) -> Listing[T]:
        found = tuple(items)
        missing: tuple[Missing, ...] = ()
        if at_most is not None and len(found) > at_most:
            found = found[:at_most]
            missing = (Missing(MissingWhat.PAGE, f"more than {at_most} fit; ask for less"),)
        return Listing(found, missing, as_of=self.clock.now(), source=self.info.name)

    def _own(self, appointment: Appointment) -> Appointment:
        return replace(appointment, source=self.info.name)

    def _written(self, appointment: Appointment) -> Written:
        return Written(
            level=ProofLevel.WRITTEN,
            id=appointment.id,
            appointment=self._own(appointment),
            version=appointment.version,
            as_of=appointment.as_of,
        )


def _heard(waiting: asyncio.Future[Any]) -> None:
    """Take note of a failure that nobody waits for any more, so that asyncio does not complain."""
    if not waiting.cancelled():
        waiting.exception()


def _opening(slot: Slot, appointment_type: str | None = None) -> str:
    """The id of the opening that a slot is, checked against its start and the type asked for."""
    kind = appointment_type or slot.appointment_type
    if appointment_type not in (None, slot.appointment_type) and slot.appointment_type is not None:
        raise Rejected("the slot is for another type of appointment", sent=False)
    opening = slot.ref or slot.id
    if opening is None and slot.practitioner and slot.location and kind:
        opening = opening_id(slot.practitioner, slot.location, kind, slot.start)
    if opening is None or opening.rpartition(".")[2] != str(int(slot.start.timestamp())):
        raise Stale("this is not a slot that the clinic offered", sent=False)
    return opening


def _where(clinic: Clinic, resource: Resource | None) -> tuple[str | None, str | None]:
    """(resource id, location id) as the clinic lists by them. Raises NotFound."""
    if resource is None:
        return None, None
    if resource.kind is ResourceKind.LOCATION:
        return None, resource.id
    if resource.kind is ResourceKind.SCHEDULE:
        practitioner, _, location = resource.id.partition(".")
        return clinic.resource(practitioner).id, location
    return clinic.resource(resource.id, resource.kind).id, None
