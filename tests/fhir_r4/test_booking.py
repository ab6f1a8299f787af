"""Booking, step by step, with every step's answer lost, refused or strange."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from fhir_r4.fake import BASE, SCHEDULE, Fake, answers, connect, lost, slot
from openslot.call import call
from openslot.errors import (
    AuthFailed,
    BadResponse,
    OutcomeUnknown,
    Rejected,
    RejectedReason,
    SlotTaken,
    Stale,
)
from openslot.model import (
    AppointmentQuery,
    BookingQuery,
    BookingRequest,
    CancelRequest,
    HumanName,
    Patient,
    ProofLevel,
    Slot,
    SlotQuery,
    Window,
)
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.profile import GENERIC_R4, INTENT_SYSTEM
from openslot_connectors.fhir.reference import markers

NINE = datetime(2027, 3, 15, 13, tzinfo=UTC)
DAY = Window(NINE - timedelta(hours=9), NINE + timedelta(hours=15))
PERSON = {"resourceType": "Patient", "id": "p", "name": [{"family": "Testperson"}]}


def issue(code: str, status: int = 422, **more: Any) -> httpx.Response:
    """An OperationOutcome."""
    found = {"severity": "error", "code": code, "diagnostics": "canary 1980-02-29", **more}
    return httpx.Response(status, json={"resourceType": "OperationOutcome", "issue": [found]})


@pytest.fixture
def fake() -> Fake:
    return Fake([SCHEDULE, PERSON, slot("s", NINE, kept={"member": 1}, comment="as it was")])


async def offered(fhir: FhirR4Connector) -> Slot:
    found = await fhir.find_slots(SlotQuery(DAY))
    return found.items[0]


def request(offer: Slot, intent: str = "i-1", **more: Any) -> BookingRequest:
    return BookingRequest(intent, offer, **{"patient": "p", **more})


def standing(fake: Fake) -> list[dict[str, Any]]:
    return [a for a in fake.of("Appointment") if a["status"] == "booked"]


def the_slot(fake: Fake) -> dict[str, Any]:
    return fake.store[("Slot", "s")]


async def test_two_steps_each_marked_and_announced_before_it_leaves(fake: Fake) -> None:
    steps = []

    async def on_send(step: str) -> None:
        steps.append((step, len(fake.writes())))

    async with connect(fake) as fhir:
        offer = await offered(fhir)
        with call(clock=fhir.clock, on_send=on_send):
            written = await fhir.book(request(offer))
    assert written.level is ProofLevel.WRITTEN
    assert steps == [("claim slot", 0), ("create appointment", 1)]
    assert fake.writes() == ["PUT Slot/s", "POST Appointment"]
    assert markers(the_slot(fake)) == markers(standing(fake)[0]) == ("i-1",)
    claim, create = (r for r in fake.requests if r.method in ("PUT", "POST"))
    assert claim.headers["if-match"] == 'W/"1"'
    assert create.headers["if-none-exist"] == f"identifier={INTENT_SYSTEM}%7Ci-1"


@pytest.mark.parametrize("where", [("PUT", "/Slot/s"), ("POST", "/Appointment")])
async def test_a_lost_answer_is_found_out(fake: Fake, where: tuple[str, str]) -> None:
    fake.changes.append(lost(*where))
    async with connect(fake) as fhir:
        written = await fhir.book(request(await offered(fhir)))
    assert [a["id"] for a in standing(fake)] == [written.id]
    assert the_slot(fake)["status"] == "busy"


async def test_a_create_of_unknown_outcome_keeps_the_claim_and_is_resumed(fake: Fake) -> None:
    fake.refuse.append(answers("POST", "/Appointment", httpx.Response(503)))
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        with pytest.raises(OutcomeUnknown):
            await fhir.book(request(offer))
        assert the_slot(fake)["status"] == "busy"
        with pytest.raises(SlotTaken):
            await fhir.book(request(offer, "i-2"))
    async with connect(fake) as later:
        written = await later.book(request(offer))
    assert [a["id"] for a in standing(fake)] == [written.id]
    assert fake.writes().count("PUT Slot/s") == 1


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (issue("business-rule"), Rejected, RejectedReason.POLICY),
        (issue("required", expression=["Appointment.serviceType"]), Rejected, None),
        (issue("invalid", 400), Rejected, None),
        (issue("conflict", 422), SlotTaken, None),
        (httpx.Response(409), SlotTaken, None),
        (httpx.Response(412), SlotTaken, None),
        (issue("forbidden", 403), AuthFailed, None),
    ],
)
async def test_a_refused_create_gives_the_slot_back(
    fake: Fake, answer: httpx.Response, error: type[Exception], reason: RejectedReason | None
) -> None:
    before = {k: v for k, v in the_slot(fake).items() if k != "meta"}
    fake.refuse.append(answers("POST", "/Appointment", answer))
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        with pytest.raises(error) as caught:
            await fhir.book(request(offer, comment="canary comment"))
        assert "canary" not in str(caught.value)
        if reason is not None:
            assert isinstance(caught.value, Rejected)
            assert caught.value.reason is reason
        if isinstance(caught.value, AuthFailed):
            assert caught.value.sent is False
        assert {k: v for k, v in the_slot(fake).items() if k != "meta"} == before
        assert (await fhir.find_slots(SlotQuery(DAY))).items[0].id == "s"


async def test_a_slot_that_cannot_be_given_back_is_no_plain_refusal(fake: Fake) -> None:
    fake.refuse.append(answers("POST", "/Appointment", issue("business-rule")))
    seen = []

    def broken(sent: httpx.Request, _: httpx.Response) -> httpx.Response | None:
        if sent.method == "PUT":
            seen.append(sent)
            return httpx.Response(403) if len(seen) > 1 else None
        return None

    fake.refuse.append(broken)
    async with connect(fake) as fhir:
        with pytest.raises(OutcomeUnknown):
            await fhir.book(request(await offered(fhir)))
    fake.refuse.clear()
    assert the_slot(fake)["status"] == "busy"
    async with connect(fake) as later:
        offer = replace(await _again(later, fake))
        await later.book(request(offer))
    assert len(standing(fake)) == 1


async def _again(fhir: FhirR4Connector, fake: Fake) -> Slot:
    return Slot(NINE, NINE + timedelta(minutes=30), id="s", schedule="1")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(201, headers={"location": f"{BASE}/Appointment/appointment-3/_history/1"}),
        httpx.Response(201, headers={"location": "Appointment/appointment-3"}),
        httpx.Response(201, headers={"location": "/base/Appointment/appointment-3"}),
        httpx.Response(201, headers={"location": "https://thief.example/Appointment/x"}),
        httpx.Response(201),
        issue("informational", 201),
        httpx.Response(201, html="<html>ok</html>"),
    ],
)
async def test_a_create_is_understood_whatever_comes_with_it(
    fake: Fake, answer: httpx.Response
) -> None:
    def shaped(sent: httpx.Request, real: httpx.Response) -> httpx.Response | None:
        return answer if sent.method == "POST" and "Appointment" in sent.url.path else None

    fake.changes.append(shaped)
    async with connect(fake) as fhir:
        written = await fhir.book(request(await offered(fhir)))
    assert written.id == "appointment-3"
    assert len(standing(fake)) == 1
    assert {r.url.host for r in fake.requests} == {"fhir.test.internal"}


@pytest.mark.parametrize("form", ['W/"{}"', '"{}"', "{}"])
async def test_versions_come_from_any_form_of_etag(fake: Fake, form: str) -> None:
    fake.etag, fake.meta = form, False
    profile = GENERIC_R4
    for way in type(profile.if_match):
        if way.of("{}") == form:
            profile = replace(profile, if_match=way)
    async with connect(fake, profile) as fhir:
        written = await fhir.book(request(await offered(fhir)))
        assert written.id is not None
        await fhir.cancel(CancelRequest("c", written.id))
    assert the_slot(fake)["status"] == "free"


async def test_without_any_version_nothing_is_claimed(fake: Fake) -> None:
    def bare(sent: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if sent.method != "GET" or "/Slot/" not in sent.url.path:
            return None
        shown = {k: v for k, v in answer.json().items() if k != "meta"}
        return httpx.Response(200, json=shown)

    fake.changes.append(bare)
    async with connect(fake) as fhir:
        with pytest.raises(BadResponse):
            await fhir.book(request(await offered(fhir)))
    assert fake.writes() == []


async def test_a_claim_overwritten_by_another_is_taken(fake: Fake) -> None:
    """A server that checks If-Match and writes in two steps lets the second writer through."""

    def overwritten(sent: httpx.Request, _: httpx.Response) -> None:
        if sent.method == "PUT" and "i-2" not in str(the_slot(fake)):
            marker = [{"system": INTENT_SYSTEM, "value": "i-2"}]
            fake.save({**the_slot(fake), "identifier": marker})

    fake.changes.append(overwritten)
    async with connect(fake) as fhir:
        with pytest.raises(SlotTaken):
            await fhir.book(request(await offered(fhir)))
    assert standing(fake) == []
    assert markers(the_slot(fake)) == ("i-2",)


async def test_a_slot_changed_meanwhile_but_free_is_claimed_all_the_same(fake: Fake) -> None:
    changed = []

    def touch(sent: httpx.Request, _: httpx.Response) -> None:
        if sent.method == "GET" and sent.url.path.endswith("/Slot/s") and not changed:
            changed.append(fake.save({**the_slot(fake), "comment": "edited"}))

    fake.changes.append(touch)
    async with connect(fake) as fhir:
        await fhir.book(request(await offered(fhir)))
    assert the_slot(fake)["comment"] == "edited"


async def test_two_records_with_one_marker_are_both_shown(fake: Fake) -> None:
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        await fhir.book(request(offer))
        fake.save({**standing(fake)[0], "id": "twin"})
        found = await fhir.find_booking(BookingQuery("i-1"))
        assert {a.id for a in found} == {standing(fake)[0]["id"], "twin"}
        with pytest.raises(OutcomeUnknown):
            await fhir.book(request(offer))
    assert fake.writes().count("POST Appointment") == 1


async def test_an_unreadable_record_of_ours_stops_a_second_booking(fake: Fake) -> None:
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        await fhir.book(request(offer))
        fake.save({**standing(fake)[0], "status": "unheard-of"})
        with pytest.raises(BadResponse):
            await fhir.book(request(offer))
    assert fake.writes().count("POST Appointment") == 1


async def test_a_taken_slot_registers_nobody(fake: Fake) -> None:
    person = Patient(name=HumanName("Canary", ("Ada",)), birth_date=date(1980, 1, 1))
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        fake.save({**the_slot(fake), "status": "busy"})
        with pytest.raises(SlotTaken) as caught:
            await fhir.book(request(offer, patient=person))
    assert fake.writes() == []
    assert "Canary" not in repr(caught.value)


async def test_a_patient_whose_registration_was_lost_is_registered_once(fake: Fake) -> None:
    person = Patient(name=HumanName("Newcomer", ("Ada",)), birth_date=date(1980, 1, 1))
    fake.changes.append(lost("POST", "/Patient"))
    async with connect(fake) as fhir:
        await fhir.book(request(await offered(fhir), patient=person))
    assert len(fake.of("Patient")) == 2
    registered = next(p for p in fake.of("Patient") if p["id"] != "p")
    assert standing(fake)[0]["participant"][0]["actor"] == {
        "reference": f"Patient/{registered['id']}"
    }


async def test_a_person_known_already_is_rejected_and_nothing_is_claimed(fake: Fake) -> None:
    fake.refuse.append(answers("POST", "/Patient", issue("duplicate", 409)))
    async with connect(fake) as fhir:
        with pytest.raises(Rejected) as caught:
            await fhir.create_patient(Patient(name=HumanName("Canary")), intent="i")
    assert caught.value.reason is RejectedReason.DUPLICATE_PATIENT
    assert "canary" not in str(caught.value).lower()


async def test_what_r4_does_not_allow_is_not_sent(fake: Fake) -> None:
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        with pytest.raises(BadResponse) as caught:
            await fhir.book(request(offer, comment=""))
    assert caught.value.sent is False
    assert fake.writes() == []


async def test_cancelling_with_a_lost_answer_is_done_once(fake: Fake) -> None:
    async with connect(fake) as fhir:
        written = await fhir.book(request(await offered(fhir)))
        fake.changes.append(lost("PUT", "/Appointment"))
        assert written.id is not None
        await fhir.cancel(CancelRequest("c", written.id, reason="ill"))
    assert standing(fake) == []
    assert the_slot(fake)["status"] == "free"


async def test_a_slot_not_freed_after_cancelling_is_freed_by_the_next_try(fake: Fake) -> None:
    async with connect(fake) as fhir:
        written = await fhir.book(request(await offered(fhir)))
        assert written.id is not None
        fake.refuse.append(answers("PUT", "/Slot", httpx.Response(403)))
        await fhir.cancel(CancelRequest("c", written.id))
        assert the_slot(fake)["status"] == "busy"
        await fhir.cancel(CancelRequest("c", written.id))
    assert the_slot(fake)["status"] == "free"


async def test_the_slot_of_an_appointment_that_others_made_is_freed_if_it_stands_alone(
    fake: Fake,
) -> None:
    fake.save({**the_slot(fake), "status": "busy"})
    theirs = {
        "resourceType": "Appointment",
        "id": "theirs",
        "status": "booked",
        "start": NINE.isoformat(),
        "end": (NINE + timedelta(minutes=30)).isoformat(),
        "slot": [{"reference": "Slot/s"}],
        "participant": [{"actor": {"reference": "Patient/p"}, "status": "accepted"}],
    }
    fake.save(theirs)
    fake.save({**theirs, "id": "second"})
    async with connect(fake) as fhir:
        await fhir.cancel(CancelRequest("c", "theirs"))
        assert the_slot(fake)["status"] == "busy"
        await fhir.cancel(CancelRequest("c", "second"))
        assert the_slot(fake)["status"] == "free"


async def test_a_visit_that_has_begun_is_not_cancelled(fake: Fake) -> None:
    async with connect(fake) as fhir:
        written = await fhir.book(request(await offered(fhir)))
        assert written.id is not None
        fake.save({**standing(fake)[0], "status": "arrived"})
        with pytest.raises(Rejected):
            await fhir.cancel(CancelRequest("c", written.id))


async def test_an_appointment_that_reaches_into_the_window_is_listed(fake: Fake) -> None:
    early = NINE - timedelta(hours=5)
    fake.save(
        {
            "resourceType": "Appointment",
            "id": "long",
            "status": "pending",
            "start": early.isoformat(),
            "end": (NINE + timedelta(minutes=1)).isoformat(),
            "participant": [{"actor": {"reference": "Patient/p"}, "status": "accepted"}],
        }
    )
    async with connect(fake) as fhir:
        window = Window(NINE, NINE + timedelta(minutes=30))
        found = await fhir.list_appointments(AppointmentQuery(patient="p", window=window))
        assert [a.id for a in found] == ["long"]
        after = Window(NINE + timedelta(minutes=1), NINE + timedelta(minutes=30))
        assert (await fhir.list_appointments(AppointmentQuery(patient="p", window=after))).none


async def test_a_slot_without_id_is_stale(fake: Fake) -> None:
    async with connect(fake) as fhir:
        offer = await offered(fhir)
        with pytest.raises(Stale):
            await fhir.book(request(replace(offer, id=None)))


def test_traits_follow_the_settings() -> None:
    from openslot.connector import Claim

    trusted = connect(Fake())
    assert trusted.traits.conflict_enforcement is Claim.UNPROVEN, "Slots may overlap"
    alone = connect(Fake(), refuses_overlaps=True)
    assert alone.traits.conflict_enforcement is Claim.YES
    assert trusted.traits.idempotent_booking is Claim.YES
    assert trusted.traits.atomic_reschedule is Claim.NO
    assert trusted.traits.native_hold is Claim.NO
    plain = connect(Fake(), enforces_if_match=False, settle_seconds=3, rolls_back=True)
    assert plain.traits.conflict_enforcement is Claim.NO
    assert plain.traits.idempotent_booking is Claim.NO
    assert plain.traits.settle_within == timedelta(seconds=3)
    assert plain.traits.atomic_reschedule is Claim.YES
    assert plain.capabilities.can("reschedule")
    assert not trusted.capabilities.can("reschedule")
