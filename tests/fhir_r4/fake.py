"""A FHIR server within the process that does exactly what a test tells it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import httpx

from fhir_r4.kit import Clock
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.profile import FhirProfile

BASE = "http://fhir.test.internal/base"
Change = Callable[[httpx.Request, httpx.Response], httpx.Response | None]


class Fake:
    """Resources in memory; `changes` see every answer after it took effect, and may alter it."""

    def __init__(self, resources: Iterable[dict[str, Any]] = ()) -> None:
        self.store: dict[tuple[str, str], dict[str, Any]] = {}
        self.requests: list[httpx.Request] = []
        self.changes: list[Change] = []
        self.refuse: list[Change] = []
        self.cap: int | None = None
        self.total = True
        self.links = True
        self.ignored: frozenset[str] = frozenset()
        self.etag = 'W/"{}"'
        self.meta = True
        for resource in resources:
            self.save(resource)

    def save(self, resource: dict[str, Any], version: int = 1) -> dict[str, Any]:
        """Keep a resource under its next version."""
        key = (resource["resourceType"], resource["id"])
        before = self.store.get(key)
        number = int(before["meta"]["versionId"]) + 1 if before else version
        kept = {**resource, "meta": {"versionId": str(number)}}
        self.store[key] = kept
        return kept

    def of(self, type_: str) -> list[dict[str, Any]]:
        """All resources of a type."""
        return [r for (t, _), r in self.store.items() if t == type_]

    def writes(self) -> list[str]:
        """Method and path of the writes so far."""
        return [
            f"{r.method} {r.url.path.removeprefix('/base/')}"
            for r in self.requests
            if r.method != "GET" and "_search" not in r.url.path
        ]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for refuse in self.refuse:
            refused = refuse(request, httpx.Response(500))
            if refused is not None:
                return refused
        answer = self._answer(request)
        for change in self.changes:
            answer = change(request, answer) or answer
        return answer

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "fhir.test.internal", "a request left the practice's server"
        parts = request.url.path.removeprefix("/base/").split("/")
        body = request.content
        if request.method == "GET" and len(parts) == 2:
            found = self.store.get((parts[0], parts[1]))
            return self._one(found) if found else httpx.Response(404)
        if request.method == "GET":
            return self._search(parts[0], request.url.query.decode())
        if request.method == "POST" and parts[-1] == "_search":
            return self._search(parts[0], body.decode())
        document = json.loads(body)
        if request.method == "PUT":
            before = self.store[(parts[0], parts[1])]
            if request.headers.get("if-match") != self.etag.format(before["meta"]["versionId"]):
                return httpx.Response(412)
            return self._one(self.save(document))
        condition = parse_qs(request.headers.get("if-none-exist", "")).get("identifier")
        same = [r for r in self.of(parts[0]) if condition and _marked(r, condition[0])]
        if same:
            return self._one(same[0])
        made = self.save({**document, "id": f"{parts[0].lower()}-{len(self.store)}"})
        answer = self._one(made, 201)
        answer.headers["location"] = f"{BASE}/{parts[0]}/{made['id']}/_history/1"
        return answer

    def _one(self, resource: dict[str, Any], status: int = 200) -> httpx.Response:
        shown = dict(resource)
        if not self.meta:
            shown.pop("meta")
        headers = {"etag": self.etag.format(resource["meta"]["versionId"])}
        return httpx.Response(status, json=shown, headers=headers)

    def _search(self, type_: str, query: str) -> httpx.Response:
        asked = parse_qs(query)
        found = [r for r in self.of(type_) if self._matches(r, asked)]
        offset = int(asked.get("_at", ["0"])[0])
        count = int(asked.get("_count", ["50"])[0])
        count = min(count, self.cap or count)
        page = found[offset : offset + count]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "link": []}
        bundle["entry"] = [{"resource": r, "search": {"mode": "match"}} for r in page]
        if self.total:
            bundle["total"] = len(found)
        if self.links:
            kept = {k: v for k, v in asked.items() if k not in self.ignored}
            own = f"{BASE}/{type_}?{urlencode(kept, doseq=True)}"
            bundle["link"].append({"relation": "self", "url": own})
            if offset + count < len(found):
                url = urlencode({**kept, "_at": [str(offset + count)]}, doseq=True)
                bundle["link"].append({"relation": "next", "url": f"{BASE}/{type_}?{url}"})
        return httpx.Response(200, json=bundle)

    def _matches(self, resource: dict[str, Any], asked: dict[str, list[str]]) -> bool:
        for name, values in asked.items():
            if name.startswith("_") or name in self.ignored:
                continue
            if not all(_holds(resource, name, value) for value in values):
                return False
        return True


def _holds(resource: dict[str, Any], name: str, value: str) -> bool:
    if name == "status":
        return bool(resource["status"] == value)
    if name in ("start", "date"):
        try:
            at = datetime.fromisoformat(resource["start"])
            if at.tzinfo is None:
                return True  # what cannot be placed is shown, as a careless server would
        except (KeyError, ValueError):
            return True
        edge = datetime.fromisoformat(value[2:])
        return at >= edge if value.startswith("ge") else at < edge
    if name == "schedule":
        return resource["schedule"]["reference"] in value.split(",")
    if name == "identifier":
        return _marked(resource, value)
    if name in ("actor", "patient"):
        where = [p["actor"]["reference"] for p in resource.get("participant", [])]
        where += [a["reference"] for a in resource.get("actor", [])]
        return any(v in where for v in value.split(","))
    if name == "slot":
        return value in [s["reference"] for s in resource.get("slot", [])]
    if name == "family":
        return any(n["family"].lower().startswith(value.lower()) for n in resource["name"])
    return bool(resource.get("birthDate") == value)


def _marked(resource: dict[str, Any], token: str) -> bool:
    return any(f"{i['system']}|{i['value']}" == token for i in resource.get("identifier", []))


class _Transport(httpx.AsyncBaseTransport):
    """Hands requests to a fake, and its answers on as a stream."""

    def __init__(self, fake: Fake) -> None:
        self._fake = fake

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        answer = self._fake(request)
        stream = httpx.ByteStream(answer.content)
        return httpx.Response(answer.status_code, headers=answer.headers, stream=stream)


def connect(fake: Fake, profile: FhirProfile | None = None, **settings: Any) -> FhirR4Connector:
    """A connector whose requests a fake answers."""

    class Faked(FhirR4Connector):
        def _transport(self) -> Any:
            return _Transport(fake)

    if profile is not None:
        Faked.profile = profile
    made = Faked.Settings(base_url=BASE, **settings)
    return Faked(made, zone=ZoneInfo("America/New_York"), clock=Clock())


def slot(id_: str, start: datetime, minutes: int = 30, **more: Any) -> dict[str, Any]:
    """A Slot of Schedule 1."""
    return {
        "resourceType": "Slot",
        "id": id_,
        "schedule": {"reference": "Schedule/1"},
        "status": "free",
        "start": start.isoformat(),
        "end": (start + timedelta(minutes=minutes)).isoformat(),
        **more,
    }


SCHEDULE = {
    "resourceType": "Schedule",
    "id": "1",
    "actor": [{"reference": "Practitioner/a"}, {"reference": "Location/l"}],
}


def lost(method: str, path: str, *, times: int = 1) -> Change:
    """The answer to such a request never arrives, though it took effect."""
    left = [times]

    def change(request: httpx.Request, answer: httpx.Response) -> None:
        if request.method == method and path in request.url.path and left[0] > 0:
            left[0] -= 1
            raise httpx.ReadError("connection reset", request=request)

    return change


def answers(method: str, path: str, answer: httpx.Response, *, times: int = 1) -> Change:
    """Such a request is answered so; put under `refuse`, without taking effect."""
    left = [times]

    def change(request: httpx.Request, _: httpx.Response) -> httpx.Response | None:
        if request.method == method and path in request.url.path and left[0] > 0:
            left[0] -= 1
            return answer
        return None

    return change
