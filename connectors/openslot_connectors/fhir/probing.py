"""Looking at a server: what it declares, what it does under If-Match, how it matches people."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from openslot.connector import ProbeReport
from openslot.errors import (
    AskAgain,
    ConfigError,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    SetupError,
)
from openslot.model import (
    ContactPoint,
    ContactSystem,
    HumanName,
    Missing,
    MissingWhat,
    Patient,
    PatientQuery,
    SlotQuery,
    Window,
)
from openslot.rest import path
from openslot_connectors.fhir.appointments import fhir_instant
from openslot_connectors.fhir.booking import written
from openslot_connectors.fhir.bundle import read_page
from openslot_connectors.fhir.people import patient_to
from openslot_connectors.fhir.reference import Raw
from openslot_connectors.fhir.search import Found
from openslot_connectors.fhir.validate import check

if TYPE_CHECKING:
    from openslot_connectors.fhir.connector import FhirConnector

__all__ = ["dropped", "match_patients", "probe", "write_probe"]

_NEEDS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("find_slots", "Slot", frozenset({"search-type"})),
    ("find_slots", "Schedule", frozenset({"search-type"})),
    ("book", "Slot", frozenset({"read", "update"})),
    ("book", "Appointment", frozenset({"create"})),
    ("get_appointment", "Appointment", frozenset({"read"})),
    ("list_appointments", "Appointment", frozenset({"search-type"})),
    ("find_conflicts", "Appointment", frozenset({"search-type"})),
    ("find_booking", "Appointment", frozenset({"search-type"})),
    ("find_patients", "Patient", frozenset({"search-type"})),
    ("create_patient", "Patient", frozenset({"create"})),
    ("list_practitioners", "Practitioner", frozenset({"search-type"})),
    ("list_locations", "Location", frozenset({"search-type"})),
    ("list_appointment_types", "HealthcareService", frozenset({"search-type"})),
)
_RACERS = 8
_PROBE = "urn:openslot:probe"


async def probe(fhir: FhirConnector) -> ProbeReport:
    """Read `/metadata`. Raises ConfigError where the server speaks another release of FHIR."""
    raw, reply = await fhir.searcher.one("CapabilityStatement", "metadata")
    release = str(raw.get("fhirVersion", ""))
    if not release.startswith(fhir.profile.fhir_version):
        raise ConfigError(
            f"the server speaks FHIR {release or 'of an unnamed release'}, this connector"
            f" {fhir.profile.fhir_version}: set base_url to the server's R4 address"
        )
    declared = {
        str(resource.get("type")): resource
        for rest in _dicts(raw.get("rest"))
        for resource in _dicts(rest.get("resource"))
    }
    withheld = _withheld(fhir, declared) if declared else {}
    for verb, why in withheld.items():
        fhir.withhold(verb, why)
    notes = []
    appointment = declared.get("Appointment", {})
    if declared and appointment.get("conditionalCreate") is not True:
        notes.append("conditional create of Appointment is not declared")
    if fhir.rolls_back and not _transacts(raw):
        notes.append("rolls_back is set, though the server declares no transaction")
    if not declared:
        notes.append("the server declares no resources, so nothing was withheld")
    software = raw.get("software")
    name = version = None
    if isinstance(software, dict):
        name, version = software.get("name"), software.get("version")
    skew = None if reply.date is None else reply.date - fhir.clock.now().astimezone(UTC)
    return ProbeReport(
        server=" ".join(str(part) for part in (name, version) if part) or None,
        skew=skew,
        withheld=withheld,
        traits=fhir.traits,
        notes=tuple(notes),
    )


def _withheld(fhir: FhirConnector, declared: dict[str, Raw]) -> dict[str, str]:
    withheld: dict[str, str] = {}
    change = frozenset({"patch" if fhir.profile.write.value == "patch" else "update", "read"})
    needs = [*_NEEDS, *((v, "Appointment", change) for v in ("cancel", "update_appointment"))]
    for verb, type_, wanted in needs:
        listed = _dicts(declared.get(type_, {}).get("interaction"))
        lacking = wanted - {str(i.get("code")) for i in listed}
        if lacking and verb not in withheld:
            what = " and ".join(sorted(lacking))
            withheld[verb] = f"the server does not declare {what} of {type_}"
    listed = _dicts(declared.get("Appointment", {}).get("searchParam"))
    if listed and "identifier" not in {p.get("name") for p in listed}:
        withheld.setdefault("find_booking", "the server cannot search Appointment by identifier")
    return withheld


def _transacts(raw: Raw) -> bool:
    return any(
        interaction.get("code") == "transaction"
        for rest in _dicts(raw.get("rest"))
        for interaction in _dicts(rest.get("interaction"))
    )


def _dicts(value: Any) -> list[Raw]:
    return [v for v in value if isinstance(v, dict)] if isinstance(value, list) else []


async def write_probe(fhir: FhirConnector) -> tuple[str, ...]:
    """Race for a Slot: one of our own, years ahead and never free, or one that is lent.

    Our own is deleted at the end, or marked entered-in-error where it cannot be; where Slots cannot
    be created, a free one is changed and left as it was found.
    """
    try:
        id_ = await _own_slot(fhir)
        lent = None
    except (SetupError, AskAgain):
        lent = await _lent_slot(fhir)
        if lent is None:
            return ("there is no free Slot to try, and none can be created",)
        id_ = lent
    findings = []
    found, version = await fhir.claims.read(id_)
    busy = {**found, "status": "busy-unavailable"}
    marked = {
        **busy,
        "identifier": [*found.get("identifier", []), {"system": _PROBE, "value": uuid4().hex}],
    }
    try:
        results = await asyncio.gather(*(_racer(fhir, marked, version) for _ in range(_RACERS)))
        winners = sum(results)
        after, now = await fhir.claims.read(id_)
        stale = now != version and await _racer(fhir, marked, version)
        if winners == 1 and not stale:
            findings.append(f"If-Match is enforced: of {_RACERS} PUTs at once one went through")
        else:
            late = "accepted" if stale else "refused"
            findings.append(
                f"If-Match is not enforced ({winners} of {_RACERS} PUTs at once went through,"
                f" a stale one was {late}): set enforces_if_match = false"
            )
            fhir.distrust_if_match()
        kept = any(i.get("system") == _PROBE for i in _dicts(after.get("identifier")))
        findings.append(
            "Slot.identifier is kept" if kept else "Slot.identifier is lost: claims leave no mark"
        )
    finally:
        findings.append(await _tidy(fhir, id_, found if lent else None))
    return tuple(findings)


async def _own_slot(fhir: FhirConnector) -> str:
    schedules, _ = await fhir.schedules.read()
    if not schedules:
        raise NotFound("there is no Schedule to put a Slot on", sent=False)
    start = fhir.clock.now() + timedelta(days=1500)
    slot: Raw = {
        "resourceType": "Slot",
        "schedule": {"reference": f"Schedule/{next(iter(schedules))}"},
        "status": "busy-unavailable",
        "start": fhir_instant(start),
        "end": fhir_instant(start + timedelta(minutes=5)),
        "comment": "written by a test of this server",
    }
    check(slot, ours=True)
    reply = await fhir.write(
        "POST", "Slot", step="probe: create slot", json=slot, headers=fhir.profile.headers
    )
    _, id_ = written(fhir, reply, "Slot")
    if id_ is None:
        raise OutcomeUnknown("the server did not say under which id it created a Slot")
    return id_


async def _lent_slot(fhir: FhirConnector) -> str | None:
    now = fhir.clock.now()
    for days in (1, 7, 30):
        found = await fhir.find_slots(SlotQuery(Window(now, now + timedelta(days=days))))
        if found.items:
            return found.items[-1].id
    return None


async def _racer(fhir: FhirConnector, changed: Raw, version: str) -> bool:
    try:
        await _put(fhir, changed, version, step="probe: change slot")
    except OpenSlotError:
        return False
    return True


async def _put(fhir: FhirConnector, slot: Raw, version: str, *, step: str) -> None:
    headers = {**fhir.profile.headers, "If-Match": fhir.profile.if_match.of(version)}
    await fhir.write("PUT", path("Slot", str(slot["id"])), step=step, json=slot, headers=headers)


async def _tidy(fhir: FhirConnector, id_: str, found: Raw | None) -> str:
    if found is not None:
        _, version = await fhir.claims.read(id_)
        await _put(fhir, found, version, step="probe: restore slot")
        return "the Slot that was tried is as it was found"
    try:
        await fhir.write(
            "DELETE", path("Slot", id_), step="probe: delete slot", headers=fhir.profile.headers
        )
    except OpenSlotError:
        raw, version = await fhir.claims.read(id_)
        await _put(fhir, {**raw, "status": "entered-in-error"}, version, step="probe: void slot")
        return "the Slot of this test cannot be deleted and is marked entered-in-error"
    return "the Slot of this test was deleted"


async def match_patients(fhir: FhirConnector, query: PatientQuery) -> Found:
    """Ask `$match` (http://hl7.org/fhir/R4/patient-operation-match.html); who is meant, the desk
    decides."""
    contacts = [
        ContactPoint(system, value)
        for system, value in (
            (ContactSystem.PHONE, query.phone),
            (ContactSystem.EMAIL, query.email),
        )
        if value
    ]
    known = Patient(
        name=HumanName(query.family, (query.given,) if query.given else ()),
        birth_date=query.birth_date,
        telecom=tuple(contacts),
        identifiers=(query.identifier,) if query.identifier else (),
    )
    resource = patient_to(known, "")
    resource["identifier"] = resource["identifier"][:-1]
    resource = {k: v for k, v in resource.items() if v}
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": resource},
            {"name": "onlyCertainMatches", "valueBoolean": False},
            {"name": "count", "valueInteger": 20},
        ],
    }
    reply = await fhir.read(
        "Patient/$match", method="POST", json=parameters, headers=fhir.profile.headers
    )
    page = read_page(reply.json(), "Patient")
    return Found(matches=page.matches, missing=page.missing)


def dropped(names: Iterable[str]) -> Missing:
    """That the server left filters out which cannot be made up for here."""
    return Missing(
        MissingWhat.PAGE, f"the server did not apply the filters {', '.join(sorted(names))}"
    )
