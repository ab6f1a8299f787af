"""Other servers' ways, as the profile and the settings name them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from fhir_r4.fake import Fake, answers
from fhir_r4.fake import connect as fake_connect
from fhir_r4.kit import NEW_YORK, Clock, Place, sandbox
from openslot.errors import OutcomeUnknown, SlotTaken, Stale
from openslot.model import (
    AppointmentStatus,
    AppointmentUpdate,
    BookingQuery,
    CancelRequest,
    PatientQuery,
    RescheduleRequest,
)
from openslot.rest import Basic, OAuth2ClientCredentials, OAuth2RefreshToken, StaticKey
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.profile import GENERIC_R4, FhirProfile, WriteVerb
from openslot_connectors.fhir.reference import markers
from openslot_connectors.fhir.settings import auth_for


def with_profile(place: Place, profile: FhirProfile) -> FhirR4Connector:
    class Other(FhirR4Connector):
        pass

    Other.profile = profile
    return Other(Other.Settings(base_url=place.url), zone=NEW_YORK, clock=Clock())


async def test_changes_by_json_patch(place: Place) -> None:
    async with with_profile(place, replace(GENERIC_R4, write=WriteVerb.PATCH)) as fhir:
        slot = (await place.free(fhir))[0]
        written = await fhir.book(place.request(slot))
        assert written.id is not None
        await fhir.update_appointment(AppointmentUpdate("u", written.id, comment="by lift"))
        await fhir.cancel(CancelRequest("c", written.id, reason="ill"))
        after = await fhir.get_appointment(written.id)
        assert after.status is AppointmentStatus.CANCELLED
        assert (after.comment, after.cancellation_reason) == ("by lift", "ill")
        assert slot.id in {s.id for s in await place.free(fhir)}


async def test_a_patch_of_an_old_version_is_read_again(peer: Place) -> None:
    async with with_profile(peer, replace(GENERIC_R4, write=WriteVerb.PATCH)) as fhir:
        slot = (await peer.free(fhir))[0]
        written = await fhir.book(peer.request(slot))
        assert written.id is not None
        old = written.version
        raw = peer.get(f"Appointment/{written.id}")
        peer.put({**raw, "comment": "meanwhile"})
        with pytest.raises(Stale):
            await fhir.cancel(CancelRequest("c", written.id, version=old))
        done = await fhir.cancel(CancelRequest("c", written.id))
        assert done.appointment is not None
        assert done.appointment.comment == "meanwhile"


async def test_booking_in_one_transaction_where_it_rolls_back(box: Place) -> None:
    async with box.connect(rolls_back=True) as fhir:
        slot = (await box.free(fhir))[0]
        written = await fhir.book(box.request(slot))
        assert slot.id is not None
        assert [a["id"] for a in box.appointments(slot.id)] == [written.id]
        assert markers(box.get(f"Slot/{slot.id}")) == ("intent-1",)
        again = await fhir.book(box.request(slot))
        assert again.id == written.id
        with pytest.raises(SlotTaken):
            await fhir.book(box.request(slot, "intent-2"))


@pytest.fixture(params=["peer", "batch"])
def careless(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Servers that take a transaction and do not roll it back, though the settings say so."""
    if request.param == "peer":
        yield request.getfixturevalue("peer")
    else:
        with sandbox(rollback=False) as place:
            yield place


async def test_a_transaction_that_did_not_roll_back_is_undone(careless: Place) -> None:
    async with careless.connect(rolls_back=True) as fhir:
        slot = (await careless.free(fhir))[0]
        assert slot.id is not None
        taken = careless.get(f"Slot/{slot.id}")

        async def overtaken() -> None:
            careless.put({**taken, "status": "busy"})

        real = fhir.write

        async def write(method: str, path: str, **more: object) -> object:
            if path == "":  # between our reading of the Slot and our transaction
                await overtaken()
            return await real(method, path, **more)  # type: ignore[arg-type]

        fhir.write = write  # type: ignore[method-assign,assignment]
        with pytest.raises(SlotTaken):
            await fhir.book(careless.request(slot))
        found = await fhir.find_booking(BookingQuery("intent-1"))
        assert [a.status for a in found if a.status is not AppointmentStatus.CANCELLED] == []
        assert careless.get(f"Slot/{slot.id}")["status"] == "busy"


async def test_moving_in_one_transaction(place: Place) -> None:
    async with place.connect(rolls_back=True) as fhir:
        free = await place.free(fhir)
        old, new = free[0], free[2]
        written = await fhir.book(place.request(old, comment="kept"))
        assert written.id is not None
        moved = await fhir.reschedule(RescheduleRequest("move-1", written.id, new))
        assert moved.id == written.id == moved.replaces
        after = await fhir.get_appointment(written.id)
        assert (after.start, after.end, after.slots) == (new.start, new.end, (new.id,))
        assert (after.comment, after.patient) == ("kept", place.patient)
        ids = {s.id for s in await place.free(fhir)}
        assert old.id in ids
        assert new.id not in ids
        again = await fhir.reschedule(RescheduleRequest("move-1", written.id, new))
        assert again.id == written.id
        assert [a.id for a in await fhir.find_booking(BookingQuery("move-1"))] == [written.id]
        await fhir.cancel(CancelRequest("c", written.id))
        assert new.id in {s.id for s in await place.free(fhir)}


async def test_moving_to_a_taken_slot_changes_nothing(place: Place) -> None:
    async with place.connect(rolls_back=True) as fhir:
        free = await place.free(fhir)
        first = await fhir.book(place.request(free[0]))
        await fhir.book(place.request(free[2], "intent-2"))
        assert first.id is not None
        with pytest.raises(SlotTaken):
            await fhir.reschedule(RescheduleRequest("move-1", first.id, free[2]))
        assert (await fhir.get_appointment(first.id)).start == free[0].start


async def test_a_transaction_that_does_not_say_what_it_did_is_unknown() -> None:
    from datetime import UTC, datetime

    from fhir_r4.fake import SCHEDULE, slot
    from openslot.model import BookingRequest, SlotQuery, Window

    nine = datetime(2027, 3, 15, 13, tzinfo=UTC)
    fake = Fake([SCHEDULE, slot("s", nine)])
    fake.refuse.append(answers("POST", "/base", httpx.Response(200, json={"entry": []})))
    async with fake_connect(fake, rolls_back=True) as fhir:
        found = await fhir.find_slots(SlotQuery(Window(nine, nine + timedelta(hours=1))))
        with pytest.raises(OutcomeUnknown):
            await fhir.book(BookingRequest("i", found.items[0], "p"))


async def test_people_by_the_match_operation() -> None:
    fake = Fake()
    person = {"resourceType": "Patient", "id": "p", "name": [{"family": "Testperson"}]}
    bundle = {"resourceType": "Bundle", "entry": [{"resource": person}]}
    fake.refuse.append(answers("POST", "/Patient/$match", httpx.Response(200, json=bundle)))
    async with fake_connect(fake, patient_search="match") as fhir:
        found = await fhir.find_patients(PatientQuery(family="Testperson", phone="+12125550100"))
    assert [p.id for p in found] == ["p"]
    assert b'"onlyCertainMatches"' in fake.requests[-1].content


def test_credentials_by_kind(tmp_path: object) -> None:
    kinds: list[tuple[dict[str, object], type[object] | None]] = [
        ({"kind": "none"}, None),
        ({"kind": "key", "key": "canary"}, StaticKey),
        ({"kind": "basic", "user": "u", "password": "canary"}, Basic),
        (
            {
                "kind": "client_credentials",
                "token_url": "https://ehr.example/token",
                "client_id": "c",
                "client_secret": "canary",
            },
            OAuth2ClientCredentials,
        ),
        (
            {
                "kind": "refresh_token",
                "token_url": "https://ehr.example/token",
                "client_id": "c",
                "refresh_token": "canary",
                "token_dir": str(tmp_path),
            },
            OAuth2RefreshToken,
        ),
    ]
    for given, expected in kinds:
        settings = FhirR4Connector.Settings(base_url="https://ehr.example/fhir", auth=given)
        made = auth_for(settings)
        assert (made is None) if expected is None else isinstance(made, expected)
        assert "canary" not in repr(settings)
