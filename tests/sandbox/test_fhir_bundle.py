"""Transactions and batches of the FHIR sandbox."""

from __future__ import annotations

from typing import Any

import httpx
from fhir.resources.R4B import get_fhir_model_class

from openslot_connectors.fhir.sandbox import FhirManners
from sandbox.kit import JSON, Server, appointment, busy, running


def send(server: Server, kind: str, *entries: dict[str, Any]) -> httpx.Response:
    """A Bundle to the base."""
    document = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
    return server.client.post(server.url, json=document, headers={"content-type": JSON})


def claim(slot: Any, version: str = "1") -> dict[str, Any]:
    """The entry that takes a Slot."""
    request = {"method": "PUT", "url": f"Slot/{slot['id']}", "ifMatch": f'W/"{version}"'}
    return {"resource": busy(slot, "m"), "request": request}


def create(slot: Any, patient: str = "pat-1") -> dict[str, Any]:
    """The entry that creates the Appointment."""
    request = {"method": "POST", "url": "Appointment", "ifNoneExist": "identifier=urn:test|m"}
    return {"resource": appointment(slot, patient, "m"), "request": request}


def test_a_transaction_books_a_new_patient(server: Server) -> None:
    slot = server.free_slots()[0]
    person = {"resourceType": "Patient", "name": [{"family": "Neu"}], "birthDate": "2001-01-01"}
    booking = create(slot)
    booking["resource"]["participant"][0]["actor"]["reference"] = "urn:uuid:1"
    answer = send(
        server,
        "transaction",
        claim(slot),
        booking,
        {
            "fullUrl": "urn:uuid:1",
            "resource": person,
            "request": {"method": "POST", "url": "Patient"},
        },
    )
    assert answer.status_code == 200, answer.text
    get_fhir_model_class("Bundle").model_validate(answer.json())
    statuses = [e["response"]["status"] for e in answer.json()["entry"]]
    assert statuses == ["200", "201", "201"]
    made = answer.json()["entry"][1]["resource"]
    patient = answer.json()["entry"][2]["resource"]
    assert made["participant"][0]["actor"]["reference"] == f"Patient/{patient['id']}"
    assert server.get(f"/Slot/{slot['id']}")["status"] == "busy"


def test_a_transaction_that_fails_leaves_nothing(server: Server) -> None:
    slot, other = server.free_slots()[:2]
    before = server.get("/Appointment")["total"]
    answer = send(server, "transaction", create(other), claim(slot, "7"))
    assert answer.status_code == 412
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert server.get("/Appointment")["total"] == before
    assert server.get(f"/Slot/{slot['id']}") == slot
    assert server.get(f"/Slot/{other['id']}") == other
    assert server.post(appointment(other)).status_code == 201


def test_a_server_without_rollback_keeps_what_went_through() -> None:
    for server in running(manners=FhirManners(rollback=False)):
        slot, other = server.free_slots()[:2]
        answer = send(server, "transaction", create(other), claim(slot, "7"))
        assert answer.status_code == 200
        assert [e["response"]["status"] for e in answer.json()["entry"]] == ["201", "412"]
        assert server.get("/Appointment", identifier="urn:test|m")["total"] == 1


def test_a_batch_is_each_for_itself(server: Server) -> None:
    slot = server.free_slots()[0]
    read = {"request": {"method": "GET", "url": "Slot?start=2027-03-15&status=free&_count=1"}}
    missing = {"request": {"method": "GET", "url": "Patient/nobody"}}
    answer = send(server, "batch", missing, read, claim(slot), claim(slot), {"request": {}})
    get_fhir_model_class("Bundle").model_validate(answer.json())
    entries = answer.json()["entry"]
    assert [e["response"]["status"] for e in entries] == ["404", "200", "200", "412", "400"]
    assert entries[0]["response"]["outcome"]["issue"][0]["code"] == "not-found"
    assert len(entries[1]["resource"]["entry"]) == 1


def test_what_is_no_bundle_is_refused(server: Server) -> None:
    assert send(server, "collection").status_code == 400
    nested = {"request": {"method": "POST", "url": ""}, "resource": {}}
    assert send(server, "transaction", nested).status_code == 400
    assert server.client.post(server.url, content=b"{", headers={"content-type": JSON}).json()[
        "issue"
    ][0]["code"] == ("structure")
