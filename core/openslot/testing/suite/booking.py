"""Laws 4, 7 and 8: a booking is written as it was asked for, once, or refused in one word."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from openslot.errors import NotFound, OpenSlotError, Rejected, SlotTaken, Stale
from openslot.model import BookingQuery, ProofLevel, Slot, Written
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench, key
from openslot.testing.suite.expect import leaf, one_of

__all__ = ["Booking"]

WRITERS = 5


class Booking(Suite):
    """`book`."""

    @check(4, "book")
    async def test_book_writes_what_was_asked(self, bench: Bench) -> None:
        """The practice's system shows one appointment: this slot, patient, practitioner, type.

        If it fails: compare what you send with the vendor's document, time and zone first.
        """
        slot = await bench.slot(1)
        written = await bench.connector.book(bench.request(slot))
        standing = bench.standing()
        assert len(standing) == 1, f"{len(standing)} appointments stand after one booking"
        record = standing[0]
        assert (record.start, record.end) == (slot.start, slot.end), "it is at another time"
        assert bench.vendor_id("patient", str(record.patient)) == bench.people.patients[0], (
            "it is another patient's"
        )
        assert bench.vendor_id("practitioner", str(record.practitioner)) == slot.practitioner, (
            "it is with another practitioner"
        )
        assert bench.vendor_id("type", str(record.appointment_type)) == bench.people.visit, (
            "it is of another type"
        )
        if written.id is not None:
            assert written.id == bench.vendor_id("appointment", record.id), (
                "the id that was answered is another record's"
            )

    @check(5, "book")
    async def test_book_claims_no_more_than_it_was_told(self, bench: Bench) -> None:
        """A write answers ACCEPTED or WRITTEN; the first, where the vendor writes later.

        If it fails: VERIFIED is for who reads back; with `asynchronous_writes`, answer ACCEPTED.
        """
        written = await bench.connector.book(bench.request(await bench.slot()))
        levels = {ProofLevel.ACCEPTED, ProofLevel.WRITTEN}
        if bench.connector.traits.holds("asynchronous_writes"):
            levels = {ProofLevel.ACCEPTED}
        assert written.level in levels, f"book answered {written.level}"

    @check(4, "book", "find_booking")
    async def test_book_leaves_the_intent_s_marker(self, bench: Bench) -> None:
        """Another process finds the record by the intent alone.

        If it fails: write `request.intent` into a field that the vendor keeps and can search.
        """
        request = bench.request(await bench.slot())
        await bench.connector.book(request)
        found = await (await bench.another()).find_booking(BookingQuery(request.intent))
        assert len(found.items) == 1, (
            f"{len(found.items)} records carry the marker of a booking that was just made"
        )
        assert key(found.items[0]) == key(request.slot), "the marked record is at another time"

    @check(7, "book", claims=("conflict_enforcement",))
    async def test_a_taken_slot_is_slot_taken(self, bench: Bench) -> None:
        """Whatever the vendor calls it, a slot that somebody else took is SlotTaken.

        If it fails: map the vendor's refusal (400, 409, 412, 422, 200 with a message) to SlotTaken.
        """
        slot = await bench.slot(2)
        theirs = bench.take(slot)
        with one_of(SlotTaken, what="booking a slot that is taken"):
            await bench.connector.book(bench.request(slot))
        assert [a.id for a in bench.standing()] == [theirs.id], "something else stands as well"

    @check(7, "book", claims=("conflict_enforcement",))
    async def test_of_several_writers_one_gets_the_slot(self, bench: Bench) -> None:
        """Five processes book one slot at once: one is told that it has it, and one has it.

        If it fails: the trait `conflict_enforcement` is not true, or a refusal is swallowed.
        """
        slot = await bench.slot(2)
        people = bench.people.patients
        writers = [await bench.another() for _ in range(WRITERS)]
        results = await asyncio.gather(
            *(
                leaf(w.book(bench.request(slot, patient=p)), "a race for a slot")
                for w, p in zip(writers, people, strict=True)
            )
        )
        won = [r for r in results if isinstance(r, Written)]
        others = {type(r).__name__ for r in results if isinstance(r, OpenSlotError)}
        assert len(bench.standing()) == 1, f"{len(bench.standing())} appointments stand on one slot"
        assert len(won) == 1, f"{len(won)} of {WRITERS} writers were told that they have the slot"
        assert others == {"SlotTaken"}, f"the others were told {sorted(others)}"

    @check(8, "book")
    async def test_a_slot_that_is_gone_is_refused(self, bench: Bench) -> None:
        """A slot that the practice took back since it was offered is not booked.

        If it fails: look at the slot again before the write, or trust the vendor's refusal.
        """
        slot = await bench.slot(1)
        bench.withdraw(slot)
        with one_of(Stale, SlotTaken, NotFound, Rejected, what="booking a slot that is gone"):
            await bench.connector.book(bench.request(slot))
        assert not bench.standing(), "it stands, although the practice is closed"

    @check(8, "book")
    async def test_the_practice_s_rules_are_rejected(self, bench: Bench) -> None:
        """A booking that comes too late for the practice's notice is Rejected (or Stale).

        If it fails: map the vendor's business refusals to Rejected with the fitting reason.
        """
        slot = await bench.slot(0)
        bench.sandbox.clock.advance(slot.start - bench.sandbox.clock.now() - timedelta(minutes=10))
        with one_of(Rejected, Stale, what="booking ten minutes before the visit"):
            await (await bench.another()).book(bench.request(slot))
        assert not bench.standing(), "it stands, although it was refused"

    @check(8, "book")
    async def test_an_unknown_patient_is_refused(self, bench: Bench) -> None:
        """A patient id that the practice does not have is NotFound or Rejected.

        If it fails: read the vendor's refusal; nobody must be made up.
        """
        with one_of(NotFound, Rejected, what="booking for a patient who does not exist"):
            await bench.connector.book(bench.request(await bench.slot(), patient="nobody-here"))
        assert not bench.standing(), "it stands, although it was refused"

    @check(8, "book")
    async def test_a_made_up_slot_is_refused(self, bench: Bench) -> None:
        """A slot that was never offered is not booked.

        If it fails: book by what the vendor offered (`id`, `ref`), and check that it fits.
        """
        slot = await bench.slot()
        night = slot.start + timedelta(hours=10)
        invented = Slot(night, night + timedelta(minutes=30), id="made-up", ref="made-up")
        with one_of(Stale, SlotTaken, NotFound, Rejected, what="booking a slot nobody offered"):
            await bench.connector.book(bench.request(invented))
        assert not bench.standing(), "it stands, although it was refused"

    @check(4, "book", claims=("idempotent_booking",))
    async def test_the_same_intent_books_once(self, bench: Bench) -> None:
        """The same request again, by another process, leads to the same single appointment.

        If it fails: the trait `idempotent_booking` is not true: send the vendor's key.
        """
        request = bench.request(await bench.slot())
        first = await bench.connector.book(request)
        again = await (await bench.another()).book(request)
        assert len(bench.standing()) == 1, "two appointments stand for one intent"
        assert again.id == first.id, "the same intent has two ids"
