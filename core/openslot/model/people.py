"""Who is booked, with whom, where, and for what: frozen values with opaque string ids."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

__all__ = [
    "Address",
    "AppointmentType",
    "ContactPoint",
    "ContactSystem",
    "Gender",
    "HumanName",
    "Identifier",
    "Location",
    "Patient",
    "Practitioner",
    "Reason",
    "Resource",
    "ResourceKind",
    "VisitMode",
]


class ContactSystem(StrEnum):
    """How a contact point is reached (FHIR ContactPoint.system)."""

    PHONE = "phone"
    EMAIL = "email"
    SMS = "sms"
    OTHER = "other"


class Gender(StrEnum):
    """Administrative gender (FHIR)."""

    MALE = "male"
    FEMALE = "female"
    OTHER = "other"
    UNKNOWN = "unknown"


class ResourceKind(StrEnum):
    """What kind of thing a time is taken from."""

    PRACTITIONER = "practitioner"
    LOCATION = "location"
    ROOM = "room"
    DEVICE = "device"
    SERVICE = "service"
    SCHEDULE = "schedule"


class VisitMode(StrEnum):
    """How the visit takes place."""

    IN_PERSON = "in-person"
    PHONE = "phone"
    VIDEO = "video"


@dataclass(frozen=True, slots=True)
class Identifier:
    """A business identifier: a value that is unique within its system (FHIR Identifier)."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class HumanName:
    """A person's name in parts (FHIR HumanName); `text` is the whole where parts are unknown."""

    family: str | None = None
    given: tuple[str, ...] = ()
    text: str | None = None
    prefix: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.text or " ".join([*self.prefix, *self.given, self.family or ""]).strip()


@dataclass(frozen=True, slots=True)
class ContactPoint:
    """A phone number, e-mail address or the like (FHIR ContactPoint)."""

    system: ContactSystem
    value: str
    use: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address (FHIR Address)."""

    line: tuple[str, ...] = ()
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


@dataclass(frozen=True, slots=True)
class Patient:
    """The person who is seen.

    `id` is the vendor's, and None for a person the practice does not know yet. `birth_date` is a
    date and has no zone. The representation shows the id only: a patient in a log line or a
    traceback must not be a leak.
    """

    id: str | None = None
    name: HumanName | None = None
    birth_date: date | None = None
    gender: Gender | None = None
    telecom: tuple[ContactPoint, ...] = ()
    address: Address | None = None
    identifiers: tuple[Identifier, ...] = ()
    active: bool = True
    version: str | None = None

    def __repr__(self) -> str:
        return f"Patient(id={self.id!r})"

    def contacts(self, *systems: ContactSystem) -> tuple[str, ...]:
        """The values of the contact points of the given systems, in the order they are kept."""
        return tuple(c.value for c in self.telecom if c.system in systems)


@dataclass(frozen=True, slots=True)
class Practitioner:
    """A person who sees patients."""

    id: str
    name: str
    active: bool = True
    specialties: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    appointment_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """A place where patients are seen; `zone` is its IANA time zone, None for the practice's."""

    id: str
    name: str
    zone: str | None = None
    address: Address | None = None
    telecom: tuple[ContactPoint, ...] = ()
    active: bool = True


@dataclass(frozen=True, slots=True)
class AppointmentType:
    """What is booked ("new patient, 30 min"). None for a rule means that the vendor has none."""

    id: str
    name: str
    duration: timedelta | None = None
    visit_modes: tuple[VisitMode, ...] = ()
    new_patients: bool | None = None
    existing_patients: bool | None = None
    practitioners: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    bookable_online: bool | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason for a visit or for a cancellation, from the vendor's own list."""

    id: str
    name: str
    use: str = "visit"


@dataclass(frozen=True, slots=True)
class Resource:
    """Whoever or whatever a time is taken from: a practitioner, a room, a device, a schedule."""

    kind: ResourceKind
    id: str
    name: str | None = None
