"""Laws 1, 5 and 7: what is read back is what stands, whoever made it."""

from __future__ import annotations

from datetime import timedelta

from openslot.errors import NotFound
from openslot.model import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    BookingQuery,
    CancelRequest,
    ConflictQuery,
    Listing,
    Resource,
    ResourceKind,
    Slot,
    Window,
)
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench, key
from openslot.testing.suite.expect import failing_at_each_request, one_of

__all__ = ["Reading"]


class Reading(Suite):
    """`get_appointment`, `list_appointments`, `find_booking`, `find_conflicts`, directories."""

    @check(5, "get_appointment", "book")
    async def test_an_appointment_is_read_as_it_stands(self, bench: Bench) -> None:
        """Time, patient, practitioner, type and status of an appointment are read back.

        If it fails: law 5 verifies by these fields; map each that the vendor has.
        """
        slot = await bench.slot(1)
        theirs = bench.take(slot)
        got = await bench.connector.get_appointment(bench.vendor_id("appointment", theirs.id))
        assert key(got) == key(slot), "another time or practitioner is shown"
        assert got.patient == bench.people.patients[1], "another patient is shown, or none"
        assert got.status is AppointmentStatus.BOOKED, "a booked appointment is not read as booked"
        assert got.as_of is not None, "an appointment that was read has no as_of"
        assert got.source == type(bench.connector).info.name, (
            "an appointment does not say where it comes from"
        )

    @check(5, "get_appointment", "book")
    async def test_an_appointment_is_read_anew(self, bench: Bench) -> None:
        """What changed since the last reading is seen by the next.

        If it fails: cache no appointment, and go past the server's caches.
        """
        theirs = bench.take(await bench.slot())
        id = bench.vendor_id("appointment", theirs.id)
        assert (await bench.connector.get_appointment(id)).status is AppointmentStatus.BOOKED, (
            "a booked appointment is not read as booked"
        )
        bench.call_off(theirs.id)
        assert (await bench.connector.get_appointment(id)).status is AppointmentStatus.CANCELLED, (
            "the cancellation since the last reading is not seen"
        )

    @check(5, "get_appointment", "book")
    async def test_pending_is_read_as_pending(self, bench: Bench) -> None:
        """An appointment that waits for approval is not read as booked.

        If it fails: map each of the vendor's statuses; what is not known is not `booked`.
        """
        theirs = bench.take(await bench.slot())
        bench.set_status(theirs.id, AppointmentStatus.PENDING)
        got = await bench.connector.get_appointment(bench.vendor_id("appointment", theirs.id))
        assert not got.status.means_booked, f"a pending appointment is read as {got.status}"

    @check(8, "get_appointment")
    async def test_an_unknown_appointment_is_not_found(self, bench: Bench) -> None:
        """An id that the vendor does not have is NotFound.

        If it fails: map the vendor's 404, 410 or empty answer to NotFound.
        """
        with one_of(NotFound, what="reading an appointment that does not exist"):
            await bench.connector.get_appointment("nothing-here")

    @check(1, "list_appointments", "book", manners={"page_size": 5})
    async def test_a_patient_s_appointments_are_all_there(self, bench: Bench) -> None:
        """All appointments of a patient, over several pages, cancelled ones unless told otherwise.

        If it fails: read every page, of the past too; filter by patient and status yourself.
        """
        slots = await bench.slots(Window(bench.start, bench.start + timedelta(days=4)))
        mine = [bench.take(s, patient=1) for s in slots[:12]]
        bench.take(slots[13], patient=2)
        bench.call_off(mine[3].id)
        query = AppointmentQuery(patient=bench.people.patients[1])
        found = await bench.connector.list_appointments(query)
        assert found.complete, "a plain list was not complete"
        self._are(bench, found, mine)
        query = AppointmentQuery(patient=bench.people.patients[1], include_cancelled=False)
        found = await bench.connector.list_appointments(query)
        self._are(bench, found, [a for a in mine if a is not mine[3]])

    @check(1, "list_appointments", "book", claims=("lists_by_resource",))
    async def test_a_resource_s_appointments_are_all_there(self, bench: Bench) -> None:
        """All appointments of a practitioner in a window, whoever made them.

        If it fails: the trait `lists_by_resource` is not true, or the window is cut wrong.
        """
        slots = await bench.slots(Window(bench.start, bench.start + timedelta(days=2)))
        mine = [bench.take(s, patient=n % 3) for n, s in enumerate(slots[:4])]
        bench.take(slots[20], patient=3)
        window = Window(slots[0].start, slots[4].start)
        resource = Resource(ResourceKind.PRACTITIONER, bench.people.doctors[0])
        query = AppointmentQuery(resource=resource, window=window)
        self._are(bench, await bench.connector.list_appointments(query), mine)

    @check(1, "list_appointments", "book", wire=True, manners={"page_size": 5})
    async def test_a_failed_list_is_not_silence(self, bench: Bench) -> None:
        """Where a page of appointments cannot be read, the answer is an error, or says so.

        If it fails: put what failed under `missing`, or raise.
        """
        for slot in (await bench.slots(Window(bench.start, bench.start + timedelta(days=1))))[:7]:
            bench.take(slot)
        query = AppointmentQuery(patient=bench.people.patients[1])
        await failing_at_each_request(
            bench, "error-502", lambda c: c.list_appointments(query), lambda a: a.id
        )

    @check(4, "find_booking", "book", "cancel")
    async def test_a_cancelled_booking_is_found_by_its_marker(self, bench: Bench) -> None:
        """The record of an intent is found after it was cancelled, too.

        If it fails: search by marker without a status; what was undone must not look as if it
        never was.
        """
        request = bench.request(await bench.slot())
        written = await bench.connector.book(request)
        id = written.id or bench.vendor_id("appointment", bench.standing()[0].id)
        await bench.connector.cancel(CancelRequest(bench.intent(), id))
        found = await bench.connector.find_booking(BookingQuery(request.intent))
        assert [a.status for a in found] == [AppointmentStatus.CANCELLED], (
            "the cancelled record of the intent is not found"
        )

    @check(4, "find_booking", "book")
    async def test_another_s_booking_is_not_found_by_a_marker(self, bench: Bench) -> None:
        """A marker that nothing carries finds nothing, whoever has that time.

        If it fails: compare the marker here; servers drop filters that they do not know.
        """
        slot = await bench.slot()
        bench.take(slot)
        found = await bench.connector.find_booking(BookingQuery(bench.intent(), slot=slot))
        assert found.none, "somebody else's appointment was answered for our intent"

    @check(7, "find_conflicts", "book")
    async def test_conflicts_are_everybody_s(self, bench: Bench) -> None:
        """Every appointment that takes time of the resource: others', pending ones, and our own.

        If it fails: search by resource and time alone. Our own record must be seen too: a desk that
        does not see it cannot know whether it is alone.
        """
        slot = await bench.slot(1)
        pending = bench.take(await bench.slot(2), patient=2)
        bench.set_status(pending.id, AppointmentStatus.PENDING)
        written = await bench.connector.book(bench.request(slot))
        theirs = bench.take(await bench.slot(2), patient=3)
        found = await self._conflicts(bench, Window(slot.start, theirs.end or slot.end))
        ids = {bench.vendor_id("appointment", a.id) for a in bench.standing()}
        own = written.id or ids.pop()
        assert bench.vendor_id("appointment", pending.id) in {a.id for a in found}, (
            "a pending appointment is not seen as a conflict"
        )
        assert own in {a.id for a in found}, "our own record is not among the conflicts"
        assert {a.id for a in found} == ids | {own}, "the conflicts are not just those that stand"

    @check(7, "find_conflicts", "book", "cancel")
    async def test_what_takes_no_time_is_no_conflict(self, bench: Bench) -> None:
        """Cancelled, merely touching, and other practitioners' appointments are no conflicts.

        If it fails: `start < window.end and end > window.start`, status and resource.
        """
        before, slot = await bench.slot(1), await bench.slot(2)
        bench.take(before)
        cancelled = bench.take(slot)
        bench.call_off(cancelled.id)
        await self._take_elsewhere(bench, slot)
        found = await self._conflicts(bench, Window(slot.start, slot.end))
        assert found.none, f"{len(found.items)} appointments that take no time of it are answered"

    @check(1, "list_practitioners")
    async def test_practitioners_are_all_there(self, bench: Bench) -> None:
        """Everybody who sees patients is listed.

        If it fails: read every page.
        """
        bench.needs_all_known()
        found = await bench.connector.list_practitioners()
        assert {p.id for p in found} == set(bench.people.doctors), (
            "somebody is left out, or too many"
        )
        assert found.complete, "a plain list was not complete"

    @check(1, "list_locations")
    async def test_locations_are_all_there(self, bench: Bench) -> None:
        """Every place is listed, with its zone where the vendor has one.

        If it fails: read every page; a zone is an IANA name.
        """
        bench.needs_all_known()
        found = await bench.connector.list_locations()
        assert {p.id for p in found} == {bench.people.main, bench.people.east}, (
            "a place is left out, or too many"
        )
        assert {p.zone for p in found} <= {None, bench.zone.key}, "a place has another zone"

    @check(1, "list_appointment_types")
    async def test_types_are_all_there(self, bench: Bench) -> None:
        """Everything that can be booked is listed, its duration right where the vendor has one.

        If it fails: read every page; a duration is in the vendor's unit, often minutes.
        """
        bench.needs_all_known()
        found = await bench.connector.list_appointment_types()
        assert {t.id for t in found} == {bench.people.visit, bench.people.long}, (
            "a type is left out, or too many"
        )
        known = {bench.people.visit: timedelta(minutes=30), bench.people.long: timedelta(hours=1)}
        assert all(t.duration in (None, known[t.id]) for t in found), "a duration is wrong"

    async def _conflicts(self, bench: Bench, window: Window) -> Listing[Appointment]:
        resource = Resource(ResourceKind.PRACTITIONER, bench.people.doctors[0])
        connector = await bench.another()
        found = await connector.find_conflicts(ConflictQuery(window, (resource,)))
        assert found.complete, "a plain search was not complete"
        return found

    async def _take_elsewhere(self, bench: Bench, slot: Slot) -> None:
        others = await bench.slots(
            Window(slot.start, slot.end), practitioners=(bench.people.doctors[1],)
        )
        bench.take(others[0], patient=3)

    def _are(self, bench: Bench, found: Listing[Appointment], expected: list[Appointment]) -> None:
        ids = [a.id for a in found if a.id not in bench.before]
        wanted = [bench.vendor_id("appointment", a.id) for a in expected]
        assert len(ids) == len(set(ids)), "an appointment comes twice"
        lacking, extra = set(wanted) - set(ids), set(ids) - set(wanted)
        assert not lacking, f"{len(lacking)} of {len(wanted)} appointments are left out"
        assert not extra, f"{len(extra)} appointments do not belong into the answer"
