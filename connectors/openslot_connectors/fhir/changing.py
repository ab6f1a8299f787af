"""Changing an Appointment that stands: cancel, update, move; what we do not understand stays.

A change is made to the whole resource as it was just read, under its version: a PUT with If-Match,
or, where the profile says so, a JSON Patch that tests the version first. A change that another
made in between is read and the edit made again; a repeated one finds its work done.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from openslot.errors import (
    BadResponse,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    Rejected,
    SlotTaken,
    Stale,
)
from openslot.model import (
    Appointment,
    AppointmentStatus,
    AppointmentUpdate,
    CancelRequest,
    ProofLevel,
    RescheduleRequest,
    Written,
)
from openslot.rest import path
from openslot.rest.json import dumps
from openslot_connectors.fhir.appointments import cancelled, reference_of, type_concept
from openslot_connectors.fhir.claims import available, same_time
from openslot_connectors.fhir.profile import INTENT_SYSTEM, TypeField, WriteVerb
from openslot_connectors.fhir.reference import (
    Raw,
    markers,
    reference_parts,
    version_of,
    without_markers,
)
from openslot_connectors.fhir.transaction import put, run
from openslot_connectors.fhir.validate import check

if TYPE_CHECKING:
    from openslot_connectors.fhir.connector import FhirConnector

__all__ = ["cancel", "reschedule", "set_cancelled", "update"]

_log = logging.getLogger("openslot.fhir")
_ROUNDS = 4
_OVER = frozenset({"arrived", "checked-in", "fulfilled", "noshow"})
_PLACES = frozenset({"Practitioner", "PractitionerRole", "Location", "Device", "HealthcareService"})

Edit = Callable[[Raw], "Raw | None"]
"""The resource as it should be; None where it is so already."""


async def cancel(fhir: FhirConnector, request: CancelRequest) -> Written:
    """Cancel and free the Slots. See `FhirConnector.cancel`."""
    raw = await set_cancelled(fhir, request.appointment, request.reason, request.version)
    await _free_slots(fhir, raw)
    return _written(fhir, raw)


async def set_cancelled(
    fhir: FhirConnector, appointment: str, reason: str | None, version: str | None
) -> Raw:
    """The Appointment once it is cancelled. Raises Rejected for a visit that has begun."""

    def edit(raw: Raw) -> Raw | None:
        status = raw.get("status")
        if status in ("cancelled", "entered-in-error"):
            return None
        if status in _OVER:
            raise Rejected("the visit has begun, is over or was missed", sent=False)
        return cancelled(raw, reason)

    return await _change(fhir, appointment, edit, version, step="cancel appointment")


async def update(fhir: FhirConnector, request: AppointmentUpdate) -> Written:
    """Change what an Appointment says. See `FhirConnector.update_appointment`."""

    def edit(raw: Raw) -> Raw | None:
        changed = dict(raw)
        if request.appointment_type is not None:
            concept = type_concept(request.appointment_type, raw, fhir.profile)
            single = fhir.profile.type_field is TypeField.APPOINTMENT
            changed[fhir.profile.type_field.value] = concept if single else [concept]
        if request.reason is not None:
            changed["reasonCode"] = [{"text": request.reason}]
        if request.comment is not None:
            changed["comment"] = request.comment
        return changed if changed != raw else None

    raw = await _change(fhir, request.appointment, edit, request.version, step="update appointment")
    return _written(fhir, raw)


async def reschedule(fhir: FhirConnector, request: RescheduleRequest) -> Written:
    """Move in one transaction: new Slot busy, Appointment changed, old Slots free.

    Raises SlotTaken and Stale where nothing was changed, OutcomeUnknown where that cannot be shown.
    """
    slot = request.slot
    if slot.id is None:
        raise Stale("the slot has no id at this server; search again", sent=False)
    raw, version = await _read(fhir, request.appointment)
    if request.intent in markers(raw) and slot.id in _slots(fhir, raw):
        return _written(fhir, raw, replaces=request.appointment)
    if request.version is not None and request.version != version:
        raise Stale("the appointment changed since it was read", sent=False)
    if raw.get("status") not in ("booked", "pending"):
        raise Rejected("only an appointment that is still to come can be moved", sent=False)
    try:
        target, target_version = await fhir.claims.read(slot.id)
    except NotFound:
        raise Stale("the slot is not there any more", sent=False) from None
    if not same_time(target, slot):
        raise Stale("the slot has another time than it was offered with", sent=False)
    if not available(target, request.intent):
        raise SlotTaken(sent=False)
    moved = _moved(fhir, raw, target, request)
    claim = fhir.claims.marked(target, request.intent)
    entries = [
        put(path("Slot", slot.id), claim, target_version),
        put(path("Appointment", request.appointment), moved, version),
    ]
    for old in _slots(fhir, raw):
        freed, freed_version = await fhir.claims.read(old)
        if not set(markers(freed)) - set(markers(raw)):
            free = {**without_markers(freed), "status": "free"}
            entries.append(put(path("Slot", old), free, freed_version))
    for entry in entries:
        check(entry.resource, ours=False)
    failed: OpenSlotError | None = None
    try:
        answers = await run(fhir, entries, step="move appointment")
        failed = next((a.error for a in answers if a.error is not None), None)
    except OpenSlotError as error:
        failed = error
    after, _ = await _read(fhir, request.appointment)
    if request.intent in markers(after) and slot.id in _slots(fhir, after):
        return _written(fhir, after, replaces=request.appointment)
    if failed is None or isinstance(failed, OutcomeUnknown):
        raise failed or OutcomeUnknown(
            "the server says that it moved the appointment, and shows not"
        )
    held, _ = await fhir.claims.read(slot.id)
    if request.intent in markers(held):
        raise OutcomeUnknown(
            "the server did not roll a failed transaction back; set rolls_back = false"
        ) from failed
    if isinstance(failed, Stale | SlotTaken):
        raise SlotTaken(request_id=failed.request_id, sent=True) from failed
    failed.sent = False  # nothing of it stands
    raise failed


def _moved(fhir: FhirConnector, raw: Raw, target: Raw, request: RescheduleRequest) -> Raw:
    staying = [
        p
        for p in raw.get("participant", [])
        if not (parts := reference_parts(p.get("actor"), fhir.base_url)) or parts[0] not in _PLACES
    ]
    coming = [reference_of(r.kind, r.id) for r in request.slot.resources]
    if request.slot.location is not None:
        coming.append(f"Location/{request.slot.location}")
    if fhir.profile.names_practitioner:
        staying += [
            {"actor": {"reference": r}, "status": "accepted"} for r in dict.fromkeys(coming) if r
        ]
    moved = {k: v for k, v in raw.items() if k != "minutesDuration"}
    moved |= {
        "start": target["start"],
        "end": target["end"],
        "slot": [{"reference": f"Slot/{target['id']}"}],
        "participant": staying,
        "identifier": [
            *raw.get("identifier", []),
            {"system": INTENT_SYSTEM, "value": request.intent},
        ],
    }
    return moved


async def _read(fhir: FhirConnector, appointment: str) -> tuple[Raw, str]:
    raw, reply = await fhir.searcher.one("Appointment", path("Appointment", appointment))
    version = version_of(raw, reply.etag)
    if version is None:
        raise BadResponse(
            "the server gives Appointments no version, so none can be changed safely",
            path="Appointment.meta.versionId",
            request_id=reply.request_id,
        )
    return raw, version


async def _change(
    fhir: FhirConnector, appointment: str, edit: Edit, version: str | None, *, step: str
) -> Raw:
    sent = False
    for _ in range(_ROUNDS):
        raw, found = await _read(fhir, appointment)
        changed = edit(raw)
        if changed is None:
            return raw
        if version is not None and version != found and not sent:
            raise Stale("the appointment changed since it was read", sent=False)
        check(changed, ours=False)
        try:
            await _send(fhir, appointment, raw, changed, found, step)
        except (Stale, SlotTaken) as error:
            if version is not None:
                raise Stale(error.message, request_id=error.request_id) from error
        except Rejected:
            # A failed `test` is a 400 on some servers: it is one if the version has moved on.
            if (
                fhir.profile.write is not WriteVerb.PATCH
                or (await _read(fhir, appointment))[1] == found
            ):
                raise
        except OutcomeUnknown:
            pass  # the next reading shows whether the edit is made
        sent = True
    if sent and edit(raw := (await _read(fhir, appointment))[0]) is None:
        return raw
    raise OutcomeUnknown("whether the appointment was changed is not known")


async def _send(
    fhir: FhirConnector, appointment: str, raw: Raw, changed: Raw, version: str, step: str
) -> None:
    where = path("Appointment", appointment)
    headers = {**fhir.profile.headers, "If-Match": fhir.profile.if_match.of(version)}
    if fhir.profile.write is WriteVerb.PUT:
        await fhir.write("PUT", where, step=step, json=changed, headers=headers, repeatable=True)
        return
    headers["Content-Type"] = "application/json-patch+json"
    await fhir.write(
        "PATCH",
        where,
        step=step,
        content=dumps(_patch(raw, changed, version)),
        headers=headers,
        repeatable=True,
    )


def _patch(raw: Raw, changed: Raw, version: str) -> list[dict[str, Any]]:
    operations: list[dict[str, Any]] = []
    meta = raw.get("meta")
    if isinstance(meta, dict) and meta.get("versionId") == version:
        operations.append({"op": "test", "path": "/meta/versionId", "value": version})
    for member in raw.keys() - changed.keys():
        operations.append({"op": "remove", "path": f"/{member}"})
    for member, value in changed.items():
        if member not in raw:
            operations.append({"op": "add", "path": f"/{member}", "value": value})
        elif raw[member] != value:
            operations.append({"op": "replace", "path": f"/{member}", "value": value})
    return operations


def _slots(fhir: FhirConnector, raw: Raw) -> list[str]:
    listed = raw.get("slot", [])
    parts = [
        reference_parts(s, fhir.base_url) for s in (listed if isinstance(listed, list) else ())
    ]
    return [p[1] for p in parts if p is not None and p[0] == "Slot"]


async def _free_slots(fhir: FhirConnector, raw: Raw) -> None:
    """Free the Slots of an Appointment that does not stand any more.

    The cancellation is done and is answered so; a Slot that could not be freed is logged, seen by
    who looks whether the time is offered again, and freed by the next try.
    """
    intents = set(markers(raw))
    for slot in _slots(fhir, raw):
        try:
            # A Slot without a mark of ours is freed only for an Appointment that has none either,
            # or on a server that keeps none; and only if no other Appointment stands on it.
            ours = bool(intents) and fhir.profile.slot_marker
            unmarked = not ours and await _alone(fhir, slot, str(raw.get("id")))
            if not await fhir.claims.give_back(slot, intents, unmarked=unmarked):
                _log.info("a cancelled appointment's slot is another's, and was left")
        except OpenSlotError as error:
            _log.warning("a cancelled appointment's slot could not be freed: %s", error.message)


async def _alone(fhir: FhirConnector, slot: str, appointment: str) -> bool:
    found = await fhir.searcher.whole("Appointment", {"slot": f"Slot/{slot}"})
    if found.missing:
        return False
    for raw in found.matches:
        if raw.get("id") == appointment or slot not in _slots(fhir, raw):
            continue
        if AppointmentStatus(raw.get("status", "booked")).takes_time:
            return False
    return True


def _written(fhir: FhirConnector, raw: Raw, replaces: str | None = None) -> Written:
    appointment: Appointment | None
    try:
        appointment = fhir.appointment(raw)
    except BadResponse:
        appointment = None  # who reads it back learns what is wrong with it
    return Written(
        level=ProofLevel.WRITTEN,
        id=str(raw["id"]),
        appointment=appointment,
        version=version_of(raw),
        replaces=replaces,
        as_of=fhir.clock.now(),
    )
