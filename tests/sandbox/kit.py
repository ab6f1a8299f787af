"""A FHIR sandbox over real HTTP, its clock standing at 2027-03-10 09:00 in New York."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from openslot.clinic import Clinic, Manners
from openslot.clinic.synthetic import fill
from openslot.testing.sandbox import SandboxClock
from openslot.testing.server import ASGIApp, Receive, Scope, Send, serve
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


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """An application that starts and ends."""
    for _ in range(2):
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})


class Stage:
    """One server for the sandboxes of many tests: stopping one takes a tenth of a second."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._origin: str | None = None
        self._apps: list[ASGIApp] = [nothing]

    @contextmanager
    def shows(self, app: ASGIApp) -> Iterator[str]:
        """Serve this application, and for so long no other; the value is the origin."""
        if self._origin is None:
            self._origin = self._stack.enter_context(serve(self))
        self._apps.append(app)
        try:
            yield self._origin
        finally:
            self._apps.pop()

    def close(self) -> None:
        """Stop listening."""
        self._stack.close()
        self._origin = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = nothing if scope["type"] == "lifespan" else self._apps[-1]
        await app(scope, receive, send)


STAGE = Stage()


def running(**options: Any) -> Iterator[Server]:
    """A sandbox that runs until the generator is closed, and is the only one that does."""
    sandbox = make(**options)
    try:
        with STAGE.shows(sandbox.app) as origin, client(origin + sandbox.base_path) as http:
            yield Server(sandbox, str(http.base_url).rstrip("/"), http)
    finally:
        sandbox.close()


def client(url: str) -> httpx.Client:
    """A client; without TLS, whose context takes longer to make than most tests to run."""
    return httpx.Client(base_url=url, timeout=10, verify=False)


def fetch(url: str, method: str = "GET", **options: Any) -> httpx.Response:
    """The answer to one request on a connection of its own."""
    with httpx.Client(verify=False, timeout=options.pop("timeout", 10)) as http:
        return http.request(method, url, **options)


FILLED: dict[bool, Clinic] = {}
"""The clinic that the tests begin with, by whether its file refuses overlaps."""


def make(**options: Any) -> Sandbox:
    """A small sandbox, at the tests' time unless a clock is given."""
    if "clock" not in options:
        options = {"populate": _fill_again, **options, "clock": SandboxClock(NOW)}
    options.setdefault("populate", _fill)
    return Sandbox(**options)


def _fill(clinic: Clinic) -> None:
    fill(clinic, patients=12, days=7)


def _fill_again(clinic: Clinic) -> None:
    """Filling takes sixty milliseconds, copying three."""
    enforces = clinic.enforces_conflicts
    if enforces not in FILLED:
        made = Clinic(clock=SandboxClock(NOW), manners=Manners(enforce_conflicts=enforces))
        _fill(made)
        FILLED[enforces] = made
    FILLED[enforces].copy_into(clinic)
