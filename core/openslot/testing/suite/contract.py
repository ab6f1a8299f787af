"""The contract itself: what every connector has, whatever its vendor can do."""

from __future__ import annotations

import inspect
from dataclasses import fields
from datetime import timedelta

from openslot.connector import VERBS, Connector, ConnectorInfo, Traits
from openslot.errors import Unsupported
from openslot.model import (
    AppointmentQuery,
    AppointmentUpdate,
    BookingQuery,
    CancelRequest,
    ConflictQuery,
    Hold,
    HoldRequest,
    Patient,
    PatientQuery,
    RescheduleRequest,
    Slot,
    SlotQuery,
)
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import one_of
from openslot.testing.suite.world import NOW, week

__all__ = ["Contract"]


class Contract(Suite):
    """Shapes, names and what is not there."""

    @check(0)
    async def test_verbs_are_coroutines(self, bench: Bench) -> None:
        """Every verb is a coroutine function, `parse_webhook` a plain one.

        If it fails: write `async def`; a decorator must return a coroutine function too, and a
        mixin's verbs count as the connector's own.
        """
        for verb in VERBS:
            asynchronous = inspect.iscoroutinefunction(getattr(type(bench.connector), verb))
            assert asynchronous is (verb != "parse_webhook"), f"{verb} is not `async def`"

    @check(0)
    async def test_info_says_who_it_is(self, bench: Bench) -> None:
        """`info` names connector, vendor and the document followed; notes are about real things.

        If it fails: complete `info`; its name is the entry point's and the sandbox's.
        """
        info = type(bench.connector).info
        assert isinstance(info, ConnectorInfo), "`info` is no ConnectorInfo"
        assert info.name == bench.name, "connector and sandbox have different names"
        assert info.title, "info.title is empty"
        assert info.documentation, "info.documentation names the vendor document that is followed"
        known = {*VERBS, *(f.name for f in fields(Traits))}
        assert info.notes.keys() <= known, f"notes on nothing: {info.notes.keys() - known}"

    @check(8)
    async def test_what_it_cannot_do_it_says_at_once(self, bench: Bench) -> None:
        """A verb that is not there, or not for this practice, raises Unsupported and sends nothing.

        If it fails: do not override a verb that the vendor lacks; where settings or the profile
        decide, `withhold` it and begin the verb with `self.require(verb)`.
        """
        can = bench.connector.capabilities
        for verb in VERBS:
            if can.can(verb):
                continue
            before = len(bench.wire.seen)
            with one_of(Unsupported, what=f"{verb}, which is not there") as caught:
                await _call(bench.connector, verb)
            assert caught[0].sent is not True, f"{verb} says that something was sent"
            sent = len(bench.wire.seen) - before
            assert sent == 0, f"{verb} sent {sent} requests before it said Unsupported"

    @check(0)
    async def test_probe_changes_nothing(self, bench: Bench) -> None:
        """`probe` looks, and writes nothing.

        If it fails: move what writes into `doctor_write_probe`, which only test practices see.
        """
        before = bench.mark()
        await bench.connector.probe()
        assert not bench.wrote_since(before), "probing wrote something"

    @check(0)
    async def test_closing_twice_is_fine(self, bench: Bench) -> None:
        """`aclose` may be called twice.

        If it fails: let `aclose` find what is closed already, and leave it.
        """
        other = await bench.another()
        await other.aclose()
        await other.aclose()

    @check(10)
    async def test_settings_keep_their_secret(self, bench: Bench) -> None:
        """No secret of the settings is in the text of connector or settings.

        If it fails: make every secret a `SecretStr`.
        """
        secret = bench.shared_secret
        if secret is None:
            bench.not_applicable("the server asks for no shared secret")
        shown = f"{bench.connector!r} {bench.connector.settings!r} {bench.connector.settings}"
        assert secret not in shown, "the secret is shown by repr"


def _slot() -> Slot:
    return Slot(NOW + timedelta(days=1), NOW + timedelta(days=1, minutes=30), id="slot-1")


async def _call(connector: Connector, verb: str) -> None:
    """Call any verb with something plausible."""
    slot, intent = _slot(), "suite-intent"
    if verb == "parse_webhook":
        connector.parse_webhook({}, b"{}")
        return
    arguments = {
        "find_slots": (SlotQuery(week()),),
        "hold": (HoldRequest(intent, slot),),
        "release": (Hold("hold-1", slot, NOW),),
        "cancel": (CancelRequest(intent, "apt-1"),),
        "reschedule": (RescheduleRequest(intent, "apt-1", slot),),
        "update_appointment": (AppointmentUpdate(intent, "apt-1", comment="x"),),
        "confirm": ("apt-1",),
        "get_appointment": ("apt-1",),
        "list_appointments": (AppointmentQuery(patient="pat-1"),),
        "find_conflicts": (ConflictQuery(week()),),
        "find_booking": (BookingQuery(intent),),
        "find_patients": (PatientQuery(id="pat-1"),),
        "create_patient": (Patient(),),
        "booking_requirements": (slot,),
        "booking_url": (slot,),
    }
    named = {"intent": intent} if verb == "create_patient" else {}
    await getattr(connector, verb)(*arguments.get(verb, ()), **named)
