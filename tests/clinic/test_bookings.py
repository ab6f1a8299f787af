"""What a clinic promises of its bookings."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from clinic.support import MINUTE, Clock, at, slot, small_clinic
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from openslot.clinic import INTENT_SYSTEM, Clinic, Manners, VisitType, WeeklyHours
from openslot.errors import (
    AskAgain,
    ConfigError,
    KeyReused,
    NotFound,
    OpenSlotError,
    Rejected,
    RejectedReason,
    SlotTaken,
    Stale,
)
from openslot.model import (
    Answer,
    AppointmentStatus,
    ContactPoint,
    ContactSystem,
    HumanName,
    Identifier,
    Location,
    Patient,
    PatientQuery,
    Practitioner,
    Question,
    SlotStatus,
    VisitMode,
    Window,
)

S = AppointmentStatus
DAY = Window(at(0), at(0, day=9))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def clinic(clock: Clock) -> Iterator[Clinic]:
    with small_clinic(clock=clock) as clinic:
        yield clinic


@pytest.fixture
def empty(clock: Clock) -> Iterator[Clinic]:
    with Clinic(clock=clock) as clinic:
        yield clinic


def free(clinic: Clinic, kind: str = "visit", who: str = "ann", **more: object) -> list[str]:
    found = clinic.openings(DAY, type=kind, practitioners=(who,), **more)  # type: ignore[arg-type]
    return [opening.slot.start.strftime("%H:%M") for opening in found]


def test_a_booking_takes_its_time_and_nobody_elses(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1", intent="one", reason="checkup")
    assert booked.status is S.BOOKED
    assert (booked.start, booked.end) == (at(10), at(10, 30))
    assert booked.identifiers == (Identifier(INTENT_SYSTEM, "one"),)
    assert (booked.practitioner, booked.location, booked.version) == ("ann", "main", "1")
    assert booked.slots == (slot(10),)
    assert clinic.get_appointment(booked.id) == booked
    assert not {"09:45", "10:00", "10:15"} & set(free(clinic))
    assert {"09:30", "10:30"} <= set(free(clinic))
    assert "10:00" in free(clinic, who="bea")
    for overlapping in (slot(9, 45), slot(10), slot(10, 15)):
        with pytest.raises(SlotTaken) as taken:
            clinic.book(overlapping, "pat-2")
        assert taken.value.sent is False


def test_an_intent_is_carried_out_once(clinic: Clinic) -> None:
    first = clinic.book(slot(10), "pat-1", intent="one")
    assert clinic.book(slot(10), "pat-1", intent="one").id == first.id
    with pytest.raises(KeyReused):
        clinic.book(slot(11), "pat-1", intent="one")
    clinic.cancel(first.id)
    assert clinic.book(slot(10), "pat-1", intent="one").status is S.CANCELLED
    assert [a.id for a in clinic.by_intent("one")] == [first.id]
    moved = clinic.book(slot(12), "pat-1", intent="two")
    for _ in range(2):
        assert clinic.reschedule(moved.id, slot(13), intent="three").version == "2"
    assert len(clinic.appointments()) == 2


def test_a_refused_booking_leaves_nothing(clinic: Clinic) -> None:
    clinic.book(slot(10), "pat-1")
    before = clinic.changes(None).cursor
    new = Patient(name=HumanName("Xandroki", ("Xan",)))
    with pytest.raises(SlotTaken):
        clinic.book(slot(10), new, intent="lost")
    assert clinic.changes(None).cursor == before
    assert clinic.find_patients(PatientQuery(family="Xandroki")) == ()
    # A new try with the same intent is a first use: nothing stands for it.
    assert clinic.book(slot(11), new, intent="lost").start == at(11)


def test_moving_onto_its_own_time(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    moved = clinic.reschedule(booked.id, slot(10, 15), version=booked.version)
    assert (moved.id, moved.start, moved.version) == (booked.id, at(10, 15), "2")
    assert {"09:45", "10:45"} <= set(free(clinic))
    assert not {"10:00", "10:15", "10:30"} & set(free(clinic))
    assert "10:00" in free(clinic, ignore_appointment=moved.id)
    assert [(e.what, e.start) for e in clinic.history(moved.id)] == [
        ("booked", at(10)),
        ("moved", at(10, 15)),
    ]


def test_a_failed_move_leaves_the_appointment_where_it_was(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    clinic.book(slot(12), "pat-2")
    with pytest.raises(SlotTaken):
        clinic.reschedule(booked.id, slot(12))
    with pytest.raises(Stale):
        clinic.reschedule(booked.id, slot(20))
    assert clinic.get_appointment(booked.id).start == at(10)
    with pytest.raises(SlotTaken):
        clinic.book(slot(10), "pat-2")


def test_a_version_that_is_not_current_is_stale(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    clinic.update(booked.id, comment="bring the results", version="1")
    for write in (
        lambda: clinic.reschedule(booked.id, slot(11), version="1"),
        lambda: clinic.cancel(booked.id, version="1"),
        lambda: clinic.update(booked.id, comment="x", version="1"),
        lambda: clinic.set_status(booked.id, S.ARRIVED, version="1"),
    ):
        with pytest.raises(Stale):
            write()
    assert clinic.cancel(booked.id, version="2").version == "3"


def test_cancelling_frees_the_time_once(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    cancelled = clinic.cancel(booked.id, reason="conflict", intent="c")
    assert (cancelled.status, cancelled.cancellation_reason) == (S.CANCELLED, "conflict")
    assert "10:00" in free(clinic)
    other = clinic.book(slot(10), "pat-2")
    assert clinic.cancel(booked.id, reason="other") == cancelled
    assert clinic.get_appointment(other.id).status is S.BOOKED
    assert "10:00" not in free(clinic)


def test_notice_and_horizon(clinic: Clinic, clock: Clock) -> None:
    clock.at = at(9)
    assert free(clinic, "soon")[0] == "11:00"
    with pytest.raises(Rejected) as late:
        clinic.book(slot(10, 45, kind="soon"), "pat-1")
    assert late.value.reason is RejectedReason.NOTICE
    clinic.book(slot(11, kind="soon"), "pat-1")
    far = Window(at(0, day=8) + timedelta(days=29), at(0, day=8) + timedelta(days=40))
    last = clinic.openings(far, type="visit")[-1].slot.start
    assert last == at(9) + timedelta(days=30)
    beyond = f"ann.main.visit.{int((last + 15 * MINUTE).timestamp())}"
    with pytest.raises(Rejected) as early:
        clinic.book(beyond, "pat-1")
    assert early.value.reason is RejectedReason.HORIZON
    assert clinic.book(beyond, "pat-1", staff=True).status is S.BOOKED


def test_what_is_not_offered_is_stale(clinic: Clinic) -> None:
    for opening in (slot(8), slot(10, 7), slot(16, 45), slot(10, day=13), "nonsense", "a.b.c.d"):
        with pytest.raises(Stale):
            clinic.book(opening, "pat-1")
        with pytest.raises(NotFound):
            clinic.opening(opening)
    assert clinic.book(slot(8), "pat-1", staff=True).start == at(8)


def test_buffers_are_shared_with_nobody(clinic: Clinic) -> None:
    clinic.book(slot(10, kind="padded"), "pat-1")
    assert {"09:15", "10:45"} <= set(free(clinic))
    assert not {"09:30", "10:30"} & set(free(clinic))
    with pytest.raises(SlotTaken):
        clinic.book(slot(10, 30), "pat-2")


def test_one_room_for_two_practitioners(clinic: Clinic) -> None:
    first = clinic.book(slot(10, kind="roomed"), "pat-1", visit_mode=VisitMode.IN_PERSON)
    assert [r.id for r in first.resources] == ["ann", "room"]
    assert "10:00" not in free(clinic, "roomed", "bea")
    assert "10:00" in free(clinic, "roomed", "bea", visit_mode=VisitMode.VIDEO)
    with pytest.raises(SlotTaken):
        clinic.book(slot(10, kind="roomed", who="bea"), "pat-2", visit_mode=VisitMode.IN_PERSON)
    video = clinic.book(slot(10, kind="roomed", who="bea"), "pat-2", visit_mode=VisitMode.VIDEO)
    assert [r.id for r in video.resources] == ["bea"]
    assert [a.id for a in clinic.appointments(resource="room")] == [first.id]


def test_a_group_has_so_many_places(clinic: Clinic) -> None:
    people = [
        clinic.create_patient(Patient(name=HumanName(f"Group{n}", ("Gro",)))).id for n in range(4)
    ]
    for left, person in zip((3, 2, 1), people, strict=False):
        assert person is not None
        opening = clinic.opening(slot(10, kind="group"))
        assert (opening.slot.status, opening.slot.capacity) == (SlotStatus.FREE, left)
        assert "10:00" in free(clinic, "group")
        clinic.book(slot(10, kind="group"), person)
        assert "10:00" not in free(clinic)
    assert "10:00" not in free(clinic, "group")
    with pytest.raises(SlotTaken):
        clinic.book(slot(10, kind="group"), str(people[3]))


def test_a_person_is_in_one_place_at_a_time(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    with pytest.raises(Rejected) as conflict:
        clinic.book(slot(10, 15, who="bea"), "pat-1")
    assert conflict.value.reason is RejectedReason.PATIENT_CONFLICT
    moving = clinic.book(slot(10, 15, who="bea"), "pat-1", ignore_appointment=booked.id)
    assert clinic.cancel(booked.id).status is S.CANCELLED
    assert clinic.get_appointment(moving.id).status is S.BOOKED


def test_holds_end_by_the_clock(clinic: Clinic, clock: Clock) -> None:
    hold = clinic.hold(slot(10), intent="h")
    assert hold.expires == clock.at + timedelta(minutes=5)
    assert clinic.hold(slot(10), intent="h") == hold
    assert clinic.opening(slot(10)).slot.status is SlotStatus.BUSY_TENTATIVE
    with pytest.raises(SlotTaken):
        clinic.book(slot(10), "pat-2")
    clock.at += timedelta(minutes=4, seconds=59)
    assert "10:00" not in free(clinic)
    clock.at += timedelta(seconds=1)
    assert "10:00" in free(clinic)
    assert clinic.book(slot(10), "pat-2").status is S.BOOKED
    with pytest.raises(SlotTaken):
        clinic.book(slot(10), "pat-1", hold=hold.id)


def test_a_hold_becomes_a_booking_or_is_given_back(clinic: Clinic) -> None:
    hold = clinic.hold(slot(10))
    assert clinic.book(slot(10), "pat-1", hold=hold.id).start == at(10)
    other = clinic.hold(slot(12))
    with pytest.raises(Stale):
        clinic.book(slot(13), "pat-1", hold=other.id)
    clinic.release(other.id)
    clinic.release(other.id)
    assert "12:00" in free(clinic)


def test_a_claim_is_taken_over_by_its_own_booking(clinic: Clinic) -> None:
    before = clinic.opening(slot(10))
    assert (before.version, before.marker, before.slot.status) == (1, None, SlotStatus.FREE)
    claimed = clinic.claim(slot(10), marker="m", version=1)
    assert (claimed.version, claimed.marker, claimed.slot.status) == (2, "m", SlotStatus.BUSY)
    with pytest.raises(Stale):
        clinic.claim(slot(10), marker="other", version=1)
    with pytest.raises(SlotTaken):
        clinic.claim(slot(10), marker="other")
    with pytest.raises(SlotTaken):
        clinic.book(slot(10), "pat-2", marker="other")
    assert clinic.claim(slot(10), marker="m") == claimed
    booked = clinic.book(slot(10), "pat-1", marker="m")
    after = clinic.opening(slot(10))
    assert (after.version, after.marker, after.slot.status) == (3, None, SlotStatus.BUSY)
    with pytest.raises(Rejected):
        clinic.unclaim(slot(10), marker="m")
    clinic.cancel(booked.id)
    assert clinic.opening(slot(10)).slot.status is SlotStatus.FREE


def test_claims_given_back_and_claims_without_a_marker(clinic: Clinic) -> None:
    clinic.claim(slot(10), marker="m")
    with pytest.raises(Rejected):
        clinic.unclaim(slot(10), marker="other")
    with pytest.raises(Stale):
        clinic.unclaim(slot(10), marker="m", version=1)
    assert clinic.unclaim(slot(10), marker="m", version=2).slot.status is SlotStatus.FREE
    assert clinic.unclaim(slot(10), marker="m").version == 3
    clinic.claim(slot(11))
    assert [block.opening for block in clinic.blocks(DAY)] == [slot(11)]
    assert clinic.book(slot(11), "pat-1").start == at(11)
    assert clinic.blocks(DAY) == ()


def test_taken_openings_can_be_listed(clinic: Clinic) -> None:
    clinic.book(slot(9), "pat-1")
    clinic.hold(slot(10))
    clinic.claim(slot(11), marker="m")
    listed = {
        o.id: o
        for o in clinic.openings(DAY, type="visit", practitioners=("ann",), include_taken=True)
    }
    assert len(listed) == 31
    status = {key: opening.slot.status for key, opening in listed.items()}
    assert status[slot(9)] is SlotStatus.BUSY
    assert status[slot(10)] is SlotStatus.BUSY_TENTATIVE
    assert (status[slot(11)], listed[slot(11)].marker) == (SlotStatus.BUSY, "m")
    assert status[slot(12)] is SlotStatus.FREE
    for key, opening in listed.items():
        alone = clinic.opening(key)
        assert (alone.slot.status, alone.version) == (opening.slot.status, opening.version)


def test_blocks_are_busy_time(clinic: Clinic) -> None:
    block = clinic.add_block(("ann", "room"), at(12), at(13), reason="lunch")
    assert not {"11:45", "12:00", "12:45"} & set(free(clinic))
    assert "12:00" in free(clinic, who="bea")
    assert "12:00" not in free(clinic, "roomed", "bea")
    with pytest.raises(SlotTaken):
        clinic.add_block(("ann",), at(12, 30), at(14))
    assert clinic.blocks(DAY) == (block,)
    clinic.remove_block(block.id)
    assert "12:00" in free(clinic)


def test_manners_of_a_badly_behaved_vendor(tmp_path: Path) -> None:
    path = tmp_path / "clinic.db"
    bad = Manners(enforce_conflicts=False, frees_slot_on_cancel=False, bookings_pend=True)
    with small_clinic(path, manners=bad) as clinic:
        first = clinic.book(slot(10), "pat-1")
        assert first.status is S.PENDING
        assert clinic.book(slot(10), "pat-1").id != first.id
        assert clinic.set_status(first.id, S.BOOKED).status is S.BOOKED
        alone = clinic.book(slot(12), "pat-2", intent="i")
        clinic.cancel(alone.id)
        assert "12:00" not in free(clinic)
        assert clinic.unclaim(slot(12)).slot.status is SlotStatus.FREE
    with small_clinic(path) as clinic:
        assert not clinic.enforces_conflicts
    with small_clinic(path, manners=Manners()) as clinic, pytest.raises(SlotTaken):
        clinic.book(slot(10), "pat-2")


def test_statuses_follow_each_other(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1")
    assert clinic.confirm(booked.id).version == "2"
    assert clinic.confirm(booked.id).version == "2"
    assert clinic.set_status(booked.id, S.ARRIVED).status is S.ARRIVED
    with pytest.raises(Rejected):
        clinic.reschedule(booked.id, slot(11))
    clinic.set_status(booked.id, S.FULFILLED)
    with pytest.raises(Rejected):
        clinic.cancel(booked.id)
    clinic.set_status(booked.id, S.ENTERED_IN_ERROR)
    assert "10:00" in free(clinic)
    with pytest.raises(Rejected):
        clinic.set_status(booked.id, S.BOOKED)


def test_types_ask_and_choose_their_patients(clinic: Clinic) -> None:
    clinic.add_type(
        VisitType(
            "first",
            "First visit",
            30 * MINUTE,
            existing_patients=False,
            questions=(Question("ref", "Who sent you?"), Question("x", "?", required=False)),
        )
    )
    clinic.add_type(VisitType("desk", "By phone only", 30 * MINUTE, bookable_online=False))
    new = Patient(name=HumanName("Quolanti", ("Quo",)), birth_date=date(1990, 1, 1))
    with pytest.raises(Rejected) as missing:
        clinic.book(slot(10, kind="first"), new)
    assert (missing.value.reason, missing.value.fields) == (RejectedReason.MISSING_FIELD, ("ref",))
    with pytest.raises(Rejected):
        clinic.book(slot(10, kind="first"), "pat-1", answers=(Answer("ref", "nobody"),))
    booked = clinic.book(slot(10, kind="first"), new, answers=(Answer("ref", "nobody"),))
    assert booked.patient == "pat-3"
    assert free(clinic, "first", new_patient=False) == []
    assert free(clinic, "desk") == []
    with pytest.raises(Rejected) as offline:
        clinic.book(slot(12, kind="desk"), "pat-1")
    assert offline.value.reason is RejectedReason.NOT_BOOKABLE_ONLINE


def test_what_an_appointment_says_can_change(clinic: Clinic) -> None:
    booked = clinic.book(slot(10), "pat-1", intent="i", reason="pain", comment="c")
    mark = Identifier("urn:x", "1")
    changed = clinic.update(booked.id, type="soon", comment="d", identifiers=(mark,))
    assert (changed.appointment_type, changed.reason, changed.comment) == ("soon", "pain", "d")
    assert changed.identifiers == (Identifier(INTENT_SYSTEM, "i"), mark)
    assert clinic.appointments(identifier=mark) == (changed,)
    with pytest.raises(Rejected):
        clinic.update(booked.id, type="group")


def test_patients_are_found_by_what_is_said(clinic: Clinic) -> None:
    one = clinic.create_patient(
        Patient(
            name=HumanName("Órlová", ("Ana Brí",)),
            birth_date=date(1980, 2, 29),
            telecom=(
                ContactPoint(ContactSystem.PHONE, "+1 (212) 555-0142"),
                ContactPoint(ContactSystem.EMAIL, "Ana@Example.org"),
            ),
            identifiers=(Identifier("urn:mrn", "7"),),
        ),
        intent="p",
    )
    assert clinic.create_patient(Patient(name=HumanName("Other")), intent="p") == one
    for query in (
        PatientQuery(family="orlova"),
        PatientQuery(family="orl", given="ANA"),
        PatientQuery(phone="212.555.0142"),
        PatientQuery(email="ana@example.org", birth_date=date(1980, 2, 29)),
        PatientQuery(identifier=Identifier("urn:mrn", "7")),
        PatientQuery(id=one.id),
    ):
        assert clinic.find_patients(query) == (one,)
    assert clinic.find_patients(PatientQuery(family="orlova", birth_date=date(1980, 3, 1))) == ()
    with pytest.raises(Rejected):
        clinic.find_patients(PatientQuery())
    with pytest.raises(Rejected) as again:
        clinic.create_patient(
            Patient(name=HumanName("ORLOVA", ("ana bri",)), birth_date=one.birth_date)
        )
    assert again.value.reason is RejectedReason.DUPLICATE_PATIENT
    assert "orlova" not in str(again.value).lower()


def test_the_feed_tells_everything_once_and_forgets_nothing(clinic: Clinic) -> None:
    cursor = clinic.changes(None).cursor
    booked = clinic.book(slot(10), "pat-1")
    clinic.cancel(booked.id)
    whole = clinic.changes(cursor)
    assert [(c.kind.value, c.type, c.id) for c in whole.items if c.type == "Appointment"] == [
        ("created", "Appointment", booked.id),
        ("updated", "Appointment", booked.id),
    ]
    assert clinic.changes(cursor) == whole
    pieces, more = [], True
    while more:
        piece = clinic.changes(cursor, limit=1)
        pieces += piece.items
        cursor, more = piece.cursor, piece.more
    assert tuple(pieces) == whole.items
    with pytest.raises(ValueError, match="cursor"):
        clinic.changes("1; DROP")


def test_the_file_itself_refuses_an_overlap(tmp_path: Path) -> None:
    """Whoever writes to it, with whatever program."""
    path = tmp_path / "clinic.db"
    with small_clinic(path) as clinic:
        clinic.book(slot(10), "pat-1")
    low = int(at(10).timestamp())
    other = sqlite3.connect(path)
    insert = "INSERT INTO taken VALUES ('x', 'ann', ?, ?, NULL, 1, NULL)"
    for start, stop in ((low, low + 60), (low - 60, low + 1), (low - 60, low + 9999)):
        with pytest.raises(sqlite3.IntegrityError, match="taken"):
            other.execute(
                "INSERT INTO taken VALUES ('x', 'ann', ?, ?, NULL, 1, NULL)", (start, stop)
            )
    other.execute(insert, (low - 60, low))
    with pytest.raises(sqlite3.IntegrityError, match="taken"):
        other.execute("UPDATE taken SET stop = ? WHERE owner = 'x'", (low + 1,))
    other.close()


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    with pytest.raises(ConfigError):
        Clinic(path)
    (tmp_path / "text").write_text("this is no database at all" * 100)
    with pytest.raises(ConfigError):
        Clinic(tmp_path / "text")
    with pytest.raises(ConfigError):
        Clinic(tmp_path / "no" / "such" / "folder" / "clinic.db")


def test_a_write_inside_another_fails_alone(clinic: Clinic) -> None:
    clinic.book(slot(10), "pat-1")
    new = Patient(name=HumanName("Wendrola", ("Wen",)))
    with clinic.transaction():
        with pytest.raises(SlotTaken):
            clinic.book(slot(10), new)
        with pytest.raises(Rejected):  # found out after the time was taken
            clinic.book(slot(10, who="bea"), "pat-1")
        clinic.book(slot(11), "pat-2")
    assert "10:00" in free(clinic, who="bea")
    assert clinic.find_patients(PatientQuery(family="Wendrola")) == ()
    assert "11:00" not in free(clinic)

    def fail() -> None:
        with clinic.transaction():
            clinic.book(slot(12), "pat-2")
            clinic.book(slot(20), "pat-2")

    with pytest.raises(Stale):
        fail()
    assert "12:00" in free(clinic)


def test_a_transition_day_in_the_clinic(empty: Clinic) -> None:
    clinic = empty
    clinic.add_location(Location("ny", "New York", "America/New_York"))
    clinic.add_practitioner(Practitioner("night", "Dr. Night"))
    clinic.set_hours("night", "ny", (WeeklyHours(6, time(0), time(4)),))
    clinic.add_type(VisitType("visit", "Visit", 60 * MINUTE, step=60 * MINUTE))
    patient = clinic.create_patient(Patient(name=HumanName("Zedroxa"))).id
    for day, expected in (
        (date(2027, 3, 14), ["00:00-0500", "01:00-0500", "03:00-0400"]),
        (date(2027, 11, 7), ["00:00-0400", "01:00-0400", "01:00-0500", "02:00-0500", "03:00-0500"]),
    ):
        low = datetime(day.year, day.month, day.day, tzinfo=UTC)
        found = clinic.openings(Window(low, low + timedelta(days=1)))
        assert [o.slot.start.strftime("%H:%M%z") for o in found] == expected
        for opening in found:
            booked = clinic.book(opening.id, str(patient))
            assert booked.start is not None
            assert booked.start.strftime("%H:%M%z") == opening.slot.start.strftime("%H:%M%z")


class AnyOrder(RuleBasedStateMachine):
    """Whatever is done in whatever order: no resource is taken twice, and the books agree."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.clinic = small_clinic(clock=self.clock)
        self.holds: list[str] = []

    starts = st.integers(0, 8).map(lambda n: (9 + n // 4, n % 4 * 15))
    kinds = st.sampled_from(["visit", "padded", "roomed", "group"])
    people = st.sampled_from(["ann", "bea"])

    def attempt(self, work: object) -> object:
        try:
            return work()  # type: ignore[operator]
        except AskAgain:
            return None

    @rule(start=starts, kind=kinds, who=people, patient=st.sampled_from(["pat-1", "pat-2"]))
    def book(self, start: tuple[int, int], kind: str, who: str, patient: str) -> None:
        opening = slot(*start, kind=kind, who=who)
        offered = opening in {o.id for o in self.clinic.openings(DAY, type=kind)}
        try:
            self.clinic.book(opening, patient)
        except SlotTaken:
            assert not offered, "what is offered is not taken"
        except OpenSlotError:
            pass
        else:
            assert offered, "what is booked was offered"

    @rule(start=starts, kind=kinds, who=people, pick=st.integers(0, 20))
    def move(self, start: tuple[int, int], kind: str, who: str, pick: int) -> None:
        found = self.clinic.appointments()
        if found:
            id = found[pick % len(found)].id
            self.attempt(lambda: self.clinic.reschedule(id, slot(*start, kind=kind, who=who)))

    @rule(pick=st.integers(0, 20))
    def cancel(self, pick: int) -> None:
        found = self.clinic.appointments()
        if found:
            self.attempt(lambda: self.clinic.cancel(found[pick % len(found)].id))

    @rule(start=starts, kind=kinds, who=people)
    def hold(self, start: tuple[int, int], kind: str, who: str) -> None:
        self.attempt(lambda: self.clinic.hold(slot(*start, kind=kind, who=who)))

    @rule(start=starts, kind=kinds, who=people, marker=st.sampled_from([None, "m", "n"]))
    def claim(self, start: tuple[int, int], kind: str, who: str, marker: str | None) -> None:
        self.attempt(lambda: self.clinic.claim(slot(*start, kind=kind, who=who), marker=marker))

    @rule(start=starts, kind=kinds, who=people)
    def unclaim(self, start: tuple[int, int], kind: str, who: str) -> None:
        self.attempt(lambda: self.clinic.unclaim(slot(*start, kind=kind, who=who)))

    @rule(minutes=st.integers(1, 4))
    def wait(self, minutes: int) -> None:
        self.clock.at += timedelta(minutes=minutes)

    @invariant()
    def nothing_is_taken_twice(self) -> None:
        rows = self.clinic._all("SELECT * FROM taken ORDER BY resource, start, stop")
        for one, two in pairwise(rows):
            if one["resource"] == two["resource"] and two["start"] < one["stop"]:
                assert one["share"] is not None
                assert one["share"] == two["share"]

    @invariant()
    def every_appointment_that_stands_has_its_time(self) -> None:
        owners = {row["owner"] for row in self.clinic._all("SELECT owner FROM taken")}
        for appointment in self.clinic.appointments():
            assert (appointment.id in owners) is appointment.status.takes_time

    def teardown(self) -> None:
        self.clinic.close()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
