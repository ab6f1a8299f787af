"""Appointments: from FHIR R4 to values, strictly, and from a request to a FHIR R4 resource."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from openslot.errors import BadResponse
from openslot.model import (
    Appointment,
    AppointmentStatus,
    BookingRequest,
    Identifier,
    ResourceKind,
)
from openslot_connectors.fhir.profile import INTENT_SYSTEM, FhirProfile, TypeField
from openslot_connectors.fhir.reference import (
    Raw,
    concept_text,
    concept_tokens,
    id_of,
    reference_parts,
    same_code,
    version_of,
)
from openslot_connectors.fhir.slots import instant, resources_of

__all__ = [
    "appointment_from",
    "appointment_to",
    "cancelled",
    "fhir_instant",
    "participants",
    "reference_of",
    "type_concept",
]

_UNTIMED = frozenset(
    {AppointmentStatus.PROPOSED, AppointmentStatus.CANCELLED, AppointmentStatus.WAITLIST}
)


def appointment_from(
    raw: Any,
    *,
    base_url: str,
    as_of: datetime,
    source: str,
    etag: str | None = None,
) -> Appointment:
    """The Appointment as the server shows it. Raises BadResponse with a path.

    Participants without a reference to a record of this server are not resources: they have no id
    to compare. `created` is kept where it is an instant.
    """
    if not isinstance(raw, dict) or raw.get("resourceType") != "Appointment":
        raise _bad("resourceType", "not an Appointment")
    id_ = id_of(raw)
    if id_ is None:
        raise _bad("id", "an Appointment without an id")
    try:
        status = AppointmentStatus(str(raw.get("status")))
    except ValueError:
        raise _bad("status", "an Appointment with an unknown status") from None
    if "modifierExtension" in raw or "implicitRules" in raw:
        raise _bad("modifierExtension", "an Appointment with a modifier that is not understood")
    start, end = _span(raw, status)
    actors = [p.get("actor") for p in _list(raw, "participant") if isinstance(p, dict)]
    named = [reference_parts(a, base_url) for a in actors]
    patients = [parts[1] for parts in named if parts is not None and parts[0] == "Patient"]
    resources, location = resources_of(actors, base_url)
    types = concept_tokens(raw.get("serviceType")) or concept_tokens(raw.get("appointmentType"))
    slots = [reference_parts(s, base_url) for s in _list(raw, "slot")]
    return Appointment(
        id=id_,
        status=status,
        start=start,
        end=end,
        patient=patients[0] if patients else None,
        resources=resources,
        location=location,
        appointment_type=types[0] if types else None,
        slots=tuple(s[1] for s in slots if s is not None and s[0] == "Slot"),
        reason=concept_text(raw.get("reasonCode")),
        comment=_text(raw.get("comment")),
        cancellation_reason=concept_text(raw.get("cancelationReason")),
        identifiers=tuple(_identifiers(raw)),
        created=_created(raw.get("created")),
        version=version_of(raw, etag),
        as_of=as_of,
        source=source,
    )


def _span(raw: Raw, status: AppointmentStatus) -> tuple[datetime | None, datetime | None]:
    if "start" not in raw and "end" not in raw:
        if status not in _UNTIMED:
            raise _bad("start", "an Appointment without a start")
        return None, None
    try:
        start = instant(raw.get("start"))
    except ValueError:
        raise _bad("start", "an Appointment whose start is no instant") from None
    minutes = raw.get("minutesDuration")
    try:
        if "end" not in raw and isinstance(minutes, int) and minutes > 0:
            end = (start.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(start.tzinfo)
        else:
            end = instant(raw.get("end"))
    except (ValueError, OverflowError):
        raise _bad("end", "an Appointment whose end is no instant") from None
    if end <= start:
        raise _bad("end", "an Appointment that does not end after it starts")
    return start, end


def _identifiers(raw: Raw) -> list[Identifier]:
    found = []
    for identifier in _list(raw, "identifier"):
        value = identifier.get("value") if isinstance(identifier, dict) else None
        if isinstance(value, str):
            system = identifier.get("system")
            found.append(Identifier(system if isinstance(system, str) else "", value))
    return found


def _list(raw: Raw, member: str) -> list[Any]:
    value = raw.get(member, [])
    if not isinstance(value, list):
        raise _bad(member, "a member that should be a list is none")
    return value


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _created(value: Any) -> datetime | None:
    try:
        return instant(value)
    except ValueError:
        return None  # R4 allows a date only, which is no instant


def _bad(member: str, why: str) -> BadResponse:
    return BadResponse(f"the server gave {why}", path=f"Appointment.{member}")


def appointment_to(
    request: BookingRequest, *, patient: str, slot: Raw, profile: FhirProfile
) -> Raw:
    """The Appointment to create for this request in this Slot (R4 Appointment, status booked).

    Start and end are the Slot's own text, so that no rounding comes between the two.
    """
    who = [{"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}]
    if profile.names_practitioner:
        references = [reference_of(r.kind, r.id) for r in request.slot.resources]
        if request.slot.location is not None:
            references.append(f"Location/{request.slot.location}")
        for reference in dict.fromkeys(references):
            if reference is not None:
                who.append({"actor": {"reference": reference}, "status": "accepted"})
    resource: Raw = {
        "resourceType": "Appointment",
        "identifier": [{"system": INTENT_SYSTEM, "value": request.intent}],
        "status": "booked",
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "start": slot["start"],
        "end": slot["end"],
        "participant": who,
    }
    wanted = request.appointment_type or request.slot.appointment_type
    if wanted is not None:
        concept = type_concept(wanted, slot, profile)
        single = profile.type_field is TypeField.APPOINTMENT
        resource[profile.type_field.value] = concept if single else [concept]
    if request.reason is not None:
        resource["reasonCode"] = [{"text": request.reason}]
    if request.comment is not None:
        resource["comment"] = request.comment
    return resource


def type_concept(wanted: str, slot: Raw, profile: FhirProfile) -> Raw:
    """The CodeableConcept of a type: the Slot's own words for it, else the bare code."""
    for member in ("serviceType", "appointmentType"):
        concepts = slot.get(member)
        for concept in concepts if isinstance(concepts, list) else [concepts]:
            if isinstance(concept, dict) and any(
                same_code(wanted, token) for token in concept_tokens(concept)
            ):
                return dict(concept)
    system, _, code = wanted.rpartition("|")
    coding = {"code": code}
    if system or profile.type_system:
        coding = {"system": system or str(profile.type_system), "code": code}
    return {"coding": [coding]}


_TYPES = {
    ResourceKind.PRACTITIONER: "Practitioner",
    ResourceKind.DEVICE: "Device",
    ResourceKind.SERVICE: "HealthcareService",
    ResourceKind.LOCATION: "Location",
    ResourceKind.ROOM: "Location",
}


def reference_of(kind: ResourceKind, id_: str) -> str | None:
    """The FHIR reference of one of our resources; None for a schedule."""
    if "/" in id_:
        return id_
    type_ = _TYPES.get(kind)
    return f"{type_}/{id_}" if type_ else None


def participants(raw: Raw, base_url: str) -> set[tuple[str, str] | None]:
    """Type and id of everyone who takes part, as far as they are records of this server."""
    listed = raw.get("participant", [])
    return {
        reference_parts(p.get("actor"), base_url)
        for p in (listed if isinstance(listed, list) else ())
        if isinstance(p, dict)
    }


def cancelled(raw: Raw, reason: str | None) -> Raw:
    """The Appointment as cancelled, all else as it was (law 13)."""
    changed = {**raw, "status": "cancelled"}
    if reason is not None:
        changed["cancelationReason"] = {"text": reason}
    return changed


def fhir_instant(value: datetime, *, up: bool = False) -> str:
    """An instant as FHIR text, in UTC with seconds; a fraction is rounded `up` or down."""
    utc = value.astimezone(UTC)
    whole = utc.replace(microsecond=0)
    if up and utc != whole:
        whole += timedelta(seconds=1)
    return whole.strftime("%Y-%m-%dT%H:%M:%SZ")
