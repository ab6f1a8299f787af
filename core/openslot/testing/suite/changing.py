"""Laws 6 and 13: cancel, move and update, without losing a place or what is not understood."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from openslot.connector import Claim
from openslot.errors import NotFound, SlotTaken, Stale
from openslot.model import (
    AppointmentStatus,
    AppointmentUpdate,
    CancelRequest,
    RescheduleRequest,
    Slot,
    Window,
)
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench, key
from openslot.testing.suite.expect import counted, one_of
from openslot.testing.suite.wire import Seen

__all__ = ["Changing"]

UNKNOWN = "openslotUnknownMember"


class Changing(Suite):
    """`cancel`, `reschedule`, `update_appointment`, `confirm`."""

    @check(4, "cancel", "book")
    async def test_cancel_cancels(self, bench: Bench) -> None:
        """A cancelled appointment does not stand, and keeps its record.

        If it fails: use the vendor's cancellation, not a deletion.
        """
        id, record = await self._booked(bench, await bench.slot())
        await bench.connector.cancel(CancelRequest(bench.intent(), id))
        assert not bench.standing(), "it stands after it was cancelled"
        assert bench.shown(record).status is AppointmentStatus.CANCELLED, (
            "the record of a cancelled appointment does not say so"
        )

    @check(4, "cancel", "book")
    async def test_cancelling_twice_is_fine(self, bench: Bench) -> None:
        """Cancelling a cancelled appointment answers it as it stands.

        If it fails: the vendor's "already cancelled" is no error.
        """
        id, _ = await self._booked(bench, await bench.slot())
        await bench.connector.cancel(CancelRequest(bench.intent(), id))
        written = await (await bench.another()).cancel(CancelRequest(bench.intent(), id))
        assert written.id in (None, id), "another appointment was answered"
        assert not bench.standing(), "it stands after it was cancelled"

    @check(7, "cancel", "book", "find_slots", claims=("frees_slot_on_cancel",))
    async def test_cancel_gives_the_time_back(self, bench: Bench) -> None:
        """After a cancellation the time is offered again.

        If it fails: free what you claimed, or set `frees_slot_on_cancel` to NO and say so in notes.
        """
        slot = await bench.slot(1)
        id, _ = await self._booked(bench, slot)
        await bench.connector.cancel(CancelRequest(bench.intent(), id))
        assert key(slot) in bench.free(Window(slot.start, slot.end)), (
            "the practice's system still has the time as taken"
        )
        assert key(slot) in counted(
            await bench.slots(Window(bench.start, bench.start + timedelta(days=1)))
        ), "the time of a cancelled appointment is not offered again"

    @check(8, "cancel")
    async def test_cancelling_nothing_is_not_found(self, bench: Bench) -> None:
        """An id that the vendor does not have is NotFound.

        If it fails: map the vendor's 404 to NotFound.
        """
        with one_of(NotFound, what="cancelling an appointment that does not exist"):
            await bench.connector.cancel(CancelRequest(bench.intent(), "nothing-here"))

    @check(7, "cancel", "book", "get_appointment")
    async def test_cancel_sees_what_changed_meanwhile(self, bench: Bench) -> None:
        """Under a version that is not current any more, nothing is cancelled: Stale.

        If it fails: send the version (If-Match), or compare it with what you read just before.
        """
        id, record = await self._booked(bench, await bench.slot())
        version = (await bench.connector.get_appointment(id)).version
        if version is None:
            bench.not_applicable("the vendor's appointments have no version")
        bench.annotate(record)
        with one_of(Stale, what="cancelling under an old version"):
            await bench.connector.cancel(CancelRequest(bench.intent(), id, version=version))
        assert len(bench.standing()) == 1, "it was cancelled under an old version"

    @check(6, "reschedule", "book")
    async def test_reschedule_moves(self, bench: Bench) -> None:
        """One appointment stands afterwards, the same patient's, at the new time.

        If it fails: move in the vendor's own way; where it has none, do not override `reschedule`.
        """
        old, new = await bench.slot(1), await bench.slot(5)
        id, _ = await self._booked(bench, old)
        request = RescheduleRequest(bench.intent(), id, new)
        written = await bench.connector.reschedule(request)
        standing = bench.standing()
        assert len(standing) == 1, f"{len(standing)} appointments stand after a move"
        assert standing[0].start == new.start, "it is not at the new time"
        assert bench.vendor_id("patient", str(standing[0].patient)) == bench.people.patients[0], (
            "it is another patient's after the move"
        )
        now = bench.vendor_id("appointment", standing[0].id)
        assert written.id in (None, now), "the id that was answered is another record's"
        if bench.connector.traits.id_changes_on_move is Claim.NO:
            assert now == id, "id_changes_on_move is NO, and the id changed"
        elif now != id and written.id is not None:
            assert written.replaces == id, "the new id does not say which one it replaces"
        if bench.connector.traits.frees_slot_on_cancel is Claim.YES:
            assert key(old) in bench.free(Window(old.start, old.end)), (
                "the old time is not free after the move"
            )

    @check(6, "reschedule", "book", claims=("conflict_enforcement",))
    async def test_reschedule_onto_a_taken_slot_keeps_the_place(self, bench: Bench) -> None:
        """Where the new time is taken, it is SlotTaken, and the old appointment stands.

        If it fails: cancel nothing before the new time is yours.
        """
        old, new = await bench.slot(1), await bench.slot(5)
        id, record = await self._booked(bench, old)
        bench.take(new)
        with one_of(SlotTaken, what="moving onto a slot that is taken"):
            await bench.connector.reschedule(RescheduleRequest(bench.intent(), id, new))
        kept = bench.shown(record)
        assert kept.status.takes_time, "the patient's place is gone"
        assert kept.start == old.start, "the old appointment is at another time"

    @check(6, "reschedule", "book", claims=("atomic_reschedule",), wire=True)
    async def test_reschedule_has_a_place_at_every_instant(self, bench: Bench) -> None:
        """After each request of a move, the patient has a place.

        If it fails: the trait `atomic_reschedule` is not true.
        """
        old, new = await bench.slot(1), await bench.slot(5)
        id, _ = await self._booked(bench, old)
        counts: list[int] = []
        bench.wire.watch = lambda: counts.append(len(bench.standing()))
        await bench.connector.reschedule(RescheduleRequest(bench.intent(), id, new))
        assert min(counts) == max(counts) == 1, f"appointments after each request: {counts}"

    @check(4, "update_appointment", "book", "get_appointment")
    async def test_update_changes_what_was_asked(self, bench: Bench) -> None:
        """The comment changes; time, patient and status stay.

        If it fails: send only what changes, or everything as it was read.
        """
        slot = await bench.slot()
        id, record = await self._booked(bench, slot)
        before = bench.shown(record)
        update = AppointmentUpdate(bench.intent(), id, comment="Please ring twice")
        await bench.connector.update_appointment(update)
        after = bench.shown(record)
        assert after.comment == "Please ring twice", "the comment was not written"
        assert (after.start, after.patient, after.status, after.identifiers) == (
            before.start,
            before.patient,
            before.status,
            before.identifiers,
        ), "something else changed as well"

    @check(13, "update_appointment", "book", wire=True)
    async def test_update_keeps_what_it_does_not_understand(self, bench: Bench) -> None:
        """A member of the record that the connector does not know is there after a full update.

        If it fails: change a copy of the document that you read; do not build it from the model.
        """
        id, _ = await self._booked(bench, await bench.slot())
        update = AppointmentUpdate(bench.intent(), id, comment="Please ring twice")
        await self._keeps_unknown(bench, id, bench.connector.update_appointment(update))

    @check(13, "cancel", "book", wire=True)
    async def test_cancel_keeps_what_it_does_not_understand(self, bench: Bench) -> None:
        """A cancellation that is a full update keeps unknown members too.

        If it fails: as for updates.
        """
        id, _ = await self._booked(bench, await bench.slot())
        cancel = bench.connector.cancel(CancelRequest(bench.intent(), id))
        await self._keeps_unknown(bench, id, cancel)

    @check(4, "confirm", "book")
    async def test_confirm_leaves_the_appointment_standing(self, bench: Bench) -> None:
        """A confirmed appointment stands as it stood.

        If it fails: confirming is the patient's word that they come; it books nothing.
        """
        id, record = await self._booked(bench, await bench.slot())
        await bench.connector.confirm(id)
        assert [a.id for a in bench.standing()] == [record], "confirming changed what stands"

    async def _booked(self, bench: Bench, slot: Slot) -> tuple[str, str]:
        """An appointment that this connector made: its id as vendor and as clinic have it."""
        await bench.connector.book(bench.request(slot))
        record = bench.standing()[0].id
        return bench.vendor_id("appointment", record), record

    async def _keeps_unknown(self, bench: Bench, id: str, work: Any) -> None:
        def add(seen: Seen, document: Any) -> Any:
            for record in _records(document, id):
                record[UNKNOWN] = {"kept": True}
            return document

        bench.wire.forget()
        bench.wire.alter = add
        await work
        full = [
            record
            for seen in bench.wire.seen
            if seen.method == "PUT" and seen.target.partition("?")[0].endswith(f"/{id}")
            if isinstance(record := _json(seen.body), dict)
        ]
        if not full:
            bench.not_applicable("it sends no full update")
        assert all(UNKNOWN in record for record in full), (
            "a member that the connector does not know was dropped from a full update"
        )


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


def _records(document: Any, id: str) -> Any:
    """Every object in a document whose `id` is this."""
    if isinstance(document, dict):
        if str(document.get("id")) == id:
            yield document
        for value in list(document.values()):
            yield from _records(value, id)
    elif isinstance(document, list):
        for value in document:
            yield from _records(value, id)
