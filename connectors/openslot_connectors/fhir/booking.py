"""Booking in two steps that another process can resume: claim the Slot, create the Appointment.

Each step leaves the intent's marker on the record that it writes, so that whoever comes later finds
how far it got: the Appointment by its identifier, the claim on the Slot itself. A refused create
gives the Slot back. Where the server rolls a transaction back, both go in one Bundle.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from openslot.errors import (
    BadResponse,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    SlotTaken,
    Stale,
)
from openslot.model import (
    Appointment,
    AppointmentStatus,
    BookingRequest,
    Patient,
    ProofLevel,
    Written,
)
from openslot.rest import Reply, path
from openslot_connectors.fhir.appointments import appointment_to
from openslot_connectors.fhir.claims import available, same_time
from openslot_connectors.fhir.people import patient_from, patient_to
from openslot_connectors.fhir.profile import INTENT_SYSTEM
from openslot_connectors.fhir.reference import Raw, id_of, markers, reference_parts, version_of
from openslot_connectors.fhir.transaction import Entry, put, run
from openslot_connectors.fhir.validate import check

if TYPE_CHECKING:
    from openslot_connectors.fhir.connector import FhirConnector

__all__ = ["book", "create_patient", "existing", "if_none_exist", "marked", "written"]

_GONE = frozenset({AppointmentStatus.CANCELLED, AppointmentStatus.ENTERED_IN_ERROR})


async def book(fhir: FhirConnector, request: BookingRequest) -> Written:
    """Book the request's Slot. See `FhirConnector.book`."""
    slot = request.slot
    if slot.id is None:
        raise Stale("the slot has no id at this server; search again", sent=False)
    held = fhir.held_by(request.hold)
    before, (raw, version) = await asyncio.gather(
        existing(fhir, request.intent), _slot(fhir, slot.id)
    )
    if before is not None:
        return _standing(before)
    if not same_time(raw, slot):
        raise Stale("the slot has another time than it was offered with", sent=False)
    if not available(raw, request.intent, held):
        raise SlotTaken(sent=False)
    patient = request.patient
    if isinstance(patient, Patient):
        # As a draft first: what R4 does not allow must not leave a person behind.
        check(_draft(fhir, request, "draft", raw), ours=False)
        if patient.id is None:
            patient = (await create_patient(fhir, patient, request.intent)).id or ""
        else:
            patient = patient.id
    resource = _draft(fhir, request, patient, raw)
    check(resource, ours=False)
    if fhir.rolls_back:
        return await _at_once(fhir, request, resource, raw, version)
    await fhir.claims.take(slot, request.intent, held=held)
    return await _create(fhir, request, resource)


async def existing(fhir: FhirConnector, intent: str) -> Appointment | None:
    """The record that carries this intent's marker. Raises OutcomeUnknown where there are several.

    One that stands goes before those that are cancelled; of these, any says the same.
    """
    found = await marked(fhir, intent)
    standing = [a for a in found if a.status not in _GONE]
    if len(standing) > 1:
        raise OutcomeUnknown("several appointments carry this intent's marker")
    either = standing or found
    return either[0] if either else None


async def marked(fhir: FhirConnector, intent: str) -> list[Appointment]:
    """All records with this intent's marker. Raises BadResponse where one cannot be read."""
    listing = await fhir.find_by_marker(intent)
    if listing.missing:
        first = listing.missing[0]
        raise BadResponse(
            f"whether this was booked before cannot be read: {first.why}", path=first.path
        )
    return list(listing.items)


async def create_patient(fhir: FhirConnector, patient: Patient, intent: str) -> Patient:
    """Register a person, once for an intent. Raises Rejected(DUPLICATE_PATIENT), OutcomeUnknown."""
    resource = patient_to(patient, intent)
    check(resource, ours=True)
    condition = if_none_exist(intent)
    known = await _patient_of(fhir, intent)
    if known is not None:
        return known
    headers = {**fhir.profile.headers, **(condition if fhir.profile.if_none_exist else {})}
    try:
        reply = await fhir.write(
            "POST", "Patient", step="create patient", json=resource, headers=headers
        )
    except OutcomeUnknown:
        known = await _patient_of(fhir, intent)
        if known is None:
            raise
        return known
    body, id_ = written(fhir, reply, "Patient")
    if body is not None:
        try:
            return patient_from(body, reply.etag)
        except BadResponse:
            pass  # it is there, which is what matters here; its id is known below
    if id_ is None:
        known = await _patient_of(fhir, intent)
        if known is None:
            raise OutcomeUnknown("the server did not say under which id it registered the person")
        return known
    return (await fhir.read_patient(id_)) or Patient(id=id_)


async def _patient_of(fhir: FhirConnector, intent: str) -> Patient | None:
    found = await fhir.searcher.whole("Patient", {"identifier": f"{INTENT_SYSTEM}|{intent}"})
    for raw in found.matches:
        person = patient_from(raw)
        if any(i.system == INTENT_SYSTEM and i.value == intent for i in person.identifiers):
            return person
    return None


def if_none_exist(intent: str) -> dict[str, str]:
    """The condition of a create: nothing carries this intent's marker yet."""
    return {"If-None-Exist": f"identifier={quote(f'{INTENT_SYSTEM}|{intent}', safe=':')}"}


def written(fhir: FhirConnector, reply: Reply, type_: str) -> tuple[Raw | None, str | None]:
    """What a create answered, as far as it can be read: the resource, and its id.

    The body may be empty, or an OperationOutcome; Location may be absolute or relative, and counts
    only at this practice's own origin (law 9).
    """
    body: Any = None
    if reply.body:
        try:
            body = reply.json()
        except BadResponse:
            body = None
    if isinstance(body, dict) and body.get("resourceType") == type_ and id_of(body):
        return body, id_of(body)
    location = reply.headers.get("location") or reply.headers.get("content-location")
    if location:
        try:
            parts = reference_parts(fhir.resolve(location), fhir.base_url)
        except BadResponse:
            return None, None
        if parts is not None and parts[0] == type_:
            return None, parts[1]
    return None, None


def _standing(appointment: Appointment) -> Written:
    return Written(
        level=ProofLevel.WRITTEN,
        id=appointment.id,
        appointment=appointment,
        version=appointment.version,
        as_of=appointment.as_of,
    )


def _draft(fhir: FhirConnector, request: BookingRequest, patient: str, slot: Raw) -> Raw:
    return appointment_to(request, patient=patient, slot=slot, profile=fhir.profile)


async def _slot(fhir: FhirConnector, slot: str) -> tuple[Raw, str]:
    try:
        return await fhir.claims.read(slot)
    except NotFound:
        raise Stale("the slot is not there any more", sent=False) from None


async def _create(fhir: FhirConnector, request: BookingRequest, resource: Raw) -> Written:
    condition = if_none_exist(request.intent) if fhir.profile.if_none_exist else {}
    try:
        reply = await fhir.write(
            "POST",
            "Appointment",
            step="create appointment",
            json=resource,
            headers={**fhir.profile.headers, **condition},
        )
    except OutcomeUnknown:
        # The claim stays: only who knows that nothing was written may give it back.
        before = await existing(fhir, request.intent)
        if before is None:
            raise
        return _standing(before)
    except OpenSlotError as error:
        return await _refused(fhir, request, error)
    body, id_ = written(fhir, reply, "Appointment")
    appointment: Appointment | None = None
    if body is not None:
        try:
            appointment = fhir.appointment(body, reply.etag)
        except BadResponse:
            appointment = None  # it is written; who reads it back learns what is wrong with it
    if id_ is None:
        before = await existing(fhir, request.intent)
        if before is None:
            raise OutcomeUnknown(
                "the server did not say under which id it booked", request_id=reply.request_id
            )
        return _standing(before)
    return Written(
        level=ProofLevel.WRITTEN,
        id=id_,
        appointment=appointment,
        version=appointment.version if appointment else version_of(body or {}, reply.etag),
        request_id=reply.request_id,
        as_of=fhir.clock.now(),
    )


async def _refused(fhir: FhirConnector, request: BookingRequest, error: OpenSlotError) -> Written:
    """Undo the claim of a booking that the server refused, and raise why; or what stands after all.

    A refusal is an end only once nothing of it stands. Where that cannot be shown it is
    OutcomeUnknown, and the same intent goes on from here.
    """
    assert request.slot.id is not None
    try:
        before = await existing(fhir, request.intent)
        if before is not None:
            return _standing(before)
        await fhir.claims.give_back(request.slot.id, {request.intent})
    except OpenSlotError as undo:
        raise OutcomeUnknown(
            f"{error.message}; and the slot could not be given back: {undo.message}",
            request_id=error.request_id,
        ) from error
    if isinstance(error, Stale | SlotTaken):
        raise SlotTaken(request_id=error.request_id, sent=True) from error
    error.sent = False  # nothing of it stands
    raise error


async def _at_once(
    fhir: FhirConnector, request: BookingRequest, resource: Raw, raw: Raw, version: str
) -> Written:
    """Claim and create in one transaction, for servers that are known to roll back."""
    claim = fhir.claims.marked(raw, request.intent)
    check(claim, ours=False)
    create = Entry("POST", "Appointment", resource)
    if fhir.profile.if_none_exist:
        create.if_none_exist = if_none_exist(request.intent)["If-None-Exist"]
    entries = [put(path("Slot", raw["id"]), claim, version), create]
    try:
        answers = await run(fhir, entries, step="book")
    except OutcomeUnknown:
        before = await existing(fhir, request.intent)
        claimed, _ = await fhir.claims.read(str(raw["id"]))
        if before is None or request.intent not in markers(claimed):
            raise
        return _standing(before)
    except OpenSlotError as error:
        # Refused as a whole, which not every server that says so also is.
        return await _half_done(fhir, request, error)
    failed = next((a.error for a in answers if a.error is not None), None)
    if failed is not None:
        # Run as a batch after all: what got through is undone before the refusal is told.
        return await _half_done(fhir, request, failed)
    answer = answers[1]
    appointment: Appointment | None = None
    if answer.resource is not None:
        try:
            appointment = fhir.appointment(answer.resource, answer.etag)
        except BadResponse:
            appointment = None
    parts = reference_parts(answer.location or "", fhir.base_url)
    id_ = id_of(answer.resource or {}) or (parts[1] if parts else None)
    if id_ is None:
        before = await existing(fhir, request.intent)
        if before is None:
            raise OutcomeUnknown("the server did not say under which id it booked")
        return _standing(before)
    return Written(ProofLevel.WRITTEN, id_, appointment, as_of=fhir.clock.now())


async def _half_done(fhir: FhirConnector, request: BookingRequest, error: OpenSlotError) -> Written:
    assert request.slot.id is not None
    try:
        for appointment in await marked(fhir, request.intent):
            if appointment.status not in _GONE:
                await fhir.cancel_record(appointment.id, None)
        await fhir.claims.give_back(request.slot.id, {request.intent})
    except OpenSlotError as undo:
        raise OutcomeUnknown(
            f"{error.message}; and what was written could not be undone: {undo.message}"
        ) from error
    if isinstance(error, Stale | SlotTaken):
        raise SlotTaken(sent=True) from error
    error.sent = False
    raise error
