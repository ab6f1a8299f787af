"""The clinic through the contract: what the connector adds, and what it must not lose."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from clinic.support import Clock, at, small_clinic
from pydantic import ValidationError

from openslot.call import call
from openslot.clinic import Manners
from openslot.connector import VERBS, Claim, Traits
from openslot.errors import (
    ConfigError,
    DeadlineExceeded,
    NotFound,
    OutcomeUnknown,
    Rejected,
    SlotTaken,
    Stale,
    Unavailable,
    Unsupported,
)
from openslot.model import (
    AppointmentQuery,
    AppointmentStatus,
    AppointmentUpdate,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    ConflictQuery,
    HoldRequest,
    HumanName,
    Patient,
    PatientQuery,
    ProofLevel,
    RescheduleRequest,
    Resource,
    ResourceKind,
    Slot,
    SlotQuery,
    VisitMode,
    Window,
    from_json,
    to_json,
)
from openslot_connectors.local.connector import LocalConnector
from openslot_connectors.local.settings import LocalSettings

DAY = Window(at(0), at(0, day=9))
ANN = Resource(ResourceKind.PRACTITIONER, "ann")


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "clinic.db"
    small_clinic(path).close()
    return str(path)


@pytest.fixture
async def local(file: str) -> AsyncIterator[LocalConnector]:
    async with open_local(file) as connector:
        yield connector


def open_local(database: str, **settings: int) -> LocalConnector:
    return LocalConnector(
        LocalSettings(database=database, **settings), zone=ZoneInfo("UTC"), clock=Clock()
    )


async def first(connector: LocalConnector, kind: str = "visit", who: str = "ann") -> Slot:
    found = await connector.find_slots(SlotQuery(DAY, kind, practitioners=(who,)))
    assert found.complete
    return found.items[0]


async def test_find_book_taken_move_cancel(local: LocalConnector) -> None:
    slot = await first(local)
    assert (slot.start, slot.practitioner, slot.location) == (at(9), "ann", "main")
    assert (slot.source, slot.as_of) == ("local", local.clock.now())
    slot = from_json(Slot, to_json(slot))  # as it arrives from another service
    booked = await local.book(BookingRequest("one", slot, "pat-1", comment="c"))
    assert (booked.level, booked.version) == (ProofLevel.WRITTEN, "1")
    assert booked.id is not None
    read = await local.get_appointment(booked.id)
    assert read == booked.appointment
    assert (read.start, read.patient, read.appointment_type) == (slot.start, "pat-1", "visit")
    with pytest.raises(SlotTaken):
        await local.book(BookingRequest("two", slot, "pat-2"))
    again = await local.book(BookingRequest("one", slot, "pat-1"))
    assert again.id == booked.id
    assert [a.id for a in await local.find_booking(BookingQuery("one"))] == [booked.id]
    assert (await local.find_booking(BookingQuery("none"))).none
    conflicts = await local.find_conflicts(ConflictQuery(Window(slot.start, slot.end), (ANN,)))
    assert [a.id for a in conflicts] == [booked.id]

    later = await first(local)
    assert later.start == at(9, 30)
    moved = await local.reschedule(RescheduleRequest("m", booked.id, later, version="1"))
    assert (moved.id, moved.replaces, moved.version) == (booked.id, None, "2")
    assert (await first(local)).start == at(9)
    with pytest.raises(Stale):
        await local.cancel(CancelRequest("c", booked.id, version="1"))
    updated = await local.update_appointment(AppointmentUpdate("u", booked.id, reason="pain"))
    assert updated.appointment is not None
    assert (updated.appointment.reason, updated.appointment.comment) == ("pain", "c")
    await local.confirm(booked.id)
    cancelled = await local.cancel(CancelRequest("c", booked.id, reason="conflict"))
    assert cancelled.appointment is not None
    assert cancelled.appointment.status is AppointmentStatus.CANCELLED
    assert (await local.find_conflicts(ConflictQuery(DAY, (ANN,)))).none
    listed = await local.list_appointments(AppointmentQuery(patient="pat-1"))
    assert [a.status for a in listed] == [AppointmentStatus.CANCELLED]
    standing = AppointmentQuery(resource=ANN, window=DAY, include_cancelled=False)
    assert (await local.list_appointments(standing)).none


async def test_holds(local: LocalConnector) -> None:
    slot = await first(local)
    hold = await local.hold(HoldRequest("h", slot))
    assert not hold.emulated
    assert hold.expires == local.clock.now() + timedelta(minutes=5)
    with pytest.raises(SlotTaken):
        await local.hold(HoldRequest("other", slot))
    booked = await local.book(BookingRequest("one", hold.slot, "pat-1", hold=hold.id))
    assert booked.id is not None
    await local.release(hold)
    other = await local.hold(HoldRequest("h2", await first(local)))
    await local.release(other)
    assert (await first(local)).start == other.slot.start


async def test_people_and_places(local: LocalConnector) -> None:
    assert [p.id for p in await local.list_practitioners()] == ["ann", "bea"]
    assert [place.zone for place in await local.list_locations()] == ["UTC"]
    types = {t.id: t for t in await local.list_appointment_types()}
    assert types["roomed"].visit_modes == (VisitMode.IN_PERSON, VisitMode.VIDEO)
    assert (await local.list_reasons()).none
    assert await local.booking_requirements(await first(local)) == ()
    new = Patient(name=HumanName("Quolanti", ("Quo",)), birth_date=date(1990, 1, 1))
    registered = await local.create_patient(new, intent="p")
    assert await local.create_patient(new, intent="p") == registered
    found = await local.find_patients(PatientQuery(family="quolanti"))
    assert found.items == (registered,)
    assert (await local.find_patients(PatientQuery(family="nobody"))).none
    for n in range(60):
        await local.create_patient(
            Patient(name=HumanName("Manyfold", (f"N{n}",))), intent=f"many-{n}"
        )
    many = await local.find_patients(PatientQuery(family="manyfold"))
    assert len(many.items) == 50
    assert not many.complete


async def test_changes(local: LocalConnector) -> None:
    now = await local.changes()
    assert now.items == ()
    await local.book(BookingRequest("one", await first(local), "pat-1"))
    after = await local.changes(now.cursor)
    assert {change.type for change in after.items} == {"Appointment", "Slot"}
    with pytest.raises(Stale):
        await local.changes("yesterday")


async def test_a_slot_that_was_altered_is_stale(local: LocalConnector) -> None:
    slot = await first(local)
    later = replace(slot, start=slot.start + timedelta(minutes=15))
    for altered in (later, replace(slot, ref="x"), replace(slot, ref=None, id=None, location=None)):
        with pytest.raises(Stale):
            await local.book(BookingRequest("one", altered, "pat-1"))
    with pytest.raises(Rejected):
        await local.book(BookingRequest("one", slot, "pat-1", appointment_type="padded"))
    bare = replace(slot, ref=None, id=None, appointment_type=None)
    booked = await local.book(BookingRequest("one", bare, "pat-1", appointment_type="visit"))
    assert booked.id is not None


async def test_unknown_ids_are_not_an_empty_answer(local: LocalConnector) -> None:
    for query in (
        SlotQuery(DAY, "nothing"),
        SlotQuery(DAY, practitioners=("nobody",)),
        SlotQuery(DAY, locations=("nowhere",)),
    ):
        with pytest.raises(NotFound):
            await local.find_slots(query)
    nobody = Resource(ResourceKind.PRACTITIONER, "nobody")
    with pytest.raises(NotFound):
        await local.find_conflicts(ConflictQuery(DAY, (nobody,)))
    with pytest.raises(NotFound):
        await local.get_appointment("apt-99")


async def test_every_write_says_so_before_it_happens(local: LocalConnector, file: str) -> None:
    """The hook has run while the file still holds nothing; where the hook fails, nothing will."""
    steps: list[tuple[str, int]] = []

    async def on_send(step: str) -> None:
        db = sqlite3.connect(file)
        steps.append((step, db.execute("SELECT COUNT(*) FROM change").fetchone()[0]))
        db.close()
        if len(steps) > 9:
            raise RuntimeError("the journal cannot be written")

    slot = await first(local)
    with call(on_send=on_send):
        hold = await local.hold(HoldRequest("h", slot))
        await local.release(hold)
        booked = await local.book(BookingRequest("one", slot, "pat-1"))
        assert booked.id is not None
        await local.reschedule(RescheduleRequest("m", booked.id, await first(local)))
        await local.update_appointment(AppointmentUpdate("u", booked.id, comment="c"))
        await local.confirm(booked.id)
        await local.cancel(CancelRequest("c", booked.id))
        await local.create_patient(Patient(name=HumanName("Quolanti")), intent="p")
        last = await local.book(BookingRequest("two", slot, "pat-1"))
        assert [step for step, _ in steps] == [
            "hold",
            "release",
            "book",
            "reschedule",
            "update_appointment",
            "confirm",
            "cancel",
            "create_patient",
            "book",
        ]
        counts = [count for _, count in steps]
        assert counts == sorted(set(counts))
        assert last.id is not None
        with pytest.raises(RuntimeError):
            await local.cancel(CancelRequest("lost", last.id))
    assert (await local.get_appointment(last.id)).status is AppointmentStatus.BOOKED


class StuckClock(Clock):
    """A clock of the machine's own pace for deadlines, standing still for the clinic."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


async def test_a_deadline_ends_the_wait_not_the_write(local: LocalConnector, file: str) -> None:
    """Another process holds the file: the write waits its turn, the caller does not."""
    slot = await first(local)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with call(clock=StuckClock(), seconds=0.1), pytest.raises(OutcomeUnknown) as unknown:
        await local.book(BookingRequest("one", slot, "pat-1"))
    assert unknown.value.sent is True
    # The thread is busy, so this one never begins: nothing was sent, and that is known.
    with call(clock=StuckClock(), seconds=0.1), pytest.raises(DeadlineExceeded) as unsent:
        await local.book(BookingRequest("two", slot, "pat-2"))
    assert unsent.value.sent is False
    other.execute("COMMIT")
    other.close()
    found = await local.find_booking(BookingQuery("one"))
    assert [a.start for a in found] == [slot.start]
    assert (await local.find_booking(BookingQuery("two"))).none


async def test_a_cancelled_caller_leaves_a_whole_write(local: LocalConnector, file: str) -> None:
    slot = await first(local)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = asyncio.Event()

    async def on_send(step: str) -> None:
        started.set()

    async def book() -> None:
        with call(on_send=on_send):
            await local.book(BookingRequest("one", slot, "pat-1"))

    task = asyncio.create_task(book())
    await started.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    other.execute("COMMIT")
    other.close()
    assert len((await local.find_booking(BookingQuery("one"))).items) == 1


async def test_no_time_left_is_nothing_sent(local: LocalConnector) -> None:
    clock = Clock()
    with call(clock=clock, seconds=1):
        clock.at += timedelta(seconds=2)
        with pytest.raises(DeadlineExceeded) as late:
            await local.find_slots(SlotQuery(DAY))
        assert late.value.sent is False
        with pytest.raises(DeadlineExceeded) as late:
            await local.cancel(CancelRequest("c", "apt-1"))
        assert late.value.sent is False


async def test_fifty_callers_one_slot(local: LocalConnector, file: str) -> None:
    """Through two connectors, as two processes would: one booked, 49 taken."""
    slot = await first(local)
    async with open_local(file) as other:

        async def one(number: int) -> str:
            through = other if number % 2 else local
            try:
                await through.book(BookingRequest(f"i{number}", slot, f"pat-{1 + number % 2}"))
            except SlotTaken:
                return "taken"
            return "won"

        answers = await asyncio.gather(*map(one, range(50)))
    assert sorted(answers) == ["taken"] * 49 + ["won"]
    assert len((await local.find_conflicts(ConflictQuery(DAY, (ANN,)))).items) == 1


async def test_synthetic_and_in_memory() -> None:
    async with open_local(":memory:", synthetic=3) as local:
        found = await local.find_slots(SlotQuery(DAY, "new", new_patient=True))
        assert found.complete
        assert len(found.items) > 10
        new = Patient(name=HumanName("Quolanti", ("Quo",)), birth_date=date(1990, 1, 1))
        booked = await local.book(BookingRequest("one", found.items[0], new))
        assert booked.appointment is not None
        assert booked.appointment.patient == "pat-51"
        assert ResourceKind.ROOM in {r.kind for r in booked.appointment.resources}
        with pytest.raises(Rejected):
            await local.book(BookingRequest("two", found.items[-1], "pat-1"))


async def test_probe_and_closing(tmp_path: Path, file: str) -> None:
    local = open_local(file)
    report = await local.probe()
    assert report.server is not None
    assert report.traits == LocalConnector.info.traits
    await local.aclose()
    await local.aclose()
    with pytest.raises(Unavailable):
        await local.list_locations()
    (tmp_path / "text").write_text("no database" * 1000)
    async with open_local(str(tmp_path / "text")) as broken:
        with pytest.raises(ConfigError, match="cannot be opened"):
            await broken.probe()


async def test_a_file_that_allows_overlaps_is_not_praised(tmp_path: Path) -> None:
    path = tmp_path / "bad.db"
    small_clinic(path, manners=Manners(enforce_conflicts=False)).close()
    async with open_local(str(path)) as local:
        await local.probe()
        assert local.traits.conflict_enforcement is Claim.NO
    assert LocalConnector.info.traits.conflict_enforcement is Claim.YES


async def test_what_it_is(local: LocalConnector) -> None:
    assert LocalConnector.verbs() == set(VERBS) - {"booking_url", "parse_webhook"}
    with pytest.raises(Unsupported):
        await local.booking_url(await first(local))
    unproven = {
        name for name, value in LocalConnector.info.traits.as_dict().items() if value == "unproven"
    }
    assert unproven == set()
    assert LocalConnector.info.traits != Traits()
    (found,) = entry_points(group="openslot.connectors", name="local")
    assert found.load() is LocalConnector
    with pytest.raises(ValidationError):
        LocalSettings(databse="x")  # type: ignore[call-arg]


def test_the_clinic_needs_no_more_than_the_standard_library() -> None:
    heavy = "httpx pydantic sqlalchemy fhir rich click"
    code = (
        "import sys, openslot.clinic, openslot.clinic.synthetic as s\n"
        "s.synthetic_clinic().close()\n"
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
