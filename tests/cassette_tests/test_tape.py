"""Recording and playing: what is written, what is the same request, and how a replay fails."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from cassette_tests.toy import BYTES, COOKIE, KEY, Toy, played, recorded
from openslot.errors import OutcomeUnknown
from openslot.testing.cassettes import Cassette, CassetteError, Mismatch, NetworkBlocked, no_network
from openslot.testing.server import Connection, Receive, Scope, Send, serve

BOOKING = {"slot": "s-1", "patient": {"id": "p-1", "phones": ["555-0101", "555-0102"]}}
PATCH = "application/json-patch+json"


async def session(toy: Toy) -> list[Any]:
    found = await toy.read("slots", params={"day": "2027-03-15", "type": ("a", "b")})
    booked = await toy.write("POST", "bookings", step="book", json=BOOKING)
    return [found.json(), booked.json()]


def changed(**more: Any) -> Any:
    async def other(toy: Toy) -> None:
        await toy.read("slots", params={"day": "2027-03-15", "type": ("a", "b")})
        await toy.write("POST", "bookings", step="book", json={**BOOKING, **more})

    return other


def test_a_recording_plays_elsewhere_and_answers_with_the_address_it_is_asked_at(tmp_path, url):
    path = tmp_path / "toy.yaml"
    first = recorded(path, url, session)
    again = played(path, session)
    assert first[0]["self"] == f"{url}/slots"
    assert again[0]["self"] == "https://elsewhere.example/api/slots"
    assert again[1]["sent"] == first[1]["sent"]


def test_nothing_secret_reaches_the_file(tmp_path, url):
    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    text = path.read_text("utf-8")
    for secret in (KEY, COOKIE, "canary", "Bearer", "authorization", "cookie", "127.0.0.1"):
        assert secret not in text
    assert "said: your key is {secret}" in text


def test_headers_are_kept_by_list_and_no_others(tmp_path, url):
    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    first = Cassette.load(path).interactions[0]
    assert dict(first.request.headers) == {"accept": "application/json"}
    assert dict(first.response.headers) == {
        "content-type": "application/json",
        "location": "{base_url}/next?after=2",
    }


def test_packed_streamed_json_is_kept_as_structure(tmp_path, url):
    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    booked = Cassette.load(path).interactions[1]
    assert booked.request.body.value == BOOKING
    assert booked.response.body.kind == "json"


def test_text_and_binary_answers_come_back_byte_for_byte(tmp_path, url):
    async def look(toy: Toy) -> tuple[bytes, bytes]:
        return (await toy.read("binary")).body, (await toy.read("page")).body

    path = tmp_path / "toy.yaml"
    first = recorded(path, url, look)
    assert first[0] == BYTES
    assert played(path, look) == first
    assert "note: 256 bytes that are not UTF-8 text" in path.read_text("utf-8")


def test_the_order_of_parameters_and_members_does_not_count(tmp_path, url):
    async def other_order(toy: Toy) -> None:
        await toy.read("slots", params={"type": ("b", "a"), "day": "2027-03-15"})
        turned = {"patient": dict(reversed(BOOKING["patient"].items())), "slot": "s-1"}  # type: ignore[attr-defined]
        await toy.write("POST", "bookings", step="book", json=turned)

    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    played(path, other_order)


def test_a_json_patch_and_a_form_are_compared_by_meaning(tmp_path, url):
    def patches(text: bytes, form: dict[str, str]) -> Any:
        async def go(toy: Toy) -> None:
            headers = {"Content-Type": PATCH}
            await toy.write("PATCH", "bookings/1", step="patch", content=text, headers=headers)
            await toy.write("POST", "search", step="search", form=form)

        return go

    path = tmp_path / "toy.yaml"
    recorded(path, url, patches(b'[{"op": "test", "path": "/a"}]', {"a": "1", "b": "x y"}))
    played(path, patches(b'[{"path":"/a","op":"test"}]', {"b": "x y", "a": "1"}))
    with pytest.raises(Mismatch, match=r"body\.b: recorded 'x y', sent 'z'"):
        played(path, patches(b'[{"op": "test", "path": "/a"}]', {"a": "1", "b": "z"}))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"slot": "s-2"}, r"body\.slot: recorded 's-1', sent 's-2'"),
        ({"note": None}, r"body\.note: recorded nothing, sent None"),
        ({"patient": {"id": "p-1", "phones": ["555-0101"]}}, r"phones\[1\]: recorded '555-0102'"),
    ],
)
def test_one_changed_field_fails_with_a_diff_of_that_field(tmp_path, url, more, said):
    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    with pytest.raises(Mismatch, match=said) as caught:
        played(path, changed(**more))
    message = str(caught.value)
    assert "POST {base_url}/bookings was not recorded like this" in message
    assert "The nearest is interaction 2" in message
    assert len(message.splitlines()) == 3


def test_a_condition_is_compared(tmp_path, url):
    def put(version: str) -> Any:
        async def go(toy: Toy) -> None:
            headers = {"If-Match": version}
            await toy.write("PUT", "slots/1", step="put", json={"a": 1}, headers=headers)

        return go

    path = tmp_path / "toy.yaml"
    recorded(path, url, put('W/"1"'))
    with pytest.raises(Mismatch, match=r"headers\.if-match"):
        played(path, put('W/"2"'))


def test_what_is_left_unplayed_fails(tmp_path, url):
    async def half(toy: Toy) -> None:
        await toy.read("slots", params={"day": "2027-03-15", "type": ("a", "b")})

    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    with pytest.raises(Mismatch, match=r"1 of 2 interactions were not played: 2 \(POST"):
        played(path, half)


def test_what_is_asked_once_too_often_fails(tmp_path, url):
    async def twice(toy: Toy) -> None:
        await session(toy)
        await session(toy)

    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    with pytest.raises(Mismatch, match="not as often"):
        played(path, twice)


def test_a_mismatch_that_somebody_swallows_fails_at_the_end(tmp_path, url):
    async def swallowing(toy: Toy) -> None:
        await session(toy)
        with pytest.raises(Mismatch):
            await toy.read("elsewhere")

    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    with pytest.raises(Mismatch, match="elsewhere"):
        played(path, swallowing)


def test_the_same_request_twice_is_answered_in_the_order_recorded(tmp_path):
    count = 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal count
        if scope["type"] != "http":
            return
        count += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(count).encode()})

    async def thrice(toy: Toy) -> list[bytes]:
        return [(await toy.read("count")).body for _ in range(3)]

    path = tmp_path / "toy.yaml"
    with serve(counting) as origin:
        recorded(path, origin, thrice)
    assert played(path, thrice) == [b"1", b"2", b"3"]


def test_a_lost_answer_is_not_recorded_and_the_old_file_stays(tmp_path, url):
    async def cut(scope: Scope, receive: Receive, send: Send) -> None:
        Connection.of(scope).reset()

    async def lost(toy: Toy) -> None:
        with pytest.raises(OutcomeUnknown):
            await toy.write("POST", "bookings", step="book", json=BOOKING)

    path = tmp_path / "toy.yaml"
    recorded(path, url, session)
    before = path.read_bytes()
    with serve(cut) as origin, pytest.raises(CassetteError, match="got no answer"):
        recorded(path, origin, lost)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["toy.yaml"]


def test_a_session_of_more_than_100_interactions_is_refused(tmp_path, url):
    async def long(toy: Toy) -> None:
        for _ in range(101):
            await toy.read("page")

    with pytest.raises(CassetteError, match="101 interactions"):
        recorded(tmp_path / "toy.yaml", url, long)
    assert not list(tmp_path.iterdir())


def test_a_missing_cassette_says_so(tmp_path):
    with pytest.raises(CassetteError, match="record it first"):
        played(tmp_path / "none.yaml", session)


def test_the_network_is_blocked_for_connections_and_names():
    with no_network():
        with pytest.raises(NetworkBlocked):
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        with pytest.raises(NetworkBlocked), socket.socket() as connection:
            connection.connect(("127.0.0.1", 9))
    with socket.socket() as connection, pytest.raises(OSError):  # noqa: PT011 (any will do)
        connection.connect(("127.0.0.1", 9))


def test_vcrpys_own_log_stays_silent(tmp_path, url, caplog):
    caplog.set_level("DEBUG")
    recorded(tmp_path / "toy.yaml", url, session)
    assert not [r for r in caplog.records if r.name.startswith("vcr")]


def test_a_file_that_is_no_cassette_says_what_is_wrong(tmp_path: Path):
    path = tmp_path / "toy.yaml"
    for text, said in (
        ("- a\n", "no list of interactions"),
        ("interactions: []\n", "provenance is missing"),
        ("{", "not YAML"),
        ("provenance: {answered_by: x}\ninteractions: []\n", "provenance lacks"),
        ("!!python/object:os.system {}\n", "not YAML"),
    ):
        path.write_text(text, "utf-8")
        with pytest.raises(CassetteError, match=said):
            Cassette.load(path)
