"""Acme's server, run by us: a thin facade over the clinic engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from openslot import (
    Appointment,
    ContactPoint,
    ContactSystem,
    HumanName,
    NotFound,
    OpenSlotError,
    Patient,
    PatientQuery,
    Rejected,
    SlotTaken,
    Stale,
    Window,
)
from openslot.model.time import parse_instant
from openslot.testing.sandbox import Answer, Request, Sandbox, route
from openslot_acme.connector import STATES

STATUS = {NotFound: 404, SlotTaken: 409, Stale: 412, Rejected: 422}
EVER = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))


class AcmeSandbox(Sandbox):
    name = "acme"
    base_path = "/api/1"

    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "api_key": getattr(self.auth, "key", "none")}

    def answer(self, request: Request) -> Answer:
        try:
            return super().answer(request)
        except OpenSlotError as error:
            status = 410 if isinstance(error, Stale) and "/move" not in request.path else None
            version = isinstance(error, Stale) and "version" in error.message
            code = 412 if version else status or STATUS.get(type(error), 422)
            return Answer(code, {"rule": error.code, "message": error.message})

    @route("GET", "/openings")
    def openings(self, request: Request) -> Answer:
        staff = tuple(v for k, v in request.query if k == "staff")
        found = self.clinic.openings(
            _window(request), practitioners=staff, type=request.one("service")
        )
        return self._page(request, "openings", found, lambda o: _when(o.slot) | {
            "id": o.id, "staff": o.slot.practitioner, "site": o.slot.location,
            "service": o.slot.appointment_type})  # fmt: skip

    @route("POST", "/visits")
    def book(self, request: Request) -> Answer:
        asked = request.json()
        visit = self.clinic.book(
            asked["opening"] or "", asked["client"], intent=asked["ref"], hold=asked["hold"],
            comment=asked["note"], new_patient=False,
        )  # fmt: skip
        return Answer(201, _visit(visit))

    @route("GET", "/visits")
    def visits(self, request: Request) -> Answer:
        found: Sequence[Appointment] = self.clinic.appointments(
            patient=request.one("client"), resource=request.one("staff"),
            window=_window(request) if request.one("from") else None,
        )  # fmt: skip
        if ref := request.one("ref"):
            found = self.clinic.by_intent(ref)
        return self._page(request, "visits", found, _visit)

    @route("GET", "/visits/{id}")
    def visit(self, request: Request, id: str) -> Answer:
        return Answer(200, _visit(self.clinic.get_appointment(id)))

    @route("PUT", "/visits/{id}")
    def change(self, request: Request, id: str) -> Answer:
        asked = request.json()
        return Answer(
            200, _visit(self.clinic.update(id, comment=asked["note"], version=asked["version"]))
        )

    @route("POST", "/visits/{id}/cancel")
    def cancel(self, request: Request, id: str) -> Answer:
        asked = request.json()
        cancelled = self.clinic.cancel(id, version=asked["version"], reason=asked["why"])
        return Answer(200, _visit(cancelled))

    @route("POST", "/visits/{id}/move")
    def move(self, request: Request, id: str) -> Answer:
        asked = request.json()
        moved = self.clinic.reschedule(
            id, asked["opening"], intent=asked["ref"], version=asked["version"]
        )
        return Answer(200, _visit(moved))

    @route("POST", "/holds")
    def hold(self, request: Request) -> Answer:
        hold = self.clinic.hold(request.json()["opening"], intent=request.json()["ref"])
        return Answer(201, {"id": hold.id, "expires": hold.expires.isoformat()})

    @route("DELETE", "/holds/{id}")
    def release(self, request: Request, id: str) -> Answer:
        self.clinic.release(id)
        return Answer(204)

    @route("POST", "/clients/search")
    def search(self, request: Request) -> Answer:
        asked = {k: v for k, v in request.json().items() if v}
        if "born" in asked:
            asked["birth_date"] = date.fromisoformat(asked.pop("born"))
        found = self.clinic.find_patients(PatientQuery(**asked))
        return Answer(200, {"clients": [_client(p) for p in found]})

    @route("POST", "/clients")
    def register(self, request: Request) -> Answer:
        asked = request.json()
        phone = (ContactPoint(ContactSystem.PHONE, asked["phone"]),) if asked["phone"] else ()
        born = date.fromisoformat(asked["born"]) if asked["born"] else None
        person = Patient(None, HumanName(asked["family"], (asked["given"],)), born, telecom=phone)
        return Answer(201, _client(self.clinic.create_patient(person, intent=asked["ref"])))

    @route("GET", "/staff")
    def staff(self, request: Request) -> Answer:
        found = self.clinic.practitioners()
        return self._page(request, "staff", found, lambda p: {"id": p.id, "name": p.name})

    @route("GET", "/sites")
    def sites(self, request: Request) -> Answer:
        found = self.clinic.locations()
        return self._page(
            request, "sites", found, lambda p: {"id": p.id, "name": p.name, "zone": p.zone}
        )

    @route("GET", "/services")
    def services(self, request: Request) -> Answer:
        return self._page(request, "services", self.clinic.types(), lambda t: {
            "id": t.id, "name": t.name, "minutes": t.duration / timedelta(minutes=1)})  # fmt: skip

    def _page(
        self, request: Request, kind: str, found: Sequence[Any], show: Callable[[Any], Any]
    ) -> Answer:
        size, number = self.manners.page_size, int(request.one("page") or 0)
        query = [(k, v) for k, v in request.query if k != "page"] + [("page", str(number + 1))]
        after = f"{request.url}{request.path}?{urlencode(query)}"
        shown = [show(one) for one in found[number * size : (number + 1) * size]]
        more = len(found) > (number + 1) * size
        return Answer(200, {kind: shown, "next": after if more else None})


def _window(request: Request) -> Window:
    start, end = request.one("from"), request.one("to")
    return Window(parse_instant(start), parse_instant(end)) if start and end else EVER


def _when(span: Any) -> dict[str, Any]:
    shown = {"starts": span.start, "ends": span.end}
    minute = timedelta(minutes=1)
    walls = {k: v.replace(tzinfo=None, fold=0).isoformat() for k, v in shown.items()}
    return walls | {f"{k}_offset": int(v.utcoffset() / minute) for k, v in shown.items()}


def _visit(visit: Appointment) -> dict[str, Any]:
    state = next(k for k, v in STATES.items() if v is visit.status)
    return _when(visit) | {
        "id": visit.id, "state": state, "client": visit.patient, "staff": visit.practitioner,
        "site": visit.location, "service": visit.appointment_type, "note": visit.comment,
        "ref": next((i.value for i in visit.identifiers), None), "version": visit.version,
    }  # fmt: skip


def _client(person: Patient) -> dict[str, Any]:
    name = person.name or HumanName()
    return {
        "id": person.id, "family": name.family, "given": " ".join(name.given),
        "born": person.birth_date and person.birth_date.isoformat(),
        "phone": next(iter(person.contacts(ContactSystem.PHONE)), None),
    }  # fmt: skip
