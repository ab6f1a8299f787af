"""How the independent FHIR server behaves, so that its README cannot drift from the truth.

Not a test of ours: when a new release of it changes one of these, the connector's assumptions and
the README are what to look at.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from . import medplum as peer
from .medplum import PeerUnavailable, node_available, require_node, start_medplum

pytestmark = pytest.mark.peer

Json = dict[str, Any]
PATCH = {"content-type": "application/json-patch+json"}
CLIENTS = 50


def slot(start: str = "2027-01-05T09:00:00-05:00", **more: Any) -> Json:
    schedule = {"reference": "Schedule/s1"}
    return {"resourceType": "Slot", "schedule": schedule, "status": "free", "start": start} | more


def appointment(key: str, **more: Any) -> Json:
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "identifier": [{"system": "urn:key", "value": key}],
        "start": "2027-01-05T14:00:00Z",
        "end": "2027-01-05T14:30:00Z",
        "participant": [
            {"actor": {"reference": "Patient/p1"}, "status": "accepted"},
            {"actor": {"reference": "Practitioner/d1"}, "status": "accepted"},
        ],
    } | more


def create(client: httpx.Client, resource: Json, **headers: str) -> Json:
    answer = client.post(f"/{resource['resourceType']}", json=resource, headers=headers)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()
    return found


def total(client: httpx.Client, query: str) -> int:
    answer = client.get(query)
    assert answer.status_code == 200, answer.text
    bundle = answer.json()
    assert bundle["total"] == len(bundle.get("entry", []))
    return int(bundle["total"])


def text(answer: httpx.Response) -> str:
    return str(answer.json()["issue"][0]["details"]["text"])


# Writing


def test_headers_of_a_create_an_update_and_a_read(medplum: httpx.Client) -> None:
    made = medplum.post("/Slot", json=slot())
    body = made.json()
    where = f"{str(medplum.base_url).rstrip('/')}/Slot/{body['id']}"
    assert made.status_code == 201
    assert made.headers["location"] == where
    assert made.headers["etag"] == f'W/"{body["meta"]["versionId"]}"'
    put = medplum.put(f"/Slot/{body['id']}", json=body)
    assert put.status_code == 200
    assert put.headers["etag"] != made.headers["etag"]
    assert "location" not in put.headers
    assert medplum.get(f"/Slot/{body['id']}").headers["etag"] == put.headers["etag"]
    minimal = medplum.post("/Slot", json=slot(), headers={"prefer": "return=minimal"})
    assert (minimal.status_code, minimal.content) == (201, b"")
    assert minimal.headers["location"]


@pytest.mark.parametrize(
    ("form", "stale", "current"),
    [('W/"{}"', 412, 200), ('"{}"', 412, 200), ("{}", 200, 200), ("*", 200, 200)],
)
def test_if_match_must_be_quoted(
    medplum: httpx.Client, form: str, stale: int, current: int
) -> None:
    old = create(medplum, slot())
    url = f"/Slot/{old['id']}"
    new = medplum.put(url, json=old).json()
    headers = {"if-match": form.format(old["meta"]["versionId"])}
    assert medplum.put(url, json=old, headers=headers).status_code == stale
    new = medplum.get(url).json()
    headers = {"if-match": form.format(new["meta"]["versionId"])}
    assert medplum.put(url, json=old, headers=headers).status_code == current


def test_put_creates_with_200_and_with_if_match_answers_404(medplum: httpx.Client) -> None:
    assert medplum.put("/Slot/new", json=slot(id="new")).status_code == 200
    headers = {"if-match": 'W/"any"'}
    assert medplum.put("/Slot/none", json=slot(id="none"), headers=headers).status_code == 404


def test_deleted_is_404_and_can_be_put_again(medplum: httpx.Client) -> None:
    made = create(medplum, slot())
    url = f"/Slot/{made['id']}"
    assert medplum.delete(url, headers={"if-match": 'W/"other"'}).status_code == 412
    assert medplum.delete(url).status_code == 200
    assert medplum.get(url).status_code == 404
    assert medplum.put(url, json=made).status_code == 200


def test_history_turns_round_at_every_reading(medplum: httpx.Client) -> None:
    made = create(medplum, slot())
    medplum.put(f"/Slot/{made['id']}", json=made)
    reads = [medplum.get(f"/Slot/{made['id']}/_history").json()["entry"] for _ in range(3)]
    first, second, third = [[e["resource"]["meta"]["versionId"] for e in read] for read in reads]
    assert first == second[::-1] == third


def test_json_patch_honours_test_with_a_400(medplum: httpx.Client) -> None:
    made = create(medplum, slot())
    url = f"/Slot/{made['id']}"
    busy = {"op": "replace", "path": "/status", "value": "busy"}
    version = {"op": "test", "path": "/meta/versionId", "value": made["meta"]["versionId"]}
    ops = json.dumps([version, busy])
    assert medplum.patch(url, content=ops, headers=PATCH).json()["status"] == "busy"
    stale = medplum.patch(url, content=ops, headers=PATCH)
    assert stale.status_code == 400
    assert text(stale).startswith("Test failed")
    late = json.dumps(
        [busy | {"value": "free"}, {"op": "test", "path": "/status", "value": "busy"}]
    )
    assert medplum.patch(url, content=late, headers=PATCH).status_code == 400
    assert medplum.get(url).json()["status"] == "busy"
    for if_match, status in (('W/"x"', 412), ("x", 200)):
        headers = PATCH | {"if-match": if_match}
        assert medplum.patch(url, content=json.dumps([busy]), headers=headers).status_code == status


def test_if_none_exist(medplum: httpx.Client) -> None:
    def again(query: str, key: str) -> int:
        headers = {"if-none-exist": query}
        return medplum.post("/Appointment", json=appointment(key), headers=headers).status_code

    assert again("identifier=urn:key|k1", "k1") == 201
    assert again("identifier=urn:key|k1", "k1") == 200
    assert again("identifier=urn:key%7Ck1", "k1") == 200
    # A leading ? empties the condition: whatever single Appointment there is comes back as ours.
    assert again("?identifier=urn:key|other", "other") == 200
    assert total(medplum, "/Appointment?identifier=urn:key|other") == 0
    # The type in front, or a parameter it does not know: never found, so always created.
    assert again("Appointment?identifier=urn:key|k1", "k1") == 201
    assert again("identifyer=urn:key|k1", "k1") == 201
    assert again("identifier=urn:key|k1", "k1") == 412
    # Reserved characters within the value have to be percent-encoded.
    assert again("identifier=urn:key|a%26b%2Bc%3Fd", "a&b+c?d") == 201
    assert again("identifier=urn:key|a%26b%2Bc%3Fd", "a&b+c?d") == 200


def test_nothing_is_validated_and_nothing_unknown_is_lost(medplum: httpx.Client) -> None:
    made = create(
        medplum,
        appointment(
            "k",
            status="nonsense",
            end="2027-01-05T13:00:00Z",
            slot=[{"reference": "Slot/dangling"}],
            frobnicate={"a": 1},
            _status={"extension": [{"url": "urn:x", "valueString": "y"}]},
        ),
    )
    put = medplum.put(f"/Appointment/{made['id']}", json=made | {"status": "cancelled"}).json()
    assert put["frobnicate"] == {"a": 1}
    assert put["_status"] == made["_status"]
    assert medplum.post("/Frob", json={"resourceType": "Frob"}).status_code == 201
    # Empty values are not stored; a version and a date that we bring are replaced.
    meta = {"versionId": "1", "lastUpdated": "2000-01-01T00:00:00Z", "tag": [{"code": "t"}]}
    made = create(medplum, slot(comment="", meta=meta, extension=[]))
    assert not {"comment", "extension"} & made.keys()
    assert made["meta"]["versionId"] != "1"
    assert made["meta"]["tag"] == meta["tag"]


def test_creating_an_appointment_leaves_its_slot_free(medplum: httpx.Client) -> None:
    made = create(medplum, slot())
    create(medplum, appointment("k", slot=[{"reference": f"Slot/{made['id']}"}]))
    assert medplum.get(f"/Slot/{made['id']}").json()["status"] == "free"


def booking(made: Json, key: str) -> Json:
    """A transaction that claims the slot by version and creates the appointment."""
    urn = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
    put = {
        "method": "PUT",
        "url": f"Slot/{made['id']}",
        "ifMatch": f'W/"{made["meta"]["versionId"]}"',
    }
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": made | {"status": "busy"}, "request": put},
            {
                "fullUrl": urn,
                "resource": appointment(key),
                "request": {
                    "method": "POST",
                    "url": "Appointment",
                    "ifNoneExist": f"identifier=urn:key|{key}",
                },
            },
        ],
    }


def test_a_refused_transaction_leaves_the_appointment_behind(medplum: httpx.Client) -> None:
    made = create(medplum, slot())
    done = medplum.post("", json=booking(made, "k1"))
    assert [e["response"]["status"] for e in done.json()["entry"]] == ["200", "201"]
    assert done.json()["entry"][1]["response"]["location"].startswith("Appointment/")
    assert medplum.post("", json=booking(made, "k2")).status_code == 412
    assert total(medplum, "/Appointment?identifier=urn:key|k2") == 1


def test_without_transactions_one_is_a_batch() -> None:
    require_node()
    with start_medplum(transactions=False) as url, httpx.Client(base_url=url) as client:
        made = create(client, slot())
        client.put(f"/Slot/{made['id']}", json=made)
        done = client.post("", json=booking(made, "k"))
        assert done.status_code == 200
        assert done.json()["type"] == "transaction-response"
        assert [e["response"]["status"] for e in done.json()["entry"]] == ["412", "201"]


# Searching


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (
            "schedule=Schedule/s1&start=ge2027-01-05T00:00:00Z&start=lt2027-01-06T00:00:00Z&status=free",
            2,
        ),
        ("schedule=s1", 4),
        ("schedule=http://127.0.0.1/fhir/R4/Schedule/s1", 0),
        ("start=ge2027-01-05T14:00:00Z", 4),
        ("start=gt2027-01-05T14:00:00Z", 3),
        ("start=ge2027-01-05T15:00:00%2B01:00", 4),
        ("start=2027-01-05", 3),
        ("start=ge2027-01-05&start=lt2027-01-06", 3),
        ("start=2027-01-05T14:00:00Z", 1),
        ("start=ge2027-01-05T14:00Z", 0),  # no seconds
        ("start=2027-01-06T00:00:00.000Z", 0),  # equal, with milliseconds
        ("start=2027-01-06", 0),  # its only slot begins at midnight sharp, with milliseconds
        ("start=ge2027-01-06", 1),
        ("status=free,busy", 4),
        ("status:not=free", 1),
        ("status:nosuch=free", 3),
        ("strat=ge2027", 0),
        ("status=free&nosuch=x", 0),
        ("_has:Appointment:slot:status=booked", 0),
        ("end=gt2027-01-01", 0),  # not a search parameter of Slot
        ("_lastUpdated=ge2020-01-01", 4),
    ],
)
def test_slot_search(medplum: httpx.Client, query: str, found: int) -> None:
    create(medplum, slot("2027-01-05T09:00:00-05:00"))
    create(medplum, slot("2027-01-05T15:00:00Z"))
    create(medplum, slot("2027-01-05T16:00:00Z", status="busy"))
    create(medplum, slot("2027-01-06T00:00:00.000Z"))
    assert total(medplum, f"/Slot?{query}") == found


@pytest.mark.parametrize(
    "query", ["start=ge2027-01-05T15:00:00+01:00", "start=x", "start=2027-02-30"]
)
def test_a_date_that_is_none_is_400(medplum: httpx.Client, query: str) -> None:
    assert medplum.get(f"/Slot?{query}").status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("patient=Patient/p1", 1),
        ("patient=p1", 1),
        ("practitioner=Practitioner/d1", 1),
        ("actor=Practitioner/d1", 1),
        ("actor=d1", 0),  # several target types: the type is needed
        ("identifier=urn:key|k1", 1),
        ("identifier=urn:key%7Ck1", 1),
        ("identifier=k1", 1),
        ("identifier=urn:other|k1", 0),
        ("date=ge2027-01-05T00:00:00Z&date=lt2027-01-06T00:00:00Z&actor=Practitioner/d1", 1),
        ("date=ge2027-01-05T14:10:00Z&date=lt2027-01-06T00:00:00Z", 0),  # by start, not by overlap
        ("date=2027-01-05", 1),
        ("slot=Slot/x", 1),
        ("status=booked,pending", 1),
        ("patient.name=ngo", 1),
    ],
)
def test_appointment_search(medplum: httpx.Client, query: str, found: int) -> None:
    medplum.put(
        "/Patient/p1", json={"resourceType": "Patient", "id": "p1", "name": [{"family": "Ngo"}]}
    )
    create(medplum, appointment("k1", slot=[{"reference": "Slot/x"}]))
    assert total(medplum, f"/Appointment?{query}") == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("family=ng", 1),
        ("family:exact=ng", 1),  # the modifier changes nothing: substring, case-blind
        ("birthdate=1990-02-03&family=Ngo", 1),
        ("identifier=urn:mrn|m1", 1),
        ("phone=%2B1%20555%200100", 1),
        ("phone=5550100", 0),  # compared as text, with its blanks
    ],
)
def test_patient_search(medplum: httpx.Client, query: str, found: int) -> None:
    patient: Json = {
        "resourceType": "Patient",
        "identifier": [{"system": "urn:mrn", "value": "M1"}],
        "name": [{"family": "Ngo", "given": ["Ana"]}],
        "birthDate": "1990-02-03",
        "telecom": [{"system": "phone", "value": "+1 555 0100"}],
    }
    create(medplum, patient)
    assert total(medplum, f"/Patient?{query}") == found


def test_paging_is_by_offset_without_links(medplum: httpx.Client) -> None:
    for hour in range(25):
        create(medplum, slot(f"2027-01-0{5 + hour // 24}T{hour % 24:02}:00:00Z"))

    def page(query: str) -> tuple[int, int, int, bool]:
        bundle = medplum.get(f"/Slot?{query}").json()
        entries = bundle.get("entry", [])
        matches = [e for e in entries if e["search"]["mode"] == "match"]
        return bundle["total"], len(entries), len(matches), "link" in bundle

    assert page("") == (25, 25, 25, False)  # no default page size
    assert page("_count=10") == (25, 10, 10, False)
    assert page("_count=10&_offset=20") == (25, 5, 5, False)
    assert page("_count=0") == (25, 0, 0, False)
    assert page("_page=2") == (0, 0, 0, False)
    medplum.put("/Schedule/s1", json={"resourceType": "Schedule", "id": "s1"})
    assert page("_count=10&_include=Slot:schedule") == (25, 11, 10, False)


def test_sort_is_by_text_not_by_time(medplum: httpx.Client) -> None:
    create(medplum, slot("2027-01-05T10:00:00Z"))
    create(medplum, slot("2027-01-05T09:00:00-05:00"))  # four hours later, but the smaller text
    entries = medplum.get("/Slot?_sort=start").json()["entry"]
    assert [e["resource"]["start"][11:16] for e in entries] == ["09:00", "10:00"]


# What is not there


def test_no_match_and_a_metadata_of_the_wrapper(medplum: httpx.Client) -> None:
    assert medplum.post("/Patient/$match", json={"resourceType": "Parameters"}).status_code == 404
    assert medplum.get("/.well-known/smart-configuration").status_code == 404
    statement = medplum.get("/metadata").json()
    lock = json.loads((Path(peer.HERE) / "package-lock.json").read_text())
    installed = lock["packages"]["node_modules/@medplum/fhir-router"]["version"]
    assert statement["software"]["version"] == installed
    (rest,) = statement["rest"]
    assert [i["code"] for i in rest["interaction"]] == ["batch"]
    (of_slot,) = [r for r in rest["resource"] if r["type"] == "Slot"]
    assert {"schedule", "start", "status"} <= {p["name"] for p in of_slot["searchParam"]}


def test_bodies_that_cannot_be_read(medplum: httpx.Client) -> None:
    fhir = {"content-type": "application/fhir+json"}
    xml = {"content-type": "application/fhir+xml"}
    assert medplum.post("/Slot", content="{", headers=fhir).status_code == 400
    assert medplum.post("/Slot", content="null", headers=fhir).status_code == 400
    assert medplum.post("/Slot", content="<a/>", headers=xml).status_code == 415
    assert medplum.post("/Slot", json=slot(comment="x" * 2**20)).status_code == 413
    assert total(medplum, "/Slot") == 0


# Races


Attempt = Callable[[httpx.AsyncClient, Json], Awaitable[httpx.Response]]


def quoted(made: Json) -> dict[str, str]:
    return {"if-match": f'W/"{made["meta"]["versionId"]}"'}


async def by_put(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    body = made | {"status": "busy"}
    return await client.put(f"/Slot/{made['id']}", json=body, headers=quoted(made))


async def by_patch(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    return await patched(client, made, PATCH)


async def by_patch_with_if_match(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    return await patched(client, made, PATCH | quoted(made))


async def patched(client: httpx.AsyncClient, made: Json, headers: dict[str, str]) -> httpx.Response:
    ops = [
        {"op": "test", "path": "/meta/versionId", "value": made["meta"]["versionId"]},
        {"op": "replace", "path": "/status", "value": "busy"},
    ]
    return await client.patch(f"/Slot/{made['id']}", content=json.dumps(ops), headers=headers)


async def by_if_none_exist(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    headers = {"if-none-exist": f"identifier=urn:key|{made['id']}"}
    return await client.post("/Appointment", json=appointment(made["id"]), headers=headers)


async def by_conditional_put(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    query = f"/Appointment?identifier=urn:key|{made['id']}"
    return await client.put(query, json=appointment(made["id"]))


@pytest.fixture(scope="module", params=[0, 50], ids=["apart", "together"])
def racecourse(request: pytest.FixtureRequest) -> Iterator[tuple[bool, str]]:
    """Whether the server starts concurrent requests together, and its URL."""
    require_node()
    with start_medplum(together_ms=request.param) as url:
        yield request.param > 0, url


@pytest.mark.parametrize(
    ("attempt", "statuses", "wins_when_together"),
    [
        (by_put, {200: 1, 412: 49}, "one"),
        (by_patch, {200: 1, 400: 49}, "many"),
        (by_patch_with_if_match, {200: 1, 400: 49}, "one"),
        (by_if_none_exist, {201: 1, 200: 49}, "one"),
        (by_conditional_put, {201: 1, 200: 49}, "many"),
    ],
)
def test_fifty_at_once(
    racecourse: tuple[bool, str],
    attempt: Attempt,
    statuses: dict[int, int],
    wins_when_together: str,
) -> None:
    """Apart, the server ends one request before the next begins; together, it interleaves them."""
    together, url = racecourse

    async def race() -> Counter[int]:
        context = ssl.create_default_context()  # one for all: it is what makes a client slow
        clients = [httpx.AsyncClient(base_url=url, verify=context) for _ in range(CLIENTS)]
        try:
            await asyncio.gather(*(client.get("/Slot") for client in clients))  # connect first
            made = (await clients[0].post("/Slot", json=slot())).json()
            answers = await asyncio.gather(*(attempt(client, made) for client in clients))
        finally:
            await asyncio.gather(*(client.aclose() for client in clients))
        return Counter(answer.status_code for answer in answers)

    seen = asyncio.run(race())
    if not together:
        assert seen == statuses
        return
    # How many of the fifty share a turn depends on the machine; whether two may win does not.
    winner = 201 if 201 in statuses else 200
    assert (seen[winner] > 1) == (wins_when_together == "many")


def test_a_request_whose_sender_is_gone_is_still_carried_out(medplum: httpx.Client) -> None:
    body = json.dumps(appointment("gone")).encode()
    head = (
        "POST /fhir/R4/Appointment HTTP/1.1\r\nHost: x\r\nContent-Type: application/fhir+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((medplum.base_url.host, medplum.base_url.port or 80)) as sender:
        sender.sendall(head.encode() + body)
    for _ in range(50):
        if total(medplum, "/Appointment?identifier=urn:key|gone"):
            return
    pytest.fail("the appointment was never created")


# The way it is started


def test_no_node_skips_at_home_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    reason = node_available()
    assert reason is not None
    assert "node and npm" in reason
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"needs Node\.js"):
        require_node()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(PeerUnavailable, match=r"needs Node\.js"):
        require_node()


def test_it_ends_with_the_process_that_started_it() -> None:
    require_node()
    program = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from peers.medplum import start_medplum\n"
        "with start_medplum() as url: print(url, flush=True); os._exit(9)\n"
    )
    command = [sys.executable, "-c", program, str(Path(__file__).parents[1])]
    child = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert child.returncode == 9, child.stderr
    url = httpx.URL(child.stdout.strip())
    for _ in range(100):
        try:
            httpx.get(url.join("metadata"), timeout=5)
        except httpx.TransportError:
            return
    pytest.fail("the server outlived its parent")


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((Path(peer.HERE) / "package-lock.json").read_text())
    packages = [entry for name, entry in lock["packages"].items() if name]
    assert all("integrity" in entry for entry in packages)
    assert not any("resolved" in entry for entry in packages)
