"""FHIR R4's own scheduling resources as a connector: Slot, Appointment, and who they are about.

http://hl7.org/fhir/R4/slot.html, appointment.html, http.html. Search, claim and create are the
standard's; what one server does otherwise is in its `FhirProfile`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from openslot.call import current
from openslot.clock import Clock
from openslot.connector import Claim, ConnectorInfo, Evidence, ProbeReport, Traits
from openslot.errors import DeadlineExceeded, NotFound, OutcomeUnknown, Stale
from openslot.model import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    AppointmentType,
    AppointmentUpdate,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    ConflictQuery,
    Hold,
    HoldRequest,
    Listing,
    Location,
    Missing,
    Patient,
    PatientQuery,
    Practitioner,
    RescheduleRequest,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    Window,
    Written,
)
from openslot.rest import Auth, ErrorRule, RestConnector, path
from openslot_connectors.fhir import availability, booking, changing, probing
from openslot_connectors.fhir.appointments import appointment_from, participants, reference_of
from openslot_connectors.fhir.claims import Claims
from openslot_connectors.fhir.outcome import ERROR_TABLE
from openslot_connectors.fhir.people import (
    appointment_types_from,
    location_from,
    patient_filters,
    patient_from,
    practitioner_from,
    readable,
)
from openslot_connectors.fhir.profile import (
    GENERIC_R4,
    INTENT_SYSTEM,
    FhirProfile,
    HoldWay,
    PatientSearch,
)
from openslot_connectors.fhir.reference import markers, reference_parts
from openslot_connectors.fhir.search import Found, Searcher
from openslot_connectors.fhir.settings import FhirSettings, auth_for
from openslot_connectors.fhir.slots import Schedule

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["FhirConnector", "FhirR4Connector"]


class FhirConnector(RestConnector):
    """Speaks FHIR to one server in its profile's way; a vendor's connector has its own profile."""

    Settings: ClassVar[type[Any]] = FhirSettings
    error_table: ClassVar[Mapping[int, ErrorRule]] = ERROR_TABLE
    media_type: ClassVar[str] = "application/fhir+json"
    profile: FhirProfile = GENERIC_R4

    settings: FhirSettings  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(
        self,
        settings: Any,
        *,
        zone: ZoneInfo,
        practice: str = "practice",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, zone=zone, practice=practice, clock=clock)
        self.profile = _for_practice(type(self).profile, self.settings)
        self.base_url = self.settings.base_url.rstrip("/")
        self.searcher = Searcher(self, self.profile)
        self.claims = Claims(self, self.profile, self.searcher)
        self.schedules = availability.ScheduleBook(self)
        claimed = Claim.YES if self.settings.enforces_if_match else Claim.NO
        # The claim keeps a second caller off the same Slot, not off another one that overlaps it.
        alone = claimed
        if claimed is Claim.YES and not self.settings.refuses_overlaps:
            alone = Claim.UNPROVEN
        held = self.profile.hold is not HoldWay.NONE
        self._narrow(
            conflict_enforcement=alone,
            idempotent_booking=claimed,
            native_hold=claimed if held else Claim.NO,
            atomic_reschedule=Claim.YES if self.rolls_back else Claim.NO,
            id_changes_on_move=Claim.NO if self.rolls_back else Claim.YES,
            largest_window=self.profile.largest_window,
            settle_within=timedelta(seconds=self.settings.settle_seconds),
        )
        if not self.rolls_back:
            self.withhold("reschedule", "this server has no way to move an appointment in one step")
        if not held:
            for verb in ("hold", "release"):
                self.withhold(verb, "slots are not held at this server; set holds = true")

    @property
    def rolls_back(self) -> bool:
        """Whether a transaction is all or nothing here."""
        return self.profile.rollback

    def authenticate(self) -> Auth | None:
        """The credential of the practice's settings."""
        return auth_for(self.settings)

    # availability

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        """The free Slots that start in the window, of the Schedules that were asked for.

        The window is split where the profile limits it and halved where an answer is cut off.
        Status, window, schedule and type are compared here again, as servers drop filters. The
        slot of an appointment that is being moved is busy until that one is cancelled.
        """
        return await availability.find_slots(self, query)

    async def hold(self, request: HoldRequest) -> Hold:
        """Mark the Slot as `busy-tentative`, if the settings allow it. Raises SlotTaken, Stale."""
        self.require("hold")
        if request.slot.id is None:
            raise Stale("the slot has no id at this server; search again", sent=False)
        await self.claims.take(request.slot, request.intent, status="busy-tentative")
        now = self.clock.now()
        expires = now + timedelta(seconds=self.settings.hold_seconds)
        return Hold(f"{request.slot.id}~{request.intent}", request.slot, expires, as_of=now)

    async def release(self, hold: Hold) -> None:
        """Free the Slot where it is still this hold's."""
        self.require("release")
        slot, _, intent = hold.id.partition("~")
        await self.claims.give_back(slot, {intent})

    def held_by(self, hold: str | None) -> str | None:
        """The intent of a hold, by the hold's id."""
        return hold.partition("~")[2] or None if hold is not None else None

    # booking

    async def book(self, request: BookingRequest) -> Written:
        """Claim the Slot under If-Match, then create the Appointment, both marked with the intent.

        Sent again with the same intent, in any process, it goes on where the last try ended.
        Raises SlotTaken, Stale, Rejected once nothing of it stands; OutcomeUnknown where something
        may.
        """
        with _told_truly():
            return await booking.book(self, request)

    async def cancel(self, request: CancelRequest) -> Written:
        """Set the Appointment's status under If-Match, then free its Slots where they are its own.

        Raises NotFound, Stale, OutcomeUnknown. Cancelling a cancelled one frees what is left.
        """
        with _told_truly():
            return await changing.cancel(self, request)

    async def cancel_record(self, appointment: str, reason: str | None) -> None:
        """Cancel an Appointment and leave its Slots."""
        await changing.set_cancelled(self, appointment, reason, None)

    async def reschedule(self, request: RescheduleRequest) -> Written:
        """Move the Appointment in one transaction, where the server rolls back."""
        self.require("reschedule")
        with _told_truly():
            return await changing.reschedule(self, request)

    async def update_appointment(self, request: AppointmentUpdate) -> Written:
        """Change type, reason or comment under If-Match; all else stays as it was."""
        with _told_truly():
            return await changing.update(self, request)

    # reading back

    async def get_appointment(self, appointment: str) -> Appointment:
        """The Appointment now. Raises NotFound, BadResponse."""
        raw, reply = await self.searcher.one("Appointment", path("Appointment", appointment))
        return self.appointment(raw, reply.etag)

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        """Appointments of a patient, or of a resource, that take any time of the window.

        R4 finds them by their start: the search reaches back by `longest_appointment_hours`.
        """
        filters: dict[str, str] = {}
        if query.patient is not None:
            filters["patient"] = _local("Patient", query.patient)
        actors = await self._actors((query.resource,)) if query.resource is not None else ()
        found = Found()
        for actor in actors or (None,):
            narrowed = filters if actor is None else {**filters, "actor": actor}
            found.add(await self._appointments(narrowed, query.window))
        listing = self._listing(found)
        kept = [
            a
            for a in listing
            if (query.patient is None or a.patient == query.patient)
            and (query.window is None or _touches(a, query.window))
            and (query.include_cancelled or a.status is not AppointmentStatus.CANCELLED)
        ]
        return self._ordered(kept, listing.missing)

    async def find_conflicts(self, query: ConflictQuery) -> Listing[Appointment]:
        """Every Appointment of these resources that takes time of the window, pending included."""
        resources = query.resources
        if not resources and query.location is not None:
            resources = (Resource(ResourceKind.LOCATION, query.location),)
        found = Found()
        for actor in await self._actors(resources):
            found.add(await self._appointments({"actor": actor}, query.window))
        listing = self._listing(found)
        kept = [a for a in listing if a.status.takes_time and _touches(a, query.window)]
        return self._ordered(kept, listing.missing)

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        """The Appointments with this intent's identifier, cancelled ones included."""
        return await self.find_by_marker(query.intent)

    async def find_by_marker(self, intent: str) -> Listing[Appointment]:
        """The Appointments with this intent's identifier."""
        found = await self.searcher.whole(
            "Appointment", {"identifier": f"{INTENT_SYSTEM}|{intent}"}
        )
        # Servers that drop the filter answer with all appointments: ours are known by the marker.
        found.matches = [raw for raw in found.matches if intent in markers(raw)]
        listing = self._listing(found)
        return self._ordered(list(listing), listing.missing)

    def appointment(self, raw: Any, etag: str | None = None) -> Appointment:
        """One Appointment as a value. Raises BadResponse."""
        return appointment_from(
            raw, base_url=self.base_url, as_of=self.clock.now(), source=self.info.name, etag=etag
        )

    # people and places

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        """People who may be the one wanted, by id, identifier, name and birth date, or contact."""
        if query.id is not None:
            person = await self.read_patient(query.id)
            return self._all([person] if person else [], [])
        way = self.profile.patient_search
        missing: list[Missing] = []
        if way is PatientSearch.MATCH:
            found = await probing.match_patients(self, query)
        else:
            filters = patient_filters(query)
            if not filters:
                return self._all([], [])
            post = way is PatientSearch.POST
            found = await self.searcher.whole("Patient", filters, post=post)
            if found.dropped:
                missing.append(probing.dropped(found.dropped))
        missing += found.missing
        people = readable(found.matches, patient_from, missing)
        return self._all([p for p in people if p.active], missing)

    async def read_patient(self, id_: str) -> Patient | None:
        """The Patient of this id, None where there is none."""
        try:
            raw, reply = await self.searcher.one("Patient", path("Patient", id_))
        except NotFound:
            return None
        return patient_from(raw, reply.etag)

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        """Register a person, once for an intent. Raises Rejected, OutcomeUnknown."""
        return await booking.create_patient(self, patient, intent)

    async def list_practitioners(self) -> Listing[Practitioner]:
        """Who sees patients here: the server's Practitioners, with their places by Schedule."""
        found, (schedules, missing) = await asyncio.gather(
            self.searcher.whole("Practitioner", {}), self.schedules.read()
        )
        missing += found.missing
        people = readable(found.matches, practitioner_from, missing)
        return self._all([_placed(p, schedules.values()) for p in people], missing)

    async def list_locations(self) -> Listing[Location]:
        """Where patients are seen."""
        found = await self.searcher.whole("Location", {})
        return self._all(readable(found.matches, location_from, found.missing), found.missing)

    async def list_appointment_types(self) -> Listing[AppointmentType]:
        """What can be booked: the coded types of the server's HealthcareServices."""
        found = await self.searcher.whole("HealthcareService", {})
        groups = readable(
            found.matches, lambda raw: appointment_types_from(raw, self.base_url), found.missing
        )
        types = {t.id: t for group in groups for t in group}
        return self._all(list(types.values()), found.missing)

    # looking at the server

    async def probe(self) -> ProbeReport:
        """Read the CapabilityStatement: release, software, what it declares, and its clock."""
        return await probing.probe(self)

    async def doctor_write_probe(self) -> tuple[str, ...]:
        """Show by writing to a Slot of our own whether If-Match is enforced, also in a race."""
        return await probing.write_probe(self)

    def distrust_if_match(self) -> None:
        """Take back what rests on If-Match: the server was seen not to enforce it."""
        self._narrow(conflict_enforcement=Claim.NO, idempotent_booking=Claim.NO)

    # parts of the above

    async def _appointments(self, filters: Mapping[str, str], window: Window | None) -> Found:
        if window is None:
            found = await self.searcher.whole("Appointment", filters)
        else:
            wider = Window(window.start - self.settings.longest_appointment, window.end)
            found = await self.searcher.windowed("Appointment", "date", wider, filters)
        if "actor" in found.dropped:
            actor = reference_parts(filters["actor"])
            found.matches = [
                raw for raw in found.matches if actor in participants(raw, self.base_url)
            ]
        return found

    async def _actors(self, resources: tuple[Resource, ...]) -> tuple[str, ...]:
        actors: dict[str, None] = {}
        for resource in resources:
            reference = reference_of(resource.kind, resource.id)
            if reference is not None:
                actors[reference] = None
                continue
            schedule = await self.schedules.one(resource.id)
            for taken in schedule.resources:
                reference = reference_of(taken.kind, taken.id)
                if reference is not None:
                    actors[reference] = None
        return tuple(actors)

    def _listing(self, found: Found) -> Listing[Appointment]:
        missing = list(found.missing)
        items = {a.id: a for a in readable(found.matches, self.appointment, missing)}
        return self._ordered(list(items.values()), tuple(missing))

    def _ordered(
        self, items: list[Appointment], missing: tuple[Missing, ...]
    ) -> Listing[Appointment]:
        now = self.clock.now()
        items.sort(key=lambda a: (a.start is None, a.start or now, a.id))
        return Listing(tuple(items), tuple(dict.fromkeys(missing)), now, self.info.name)

    def _all(self, items: list[Any], missing: list[Missing]) -> Listing[Any]:
        return Listing(
            tuple(items), tuple(dict.fromkeys(missing)), self.clock.now(), self.info.name
        )


class FhirR4Connector(FhirConnector):
    """The connector `fhir-r4`: any server that implements R4's own scheduling resources."""

    info: ClassVar[ConnectorInfo] = ConnectorInfo(
        name="fhir-r4",
        title="FHIR R4",
        traits=Traits(
            conflict_enforcement=Claim.YES,
            idempotent_booking=Claim.YES,
            asynchronous_writes=Claim.NO,
            native_hold=Claim.YES,
            atomic_reschedule=Claim.YES,
            frees_slot_on_cancel=Claim.YES,
            computed_availability=Claim.NO,
            lists_by_resource=Claim.YES,
            creation_may_pend=Claim.NO,
            one_appointment_per_patient=Claim.NO,
            id_changes_on_move=Claim.YES,
            destructive_feed=Claim.NO,
            notifies_patient=Claim.UNPROVEN,
            settle_within=timedelta(seconds=10),
        ),
        documentation="http://hl7.org/fhir/R4/slot.html",
        evidence=Evidence.DOCS,
        verified_against=("Medplum FhirRouter 5.2.13, in memory",),
        notes={
            "conflict_enforcement": "by a PUT of the Slot under If-Match, and the server's own rule"
            " about Slots that overlap (refuses_overlaps = true)",
            "reschedule": "only where a transaction rolls back (rolls_back = true)",
            "hold": "only where slots may be busy-tentative (holds = true)",
            "find_slots": "the slot of the appointment that is being moved is not free",
            "list_reasons": "R4 has no list of a practice's reasons; plain text is written",
            "confirm": "R4 has no status for a visit that the patient confirmed",
        },
    )


def _for_practice(profile: FhirProfile, settings: FhirSettings) -> FhirProfile:
    changes: dict[str, Any] = {}
    if settings.page_size is not None:
        changes["page_size"] = settings.page_size
    if settings.rolls_back:
        changes["rollback"] = True
    if settings.holds:
        changes["hold"] = HoldWay.TENTATIVE
    if settings.patient_search is not None:
        changes["patient_search"] = settings.patient_search
    return replace(profile, **changes)


def _placed(person: Practitioner, schedules: Iterable[Schedule]) -> Practitioner:
    mine = [
        s
        for s in schedules
        if s.active
        and any(r.kind is ResourceKind.PRACTITIONER and r.id == person.id for r in s.resources)
    ]
    return replace(
        person,
        locations=tuple(dict.fromkeys(s.location for s in mine if s.location is not None)),
        appointment_types=tuple(dict.fromkeys(t for s in mine for t in s.types)),
    )


@contextmanager
def _told_truly() -> Iterator[None]:
    """Time that runs out while a write is read back leaves the outcome unknown (law 11)."""
    before = current().sent
    try:
        yield
    except DeadlineExceeded as error:
        if before or not current().sent:
            raise
        raise OutcomeUnknown(
            "the time for this call ran out before it was seen what became of the write"
        ) from error


def _touches(appointment: Appointment, window: Window) -> bool:
    if appointment.start is None or appointment.end is None:
        return False
    return window.overlaps(appointment.start, appointment.end)


def _local(type_: str, id_: str) -> str:
    return id_ if "/" in id_ else f"{type_}/{id_}"
