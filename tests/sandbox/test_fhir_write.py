"""Claiming Slots, booking, moving and cancelling in the FHIR sandbox, from a raw HTTP client."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from fhir.resources.R4B import get_fhir_model_class

from openslot.model import SlotStatus
from openslot_connectors.fhir.sandbox import FhirManners
from sandbox.kit import JSON, Server, appointment, busy, running


def book(server: Server, slot: Any, patient: str = "pat-1", marker: str = "m") -> Any:
    """Claim a Slot and create its Appointment, as our connector does."""
    assert server.put(busy(slot, marker), 'W/"1"').status_code == 200
    answer = server.post(appointment(slot, patient, marker))
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_booking_by_claim_from_free_to_free_again(server: Server) -> None:
    slot = server.free_slots()[0]
    claimed = server.put(busy(slot, "m"), 'W/"1"')
    assert (claimed.status_code, claimed.headers["etag"]) == (200, 'W/"2"')
    assert claimed.json()["identifier"] == [{"system": "urn:test", "value": "m"}]
    created = server.post(appointment(slot, marker="m"))
    assert created.status_code == 201
    made = created.json()
    get_fhir_model_class("Appointment").model_validate(made)
    assert created.headers["location"] == (
        f"{server.url}/Appointment/{made['id']}/_history/{made['meta']['versionId']}"
    )
    # The Slot did not notice, and the clinic knows the patient.
    assert server.get(f"/Slot/{slot['id']}") == claimed.json()
    (known,) = server.sandbox.clinic.appointments(opening=slot["id"])
    assert (known.id, known.patient) == (made["id"], "pat-1")

    cancelled = server.put(
        {**made, "status": "cancelled", "cancelationReason": {"text": "ill"}},
        created.headers["etag"],
    )
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.json()["cancelationReason"] == {"text": "ill"}
    # Whoever wrote it busy frees it.
    assert server.get(f"/Slot/{slot['id']}") == claimed.json()
    assert slot["id"] not in [s["id"] for s in server.free_slots()]
    freed = server.put({**claimed.json(), "status": "free"}, 'W/"2"')
    assert (freed.status_code, freed.headers["etag"]) == (200, 'W/"3"')
    assert slot["id"] in [s["id"] for s in server.free_slots()]


def test_creating_an_appointment_leaves_its_slot_free(server: Server) -> None:
    slot = server.free_slots()[0]
    made = server.post(appointment(slot)).json()
    assert server.get(f"/Slot/{slot['id']}") == slot
    assert slot["id"] in [s["id"] for s in server.free_slots()]
    # But the practice does not see two patients at once.
    second = server.post(appointment(slot, "pat-2"))
    assert second.status_code == 409
    assert second.json()["issue"][0]["code"] == "conflict"
    # Taking it afterwards is what a plain server lets one do; its version grows by one.
    assert server.put(busy(slot), 'W/"1"').headers["etag"] == 'W/"2"'
    assert server.get(f"/Slot/{slot['id']}")["status"] == "busy"
    server.put({**made, "status": "cancelled"})
    assert server.get(f"/Slot/{slot['id']}")["status"] == "busy"


def test_a_slot_whose_only_appointment_was_cancelled_is_free_in_the_clinic(server: Server) -> None:
    slot = server.free_slots()[0]
    made = server.post(appointment(slot)).json()
    server.put({**made, "status": "cancelled"})
    assert server.sandbox.clinic.opening(slot["id"]).slot.status is SlotStatus.FREE
    assert server.get(f"/Slot/{slot['id']}") == slot
    assert server.put(busy(slot), 'W/"1"').status_code == 200


def test_a_claim_keeps_others_out(server: Server) -> None:
    slot = server.free_slots("new")[0]
    assert server.put(busy(slot, "ours"), 'W/"1"').status_code == 200
    stale = server.put(busy(slot, "theirs"), 'W/"1"')
    assert stale.status_code == 412
    assert stale.json()["issue"][0]["code"] == "conflict"
    assert server.post(appointment(slot, "pat-2", "theirs")).status_code == 409
    # Another Slot over the same time of the same practitioner is taken too.
    overlapping = slot["id"].replace(".new.", ".follow-up.")
    assert server.get(f"/Slot/{overlapping}")["status"] == "busy"
    assert server.post(appointment(slot, "pat-1", "ours")).status_code == 201


@pytest.mark.parametrize("tag", ['W/"1"', '"1"', "1"], ids=["weak", "strong", "bare"])
def test_if_match_is_read_in_every_form(server: Server, tag: str) -> None:
    slot = server.free_slots()[0]
    assert server.put(busy(slot), tag).status_code == 200
    assert server.put(busy(slot), tag).status_code == 412


def test_a_booking_by_telephone_makes_the_claim_fail(server: Server) -> None:
    slot = server.free_slots()[0]
    server.sandbox.clinic.book(slot["id"], "pat-9", staff=True)
    assert server.put(busy(slot), 'W/"1"').status_code == 412
    assert server.get(f"/Slot/{slot['id']}")["status"] == "busy"


async def test_of_fifty_at_once_one_gets_the_slot(server: Server) -> None:
    slot = server.free_slots()[0]

    async def claim(number: int) -> int:
        async with httpx.AsyncClient(base_url=server.url, timeout=30, verify=False) as client:
            answer = await client.put(
                f"/Slot/{slot['id']}",
                json=busy(slot, str(number)),
                headers={"content-type": JSON, "if-match": 'W/"1"'},
            )
            return answer.status_code

    codes = Counter(await asyncio.gather(*(claim(n) for n in range(50))))
    assert codes == {200: 1, 412: 49}
    assert len(server.sandbox.clinic.blocks(_window(slot))) == 1


def _window(slot: Any) -> Any:
    from openslot.model import Window, parse_instant

    return Window(parse_instant(slot["start"]), parse_instant(slot["end"]))


def test_what_the_server_does_not_understand_survives(server: Server) -> None:
    slot = server.free_slots()[0]
    extension = [{"url": "https://example.org/colour", "valueString": "blau"}]
    written = {**busy(slot, "m"), "extension": extension, "comment": "Fenster", "x-foreign": [1]}
    assert server.put(written, 'W/"1"').json()["x-foreign"] == [1]
    made = server.post({**appointment(slot, marker="m"), "extension": extension}).json()
    assert made["extension"] == extension
    changed = server.put({**made, "comment": "by the window"})
    assert changed.json()["extension"] == extension
    assert changed.json()["comment"] == "by the window"
    again = server.get(f"/Slot/{slot['id']}")
    assert (again["extension"], again["comment"], again["x-foreign"]) == (
        extension,
        "Fenster",
        [1],
    )


def test_if_none_exist_finds_what_was_created(server: Server) -> None:
    slot = server.free_slots()[0]
    query = "identifier=urn:test|m"
    first = server.post(appointment(slot, marker="m"), if_none_exist=query)
    second = server.post(appointment(slot, marker="m"), if_none_exist=query)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()
    assert second.headers["location"] == first.headers["location"]
    assert server.get("/Appointment", identifier="urn:test|m")["total"] == 1


def test_moving_an_appointment_takes_the_new_slot(server: Server) -> None:
    old, new = server.free_slots()[0], server.free_slots()[5]
    made = book(server, old)
    assert server.put(busy(new, "move"), 'W/"1"').status_code == 200
    moved = server.put(
        {**made, "slot": [{"reference": f"Slot/{new['id']}"}]} | _times(new),
        f'W/"{made["meta"]["versionId"]}"',
    )
    assert moved.status_code == 200, moved.text
    assert (moved.json()["id"], moved.json()["start"]) == (made["id"], new["start"])
    assert server.get(f"/Slot/{old['id']}")["status"] == "busy"
    assert server.get(f"/Slot/{new['id']}")["status"] == "busy"
    old_now = server.get(f"/Slot/{old['id']}")
    assert server.put({**old_now, "status": "free"}).status_code == 200
    assert server.sandbox.clinic.opening(old["id"]).slot.status is SlotStatus.FREE


def _times(slot: Any) -> dict[str, str]:
    return {"start": slot["start"], "end": slot["end"]}


def patch(server: Server, path: str, *operations: Any, **headers: str) -> httpx.Response:
    """A JSON Patch."""
    return server.client.patch(
        path,
        json=list(operations),
        headers={"content-type": "application/json-patch+json", **headers},
    )


def test_json_patch_with_a_test_on_the_version(server: Server) -> None:
    made = book(server, server.free_slots()[0])
    path = f"/Appointment/{made['id']}"
    version = {"op": "test", "path": "/meta/versionId", "value": made["meta"]["versionId"]}
    cancel = {"op": "replace", "path": "/status", "value": "cancelled"}
    assert patch(server, path, {**version, "value": "99"}, cancel).status_code == 409
    assert server.get(path)["status"] == "booked"
    assert patch(server, path, version, cancel).json()["status"] == "cancelled"
    assert patch(server, path, version, cancel).status_code == 409
    nowhere = {"op": "remove", "path": "/banana"}
    assert patch(server, path, nowhere).status_code == 422


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"status": "perhaps"}, 400, "value"),
        ({"start": "2027-03-15"}, 400, "value"),
        ({"start": "2027-03-15T09:00:00"}, 400, "value"),
        ({"end": "2027-03-15T07:00:00-04:00"}, 422, "business-rule"),
        ({"participant": []}, 400, "required"),
        ({"slot": [{"reference": "Slot/nothing"}]}, 422, "not-found"),
        ({"cancelationReason": {"text": "no"}}, 422, "invariant"),
        ({"resourceType": "Slot"}, 400, "invalid"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_changes(
    server: Server, change: dict[str, Any], status: int, code: str
) -> None:
    before = server.get("/Appointment")["total"]
    document = {**appointment(server.free_slots()[0]), **change}
    answer = server.client.post("/Appointment", json=document, headers={"content-type": JSON})
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)
    assert server.get("/Appointment")["total"] == before


def test_a_new_patient_with_members_of_their_own(server: Server) -> None:
    person = {
        "resourceType": "Patient",
        "name": [{"family": "Testperson", "given": ["Ada", "B."]}],
        "birthDate": "1990-02-03",
        "telecom": [{"system": "phone", "value": "+1 212 555 0177", "rank": 1}],
        "identifier": [{"system": "urn:test", "value": "p1"}],
        "maritalStatus": {"text": "?"},
    }
    first = server.post(person, if_none_exist="identifier=urn:test|p1")
    assert first.status_code == 201
    get_fhir_model_class("Patient").model_validate(first.json())
    assert first.json()["telecom"] == person["telecom"]
    assert first.json()["maritalStatus"] == {"text": "?"}
    assert server.post(person, if_none_exist="identifier=urn:test|p1").status_code == 200
    duplicate = server.post({**person, "identifier": []})
    assert (duplicate.status_code, duplicate.json()["issue"][0]["code"]) == (409, "duplicate")
    changed = server.put({**first.json(), "gender": "female"}, first.headers["etag"])
    assert changed.json()["gender"] == "female"
    assert changed.json()["maritalStatus"] == {"text": "?"}
    assert server.put(first.json(), first.headers["etag"]).status_code == 412


def test_prefer_and_the_manners_of_other_servers() -> None:
    manners = FhirManners(
        location="relative", etag="bare", returns_body=False, taken_status=422, flips_slot=True
    )
    for server in running(manners=manners):
        slot = server.free_slots()[0]
        created = server.post(appointment(slot))
        assert (created.status_code, created.content) == (201, b"")
        assert created.headers["etag"] == "1"
        assert created.headers["location"].startswith("Appointment/")
        assert server.get(f"/Slot/{slot['id']}")["status"] == "busy"
        assert server.post(appointment(slot, "pat-2")).status_code == 422
        whole = server.put(busy(slot), None)
        assert whole.content == b""
        asked = server.client.put(
            f"/Slot/{slot['id']}",
            json=busy(slot),
            headers={"content-type": JSON, "prefer": "return=representation"},
        )
        assert asked.json()["id"] == slot["id"]


def test_without_conflicts_two_patients_share_a_time() -> None:
    for server in running(manners=FhirManners(enforce_conflicts=False)):
        slot = server.free_slots()[0]
        assert server.post(appointment(slot, "pat-1")).status_code == 201
        assert server.post(appointment(slot, "pat-2")).status_code == 201


def test_a_practice_that_approves() -> None:
    for server in running(manners=FhirManners(bookings_pend=True)):
        made = server.post(appointment(server.free_slots()[0])).json()
        assert made["status"] == "pending"
