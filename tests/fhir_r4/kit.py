"""Two FHIR servers with the same small practice in them, and connectors to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from openslot.model import BookingRequest, Listing, Slot, SlotQuery, Window
from openslot.testing.sandbox import SandboxClock
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.sandbox import FhirManners, Sandbox

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2027, 3, 10, 14, tzinfo=UTC)
DAY = Window(
    datetime(2027, 3, 15, tzinfo=NEW_YORK),
    datetime(2027, 3, 16, tzinfo=NEW_YORK),
)
FHIR = {"content-type": "application/fhir+json"}


class Clock(SandboxClock):
    """The practice's time in these tests; nobody waits."""

    def __init__(self) -> None:
        super().__init__(NOW)

    async def sleep(self, seconds: float) -> None:
        """Let others run, and no more."""
        self.advance(timedelta(seconds=seconds))


def connect(url: str, **settings: Any) -> FhirR4Connector:
    """A connector to a FHIR server."""
    return FhirR4Connector(
        FhirR4Connector.Settings(base_url=url, **settings), zone=NEW_YORK, clock=Clock()
    )


@dataclass
class Place:
    """A running server with a practice in it."""

    name: str
    url: str
    raw: httpx.Client
    practitioner: str
    patient: str
    type: str

    def connect(self, **settings: Any) -> FhirR4Connector:
        """A connector to it."""
        return connect(self.url, **settings)

    def get(self, path: str) -> Any:
        """A resource or a search as the server shows it to anyone."""
        answer = self.raw.get(f"{self.url}/{path}")
        answer.raise_for_status()
        return answer.json()

    def put(self, resource: dict[str, Any]) -> Any:
        """Write a resource past the connector."""
        path = f"{self.url}/{resource['resourceType']}/{resource['id']}"
        answer = self.raw.put(path, json=resource, headers=FHIR)
        answer.raise_for_status()
        return answer.json()

    def appointments(self, slot: str) -> list[Any]:
        """The Appointments that stand on a Slot."""
        found = self.get(f"Appointment?slot=Slot/{slot}&_count=200")
        everything = [e["resource"] for e in found.get("entry", [])]
        return [a for a in everything if a["status"] not in ("cancelled", "entered-in-error")]

    async def free(self, fhir: FhirR4Connector) -> tuple[Slot, ...]:
        """Free slots of one day, no two of which overlap."""
        found: Listing[Slot] = await fhir.find_slots(
            SlotQuery(DAY, practitioners=(self.practitioner,), appointment_type=self.type)
        )
        assert found.complete, found.missing
        apart: list[Slot] = []
        for slot in found:
            if not apart or slot.start >= apart[-1].end:
                apart.append(slot)
        return tuple(apart)

    def request(self, slot: Slot, intent: str = "intent-1", **more: Any) -> BookingRequest:
        """A booking of a slot."""
        return BookingRequest(intent, slot, **{"patient": self.patient, **more})


@contextmanager
def sandbox(**manners: Any) -> Iterator[Place]:
    """The clinic served as FHIR."""
    box = Sandbox(clock=SandboxClock(NOW), manners=FhirManners(**manners))
    with box.serve() as url, httpx.Client() as raw:
        yield Place("sandbox", url, raw, "dr-1", "pat-1", "follow-up")


def fill(url: str, raw: httpx.Client) -> Place:
    """Empty the independent server and put a practice into it."""
    raw.post(httpx.URL(url).join("/__reset").__str__()).raise_for_status()
    place = Place("medplum", url, raw, "dr-1", "pat-1", "urn:types|follow-up")
    for resource in practice():
        place.put(resource)
    return place


def practice() -> Iterator[dict[str, Any]]:
    """One practitioner at one place, a second elsewhere, eight half hours a day each."""
    zone = "http://hl7.org/fhir/StructureDefinition/timezone"
    yield {
        "resourceType": "Location",
        "id": "loc-1",
        "status": "active",
        "name": "Main Street",
        "extension": [{"url": zone, "valueCode": "America/New_York"}],
    }
    yield {
        "resourceType": "HealthcareService",
        "id": "svc-1",
        "name": "Follow-up",
        "type": [{"coding": [{"system": "urn:types", "code": "follow-up"}]}],
        "location": [{"reference": "Location/loc-1"}],
    }
    yield {
        "resourceType": "Patient",
        "id": "pat-1",
        "name": [{"family": "Testperson", "given": ["Ada"]}],
        "birthDate": "1980-02-29",
        "telecom": [{"system": "phone", "value": "(212) 555-0101"}],
    }
    for number in (1, 2):
        yield {
            "resourceType": "Practitioner",
            "id": f"dr-{number}",
            "name": [{"family": f"Sample{number}", "prefix": ["Dr."]}],
        }
        yield {
            "resourceType": "Schedule",
            "id": f"sch-{number}",
            "actor": [
                {"reference": f"Practitioner/dr-{number}"},
                {"reference": "Location/loc-1"},
            ],
        }
        for day in range(5):
            for half in range(8):
                wall = datetime.combine(date(2027, 3, 12), datetime.min.time(), NEW_YORK)
                start = wall + timedelta(days=day, hours=9, minutes=30 * half)
                yield {
                    "resourceType": "Slot",
                    "id": f"s{number}-{day}-{half}",
                    "schedule": {"reference": f"Schedule/sch-{number}"},
                    "serviceType": [{"coding": [{"system": "urn:types", "code": "follow-up"}]}],
                    "status": "free",
                    "start": start.isoformat(),
                    "end": (start + timedelta(minutes=30)).isoformat(),
                    "comment": "as it was",
                    "unknownMember": {"kept": True},
                }
