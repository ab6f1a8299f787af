"""Practitioner, Location, HealthcareService, Schedule: what is only read here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from openslot_connectors.fhir.sandbox import render
from openslot_connectors.fhir.sandbox.resources import (
    ID,
    Resource,
    concept,
    reference,
    text,
    token,
)
from openslot_connectors.fhir.sandbox.search import Criterion, Kind, Param
from openslot_connectors.fhir.sandbox.wire import Doc

__all__ = ["Locations", "Practitioners", "Schedules", "Services"]


def _words(document: Doc) -> list[str]:
    name: str = document["name"][0]["text"]
    return [name, *name.split()]


class Practitioners(Resource):
    """Practitioner."""

    type = "Practitioner"
    params: ClassVar = {
        "_id": ID,
        "active": token("active"),
        "name": Param(Kind.STRING, _words),
    }

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """All of them."""
        return [render.practitioner(p) for p in self.clinic.practitioners()]


class Locations(Resource):
    """Location."""

    type = "Location"
    params: ClassVar = {"_id": ID, "name": text("name"), "status": token("status")}

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """All of them."""
        return [render.location(p) for p in self.clinic.locations()]


class Services(Resource):
    """HealthcareService."""

    type = "HealthcareService"
    params: ClassVar = {
        "_id": ID,
        "name": text("name"),
        "active": token("active"),
        "service-type": concept("type"),
        "location": reference("location"),
    }

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """All of them."""
        return [render.service(t) for t in self.clinic.types()]


class Schedules(Resource):
    """Schedule."""

    type = "Schedule"
    params: ClassVar = {
        "_id": ID,
        "active": token("active"),
        "actor": reference("actor"),
        "service-type": concept("serviceType"),
    }
    includes: ClassVar = {"actor": "actor"}

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """All of them, each with the types that are offered there."""
        types = self.clinic.types()
        return [
            render.schedule(
                s,
                [
                    t
                    for t in types
                    if (not t.practitioners or s.practitioner in t.practitioners)
                    and (not t.locations or s.location in t.locations)
                ],
            )
            for s in self.clinic.schedules()
        ]
