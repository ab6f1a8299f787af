"""The one thing a front end needs: find, hold, book, move, cancel, and ask again what became of it.

    async with Desk(practice) as desk:
        found = await desk.find_slots(SlotQuery(Window(start, end)))
        outcome = await desk.book(found.items[0], patient="p-17", key=call_id)

Every write has a key of the caller's. The same key with the same request answers the same outcome
forever, in this process or the next, however often it is asked.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from openslot.call import Lane, call
from openslot.clock import Clock, SystemClock
from openslot.desk.engine import Engine, Job, instant
from openslot.desk.moves import Moves, register
from openslot.desk.outcome import Match, Offer, Outcome, outcome_of
from openslot.desk.patients import match, query_for
from openslot.errors import (
    ConfigError,
    DeadlineExceeded,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    SlotTaken,
    Stale,
)
from openslot.journal import Entry, Journal, State
from openslot.journal.store import FILE_NAME, LeaseLost
from openslot.keys import Keys
from openslot.model import (
    Answer,
    Appointment,
    AppointmentQuery,
    BookingRequest,
    CancelRequest,
    Hold,
    HoldRequest,
    Listing,
    Patient,
    RescheduleRequest,
    Slot,
    SlotQuery,
    VisitMode,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.practice import Practice

__all__ = ["Desk"]

HELD = "hold."
"""How the token of a hold begins, which tells it from a slot's."""
ALPHABET = "BCDFGHJKMNPQRTVWXZ2346789"
"""Letters and digits that are not mistaken for each other when read aloud, and spell no words."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A slot as it reached us, until when a first use of it is accepted, and who keeps it."""

    slot: Slot
    expires: float | None
    hold: Hold | None = None


class Desk:
    """A practice's front desk for callers that are programs.

    `journal` is a path, an SQLAlchemy URL or an open `Journal`; by default a file beside the
    practice's settings. `seconds` on a verb bounds how long its caller waits; work that has been
    sent goes on, and `wait` and `outcome` tell what became of it.
    """

    def __init__(
        self,
        practice: Practice,
        *,
        journal: str | Path | Journal | None = None,
        connector: Connector | None = None,
        clock: Clock | None = None,
        work_seconds: float = 60.0,
        recover_every: float | None = 2.0,
        drain_seconds: float = 10.0,
    ) -> None:
        if journal is None:
            journal = practice.directory / FILE_NAME
        self.practice = practice
        self._journal = journal if isinstance(journal, Journal) else Journal(journal)
        self._owns_journal = not isinstance(journal, Journal)
        self._clock: Clock = clock or SystemClock()
        self._connector = connector or practice.open(clock=self._clock)
        self._work_seconds = work_seconds
        self._recover_every = recover_every
        self._drain_seconds = drain_seconds
        self._running: dict[str, tuple[asyncio.Task[Entry], Job]] = {}
        self._background: asyncio.Task[None] | None = None
        self._open: Engine | None = None

    async def __aenter__(self) -> Self:
        try:
            if self._owns_journal:
                await self._journal.__aenter__()
            path = self._journal.path
            keys = Keys.of(self.practice, path.with_name(path.name + ".keys") if path else None)
            await self._connector.__aenter__()
        except BaseException:
            await self._close()
            raise
        self._open = Engine(
            self.practice,
            self._connector,
            self._journal,
            keys,
            self._clock,
            work_seconds=self._work_seconds,
        )
        if self._recover_every is not None:
            self._background = asyncio.create_task(self._recover_forever(self._recover_every))
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop: wait a little for work that was sent, then leave it to the next recovery."""
        if self._background is not None:
            self._background.cancel()
            await asyncio.gather(self._background, return_exceptions=True)
            self._background = None
        tasks = [task for task, _ in self._running.values()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._drain_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        self._open = None
        await self._connector.aclose()
        if self._owns_journal:
            await self._journal.aclose()

    @property
    def connector(self) -> Connector:
        """The connector, for what the desk adds nothing to: types, practitioners, locations."""
        return self._connector

    @property
    def _engine(self) -> Engine:
        if self._open is None:
            raise ConfigError("the desk is not open; use it as `async with Desk(...)`", sent=False)
        return self._open

    # availability

    async def find_slots(self, query: SlotQuery, *, seconds: float | None = 10.0) -> Listing[Slot]:
        """The free slots that start in the query's window, sealed so that services can pass them.

        "None" and "the first" may be said only where the answer is `complete` (law 1).
        """
        async with self._reading(seconds):
            found = await self._connector.find_slots(query)
        return replace(found, items=tuple(replace(s, token=self.seal(s)) for s in found))

    def seal(self, slot: Slot) -> str:
        """The slot as an opaque token: all that booking needs, nothing of a patient."""
        expires = self._engine.now() + self.practice.rules.offer_seconds
        bare = to_json(replace(slot, token=None))
        return self._engine.keys.seal(f"slot {self.practice.name}", f"{expires:.3f}\n{bare}")

    def unseal(self, token: str) -> Slot:
        """The slot in a token. Raises Stale where it is expired, altered or another practice's."""
        taken = self._unseal(token)
        self._refuse_expired(taken)
        return taken.slot

    async def offer(self, slots: Iterable[Slot], *, conversation: str) -> tuple[Offer, ...]:
        """Short codes for slots that are read out: good in this conversation, a first use soon."""
        engine, now = self._engine, self._engine.now()
        expires = now + self.practice.rules.offer_seconds
        bare = [replace(s, token=None) for s in slots]
        codes: set[str] = set()
        while len(codes) < len(bare):
            codes.add("".join(secrets.choice(ALPHABET) for _ in range(5)))
        pairs = list(zip(sorted(codes, key=lambda _: secrets.token_bytes(4)), bare, strict=True))
        await self._journal.add_offers(
            self.practice.name,
            engine.keys.mac("conversation", conversation),
            [(code, to_json(slot)) for code, slot in pairs],
            now=now,
            expires=expires,
        )
        return tuple(Offer(code, slot, instant(expires)) for code, slot in pairs)

    async def hold(
        self, slot: Slot | Offer | str, *, key: str, seconds: float = 120.0, conversation: str = ""
    ) -> Hold:
        """Keep a slot for a caller who is deciding, in the vendor's system where it can.

        Elsewhere the hold is `emulated`: it binds only those who share this journal. The same key
        renews it. Raises SlotTaken.
        """
        engine = self._engine
        taken = await self._slot(slot, conversation)
        self._refuse_expired(taken)
        marker = engine.keys.mac("hold", self.practice.name, key)
        if self._connector.capabilities.can("hold"):
            with call(clock=self._clock, seconds=30.0):
                held = await self._connector.hold(HoldRequest(marker, taken.slot))
            # As it was offered, so that booking the slot and booking the hold are one request.
            return replace(held, slot=replace(taken.slot, ref=held.slot.ref))
        now = engine.now()
        span = (taken.slot.start.timestamp(), taken.slot.end.timestamp())
        kept = await self._journal.claim(
            self.practice.name,
            engine.claimable(taken.slot),
            span,
            marker,
            now=now,
            expires=now + seconds,
        )
        if not kept:
            raise SlotTaken("somebody else is booking or holding this time just now", sent=False)
        return Hold(marker, taken.slot, instant(now + seconds), emulated=True, as_of=instant(now))

    def seal_hold(self, hold: Hold) -> str:
        """The hold as an opaque token, for whoever books or releases it in another process."""
        bare = replace(hold, slot=replace(hold.slot, token=None))
        return HELD + self._engine.keys.seal(f"hold {self.practice.name}", to_json(bare))

    def unseal_hold(self, token: str) -> Hold:
        """The hold in a token. Raises Stale where it is altered or another practice's."""
        sealed = token.strip().removeprefix(HELD)
        return from_json(Hold, self._engine.keys.unseal(f"hold {self.practice.name}", sealed))

    async def release(self, hold: Hold | str) -> None:
        """Give a held slot back: a hold, or its token."""
        if isinstance(hold, str):
            hold = self.unseal_hold(hold)
        if hold.emulated:
            await self._journal.unclaim(self.practice.name, hold.id)
        else:
            with call(clock=self._clock, seconds=30.0):
                await self._connector.release(hold)

    # writing

    async def book(
        self,
        slot: Slot | Offer | Hold | str,
        patient: str | Patient,
        *,
        key: str,
        conversation: str = "",
        appointment_type: str | None = None,
        reason: str | None = None,
        comment: str | None = None,
        plan: str | None = None,
        visit_mode: VisitMode | None = None,
        new_patient: bool | None = None,
        answers: tuple[Answer, ...] = (),
        seconds: float | None = 30.0,
    ) -> Outcome:
        """Book a slot (itself, its token, an offer's code, a hold, a hold's token), once.

        The outcome says how far it is known to have got: say "booked" where `confirmed`, else
        "requested". Raises SlotTaken with alternatives, Rejected, Stale, KeyReused;
        OutcomeUnknown where it may have happened and nothing settles it yet; and whatever kept it
        from being sent, after which the key is unused.
        """
        engine = self._engine
        marker = engine.keys.mac("intent", self.practice.name, key)
        taken = await self._slot(slot, conversation)
        request = BookingRequest(
            intent=marker,
            slot=replace(taken.slot, token=None),
            patient=patient,
            appointment_type=appointment_type,
            reason=reason,
            comment=comment,
            plan=plan,
            visit_mode=visit_mode,
            new_patient=new_patient,
            answers=answers,
            notify=self.practice.rules.notify_patient,
            hold=taken.hold.id if taken.hold else None,
        )
        if (
            taken.expires is not None
            and await self._journal.get(self.practice.name, marker) is None
        ):
            self._refuse_expired(taken)
        # Two readings of one slot differ in when they were read: that is not another request.
        same = replace(request, slot=replace(request.slot, as_of=None, ref=None), hold=None)
        if isinstance(patient, Patient) and self._connector.capabilities.can("create_patient"):
            id, registered = await self._register(patient, f"{key}\0patient", seconds)
            new = registered or None if new_patient is None else new_patient
            request = replace(request, patient=id, new_patient=new)
        return await self._perform("book", key, request, fingerprint=same, seconds=seconds)

    async def reschedule(
        self,
        appointment: str,
        slot: Slot | Offer | Hold | str,
        *,
        key: str,
        conversation: str = "",
        reason: str | None = None,
        seconds: float | None = 30.0,
    ) -> Outcome:
        """Move an appointment without losing the patient's place (law 6).

        `appointment` may be an id from before earlier moves. Raises as `book`;
        Rejected(GAP_REQUIRED) where the system cannot have both times at once and the practice
        allows no gap; PlaceLost where a place was lost all the same.
        """
        engine = self._engine
        marker = engine.keys.mac("intent", self.practice.name, key)
        taken = await self._slot(slot, conversation)
        known = await self._journal.get(self.practice.name, marker)
        if known is None:
            self._refuse_expired(taken)
        request = RescheduleRequest(
            intent=marker,
            appointment=appointment,
            slot=replace(taken.slot, token=None),
            reason=reason,
            notify=self.practice.rules.notify_patient,
        )
        same = replace(request, slot=replace(request.slot, as_of=None, ref=None))
        if known is not None:
            return await self._perform("reschedule", key, None, fingerprint=same, seconds=seconds)
        current = await self._current(appointment)
        async with self._reading(seconds):
            plan = await Moves(engine).plan(replace(request, appointment=current))
            if taken.hold is not None:
                # A move has nowhere to name a hold, and our own would refuse it. Whoever is quicker
                # now takes the new time; the old one stands until the new one is ours.
                await self.release(taken.hold)
        return await self._perform(
            "reschedule", key, plan, fingerprint=same, target=current, seconds=seconds
        )

    async def cancel(
        self, appointment: str, *, key: str, reason: str | None = None, seconds: float | None = 30.0
    ) -> Outcome:
        """Cancel an appointment and read back that it is cancelled. Raises as `book`."""
        marker = self._engine.keys.mac("intent", self.practice.name, key)
        request = CancelRequest(
            intent=marker,
            appointment=appointment,
            reason=reason,
            notify=self.practice.rules.notify_patient,
        )
        current = await self._current(appointment)
        return await self._perform(
            "cancel",
            key,
            replace(request, appointment=current),
            fingerprint=request,
            target=current,
            seconds=seconds,
        )

    # people

    async def find_patient(self, patient: Patient, *, seconds: float | None = 10.0) -> Match:
        """Whether this person is one of the practice's patients: none, one or many.

        Raises Unavailable where the search could not see everybody and would have to guess.
        """
        async with self._reading(seconds):
            return match(patient, await self._connector.find_patients(query_for(patient)))

    async def register_patient(
        self, patient: Patient, *, key: str, seconds: float | None = 30.0
    ) -> Patient:
        """Register a person, unless the practice knows them; answers them with the vendor's id.

        Raises Rejected(DUPLICATE_PATIENT) where several patients fit, else as `book`.
        """
        id, _ = await self._register(patient, key, seconds)
        return replace(patient, id=id)

    async def _register(
        self, patient: Patient, key: str, seconds: float | None
    ) -> tuple[str, bool]:
        """The vendor's id of this person, and whether it was this intent that registered them."""
        outcome = await self._perform(
            "register", key, patient, fingerprint=patient, seconds=seconds
        )
        entry = await self._journal.get(self.practice.name, outcome.intent)
        result = (entry.result if entry else None) or {}
        if "patient" not in result:  # the wait ended, not the work
            raise OutcomeUnknown("the registration is not settled yet", key=key)
        return str(result["patient"]), bool(result.get("registered"))

    async def appointments(
        self, query: AppointmentQuery, *, seconds: float | None = 10.0
    ) -> Listing[Appointment]:
        """A patient's appointments, or a resource's in a window."""
        async with self._reading(seconds):
            return await self._connector.list_appointments(query)

    async def appointment(self, id: str, *, seconds: float | None = 10.0) -> Appointment:
        """An appointment as the practice has it now; ids from before a move are followed."""
        async with self._reading(seconds):
            return await self._connector.get_appointment(await self._current(id))

    # what outlasts a call

    async def outcome(self, key: str) -> Outcome:
        """What became of the intent with this key, as far as the journal knows. Raises NotFound.

        A refusal is answered as an outcome with its `failure`, not raised.
        """
        entry = await self._entry(key)
        return await self._told(entry, key)

    async def wait(self, key: str, timeout: float) -> Outcome:
        """As `outcome`, once the intent is settled, or after `timeout` seconds as it is then."""
        until = self._clock.monotonic() + timeout
        while True:
            entry = await self._entry(key)
            left = until - self._clock.monotonic()
            if entry.final or left <= 0:
                return await self._told(entry, key)
            running = self._running.get(entry.marker)
            if running is not None:
                await asyncio.wait({running[0]}, timeout=left)
            else:
                await self._clock.sleep(min(0.1, left))

    async def unsettled(self) -> tuple[Outcome, ...]:
        """What is not at its end yet, oldest first: the list that staff looks at."""
        entries = await self._journal.unfinished(self.practice.name)
        return tuple([await self._told(e, None) for e in entries])

    async def recover(self) -> tuple[Outcome, ...]:
        """Look at each unsettled intent once more, and answer what they are now.

        Intents of which nothing had left are dropped: their keys are unused.
        """
        return await self._recover(patiently=False)

    async def _recover(self, *, patiently: bool) -> tuple[Outcome, ...]:
        told = []
        for entry in await self._journal.unfinished(self.practice.name):
            now = self._engine.now()
            rested = now - entry.updated > min(max((entry.updated - entry.created) / 2, 1), 300)
            if entry.marker in self._running or (patiently and not rested):
                continue
            if (taken := await self._journal.take(entry, now)) is None:
                continue
            if taken.state is State.RECORDED:
                await self._journal.unclaim(taken.practice, taken.marker)
                await self._journal.forget(taken)
                continue
            task, _ = self._start(taken, Lane.BACKGROUND, None)
            try:
                told.append(await self._told(await asyncio.shield(task), None))
            except OpenSlotError:
                continue  # still unsettled, and still listed
        return tuple(told)

    async def _recover_forever(self, every: float) -> None:
        while True:
            await self._recover(patiently=True)
            await self._clock.sleep(every)

    # one intent

    async def _perform(
        self,
        verb: str,
        key: str,
        request: Any,
        *,
        fingerprint: Any,
        target: str | None = None,
        seconds: float | None,
    ) -> Outcome:
        engine = self._engine
        marker = engine.keys.mac("intent", self.practice.name, key)
        entry, _ = await self._journal.begin(
            self.practice.name,
            marker,
            verb=verb,
            fingerprint=engine.keys.mac("request", verb, to_json(fingerprint)),
            facts={},
            payload=engine.sealed(request),
            target=target,
            now=engine.now(),
        )
        if entry.final:
            return await self._answered(entry, key)
        task, job = self._running.get(marker) or self._start(entry, Lane.LIVE, seconds)
        done, _ = await asyncio.wait({task}, timeout=seconds)
        if done:
            return await self._answered(task.result(), key)
        # From here on nothing may leave that has not left: the caller is about to be told.
        if not job.sent:
            job.call.deadline = float("-inf")
        late = await self._journal.get(self.practice.name, marker)
        if late is None or late.state is State.RECORDED:
            raise DeadlineExceeded("the time for this call ran out before it was sent", sent=False)
        job.call.deadline = self._clock.monotonic() + self._work_seconds
        return await self._answered(late, key, waiting=True)

    def _start(
        self, entry: Entry, lane: Lane, seconds: float | None
    ) -> tuple[asyncio.Task[Entry], Job]:
        job = Job.opened(self._clock, lane, seconds)
        job.call.on_send = self._engine.send_hook(job)
        task = asyncio.create_task(self._drive(job, entry))
        self._running[entry.marker] = (task, job)

        def forget(done: asyncio.Task[Entry]) -> None:
            self._running.pop(entry.marker, None)
            if not done.cancelled():
                done.exception()  # whoever waits is told; nobody waiting is no error

        task.add_done_callback(forget)
        return task, job

    async def _drive(self, job: Job, entry: Entry) -> Entry:
        """Work on an entry, alone: wait for whoever else is at it, and keep the lease alive."""
        engine = self._engine
        while entry.owner != self._journal.owner:
            taken = await self._journal.take(entry, engine.now())
            if taken is not None:
                entry = taken
                break
            found = await self._journal.get(entry.practice, entry.marker)
            if found is None:
                raise DeadlineExceeded("another process gave this request up unsent", sent=False)
            if found.final:
                return found
            await self._clock.sleep(0.05)
            job.call.remaining()
        beat = asyncio.create_task(self._keep_lease(entry))
        try:
            with job.call.entered():
                entry = await self._work(job, entry)
        except LeaseLost:
            entry = await self._journal.get(entry.practice, entry.marker) or entry
        except OpenSlotError:
            await self._forget_unsent(entry)
            raise
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
        if not entry.final:
            await self._journal.let_go(entry, engine.now())
        return entry

    async def _forget_unsent(self, entry: Entry) -> None:
        """Delete an entry whose work failed before anything left: its key is unused."""
        found = await self._journal.get(entry.practice, entry.marker)
        if found and found.state is State.RECORDED and found.owner == self._journal.owner:
            with suppress(LeaseLost):
                await self._journal.forget(found)

    async def _work(self, job: Job, entry: Entry) -> Entry:
        engine = self._engine
        if entry.verb == "book":
            return await engine.book(job, entry)
        if entry.verb == "cancel":
            return await engine.cancel(job, entry)
        if entry.verb == "reschedule":
            return await Moves(engine).move(job, entry)
        return await register(engine, job, entry)

    async def _keep_lease(self, entry: Entry) -> None:
        while True:
            await asyncio.sleep(5.0)
            try:
                await self._journal.renew(entry, self._engine.now())
            except LeaseLost:
                return

    # small things

    async def _slot(self, slot: Slot | Offer | Hold | str, conversation: str) -> _Taken:
        if isinstance(slot, Slot):
            return _Taken(slot, None)
        if isinstance(slot, Hold):
            return _Taken(slot.slot, None, slot)
        text = slot.code if isinstance(slot, Offer) else slot.strip()
        if text.startswith(HELD):
            hold = self.unseal_hold(text)
            return _Taken(hold.slot, None, hold)
        if len(text) > 16:
            return self._unseal(text)
        row = await self._journal.offer(
            self.practice.name,
            self._engine.keys.mac("conversation", conversation),
            text.upper(),
        )
        if row is None:
            raise Stale("no such offer was made in this conversation; search again", sent=False)
        return _Taken(from_json(Slot, row.slot), row.expires)

    def _unseal(self, token: str) -> _Taken:
        text = self._engine.keys.unseal(f"slot {self.practice.name}", token)
        expires, _, slot = text.partition("\n")
        return _Taken(from_json(Slot, slot), float(expires))

    def _refuse_expired(self, taken: _Taken) -> None:
        if taken.expires is not None and taken.expires <= self._engine.now():
            raise Stale("this offer has expired; search again", sent=False)

    @asynccontextmanager
    async def _reading(self, seconds: float | None) -> AsyncIterator[None]:
        _ = self._engine  # raises where the desk is not open
        with call(clock=self._clock, seconds=seconds):
            yield

    async def _current(self, appointment: str) -> str:
        """The id that an appointment has now, after the moves that this journal knows."""
        for _ in range(20):
            moves = await self._journal.of_target(self.practice.name, appointment)
            moved = [e for e in moves if e.verb == "reschedule" and e.appointment]
            if not moved or moved[-1].appointment in (None, appointment):
                break
            appointment = str(moved[-1].appointment)
        return appointment

    async def _entry(self, key: str) -> Entry:
        marker = self._engine.keys.mac("intent", self.practice.name, key)
        entry = await self._journal.get(self.practice.name, marker)
        if entry is None:
            raise NotFound(
                "nothing was asked for under this key, or nothing of it left", sent=False
            )
        return entry

    async def _told(self, entry: Entry, key: str | None) -> Outcome:
        outcome = outcome_of(entry, key, self.practice.rules)
        if entry.verb not in {"book", "reschedule"} or entry.appointment is None:
            return outcome
        later = [
            e
            for e in await self._journal.of_target(self.practice.name, entry.appointment)
            if e.marker != entry.marker
        ]
        if not later:
            return outcome
        moved = later[-1].verb == "reschedule"
        return replace(
            outcome,
            since="moved" if moved else "cancelled",
            since_appointment=later[-1].appointment if moved else None,
        )

    async def _answered(self, entry: Entry, key: str, *, waiting: bool = False) -> Outcome:
        outcome = await self._told(entry, key)
        if outcome.failure is not None:
            raise outcome.failure.error(outcome.alternatives)
        if entry.state in {State.RECORDED, State.SENT, State.UNKNOWN} and not waiting:
            raise OutcomeUnknown(
                "the practice's system did not say whether this was done, and what it shows "
                "does not settle it yet",
                key=key,
                since=instant(entry.sent or entry.created),
            )
        return outcome
