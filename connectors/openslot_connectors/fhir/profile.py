"""What is particular about one FHIR server: data, never a branch by vendor.

A server's quirk is a field here, with the generic R4 server as its default; the code asks the
field and not who the server is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

__all__ = [
    "GENERIC_R4",
    "INTENT_SYSTEM",
    "FhirProfile",
    "HoldWay",
    "IfMatch",
    "PatientSearch",
    "Schedules",
    "SlotScope",
    "TypeField",
    "WriteVerb",
]

INTENT_SYSTEM = "urn:openslot:intent"
"""The identifier system of the markers that we leave on the records we write."""


class IfMatch(StrEnum):
    """How a version is written in If-Match, where the server reads only one of the forms."""

    WEAK = "weak"
    """`W/"3"`, as the FHIR specification has it."""
    STRONG = "strong"
    """`"3"`, as RFC 9110 has it for If-Match."""
    BARE = "bare"
    """`3`."""

    def of(self, version: str) -> str:
        """The header's value for a version id."""
        if self is IfMatch.BARE:
            return version
        return f'W/"{version}"' if self is IfMatch.WEAK else f'"{version}"'


class WriteVerb(StrEnum):
    """How a record is changed."""

    PUT = "put"
    """The whole resource, with what we do not understand in it."""
    PATCH = "patch"
    """A JSON Patch that tests the version first."""


class Schedules(StrEnum):
    """Where the Schedule of a Slot is read, to learn whose time it is."""

    SEARCH = "search"
    """By searching Schedule, kept for a short time."""
    INCLUDE = "include"
    """From the Slot search itself, by `_include=Slot:schedule`."""


class SlotScope(StrEnum):
    """How a Slot search names the wanted practitioners."""

    SCHEDULE = "schedule"
    """`schedule=Schedule/1,Schedule/2`."""
    ACTOR = "schedule.actor"
    """`schedule.actor=Practitioner/1,Practitioner/2`."""


class TypeField(StrEnum):
    """Which element of Slot and Appointment says what is booked."""

    SERVICE = "serviceType"
    APPOINTMENT = "appointmentType"


class PatientSearch(StrEnum):
    """How a person is searched for."""

    POST = "post"
    """POST to `_search`: demographics stay out of URLs, and so out of proxies' logs."""
    GET = "get"
    """With demographics in the URL: only for servers that cannot do better."""
    MATCH = "match"
    """The `$match` operation."""


class HoldWay(StrEnum):
    """How a slot is kept for a short time."""

    NONE = "none"
    TENTATIVE = "tentative"
    """Slot.status `busy-tentative`, given back by us: the server knows no expiry."""


@dataclass(frozen=True, slots=True)
class FhirProfile:
    """How one FHIR server is searched and written to."""

    name: str
    fhir_version: str = "4.0"
    """The release, as CapabilityStatement.fhirVersion begins."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request."""
    page_size: int = 100
    """`_count` of a search."""
    largest_window: timedelta | None = None
    """The longest window of one Slot search; longer ones are split."""
    asks_total: bool = True
    """Whether `_total=accurate` is sent, without which some servers leave the total out."""
    offset_parameter: str | None = None
    """The parameter that skips entries, where the server has one and gives no next links."""
    slot_parameters: Mapping[str, str] = field(default_factory=dict)
    """What a Slot search must or may carry beside window, status and schedule."""
    slot_scope: SlotScope = SlotScope.SCHEDULE
    sends_type: bool = False
    """Whether a Slot search names the appointment type; else we compare it ourselves."""
    schedules: Schedules = Schedules.SEARCH
    type_field: TypeField = TypeField.SERVICE
    type_system: str | None = None
    """The code system of types that are given without one."""
    patient_search: PatientSearch = PatientSearch.POST
    write: WriteVerb = WriteVerb.PUT
    if_match: IfMatch = IfMatch.WEAK
    slot_marker: bool = True
    """Whether the server keeps `Slot.identifier`, where our claim leaves its mark."""
    if_none_exist: bool = True
    """Whether a create may carry If-None-Exist."""
    hold: HoldWay = HoldWay.NONE
    rollback: bool = False
    """Whether a transaction Bundle is all or nothing. Only a server known for it says so."""
    rebases_links: bool = False
    """Whether next links name another host by mistake: then only their query is followed."""
    names_practitioner: bool = True
    """Whether a new Appointment names practitioner and location; else only patient and slot."""


GENERIC_R4 = FhirProfile(
    name="generic R4",
    # Servers that keep search results for a while (HAPI: 60 s) must not answer from them.
    headers={"Cache-Control": "no-cache"},
)
"""A server that implements R4's own scheduling resources, and nothing else is known of it."""
