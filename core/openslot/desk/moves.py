"""Moves an appointment without losing the patient's place (law 6), and registers patients.

A move is one intent whose parts (book the new, cancel the old, restore) are intents of their own in
the same journal, named after it: done again from any point, each part answers what it did before.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any

from openslot.connector import Claim
from openslot.desk.engine import Engine, Job, as_json
from openslot.desk.outcome import Failure, MatchLevel, OldSlot
from openslot.desk.patients import match, query_for
from openslot.errors import (
    AskAgain,
    NotFound,
    OpenSlotError,
    PlaceLost,
    Rejected,
    RejectedReason,
    Unavailable,
)
from openslot.journal import Entry, State
from openslot.journal.store import LeaseLost
from openslot.model import (
    Appointment,
    BookingRequest,
    CancelRequest,
    ConflictQuery,
    Exclusive,
    HoldRequest,
    Patient,
    Proof,
    ProofLevel,
    RescheduleRequest,
    Slot,
    SlotQuery,
    Window,
    from_json,
    to_json,
)

__all__ = ["Moves", "old_slot_state", "register"]


@dataclass(frozen=True, slots=True)
class MovePlan:
    """What a move was asked for, and the appointment as it stood when it began."""

    request: RescheduleRequest
    old: Appointment = field(repr=False)
    way: str


class Moves:
    """Works moves off."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.connector = engine.connector
        self.journal = engine.journal

    async def plan(self, request: RescheduleRequest) -> MovePlan:
        """Read the appointment and choose the way. Raises NotFound, Rejected, Unsupported.

        Nothing is written yet, so what is raised here leaves the key unused.
        """
        self.connector.require("get_appointment")
        old = await self.connector.get_appointment(request.appointment)
        if not old.status.takes_time or old.start is None:
            raise Rejected("this appointment does not stand any more, so it cannot be moved")
        native = self.connector.traits.atomic_reschedule is Claim.YES
        if native and self.connector.capabilities.can("reschedule"):
            return MovePlan(request, old, "native")
        self.connector.require("cancel")
        if old.patient is None:
            raise Rejected("the appointment names no patient, so it cannot be booked anew")
        refused = (
            self._collides(old, request.slot)
            and self.connector.traits.conflict_enforcement is Claim.YES
        )
        if not (refused or self._single):
            return MovePlan(request, old, "book-first")
        return MovePlan(request, old, self._second_best())

    def _collides(self, old: Appointment, slot: Slot) -> bool:
        """Whether the new takes time that the old itself has."""
        if old.start is None:
            return False
        overlap = Window(slot.start, slot.end).overlaps(old.start, old.end or old.start)
        mine = {(r.kind, r.id) for r in old.resources}
        theirs = {(r.kind, r.id) for r in slot.resources}
        return overlap and bool(mine & theirs or not mine or not theirs)

    @property
    def _single(self) -> bool:
        return self.connector.traits.one_appointment_per_patient is Claim.YES

    def _second_best(self) -> str:
        can = self.connector.capabilities.can
        if self.connector.traits.native_hold is Claim.YES and can("hold"):
            return "hold-first"
        if self.engine.practice.rules.allow_gap:
            return "gap"
        raise _gap_required()

    async def move(self, job: Job, entry: Entry) -> Entry:
        """Bring a move as far as it gets now."""
        plan: MovePlan = self.engine.unsealed(MovePlan, entry)
        job.entries.append(entry)
        try:
            if plan.way == "native":
                return await self._native(job, entry, plan)
            if plan.way == "book-first":
                return await self._book_first(job, entry, plan)
            return await self._cancel_first(job, entry, plan)
        except AskAgain as error:
            return await self.engine.refuse(entry, error)
        except OpenSlotError:
            if plan.way != "native" and not await self._begun(entry):
                with suppress(LeaseLost):  # gone already where the hold itself did not leave
                    await self.journal.forget(entry)
            raise
        finally:
            job.entries.pop()

    async def _begun(self, entry: Entry) -> bool:
        """Whether any part of the move has left: if none has, its key is unused."""
        for name in ("book", "cancel"):
            marker = self.engine.part_marker(entry, name)
            if await self.journal.get(entry.practice, marker) is not None:
                return True
        return False

    # the vendor's own way

    async def _native(self, job: Job, entry: Entry, plan: MovePlan) -> Entry:
        engine, request = self.engine, plan.request
        if entry.state is State.RECORDED:
            written = await engine.write(job, entry, lambda: self.connector.reschedule(request))
            state = State.UNKNOWN if written is None else State.WRITTEN
            entry = await self.journal.advance(
                entry, state, engine.now(), appointment=written.id if written else None
            )
        elif entry.state is State.SENT:
            entry = await self.journal.advance(entry, State.UNKNOWN, engine.now())
        pause = 0.05
        while True:
            record = await engine.read(
                partial(self.connector.get_appointment, entry.appointment or plan.old.id)
            )
            if record and record.start == request.slot.start and record.status.takes_time:
                return await self._moved(entry, plan, record)
            resend = self.connector.traits.idempotent_booking is Claim.YES
            if record and entry.state is State.UNKNOWN and resend:
                try:
                    again = await self.connector.reschedule(request)
                    entry = await self.journal.advance(
                        entry, State.WRITTEN, engine.now(), appointment=again.id
                    )
                    continue
                except AskAgain:
                    raise
                except OpenSlotError:
                    pass  # as unknown as before; read again after a pause
            if not await engine.wait_more(job, entry, pause):
                return await engine.stay(entry)
            pause = min(pause * 2, 2.0)

    async def _moved(self, entry: Entry, plan: MovePlan, record: Appointment) -> Entry:
        engine = self.engine
        comparison = engine.comparison(record, plan.request.slot, patient=plan.old.patient)
        enforced = self.connector.traits.conflict_enforcement is Claim.YES
        proven = comparison.proves and record.status.means_booked and record.written_through
        proof = Proof(
            level=ProofLevel.VERIFIED if proven else ProofLevel.WRITTEN,
            as_of=record.as_of or engine.clock.now(),
            exclusive=Exclusive.ENFORCED if enforced else Exclusive.UNKNOWN,
            compared=comparison.equal,
            uncompared=comparison.uncompared,
        )
        return await self._finish(entry, plan, record, proof, mismatch=comparison.different)

    # book the new, verify it, cancel the old

    async def _book_first(self, job: Job, entry: Entry, plan: MovePlan) -> Entry:
        booked = await self._part_book(job, entry, plan, "book", plan.request.slot)
        if booked.state is State.REJECTED and self._collides(plan.old, plan.request.slot):
            # Where nobody knew whether the vendor refuses overlaps, it may be our own that it saw.
            return await self.engine.refuse(entry, _gap_required())
        if booked.state is State.REJECTED:
            return await self._refused(entry, booked)
        if booked.state is not State.VERIFIED:
            return await self._as_far_as(entry, booked)
        return await self._retire_old(job, entry, plan, booked)

    async def _retire_old(self, job: Job, entry: Entry, plan: MovePlan, booked: Entry) -> Entry:
        """Cancel the old; until that is verified the move is "moved, old standing"."""
        record, proof = _record(booked)
        try:
            cancelled = await self._part_cancel(job, entry, plan)
            standing = cancelled.state is not State.VERIFIED
        except OpenSlotError:
            standing = True
        return await self._finish(entry, plan, record, proof, standing=standing)

    # hold the new (where the vendor can), cancel the old, book the new, else restore the old

    async def _cancel_first(self, job: Job, entry: Entry, plan: MovePlan) -> Entry:
        if plan.way == "hold-first" and not await self._begun(entry):
            entry = await self._hold_new(job, entry, plan)
            if entry.final:
                return entry
        hold = entry.facts.get("hold")
        cancelled = await self._part_cancel(job, entry, plan)
        if cancelled.state is State.REJECTED:
            return await self._refused(entry, cancelled)
        if cancelled.state is not State.VERIFIED:
            return await self._as_far_as(entry, cancelled)
        # From here on the patient has no place: whatever fails, somebody must go on.
        try:
            return await self._book_after_cancel(job, entry, plan, hold)
        except OpenSlotError:
            return await self.journal.advance(entry, State.UNKNOWN, self.engine.now())

    async def _hold_new(self, job: Job, entry: Entry, plan: MovePlan) -> Entry:
        """Hold the new time; a hold whose answer is lost ends the move, the old standing."""
        request = HoldRequest(f"{entry.marker}.hold", plan.request.slot, plan.old.patient)
        held = await self.engine.write(job, entry, lambda: self.connector.hold(request))
        if held is None:
            unheld = Unavailable("the new time could not be held; the old appointment stands")
            return await self.engine.refuse(entry, unheld)
        return await self.journal.note(entry, {"hold": held.id}, self.engine.now())

    async def _book_after_cancel(
        self, job: Job, entry: Entry, plan: MovePlan, hold: str | None
    ) -> Entry:
        booked = await self._part_book(job, entry, plan, "book", plan.request.slot, hold=hold)
        if booked.state is State.VERIFIED:
            record, proof = _record(booked)
            return await self._finish(entry, plan, record, proof)
        if booked.state is not State.REJECTED:
            return await self._as_far_as(entry, booked)
        restored = await self._part_book(job, entry, plan, "restore", _slot_of(plan.old))
        if restored.state is State.VERIFIED:
            return await self._refused(entry, booked, appointment=restored.appointment)
        if restored.state is not State.REJECTED:
            return await self._as_far_as(entry, restored)
        failure = Failure.of(
            PlaceLost(
                "the old appointment is cancelled, the new time went to somebody else, and the "
                "old time cannot be had back: staff must call the patient"
            )
        )
        return await self.journal.advance(
            entry,
            State.LOST,
            self.engine.now(),
            result={"failure": as_json(failure), "way": plan.way},
            final=True,
        )

    # parts

    async def _part_book(
        self,
        job: Job,
        entry: Entry,
        plan: MovePlan,
        name: str,
        slot: Slot,
        hold: str | None = None,
    ) -> Entry:
        old = plan.old
        marker = self.engine.part_marker(entry, name)
        request = BookingRequest(
            intent=marker,
            slot=slot,
            patient=old.patient or "",  # `plan` has refused a move without one
            appointment_type=None if slot.appointment_type else old.appointment_type,
            reason=old.reason,
            comment=old.comment,
            visit_mode=old.visit_mode,
            notify=plan.request.notify,
            ignore_appointment=old.id,
            hold=hold,
        )
        part = await self._part(entry, marker, "book", self.engine.sealed(request))
        return part if part.final else await self.engine.book(job, part)

    async def _part_cancel(self, job: Job, entry: Entry, plan: MovePlan) -> Entry:
        marker = self.engine.part_marker(entry, "cancel")
        request = CancelRequest(
            intent=marker,
            appointment=plan.old.id,
            reason=plan.request.reason,
            notify=plan.request.notify,
        )
        part = await self._part(
            entry, marker, "cancel", self.engine.sealed(request), target=plan.old.id
        )
        return part if part.final else await self.engine.cancel(job, part)

    async def _part(
        self, entry: Entry, marker: str, verb: str, payload: str, target: str | None = None
    ) -> Entry:
        now = self.engine.now()
        part, new = await self.journal.begin(
            entry.practice,
            marker,
            verb=verb,
            fingerprint=entry.fingerprint,
            facts={},
            payload=payload,
            target=target,
            parent=entry.marker,
            now=now,
        )
        if new or part.final:
            return part
        return await self.journal.take(part, now) or part

    # ends

    async def _refused(self, entry: Entry, part: Entry, appointment: str | None = None) -> Entry:
        result = dict(part.result or {})
        return await self.journal.advance(
            entry,
            State.REJECTED,
            self.engine.now(),
            result={k: result[k] for k in ("failure", "alternatives") if k in result},
            appointment=appointment,
            final=True,
        )

    async def _as_far_as(self, entry: Entry, part: Entry) -> Entry:
        """The whole is as far as its unsettled part: unknown, or written and not yet verified."""
        current = await self.journal.get(entry.practice, entry.marker) or entry
        state = current.state if part.state in {State.RECORDED, current.state} else part.state
        return await self.journal.advance(
            entry, state, self.engine.now(), result=dict(part.result or {})
        )

    async def _finish(
        self,
        entry: Entry,
        plan: MovePlan,
        record: Appointment,
        proof: Proof,
        *,
        standing: bool = False,
        mismatch: tuple[str, ...] = (),
    ) -> Entry:
        old = plan.old
        replaces = old.id if record.id != old.id else None
        fate = OldSlot.UNKNOWN
        if not standing:
            fate = await old_slot_state(self.engine, old, but=record)
        verified = proof.level is ProofLevel.VERIFIED
        return await self.journal.advance(
            entry,
            State.VERIFIED if verified else State.WRITTEN,
            self.engine.now(),
            result={
                "appointment": as_json(replace(record, proof=proof, replaces=replaces)),
                "proof": as_json(proof),
                "old_slot": fate.value,
                "old_standing": standing,
                "way": plan.way,
                "mismatch": list(mismatch),
            },
            appointment=record.id,
            final=verified and not standing,
        )


async def old_slot_state(engine: Engine, old: Appointment, but: Appointment | None) -> OldSlot:
    """What became of the old appointment's time, as far as reading tells."""
    if old.start is None or old.end is None or old.start <= engine.clock.now():
        return OldSlot.NOT_OFFERED if old.start else OldSlot.UNKNOWN
    window = Window(old.start, old.end)
    can = engine.connector.capabilities.can
    if (
        but is not None
        and but.start is not None
        and but.end is not None
        and window.overlaps(but.start, but.end)
        and (but.practitioner or old.practitioner) == old.practitioner
    ):
        return OldSlot.RETAKEN  # by the patient's own new appointment
    offered = await engine.read(
        lambda: engine.connector.find_slots(
            SlotQuery(
                window=Window(window.start, window.start + timedelta(seconds=1)),
                appointment_type=old.appointment_type,
                practitioners=(old.practitioner,) if old.practitioner else (),
                locations=(old.location,) if old.location else (),
            )
        )
    )
    if offered and any(s.start == old.start for s in offered):
        return OldSlot.FREED
    if can("find_conflicts"):
        query = ConflictQuery(window, old.resources, old.location)
        others = await engine.read(lambda: engine.connector.find_conflicts(query))
        if others and any(a.id != old.id for a in others):
            return OldSlot.RETAKEN
        if others is None or (others and not others.complete):
            return OldSlot.UNKNOWN
    if not offered or not offered.complete:
        return OldSlot.UNKNOWN
    frees = engine.connector.traits.frees_slot_on_cancel is Claim.YES
    return OldSlot.NOT_OFFERED if frees else OldSlot.LEAKED


async def register(engine: Engine, job: Job, entry: Entry) -> Entry:
    """Bring the registration of a patient as far as it gets now.

    Who is known already is not registered again; several who fit is a refusal.
    """
    patient: Patient = engine.unsealed(Patient, entry)
    job.entries.append(entry)
    try:
        pause = 0.05
        if entry.state is State.RECORDED:
            known = await _known(engine, patient)
            if known is not None:
                return await _registered(engine, entry, known, new=False)
            created = await engine.write(
                job, entry, lambda: engine.connector.create_patient(patient, intent=entry.marker)
            )
            if created is not None and created.id is not None:
                return await _registered(engine, entry, created.id, new=True)
            entry = await engine.journal.advance(entry, State.UNKNOWN, engine.now())
        while True:
            try:
                known = await _known(engine, patient)
            except AskAgain:
                raise
            except OpenSlotError:
                known = None
            else:
                if known is None and engine.connector.traits.idempotent_booking is Claim.YES:
                    created = await engine.read(
                        lambda: engine.connector.create_patient(patient, intent=entry.marker)
                    )
                    known = created.id if created else None
            if known is not None:
                return await _registered(engine, entry, known, new=True)
            if not await engine.wait_more(job, entry, pause):
                return await engine.stay(entry)
            pause = min(pause * 2, 2.0)
    except AskAgain as error:
        return await engine.refuse(entry, error)
    finally:
        job.entries.pop()


async def _known(engine: Engine, patient: Patient) -> str | None:
    if not engine.connector.capabilities.can("find_patients"):
        return None
    found = match(patient, await engine.connector.find_patients(query_for(patient)))
    if found.level is MatchLevel.MANY:
        raise Rejected(
            "several patients of the practice fit; a person must tell which",
            reason=RejectedReason.DUPLICATE_PATIENT,
        )
    return found.patient.id if found.patient else None


async def _registered(engine: Engine, entry: Entry, patient: str, *, new: bool) -> Entry:
    proof = Proof(ProofLevel.VERIFIED, engine.clock.now())
    return await engine.journal.advance(
        entry,
        State.VERIFIED,
        engine.now(),
        result={"patient": patient, "registered": new, "proof": as_json(proof)},
        final=True,
    )


def _gap_required() -> Rejected:
    return Rejected(
        "this system cannot hold the old and the new time at once; moving would leave the patient "
        "without a place for a moment, which the practice has not allowed",
        reason=RejectedReason.GAP_REQUIRED,
    )


def _record(entry: Entry) -> tuple[Appointment, Proof]:
    result = entry.result or {}
    record = from_json(Appointment, _dumps(result["appointment"]))
    if record.proof is None:
        raise ValueError("a verified intent has a proof")
    return record, record.proof


def _dumps(value: Any) -> str:
    return to_json(value, dict[str, Any])


def _slot_of(old: Appointment) -> Slot:
    if old.start is None or old.end is None:
        raise NotFound("the old appointment has no time to restore")
    return Slot(
        start=old.start,
        end=old.end,
        id=old.slots[0] if old.slots else None,
        resources=old.resources,
        location=old.location,
        appointment_type=old.appointment_type,
        visit_mode=old.visit_mode,
    )
