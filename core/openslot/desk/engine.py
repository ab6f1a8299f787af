"""Carries an intent from "recorded" to its end: the writing half of the desk.

One job is one intent under work in this process. What it does is written so that it can be done
again by another process from any point: every step first looks how far the last one got.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from openslot.call import Call, Lane
from openslot.connector import Claim
from openslot.desk.outcome import Failure
from openslot.desk.verify import Comparison, compare, shareable
from openslot.errors import (
    AskAgain,
    DeadlineExceeded,
    NotFound,
    OpenSlotError,
    Rejected,
    SlotTaken,
)
from openslot.journal import Entry, Journal, State
from openslot.model import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    ConflictQuery,
    Exclusive,
    Listing,
    Proof,
    ProofLevel,
    Slot,
    SlotQuery,
    Window,
    Written,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    from openslot.clock import Clock
    from openslot.connector import Connector
    from openslot.keys import Keys
    from openslot.practice import Practice

__all__ = ["Engine", "Job", "as_json", "instant"]

T = TypeVar("T")

CLAIM_SECONDS = 60.0
REVERIFY_AFTER = timedelta(seconds=30)
YIELD_ROUNDS = 6


@dataclass(slots=True)
class Job:
    """One intent under work here: its call, and the entries that must know when a write leaves."""

    call: Call
    entries: list[Entry] = field(default_factory=list)
    sent: bool = False
    """Whether any write has left under this job; never taken back."""

    @classmethod
    def opened(cls, clock: Clock, lane: Lane, seconds: float | None) -> Job:
        """A job whose writes may start to leave within `seconds`."""
        deadline = None if seconds is None else clock.monotonic() + seconds
        return cls(Call(clock=clock, deadline=deadline, lane=lane))


class Engine:
    """Works intents off against one connector."""

    def __init__(
        self,
        practice: Practice,
        connector: Connector,
        journal: Journal,
        keys: Keys,
        clock: Clock,
        *,
        work_seconds: float,
    ) -> None:
        self.practice = practice
        self.connector = connector
        self.journal = journal
        self.keys = keys
        self.clock = clock
        self.work_seconds = work_seconds

    def now(self) -> float:
        """The wall clock in epoch seconds, as the journal keeps it."""
        return self.clock.now().timestamp()

    def sealed(self, value: Any, type_: Any = None) -> str:
        """A request as it may stand in the journal while it is unsettled."""
        return self.keys.seal("request", to_json(value, type_))

    def unsealed(self, type_: type[Any], entry: Entry) -> Any:
        """The request of an entry that is unsettled."""
        if entry.payload is None:
            raise ValueError("a settled intent has no request any more")
        return from_json(type_, self.keys.unseal("request", entry.payload))

    def part_marker(self, entry: Entry, name: str) -> str:
        """The marker of a part of an intent: the same in every process."""
        return self.keys.mac("part", entry.practice, entry.marker, name)

    def claimable(self, slot: Slot) -> tuple[str, ...]:
        """What a claim on this slot keeps from others: its resources, else its schedule."""
        taken = tuple(f"{r.kind.value}:{r.id}" for r in slot.resources)
        return taken or ((f"schedule:{slot.schedule}",) if slot.schedule else ())

    def comparison(self, record: Appointment, slot: Slot, *, patient: str | None) -> Comparison:
        """How a record compares with a slot that was asked for."""
        return compare(record, slot, patient=patient, appointment_type=None)

    def send_hook(self, job: Job) -> Callable[[str], Awaitable[None]]:
        """What `Call.sending` leads to: on disk first; then the work outlasts its caller."""

        async def sending(step: str) -> None:
            for entry in job.entries:
                await self.journal.step(entry, step, self.now())
            job.sent = True
            job.call.deadline = self.clock.monotonic() + self.work_seconds

        return sending

    # booking

    async def book(self, job: Job, entry: Entry) -> Entry:
        """Bring a booking as far as it gets now. Raises where nothing left: the key is unused."""
        request: BookingRequest = self.unsealed(BookingRequest, entry)
        job.entries.append(entry)
        try:
            if entry.state is State.RECORDED:
                try:
                    entry = await self._prepare(entry, request)
                    job.entries[-1] = entry
                    written = await self.write(job, entry, lambda: self.connector.book(request))
                except AskAgain as error:
                    return await self._refuse_booking(entry, request, error)
                if written is not None:
                    entry = await self._note_written(entry, written)
                else:
                    entry = await self.journal.advance(entry, State.UNKNOWN, self.now())
            elif entry.state is State.SENT:
                entry = await self.journal.advance(entry, State.UNKNOWN, self.now())
            entry = await self._settle_booking(job, entry, request)
            if request.hold and entry.final:  # an emulated hold has served its purpose
                await self.journal.unclaim(self.practice.name, request.hold)
            return entry
        finally:
            job.entries.pop()
            await self.journal.unclaim(self.practice.name, entry.marker)

    async def _prepare(self, entry: Entry, request: BookingRequest) -> Entry:
        """What comes before the write. What fails here leaves the key unused, a refusal apart."""
        try:
            return await self._look_before(entry, request)
        except AskAgain:
            raise
        except OpenSlotError:
            await self.journal.forget(entry)
            raise

    async def _look_before(self, entry: Entry, request: BookingRequest) -> Entry:
        slot = request.slot
        await self._still_offered(request)
        if slot.capacity == 1 and not await self.journal.claim(
            self.practice.name,
            self.claimable(slot),
            (slot.start.timestamp(), slot.end.timestamp()),
            request.hold or entry.marker,
            now=self.now(),
            expires=self.now() + CLAIM_SECONDS,
        ):
            raise SlotTaken("somebody else is booking or holding this time just now")
        if self._marked or not isinstance(request.patient, str):
            return entry
        if not self.connector.capabilities.can("list_appointments"):
            return entry
        # No marker will tell our record from others: what the patient has before the write
        # will tell what is new afterwards.
        before = await self._near(request.patient, slot)
        return await self.journal.note(entry, {"before": [a.id for a in before]}, self.now())

    async def _still_offered(self, request: BookingRequest) -> None:
        slot = request.slot
        if slot.as_of is None or self.clock.now() - slot.as_of <= REVERIFY_AFTER or request.hold:
            return
        found = await self.connector.find_slots(
            SlotQuery(
                window=Window(slot.start, slot.start + timedelta(seconds=1)),
                appointment_type=slot.appointment_type,
                practitioners=(slot.practitioner,) if slot.practitioner else (),
                locations=(slot.location,) if slot.location else (),
                ignore_appointment=request.ignore_appointment,
            )
        )
        if found.complete and not any(s.start == slot.start and s.end == slot.end for s in found):
            raise SlotTaken("this time is not offered any more")

    async def write(self, job: Job, entry: Entry, verb: Callable[[], Awaitable[T]]) -> T | None:
        """Call a writing verb once. None: it may have been carried out, nothing said so.

        Raises what provably left nothing behind, after deleting the entry: its key is unused.
        AskAgain is an answer and is raised as such.
        """
        job.call.sent = False
        try:
            return await verb()
        except AskAgain:
            raise
        except OpenSlotError as error:
            if job.call.sent and error.sent is not False:
                return None
            await self.journal.forget(entry)
            if isinstance(error, DeadlineExceeded) or error.sent is False:
                raise
            error.sent = False
            raise
        except BaseException:
            # A defect, or the process is told to stop: what has not left never will.
            if not job.call.sent:
                await self.journal.forget(entry)
            raise

    async def _note_written(self, entry: Entry, written: Written) -> Entry:
        state = State.ACCEPTED if written.level <= ProofLevel.ACCEPTED else State.WRITTEN
        proof = Proof(level=written.level, as_of=written.as_of or self.clock.now())
        found = written.appointment
        result = {
            "proof": as_json(proof),
            "appointment": as_json(shareable(found)) if found else None,
            "patient": found.patient if found else None,
        }
        return await self.journal.advance(
            entry, state, self.now(), result=result, appointment=written.id
        )

    async def _refuse_booking(
        self, entry: Entry, request: BookingRequest, error: OpenSlotError
    ) -> Entry:
        alternatives: tuple[Slot, ...] = ()
        if isinstance(error, SlotTaken):
            alternatives = error.alternatives or await self.alternatives(request)
        return await self.refuse(entry, error, alternatives)

    async def refuse(
        self, entry: Entry, error: OpenSlotError, alternatives: tuple[Slot, ...] = ()
    ) -> Entry:
        """End an intent with a refusal, which it stays: nothing of it stands."""
        result = {
            "failure": as_json(Failure.of(error)),
            "alternatives": [as_json(s) for s in alternatives],
        }
        return await self.journal.advance(
            entry, State.REJECTED, self.now(), result=result, final=True
        )

    async def alternatives(self, request: BookingRequest, count: int = 3) -> tuple[Slot, ...]:
        """Free slots like the one that is gone, the nearest in time first.

        Empty where they cannot be read: an error here must not hide that the slot is taken.
        """
        slot = request.slot
        start = max(self.clock.now(), slot.start - timedelta(days=2))
        try:
            found = await self.connector.find_slots(
                SlotQuery(
                    window=Window(start, max(start, slot.start) + timedelta(days=5)),
                    appointment_type=request.appointment_type or slot.appointment_type,
                    practitioners=(slot.practitioner,) if slot.practitioner else (),
                    locations=(slot.location,) if slot.location else (),
                    new_patient=request.new_patient,
                    visit_mode=request.visit_mode,
                )
            )
        except OpenSlotError:
            return ()
        other = [s for s in found if s.identity != slot.identity and s.start != slot.start]
        other.sort(key=lambda s: (abs(s.start - slot.start), s.start))
        return tuple(sorted(other[:count], key=lambda s: s.start))

    # settling a booking: what stands in the practice's system?

    @property
    def _marked(self) -> bool:
        return self.connector.capabilities.can("find_booking")

    async def _settle_booking(self, job: Job, entry: Entry, request: BookingRequest) -> Entry:
        pause = 0.05
        while True:
            mine = await self.read(partial(self._ours, entry, request))
            if mine:
                return await self._judge(job, entry, request, mine)
            if not self._readable(entry):
                # Nothing will ever tell more: what is written stays written, what is lost, lost.
                known = entry.state is not State.UNKNOWN
                return await self.journal.advance(entry, entry.state, self.now(), final=known)
            if mine is not None and entry.state is State.UNKNOWN and self._resend:
                try:
                    written = await self.connector.book(request)
                    entry = await self._note_written(entry, written)
                    continue
                except AskAgain as error:
                    return await self._refuse_booking(entry, request, error)
                except OpenSlotError:
                    pass  # as unknown as before; read again after a pause
            if not await self.wait_more(job, entry, pause):
                return await self.stay(entry)
            pause = min(pause * 2, 2.0)

    @property
    def _resend(self) -> bool:
        return self.connector.traits.idempotent_booking is Claim.YES

    async def stay(self, entry: Entry) -> Entry:
        """Leave an entry as it stands, for the next recovery and for a person's list."""
        return await self.journal.advance(entry, entry.state, self.now())

    async def wait_more(self, job: Job, entry: Entry, pause: float) -> bool:
        """Wait before reading again; False when this worker has waited long enough."""
        traits = self.connector.traits
        patience = (traits.settle_within + traits.read_lag).total_seconds()
        if self.now() - (entry.sent or entry.created) > patience:
            return False
        try:
            await self.clock.sleep(min(pause, job.call.remaining()))
            job.call.remaining()
        except DeadlineExceeded:
            return False
        return True

    async def read(self, read: Callable[[], Awaitable[Any]]) -> Any:
        """Read; None where the vendor cannot be read now, which settles nothing."""
        try:
            return await read()
        except NotFound:
            return ()
        except OpenSlotError:
            return None

    async def _ours(self, entry: Entry, request: BookingRequest) -> tuple[Appointment, ...]:
        """The records that are this intent's, the one to keep first."""
        can = self.connector.capabilities.can
        if entry.appointment is not None and can("get_appointment"):
            return (await self.connector.get_appointment(entry.appointment),)
        patient = request.patient if isinstance(request.patient, str) else None
        if can("find_booking"):
            found = await self.connector.find_booking(
                BookingQuery(entry.marker, slot=request.slot, patient=patient)
            )
            live = sorted((a for a in found if a.status.takes_time), key=lambda a: a.id)
            return tuple(live) or tuple(sorted(found, key=lambda a: a.id))
        before = entry.facts.get("before")
        if patient is None or before is None:
            return ()
        fresh = [
            a
            for a in await self._near(patient, request.slot)
            if a.id not in before
            and a.status.takes_time
            and not compare(
                a, request.slot, patient=patient, appointment_type=request.appointment_type
            ).different
        ]
        return tuple(fresh) if len(fresh) == 1 else ()

    def _readable(self, entry: Entry) -> bool:
        can = self.connector.capabilities.can
        return (
            can("find_booking")
            or (entry.appointment is not None and can("get_appointment"))
            or entry.facts.get("before") is not None
        )

    async def _near(self, patient: str, slot: Slot) -> tuple[Appointment, ...]:
        around = Window(slot.start - timedelta(days=1), slot.end + timedelta(days=1))
        found = await self.connector.list_appointments(
            AppointmentQuery(patient=patient, window=around)
        )
        if not found.complete:
            raise NotFound("the patient's appointments could not be read in full", sent=False)
        return found.items

    async def _judge(
        self, job: Job, entry: Entry, request: BookingRequest, mine: tuple[Appointment, ...]
    ) -> Entry:
        """Decide what a found record proves, and whether the time is ours alone."""
        record, *extra = mine
        for twin in extra:
            await self._undo(twin, f"{entry.marker}.twin")
        if entry.appointment is None:
            entry = await self.journal.advance(
                entry, entry.state, self.now(), appointment=record.id
            )
        if record.status in {AppointmentStatus.CANCELLED, AppointmentStatus.ENTERED_IN_ERROR}:
            return await self.refuse(
                entry,
                Rejected("the practice's system shows this booking as cancelled", sent=True),
            )
        patient = await self._patient_of(entry, request)
        asked_type = request.appointment_type
        comparison = compare(record, request.slot, patient=patient, appointment_type=asked_type)
        inferred = not self._marked and entry.state is State.UNKNOWN
        if not (record.status.means_booked and record.written_through and comparison.proves):
            return await self._keep_written(entry, record, comparison, inferred)
        exclusive = await self._exclusive(job, record, request)
        if exclusive is None:
            return await self._yield(job, entry, record, request)
        proof = Proof(
            level=ProofLevel.VERIFIED,
            as_of=record.as_of or self.clock.now(),
            exclusive=exclusive,
            compared=comparison.equal,
            uncompared=comparison.uncompared,
            inferred=inferred,
        )
        shown = replace(shareable(record), proof=proof)
        return await self.journal.advance(
            entry,
            State.VERIFIED,
            self.now(),
            result={"appointment": as_json(shown), "proof": as_json(proof)},
            appointment=record.id,
            final=True,
        )

    async def _patient_of(self, entry: Entry, request: BookingRequest) -> str | None:
        if isinstance(request.patient, str):
            return request.patient
        return (entry.result or {}).get("patient")

    async def _keep_written(
        self, entry: Entry, record: Appointment, comparison: Comparison, inferred: bool
    ) -> Entry:
        """It stands, but not (yet) as asked for: pending, unlike, or with too little to compare."""
        level = ProofLevel.WRITTEN if record.written_through else ProofLevel.ACCEPTED
        proof = Proof(
            level=level,
            as_of=record.as_of or self.clock.now(),
            compared=comparison.equal,
            uncompared=comparison.uncompared,
            inferred=inferred,
        )
        state = State.WRITTEN if record.written_through else State.ACCEPTED
        if state is State.ACCEPTED and entry.state is State.WRITTEN:
            state = State.WRITTEN
        waiting = not record.status.means_booked or not record.written_through
        return await self.journal.advance(
            entry,
            state,
            self.now(),
            result={
                "appointment": as_json(replace(shareable(record), proof=proof)),
                "proof": as_json(proof),
                "mismatch": list(comparison.different),
            },
            appointment=record.id,
            # What cannot be compared will not be comparable tomorrow; what differs or pends may.
            final=not waiting and not comparison.different,
        )

    async def _exclusive(
        self, job: Job, record: Appointment, request: BookingRequest
    ) -> Exclusive | None:
        """Who else has the time (law 7). None: somebody has, and we must yield."""
        traits, can = self.connector.traits, self.connector.capabilities.can
        if traits.conflict_enforcement is Claim.YES:
            return Exclusive.ENFORCED
        if not (can("find_conflicts") and can("cancel")):
            return Exclusive.UNKNOWN
        if traits.read_lag:
            await self.clock.sleep(traits.read_lag.total_seconds())
        query = ConflictQuery(
            Window(request.slot.start, request.slot.end), request.slot.resources, record.location
        )
        seen = False
        for again in range(YIELD_ROUNDS):
            found = await self.read(lambda: self.connector.find_conflicts(query))
            seen = isinstance(found, Listing) and found.complete
            if seen:
                ids = {a.id for a in found} - {request.ignore_appointment}
                if ids == {record.id}:
                    return Exclusive.CHECKED
                if record.id in ids and min(ids) != record.id:
                    return None
            try:
                await self.clock.sleep(min(0.05 * 2**again, job.call.remaining()))
            except DeadlineExceeded:
                break
        return None if seen else Exclusive.UNKNOWN

    async def _yield(
        self, job: Job, entry: Entry, record: Appointment, request: BookingRequest
    ) -> Entry:
        if not await self._undo(record, f"{entry.marker}.undo"):
            return await self.stay(entry)
        return await self._refuse_booking(
            entry, request, SlotTaken("somebody else booked the same time at the same moment")
        )

    async def _undo(self, record: Appointment, intent: str) -> bool:
        """Cancel a record that is provably ours; whether it is gone."""
        for _ in range(3):
            try:
                await self.connector.cancel(CancelRequest(intent, record.id, notify=False))
                return True
            except NotFound:
                return True
            except OpenSlotError:
                await self.clock.sleep(0.1)
        return False

    # cancelling

    async def cancel(self, job: Job, entry: Entry) -> Entry:
        """Bring a cancellation as far as it gets now. Sending it again is harmless by nature."""
        request: CancelRequest = self.unsealed(CancelRequest, entry)
        job.entries.append(entry)
        try:
            written: Written | None = None
            if entry.state is State.RECORDED:
                written = await self.write(job, entry, lambda: self.connector.cancel(request))
            if written is None and entry.state is not State.UNKNOWN:
                entry = await self.journal.advance(entry, State.UNKNOWN, self.now())
            return await self._settle_cancel(job, entry, request, written)
        except AskAgain as error:
            return await self.refuse(entry, error)
        finally:
            job.entries.pop()

    async def _settle_cancel(
        self, job: Job, entry: Entry, request: CancelRequest, written: Written | None
    ) -> Entry:
        readable = self.connector.capabilities.can("get_appointment")
        pause = 0.05
        while True:
            shown: Any = None
            if readable:
                shown = await self.read(lambda: self.connector.get_appointment(request.appointment))
                gone = shown == () or (shown and shown.status is AppointmentStatus.CANCELLED)
                if gone and (written is not None or not shown or await self._given_back(shown)):
                    return await self._cancelled(entry, shown or None, ProofLevel.VERIFIED)
            elif written is not None:
                return await self._cancelled(entry, written.appointment, ProofLevel.WRITTEN)
            else:
                gone = False
            if written is None and (shown or not readable):
                # Also where it is cancelled and its time not given back: a cancellation of several
                # steps was cut off between them. Cancelling a cancelled one does the rest.
                try:
                    written = await self.connector.cancel(request)
                    continue
                except AskAgain:
                    if not gone:
                        raise
                    return await self._cancelled(entry, shown, ProofLevel.VERIFIED)
                except OpenSlotError:
                    written = None
            if not await self.wait_more(job, entry, pause):
                if gone:
                    return await self._cancelled(entry, shown, ProofLevel.VERIFIED)
                return await self.stay(entry)
            pause = min(pause * 2, 2.0)

    async def _given_back(self, record: Appointment) -> bool:
        """Whether the time of a cancelled appointment is offered again, or cannot be any more."""
        start = record.start
        if start is None or start <= self.clock.now():
            return True
        query = SlotQuery(
            window=Window(start, start + timedelta(seconds=1)),
            practitioners=(record.practitioner,) if record.practitioner else (),
            locations=(record.location,) if record.location else (),
        )
        offered = await self.read(lambda: self.connector.find_slots(query))
        return bool(offered) and any(s.start == start for s in offered)

    async def _cancelled(
        self, entry: Entry, record: Appointment | None, level: ProofLevel
    ) -> Entry:
        now = self.clock.now()
        proof = Proof(level, (record.as_of if record else None) or now, compared=("status",))
        result: dict[str, Any] = {"proof": as_json(proof)}
        if record is not None:
            result["appointment"] = as_json(replace(shareable(record), proof=proof))
        state = State.VERIFIED if level is ProofLevel.VERIFIED else State.WRITTEN
        return await self.journal.advance(
            entry, state, self.now(), result=result, appointment=entry.target, final=True
        )


def as_json(value: Any) -> Any:
    """A value as what JSON can hold, for an entry's result."""
    return json.loads(to_json(value))


def instant(seconds: float) -> datetime:
    """An instant of the journal as a datetime in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
