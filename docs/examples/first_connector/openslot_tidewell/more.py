"""What makes "requested" into "confirmed": bookings are read back, found again and cancelled."""

from dataclasses import replace

from openslot import (
    Appointment,
    AppointmentQuery,
    BookingQuery,
    CancelRequest,
    Claim,
    ConnectorInfo,
    Identifier,
    Listing,
    Patient,
    PatientQuery,
    Traits,
    Written,
)
from openslot.rest import path
from openslot_tidewell.connector import TidewellConnector
from openslot_tidewell.mapping import appointment_of, client_of, patient_of


class TidewellPlus(TidewellConnector):
    info = ConnectorInfo(
        "tidewell",
        "Tidewell",
        Traits(
            conflict_enforcement=Claim.YES,  # the manual, "Bookings": an opening is booked once
            idempotent_booking=Claim.YES,  # "Bookings": a reference is booked once
            frees_slot_on_cancel=Claim.YES,  # "Cancelling"
        ),
        "https://tidewell.example/api",
    )

    async def get_appointment(self, appointment: str) -> Appointment:
        return self.one(await self.read(path("bookings", appointment)), appointment_of)

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        found = await self.bookings(reference=query.intent)
        ours = Identifier("reference", query.intent)
        return replace(found, items=tuple(a for a in found if ours in a.identifiers))

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        found = await self.bookings(
            client=query.patient or "", doctor=query.resource.id if query.resource else ""
        )
        return replace(found, items=tuple(a for a in found if asked_for(a, query)))

    async def cancel(self, request: CancelRequest) -> Written:
        where = path("bookings", request.appointment, "cancel")
        body = {"revision": request.version}
        return self.written(await self.write("POST", where, step="cancel", json=body))

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        born = query.birth_date.isoformat() if query.birth_date else None
        asked = {"family": query.family, "born": born, "phone": query.phone}
        reply = await self.read("clients/search", method="POST", json=asked)
        return self.understood(reply, "clients", patient_of)

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        body = {**client_of(patient), "reference": intent}
        return self.one(await self.write("POST", "clients", step="register", json=body), patient_of)

    async def bookings(self, **asked: str) -> Listing[Appointment]:
        params = {name: value for name, value in asked.items() if value}
        reply = await self.read("bookings", params=params)
        return self.understood(reply, "bookings", appointment_of)


def asked_for(a: Appointment, query: AppointmentQuery) -> bool:
    window = query.window
    return (
        query.patient in (None, a.patient)
        and (query.resource is None or query.resource in a.resources)
        and (query.include_cancelled or a.status.takes_time)
        and (window is None or (a.start and a.end and window.overlaps(a.start, a.end)) is True)
    )
