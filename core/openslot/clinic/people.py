"""The clinic's patients: registering, reading, searching."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from datetime import date

from openslot.clinic.catalogue import (
    Catalogue,
    pack_address,
    pack_telecom,
    unpack_address,
    unpack_telecom,
)
from openslot.clinic.store import not_found, pack
from openslot.errors import Rejected, RejectedReason, Stale
from openslot.model import (
    ChangeKind,
    ContactSystem,
    Gender,
    HumanName,
    Identifier,
    Patient,
    PatientQuery,
)

__all__ = ["People"]

_PHONE_DIGITS = 10  # compared from the right, so that a country code more or less does not matter


class People(Catalogue):
    """The part of the clinic that knows who its patients are."""

    def create_patient(self, patient: Patient, *, intent: str | None = None) -> Patient:
        """Register a person; the same intent answers the same record. `patient.id` is not used.

        Raises Rejected(DUPLICATE_PATIENT) where name and birth date are on file already,
        Rejected(MISSING_FIELD) without a name.
        """
        with self.transaction():
            if done := self._done("create_patient", intent):
                return self.get_patient(done[1])
            if patient.name is None or not str(patient.name).strip():
                raise Rejected(
                    "a patient needs a name",
                    reason=RejectedReason.MISSING_FIELD,
                    fields=("name",),
                    sent=False,
                )
            family, given = _keys(patient.name)
            if patient.birth_date is not None and self._one(
                "SELECT 1 FROM patient WHERE birth_date = ? AND family_key = ? AND given_key = ? "
                "AND active",
                (patient.birth_date.isoformat(), family, given),
            ):
                raise Rejected(
                    "a patient with this name and birth date is on file already",
                    reason=RejectedReason.DUPLICATE_PATIENT,
                    sent=False,
                )
            id = self._next_id("pat")
            self._write_patient(id, patient, 1)
            self._carried_out("create_patient", intent, "", id)
            self._changed(ChangeKind.CREATED, "Patient", id)
            return self.get_patient(id)

    def update_patient(self, patient: Patient) -> Patient:
        """Replace a patient's record; where `patient.version` is given, it must be current.

        Raises NotFound, Stale.
        """
        if patient.id is None:
            not_found("patient")
        with self.transaction():
            known = self.get_patient(patient.id)
            assert known.version is not None
            if patient.version not in (None, known.version):
                raise Stale("the patient's record changed since it was read", sent=False)
            self._write_patient(patient.id, patient, int(known.version) + 1)
            self._changed(ChangeKind.UPDATED, "Patient", patient.id)
            return self.get_patient(patient.id)

    def get_patient(self, id: str) -> Patient:
        """One patient. Raises NotFound."""
        row = self._one("SELECT * FROM patient WHERE id = ?", (id,))
        return _patient(row) if row else not_found("patient")

    def find_patients(self, query: PatientQuery, *, limit: int = 50) -> tuple[Patient, ...]:
        """Patients that fit every field of the query, by id; at most `limit`.

        Names are compared without case, accents and punctuation, by prefix; phones by their last
        ten digits. Raises Rejected(MISSING_FIELD) for a query that asks for nobody.
        """
        where: list[str] = []
        values: list[str] = []

        def key(kind: str, value: str) -> None:
            where.append(
                "EXISTS (SELECT 1 FROM patient_key k WHERE k.patient = p.id AND k.kind = ? "
                "AND k.value = ?)"
            )
            values.extend((kind, value))

        if query.id is not None:
            where.append("p.id = ?")
            values.append(query.id)
        if query.birth_date is not None:
            where.append("p.birth_date = ?")
            values.append(query.birth_date.isoformat())
        for column, name in (("family_key", query.family), ("given_key", query.given)):
            if name is not None:
                # Half-open, so that the index serves; a key holds no character beyond the last.
                where.append(f"p.{column} >= ? AND p.{column} < ?")
                values.extend((_fold(name), _fold(name) + "\U0010ffff"))
        if query.phone is not None:
            key("phone", _digits(query.phone))
        if query.email is not None:
            key("email", query.email.strip().casefold())
        if query.identifier is not None:
            key("identifier", f"{query.identifier.system}|{query.identifier.value}")
        if not where:
            raise Rejected(
                "say something about the patient who is wanted",
                reason=RejectedReason.MISSING_FIELD,
                fields=("family", "birth_date", "phone", "email"),
                sent=False,
            )
        rows = self._all(
            f"SELECT p.* FROM patient p WHERE {' AND '.join(where)} "  # noqa: S608
            "ORDER BY LENGTH(p.id), p.id LIMIT ?",
            (*values, limit),
        )
        return tuple(map(_patient, rows))

    def _write_patient(self, id: str, patient: Patient, version: int) -> None:
        name = patient.name or HumanName()
        family, given = _keys(name)
        self._run(
            f"INSERT INTO patient VALUES ({', '.join('?' * 14)}) "  # noqa: S608
            "ON CONFLICT (id) DO UPDATE SET family = excluded.family, given = excluded.given, "
            "prefix = excluded.prefix, text = excluded.text, family_key = excluded.family_key, "
            "given_key = excluded.given_key, birth_date = excluded.birth_date, "
            "gender = excluded.gender, telecom = excluded.telecom, address = excluded.address, "
            "identifiers = excluded.identifiers, active = excluded.active, "
            "version = excluded.version",
            (
                id,
                name.family,
                pack(name.given),
                pack(name.prefix),
                name.text,
                family,
                given,
                patient.birth_date and patient.birth_date.isoformat(),
                patient.gender,
                pack_telecom(patient.telecom),
                pack_address(patient.address),
                pack([[i.system, i.value] for i in patient.identifiers]),
                patient.active,
                version,
            ),
        )
        self._run("DELETE FROM patient_key WHERE patient = ?", (id,))
        keys = {("identifier", f"{i.system}|{i.value}") for i in patient.identifiers}
        for phone in patient.contacts(ContactSystem.PHONE, ContactSystem.SMS):
            keys.add(("phone", _digits(phone)))
        for email in patient.contacts(ContactSystem.EMAIL):
            keys.add(("email", email.strip().casefold()))
        for kind, value in sorted(keys):
            self._run("INSERT INTO patient_key VALUES (?, ?, ?)", (kind, value, id))


def _patient(row: sqlite3.Row) -> Patient:
    return Patient(
        id=row["id"],
        name=HumanName(
            row["family"],
            tuple(json.loads(row["given"])),
            row["text"],
            tuple(json.loads(row["prefix"])),
        ),
        birth_date=date.fromisoformat(row["birth_date"]) if row["birth_date"] else None,
        gender=Gender(row["gender"]) if row["gender"] else None,
        telecom=unpack_telecom(row["telecom"]),
        address=unpack_address(row["address"]),
        identifiers=tuple(Identifier(*pair) for pair in json.loads(row["identifiers"])),
        active=bool(row["active"]),
        version=str(row["version"]),
    )


def _keys(name: HumanName) -> tuple[str, str]:
    """Family and given name as they are compared; a name that is only text goes by its words."""
    if name.family or name.given:
        return _fold(name.family or ""), _fold(" ".join(name.given))
    words = (name.text or "").split()
    return _fold(words[-1] if words else ""), _fold(" ".join(words[:-1]))


def _fold(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if c.isalnum())


def _digits(phone: str) -> str:
    return "".join(c for c in phone if c.isdigit())[-_PHONE_DIGITS:]
