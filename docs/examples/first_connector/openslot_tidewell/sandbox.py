"""Tidewell's server, run by us: the routes of its manual over the clinic engine."""

from dataclasses import replace
from datetime import date
from typing import Any

from openslot import (
    Appointment,
    NotFound,
    OpenSlotError,
    PatientQuery,
    Rejected,
    SlotTaken,
    Stale,
    Window,
)
from openslot.model import parse_instant
from openslot.testing.sandbox import Answer, Request, Sandbox, route
from openslot_tidewell.mapping import STATES, client_of, patient_of

STATUS = {NotFound: 404, SlotTaken: 409, Stale: 410, Rejected: 422}


class TidewellSandbox(Sandbox):
    name = "tidewell"
    base_path = "/api/1"

    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "api_key": getattr(self.auth, "key", "none")}

    def answer(self, request: Request) -> Answer:
        try:
            return super().answer(request)
        except OpenSlotError as error:
            return Answer(STATUS[type(error)], {"message": error.message})

    @route("GET", "/openings")
    def openings(self, request: Request) -> Answer:
        window = Window(
            parse_instant(request.one("from") or ""), parse_instant(request.one("to") or "")
        )
        found = self.clinic.openings(window, type=request.one("service"))
        return Answer(200, {"openings": [{"id": o.id, **taking(o.slot)} for o in found]})

    @route("POST", "/bookings")
    def book(self, request: Request) -> Answer:
        asked = request.json()
        made = self.clinic.book(
            asked["opening"], asked["client"], intent=asked["reference"], new_patient=False
        )
        return Answer(201, booking(made))

    @route("GET", "/bookings")
    def bookings(self, request: Request) -> Answer:
        if reference := request.one("reference"):
            found = self.clinic.by_intent(reference)
        else:
            found = self.clinic.appointments(
                patient=request.one("client"), resource=request.one("doctor")
            )
        return Answer(200, {"bookings": [booking(b) for b in found]})

    @route("GET", "/bookings/{id}")
    def booking(self, request: Request, id: str) -> Answer:
        return Answer(200, booking(self.clinic.get_appointment(id)))

    @route("POST", "/bookings/{id}/cancel")
    def cancel(self, request: Request, id: str) -> Answer:
        revision = request.json()["revision"]
        return Answer(200, booking(self.clinic.cancel(id, version=revision)))

    @route("POST", "/clients/search")
    def search(self, request: Request) -> Answer:
        asked = request.json()
        born = date.fromisoformat(asked["born"]) if asked["born"] else None
        query = PatientQuery(family=asked["family"], birth_date=born, phone=asked["phone"])
        return Answer(200, {"clients": [client_of(p) for p in self.clinic.find_patients(query)]})

    @route("POST", "/clients")
    def register(self, request: Request) -> Answer:
        person = replace(patient_of({"id": None, **request.json()}), id=None)
        made = self.clinic.create_patient(person, intent=request.json()["reference"])
        return Answer(201, client_of(made))


def taking(span: Any) -> dict[str, Any]:
    return {
        "begins": span.start.isoformat(),
        "ends": span.end.isoformat(),
        "doctor": span.practitioner,
        "site": span.location,
        "service": span.appointment_type,
    }


def booking(made: Appointment) -> dict[str, Any]:
    return {
        "id": made.id,
        "state": next(state for state, status in STATES.items() if status is made.status),
        "client": made.patient,
        "reference": next((i.value for i in made.identifiers), None),
        "revision": int(made.version or 0),
        **taking(made),
    }
