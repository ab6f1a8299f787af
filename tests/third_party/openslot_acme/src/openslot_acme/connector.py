"""Acme Scheduling API 1: openings, visits, holds and clients, in local wall times with offsets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from pydantic import SecretStr

from openslot import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    AppointmentType,
    AppointmentUpdate,
    BadResponse,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    Claim,
    ConflictQuery,
    ConnectorInfo,
    ContactPoint,
    ContactSystem,
    Hold,
    HoldRequest,
    HumanName,
    Identifier,
    Listing,
    Location,
    Missing,
    MissingWhat,
    Patient,
    PatientQuery,
    Practitioner,
    ProofLevel,
    Rejected,
    RescheduleRequest,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    Stale,
    Traits,
    Written,
)
from openslot.model.time import parse_instant, place
from openslot.rest import Auth, Reply, RestConnector, RestSettings, StaticKey, path

T = TypeVar("T")
STATES = {"booked": AppointmentStatus.BOOKED, "requested": AppointmentStatus.PENDING} | {
    s: AppointmentStatus(s) for s in ("arrived", "checked-in", "fulfilled", "cancelled", "noshow")
}


class AcmeSettings(RestSettings):
    """Acme's console shows the address and the key under Settings, API."""

    api_key: SecretStr


class AcmeConnector(RestConnector):
    Settings = AcmeSettings
    error_table: ClassVar[Any] = {410: Stale, 422: Rejected}
    info = ConnectorInfo(
        name="acme",
        title="Acme Scheduling",
        documentation="README.md",
        traits=Traits(
            conflict_enforcement=Claim.YES,
            idempotent_booking=Claim.YES,
            native_hold=Claim.YES,
            atomic_reschedule=Claim.YES,
            frees_slot_on_cancel=Claim.YES,
            lists_by_resource=Claim.YES,
            creation_may_pend=Claim.NO,
            one_appointment_per_patient=Claim.NO,
            id_changes_on_move=Claim.NO,
            settle_within=timedelta(seconds=5),
        ),
    )

    def authenticate(self) -> Auth:
        return StaticKey(self.settings.api_key, header="Authorization", prefix="Bearer ")

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        window, staff = query.window, query.practitioners
        asked = {"from": window.start.isoformat(), "to": window.end.isoformat(), "staff": staff}
        found = await self._all(
            "openings", {**asked, "service": query.appointment_type or ""}, self._slot
        )
        kept = {
            s.identity: s
            for s in found
            if window.contains(s.start)
            and (not staff or s.practitioner in staff)
            and (not query.locations or s.location in query.locations)
            and query.appointment_type in (None, s.appointment_type)
        }
        return replace(found, items=tuple(sorted(kept.values(), key=lambda s: s.start)))

    async def hold(self, request: HoldRequest) -> Hold:
        body = {"opening": request.slot.id, "ref": request.intent}
        made = _dict(await self.write("POST", "holds", step="hold", json=body, repeatable=True))
        return Hold(made["id"], request.slot, parse_instant(made["expires"]))

    async def release(self, hold: Hold) -> None:
        await self.write("DELETE", path("holds", hold.id), step="release", repeatable=True)

    async def book(self, request: BookingRequest) -> Written:
        body = {"opening": request.slot.id, "client": request.patient, "ref": request.intent,
                "hold": request.hold, "note": request.comment}  # fmt: skip
        return await self._write("POST", "visits", body, "book")

    async def cancel(self, request: CancelRequest) -> Written:
        body = {"version": request.version, "why": request.reason}
        return await self._write(
            "POST", path("visits", request.appointment, "cancel"), body, "cancel"
        )

    async def reschedule(self, request: RescheduleRequest) -> Written:
        body = {"opening": request.slot.id, "version": request.version, "ref": request.intent}
        return await self._write("POST", path("visits", request.appointment, "move"), body, "move")

    async def update_appointment(self, request: AppointmentUpdate) -> Written:
        where = path("visits", request.appointment)
        whole = {**_dict(await self.read(where)), "note": request.comment}
        return await self._write("PUT", where, whole, "update")

    async def get_appointment(self, appointment: str) -> Appointment:
        reply = await self.read(path("visits", appointment))
        try:
            return self._visit(_dict(reply))
        except (KeyError, TypeError, ValueError):
            raise reply.bad("this is no visit") from None

    async def list_appointments(self, query: AppointmentQuery) -> Listing[Appointment]:
        asked = {
            "client": query.patient or "",
            "staff": query.resource.id if query.resource else "",
        }
        if query.window:
            asked |= {"from": query.window.start.isoformat(), "to": query.window.end.isoformat()}
        found = await self._all("visits", asked, self._visit)
        kept = (a for a in found if query.include_cancelled or a.status.takes_time)
        return replace(found, items=tuple(kept))

    async def find_conflicts(self, query: ConflictQuery) -> Listing[Appointment]:
        window, ids = query.window, {r.id for r in query.resources}
        asked = {"from": window.start.isoformat(), "to": window.end.isoformat()}
        found = await self._all("visits", asked, self._visit)
        kept = (a for a in found if a.status.takes_time and (not ids or a.practitioner in ids))
        return replace(found, items=tuple(kept))

    async def find_booking(self, query: BookingQuery) -> Listing[Appointment]:
        found = await self._all("visits", {"ref": query.intent}, self._visit)
        wanted = Identifier("ref", query.intent)
        return replace(found, items=tuple(a for a in found if wanted in a.identifiers))

    async def find_patients(self, query: PatientQuery) -> Listing[Patient]:
        born = query.birth_date.isoformat() if query.birth_date else None
        body = {"id": query.id, "family": query.family, "given": query.given, "born": born,
                "phone": query.phone, "email": query.email}  # fmt: skip
        reply = await self.read("clients/search", method="POST", json=body)
        return self._listing(reply, _dict(reply), "clients", _client)

    async def create_patient(self, patient: Patient, *, intent: str) -> Patient:
        name, born = patient.name or HumanName(), patient.birth_date
        body = {"family": name.family, "given": " ".join(name.given), "ref": intent,
                "born": born.isoformat() if born else None,
                "phone": next(iter(patient.contacts(ContactSystem.PHONE)), None)}  # fmt: skip
        reply = await self.write("POST", "clients", step="register", json=body, repeatable=True)
        return _client(_dict(reply))

    async def list_practitioners(self) -> Listing[Practitioner]:
        return await self._all("staff", {}, lambda r: Practitioner(r["id"], r["name"]))

    async def list_locations(self) -> Listing[Location]:
        return await self._all("sites", {}, lambda r: Location(r["id"], r["name"], r["zone"]))

    async def list_appointment_types(self) -> Listing[AppointmentType]:
        def read(raw: Any) -> AppointmentType:
            return AppointmentType(raw["id"], raw["name"], timedelta(minutes=raw["minutes"]))

        return await self._all("services", {}, read)

    async def _write(self, method: str, where: str, body: Any, step: str) -> Written:
        reply = await self.write(method, where, step=step, json=body, repeatable=True)
        visit = self._visit(_dict(reply))
        return Written(
            ProofLevel.WRITTEN, visit.id, visit, version=visit.version, as_of=visit.as_of
        )

    async def _all(
        self, kind: str, params: Mapping[str, Any], read: Callable[[Any], T]
    ) -> Listing[T]:
        items: list[T] = []
        missing: list[Missing] = []
        asked = {k: v for k, v in params.items() if v}
        try:
            async for reply in self.pages(kind, params=asked, next_page=lambda r: _dict(r)["next"]):
                page = self._listing(reply, _dict(reply), kind, read)
                items, missing = items + list(page.items), missing + list(page.missing)
        except (BadResponse, OSError) as error:
            if not items:
                raise
            missing.append(Missing(MissingWhat.PAGE, f"a page could not be read: {error}"))
        return Listing(tuple(items), tuple(missing), self.clock.now(), self.info.name)

    def _listing(
        self, reply: Reply, page: Mapping[str, Any], kind: str, read: Callable[[Any], T]
    ) -> Listing[T]:
        items, missing = [], []
        if not isinstance(page.get(kind), list):
            raise reply.bad("this is another document than was asked for", path=kind)
        for number, raw in enumerate(page[kind]):
            try:
                items.append(read(raw))
            except (KeyError, TypeError, ValueError):
                where = f"{kind}[{number}]"
                missing.append(Missing(MissingWhat.ENTRY, "it cannot be read", path=where))
        return Listing(tuple(items), tuple(missing), self.clock.now(), self.info.name)

    def _slot(self, raw: Any) -> Slot:
        return Slot(
            self._at(raw, "starts"), self._at(raw, "ends"), id=raw["id"], location=raw["site"],
            resources=(Resource(ResourceKind.PRACTITIONER, raw["staff"]),),
            appointment_type=raw["service"], as_of=self.clock.now(), source=self.info.name,
        )  # fmt: skip

    def _visit(self, raw: Any) -> Appointment:
        return Appointment(
            raw["id"], STATES[raw["state"]], self._at(raw, "starts"), self._at(raw, "ends"),
            patient=raw["client"], location=raw["site"], appointment_type=raw["service"],
            resources=(Resource(ResourceKind.PRACTITIONER, raw["staff"]),), comment=raw["note"],
            identifiers=(Identifier("ref", raw["ref"]),) if raw["ref"] else (),
            version=raw["version"], as_of=self.clock.now(), source=self.info.name,
        )  # fmt: skip

    def _at(self, raw: Any, which: str) -> datetime:
        offset = timedelta(minutes=raw[f"{which}_offset"])
        return place(datetime.fromisoformat(raw[which]), self.zone, offset=offset)


def _client(raw: Any) -> Patient:
    phone = (ContactPoint(ContactSystem.PHONE, raw["phone"]),) if raw["phone"] else ()
    name = HumanName(raw["family"], tuple(raw["given"].split()))
    born = date.fromisoformat(raw["born"]) if raw["born"] else None
    return Patient(raw["id"], name, born, telecom=phone)


def _dict(reply: Reply) -> dict[str, Any]:
    body = reply.json()
    if not isinstance(body, dict):
        raise reply.bad("this is another document than was asked for")
    return body
