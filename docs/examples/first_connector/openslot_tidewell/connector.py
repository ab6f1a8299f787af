"""Tidewell API 1 (https://tidewell.example/api): openings and bookings."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

from pydantic import SecretStr

from openslot import (
    Appointment,
    BookingRequest,
    ConnectorInfo,
    Listing,
    Missing,
    MissingWhat,
    Patient,
    ProofLevel,
    Rejected,
    RejectedReason,
    Slot,
    SlotQuery,
    Stale,
    Traits,
    Written,
)
from openslot.rest import Auth, Reply, RestConnector, RestSettings, StaticKey
from openslot_tidewell.mapping import appointment_of, slot_of

T = TypeVar("T", Slot, Appointment, Patient)


class TidewellSettings(RestSettings):
    """Tidewell shows the address and the key under Practice, Integrations."""

    api_key: SecretStr


class TidewellConnector(RestConnector):
    Settings = TidewellSettings
    settings: TidewellSettings
    error_table: ClassVar = {410: Stale, 422: Rejected}  # beside 401, 404, 409, 429 and 5xx
    info = ConnectorInfo("tidewell", "Tidewell", Traits(), "https://tidewell.example/api")

    def authenticate(self) -> Auth:
        return StaticKey(self.settings.api_key)  # Authorization: Bearer

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        asked = {"from": query.window.start.isoformat(), "to": query.window.end.isoformat()}
        if query.appointment_type:
            asked["service"] = query.appointment_type
        found = self.understood(await self.read("openings", params=asked), "openings", slot_of)
        slots = sorted((s for s in found if wanted(s, query)), key=lambda s: s.start)
        return replace(found, items=tuple(slots))

    async def book(self, request: BookingRequest) -> Written:
        if isinstance(request.patient, Patient):
            raise Rejected("Tidewell books for clients it knows", reason=RejectedReason.POLICY)
        body = {"opening": request.slot.id, "client": request.patient, "reference": request.intent}
        return self.written(await self.write("POST", "bookings", step="book", json=body))

    def written(self, reply: Reply) -> Written:
        booked = self.one(reply, appointment_of)
        return Written(ProofLevel.WRITTEN, booked.id, booked, as_of=self.clock.now())

    def one(self, reply: Reply, read: Callable[[Any], T]) -> T:
        try:
            return self.dated(read(reply.json()))
        except (KeyError, TypeError, ValueError):
            raise reply.bad("this is another document than was asked for") from None

    def understood(self, reply: Reply, name: str, read: Callable[[Any], T]) -> Listing[T]:
        document, items, missing = reply.json(), [], []
        if not isinstance(document, dict) or not isinstance(document.get(name), list):
            raise reply.bad("this is another document than was asked for", path=name)
        for number, raw in enumerate(document[name]):
            try:
                items.append(self.dated(read(raw)))
            except (KeyError, TypeError, ValueError):
                where = f"{name}[{number}]"
                missing.append(Missing(MissingWhat.ENTRY, "it cannot be read", path=where))
        return Listing(tuple(items), tuple(missing), self.clock.now(), self.info.name)

    def dated(self, fact: T) -> T:
        if isinstance(fact, Patient):
            return fact
        return replace(fact, as_of=self.clock.now(), source=self.info.name)


def wanted(slot: Slot, query: SlotQuery) -> bool:
    """What Tidewell was not asked for, or answers more generously than it was asked."""
    return (
        query.window.contains(slot.start)
        and slot.practitioner in (query.practitioners or (slot.practitioner,))
        and slot.location in (query.locations or (slot.location,))
        and query.appointment_type in (None, slot.appointment_type)
    )
