"""Tidewell's documents as ours. A KeyError, TypeError or ValueError says: this cannot be read."""

from datetime import date
from typing import Any

from openslot import (
    Appointment,
    AppointmentStatus,
    ContactPoint,
    ContactSystem,
    HumanName,
    Identifier,
    Patient,
    Resource,
    ResourceKind,
    Slot,
)
from openslot.model import parse_instant

STATES = {"confirmed": AppointmentStatus.BOOKED, "requested": AppointmentStatus.PENDING} | {
    s: AppointmentStatus(s) for s in ("arrived", "checked-in", "fulfilled", "cancelled", "noshow")
}


def slot_of(raw: Any) -> Slot:
    return Slot(
        parse_instant(raw["begins"]),
        parse_instant(raw["ends"]),
        id=raw["id"],
        resources=(Resource(ResourceKind.PRACTITIONER, raw["doctor"]),),
        location=raw["site"],
        appointment_type=raw["service"],
    )


def appointment_of(raw: Any) -> Appointment:
    return Appointment(
        raw["id"],
        STATES[raw["state"]],
        parse_instant(raw["begins"]),
        parse_instant(raw["ends"]),
        patient=raw["client"],
        resources=(Resource(ResourceKind.PRACTITIONER, raw["doctor"]),),
        location=raw["site"],
        appointment_type=raw["service"],
        identifiers=(Identifier("reference", raw["reference"]),) if raw["reference"] else (),
        version=str(raw["revision"]),
    )


def patient_of(raw: Any) -> Patient:
    return Patient(
        raw["id"],
        HumanName(raw["family"], (raw["given"],)),
        date.fromisoformat(raw["born"]) if raw["born"] else None,
        telecom=(ContactPoint(ContactSystem.PHONE, raw["phone"]),) if raw["phone"] else (),
    )


def client_of(patient: Patient) -> dict[str, Any]:
    name = patient.name or HumanName()
    return {
        "id": patient.id,
        "family": name.family,
        "given": " ".join(name.given),
        "born": patient.birth_date.isoformat() if patient.birth_date else None,
        "phone": next(iter(patient.contacts(ContactSystem.PHONE)), None),
    }
