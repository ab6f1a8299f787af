"""Patient: read, searched, created, changed, matched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from openslot.model import PatientQuery
from openslot_connectors.fhir.sandbox import render
from openslot_connectors.fhir.sandbox.records import Record
from openslot_connectors.fhir.sandbox.resources import (
    ID,
    IDENTIFIER,
    Resource,
    identifiers,
    token,
    values_of,
    when,
)
from openslot_connectors.fhir.sandbox.search import Criterion, Kind, Param
from openslot_connectors.fhir.sandbox.wire import Doc, Problem

__all__ = ["Patients"]

EVERYBODY = PatientQuery(family="")
"""Every family name begins with nothing."""

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


class Patients(Resource):
    """Patient."""

    type = "Patient"
    interactions = ("read", "search-type", "create", "update", "patch")
    params: ClassVar = {
        "_id": ID,
        "identifier": IDENTIFIER,
        "active": token("active"),
        "gender": token("gender"),
        "birthdate": when("birthDate", Kind.DATE),
        "family": Param(
            Kind.STRING, lambda d: [n["family"] for n in d.get("name", ()) if n.get("family")]
        ),
        "given": Param(
            Kind.STRING, lambda d: [g for n in d.get("name", ()) for g in n.get("given", ())]
        ),
        "name": Param(
            Kind.STRING,
            lambda d: [
                part
                for n in d.get("name", ())
                for part in (n.get("family"), n.get("text"), *n.get("given", ()))
                if part
            ],
        ),
        "telecom": Param(Kind.TOKEN, lambda d: _telecoms(d, None)),
        "phone": Param(Kind.TOKEN, lambda d: _telecoms(d, "phone")),
        "email": Param(Kind.TOKEN, lambda d: _telecoms(d, "email")),
    }

    def read(self, id: str) -> Doc:
        """One Patient."""
        return render.patient(self.clinic.get_patient(id), self.records.get(self.type, id))

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """Narrowed by family name; the clinic folds names as we do."""
        family = values_of(criteria, "family")
        asked = [PatientQuery(family=f) for f in family] if family else [EVERYBODY]
        found = {p.id: p for q in asked for p in self.clinic.find_patients(q, limit=100_000)}
        written = self.records.many(self.type, (i for i in found if i))
        return [render.patient(p, written.get(i or "", Record())) for i, p in found.items()]

    def create(self, document: Doc) -> str:
        """Register a person."""
        made = self.clinic.create_patient(render.patient_of(document))
        assert made.id is not None
        self.records.put(self.type, made.id, Record(document=document))
        return made.id

    def update(self, id: str, document: Doc, current: Doc) -> None:
        """Replace a person's record."""
        self.clinic.update_patient(render.patient_of(document, id))
        record = self.records.get(self.type, id)
        self.records.put(self.type, id, Record(shift=record.shift, document=document))

    def match(self, parameters: Doc) -> list[tuple[Doc, float, str]]:
        """Who may be the person in these Parameters: (Patient, score, grade), best first.

        By the operation `$match` of FHIR R4, with a weighing of our own.
        """
        given = {p.get("name"): p for p in parameters.get("parameter", ())}
        wanted = given.get("resource", {}).get("resource")
        if not isinstance(wanted, dict) or wanted.get("resourceType") != "Patient":
            raise Problem(400, "required", "$match needs a parameter resource: a Patient")
        found = []
        for document in self.find(()):
            score = _likeness(wanted, document)
            if score >= 0.9:
                found.append((document, score, "certain"))
            elif score >= 0.6 and not given.get("onlyCertainMatches", {}).get("valueBoolean"):
                found.append((document, score, "probable" if score >= 0.75 else "possible"))
        found.sort(key=lambda item: (-item[1], item[0]["id"]))
        count = given.get("count", {}).get("valueInteger")
        if given.get("onlyCertainMatches", {}).get("valueBoolean") and len(found) > 1:
            # Two who are certain are none who is.
            return []
        return found[:count] if isinstance(count, int) and count > 0 else found


def _likeness(a: Doc, b: Doc) -> float:
    if set(identifiers(a)) & set(identifiers(b)):
        return 1.0
    name = bool(_names(a) & _names(b))
    birth = bool(a.get("birthDate")) and a.get("birthDate") == b.get("birthDate")
    contact = bool(_contacts(a) & _contacts(b))
    family = bool({f for f, _ in _names(a)} & {f for f, _ in _names(b)})
    if name and birth:
        return 0.95 if contact else 0.8
    if (name and contact) or (birth and family and contact):
        return 0.7
    return 0.6 if birth and family else 0.0


def _names(document: Doc) -> set[tuple[str, str]]:
    return {
        (str(n.get("family", "")).casefold(), str(given).casefold())
        for n in document.get("name", ())
        for given in n.get("given", ())[:1]
    }


def _contacts(document: Doc) -> set[str]:
    values = {str(value) for _, value in _telecoms(document, None)}
    return {
        v.casefold() if "@" in v else "".join(c for c in v if c.isdigit())[-10:] for v in values
    }


def _telecoms(document: Doc, system: str | None) -> Iterable[tuple[str | None, str]]:
    for item in document.get("telecom", ()):
        if item.get("value") and system in (None, item.get("system")):
            yield (item.get("system"), item["value"])
