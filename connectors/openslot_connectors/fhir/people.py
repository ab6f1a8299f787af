"""Patients, practitioners, places and services: FHIR R4 to values, and a Patient back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, TypeVar

from openslot.errors import BadResponse
from openslot.model import (
    Address,
    AppointmentType,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Identifier,
    Location,
    Missing,
    MissingWhat,
    Patient,
    PatientQuery,
    Practitioner,
)
from openslot_connectors.fhir.profile import INTENT_SYSTEM
from openslot_connectors.fhir.reference import (
    Raw,
    code_token,
    concept_text,
    id_of,
    reference_parts,
    search_value,
    version_of,
)

__all__ = [
    "appointment_types_from",
    "location_from",
    "patient_filters",
    "patient_from",
    "patient_to",
    "practitioner_from",
    "readable",
]

T = TypeVar("T")

TIMEZONE = "http://hl7.org/fhir/StructureDefinition/timezone"
"""The extension that says in which zone a place is."""


def readable(
    resources: Iterable[Raw], reader: Callable[[Raw], T], missing: list[Missing]
) -> list[T]:
    """What can be read of the resources; each that cannot be is reported under `missing`."""
    found = []
    for raw in resources:
        try:
            found.append(reader(raw))
        except BadResponse as error:
            missing.append(
                Missing(MissingWhat.ENTRY, error.message, id=id_of(raw), path=error.path)
            )
    return found


def patient_from(raw: Any, etag: str | None = None) -> Patient:
    """A Patient. Raises BadResponse with a path, never with what stands there."""
    id_ = _id(raw, "Patient")
    names = _dicts(raw, "name")
    order = {"official": 0, "usual": 1}
    names = sorted(
        (n for n in names if n.get("use") not in ("old", "maiden")),
        key=lambda n: order.get(n.get("use", ""), 2),
    )
    return Patient(
        id=id_,
        name=_name(names[0]) if names else None,
        birth_date=_birth_date(raw.get("birthDate")),
        gender=_gender(raw.get("gender")),
        telecom=_telecom(raw),
        address=_address(_dicts(raw, "address")),
        identifiers=tuple(
            Identifier(str(i.get("system", "")), i["value"])
            for i in _dicts(raw, "identifier")
            if isinstance(i.get("value"), str)
        ),
        active=raw.get("active") is not False and "replaced-by" not in _link_types(raw),
        version=version_of(raw, etag),
    )


def patient_to(patient: Patient, intent: str) -> Raw:
    """The Patient to create, marked with the intent that registers them."""
    resource: Raw = {
        "resourceType": "Patient",
        "identifier": [
            *({"system": i.system, "value": i.value} for i in patient.identifiers),
            {"system": INTENT_SYSTEM, "value": intent},
        ],
        "active": True,
    }
    if patient.name is not None:
        parts = {
            "family": patient.name.family,
            "given": list(patient.name.given),
            "prefix": list(patient.name.prefix),
            "text": patient.name.text,
        }
        resource["name"] = [{k: v for k, v in parts.items() if v}]
    if patient.birth_date is not None:
        resource["birthDate"] = patient.birth_date.isoformat()
    if patient.gender is not None:
        resource["gender"] = patient.gender.value
    if patient.telecom:
        resource["telecom"] = [
            {"system": c.system.value, "value": c.value, **({"use": c.use} if c.use else {})}
            for c in patient.telecom
        ]
    if patient.address is not None:
        a = patient.address
        place = {
            "line": list(a.line),
            "city": a.city,
            "state": a.state,
            "postalCode": a.postal_code,
            "country": a.country,
        }
        resource["address"] = [{k: v for k, v in place.items() if v}]
    return resource


def patient_filters(query: PatientQuery) -> dict[str, str]:
    """What a Patient search asks of the server; who is meant, the desk decides.

    As little as finds the person: a name that is spelt otherwise or a number that was changed must
    not turn one into none. Servers compare phone numbers as text, so the usual spellings are asked
    for.
    """
    if query.identifier is not None:
        i = query.identifier
        return {"identifier": f"{search_value(i.system)}|{search_value(i.value)}"}
    filters = {}
    if query.birth_date is not None:
        filters["birthdate"] = query.birth_date.isoformat()
    if query.family:
        filters["family"] = search_value(query.family)
    elif query.given:
        filters["given"] = search_value(query.given)
    if not filters or list(filters) == ["given"]:
        if query.phone:
            filters = {"phone": ",".join(search_value(p) for p in _spellings(query.phone))}
        elif query.email:
            both = dict.fromkeys((query.email, query.email.lower()))
            filters = {"email": ",".join(search_value(e) for e in both)}
    return filters


def _spellings(phone: str) -> list[str]:
    digits = "".join(c for c in phone if c.isdigit())
    found = [phone, digits, f"+{digits}"]
    local = digits[1:] if len(digits) == 11 and digits.startswith("1") else digits
    if len(local) == 10:  # North American numbers are kept in many ways
        a, b, c = local[:3], local[3:6], local[6:]
        found += [local, f"+1{local}", f"1{local}", f"{a}-{b}-{c}", f"({a}) {b}-{c}"]
        found += [f"+1 {a} {b} {c}", f"+1-{a}-{b}-{c}", f"{a}.{b}.{c}"]
    return [p for p in dict.fromkeys(found) if p and p != "+"]


def practitioner_from(raw: Any) -> Practitioner:
    """A Practitioner. Raises BadResponse with a path."""
    id_ = _id(raw, "Practitioner")
    names = _dicts(raw, "name")
    name = str(_name(names[0])) if names else ""
    return Practitioner(id=id_, name=name or id_, active=raw.get("active") is not False)


def location_from(raw: Any) -> Location:
    """A Location, with the zone that its timezone extension names. Raises BadResponse."""
    id_ = _id(raw, "Location")
    zone = next(
        (
            code
            for e in _dicts(raw, "extension")
            if e.get("url") == TIMEZONE and isinstance(code := e.get("valueCode"), str)
        ),
        None,
    )
    address = raw.get("address")
    name = raw.get("name")
    return Location(
        id=id_,
        name=name if isinstance(name, str) and name else id_,
        zone=zone,
        address=_address([address]) if isinstance(address, dict) else None,
        telecom=_telecom(raw),
        active=raw.get("status", "active") == "active",
    )


def appointment_types_from(raw: Any, base_url: str) -> list[AppointmentType]:
    """What a HealthcareService lets be booked: a type for each of its codes. Raises BadResponse.

    The id is the code's token, `system|code`, as Slots name it; the duration stands in the Slots.
    """
    id_ = _id(raw, "HealthcareService")
    if raw.get("active") is False:
        return []
    name = raw.get("name")
    locations = tuple(
        parts[1]
        for reference in _dicts(raw, "location")
        if (parts := reference_parts(reference, base_url)) and parts[0] == "Location"
    )
    found = []
    for concept in _dicts(raw, "type"):
        codings = [c for c in concept.get("coding", ()) if code_token(c)]
        for coding in codings[:1]:
            token = code_token(coding)
            shown = concept_text(concept)
            label = name if isinstance(name, str) and name else shown
            if token is not None:
                found.append(AppointmentType(id=token, name=label or token, locations=locations))
    if not found:
        raise BadResponse(
            "the server gave a HealthcareService without a coded type, which no Slot can name",
            path=f"HealthcareService/{id_}.type",
        )
    return found


def _id(raw: Any, type_: str) -> str:
    if not isinstance(raw, dict) or raw.get("resourceType") != type_:
        raise BadResponse(f"the server gave something else than a {type_}", path="resourceType")
    id_ = id_of(raw)
    if id_ is None:
        raise BadResponse(f"the server gave a {type_} without an id", path=f"{type_}.id")
    return id_


def _dicts(raw: Raw, member: str) -> list[Raw]:
    value = raw.get(member, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        path = f"{raw.get('resourceType')}.{member}"
        raise BadResponse("the server gave a member that is not a list of elements", path=path)
    return value


def _name(raw: Raw) -> HumanName:
    family, text = raw.get("family"), raw.get("text")
    return HumanName(
        family=family if isinstance(family, str) else None,
        given=_strings(raw.get("given")),
        text=text if isinstance(text, str) else None,
        prefix=_strings(raw.get("prefix")),
    )


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(v for v in value if isinstance(v, str)) if isinstance(value, list) else ()


def _birth_date(value: Any) -> date | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        if isinstance(value, str) and len(value) in (4, 7):
            return None  # R4 allows a year or a month: not a date that can be compared
        raise BadResponse(
            "the server gave a date of birth that is no date", path="Patient.birthDate"
        ) from None


def _gender(value: Any) -> Gender | None:
    try:
        return None if value is None else Gender(value)
    except ValueError:
        raise BadResponse("the server gave an unknown gender code", path="Patient.gender") from None


def _telecom(raw: Raw) -> tuple[ContactPoint, ...]:
    found = []
    for contact in _dicts(raw, "telecom"):
        value = contact.get("value")
        if not isinstance(value, str) or contact.get("use") == "old":
            continue
        try:
            system = ContactSystem(contact.get("system", "other"))
        except ValueError:
            system = ContactSystem.OTHER
        use = contact.get("use")
        found.append(ContactPoint(system, value, use if isinstance(use, str) else None))
    return tuple(found)


def _address(addresses: list[Raw]) -> Address | None:
    current = [a for a in addresses if a.get("use") != "old"]
    if not current:
        return None

    def text(member: str) -> str | None:
        value = current[0].get(member)
        return value if isinstance(value, str) else None

    return Address(
        line=_strings(current[0].get("line")),
        city=text("city"),
        state=text("state"),
        postal_code=text("postalCode"),
        country=text("country"),
    )


def _link_types(raw: Raw) -> set[Any]:
    return {link.get("type") for link in _dicts(raw, "link")}
