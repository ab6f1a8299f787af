"""Booking by intent key: once, proven, and answered the same for ever (laws 3, 4, 5, 7, 11)."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from desk.conftest import MakeDesk, slot_at
from desk.vendor import FakeClock, Marked, Plain, Vendor, down, error_of, lost

from openslot import (
    AppointmentStatus,
    Claim,
    DeadlineExceeded,
    Exclusive,
    KeyReused,
    NotFound,
    OutcomeState,
    OutcomeUnknown,
    ProofLevel,
    Rejected,
    SlotTaken,
    Stale,
    Unavailable,
)
from openslot.practice import Rules


async def test_a_booking_is_read_back_before_it_is_called_confirmed(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    async with make_desk() as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
    assert outcome.confirmed and outcome.settled
    assert outcome.proof is not None
    assert outcome.proof.level is ProofLevel.VERIFIED
    assert outcome.proof.exclusive is Exclusive.ENFORCED
    assert {"start", "end", "patient", "practitioner"} <= set(outcome.proof.compared)
    assert {"location", "appointment_type"} <= set(outcome.proof.uncompared)
    assert [a.patient for a in vendor.standing] == ["p1"]


@pytest.mark.parametrize("again", ["same desk", "next process", "at the same time"])
async def test_the_same_key_answers_the_same_outcome_and_books_once(
    make_desk: MakeDesk, vendor: Vendor, again: str
) -> None:
    async with make_desk() as desk:
        if again == "at the same time":
            first, second = await asyncio.gather(
                *(desk.book(slot_at(15), "p1", key="k") for _ in range(2))
            )
        else:
            first = await desk.book(slot_at(15), "p1", key="k")
            second = await desk.book(slot_at(15), "p1", key="k")
    if again == "next process":
        async with make_desk() as desk:
            second = await desk.book(slot_at(15), "p1", key="k")
    assert second == first
    assert vendor.requests == ["book"]


@pytest.mark.parametrize(
    "other", [{"patient": "p2"}, {"slot": slot_at(16)}, {"reason": "knee"}, {"comment": "x"}]
)
async def test_a_key_stands_for_one_request(
    make_desk: MakeDesk, vendor: Vendor, other: dict[str, str]
) -> None:
    async with make_desk() as desk:
        await desk.book(slot_at(15), "p1", key="k")
        with pytest.raises(KeyReused):
            await desk.book(**({"slot": slot_at(15), "patient": "p1", "key": "k"} | other))  # type: ignore[arg-type]
    assert len(vendor.standing) == 1


async def test_a_failure_before_the_first_byte_leaves_the_key_unused(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.before["book"] = [down]
    async with make_desk() as desk:
        with pytest.raises(Unavailable):
            await desk.book(slot_at(15), "p1", key="k")
        with pytest.raises(NotFound):
            await desk.outcome("k")
        assert (await desk.book(slot_at(16), "p2", key="k")).confirmed


@pytest.mark.parametrize("kind", [Marked, Plain])
async def test_a_lost_answer_is_settled_by_reading(
    make_desk: MakeDesk, vendor: Vendor, kind: type[Plain]
) -> None:
    vendor.add("p1", slot_at(18).start)
    vendor.after["book"] = [lost]
    async with make_desk(kind) as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
    assert outcome.confirmed
    assert outcome.proof is not None and outcome.proof.inferred is (kind is Plain)
    assert len(vendor.standing) == 2 and vendor.requests == ["book"]


async def test_what_cannot_be_settled_is_listed_and_never_sent_again(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    late: list[str] = []
    vendor.before["book"] = [lambda: late.append("in flight")]
    async with make_desk() as desk:
        connector = desk.connector
        assert isinstance(connector, Marked)
        original = connector.book

        async def swallowed(request: object) -> object:
            from openslot.call import current

            await current().sending("book")
            vendor.requests.append("book")
            late.append(request.intent)  # type: ignore[attr-defined]
            lost()
            raise AssertionError

        connector.book = swallowed  # type: ignore[method-assign,assignment]
        with pytest.raises(OutcomeUnknown) as caught:
            await desk.book(slot_at(15), "p1", key="k")
        assert caught.value.key == "k"
        assert [o.state for o in await desk.unsettled()] == [OutcomeState.UNKNOWN]
        with pytest.raises(OutcomeUnknown):
            await desk.book(slot_at(15), "p1", key="k")
        await desk.recover()
        assert vendor.requests == ["book"] and not vendor.standing
        # The request was under way all the time, and lands now.
        vendor.add("p1", slot_at(15).start, late[-1])
        connector.book = original  # type: ignore[method-assign]
        (found,) = await desk.recover()
        assert found.confirmed and not await desk.unsettled()
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed
    assert vendor.requests == ["book"]


async def test_two_new_records_that_look_alike_settle_nothing(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    def twice() -> None:
        vendor.add("p1", slot_at(15).start)
        lost()

    vendor.after["book"] = [twice]
    async with make_desk(Plain) as desk:
        with pytest.raises(OutcomeUnknown):
            await desk.book(slot_at(15), "p1", key="k")
        assert len(await desk.unsettled()) == 1


async def test_an_idempotent_vendor_is_asked_again(make_desk: MakeDesk, vendor: Vendor) -> None:
    def vanish() -> None:
        vendor.appointments.clear()
        lost()

    vendor.after["book"] = [vanish]
    async with make_desk(traits={"idempotent_booking": Claim.YES}) as desk:
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed
    assert vendor.requests == ["book", "book"] and len(vendor.standing) == 1


async def test_twins_under_our_marker_are_reduced_to_one(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    def twin() -> None:
        (made,) = vendor.standing
        vendor.appointments["z"] = replace(made, id="z")
        lost()

    vendor.after["book"] = [twin]
    async with make_desk() as desk:
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed
    assert len(vendor.standing) == 1


async def test_taken_comes_with_three_near_alternatives_and_stays_taken(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    other = vendor.add("p9", slot_at(15).start)
    async with make_desk() as desk:
        with pytest.raises(SlotTaken) as first:
            await desk.book(slot_at(15), "p1", key="k")
        vendor.set_status(other.id, AppointmentStatus.CANCELLED)
        with pytest.raises(SlotTaken) as second:
            await desk.book(slot_at(15), "p1", key="k")
        assert second.value.alternatives == first.value.alternatives
        told = await desk.outcome("k")
        assert told.state is OutcomeState.REJECTED and told.failure is not None
        assert (await desk.book(slot_at(15), "p1", key="new")).confirmed
    starts = [s.start for s in first.value.alternatives]
    assert starts == [slot_at(14).start, slot_at(14, 30).start, slot_at(15, 30).start]


async def test_a_deadline_after_sending_ends_the_wait_and_not_the_work(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    answer = asyncio.Event()
    async with make_desk() as desk:
        connector = desk.connector
        original = connector.book

        async def slow(request: object) -> object:
            written = await original(request)  # type: ignore[arg-type]
            await answer.wait()
            return written

        connector.book = slow  # type: ignore[method-assign,assignment]
        early = await desk.book(slot_at(15), "p1", key="k", seconds=0.05)
        assert not early.settled and not early.confirmed and early.key == "k"
        answer.set()
        assert (await desk.wait("k", 5)).confirmed
    assert vendor.requests == ["book"]


async def test_a_deadline_before_sending_leaves_nothing_behind(
    make_desk: MakeDesk, vendor: Vendor, clock: FakeClock
) -> None:
    def dawdle() -> None:
        clock.passed += 60

    vendor.before["book"] = [dawdle]
    async with make_desk() as desk:
        with pytest.raises(DeadlineExceeded) as caught:
            await desk.book(slot_at(15), "p1", key="k", seconds=5)
        assert caught.value.sent is False
        assert vendor.requests == []
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed


async def test_a_caller_who_barges_in_does_not_undo_what_was_sent(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    async with make_desk() as desk:
        sent = asyncio.Event()
        vendor.after["book"] = [sent.set]
        caller = asyncio.create_task(desk.book(slot_at(15), "p1", key="k"))
        await sent.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert (await desk.wait("k", 5)).confirmed
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed
    assert vendor.requests == ["book"]


async def test_a_pending_record_is_requested_until_the_practice_approves(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.pends = True
    async with make_desk() as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
        assert not outcome.confirmed and not outcome.settled
        assert outcome.level is ProofLevel.WRITTEN
        assert outcome.appointment is not None
        vendor.set_status(outcome.appointment.id, AppointmentStatus.BOOKED)
        (later,) = await desk.recover()
        assert later.confirmed
        assert (await desk.book(slot_at(15), "p1", key="k")).confirmed


async def test_a_record_that_differs_is_not_verified_and_says_in_what(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.shift = timedelta(hours=1)  # the vendor's zone bug, the classic one
    async with make_desk() as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
        assert not outcome.confirmed
        assert set(outcome.mismatch) == {"start", "end"}
        assert len(await desk.unsettled()) == 1


@pytest.mark.parametrize("allowed", [False, True])
async def test_unknown_exclusivity_is_not_confirmed_unless_the_practice_says_so(
    make_desk: MakeDesk, allowed: bool
) -> None:
    traits = {"conflict_enforcement": Claim.UNPROVEN}
    async with make_desk(Plain, traits=traits, rules=Rules(confirm_unproven=allowed)) as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
    assert outcome.level is ProofLevel.VERIFIED
    assert outcome.exclusive is Exclusive.UNKNOWN
    assert outcome.confirmed is allowed


async def test_of_desks_that_share_only_a_lax_vendor_at_most_one_wins(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.enforces = False
    traits = {"conflict_enforcement": Claim.NO}
    desks = [make_desk(journal=f"{n}.db", traits=traits) for n in range(3)]
    for desk in desks:
        await desk.__aenter__()
    answers = await asyncio.gather(
        *(d.book(slot_at(15), f"p{n}", key="k") for n, d in enumerate(desks)),
        return_exceptions=True,
    )
    for desk in desks:
        await desk.aclose()
    won = [a for a in answers if not isinstance(a, BaseException)]
    assert all(isinstance(a, SlotTaken) for a in answers if isinstance(a, BaseException))
    assert len(won) == len(vendor.standing) == 1
    assert won[0].exclusive is Exclusive.CHECKED


async def test_an_overlap_that_somebody_else_made_is_never_undone(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.enforces = False
    theirs = vendor.add("walk-in", slot_at(15).start)
    async with make_desk(traits={"conflict_enforcement": Claim.NO}) as desk:
        with pytest.raises(SlotTaken):
            await desk.book(slot_at(15), "p1", key="k")
    assert [a.id for a in vendor.standing] == [theirs.id]


async def test_reads_that_lag_are_waited_for(
    make_desk: MakeDesk, vendor: Vendor, clock: FakeClock
) -> None:
    vendor.enforces = False
    traits = {"conflict_enforcement": Claim.NO, "read_lag": timedelta(seconds=7)}
    async with make_desk(traits=traits) as desk:
        await desk.book(slot_at(15), "p1", key="k")
    assert clock.passed >= 7


async def test_desks_of_one_journal_claim_the_time_before_they_write(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.enforces = False
    traits = {"conflict_enforcement": Claim.NO}
    async with make_desk(traits=traits) as one, make_desk(traits=traits) as two:
        claimed, go_on = asyncio.Event(), asyncio.Event()
        original = one.connector.book

        async def slow(request: object) -> object:
            claimed.set()
            await go_on.wait()
            return await original(request)  # type: ignore[arg-type]

        one.connector.book = slow  # type: ignore[method-assign,assignment]
        first = asyncio.create_task(one.book(slot_at(15), "p1", key="a"))
        await claimed.wait()
        with pytest.raises(SlotTaken):
            await two.book(slot_at(15), "p2", key="b")
        go_on.set()
        assert (await first).exclusive is Exclusive.CHECKED
    assert vendor.requests == ["book"]


async def test_an_old_offer_is_looked_at_again_before_it_is_used(
    make_desk: MakeDesk, vendor: Vendor, clock: FakeClock
) -> None:
    async with make_desk() as desk:
        slot = replace(slot_at(15), as_of=clock.now() - timedelta(minutes=2))
        vendor.add("p9", slot.start)
        with pytest.raises(SlotTaken):
            await desk.book(slot, "p1", key="k")
    assert vendor.requests == []


async def test_a_booking_that_the_practice_cancels_later_says_so(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    async with make_desk() as desk:
        booked = await desk.book(slot_at(15), "p1", key="k")
        assert booked.appointment is not None
        await desk.cancel(booked.appointment.id, key="c")
        again = await desk.book(slot_at(15), "p1", key="k")
    assert again.since == "cancelled"
    assert replace(again, since=None) == booked


async def test_a_defect_in_a_connector_is_not_taken_for_a_refusal(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    def defect() -> None:
        raise KeyError("id")

    vendor.after["book"] = [defect]
    async with make_desk() as desk:
        with pytest.raises(KeyError):
            await desk.book(slot_at(15), "p1", key="k")
        (found,) = await desk.recover()
        assert found.confirmed
    assert len(vendor.standing) == 1


@pytest.mark.parametrize("leaf", [Rejected, Stale, NotFound])
async def test_a_no_of_the_vendor_is_an_answer(
    make_desk: MakeDesk, vendor: Vendor, leaf: type[Rejected]
) -> None:
    vendor.before["book"] = [error_of(leaf)]
    async with make_desk() as desk:
        for _ in range(2):
            with pytest.raises(leaf, match="as the test wants it"):
                await desk.book(slot_at(15), "p1", key="k")
    assert not vendor.standing


async def test_the_background_settles_what_nobody_waits_for(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.pends = True
    async with make_desk(recover_every=1.0) as desk:
        outcome = await desk.book(slot_at(15), "p1", key="k")
        assert outcome.appointment is not None
        vendor.set_status(outcome.appointment.id, AppointmentStatus.BOOKED)
        for _ in range(2000):
            await asyncio.sleep(0.001)
            if (await desk.outcome("k")).settled:
                break
        assert (await desk.outcome("k")).confirmed


async def test_the_journal_keeps_no_words_about_a_patient(
    make_desk: MakeDesk, vendor: Vendor, tmp_path: Path
) -> None:
    vendor.pends = True
    canary = "Canary-Condition"
    async with make_desk() as desk:
        await desk.book(slot_at(15), "p1", key="+1 212 555 0142", reason=canary, comment=canary)
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"p1" in kept  # the vendor's id may stand there, so this looks at the right files
    assert canary.encode() not in kept
    assert b"555" not in kept and b"0142" not in kept
    connection = sqlite3.connect(tmp_path / "journal.db")
    ((payload,),) = connection.execute("SELECT payload FROM intents").fetchall()
    assert payload is not None  # unsettled: sealed, still there
    vendor.set_status(next(iter(vendor.appointments)), AppointmentStatus.BOOKED)
    async with make_desk() as desk:
        await desk.recover()
    ((payload,),) = connection.execute("SELECT payload FROM intents").fetchall()
    connection.close()
    assert payload is None
