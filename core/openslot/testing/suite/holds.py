"""Holds: a slot is kept for one caller, for a while, and then it is everybody's again."""

from __future__ import annotations

from datetime import timedelta

from openslot.errors import SlotTaken
from openslot.model import Hold, HoldRequest, Slot
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import one_of

__all__ = ["Holds"]


class Holds(Suite):
    """`hold` and `release`."""

    @check(7, "hold", "book", claims=("native_hold",))
    async def test_a_held_slot_is_refused_to_others(self, bench: Bench) -> None:
        """While it is held, somebody else's booking is SlotTaken.

        If it fails: the trait `native_hold` is not true.
        """
        slot = await bench.slot()
        await self._hold(bench, slot)
        with one_of(SlotTaken, what="booking what somebody else holds"):
            await (await bench.another()).book(
                bench.request(slot, patient=bench.people.patients[1])
            )
        assert not bench.standing(), "it was booked although somebody else holds it"

    @check(7, "hold", claims=("native_hold",))
    async def test_a_held_slot_is_not_held_twice(self, bench: Bench) -> None:
        """A second caller's hold is SlotTaken.

        If it fails: the vendor's refusal of a hold is SlotTaken as well.
        """
        slot = await bench.slot()
        await self._hold(bench, slot)
        with one_of(SlotTaken, what="holding what somebody else holds"):
            await self._hold(bench, slot)

    @check(7, "hold", "book")
    async def test_who_holds_a_slot_can_book_it(self, bench: Bench) -> None:
        """A booking that names the hold goes through.

        If it fails: send the hold's id along (`request.hold`).
        """
        slot = await bench.slot()
        hold = await self._hold(bench, slot)
        await bench.connector.book(bench.request(slot, hold=hold.id))
        assert len(bench.standing()) == 1, "the holder's booking does not stand"

    @check(7, "hold", "release", "book")
    async def test_a_released_slot_is_everybody_s(self, bench: Bench) -> None:
        """After `release` somebody else can book; releasing again is no error.

        If it fails: give back in the vendor's system, and take "no such hold" for done.
        """
        slot = await bench.slot()
        hold = await self._hold(bench, slot)
        await bench.connector.release(hold)
        await bench.connector.release(hold)
        try:
            await (await bench.another()).book(bench.request(slot))
        except SlotTaken as error:
            raise AssertionError("a slot that was released is still kept") from error
        assert len(bench.standing()) == 1, "the booking of a released slot does not stand"

    @check(7, "hold", "book", claims=("native_hold",))
    async def test_a_hold_expires(self, bench: Bench) -> None:
        """After `expires` somebody else can book, though nobody released it.

        If it fails: `expires` must not be before the vendor's own; where the vendor never frees
        it, `native_hold` is NO.
        """
        slot = await bench.slot(6)
        hold = await self._hold(bench, slot)
        now = bench.sandbox.clock.now()
        assert now < hold.expires < slot.start, "a hold ends after it began, and before the visit"
        bench.sandbox.clock.advance(hold.expires - now + timedelta(seconds=2))
        try:
            await (await bench.another()).book(bench.request(slot))
        except SlotTaken as error:
            raise AssertionError("a slot is kept although its hold has expired") from error

    async def _hold(self, bench: Bench, slot: Slot) -> Hold:
        return await bench.connector.hold(HoldRequest(bench.intent(), slot))
