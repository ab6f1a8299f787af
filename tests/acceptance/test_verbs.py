"""One test set, unchanged, against three systems: find, book, taken, move, cancel, match, zones."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from acceptance.conftest import MakeDesk
from acceptance.plan import PEOPLE, Plan, person
from acceptance.targets import Target

from openslot import (
    AppointmentQuery,
    AppointmentStatus,
    Desk,
    Exclusive,
    HumanName,
    KeyReused,
    Listing,
    MatchLevel,
    OldSlot,
    Outcome,
    Patient,
    ProofLevel,
    Rejected,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    SlotTaken,
    Window,
)

HALF = timedelta(minutes=30)


def found(slots: Listing[Slot]) -> list[tuple[str, datetime]]:
    """The slots as practitioner and start."""
    return [(s.practitioner or "", s.start.astimezone(UTC)) for s in slots]


async def slots_of(target: Target, desk: Desk, practitioner: str = "dr-1") -> tuple[Slot, ...]:
    """One practitioner's free slots."""
    answer = await desk.find_slots(
        SlotQuery(target.plan.window, practitioners=(practitioner,), appointment_type=None)
    )
    assert answer.complete, answer.missing
    return answer.items


def booked(outcome: Outcome) -> str:
    """The id of what was booked, once it is certain that it was."""
    assert outcome.confirmed
    assert outcome.settled
    assert outcome.proof is not None
    assert outcome.proof.level is ProofLevel.VERIFIED
    assert outcome.proof.exclusive in {Exclusive.ENFORCED, Exclusive.CHECKED}
    assert {"start", "end", "patient", "practitioner", "location"} <= set(outcome.proof.compared)
    assert outcome.appointment is not None
    return outcome.appointment.id


# finding


async def test_every_free_slot_of_the_window_once_and_in_order(
    target: Target, make_desk: MakeDesk
) -> None:
    plan = Plan()
    target.seed(plan)
    async with make_desk(target) as desk:
        answer = await desk.find_slots(SlotQuery(plan.window))
        assert answer.complete, answer.missing
        assert set(found(answer)) == plan.expected
        assert len(answer.items) == len(plan.expected)
        assert [s.start for s in answer] == sorted(s.start for s in answer)
        assert {s.duration for s in answer} == {HALF}
        assert {s.location for s in answer} == {"main"}
        assert all(s.as_of and s.token for s in answer)

        start = min(at for _, at in plan.expected)
        narrow = await desk.find_slots(SlotQuery(Window(start, start + HALF)))
        assert {at for _, at in found(narrow)} == {start}
        later = await desk.find_slots(SlotQuery(Window(start + timedelta(seconds=1), start + HALF)))
        assert later.none
        one = await desk.find_slots(SlotQuery(plan.window, practitioners=("dr-2",)))
        assert set(found(one)) == {f for f in plan.expected if f[0] == "dr-2"}


async def test_more_slots_than_a_page_holds(target: Target, make_desk: MakeDesk) -> None:
    plan = Plan(days=4, hours=((time(8), time(12)), (time(13), time(17))))
    target.seed(plan)
    assert len(plan.expected) == 128
    async with make_desk(target, page_size=25) as desk:
        answer = await desk.find_slots(SlotQuery(plan.window))
    assert answer.complete, answer.missing
    assert sorted(found(answer)) == sorted(plan.expected)


# booking


async def test_a_booking_is_verified_and_stands_once(target: Target, make_desk: MakeDesk) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        slot = (await slots_of(target, desk))[2]
        outcome = await desk.book(slot, "pat-1", key="call 1")
        id_ = booked(outcome)
        assert target.standing() == [id_]
        assert target.standing(start=slot.start, patient="pat-1") == [id_]
        assert not target.offers(slot)
        after = await slots_of(target, desk)
        assert slot.start not in {s.start for s in after}

        assert await desk.book(slot, "pat-1", key="call 1") == outcome
        with pytest.raises(KeyReused):
            await desk.book(slot, "pat-2", key="call 1")
    async with make_desk(target) as desk:  # another process would see the same file
        assert await desk.book(slot, "pat-1", key="call 1") == outcome
        assert await desk.outcome("call 1") == outcome
    assert target.standing() == [id_]


async def test_a_token_and_an_offer_book_the_slot_they_stand_for(
    target: Target, make_desk: MakeDesk
) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        first, second, *_ = await slots_of(target, desk)
        assert first.token is not None
        by_token = await desk.book(first.token, "pat-1", key="token")
        (offer,) = await desk.offer([second], conversation="c")
        by_code = await desk.book(offer.code.lower(), "pat-2", key="offer", conversation="c")
    assert target.standing(start=first.start, patient="pat-1") == [booked(by_token)]
    assert target.standing(start=second.start, patient="pat-2") == [booked(by_code)]


async def test_taken_comes_with_three_alternatives(target: Target, make_desk: MakeDesk) -> None:
    target.seed(Plan())
    async with make_desk(target) as first, make_desk(target, journal="other.db") as second:
        slot = (await slots_of(target, first))[2]
        id_ = booked(await first.book(slot, "pat-1", key="k"))
        with pytest.raises(SlotTaken) as refusal:
            await second.book(slot, "pat-2", key="k")
        alternatives = refusal.value.alternatives
        assert len(alternatives) == 3
        assert len({a.identity for a in alternatives}) == 3
        assert all(
            (a.practitioner, a.start.astimezone(UTC)) in target.plan.expected for a in alternatives
        )
        assert slot.start not in {a.start for a in alternatives}
        assert target.standing() == [id_]

        with pytest.raises(SlotTaken):  # a refusal stays one: a new try is a new key
            await second.book(slot, "pat-2", key="k")
        booked(await second.book(alternatives[0], "pat-2", key="k2"))
    assert len(target.standing()) == 2


# moving and cancelling


@contextmanager
def never_without(target: Target, patient: str) -> Iterator[list[int]]:
    """How many standing appointments the patient has, looked at all the time."""
    counts: list[int] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.005):
            counts.append(len(target.standing(patient=patient)))

    watch = threading.Thread(target=look)
    watch.start()
    try:
        yield counts
    finally:
        done.set()
        watch.join()


async def test_moving_never_loses_the_place_and_frees_the_old_slot(
    target: Target, make_desk: MakeDesk
) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        old, _, _, new, *_ = await slots_of(target, desk)
        first = booked(await desk.book(old, "pat-1", key="book"))
        with never_without(target, "pat-1") as counts:
            moved = await desk.reschedule(first, new, key="move")
        assert len(counts) > 1
        assert min(counts) >= 1
        id_ = booked(moved)
        assert target.standing(patient="pat-1") == [id_]
        assert target.standing(start=new.start) == [id_]
        assert moved.old_slot is OldSlot.FREED
        assert not moved.old_standing
        offered = {s.start for s in await slots_of(target, desk)}
        assert old.start in offered
        assert new.start not in offered
        assert await desk.reschedule(first, new, key="move") == moved
        assert (await desk.outcome("book")).since == "moved"

        booked(await desk.book(old, "pat-2", key="the next caller"))
        back = (await slots_of(target, desk))[-1]
        again = booked(await desk.reschedule(first, back, key="by the old id"))
    assert target.standing(patient="pat-1") == [again]


async def test_moving_to_a_taken_slot_leaves_everything_as_it_was(
    target: Target, make_desk: MakeDesk
) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk, make_desk(target, journal="other.db") as other:
        old, _, _, new, *_ = await slots_of(target, desk)
        first = booked(await desk.book(old, "pat-1", key="book"))
        second = booked(await other.book(new, "pat-2", key="book"))
        with never_without(target, "pat-1") as counts, pytest.raises(SlotTaken):
            await desk.reschedule(first, new, key="move")
    assert set(counts) == {1}
    assert target.standing(patient="pat-1") == [first]
    assert target.standing(patient="pat-2") == [second]


async def test_a_cancelled_slot_is_offered_again(target: Target, make_desk: MakeDesk) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        slot = (await slots_of(target, desk))[2]
        first = booked(await desk.book(slot, "pat-1", key="book"))
        outcome = await desk.cancel(first, key="cancel", reason="feels better")
        assert outcome.confirmed
        assert outcome.level is ProofLevel.VERIFIED
        assert target.standing() == []
        assert target.offers(slot)
        assert slot.start in {s.start for s in await slots_of(target, desk)}
        assert await desk.cancel(first, key="cancel", reason="feels better") == outcome
        assert (await desk.outcome("book")).since == "cancelled"
        again = booked(await desk.book(slot, "pat-2", key="the next caller"))
    assert target.standing(start=slot.start) == [again]


async def test_appointments_of_a_patient_and_of_a_practitioner(
    target: Target, make_desk: MakeDesk
) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        one, two, three, *_ = await slots_of(target, desk)
        a = booked(await desk.book(one, "pat-1", key="a"))
        b = booked(await desk.book(two, "pat-2", key="b"))
        c = booked(await desk.book(three, "pat-1", key="c"))
        await desk.cancel(c, key="not c")

        mine = await desk.appointments(AppointmentQuery(patient="pat-1"))
        assert mine.complete
        assert [(x.id, x.status) for x in mine] == [
            (a, AppointmentStatus.BOOKED),
            (c, AppointmentStatus.CANCELLED),
        ]
        standing = await desk.appointments(
            AppointmentQuery(patient="pat-1", include_cancelled=False)
        )
        assert [x.id for x in standing] == [a]
        doctor = Resource(ResourceKind.PRACTITIONER, "dr-1")
        day = await desk.appointments(
            AppointmentQuery(resource=doctor, window=target.plan.window, include_cancelled=False)
        )
        assert [x.id for x in day] == [a, b]
        other = Resource(ResourceKind.PRACTITIONER, "dr-2")
        assert (
            await desk.appointments(AppointmentQuery(resource=other, window=target.plan.window))
        ).none
        assert (await desk.appointment(b)).patient == "pat-2"


# people


async def test_none_one_and_many_are_three_answers(target: Target, make_desk: MakeDesk) -> None:
    target.seed(Plan())
    async with make_desk(target) as desk:
        one = await desk.find_patient(replace(PEOPLE[0], telecom=()))
        assert one.level is MatchLevel.ONE
        assert one.patient is not None
        assert one.patient.id == "pat-1"
        twins = Patient(name=HumanName("Tremblo"), birth_date=PEOPLE[1].birth_date)
        assert (await desk.find_patient(twins)).level is MatchLevel.MANY
        lea = await desk.find_patient(PEOPLE[2])
        assert lea.patient is not None
        assert lea.patient.id == "pat-3"
        other_day = replace(PEOPLE[0], birth_date=date(1991, 2, 3))
        assert (await desk.find_patient(other_day)).level is MatchLevel.NONE


async def test_a_person_is_registered_once(target: Target, make_desk: MakeDesk) -> None:
    target.seed(Plan())
    newcomer = person("Okonjo", "Ada", date(2001, 12, 31), "+1 212 555 0144")
    async with make_desk(target) as desk:
        made = await desk.register_patient(newcomer, key="r")
        assert made.id is not None
        assert (await desk.register_patient(newcomer, key="r")).id == made.id
        assert (await desk.register_patient(newcomer, key="another call")).id == made.id
        assert (await desk.register_patient(PEOPLE[0], key="known")).id == "pat-1"
        with pytest.raises(Rejected):
            await desk.register_patient(
                Patient(name=HumanName("Tremblo"), birth_date=PEOPLE[1].birth_date), key="twin"
            )
        slot, *_ = await slots_of(target, desk)
        id_ = booked(await desk.book(slot, newcomer, key="as a person"))
    assert target.standing(patient=made.id) == [id_]


# time


ZONES = [
    ("America/New_York", date(2027, 3, 13)),
    ("America/New_York", date(2027, 11, 6)),
    ("Australia/Lord_Howe", date(2027, 4, 3)),
    ("Australia/Lord_Howe", date(2027, 10, 2)),
    ("America/Santiago", date(2027, 4, 2)),
    ("America/Santiago", date(2027, 9, 4)),
    ("Asia/Kathmandu", date(2027, 3, 13)),
]
COUNTS = {
    ("America/New_York", 3): 60 - 2,
    ("America/New_York", 11): 60 + 2,
    ("Australia/Lord_Howe", 4): 60 + 1,
    ("Australia/Lord_Howe", 10): 60 - 1,
    ("America/Santiago", 4): 60 + 2,
    ("America/Santiago", 9): 60 - 2,
    ("Asia/Kathmandu", 3): 60,
}


@pytest.mark.parametrize(("zone", "first"), ZONES, ids=lambda v: str(v).rpartition("/")[2])
async def test_windows_over_a_transition(
    target: Target, make_desk: MakeDesk, zone: str, first: date
) -> None:
    """Three days around it, open from midnight to six and from eight in the evening to midnight."""
    night = ((time(0), time(6)), (time(20), time(0)))
    plan = Plan(zone, practitioners=("dr-1",), first=first, days=3, hours=night)
    assert len(plan.expected) == COUNTS[zone, first.month]
    target.seed(plan)
    there = ZoneInfo(zone)
    async with make_desk(target, page_size=30) as desk:
        answer = await desk.find_slots(SlotQuery(plan.window))
        assert answer.complete, answer.missing
        assert sorted(found(answer)) == sorted(plan.expected)
        for slot in answer:
            wall = slot.start.astimezone(there)
            assert slot.start.utcoffset() == wall.utcoffset()
            assert slot.duration == HALF
            assert wall.minute in (0, 30)
            assert wall.hour < 6 or wall.hour >= 20

        # Two slots with one wall time are two slots: booking the later leaves the earlier free.
        walls = [s.start.replace(tzinfo=None) for s in answer]
        twice = [s for s in answer if walls.count(s.start.replace(tzinfo=None)) == 2]
        assert len(twice) == 2 * max(0, COUNTS[zone, first.month] - 60)
        later = twice[-1] if twice else answer.items[0]
        booked(await desk.book(later, "pat-1", key="k"))
        assert len(target.standing(start=later.start)) == 1
        left = {s.start.astimezone(UTC) for s in await slots_of(target, desk)}
        assert left == {at for _, at in plan.expected} - {later.start.astimezone(UTC)}
