"""Slots that overlap: to a plain FHIR server they are two, and it lets both be booked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from acceptance.conftest import MakeDesk
from acceptance.plan import Plan
from acceptance.targets import Medplum, Target

from openslot import Exclusive, Outcome, Slot, SlotQuery, SlotTaken

QUARTER = timedelta(minutes=15)

pytestmark = pytest.mark.peer


@pytest.fixture
def overlapping(running: Callable[..., Target]) -> Medplum:
    target = running("medplum")
    assert isinstance(target, Medplum)
    target.seed(Plan())
    return target


async def two_slots(target: Medplum, make_desk: MakeDesk) -> tuple[Slot, Slot]:
    """A slot, and one a quarter of an hour later of the same practitioner."""
    async with make_desk(target, journal="look.db") as desk:
        slots = (
            await desk.find_slots(SlotQuery(target.plan.window, practitioners=("dr-1",)))
        ).items
    target.add_slot(slots[0], QUARTER)
    late = replace(
        slots[0],
        id=f"{slots[0].id}-late",
        start=slots[0].start + QUARTER,
        end=slots[0].end + QUARTER,
    )
    return replace(slots[0], as_of=None), replace(late, as_of=None)


async def test_of_two_desks_on_overlapping_slots_at_most_one_is_told_that_it_is_booked(
    overlapping: Medplum, make_desk: MakeDesk, tmp_path: Path
) -> None:
    early, late = await two_slots(overlapping, make_desk)
    async with (
        make_desk(overlapping, journal="a.db") as one,
        make_desk(overlapping, journal="b.db") as two,
    ):
        answers = await asyncio.gather(
            one.book(early, "pat-1", key="a"),
            two.book(late, "pat-2", key="b"),
            return_exceptions=True,
        )
    told = [a for a in answers if isinstance(a, Outcome)]
    assert all(isinstance(a, Outcome | SlotTaken) for a in answers), answers
    assert [a.exclusive for a in told] == [Exclusive.CHECKED][: len(told)]
    assert len(overlapping.standing()) == len(told) <= 1


async def test_a_place_that_is_taken_by_another_slot_is_taken(
    overlapping: Medplum, make_desk: MakeDesk
) -> None:
    early, late = await two_slots(overlapping, make_desk)
    async with make_desk(overlapping) as desk:
        assert (await desk.book(early, "pat-1", key="a")).confirmed
        with pytest.raises(SlotTaken):
            await desk.book(late, "pat-2", key="b")
    assert len(overlapping.standing()) == 1
    assert overlapping.offers(late), "what was not booked is given back"


async def test_an_appointment_moves_onto_its_own_time(
    overlapping: Medplum, make_desk: MakeDesk
) -> None:
    early, late = await two_slots(overlapping, make_desk)
    async with make_desk(overlapping) as desk:
        booked = await desk.book(early, "pat-1", key="a")
        assert booked.appointment is not None
        moved = await desk.reschedule(booked.appointment.id, late, key="m")
    assert moved.confirmed
    assert moved.way == "book-first"
    assert len(overlapping.standing()) == 1
