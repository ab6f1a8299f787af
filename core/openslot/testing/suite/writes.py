"""Law 4 on the wire: a write whose answer is lost is not sent again, and never called undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from openslot.call import call
from openslot.connector import Claim
from openslot.errors import OpenSlotError, OutcomeUnknown
from openslot.model import CancelRequest, RescheduleRequest, Slot, Written
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import leaf

__all__ = ["Writes"]

Act = Callable[[Any], Awaitable[Written]]


class Writes(Suite):
    """What leaves, when it is told, and what is made of its answer."""

    @check(4, "book", wire=True)
    async def test_a_lost_booking_is_not_sent_again(self, bench: Bench) -> None:
        """The answer to each write of a booking is lost in turn: nothing is booked twice.

        If it fails: use `self.write`, and `repeatable=True` only where the vendor makes a second
        one harmless.
        """
        await self._lost(bench, "lost-reply", _book)

    @check(4, "book", wire=True)
    async def test_an_error_after_a_write_is_unknown(self, bench: Bench) -> None:
        """A 504 to a booking that was carried out is not called a failure of which nothing came.

        If it fails: only an answer that proves that nothing was done may be anything else than
        OutcomeUnknown (see `openslot.rest.Refused`).
        """
        await self._lost(bench, "error-504", _book, after=True)

    @check(4, "book", wire=True)
    async def test_an_answer_that_makes_no_sense_is_unknown(self, bench: Bench) -> None:
        """A booking that is answered with an HTML page may have been made.

        If it fails: a BadResponse to a write keeps `sent` at True or None; never False.
        """
        await self._lost(bench, "html-200", _book, after=True)

    @check(4, "book", "cancel", wire=True)
    async def test_a_lost_cancellation_is_settled_or_unknown(self, bench: Bench) -> None:
        """The answer to each write of a cancellation is lost in turn.

        If it fails: as for a booking; reading the appointment may settle it.
        """
        await self._lost(bench, "lost-reply", _cancel)

    @check(4, "book", "reschedule", wire=True)
    async def test_a_lost_move_is_settled_or_unknown(self, bench: Bench) -> None:
        """The answer to each write of a move is lost in turn: one appointment stands, always.

        If it fails: as for a booking; reading the appointment may settle it.
        """
        await self._lost(bench, "lost-reply", _reschedule)

    @check(4, "book")
    async def test_a_write_is_told_before_it_leaves(self, bench: Bench) -> None:
        """Whoever listens (the desk's journal) knows of a write before its first byte leaves.

        If it fails: use `self.write`, or await `current().sending(step)` before the write.
        """
        slot = await bench.slot()
        told: list[str] = []
        standing: list[int] = []

        async def listen(step: str) -> None:
            told.append(step)
            standing.append(len(bench.standing()))

        with call(clock=bench.clock, on_send=listen) as here:
            await bench.connector.book(bench.request(slot))
        assert told, "a booking was written, and nobody was told"
        assert standing[0] == 0, "it was told only after it was written"
        assert here.sent, "the call does not know that something was sent"

    @check(4, "book")
    async def test_what_could_not_be_journalled_does_not_leave(self, bench: Bench) -> None:
        """Where the listener fails, the write does not leave.

        If it fails: let the error of `current().sending(step)` out, before anything is sent.
        """
        slot = await bench.slot()

        async def full(step: str) -> None:
            raise DiskFull("the journal cannot be written")

        with call(clock=bench.clock, on_send=full):
            result = await leaf(bench.connector.book(bench.request(slot)), "a full journal")
        assert isinstance(result, DiskFull), f"the listener failed, and the answer is {result!r}"
        assert not bench.standing(), "it was booked although the journal could not be written"

    async def _lost(self, bench: Bench, fault: str, act: Any, **how: Any) -> None:
        """Let the answer of each write be lost in turn, and look what stands."""
        slots = list(await bench.slots(bench.query_window))
        idempotent = bench.connector.traits.idempotent_booking is Claim.YES
        bench.wire.forget()
        _, do = await act(self, bench, slots.pop(0), slots.pop(0))
        mark = len(bench.wire.seen)
        await do(await bench.another())
        writes = bench.writes(bench.wire.seen[mark:])
        assert writes, "nothing was sent that could have written anything"
        for nth in writes:
            bench.heal()
            expected, do = await act(self, bench, slots.pop(0), slots.pop(0))
            before = {a.id for a in bench.standing()}
            bench.wire.forget()
            bench.fault(fault, nth=nth, lasting=False, **how)
            result = await leaf(do(await bench.another()), f"{fault} at request {nth}")
            sent = bench.wire.seen
            bench.calm()
            made = [a for a in bench.standing() if a.id not in before]
            lost = sent[nth - 1]
            again = Counter(s.same for s in sent)[lost.same]
            what = f"the answer to request {nth} ({lost.method}) was lost ({fault})"
            assert len(made) <= 1, f"{what}, and {len(made)} appointments were made"
            assert again == 1 or idempotent or lost.method in {"PUT", "DELETE"}, (
                f"{what}, and the same write was sent {again} times"
            )
            assert len(bench.standing()) <= len(before) + 1, f"{what}: too many stand"
            assert expected(bench, before), f"{what}: the patient's place was lost"
            if isinstance(result, OpenSlotError):
                safe = isinstance(result, OutcomeUnknown) or result.sent is not False
                assert safe or not made, (
                    f"{what}, and {type(result).__name__} says that nothing was sent"
                )
                if fault != "html-200":
                    assert isinstance(result, OutcomeUnknown) or not made, (
                        f"{what}, and it became {type(result).__name__}, not OutcomeUnknown"
                    )


class DiskFull(OpenSlotError):
    """What the listener of a check raises."""


def _any(bench: Bench, before: set[str]) -> bool:
    return True


async def _book(suite: Suite, bench: Bench, slot: Slot, other: Slot) -> tuple[Any, Act]:
    request = bench.request(slot)
    return _any, lambda c: c.book(request)


async def _cancel(suite: Suite, bench: Bench, slot: Slot, other: Slot) -> tuple[Any, Act]:
    id = bench.vendor_id("appointment", bench.take(slot).id)
    request = CancelRequest(bench.intent(), id)
    return _any, lambda c: c.cancel(request)


async def _reschedule(suite: Suite, bench: Bench, slot: Slot, other: Slot) -> tuple[Any, Act]:
    patient = 1
    id = bench.vendor_id("appointment", bench.take(slot, patient).id)
    request = RescheduleRequest(bench.intent(), id, other)

    def stands(bench: Bench, before: set[str]) -> bool:
        return len(bench.standing()) >= len(before)

    return stands, lambda c: c.reschedule(request)
