"""Reading and searching the FHIR sandbox, seen from a raw HTTP client."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class

from sandbox.kit import Server

TYPES = ("Patient", "Practitioner", "Location", "HealthcareService", "Schedule", "Slot")


def valid(document: Any) -> None:
    """Raise where a resource is not R4B, its own resources in a Bundle too."""
    get_fhir_model_class(document["resourceType"]).model_validate(document)


@pytest.mark.parametrize("type_", [*TYPES, "Appointment"])
def test_everything_served_is_valid_r4b(reading: Server, type_: str) -> None:
    found = reading.get(f"/{type_}", _count=7)
    valid(found)
    assert 0 < len(found["entry"]) <= 7
    for entry in found["entry"]:
        resource = entry["resource"]
        answer = reading.client.get(f"/{type_}/{resource['id']}")
        assert answer.json() == resource
        assert answer.headers["etag"] == f'W/"{resource["meta"]["versionId"]}"'
        assert answer.headers["last-modified"].endswith("GMT")
        assert answer.headers["content-type"] == "application/fhir+json"


def test_metadata_is_valid_and_names_what_is_served(reading: Server) -> None:
    document = reading.get("/metadata")
    valid(document)
    slot = next(r for r in document["rest"][0]["resource"] if r["type"] == "Slot")
    assert "start" in {p["name"] for p in slot["searchParam"]}


def test_pages_give_every_slot_once_in_order(reading: Server) -> None:
    query = {"status": "free", "start": ["ge2027-03-15T00:00:00-04:00", "lt2027-03-17"]}
    whole = reading.get("/Slot", _count=1000, **query)
    assert "next" not in {k["relation"] for k in whole["link"]}
    ids = [e["resource"]["id"] for e in whole["entry"]]
    page, seen, pages = reading.get("/Slot", _count=37, **query), [], 0
    while True:
        pages += 1
        assert page["total"] == whole["total"] == len(ids)
        seen += [e["resource"]["id"] for e in page["entry"]]
        following = [k["url"] for k in page["link"] if k["relation"] == "next"]
        if not following:
            break
        assert following[0].startswith(reading.url)
        page = reading.client.get(following[0]).json()
    assert seen == ids
    assert pages == -(-len(ids) // 37)
    starts = [datetime.fromisoformat(e["resource"]["start"]) for e in whole["entry"]]
    assert starts == sorted(starts)


def test_a_slot_taken_between_two_pages_moves_nobody_off_a_page(server: Server) -> None:
    query = {"status": "free", "start": "2027-03-15", "service-type": "follow-up"}
    before = [s["id"] for s in server.free_slots()]
    first = server.get("/Slot", _count=5, **query)
    server.sandbox.clinic.claim(before[0])
    following = next(k["url"] for k in first["link"] if k["relation"] == "next")
    second = server.client.get(following).json()
    assert [e["resource"]["id"] for e in second["entry"]] == before[5:10]


def test_a_date_means_the_local_day_also_when_the_clocks_change(reading: Server) -> None:
    found = reading.get("/Slot", start=["ge2027-03-12", "le2027-03-15"], _count=1000)
    offsets = {e["resource"]["start"][:10]: e["resource"]["start"][-6:] for e in found["entry"]}
    assert offsets == {"2027-03-12": "-05:00", "2027-03-15": "-04:00"}
    # An evening in UTC that is still the day before in New York.
    assert reading.get("/Slot", start="2027-03-14").get("entry") is None


@pytest.mark.parametrize(
    "start",
    ["ge2027-03-15T09:00:00 04:00", "ge2027-03-15T09:00:00", "ge15.03.2027", "ge2027-02-30"],
    ids=["plus-not-escaped", "no-offset", "not-a-date", "no-such-day"],
)
def test_a_time_that_means_nothing_is_refused(reading: Server, start: str) -> None:
    answer = reading.client.get("/Slot", params={"start": start})
    assert answer.status_code == 400
    valid(answer.json())
    assert answer.json()["issue"][0]["code"] == "value"


def test_bounds_of_instants(reading: Server) -> None:
    at = reading.free_slots()[3]["start"]
    counts = {
        prefix: [
            e["resource"]["start"]
            for e in reading.get(
                "/Slot",
                start=[prefix + at, "ge2027-03-15", "lt2027-03-16"],
                status="free",
                _count=1000,
            ).get("entry", ())
        ]
        for prefix in ("ge", "gt", "lt", "le", "eq", "")
    }
    assert at in counts["ge"]
    assert at not in counts["gt"]
    assert at in counts["le"]
    assert at not in counts["lt"]
    assert set(counts["eq"]) == set(counts[""]) == {at}
    assert len(counts["ge"]) + len(counts["lt"]) == len(counts["gt"]) + len(counts["le"])


def test_slot_search_narrows_by_schedule_actor_type_and_status(reading: Server) -> None:
    day = {"start": "2027-03-15", "_count": 1000}
    by_schedule = reading.get("/Slot", schedule="Schedule/dr-2.main", **day)["entry"]
    by_actor = reading.get("/Slot", **{"schedule.actor": "Practitioner/dr-2"}, **day)["entry"]
    assert by_schedule == by_actor
    assert {e["resource"]["schedule"]["reference"] for e in by_schedule} == {"Schedule/dr-2.main"}
    statuses = {e["resource"]["status"] for e in by_schedule}
    assert statuses == {"free", "busy"}
    typed = reading.get("/Slot", **{"service-type": "new"}, **day)["entry"]
    assert all(".new." in e["resource"]["id"] for e in typed)
    assert reading.get("/Slot", schedule="Schedule/nobody.main", **day)["total"] == 0


def test_includes_come_once_and_do_not_count(reading: Server) -> None:
    found = reading.get(
        "/Slot",
        start="2027-03-15",
        status="free",
        _count=3,
        _include=["Slot:schedule", "Schedule:actor:Practitioner"],
    )
    modes = [(e["search"]["mode"], e["resource"]["resourceType"]) for e in found["entry"]]
    assert modes[:3] == [("match", "Slot")] * 3
    assert set(modes[3:]) == {("include", "Schedule"), ("include", "Practitioner")}
    assert len({e["fullUrl"] for e in found["entry"]}) == len(found["entry"])


def test_the_self_link_says_what_was_applied(reading: Server) -> None:
    found = reading.get("/Slot", start="2027-03-15", mood="sunny", _count=1)
    link = next(k["url"] for k in found["link"] if k["relation"] == "self")
    assert "start=2027-03-15" in link
    assert "mood" not in link
    assert found["entry"][-1]["search"]["mode"] == "outcome"
    strict = reading.client.get(
        "/Slot",
        params={"start": "2027-03-15", "mood": "sunny"},
        headers={"prefer": "handling=strict"},
    )
    assert strict.status_code == 400


def test_patients_are_found_by_what_is_known_of_them(reading: Server) -> None:
    someone = reading.get("/Patient/pat-7")
    name, birth = someone["name"][0], someone["birthDate"]
    phone = next(t["value"] for t in someone["telecom"] if t["system"] == "phone")
    for query in (
        {"family": name["family"].upper(), "birthdate": birth},
        {"name": name["given"][0][:3], "birthdate": birth},
        {"phone": phone, "given": name["given"][0]},
        {"_id": "pat-7"},
    ):
        got = reading.client.get("/Patient", params=query).json()
        posted = reading.client.post("/Patient/_search", data=query).json()
        assert "pat-7" in [e["resource"]["id"] for e in got["entry"]], query
        assert [e["resource"] for e in posted["entry"]] == [e["resource"] for e in got["entry"]]
    assert reading.get("/Patient", family="Nobodyknown")["total"] == 0


def test_match_grades(reading: Server) -> None:
    someone = reading.get("/Patient/pat-7")
    parameters = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": {**someone, "id": "x"}}],
    }
    answer = reading.client.post(
        "/Patient/$match", json=parameters, headers={"content-type": "application/fhir+json"}
    )
    valid(answer.json())
    best = answer.json()["entry"][0]
    assert best["resource"]["id"] == "pat-7"
    assert best["search"]["extension"][0]["valueCode"] == "certain"


def test_appointments_are_found_by_patient_actor_and_date(reading: Server) -> None:
    some = reading.get("/Appointment", date="ge2027-03-15", _count=1)["entry"][0]["resource"]
    patient = some["participant"][0]["actor"]["reference"]
    mine = reading.get("/Appointment", patient=patient, _count=100)["entry"]
    assert some["id"] in [e["resource"]["id"] for e in mine]
    assert all(e["resource"]["participant"][0]["actor"]["reference"] == patient for e in mine)
    day = some["start"][:10]
    that_day = reading.get("/Appointment", practitioner="dr-1", date=day, _count=100)["entry"]
    assert that_day
    assert {e["resource"]["start"][:10] for e in that_day} == {day}
    assert all("dr-1" in str(e["resource"]["participant"]) for e in that_day)
    assert reading.get("/Appointment", identifier="urn:test|none")["total"] == 0


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/Slot/nothing", 404, "not-found"),
        ("GET", "/Slot/dr-1.main.follow-up.1", 404, "not-found"),
        ("GET", "/Banana", 404, "not-supported"),
        ("DELETE", "/Patient/pat-1", 405, "not-supported"),
        ("POST", "/Slot", 415, "not-supported"),
        ("GET", "/", 404, "not-found"),
    ],
)
def test_every_error_is_an_operation_outcome(
    reading: Server, method: str, path: str, status: int, code: str
) -> None:
    answer = reading.client.request(method, path)
    assert answer.status_code == status
    valid(answer.json())
    assert answer.json()["issue"][0]["code"] == code


def test_the_date_header_is_the_sandbox_clock(reading: Server) -> None:
    assert reading.client.get("/metadata").headers["date"] == "Wed, 10 Mar 2027 14:00:00 GMT"


def test_what_is_known_already_is_not_sent_again(reading: Server) -> None:
    answer = reading.client.get("/Patient/pat-1", headers={"if-none-match": 'W/"1"'})
    assert (answer.status_code, answer.content) == (304, b"")
