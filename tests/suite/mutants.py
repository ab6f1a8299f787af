"""Broken connectors, each of one defect, and the check of the suite that is meant for it.

All are made from the third party's connector (`tests/third_party/openslot_acme`), which passes the
whole suite. `python tests/suite/mutants.py` prints the table.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

sys.path.insert(0, str(Path(__file__).parents[1] / "third_party" / "openslot_acme" / "src"))

from openslot_acme.connector import AcmeConnector, AcmeSettings, _client, _dict
from openslot_acme.sandbox import AcmeSandbox

from openslot import (
    AppointmentStatus,
    BadResponse,
    Claim,
    DeadlineExceeded,
    Listing,
    NotFound,
    OutcomeUnknown,
    ProofLevel,
    RateLimited,
    Rejected,
    SlotTaken,
    Unavailable,
    Unsupported,
    Window,
    Written,
)
from openslot.call import Call
from openslot.errors import AskAgain, TryLater
from openslot.model import Hold
from openslot.rest import Refused, path
from openslot.testing.sandbox import Manners
from openslot.testing.suite import ConnectorSuite
from openslot.testing.suite.wire import Stage

Connector = type[AcmeConnector]


@dataclass(frozen=True)
class Mutant:
    """A defect, the check that must see it, and words of what that check says."""

    defect: str
    check: str
    says: str
    connector: Connector
    manners: Manners | None = None

    def suite(self, stage: Stage) -> type[ConnectorSuite]:
        """The suite on this mutant, on a server that stays up from one to the next."""
        connector, manners = self.connector, self.manners
        stage.known = None

        class TestConnector(ConnectorSuite):
            suite_version = "1"

            @classmethod
            def setup_class(cls) -> None:
                cls._stage = stage

            @classmethod
            def teardown_class(cls) -> None:
                stage.known = None

            def make_sandbox(self, **options: Any) -> AcmeSandbox:
                return AcmeSandbox(**{"manners": manners, **options})

            def make_connector(self, settings: dict[str, Any], **options: Any) -> AcmeConnector:
                made = connector.Settings(**settings)
                return connector(made, **options)

        return TestConnector


MUTANTS: list[Mutant] = []


def mutant(
    defect: str, check: str, says: str, manners: Manners | None = None
) -> Callable[[Connector], Connector]:
    """Enter a broken connector into the table."""

    def enter(connector: Connector) -> Connector:
        MUTANTS.append(Mutant(defect, f"test_{check}", says, connector, manners))
        return connector

    return enter


def claiming(**traits: Any) -> Any:
    """Acme's info with other claims."""
    info = AcmeConnector.info
    return replace(info, traits=replace(info.traits, **traits))


# the contract


class Blocking:
    def list_locations(self) -> Any:
        return Listing(())


@mutant("a verb is not a coroutine", "verbs_are_coroutines", "list_locations is not `async def`")
class SyncVerb(Blocking, AcmeConnector):  # type: ignore[misc]
    pass


@mutant("a name of its own", "info_says_who_it_is", "different names")
class OtherName(AcmeConnector):
    info = replace(AcmeConnector.info, name="ajax")


@mutant("Unsupported after I/O", "what_it_cannot_do_it_says_at_once", "sent 1 requests before")
class LateUnsupported(AcmeConnector):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.withhold("confirm", "Acme has no such thing")

    async def confirm(self, appointment: str) -> Written:
        await self.read(path("visits", appointment), also=(404,))
        raise Unsupported("Acme cannot confirm", sent=False)


@mutant("the key is shown by repr", "settings_keep_their_secret", "shown by repr")
class OpenKey(AcmeConnector):
    class Settings(AcmeSettings):
        def __repr__(self) -> str:
            return f"Settings({self.api_key.get_secret_value()})"


@mutant("the probe writes", "probe_changes_nothing", "probing wrote")
class WritingProbe(AcmeConnector):
    async def probe(self) -> Any:
        body = {"family": "Probe", "given": "Test", "born": None, "phone": None, "ref": "probe"}
        await self.write("POST", "clients", step="probe", json=body)
        return await super().probe()


# slots


class Slots(AcmeConnector):
    """Gives mutants the listing to spoil."""

    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        raise NotImplementedError

    async def find_slots(self, query: Any) -> Listing[Any]:
        return self.spoil(query, await super().find_slots(query))


@mutant("naive datetimes", "slots_are_what_is_free", "missing without cause")
class Naive(AcmeConnector):
    def _at(self, raw: Any, which: str) -> datetime:
        return datetime.fromisoformat(raw[which])


@mutant("wall times taken for UTC", "slots_are_in_the_place_s_own_zone", "are left out")
class WrongZone(AcmeConnector):
    def _at(self, raw: Any, which: str) -> datetime:
        return datetime.fromisoformat(raw[which]).replace(tzinfo=UTC)


@mutant("today's offset for every day", "slots_when_clocks_go_forward", "are left out")
class TodaysOffset(AcmeConnector):
    def _at(self, raw: Any, which: str) -> datetime:
        today = self.clock.now().astimezone(self.zone).utcoffset()
        assert today is not None
        return (datetime.fromisoformat(raw[which]) - today).replace(tzinfo=UTC)


@mutant("the vendor's offset is not read", "slots_when_clocks_go_back", "without cause")
class FirstPass(AcmeConnector):
    def _at(self, raw: Any, which: str) -> datetime:
        return datetime.fromisoformat(raw[which]).replace(tzinfo=self.zone).astimezone(UTC)


@mutant("a transition is an hour", "slots_where_clocks_change_by_half_an_hour", "are left out")
class HourLong(AcmeConnector):
    def _at(self, raw: Any, which: str) -> datetime:
        hours = timedelta(hours=raw[f"{which}_offset"] // 60)
        return (datetime.fromisoformat(raw[which]) - hours).replace(tzinfo=UTC)


@mutant("duplicated slots", "slots_are_sorted_and_each_is_there_once", "come more than once")
class Twice(Slots):
    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        both = sorted(found.items * 2, key=lambda s: s.start)
        return replace(found, items=tuple(both))


@mutant("unsorted slots", "slots_are_sorted_and_each_is_there_once", "not sorted by start")
class Unsorted(Slots):
    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        return replace(found, items=found.items[::-1])


@mutant("the window's end is included", "slots_start_within_the_window", "its end does not")
class EndIncluded(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        longer = Window(query.window.start, query.window.end + timedelta(minutes=1))
        return await super().find_slots(replace(query, window=longer))


@mutant("the window's start is left out", "slots_start_within_the_window", "start belongs to it")
class StartLeftOut(Slots):
    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        return replace(found, items=tuple(s for s in found if s.start > query.window.start))


@mutant("a dropped filter", "slots_are_those_of_whom_was_asked_for", "slots are too many")
class NoFilter(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        known = all(p.startswith("dr-") for p in query.practitioners)
        return await super().find_slots(replace(query, practitioners=()) if known else query)


@mutant("an unknown id filters nothing", "nobody_is_not_everybody", "does not exist")
class Everybody(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        known = tuple(p for p in query.practitioners if p.startswith("dr-"))
        return await super().find_slots(replace(query, practitioners=known))


@mutant("the type is ignored", "slots_are_of_the_type_asked_for", "slots are too many")
class AnyType(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        long = query.appointment_type == "long"
        return await super().find_slots(replace(query, appointment_type=None) if long else query)


@mutant("slots without source", "slots_say_when_and_where_they_were_read", "where it comes from")
class NoSource(Slots):
    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        return replace(found, items=tuple(replace(s, source=None) for s in found))


@mutant("the second page is dropped", "slots_come_from_every_page", "are left out")
class FirstPageOnly(AcmeConnector):
    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        reply = await self.read(kind, params={k: v for k, v in params.items() if v})
        return self._listing(reply, _dict(reply), kind, read)


@mutant("a long window is cut", "long_windows_are_read_whole", "are left out")
class Cut(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        end = min(query.window.end, query.window.start + timedelta(days=14))
        return await super().find_slots(replace(query, window=Window(query.window.start, end)))


@mutant("empty on failure", "a_failed_request_is_not_silence", "says that it is complete")
class EmptyOnFailure(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        try:
            return await super().find_slots(query)
        except TryLater:
            return Listing(())


@mutant("a failed page is left out", "a_failed_request_is_not_silence", "says that it is complete")
class FailedPageLeftOut(AcmeConnector):
    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        items: list[Any] = []
        asked = {k: v for k, v in params.items() if v}
        try:
            async for reply in self.pages(kind, params=asked, next_page=lambda r: r.json()["next"]):
                items += self._listing(reply, _dict(reply), kind, read).items
        except TryLater:
            if not items:
                raise
        return Listing(tuple(items), (), self.clock.now(), self.info.name)


@mutant("unreadable entries are skipped", "what_cannot_be_read_is_named", "silently left out")
class Skipping(AcmeConnector):
    def _listing(self, *args: Any) -> Listing[Any]:
        return replace(super()._listing(*args), missing=())


@mutant("end before start is turned round", "what_ends_before_it_starts_is_named", "silently")
class TurnedRound(AcmeConnector):
    def _slot(self, raw: Any) -> Any:
        if raw["ends"] < raw["starts"]:
            raw = {**raw, "starts": raw["ends"], "ends": raw["starts"], "id": "turned"}
            later = {**raw, "starts": "2027-03-08T23:00:00", "ends": "2027-03-08T23:30:00"}
            return replace(super()._slot(later), id="turned", resources=())
        return super()._slot(raw)

    async def find_slots(self, query: Any) -> Listing[Any]:
        found = await super().find_slots(query)
        return replace(found, items=tuple(s for s in found if s.id != "turned"))


@mutant("none is an error", "none_is_said_where_nothing_is_free", "NotFound")
class NoneIsAnError(Slots):
    def spoil(self, query: Any, found: Listing[Any]) -> Listing[Any]:
        if not found.items:
            raise NotFound("there is nothing free")
        return found


@mutant("slots are kept from the last search", "taken_time_is_not_offered", "taken slot is offered")
class Remembering(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        kept = self.__dict__.setdefault("kept", [])
        kept.append(await super().find_slots(replace(query, window=Window(
            self.clock.now(), self.clock.now() + timedelta(days=3)))))  # fmt: skip
        inside = (s for s in kept[0] if query.window.contains(s.start))
        return replace(kept[0], items=tuple(inside))


# booking


@mutant("the key is lost", "book_leaves_the_intent_s_marker", "carry the marker")
class LostKey(AcmeConnector):
    async def _write(self, method: str, where: str, body: Any, step: str) -> Written:
        return await super()._write(method, where, {**body, "ref": None}, step)


@mutant("a 409 is swallowed", "a_taken_slot_is_slot_taken", "it went through")
class Swallowed(AcmeConnector):
    async def book(self, request: Any) -> Written:
        try:
            return await super().book(request)
        except SlotTaken:
            return Written(ProofLevel.WRITTEN)


@mutant("taken is called a rule", "a_taken_slot_is_slot_taken", "Rejected came")
class TakenIsRule(AcmeConnector):
    error_table: ClassVar[Any] = {**AcmeConnector.error_table, 409: Rejected}


@mutant(
    "conflicts are called enforced",
    "of_several_writers_one_gets_the_slot",
    "appointments stand on one slot",
    Manners(enforce_conflicts=False),
)
class NotEnforced(AcmeConnector):
    pass


@mutant("a write is called verified", "book_claims_no_more_than_it_was_told", "verified")
class Verified(AcmeConnector):
    async def book(self, request: Any) -> Written:
        return replace(await super().book(request), level=ProofLevel.VERIFIED)


@mutant("another patient is booked", "book_writes_what_was_asked", "another patient's")
class AnotherPatient(AcmeConnector):
    async def book(self, request: Any) -> Written:
        return await super().book(replace(request, patient="pat-2"))


@mutant("not idempotent, though claimed", "the_same_intent_books_once", "SlotTaken")
class NotIdempotent(AcmeConnector):
    async def book(self, request: Any) -> Written:
        return await super().book(replace(request, intent=f"{request.intent}-{id(self)}"))


# writes


@mutant("a lost write is sent again", "a_lost_booking_is_not_sent_again", "was sent 2 times")
class SentAgain(AcmeConnector):
    info = claiming(idempotent_booking=Claim.UNPROVEN)


class Once(AcmeConnector):
    """Acme without keys: nothing is sent a second time."""

    info = claiming(idempotent_booking=Claim.UNPROVEN)

    async def write(self, *args: Any, **options: Any) -> Any:
        return await super().write(*args, **{**options, "repeatable": False})


@mutant("a gateway's error is a refusal", "an_error_after_a_write_is_unknown", "sent 2 times")
class Gateway(Once):
    error_table: ClassVar[Any] = {**AcmeConnector.error_table, 504: Refused(Unavailable)}


@mutant("an error after a write is an outage", "an_error_after_a_write_is_unknown", "nothing was")
class Outage(Once):
    async def book(self, request: Any) -> Written:
        try:
            return await super().book(request)
        except OutcomeUnknown:
            raise Unavailable("the server is down", sent=False) from None


@mutant("nobody is told of a write", "a_write_is_told_before_it_leaves", "nobody was told")
class Untold(AcmeConnector):
    async def write(self, *args: Any, **options: Any) -> Any:
        with Call(clock=self.clock).entered():
            return await super().write(*args, **options)


@mutant("a full journal stops nothing", "what_could_not_be_journalled_does_not_leave", "listener")
class Unstoppable(AcmeConnector):
    async def write(self, *args: Any, **options: Any) -> Any:
        with Call(clock=self.clock).entered():
            return await super().write(*args, **options)


@mutant(
    "a lost booking is called unsent", "an_answer_that_makes_no_sense_is_unknown", "nothing was"
)
class CalledUnsent(AcmeConnector):
    async def book(self, request: Any) -> Written:
        try:
            return await super().book(request)
        except BadResponse as error:
            error.sent = False
            raise


# reading


class Reading(AcmeConnector):
    """Gives mutants each visit to spoil."""

    def spoil(self, visit: Any) -> Any:
        raise NotImplementedError

    def _visit(self, raw: Any) -> Any:
        return self.spoil(super()._visit(raw))


@mutant("pending is read as booked", "pending_is_read_as_pending", "is read as booked")
class PendingIsBooked(Reading):
    def spoil(self, visit: Any) -> Any:
        if visit.status is AppointmentStatus.PENDING:
            return replace(visit, status=AppointmentStatus.BOOKED)
        return visit


@mutant(
    "what pends is confirmed",
    "desk_does_not_confirm_what_pends",
    "the caller is told that it is booked",
)
class PendingIsConfirmed(PendingIsBooked):
    pass


@mutant("the patient is not read", "an_appointment_is_read_as_it_stands", "or none")
class NoPatient(Reading):
    def spoil(self, visit: Any) -> Any:
        return replace(visit, patient=None)


@mutant("appointments are cached", "an_appointment_is_read_anew", "is not seen")
class Cached(AcmeConnector):
    async def get_appointment(self, appointment: str) -> Any:
        kept = self.__dict__.setdefault("kept", {})
        if appointment not in kept:
            kept[appointment] = await super().get_appointment(appointment)
        return kept[appointment]


@mutant("cancelled ones are never listed", "a_patient_s_appointments_are_all_there", "are left out")
class NoCancelled(AcmeConnector):
    async def list_appointments(self, query: Any) -> Listing[Any]:
        return await super().list_appointments(replace(query, include_cancelled=False))


@mutant("the list's patient is dropped", "a_patient_s_appointments_are_all_there", "do not belong")
class Everyones(AcmeConnector):
    async def list_appointments(self, query: Any) -> Listing[Any]:
        return await super().list_appointments(replace(query, patient=None))


@mutant("a failed list is empty", "a_failed_list_is_not_silence", "says that it is complete")
class EmptyList(AcmeConnector):
    async def list_appointments(self, query: Any) -> Listing[Any]:
        try:
            return await super().list_appointments(query)
        except TryLater:
            return Listing(())


@mutant(
    "a cancelled record is not read back",
    "a_cancelled_booking_is_found_by_its_marker",
    "is not found",
)
class StandingOnly(AcmeConnector):
    async def find_booking(self, query: Any) -> Listing[Any]:
        found = await super().find_booking(query)
        return replace(found, items=tuple(a for a in found if a.status.takes_time))


@mutant(
    "read back by time, not by marker",
    "another_s_booking_is_not_found_by_a_marker",
    "answered for our intent",
)
class ByTime(AcmeConnector):
    async def find_booking(self, query: Any) -> Listing[Any]:
        span = Window(query.slot.start, query.slot.end)
        asked = {"from": span.start.isoformat(), "to": span.end.isoformat()}
        return await self._all("visits", asked, self._visit)


class Conflicts(AcmeConnector):
    """Gives mutants each conflict to leave out."""

    def sees(self, visit: Any) -> bool:
        raise NotImplementedError

    async def find_conflicts(self, query: Any) -> Listing[Any]:
        found = await super().find_conflicts(query)
        return replace(found, items=tuple(a for a in found if self.sees(a)))


@mutant("our own record is no conflict", "conflicts_are_everybody_s", "our own record is not")
class WithoutOwn(Conflicts):
    def sees(self, visit: Any) -> bool:
        return not visit.identifiers


@mutant("pending is no conflict", "conflicts_are_everybody_s", "pending appointment is not seen")
class WithoutPending(Conflicts):
    def sees(self, visit: Any) -> bool:
        return visit.status is not AppointmentStatus.PENDING


@mutant("whatever touches is a conflict", "what_takes_no_time_is_no_conflict", "take no time")
class Touching(AcmeConnector):
    async def find_conflicts(self, query: Any) -> Listing[Any]:
        minute = timedelta(minutes=1)
        wider = Window(query.window.start - minute, query.window.end + minute)
        return await super().find_conflicts(replace(query, window=wider))


# changing


@mutant("cancel does nothing", "cancel_cancels", "stands after it was cancelled")
class NoCancel(AcmeConnector):
    async def cancel(self, request: Any) -> Written:
        return Written(ProofLevel.WRITTEN, id=request.appointment)


@mutant("cancelling twice is an error", "cancelling_twice_is_fine", "Rejected")
class CancelOnce(AcmeConnector):
    async def cancel(self, request: Any) -> Written:
        if not (await self.get_appointment(request.appointment)).status.takes_time:
            raise Rejected("it is cancelled already")
        return await super().cancel(request)


@mutant(
    "cancel keeps the slot",
    "cancel_gives_the_time_back",
    "still has the time as taken",
    Manners(frees_slot_on_cancel=False),
)
class KeepsSlot(AcmeConnector):
    pass


@mutant("the version is not sent", "cancel_sees_what_changed_meanwhile", "it went through")
class NoVersion(AcmeConnector):
    async def cancel(self, request: Any) -> Written:
        return await super().cancel(replace(request, version=None))


@mutant("a move cancels first", "reschedule_onto_a_taken_slot_keeps_the_place", "place is gone")
class CancelsFirst(AcmeConnector):
    async def reschedule(self, request: Any) -> Written:
        from openslot import BookingRequest, CancelRequest

        old = await self.get_appointment(request.appointment)
        await self.cancel(CancelRequest(f"{request.intent}-c", old.id))
        assert old.patient is not None
        return await self.book(BookingRequest(request.intent, request.slot, old.patient))


@mutant("a move is two steps", "reschedule_has_a_place_at_every_instant", "after each request")
class TwoSteps(CancelsFirst):
    pass


@mutant("an unknown member is lost", "update_keeps_what_it_does_not_understand", "was dropped")
class Rebuilt(AcmeConnector):
    async def update_appointment(self, request: Any) -> Written:
        visit = await self.get_appointment(request.appointment)
        body = {"id": visit.id, "note": request.comment, "version": visit.version}
        return await self._write("PUT", path("visits", visit.id), body, "update")


@mutant("an update changes nothing", "update_changes_what_was_asked", "was not written")
class NoUpdate(AcmeConnector):
    async def update_appointment(self, request: Any) -> Written:
        return Written(ProofLevel.WRITTEN, id=request.appointment)


# holds


@mutant("a hold is never released", "a_released_slot_is_everybody_s", "still kept")
class NeverReleased(AcmeConnector):
    async def release(self, hold: Any) -> None:
        return None


@mutant("a refused hold is made up", "a_held_slot_is_not_held_twice", "it went through")
class MadeUpHold(AcmeConnector):
    async def hold(self, request: Any) -> Hold:
        try:
            return await super().hold(request)
        except SlotTaken:
            later = self.clock.now() + timedelta(minutes=5)
            return Hold("made-up", request.slot, later)


@mutant("a hold is told to end too early", "a_hold_expires", "although its hold has expired")
class EndsEarly(AcmeConnector):
    async def hold(self, request: Any) -> Hold:
        hold = await super().hold(request)
        return replace(hold, expires=hold.expires - timedelta(minutes=4))


@mutant("the hold is not named", "who_holds_a_slot_can_book_it", "SlotTaken")
class UnnamedHold(AcmeConnector):
    async def book(self, request: Any) -> Written:
        return await super().book(replace(request, hold=None))


# people


@mutant(
    "a name in a URL", "no_address_names_the_patient_searched_for", "URL of a GET request names"
)
class NameInAddress(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        await self.read("clients", params={"family": query.family or ""}, also=(404,))
        return await super().find_patients(query)


@mutant("birth dates go through UTC", "a_patient_is_found_by_name_and_birth_date", "birth date")
class ShiftedBirth(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        found = await super().find_patients(query)
        day = timedelta(days=1)
        return replace(found, items=tuple(
            replace(p, birth_date=p.birth_date - day) for p in found if p.birth_date
        ))  # fmt: skip


@mutant("no patient found on failure", "a_failed_search_for_a_patient_is_not_silence", "complete")
class NobodyOnFailure(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        try:
            return await super().find_patients(query)
        except TryLater:
            return Listing(())


@mutant("the phone is not sent", "a_new_patient_is_registered", "phone number was lost")
class NoPhone(AcmeConnector):
    async def create_patient(self, patient: Any, *, intent: str) -> Any:
        return await super().create_patient(replace(patient, telecom=()), intent=intent)


@mutant("a lost registration is repeated", "a_lost_registration_is_not_sent_again", "2 times")
class RegistersAgain(Once):
    async def create_patient(self, patient: Any, *, intent: str) -> Any:
        body = {"family": "Qanarynew", "given": "Qanaryfirst", "born": "1907-04-06", "phone": None}
        try:
            made = await self.write("POST", "clients", step="1", json={**body, "ref": intent})
        except OutcomeUnknown:
            again = {**body, "given": "Qanaryfirst B", "ref": f"{intent}-2"}
            made = await self.write("POST", "clients", step="2", json=again)
        return _client(_dict(made))


# failures


@mutant("a 401 is an outage", "a_refused_credential_is_auth_failed", "Unavailable came")
class AuthIsOutage(AcmeConnector):
    error_table: ClassVar[Any] = {**AcmeConnector.error_table, 401: Unavailable}


@mutant("a 403 is an empty answer", "forbidden_is_auth_failed", "it went through")
class ForbiddenIsEmpty(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        from openslot import AuthFailed

        try:
            return await super().find_slots(query)
        except AuthFailed:
            return Listing(())


@mutant("Retry-After is ignored", "retry_after_is_obeyed", "asked 2 times again")
class Impatient(AcmeConnector):
    error_table: ClassVar[Any] = {
        **AcmeConnector.error_table,
        429: Refused(lambda reply: RateLimited("slow down", retry_after=0.0)),
    }


@mutant("Retry-After is not passed on", "retry_after_an_outage_is_obeyed", "asked 2 times again")
class ImpatientWithOutages(AcmeConnector):
    error_table: ClassVar[Any] = {
        **AcmeConnector.error_table,
        503: lambda reply: Unavailable("down", retry_after=0.0),
    }


@mutant("an outage is a bad answer", "a_server_that_is_down_is_unavailable", "BadResponse came")
class OutageIsBad(AcmeConnector):
    error_table: ClassVar[Any] = {**AcmeConnector.error_table, 502: BadResponse}


@mutant("an outage is asked again and again", "a_dead_vendor_gets_few_calls", "requests to a dead")
class Stubborn(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        for _ in range(12):
            try:
                return await super().find_slots(query)
            except Unavailable:
                continue
        raise Unavailable("still down", retry_after=2)


@mutant("a web page is nothing free", "a_web_page_is_a_bad_response", "it went through")
class PageIsEmpty(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        try:
            return await super().find_slots(query)
        except BadResponse:
            return Listing(())


@mutant(
    "another document's error gets out",
    "another_document_is_a_bad_response",
    "got out, and only leaves",
)
class KeyErrorOut(AcmeConnector):
    async def get_appointment(self, appointment: str) -> Any:
        return self._visit((await self.read(path("visits", appointment))).json())


@mutant("bodies are read without end", "huge_and_deep_bodies_are_bounded", "went through")
class Unbounded(AcmeConnector):
    class Settings(AcmeSettings):
        max_body: int = 10**9
        max_total: int = 10**9


# security


class OwnClient(AcmeConnector):
    """Reads pages with another HTTP client, which knows nothing of origins."""

    def fetch(self, url: str) -> dict[str, Any]:
        key = self.settings.api_key.get_secret_value()
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
        with urllib.request.urlopen(request, timeout=5) as reply:
            found: dict[str, Any] = json.loads(reply.read())
        return found


@mutant("the key goes to another host", "a_next_link_elsewhere_is_not_followed", "credential was")
class KeyElsewhere(OwnClient):
    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        reply = await self.read(kind, params={k: v for k, v in params.items() if v})
        page = _dict(reply)
        found = self._listing(reply, page, kind, read)
        while page.get("next"):
            page = await asyncio.to_thread(self.fetch, page["next"])
            more = self._listing(reply, {kind: [], **page}, kind, read)
            found = replace(found, items=found.items + more.items)
        return found


@mutant("a redirect is followed", "a_redirect_elsewhere_is_not_followed", "credential was sent")
class FollowsRedirects(OwnClient):
    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        url = self._url(kind, {k: v for k, v in params.items() if v})
        page = await asyncio.to_thread(self.fetch, url)
        reply = await self.read("staff", also=(307,))
        return self._listing(reply, {kind: [], **page}, kind, read)


@mutant("pages are read in a circle", "a_loop_of_pages_ends", "again and again")
class Circling(AcmeConnector):
    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        reply = await self.read(kind, params={k: v for k, v in params.items() if v})
        found = self._listing(reply, _dict(reply), kind, read)
        while following := _dict(reply)["next"]:
            reply = await self.read(following)
            more = self._listing(reply, _dict(reply), kind, read)
            found = replace(found, items=found.items + more.items)
        return found


@mutant("the key is in the URL", "the_credential_is_in_no_address", "the key is in a URL")
class KeyInAddress(AcmeConnector):
    async def read(self, where: str, **options: Any) -> Any:
        if options.get("params"):
            key = self.settings.api_key.get_secret_value()
            options["params"] = {**options["params"], "key": key}
        return await super().read(where, **options)


# privacy


@mutant(
    "the vendor's words are repeated",
    "no_error_repeats_what_the_server_says_of_a_patient",
    "names the patient",
)
class Repeating(AcmeConnector):
    error_table: ClassVar[Any] = {
        **AcmeConnector.error_table,
        422: lambda reply: Rejected(str(reply.json()["message"])),
    }


@mutant("a search is logged", "no_log_names_the_patient", "log records name the patient")
class Logging(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        logging.getLogger("openslot_acme").info("looking for %s", query.family)
        return await super().find_patients(query)


@mutant("what was asked is in the error", "no_error_repeats_what_was_asked", "names the patient")
class AskedInError(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        try:
            return await super().find_patients(query)
        except TryLater as error:
            raise Unavailable(f"cannot look for {query.family}") from error


# deadlines


@mutant("no deadline is kept", "a_silent_server_ends_at_the_deadline", "though the call had")
class NoDeadline(AcmeConnector):
    class Settings(AcmeSettings):
        attempts: int = 1

    async def read(self, where: str, **options: Any) -> Any:
        with Call(clock=self.clock).entered():
            return await super().read(where, **options)


@mutant("a search leaves after its time", "a_search_without_time_sends_nothing", "went through")
class AfterItsTime(NoDeadline):
    pass


@mutant(
    "DeadlineExceeded after sending", "a_deadline_after_sending_is_unknown", "says that nothing was"
)
class CalledInTime(AcmeConnector):
    async def book(self, request: Any) -> Written:
        try:
            return await super().book(request)
        except OutcomeUnknown:
            raise DeadlineExceeded("the time ran out", sent=False) from None


# through the desk


@mutant(
    "the read-back finds nothing",
    "desk_books_once_under_a_lost_reply",
    "can be read back, and it stays",
)
class NoReadBack(Once):
    async def find_booking(self, query: Any) -> Listing[Any]:
        return Listing((), as_of=self.clock.now())

    async def list_appointments(self, query: Any) -> Listing[Any]:
        return Listing((), as_of=self.clock.now())

    async def book(self, request: Any) -> Written:
        written = await super().book(request)
        return replace(written, id=None, appointment=None)


@mutant("another time is shown", "desk_confirms_only_what_stands", "is only")
class AnotherTime(Reading):
    def spoil(self, visit: Any) -> Any:
        hour = timedelta(hours=1)
        return replace(visit, start=visit.start + hour, end=visit.end + hour)


@mutant(
    "exclusive is claimed in vain",
    "of_several_desks_one_confirms",
    "were told that the slot is theirs",
    Manners(enforce_conflicts=False),
)
class ExclusiveInVain(AcmeConnector):
    pass


class Modest(AcmeConnector):
    """Acme as one who does not know that it enforces anything: that is no defect."""

    info = claiming(conflict_enforcement=Claim.UNPROVEN)


@mutant("conflicts are not seen", "desk_checks_what_the_vendor_does_not_enforce", "alone, and")
class BlindToConflicts(Modest):
    async def find_conflicts(self, query: Any) -> Listing[Any]:
        return Listing((), as_of=self.clock.now())


@mutant(
    "conflicts are those made by us",
    "desk_checks_what_the_vendor_does_not_enforce",
    "nobody noticed",
)
class OwnConflictsOnly(Modest):
    """Sees only what this very process has booked."""

    async def book(self, request: Any) -> Written:
        written = await super().book(request)
        self.__dict__.setdefault("mine", []).append(written.id)
        return written

    async def find_conflicts(self, query: Any) -> Listing[Any]:
        found = await super().find_conflicts(query)
        mine = self.__dict__.get("mine", [])
        return replace(found, items=tuple(a for a in found if a.id in mine))


@mutant("a cancellation is not sent, at the desk", "desk_cancels_what_it_says", "did not say")
class NoCancelAtTheDesk(NoCancel):
    pass


# refusals


class SwallowsRefusals(AcmeConnector):
    """Takes every refusal for a booking."""

    async def book(self, request: Any) -> Written:
        try:
            return await super().book(request)
        except AskAgain:
            return Written(ProofLevel.WRITTEN)


@mutant("a gone slot is called booked", "a_slot_that_is_gone_is_refused", "it went through")
class GoneIsBooked(SwallowsRefusals):
    pass


@mutant("a rule is called booked", "the_practice_s_rules_are_rejected", "it went through")
class RuleIsBooked(SwallowsRefusals):
    pass


@mutant("nobody is called booked", "an_unknown_patient_is_refused", "it went through")
class NobodyIsBooked(SwallowsRefusals):
    pass


@mutant("what nobody offered is booked", "a_made_up_slot_is_refused", "it went through")
class MadeUpIsBooked(SwallowsRefusals):
    pass


@mutant("a 404 is a rule", "an_unknown_appointment_is_not_found", "Rejected came")
class NotFoundIsRule(AcmeConnector):
    error_table: ClassVar[Any] = {**AcmeConnector.error_table, 404: Rejected}


@mutant("cancelling nothing goes through", "cancelling_nothing_is_not_found", "it went through")
class CancelsNothing(AcmeConnector):
    async def cancel(self, request: Any) -> Written:
        try:
            return await super().cancel(request)
        except NotFound:
            return Written(ProofLevel.WRITTEN, id=request.appointment)


@mutant("a move does nothing", "reschedule_moves", "not at the new time")
class NoMove(AcmeConnector):
    async def reschedule(self, request: Any) -> Written:
        return Written(ProofLevel.WRITTEN, id=request.appointment)


@mutant("the list's resource is dropped", "a_resource_s_appointments_are_all_there", "left out")
class AnotherResource(AcmeConnector):
    async def list_appointments(self, query: Any) -> Listing[Any]:
        other = query.resource and replace(query.resource, id="dr-2")
        return await super().list_appointments(replace(query, resource=other))


class LastLeftOut(AcmeConnector):
    """Reads lists but for their last entry."""

    async def _all(self, kind: str, params: Any, read: Any) -> Listing[Any]:
        found = await super()._all(kind, params, read)
        if kind in {"staff", "sites", "services"}:
            return replace(found, items=found.items[:-1])
        return found


@mutant("a practitioner is left out", "practitioners_are_all_there", "left out")
class PractitionerLeftOut(LastLeftOut):
    pass


@mutant("a location is left out", "locations_are_all_there", "left out")
class LocationLeftOut(LastLeftOut):
    pass


@mutant("a type is left out", "types_are_all_there", "left out")
class TypeLeftOut(LastLeftOut):
    pass


@mutant("a stranger is somebody", "a_stranger_is_not_found", "who is not a patient")
class Anybody(AcmeConnector):
    async def find_patients(self, query: Any) -> Listing[Any]:
        return await super().find_patients(replace(query, birth_date=None, given=None, family="Q"))


@mutant("closing twice fails", "closing_twice_is_fine", "RuntimeError")
class ClosesOnce(AcmeConnector):
    async def aclose(self) -> None:
        if self.__dict__.setdefault("ended", 0) == 1:
            self.__dict__["ended"] = 2
            raise RuntimeError("closed already")
        self.__dict__["ended"] += 1
        await super().aclose()


@mutant("a booking leaves after its time", "a_booking_without_time_sends_nothing", "went through")
class BooksAfterItsTime(Untold):
    pass


@mutant("a dribble is waited for", "a_dribbling_answer_ends_at_the_deadline", "the call had")
class WaitsForDribble(NoDeadline):
    class Settings(NoDeadline.Settings):
        timeout: float = 2.5


@mutant("a Retry-After date is ignored", "retry_after_as_a_date_is_obeyed", "asked 2 times again")
class ImpatientWithDates(Impatient):
    pass


@mutant("a refused connection gets out", "a_vendor_that_is_not_there_is_unavailable", "Connection")
class ConnectionErrorOut(AcmeConnector):
    async def find_slots(self, query: Any) -> Listing[Any]:
        try:
            return await super().find_slots(query)
        except Unavailable as error:
            raise ConnectionError(error.message) from error


@mutant("a parser's error gets out", "broken_bodies_are_leaves", "is not valid JSON")
class ParserErrorOut(AcmeConnector):
    async def get_appointment(self, appointment: str) -> Any:
        reply = await self.read(path("visits", appointment))
        try:
            return self._visit(json.loads(reply.body))
        except json.JSONDecodeError as error:
            raise ValueError("the answer is not valid JSON") from error


def table() -> int:
    """Print every mutant, and whether the check that is meant for it saw it."""
    from openslot.testing.suite.report import Verdict, run_suite

    stage, alive = Stage(), 0
    try:
        for one in MUTANTS:
            (result,) = run_suite(one.suite(stage), [one.check])
            caught = result.verdict is Verdict.BROKEN and one.says in result.reason
            alive += not caught
            print(f"{'caught' if caught else 'ALIVE '}  {one.defect:38} {one.check}")
            if not caught:
                print(f"        {result.verdict.value}: {result.reason}")
    finally:
        stage.close()
    print(f"{len(MUTANTS)} mutants, {len(MUTANTS) - alive} caught")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(table())
