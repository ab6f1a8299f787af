"""Law 11: every call ends in time, and "nothing was sent" is said only where nothing was."""

from __future__ import annotations

import time

from openslot.call import call
from openslot.clock import SystemClock
from openslot.errors import DeadlineExceeded, OpenSlotError, OutcomeUnknown, TryLater
from openslot.model import Listing
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import leaf, one_of

__all__ = ["Deadlines"]

LIMIT = 0.6
PATIENCE = 1.2
"""By how much a busy machine may be late."""


class Deadlines(Suite):
    """Calls that run out of time."""

    @check(11, "find_slots", wire=True)
    async def test_a_search_without_time_sends_nothing(self, bench: Bench) -> None:
        """A call whose deadline has passed raises DeadlineExceeded, and no request leaves.

        If it fails: ask `current().remaining()` before each request.
        """
        with call(clock=bench.clock, seconds=0.0), one_of(DeadlineExceeded, what="no time left"):
            await bench.connector.find_slots(bench.query(bench.week()))
        assert not bench.wire.seen, "requests were sent after the deadline"

    @check(11, "book")
    async def test_a_booking_without_time_sends_nothing(self, bench: Bench) -> None:
        """A booking whose deadline has passed raises DeadlineExceeded(sent=False).

        If it fails: as for searches; the key stays unused only if nothing was written.
        """
        request = bench.request(await bench.slot())
        with (
            call(clock=bench.clock, seconds=0.0),
            one_of(DeadlineExceeded, what="no time left") as caught,
        ):
            await bench.connector.book(request)
        assert caught[0].sent is False, "nothing was sent, and the error does not say so"
        assert not bench.standing(), "it was booked after the deadline"

    @check(11, "find_slots", wire=True)
    async def test_a_dribbling_answer_ends_at_the_deadline(self, bench: Bench) -> None:
        """An answer that arrives a few bytes at a time does not outlast the call.

        If it fails: a read timeout starts anew with each chunk; bound the whole exchange.
        """
        bench.fault("slow-dribble", size=8, seconds=0.1)
        await self._in_time(bench, "a dribbling answer")

    @check(11, "find_slots", wire=True)
    async def test_a_silent_server_ends_at_the_deadline(self, bench: Bench) -> None:
        """A server that says nothing does not outlast the call, retries included.

        If it fails: fit timeouts and retries into `current().remaining()`.
        """
        bench.fault("delay-before", seconds=2.0)
        await self._in_time(bench, "a silent server")

    @check(11, "book", wire=True)
    async def test_a_deadline_after_sending_is_unknown(self, bench: Bench) -> None:
        """A booking that was sent when the time ran out is OutcomeUnknown, not DeadlineExceeded.

        If it fails: only what never left is DeadlineExceeded.
        """
        first, second = await bench.slot(0), await bench.slot(1)
        bench.wire.forget()
        await (await bench.another()).book(bench.request(first))
        last = bench.writes(bench.wire.seen)[-1]
        bench.heal()
        bench.fault("delay-after", nth=last, seconds=LIMIT + 0.6)
        with call(clock=SystemClock(), seconds=LIMIT) as here:
            result = await leaf((await bench.another()).book(bench.request(second)), "a late reply")
        assert here.sent or not isinstance(result, OpenSlotError), "the call was not told of it"
        assert not isinstance(result, DeadlineExceeded), (
            "the booking had been sent, and DeadlineExceeded says that nothing was"
        )
        if isinstance(result, OpenSlotError):
            assert isinstance(result, OutcomeUnknown), f"it became {type(result).__name__}"

    async def _in_time(self, bench: Bench, what: str) -> None:
        connector = await bench.another()
        query = bench.query(bench.week(1), practitioners=(bench.people.doctors[0],))
        started = time.monotonic()
        with call(clock=SystemClock(), seconds=LIMIT):
            result = await leaf(connector.find_slots(query), what)
        took = time.monotonic() - started
        assert took < LIMIT + PATIENCE, f"{what}: {took:.1f} s, though the call had {LIMIT} s"
        if isinstance(result, Listing):
            assert not result.complete or result.items, f"{what} became an empty answer"
        else:
            assert isinstance(result, TryLater), f"{what} became {type(result).__name__}"
