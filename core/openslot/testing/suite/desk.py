"""Laws 4 to 7 as a front end meets them: through a desk over the connector."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from openslot.connector import Claim
from openslot.desk import Desk, Outcome
from openslot.errors import KeyReused, OpenSlotError, OutcomeUnknown, Rejected, SlotTaken
from openslot.model import Exclusive, ProofLevel, Slot
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import leaf, one_of

__all__ = ["AtTheDesk"]

DESKS = 4
Work = Callable[[Desk, str], Awaitable[Outcome]]


class AtTheDesk(Suite):
    """What a caller is told, and what is true."""

    @check(5, "find_slots", "book")
    async def test_desk_confirms_only_what_stands(self, bench: Bench) -> None:
        """ "Confirmed" is said of what the practice's system shows, and only where it is exclusive.

        If it fails: `get_appointment` must show start, end, patient and status; look at
        `outcome.proof` for what was compared.
        """
        desk = await bench.desk()
        slot = await self._slot(bench, desk)
        outcome = await desk.book(slot, bench.people.patients[0], key="one")
        assert len(bench.standing()) == 1, "one booking, and not one appointment stands"
        if outcome.level is ProofLevel.VERIFIED:
            assert outcome.appointment is not None, "verified, and there is no appointment"
            record = bench.record(outcome.appointment.id)
            assert record.start == slot.start, "verified, and it is at another time"
        elif bench.connector.capabilities.can("get_appointment"):
            assert bench.connector.traits.holds("asynchronous_writes") or (
                bench.connector.traits.holds("creation_may_pend")
            ), f"it can be read back, and is only {outcome.level}: {outcome.mismatch}"
        enforced = bench.connector.traits.conflict_enforcement is Claim.YES
        assert enforced or outcome.exclusive is not Exclusive.ENFORCED, (
            "exclusive is called enforced, and the vendor is not known to enforce it"
        )
        assert outcome.confirmed is (
            outcome.level is ProofLevel.VERIFIED and outcome.exclusive is not Exclusive.UNKNOWN
        ), "confirmed without being verified and exclusive, or the other way round"

    @check(5, "find_slots", "book", manners={"bookings_pend": True})
    async def test_desk_does_not_confirm_what_pends(self, bench: Bench) -> None:
        """Where a booking waits for the practice's approval, nobody is told that they are booked.

        If it fails: read the vendor's "requested" or "pending" as PENDING.
        """
        if bench.lacks_manners:
            bench.not_applicable("the server's bookings cannot be made to pend")
        desk = await bench.desk()
        slot = await self._slot(bench, desk)
        result = await leaf(desk.book(slot, bench.people.patients[0], key="one"), "a booking")
        if isinstance(result, OpenSlotError) or bench.standing()[0].status.means_booked:
            return
        assert not result.confirmed, "it pends, and the caller is told that it is booked"

    @check(4, "find_slots", "book")
    async def test_desk_answers_a_key_the_same_for_ever(self, bench: Bench) -> None:
        """The same key answers the same outcome; with another request it is KeyReused.

        If it fails: the connector keeps state of its own between two calls.
        """
        desk = await bench.desk()
        slot = await self._slot(bench, desk)
        other = (await bench.slots(bench.query_window))[4]
        first = await desk.book(slot, bench.people.patients[0], key="one")
        again = await desk.book(slot, bench.people.patients[0], key="one")
        assert (again.state, again.intent) == (first.state, first.intent), (
            "the same key answers another outcome"
        )
        with one_of(KeyReused, what="the same key for another slot"):
            await desk.book(other, bench.people.patients[0], key="one")
        assert len(bench.standing()) == 1, "one key, and not one appointment stands"

    @check(7, "find_slots", "book")
    async def test_of_several_desks_one_confirms(self, bench: Bench) -> None:
        """Four desks that share nothing book one slot: at most one says "confirmed", and is right.

        If it fails: `conflict_enforcement` or `find_conflicts` says more than is true; our own
        record must be among the conflicts.
        """
        desks = [await bench.desk() for _ in range(DESKS)]
        slot = await self._slot(bench, desks[0])
        results = await asyncio.gather(
            *(
                leaf(desk.book(slot, patient, key="one"), "a race of desks")
                for desk, patient in zip(desks, bench.people.patients, strict=False)
            )
        )
        sure = [r for r in results if isinstance(r, Outcome) and r.confirmed]
        standing = len(bench.standing())
        assert len(sure) <= 1, f"{len(sure)} callers were told that the slot is theirs"
        if sure:
            assert standing == 1, f"one has it for sure, and {standing} appointments stand"
        if bench.connector.traits.conflict_enforcement is Claim.YES:
            assert standing == 1, f"{standing} appointments stand on one slot"
            refused = [r for r in results if isinstance(r, SlotTaken)]
            assert len(refused) == DESKS - 1, f"{len(refused)} of {DESKS - 1} were told SlotTaken"

    @check(
        7,
        "find_slots",
        "book",
        "cancel",
        "find_conflicts",
        "get_appointment",
        unclaimed=("conflict_enforcement",),
        manners={"enforce_conflicts": False},
    )
    async def test_desk_checks_what_the_vendor_does_not_enforce(self, bench: Bench) -> None:
        """Where overlaps may be accepted, the second desk sees the first's booking and yields.

        If it fails: `find_conflicts` must show every appointment of the resource at that time.
        """
        first, second = await bench.desk(), await bench.desk()
        slot = await self._slot(bench, first)
        kept = await leaf(first.book(slot, bench.people.patients[0], key="one"), "a first desk")
        assert isinstance(kept, Outcome), f"alone, and it became {type(kept).__name__}: {kept}"
        late = await leaf(second.book(slot, bench.people.patients[1], key="one"), "a second desk")
        assert kept.exclusive is Exclusive.CHECKED, f"alone, and exclusive is {kept.exclusive}"
        assert isinstance(late, SlotTaken), "two callers have one slot, and nobody noticed"
        standing = [bench.vendor_id("patient", str(a.patient)) for a in bench.standing()]
        assert standing == [bench.people.patients[0]], "the second booking was not undone"

    @check(4, "find_slots", "book", wire=True)
    async def test_desk_books_once_under_a_lost_reply(self, bench: Bench) -> None:
        """Whichever answer of a booking is lost, one appointment stands, and the caller learns it.

        If it fails: `find_booking` (or the patient's list) must show what was written.
        """

        async def prepare(slot: Slot, other: Slot) -> Work:
            return lambda desk, key: desk.book(slot, bench.people.patients[0], key=key)

        await self._each_reply_lost(bench, prepare, standing=1)

    @check(4, "find_slots", "book", wire=True)
    async def test_desk_books_once_where_the_write_lands_late(self, bench: Bench) -> None:
        """A booking that is carried out after the connection broke stands once, and is found.

        If it fails: `settle_within` must be longer than a request can be under way.
        """
        desk = await bench.desk()
        slot = await self._slot(bench, desk)
        slots = await bench.slots(bench.query_window)
        bench.wire.forget()
        await (await bench.another()).book(bench.request(slots[7]))
        last = bench.writes(bench.wire.seen)[-1]
        method = bench.wire.seen[last - 1].method
        ours = len(bench.standing())
        bench.heal()
        bench.fault("late-commit", lasting=False, method=method, seconds=0.3)
        await leaf(desk.book(slot, bench.people.patients[0], key="one"), "a late write")
        bench.calm()
        await asyncio.sleep(0.5)
        await self._settled(desk)
        made = len(bench.standing()) - ours
        assert made <= 1, f"{made} appointments stand for one key"

    @check(4, "find_slots", "book", "cancel", wire=True)
    async def test_desk_cancels_once_under_a_lost_reply(self, bench: Bench) -> None:
        """Whichever answer of a cancellation is lost, it is cancelled, and the caller learns it.

        If it fails: cancelling a cancelled appointment must answer it as it stands.
        """

        async def prepare(slot: Slot, other: Slot) -> Work:
            id = bench.vendor_id("appointment", bench.take(slot).id)
            return lambda desk, key: desk.cancel(id, key=key)

        await self._each_reply_lost(bench, prepare, standing=0)

    @check(6, "find_slots", "book", "cancel", wire=True)
    async def test_desk_moves_once_under_a_lost_reply(self, bench: Bench) -> None:
        """Whichever answer of a move is lost, one appointment stands at the end.

        If it fails: read the moved appointment back, by id and by marker.
        """

        async def prepare(slot: Slot, other: Slot) -> Work:
            id = bench.vendor_id("appointment", bench.take(slot).id)
            return lambda desk, key: desk.reschedule(id, other, key=key)

        await self._each_reply_lost(bench, prepare, standing=1)

    @check(6, "find_slots", "book", "cancel", "get_appointment")
    async def test_desk_moves_without_losing_the_place(self, bench: Bench) -> None:
        """During a move the patient always has a place, and one at the end; else nothing is done.

        If it fails: see `outcome.way`; book-first needs `book`, `cancel` and `get_appointment`.
        """
        desk = await bench.desk()
        slots = await bench.slots(bench.query_window)
        id = bench.vendor_id("appointment", bench.take(slots[0]).id)
        counts = [1]
        bench.wire.watch = lambda: counts.append(len(bench.standing()))
        result = await leaf(desk.reschedule(id, slots[5], key="one"), "a move")
        bench.wire.forget()
        assert min(counts) >= 1, "for a moment the patient had no place"
        if isinstance(result, OpenSlotError):
            assert isinstance(result, Rejected), f"it became {type(result).__name__}: {result}"
            assert [a.start for a in bench.standing()] == [slots[0].start], (
                "the move was refused, and the old appointment does not stand"
            )
            return
        assert [a.start for a in bench.standing()] == [slots[5].start], (
            "one stands, at the new time"
        )

    @check(7, "find_slots", "book", "cancel", "get_appointment")
    async def test_desk_cancels_what_it_says(self, bench: Bench) -> None:
        """A cancellation is read back, and the old time is called freed only where it is offered.

        If it fails: see `frees_slot_on_cancel`.
        """
        desk = await bench.desk()
        slot = await self._slot(bench, desk)
        id = bench.vendor_id("appointment", bench.take(slot).id)
        outcome = await desk.cancel(id, key="one")
        assert not bench.standing(), "it is called cancelled, and stands"
        free = bench.free(bench.query_window)
        if str(outcome.old_slot) == "freed":
            assert any(k[0] == slot.start for k in free), "the old time is called freed, and is not"

    async def _slot(self, bench: Bench, desk: Desk) -> Slot:
        query = bench.query(bench.query_window, practitioners=(bench.people.doctors[0],))
        return (await desk.find_slots(query)).items[1]

    async def _each_reply_lost(
        self, bench: Bench, prepare: Callable[[Slot, Slot], Awaitable[Work]], *, standing: int
    ) -> None:
        desk = await bench.desk()
        readable = bench.connector.capabilities.can(
            "find_booking" if standing else "get_appointment"
        )
        slots = list(await bench.slots(bench.query_window))
        work = await prepare(slots.pop(0), slots.pop(0))
        bench.wire.forget()
        await work(desk, "undisturbed")
        requests = bench.wire.seen
        writes = bench.writes(requests)
        assert writes, "nothing was sent that could have written anything"
        self._clear(bench)
        for nth in writes:
            # Readers go side by side, so a write is named by how many writes came before it.
            method = requests[nth - 1].method
            before = sum(1 for n in range(nth) if requests[n].method == method)
            work = await prepare(slots.pop(0), slots.pop(0))
            bench.heal()
            bench.fault("lost-reply", nth=before, lasting=False, method=method)
            what = f"the answer to write {nth} ({method}) was lost"
            result = await leaf(work(desk, f"key-{nth}"), what)
            bench.calm()
            if isinstance(result, OutcomeUnknown):
                await self._settled(desk)
                result = await desk.outcome(f"key-{nth}")
            stand = len(bench.standing())
            assert stand == standing, f"{what}: {stand} appointments stand, not {standing}"
            assert isinstance(result, Outcome), f"{what}: {type(result).__name__}: {result}"
            assert result.failure is None, f"{what}, it was done, and the caller is told: not"
            assert result.settled or not readable, (
                f"{what}, what was written can be read back, and it stays {result.state}"
            )
            self._clear(bench)

    async def _settled(self, desk: Desk) -> None:
        for _ in range(5):
            if not await desk.unsettled():
                return
            await desk.recover()

    def _clear(self, bench: Bench) -> None:
        for left in bench.standing():
            bench.call_off(left.id)
