"""A move never loses the patient's place (law 6); a cancellation is read back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from desk.conftest import MakeDesk, slot_at
from desk.vendor import HALF, Atomic, Marked, Plain, Vendor, down, error_of, lost

from openslot import (
    AppointmentStatus,
    Claim,
    NotFound,
    OldSlot,
    OutcomeState,
    OutcomeUnknown,
    PlaceLost,
    Rejected,
    RejectedReason,
    Slot,
    SlotTaken,
    Unavailable,
)
from openslot.practice import Rules

ATOMIC = {"atomic_reschedule": Claim.YES, "native_hold": Claim.YES}


async def test_book_new_verify_cancel_old(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk() as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
        again = await desk.reschedule(old.id, slot_at(16), key="m")
    assert moved.confirmed and moved.settled and moved.way == "book-first"
    assert moved.old_slot is OldSlot.FREED
    assert moved.appointment is not None and moved.appointment.replaces == old.id
    assert [a.id for a in vendor.standing] == [moved.appointment.id]
    assert vendor.requests == ["book", "cancel"]
    assert again == moved


async def test_the_vendors_own_way_where_it_is_atomic(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk(Atomic, traits=ATOMIC) as desk:
        moved = await desk.reschedule(old.id, slot_at(15, 15), key="m")
    assert moved.confirmed and moved.way == "native"
    assert moved.old_slot is OldSlot.RETAKEN  # by the patient's own new time
    assert vendor.requests == ["reschedule"]
    assert [a.start for a in vendor.standing] == [slot_at(15, 15).start]


async def test_a_native_move_whose_answer_is_lost(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after["reschedule"] = [lost]
    async with make_desk(Atomic, traits=ATOMIC) as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
    assert moved.confirmed and vendor.requests == ["reschedule"]


@pytest.mark.parametrize("native", [False, True])
async def test_a_taken_time_leaves_the_old_place(
    make_desk: MakeDesk, vendor: Vendor, native: bool
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.add("p9", slot_at(16).start)
    kind, traits = (Atomic, ATOMIC) if native else (Marked, {})
    async with make_desk(kind, traits=traits) as desk:
        with pytest.raises(SlotTaken):
            await desk.reschedule(old.id, slot_at(16), key="m")
    assert old.id in {a.id for a in vendor.standing}


async def test_an_old_one_that_cannot_be_cancelled_is_listed_and_retried(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.before["cancel"] = [error_of(Unavailable)] * 200
    async with make_desk() as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
        assert moved.old_standing and not moved.settled
        assert len(vendor.standing) == 2
        assert [o.old_standing for o in await desk.unsettled()] == [True]
        vendor.before["cancel"] = []
        (done,) = await desk.recover()
        assert done.confirmed and done.settled and not done.old_standing
        assert not await desk.unsettled()
    assert len(vendor.standing) == 1


@pytest.mark.parametrize("step", ["book", "cancel"])
async def test_a_move_survives_a_lost_answer_at_each_step(
    make_desk: MakeDesk, vendor: Vendor, step: str
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after[step] = [lost]
    async with make_desk() as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
    assert moved.confirmed
    assert [a.start for a in vendor.standing] == [slot_at(16).start]
    assert vendor.requests == ["book", "cancel"]


async def test_a_move_onto_its_own_time_needs_a_gap_and_is_refused_without_leave(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk() as desk:
        with pytest.raises(Rejected) as caught:
            await desk.reschedule(old.id, slot_at(15, 15), key="m")
        assert caught.value.reason is RejectedReason.GAP_REQUIRED
    assert [a.id for a in vendor.standing] == [old.id] and not vendor.requests


async def test_with_leave_the_gap_is_taken(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk(rules=Rules(allow_gap=True)) as desk:
        moved = await desk.reschedule(old.id, slot_at(15, 15), key="m")
    assert moved.confirmed and moved.way == "gap"
    assert [a.start for a in vendor.standing] == [slot_at(15, 15).start]


async def test_a_gap_in_which_the_new_time_goes_restores_the_old(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after["cancel"] = [lambda: vendor.add("p9", slot_at(15, 30).start)]
    async with make_desk(rules=Rules(allow_gap=True)) as desk:
        with pytest.raises(SlotTaken):
            await desk.reschedule(old.id, slot_at(15, 15), key="m")
    assert sorted((a.patient, a.start) for a in vendor.standing) == [
        ("p1", slot_at(15).start),
        ("p9", slot_at(15, 30).start),
    ]


async def test_a_place_that_is_lost_is_said_at_once(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after["cancel"] = [lambda: vendor.add("p9", slot_at(15, 15).start)]
    async with make_desk(rules=Rules(allow_gap=True)) as desk:
        for _ in range(2):
            with pytest.raises(PlaceLost):
                await desk.reschedule(old.id, slot_at(15, 15), key="m")
        assert (await desk.outcome("m")).state is OutcomeState.LOST


async def test_where_one_patient_has_one_place_the_new_is_held_first(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.single = True
    old = vendor.add("p1", slot_at(15).start)
    traits = {"one_appointment_per_patient": Claim.YES, "native_hold": Claim.YES}
    async with make_desk(Atomic, traits=traits) as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
    assert moved.confirmed and moved.way == "hold-first"
    assert vendor.requests == ["hold", "cancel", "book"]
    assert not vendor.holds


async def test_old_ids_lead_to_the_appointment_that_stands(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    async with make_desk() as desk:
        first = await desk.book(slot_at(15), "p1", key="b")
        assert first.appointment is not None
        moved = await desk.reschedule(first.appointment.id, slot_at(16), key="m1")
        await desk.reschedule(first.appointment.id, slot_at(17), key="m2")
        assert (await desk.appointment(first.appointment.id)).start == slot_at(17).start
        told = await desk.outcome("b")
        assert (told.since, told.since_appointment) == ("moved", moved.appointment.id)  # type: ignore[union-attr]
        await desk.cancel(first.appointment.id, key="c")
    assert not vendor.standing


async def test_what_does_not_stand_cannot_be_moved(make_desk: MakeDesk, vendor: Vendor) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.set_status(old.id, AppointmentStatus.CANCELLED)
    async with make_desk() as desk:
        with pytest.raises(Rejected):
            await desk.reschedule(old.id, slot_at(16), key="m")
        with pytest.raises(NotFound):
            await desk.reschedule("nobody", slot_at(16), key="m")


@pytest.mark.parametrize(
    ("frees", "expected"), [(Claim.UNPROVEN, OldSlot.LEAKED), (Claim.YES, OldSlot.NOT_OFFERED)]
)
async def test_time_that_does_not_come_back_is_reported(
    make_desk: MakeDesk, vendor: Vendor, frees: Claim, expected: OldSlot
) -> None:
    off_grid = slot_at(15, 10)
    old = vendor.add("p1", off_grid.start)
    async with make_desk(traits={"frees_slot_on_cancel": frees}) as desk:
        moved = await desk.reschedule(old.id, slot_at(17), key="m")
    assert moved.old_slot is expected


async def test_time_that_somebody_took_meanwhile_is_retaken(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after["cancel"] = [lambda: vendor.add("p9", slot_at(15).start)]
    async with make_desk() as desk:
        moved = await desk.reschedule(old.id, slot_at(16), key="m")
    assert moved.old_slot is OldSlot.RETAKEN


@pytest.mark.parametrize("kind", [Marked, Plain])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_cancellation_whose_answer_is_lost(
    make_desk: MakeDesk, vendor: Vendor, kind: type[Plain], when: str
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    if when == "after":
        vendor.after["cancel"] = [lost]
    async with make_desk(kind) as desk:
        if when == "before":
            from openslot.call import current

            original = desk.connector.cancel

            async def swallowed(request: object) -> object:
                desk.connector.cancel = original  # type: ignore[method-assign]
                await current().sending("cancel")
                lost()
                raise AssertionError

            desk.connector.cancel = swallowed  # type: ignore[method-assign,assignment]
        outcome = await desk.cancel(old.id, key="c")
    assert outcome.confirmed
    assert outcome.appointment is not None
    assert outcome.appointment.status is AppointmentStatus.CANCELLED
    assert not vendor.standing and vendor.requests.count("cancel") == 1


async def test_cancelling_what_is_not_there(make_desk: MakeDesk) -> None:
    async with make_desk() as desk:
        for _ in range(2):
            with pytest.raises(NotFound):
                await desk.cancel("nobody", key="c")


async def test_a_cancellation_that_nobody_answers_is_listed_and_done_later(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    vendor.after["cancel"] = [lost]
    vendor.before["get_appointment"] = [error_of(Unavailable)] * 500
    async with make_desk() as desk:
        with pytest.raises(OutcomeUnknown):
            await desk.cancel(old.id, key="c")
        assert len(await desk.unsettled()) == 1
        vendor.before["get_appointment"] = []
        (done,) = await desk.recover()
    assert done.confirmed


async def test_the_same_move_of_another_length_is_another_request(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    longer: Slot = replace(slot_at(16), end=slot_at(16).end + HALF)
    async with make_desk() as desk:
        await desk.reschedule(old.id, longer, key="m")
    (stands,) = vendor.standing
    assert stands.end == longer.end


@pytest.mark.parametrize("step", ["book", "cancel", "hold", "reschedule"])
async def test_a_move_of_which_nothing_left_is_not_done_later(
    make_desk: MakeDesk, vendor: Vendor, step: str
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    to = slot_at(15, 15) if step in {"cancel", "hold"} else slot_at(16)
    kind: type[Plain] = Marked
    traits: dict[str, Claim] = {}
    if step == "hold":
        kind, traits = Atomic, {"native_hold": Claim.YES}
    if step == "reschedule":
        kind, traits = Atomic, ATOMIC

    async def unreachable(request: object) -> object:
        from openslot.call import current

        await current().sending(step)
        down()
        raise AssertionError

    async with make_desk(kind, traits=traits, rules=Rules(allow_gap=True)) as desk:
        original = getattr(desk.connector, step)
        setattr(desk.connector, step, unreachable)
        with pytest.raises(Unavailable):
            await desk.reschedule(old.id, to, key="m")
        setattr(desk.connector, step, original)
        assert not await desk.unsettled()
        assert not await desk.recover()
        assert [a.start for a in vendor.standing] == [slot_at(15).start]
        with pytest.raises(NotFound):
            await desk.outcome("m")


async def test_a_vendor_that_goes_away_in_the_gap_is_not_said_to_have_changed_nothing(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk(rules=Rules(allow_gap=True)) as desk:
        vendor.before["book"] = [down]
        with pytest.raises(OutcomeUnknown):
            await desk.reschedule(old.id, slot_at(15, 15), key="m")
        assert not vendor.standing
        assert len(await desk.unsettled()) == 1
        (done,) = await desk.recover()
        assert done.confirmed
    assert [a.start for a in vendor.standing] == [slot_at(15, 15).start]


async def test_a_hold_whose_answer_is_lost_leaves_the_old_place(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk(Atomic, traits={"native_hold": Claim.YES}) as desk:

        async def swallowed(request: object) -> object:
            from openslot.call import current

            await current().sending("hold")
            lost()
            raise AssertionError

        desk.connector.hold = swallowed  # type: ignore[method-assign,assignment]
        for _ in range(2):
            with pytest.raises(Unavailable):
                await desk.reschedule(old.id, slot_at(15, 15), key="m")
    assert [a.id for a in vendor.standing] == [old.id]


@pytest.mark.parametrize("refuses", [False, True])
async def test_a_move_onto_its_own_time_where_nobody_knows_whether_overlaps_are_refused(
    make_desk: MakeDesk, vendor: Vendor, refuses: bool
) -> None:
    vendor.enforces = refuses
    old = vendor.add("p1", slot_at(15).start)
    async with make_desk(traits={"conflict_enforcement": Claim.UNPROVEN}) as desk:
        if refuses:
            with pytest.raises(Rejected) as caught:
                await desk.reschedule(old.id, slot_at(15, 15), key="m")
            assert caught.value.reason is RejectedReason.GAP_REQUIRED
        else:
            moved = await desk.reschedule(old.id, slot_at(15, 15), key="m")
            assert moved.confirmed
            assert moved.exclusive.value == "checked"
    assert [a.start for a in vendor.standing] == [slot_at(15, 0 if refuses else 15).start]
