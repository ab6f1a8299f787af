"""The clinic's values as FHIR R4 resources, over what a client wrote beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from openslot.clinic import Schedule, VisitType
from openslot.model import (
    Address,
    Appointment,
    AppointmentStatus,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Identifier,
    Location,
    Patient,
    Practitioner,
    ResourceKind,
    Slot,
)
from openslot_connectors.fhir.sandbox.records import Record
from openslot_connectors.fhir.sandbox.wire import Doc, Problem, instant

__all__ = [
    "TYPE_SYSTEM",
    "appointment",
    "identifiers_of",
    "location",
    "patient",
    "patient_of",
    "practitioner",
    "schedule",
    "service",
    "slot",
    "type_code",
]

TYPE_SYSTEM = "https://sandbox.openslot.example/visit-type"
"""The code system of the clinic's appointment types."""

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
"""When what nobody wrote through this server was last updated, as far as it knows."""


def _base(type: str, id: str, version: int, updated: datetime | None) -> Doc:
    meta = {"versionId": str(version), "lastUpdated": instant((updated or EPOCH).astimezone(UTC))}
    return {"resourceType": type, "id": id, "meta": meta}


def _over(document: Doc, ours: Doc) -> Doc:
    """What was written, with our own truths in it; unknown members stay (None removes one)."""
    meta = {**document.get("meta", {}), **ours["meta"]}
    merged = {**document, **ours, "meta": meta}
    # The order in which people expect to read a resource.
    head = {k: merged.pop(k) for k in ("resourceType", "id", "meta")}
    return {k: v for k, v in {**head, **merged}.items() if v is not None}


def _ref(type: str, id: str, display: str | None = None) -> Doc:
    return {"reference": f"{type}/{id}"} | ({"display": display} if display else {})


def _concept(type: VisitType) -> Doc:
    return {
        "coding": [{"system": TYPE_SYSTEM, "code": type.id, "display": type.name}],
        "text": type.name,
    }


def type_code(document: Doc) -> str | None:
    """The clinic's appointment type in serviceType or appointmentType, if it is there."""
    services = document.get("serviceType") or []
    for concept in [
        *(services if isinstance(services, list) else [services]),
        document.get("appointmentType"),
    ]:
        for coding in (concept or {}).get("coding", []):
            if coding.get("system", TYPE_SYSTEM) == TYPE_SYSTEM and coding.get("code"):
                return str(coding["code"])
    return None


def slot(value: Slot, version: int, record: Record, types: Mapping[str, VisitType]) -> Doc:
    """A Slot: a position in a Schedule at which a visit of one type can start."""
    assert value.id is not None
    written = record.document
    status = "free" if record.shown_free else value.status.value
    said = written.get("status")
    if status == "busy" and said in {"busy-unavailable", "busy-tentative"}:
        status = said
    ours = _base("Slot", value.id, version + record.shift, record.updated) | {
        "schedule": _ref("Schedule", value.schedule or ""),
        "status": status,
        "start": instant(value.start),
        "end": instant(value.end),
    }
    if (kind := types.get(value.appointment_type or "")) and type_code(written) != kind.id:
        ours |= {"serviceType": [_concept(kind)], "appointmentType": _concept(kind)}
    return _over(written, ours)


def schedule(value: Schedule, types: Iterable[VisitType]) -> Doc:
    """A Schedule: one practitioner at one location."""
    return _base("Schedule", value.id, 1, None) | {
        "active": True,
        "serviceType": [_concept(t) for t in types],
        "actor": [_ref("Practitioner", value.practitioner), _ref("Location", value.location)],
    }


def practitioner(value: Practitioner) -> Doc:
    """A Practitioner."""
    return _base("Practitioner", value.id, 1, None) | {
        "active": value.active,
        "name": [{"text": value.name}],
    }


def location(value: Location) -> Doc:
    """A Location, its zone in HL7's own extension."""
    document = _base("Location", value.id, 1, None)
    if value.zone:
        document["extension"] = [
            {"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": value.zone}
        ]
    document |= {"status": "active" if value.active else "inactive", "name": value.name}
    if value.address:
        document["address"] = _address(value.address)
    if value.telecom:
        document["telecom"] = [_telecom(t) for t in value.telecom]
    return document


def service(value: VisitType) -> Doc:
    """A HealthcareService: one appointment type."""
    return (
        _base("HealthcareService", value.id, 1, None)
        | {
            "active": True,
            "name": value.name,
            "type": [_concept(value)],
            "appointmentRequired": True,
        }
        | ({"location": [_ref("Location", i) for i in value.locations]} if value.locations else {})
    )


def patient(value: Patient, record: Record) -> Doc:
    """A Patient."""
    assert value.id is not None
    version = int(value.version or 1) + record.shift
    ours = _base("Patient", value.id, version, record.updated) | {
        "active": value.active,
        "birthDate": value.birth_date.isoformat() if value.birth_date else None,
        "gender": value.gender.value if value.gender else None,
    }
    said = patient_of(record.document)
    # What was written stands in its own words as long as it says what the clinic has.
    if said.name != value.name:
        ours["name"] = [_name(value.name)] if value.name else None
    if said.telecom != value.telecom:
        ours["telecom"] = [_telecom(t) for t in value.telecom] or None
    if said.address != value.address:
        ours["address"] = [_address(value.address)] if value.address else None
    if said.identifiers != value.identifiers:
        ours["identifier"] = [_identifier(i) for i in value.identifiers] or None
    return _over(record.document, ours)


def patient_of(document: Doc, id: str | None = None) -> Patient:
    """The clinic's value of a Patient resource. Raises Problem."""
    try:
        birth = document.get("birthDate")
        return Patient(
            id=id,
            name=next(iter(patient_names(document)), None),
            birth_date=date.fromisoformat(birth) if birth else None,
            gender=Gender(document["gender"]) if document.get("gender") else None,
            telecom=tuple(
                ContactPoint(_contact_system(t.get("system")), t["value"], t.get("use"))
                for t in document.get("telecom", ())
                if t.get("value")
            ),
            address=next((_address_of(a) for a in document.get("address", ())), None),
            identifiers=identifiers_of(document),
            active=document.get("active", True),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Problem(400, "value", "a Patient that cannot be understood") from None


def patient_names(document: Doc) -> list[HumanName]:
    """The names in a Patient."""
    return [
        HumanName(
            n.get("family"), tuple(n.get("given", ())), n.get("text"), tuple(n.get("prefix", ()))
        )
        for n in document.get("name", ())
    ]


def identifiers_of(document: Doc) -> tuple[Identifier, ...]:
    """The identifiers of a resource that have a system and a value."""
    return tuple(
        Identifier(i["system"], i["value"])
        for i in document.get("identifier", ())
        if i.get("system") and i.get("value")
    )


_ACTORS = {ResourceKind.PRACTITIONER: "Practitioner", ResourceKind.DEVICE: "Device"}


def appointment(
    value: Appointment,
    record: Record,
    types: Mapping[str, VisitType],
    updated: datetime | None,
) -> Doc:
    """An Appointment."""
    written = record.document
    version = int(value.version or 1) + record.shift
    ours = _base("Appointment", value.id, version, record.updated or updated) | {
        "status": value.status.value,
        "start": instant(value.start) if value.start else None,
        "end": instant(value.end) if value.end else None,
        "slot": [_ref("Slot", s) for s in value.slots] or None,
    }
    if value.created and "created" not in written:
        ours["created"] = instant(value.created)
    if (kind := types.get(value.appointment_type or "")) and type_code(written) != kind.id:
        ours |= {"serviceType": [_concept(kind)], "appointmentType": _concept(kind)}
    if value.comment is not None:
        ours["comment"] = value.comment
    if value.reason is not None and not written.get("reasonCode"):
        ours["reasonCode"] = [{"text": value.reason}]
    if not written.get("identifier"):
        ours["identifier"] = [_identifier(i) for i in value.identifiers] or None
    if value.status is not AppointmentStatus.CANCELLED:
        ours["cancelationReason"] = None
    elif value.cancellation_reason and not written.get("cancelationReason"):
        ours["cancelationReason"] = {"text": value.cancellation_reason}
    actors = [_ref("Patient", value.patient)] if value.patient else []
    actors += [_ref(_ACTORS[r.kind], r.id) for r in value.resources if r.kind in _ACTORS]
    if value.location:
        actors.append(_ref("Location", value.location))
    ours["participant"] = _participants(actors, written.get("participant", []))
    return _over(written, ours)


def _participants(actors: list[Doc], written: list[Doc]) -> list[Doc]:
    """Those of the clinic, as they were written where they were, and whoever else was written."""
    own = {"Patient", "Practitioner", "Location", "Device"}
    by_actor = {(p.get("actor") or {}).get("reference"): p for p in written}
    kept = [by_actor.get(a["reference"], {"actor": a, "status": "accepted"}) for a in actors]
    for participant in written:
        reference = str((participant.get("actor") or {}).get("reference", ""))
        if reference.rpartition("/")[0].rpartition("/")[2] not in own:
            kept.append(participant)
    return kept


def _identifier(value: Identifier) -> Doc:
    return {"system": value.system, "value": value.value}


def _name(value: HumanName) -> Doc:
    document: dict[str, Any] = {}
    if value.text:
        document["text"] = value.text
    if value.family:
        document["family"] = value.family
    if value.given:
        document["given"] = list(value.given)
    if value.prefix:
        document["prefix"] = list(value.prefix)
    return document


def _telecom(value: ContactPoint) -> Doc:
    return {"system": value.system.value, "value": value.value} | (
        {"use": value.use} if value.use else {}
    )


def _contact_system(text: str | None) -> ContactSystem:
    known = {s.value for s in ContactSystem}
    return ContactSystem(text) if text in known else ContactSystem.OTHER


def _address(value: Address) -> Doc:
    document: dict[str, Any] = {
        "line": list(value.line),
        "city": value.city,
        "state": value.state,
        "postalCode": value.postal_code,
        "country": value.country,
    }
    return {k: v for k, v in document.items() if v}


def _address_of(document: Doc) -> Address:
    return Address(
        tuple(document.get("line", ())),
        document.get("city"),
        document.get("state"),
        document.get("postalCode"),
        document.get("country"),
    )
