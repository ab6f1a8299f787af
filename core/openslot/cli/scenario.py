"""What the demo does and what it demands of it: a patient is booked, moved, cancelled and booked.

Nothing that is said here is known beforehand: each step demands what it says and else raises.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openslot.cli.neighbour import CONNECTOR, Neighbour, neighbour
from openslot.cli.shapes import plain
from openslot.cli.show import span
from openslot.errors import OpenSlotError, SlotTaken
from openslot.model import (
    AppointmentStatus,
    ContactPoint,
    ContactSystem,
    Exclusive,
    HumanName,
    Patient,
    Proof,
    ProofLevel,
    Slot,
    SlotQuery,
    Window,
)

if TYPE_CHECKING:
    from openslot.desk import Desk, Outcome
    from openslot.practice import Practice

__all__ = ["DidNotHold", "Step", "scenario"]

ZONE = "America/New_York"
TYPE = "new"
SPAN = timedelta(days=7)
CALL, OTHER_CALL = "call-1", "call-2"


class DidNotHold(OpenSlotError):
    """Something that the demo says was found not to be so."""

    code = "did_not_hold"


@dataclass(frozen=True, slots=True)
class Step:
    """One step that held: what is said of it, how long it took, and the proof of a write."""

    name: str
    said: str
    milliseconds: float
    proof: Proof | None = None
    details: tuple[str, ...] = ()

    def shape(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "name": self.name,
            "said": self.said,
            "milliseconds": round(self.milliseconds, 1),
            "proof": plain(self.proof) if self.proof else None,
            "details": list(self.details),
        }


def _caller(given: str, family: str, born: date, last_digits: str) -> Patient:
    # 555-01xx numbers are set aside for fiction.
    phone = ContactPoint(ContactSystem.PHONE, f"+1 212 555 01{last_digits}")
    return Patient(name=HumanName(family, (given,)), birth_date=born, telecom=(phone,))


async def scenario(server_options: tuple[str, ...]) -> AsyncIterator[Step]:
    """Play it, a step at a time. Raises DidNotHold, or whatever error came instead."""
    with tempfile.TemporaryDirectory(prefix="openslot-demo-") as name:
        folder = Path(name)
        begun = time.perf_counter()
        async with neighbour(folder, server_options, meanwhile=_made_ready) as server:
            took = (time.perf_counter() - begun) * 1000
            yield Step("server", f"{CONNECTOR} sandbox at {server.url}, process {server.pid}", took)
            async for step in _Play(server, folder).steps():
                yield step


async def _made_ready() -> None:
    """Load what opening a desk loads, while the server starts: what is timed later is the work."""
    from openslot.journal import Journal
    from openslot.registry import load_connector

    load_connector(CONNECTOR)
    async with Journal(":memory:"):
        pass


class _Play:
    """The steps, in order, with what they leave to each other."""

    def __init__(self, server: Neighbour, folder: Path) -> None:
        from openslot.practice import Practice

        self.server = server
        self.folder = folder
        self.practice: Practice = Practice(
            name="demo",
            connector=CONNECTOR,
            zone=ZONE,
            settings={"base_url": server.url, "refuses_overlaps": True},
            directory=folder,
        )
        self._begun = 0.0

    def _desk(self, journal: str) -> Desk:
        from openslot.desk import Desk

        return Desk(self.practice, journal=self.folder / journal)

    def _step(
        self, name: str, said: str, proof: Proof | None = None, details: tuple[str, ...] = ()
    ) -> Step:
        now = time.perf_counter()
        took, self._begun = (now - self._begun) * 1000, now
        return Step(name, said, took, proof, details)

    def _when(self, slot: Slot) -> str:
        return span(slot.start, slot.end, self.practice.zone_info)

    async def steps(self) -> AsyncIterator[Step]:
        """All steps after the server's start."""
        self._begun = time.perf_counter()
        yield self._connectors()
        async with self._desk("first-caller.db") as desk, self._desk("second-caller.db") as other:
            yield await self._probe(desk)
            slots = await self._find(desk)
            first, second = slots[0], _elsewhere(slots[0], slots)
            yield self._step(
                "find",
                f"{len(slots)} free slots for a new patient in {SPAN.days} days; all was read",
            )
            caller = _caller("Lumira", "Brassovane", date(1984, 3, 9), "42")
            patient = await self._register(desk, caller)
            yield self._step("match", f"none; registered; then one: Patient/{patient}")

            offers = await desk.offer(_apart(slots, 3), conversation=CALL)
            read_out = tuple(f"{o.code}  {self._when(o.slot)}" for o in offers)
            yield self._step("offer", "three slots are read out, by codes", details=read_out)

            booked = await desk.book(offers[0].code, patient, key="first", conversation=CALL)
            self._proven(booked, first, patient)
            yield self._step("book", self._when(first), booked.proof)

            stranger = _caller("Teodrin", "Galvemoor", date(1990, 11, 2), "77")
            alternatives = await self._refused(other, first, stranger)
            free = tuple(f"instead: {self._when(s)}" for s in alternatives)
            yield self._step(
                "second caller", "the same slot, another journal: SlotTaken", details=free
            )

            again = await desk.book(offers[0].code, patient, key="first", conversation=CALL)
            await self._same(booked, again, patient)
            yield self._step("same key", "the same outcome, one appointment in the server")

            moved = await desk.reschedule(_id(booked), second, key="move")
            self._proven(moved, second, patient)
            await self._freed(desk, moved, first, patient)
            old = moved.old_slot.value if moved.old_slot else ""
            yield self._step(
                "reschedule",
                f"{self._when(second)} ({moved.way}); the old time: {old}",
                moved.proof,
            )

            cancelled = await desk.cancel(_id(moved), key="cancel")
            await self._gone(desk, cancelled, second, patient)
            yield self._step("cancel", "cancelled, and its time is offered again", cancelled.proof)

            last = await desk.book(first, patient, key="last")
            self._proven(last, first, patient)
            yield self._step("book again", self._when(first), last.proof)
        yield await self._counted(last, patient)

    def _connectors(self) -> Step:
        from openslot.registry import connector_names

        names = connector_names()
        _demand(CONNECTOR in names, f"no connector called {CONNECTOR} is installed")
        return self._step("connectors", ", ".join(names))

    async def _probe(self, desk: Desk) -> Step:
        report = await desk.connector.probe()
        skew = f"{abs(report.skew.total_seconds()):.0f} s" if report.skew is not None else "unknown"
        verbs = len(desk.connector.capabilities.verbs)
        return self._step("probe", f"{report.server}: {verbs} verbs, clocks {skew} apart")

    async def _find(self, desk: Desk) -> tuple[Slot, ...]:
        # What starts too soon may fall below the minimum notice while the demo runs.
        start = datetime.now(UTC) + timedelta(hours=2)
        query = SlotQuery(Window(start, start + SPAN), appointment_type=TYPE, new_patient=True)
        found = await desk.find_slots(query)
        _demand(found.complete, "not everything could be read, so nobody may say what is free")
        _demand(len(found.items) >= 5, "the clinic has too few free slots to show anything")
        return found.items

    async def _register(self, desk: Desk, caller: Patient) -> str:
        from openslot.desk import MatchLevel

        before = await desk.find_patient(caller)
        _demand(before.level is MatchLevel.NONE, "a person who never called is known already")
        registered = await desk.register_patient(caller, key="register")
        after = await desk.find_patient(caller)
        _demand(
            after.patient is not None and after.patient.id == registered.id,
            "the person who was registered is not found",
        )
        return str(registered.id)

    def _proven(self, outcome: Outcome, slot: Slot, patient: str) -> None:
        """Demand that the outcome is confirmed, and by a record that is what was asked for."""
        proof, record = outcome.proof, outcome.appointment
        _demand(
            proof is not None and proof.level is ProofLevel.VERIFIED,
            f"{outcome.verb} got no further than {outcome.state.value}",
        )
        _demand(outcome.exclusive is Exclusive.ENFORCED, "nothing keeps others from this time")
        _demand(outcome.confirmed, f"{outcome.verb} may not be called confirmed")
        _demand(
            record is not None
            and record.status is AppointmentStatus.BOOKED
            and (record.start, record.end, record.patient) == (slot.start, slot.end, patient),
            "the record is not the one that was asked for",
        )

    async def _refused(self, other: Desk, slot: Slot, stranger: Patient) -> tuple[Slot, ...]:
        patient = await other.register_patient(stranger, key="register")
        try:
            await other.book(slot, str(patient.id), key="first", conversation=OTHER_CALL)
        except SlotTaken as error:
            alternatives = error.alternatives
        else:
            raise DidNotHold("the same slot was booked a second time")
        _demand(len(alternatives) == 3, f"{len(alternatives)} alternatives instead of three")
        _demand(
            all(s.start != slot.start for s in alternatives), "what is taken is offered instead"
        )
        standing = await self.server.standing(str(patient.id))
        _demand(not standing, "something of the refused booking stands in the server")
        return alternatives

    async def _same(self, booked: Outcome, again: Outcome, patient: str) -> None:
        _demand(again == booked, "the same key led to another outcome")
        standing = await self.server.standing(patient)
        _demand(list(standing) == [_id(booked)], "the same key did not lead to one appointment")

    async def _freed(self, desk: Desk, moved: Outcome, old: Slot, patient: str) -> None:
        from openslot.desk import OldSlot

        _demand(not moved.old_standing, "the old appointment still stands")
        _demand(moved.old_slot is OldSlot.FREED, f"the old time is {moved.old_slot}")
        _demand(await self._offered(desk, old), "the old time is not offered")
        standing = await self.server.standing(patient)
        _demand(list(standing) == [_id(moved)], "after the move not exactly the new one stands")

    async def _gone(self, desk: Desk, cancelled: Outcome, slot: Slot, patient: str) -> None:
        _demand(cancelled.level is ProofLevel.VERIFIED, "the cancellation was not read back")
        _demand(not await self.server.standing(patient), "after the cancellation one still stands")
        _demand(await self._offered(desk, slot), "the cancelled time is not offered")

    async def _offered(self, desk: Desk, slot: Slot) -> bool:
        window = Window(slot.start, slot.start + timedelta(minutes=1))
        found = await desk.find_slots(SlotQuery(window, appointment_type=TYPE, new_patient=True))
        return any(s.identity == slot.identity for s in found)

    async def _counted(self, last: Outcome, patient: str) -> Step:
        standing = await self.server.standing(patient)
        _demand(list(standing) == [_id(last)], f"{len(standing)} appointments stand, not the one")
        document = standing[_id(last)]
        slot_start = last.appointment.start if last.appointment else None
        _demand(
            document["status"] == "booked"
            and datetime.fromisoformat(document["start"]) == slot_start,
            "the server's document is not what was reported",
        )
        return self._step(
            "the server", f"1 appointment of Patient/{patient} stands: Appointment/{document['id']}"
        )


def _demand(held: bool, otherwise: str) -> None:
    if not held:
        raise DidNotHold(otherwise)


def _id(outcome: Outcome) -> str:
    if outcome.appointment is None:
        raise DidNotHold(f"{outcome.verb} answered without an appointment")
    return outcome.appointment.id


def _apart(slots: tuple[Slot, ...], count: int) -> list[Slot]:
    """The first slots that do not overlap each other."""
    chosen: list[Slot] = []
    for slot in slots:
        if len(chosen) < count and (not chosen or slot.start >= chosen[-1].end):
            chosen.append(slot)
    _demand(len(chosen) == count, "there are too few different times to offer")
    return chosen


def _elsewhere(slot: Slot, slots: tuple[Slot, ...]) -> Slot:
    """The first slot of a later day."""
    found = next((s for s in slots if s.start >= slot.end + timedelta(days=1)), None)
    if found is None:
        raise DidNotHold("there is no slot on another day to move to")
    return found
