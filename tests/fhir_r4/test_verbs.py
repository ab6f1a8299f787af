"""The verbs against two FHIR servers over HTTP: our sandbox, and one that others wrote."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta

import pytest

from fhir_r4.kit import DAY, Place
from openslot.errors import NotFound, SlotTaken, Stale, Unsupported
from openslot.model import (
    AppointmentQuery,
    AppointmentStatus,
    AppointmentUpdate,
    BookingQuery,
    CancelRequest,
    ConflictQuery,
    ContactPoint,
    ContactSystem,
    HoldRequest,
    HumanName,
    Patient,
    PatientQuery,
    Resource,
    ResourceKind,
    SlotQuery,
    Window,
)
from openslot_connectors.fhir.profile import INTENT_SYSTEM
from openslot_connectors.fhir.reference import markers


async def test_find_slots_of_a_practitioner_and_type(place: Place) -> None:
    async with place.connect() as fhir:
        slots = await place.free(fhir)
        assert len(slots) >= 4
        for slot in slots:
            assert DAY.contains(slot.start)
            assert slot.practitioner == place.practitioner
            assert slot.location is not None
            assert slot.appointment_type is not None
            assert slot.appointment_type.endswith("follow-up")
        assert len({s.id for s in slots}) == len(slots)


async def test_pages_of_any_size_hold_the_same_slots(place: Place) -> None:
    found = []
    for size in (3, 7, 200):
        async with place.connect(page_size=size) as fhir:
            found.append([s.id for s in await place.free(fhir)])
    assert found[0] == found[1] == found[2]


async def test_book_read_back_cancel_and_free_again(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        written = await fhir.book(place.request(slot, reason="cough", comment="first floor"))
        assert written.id is not None
        read = await fhir.get_appointment(written.id)
        assert read.status is AppointmentStatus.BOOKED
        assert (read.start, read.end) == (slot.start, slot.end)
        assert read.patient == place.patient
        assert read.practitioner == slot.practitioner
        assert read.location == slot.location
        assert read.appointment_type == slot.appointment_type
        assert read.slots == (slot.id,)
        assert read.reason == "cough"
        assert slot.id not in {s.id for s in await place.free(fhir)}

        done = await fhir.cancel(CancelRequest("cancel-1", written.id, reason="no time"))
        assert done.appointment is not None
        assert done.appointment.status is AppointmentStatus.CANCELLED
        assert (await fhir.get_appointment(written.id)).cancellation_reason == "no time"
        assert slot.id in {s.id for s in await place.free(fhir)}
        again = await fhir.cancel(CancelRequest("cancel-2", written.id, reason="another"))
        assert again.appointment is not None
        assert again.appointment.cancellation_reason == "no time"


async def test_the_same_intent_again_is_the_same_appointment(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        first = await fhir.book(place.request(slot))
    async with place.connect() as fhir:
        second = await fhir.book(place.request(slot))
        found = await fhir.find_booking(BookingQuery("intent-1"))
        assert first.id == second.id
        assert [a.id for a in found] == [first.id]
    assert slot.id is not None
    assert len(place.appointments(slot.id)) == 1


async def test_a_taken_slot_is_slot_taken_and_leaves_nothing(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        await fhir.book(place.request(slot))
        with pytest.raises(SlotTaken):
            await fhir.book(place.request(slot, "intent-2"))
        assert (await fhir.find_booking(BookingQuery("intent-2"))).none


async def test_a_slot_that_is_gone_is_stale(place: Place) -> None:
    from dataclasses import replace

    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        with pytest.raises(Stale):
            await fhir.book(place.request(replace(slot, id="no-such-slot")))
        moved = replace(
            slot, start=slot.start - timedelta(minutes=5), end=slot.end - timedelta(minutes=5)
        )
        with pytest.raises(Stale):
            await fhir.book(place.request(moved))


async def test_fifty_at_once_on_one_slot_one_wins(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]

    async def one(number: int) -> bool:
        async with place.connect(attempts=10) as own:
            try:
                await own.book(place.request(slot, f"racer-{number}"))
            except SlotTaken:
                return False
            return True

    results = await asyncio.gather(*(one(n) for n in range(50)))
    assert sum(results) == 1
    assert slot.id is not None
    standing = place.appointments(slot.id)
    assert len(standing) == 1
    assert markers(place.get(f"Slot/{slot.id}")) == markers(standing[0])


async def test_cancel_leaves_a_slot_that_is_another_s(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        assert slot.id is not None
        first = await fhir.book(place.request(slot))
        assert first.id is not None
        await fhir.cancel(CancelRequest("c", first.id))
        second = await fhir.book(place.request(slot, "intent-2"))
        await fhir.cancel(CancelRequest("c-again", first.id))
        assert place.get(f"Slot/{slot.id}")["status"] == "busy"
        assert [a["id"] for a in place.appointments(slot.id)] == [second.id]


async def test_a_cancelled_intent_is_not_booked_again(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        first = await fhir.book(place.request(slot))
        assert first.id is not None
        await fhir.cancel(CancelRequest("c", first.id))
        again = await fhir.book(place.request(slot))
        assert again.id == first.id
        assert again.appointment is not None
        assert again.appointment.status is AppointmentStatus.CANCELLED


async def test_conflicts_and_lists_by_resource_and_patient(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[1]
        booked = await fhir.book(place.request(slot))
        middle = slot.start + timedelta(minutes=10)
        inside = Window(middle, middle + timedelta(minutes=1))
        dr = Resource(ResourceKind.PRACTITIONER, place.practitioner)
        found = await fhir.find_conflicts(ConflictQuery(inside, (dr,)))
        assert found.complete
        assert booked.id in {a.id for a in found}
        other = Resource(ResourceKind.PRACTITIONER, "dr-2")
        assert (await fhir.find_conflicts(ConflictQuery(inside, (other,)))).none
        by_patient = await fhir.list_appointments(AppointmentQuery(patient=place.patient))
        assert booked.id in {a.id for a in by_patient}
        by_resource = await fhir.list_appointments(AppointmentQuery(resource=dr, window=inside))
        assert booked.id in {a.id for a in by_resource}
        assert slot.schedule is not None
        schedule = Resource(ResourceKind.SCHEDULE, slot.schedule)
        by_schedule = await fhir.find_conflicts(ConflictQuery(inside, (schedule,)))
        assert booked.id in {a.id for a in by_schedule}


async def test_an_inline_patient_is_registered_once(place: Place) -> None:
    person = Patient(
        name=HumanName("Newcomer", ("Grace",)),
        birth_date=date(1990, 5, 17),
        telecom=(ContactPoint(ContactSystem.PHONE, "+12125550199"),),
    )
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        written = await fhir.book(place.request(slot, patient=person))
        assert written.id is not None
        booked = await fhir.get_appointment(written.id)
        people = await fhir.find_patients(
            PatientQuery(family="Newcomer", birth_date=date(1990, 5, 17))
        )
        assert [p.id for p in people] == [booked.patient]
        again = await fhir.create_patient(person, intent="intent-1")
        assert again.id == booked.patient


async def test_people_are_found_by_name_birth_date_and_phone(place: Place) -> None:
    async with place.connect() as fhir:
        made = await fhir.create_patient(
            Patient(
                name=HumanName("Lookup", ("Alan",)),
                birth_date=date(1975, 1, 2),
                telecom=(ContactPoint(ContactSystem.PHONE, "+12125550123"),),
            ),
            intent="register-1",
        )
        for query in (
            PatientQuery(id=made.id),
            PatientQuery(family="lookup", birth_date=date(1975, 1, 2)),
            PatientQuery(phone="(212) 555-0123"),
        ):
            found = await fhir.find_patients(query)
            assert found.complete
            assert made.id in {p.id for p in found}
        nobody = await fhir.find_patients(
            PatientQuery(family="lookup", birth_date=date(1975, 1, 3))
        )
        assert nobody.none


async def test_people_and_places_are_listed(place: Place) -> None:
    async with place.connect() as fhir:
        assert place.practitioner in {p.id for p in await fhir.list_practitioners()}
        locations = await fhir.list_locations()
        assert any(loc.zone == "America/New_York" for loc in locations)
        slots = await place.free(fhir)
        types = await fhir.list_appointment_types()
        assert slots[0].appointment_type in {t.id for t in types}


async def test_a_change_keeps_what_is_not_understood(peer: Place) -> None:
    async with peer.connect() as fhir:
        slot = (await peer.free(fhir))[0]
        written = await fhir.book(peer.request(slot))
        assert slot.id is not None
        claimed = peer.get(f"Slot/{slot.id}")
        assert claimed["unknownMember"] == {"kept": True}
        assert claimed["comment"] == "as it was"
        raw = peer.get(f"Appointment/{written.id}")
        peer.put({**raw, "strange": {"member": 1}, "extension": [{"url": "u", "valueString": "v"}]})
        assert written.id is not None
        await fhir.update_appointment(AppointmentUpdate("u-1", written.id, comment="by lift"))
        await fhir.cancel(CancelRequest("c-1", written.id))
        after = peer.get(f"Appointment/{written.id}")
        assert after["strange"] == {"member": 1}
        assert after["extension"] == [{"url": "u", "valueString": "v"}]
        assert (after["comment"], after["status"]) == ("by lift", "cancelled")
        freed = peer.get(f"Slot/{slot.id}")
        assert freed["unknownMember"] == {"kept": True}
        assert freed["status"] == "free"
        assert "identifier" not in freed


async def test_an_old_version_is_stale(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        written = await fhir.book(place.request(slot))
        assert written.id is not None
        before = (await fhir.get_appointment(written.id)).version
        await fhir.update_appointment(AppointmentUpdate("u-1", written.id, comment="new"))
        with pytest.raises(Stale):
            await fhir.cancel(CancelRequest("c-1", written.id, version=before))
        with pytest.raises(NotFound):
            await fhir.cancel(CancelRequest("c-2", "no-such-appointment"))


async def test_holding_is_off_unless_the_settings_allow_it(place: Place) -> None:
    async with place.connect() as fhir:
        slot = (await place.free(fhir))[0]
        with pytest.raises(Unsupported):
            await fhir.hold(HoldRequest("h", slot))
        assert not fhir.capabilities.can("hold")
        assert not fhir.capabilities.can("reschedule")


async def test_a_hold_keeps_the_slot_until_it_is_released(place: Place) -> None:
    async with place.connect(holds=True) as fhir:
        slot = (await place.free(fhir))[0]
        hold = await fhir.hold(HoldRequest("h", slot))
        assert slot.id not in {s.id for s in await place.free(fhir)}
        with pytest.raises(SlotTaken):
            await fhir.book(place.request(slot, "stranger"))
        with pytest.raises(SlotTaken):
            await fhir.hold(HoldRequest("h-2", slot))
        await fhir.release(hold)
        await fhir.release(hold)
        assert slot.id in {s.id for s in await place.free(fhir)}


async def test_a_held_slot_is_booked_by_who_holds_it(peer: Place) -> None:
    async with peer.connect(holds=True) as fhir:
        slot = (await peer.free(fhir))[0]
        hold = await fhir.hold(HoldRequest("h", slot))
        written = await fhir.book(peer.request(slot, "own", hold=hold.id))
        assert slot.id is not None
        assert [a["id"] for a in peer.appointments(slot.id)] == [written.id]
        assert markers(peer.get(f"Slot/{slot.id}")) == ("own",)
        await fhir.release(hold)
        assert peer.get(f"Slot/{slot.id}")["status"] == "busy"


async def test_probes(place: Place) -> None:
    async with place.connect() as fhir:
        report = await fhir.probe()
        assert report.server
        assert report.skew is not None
        assert fhir.capabilities.can("book")
        before = await place.free(fhir)
        findings = await fhir.doctor_write_probe()
        assert findings[0].startswith("If-Match is enforced")
        assert findings[1] == "Slot.identifier is kept"
        assert [s.id for s in await place.free(fhir)] == [s.id for s in before]


async def test_several_windows_and_locations(place: Place) -> None:
    async with place.connect() as fhir:
        week = Window(DAY.start - timedelta(days=3), DAY.end + timedelta(days=2))
        everything = await fhir.find_slots(SlotQuery(week))
        assert everything.complete
        assert {s.practitioner for s in everything} >= {"dr-1", "dr-2"}
        where = everything.items[0].location
        assert where is not None
        there = await fhir.find_slots(SlotQuery(week, locations=(where,)))
        assert {s.location for s in there} == {where}
        nowhere = await fhir.find_slots(SlotQuery(week, locations=("no-such-place",)))
        assert nowhere.none
        assert [s.start for s in everything] == sorted(s.start for s in everything)
        assert INTENT_SYSTEM.startswith("urn:")
