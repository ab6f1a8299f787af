"""A FHIR sandbox over real HTTP, its clock standing at 2027-03-10 09:00 in New York."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from openslot.clinic.synthetic import fill
from openslot.testing.sandbox import SandboxClock
from openslot_connectors.fhir.sandbox import Sandbox

NOW = datetime(2027, 3, 10, 14, tzinfo=UTC)
JSON = "application/fhir+json"


@dataclass
class Server:
    """A running sandbox and a raw client of it."""

    sandbox: Sandbox
    url: str
    client: httpx.Client

    def get(self, path: str, **params: Any) -> Any:
        """The document at a path; the answer must be a 200."""
        answer = self.client.get(path, params=params or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def free_slots(self, type: str = "follow-up", day: str = "2027-03-15") -> list[Any]:
        """The free Slots of one type on one day."""
        found = self.get("/Slot", status="free", start=day, **{"service-type": type, "_count": 500})
        return [e["resource"] for e in found["entry"]]

    def put(self, document: Any, if_match: str | None = None) -> httpx.Response:
        """PUT a resource to its own address."""
        headers = {"if-match": if_match} if if_match else {}
        path = f"/{document['resourceType']}/{document['id']}"
        return self.client.put(path, json=document, headers={"content-type": JSON, **headers})

    def post(self, document: Any, **headers: str) -> httpx.Response:
        """POST a resource to its type."""
        return self.client.post(
            f"/{document['resourceType']}",
            json=document,
            headers={"content-type": JSON, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )


def appointment(slot: Any, patient: str = "pat-1", marker: str | None = None) -> dict[str, Any]:
    """An Appointment for a Slot."""
    document: dict[str, Any] = {
        "resourceType": "Appointment",
        "status": "booked",
        "slot": [{"reference": f"Slot/{slot['id']}"}],
        "start": slot["start"],
        "end": slot["end"],
        "participant": [
            {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"},
            {"actor": {"reference": "Practitioner/dr-1"}, "status": "accepted"},
        ],
    }
    if marker:
        document["identifier"] = [{"system": "urn:test", "value": marker}]
    return document


def busy(slot: Any, marker: str | None = None) -> dict[str, Any]:
    """The Slot, taken."""
    taken = {**slot, "status": "busy"}
    if marker:
        taken["identifier"] = [{"system": "urn:test", "value": marker}]
    return taken


def running(**options: Any) -> Iterator[Server]:
    """A sandbox that runs until the generator is closed."""
    options.setdefault("clock", SandboxClock(NOW))
    options.setdefault("populate", lambda clinic: fill(clinic, patients=12, days=7))
    sandbox = Sandbox(**options)
    try:
        with sandbox.serve() as url, httpx.Client(base_url=url, timeout=10) as client:
            yield Server(sandbox, url, client)
    finally:
        sandbox.close()
