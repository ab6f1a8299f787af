"""Each fault as a raw client sees it, and when it strikes."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openslot.errors import ConfigError
from openslot.testing.faults import KINDS, Fault, Faults
from openslot.testing.server import Message, Receive, Scope, Send, serve
from sandbox.kit import JSON, Server, appointment, busy

DOCUMENT = {"resourceType": "Bundle", "link": [{"relation": "next", "url": "/2"}], "text": "ok"}


class App:
    """Counts what it committed."""

    def __init__(self) -> None:
        self.commits: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
            return
        self.commits.append(scope["query_string"].decode())
        body = json.dumps(DOCUMENT).encode()
        headers = [(b"content-type", b"application/json"), (b"date", b"now")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Wire:
    """A server behind a fault switch, and a client."""

    def __init__(self, app: App, faults: Faults, client: httpx.Client) -> None:
        self.app, self.faults, self.client = app, faults, client

    def struck(self, fault: str, method: str = "GET") -> httpx.Response:
        """The answer to one call under this fault."""
        self.faults.clear()
        self.faults.add(fault)
        return self.client.request(method, "/Slot?status=free&_count=2", content=b"{}")


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    app = App()
    faults = Faults(app)
    with serve(faults) as url, httpx.Client(base_url=url, timeout=10, verify=False) as client:
        yield Wire(app, faults, client)


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    if "wire" in request.fixturenames:
        request.getfixturevalue("wire").app.commits.clear()


def raw(
    url: str, request: bytes = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
) -> str:
    """What a socket of our own ends with: the bytes, or the name of the error."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as plain:
        plain.sendall(request)
        received = b""
        try:
            while piece := plain.recv(65_536):
                received += piece
        except ConnectionResetError:
            return f"reset after {len(received)}"
        return f"closed after {len(received)}"


@pytest.mark.parametrize(("fault", "commits"), [("lost-reply", 1), ("reset-before", 0)])
def test_a_reset_is_an_rst_with_not_a_byte_before_it(wire: Wire, fault: str, commits: int) -> None:
    wire.faults.clear()
    wire.faults.add(fault)
    assert raw(str(wire.client.base_url).rstrip("/")) == "reset after 0"
    assert len(wire.app.commits) == commits
    with pytest.raises(httpx.ReadError):
        wire.struck(fault, "POST")


def test_a_late_commit_comes_after_the_client_has_given_up(wire: Wire) -> None:
    with pytest.raises(httpx.ReadError):
        wire.struck("late-commit:seconds=0.05", "POST")
    assert wire.app.commits == []
    until = time.monotonic() + 5
    while not wire.app.commits and time.monotonic() < until:
        time.sleep(0.01)
    assert len(wire.app.commits) == 1


def test_a_truncated_body_ends_early_under_its_whole_length(wire: Wire) -> None:
    with pytest.raises(httpx.RemoteProtocolError, match="complete message"):
        wire.struck("truncated-body")
    wire.faults.clear()
    wire.faults.add("truncated-body")
    get = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
    ended = raw(str(wire.client.base_url).rstrip("/"), get)
    assert ended.startswith("closed after ")
    assert int(ended.split()[-1]) > len(json.dumps(DOCUMENT)) // 2


def test_retry_after_in_seconds_and_as_a_date(wire: Wire) -> None:
    assert wire.struck("rate-limited:seconds=7").headers["retry-after"] == "7"
    date = wire.struck("rate-limited-date:seconds=7").headers["retry-after"]
    assert abs(parsedate_to_datetime(date).timestamp() - time.time() - 7) < 5
    assert wire.app.commits == []


@pytest.mark.parametrize(
    ("fault", "status", "commits"),
    [
        ("error-500", 500, 0),
        ("error-502", 502, 0),
        ("error-503", 503, 0),
        ("error-504", 504, 0),
        ("error-504:after=yes", 504, 1),
        ("rate-limited", 429, 0),
        ("expired-token", 401, 0),
        ("revoked-token", 401, 0),
    ],
)
def test_answers_in_place_of_the_servers(wire: Wire, fault: str, status: int, commits: int) -> None:
    assert wire.struck(fault, "POST").status_code == status
    assert len(wire.app.commits) == commits


@pytest.mark.parametrize(("fault", "status"), [("html-200", 200), ("html-502", 502)])
def test_html_pages(wire: Wire, fault: str, status: int) -> None:
    answer = wire.struck(fault)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!DOCTYPE html>")


def test_bodies_that_cannot_be_read(wire: Wire) -> None:
    broken = wire.struck("malformed-json")
    assert broken.headers["content-length"] == str(len(broken.content))
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken.content)
    with pytest.raises(UnicodeDecodeError):
        wire.struck("wrong-charset").content.decode("utf-8")


def test_bodies_that_are_too_much(wire: Wire) -> None:
    huge = wire.struck("huge-body")
    assert "content-length" not in huge.headers
    assert len(huge.content) == 12_000_000
    assert huge.json() == DOCUMENT
    assert len(wire.struck("huge-body:size=20000").content) == 20_000
    with wire.client.stream("GET", "/") as plain:
        plain.read()
    wire.faults.clear()
    wire.faults.add("gzip-bomb:size=1000000")
    with wire.client.stream("GET", "/") as bomb:
        packed = b"".join(bomb.iter_raw())
    assert len(packed) < 5_000
    assert len(gzip.decompress(packed)) == 1_000_000
    deep = wire.struck("deep-nesting:size=100000").content
    assert deep.count(b"[[") >= 49_999
    with pytest.raises(RecursionError):
        json.loads(deep)


def test_a_dribble_never_lets_a_read_time_out(wire: Wire) -> None:
    wire.faults.clear()
    wire.faults.add("slow-dribble:seconds=0.02,size=20")
    with wire.client.stream("GET", "/") as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 2
    assert json.loads(b"".join(pieces)) == DOCUMENT


def test_delays_on_either_side_of_the_commit(wire: Wire) -> None:
    wire.client.timeout = httpx.Timeout(0.1)
    try:
        with pytest.raises(httpx.ReadTimeout):
            wire.struck("delay-before:seconds=0.4", "POST")
        assert wire.app.commits == []
        with pytest.raises(httpx.ReadTimeout):
            wire.struck("delay-after:seconds=0.4", "POST")
        assert len(wire.app.commits) >= 1
    finally:
        wire.client.timeout = httpx.Timeout(10)


def test_links_and_redirects_that_lead_away(wire: Wire) -> None:
    def following(fault: str) -> list[str]:
        return [link["url"] for link in wire.struck(fault).json()["link"]]

    own = str(wire.client.base_url).rstrip("/")
    assert following("page-loop") == [f"{own}/Slot?status=free&_count=2"]
    assert following("next-elsewhere") == ["http://elsewhere.invalid/Slot?status=free&_count=2"]
    assert following("next-elsewhere:to=http://127.0.0.1:9")[0].startswith("http://127.0.0.1:9/")
    assert following("dropped-next") == []
    redirect = wire.struck("redirect-elsewhere:to=https://other.example")
    assert redirect.status_code == 307
    assert redirect.headers["location"] == "https://other.example/Slot?status=free&_count=2"


def test_a_dropped_filter_and_a_wrong_clock(wire: Wire) -> None:
    wire.struck("dropped-filter:param=status")
    assert wire.app.commits == ["_count=2"]
    date = wire.struck("clock-skew:seconds=-3600").headers.get_list("date")
    assert len(date) == 1
    assert abs(parsedate_to_datetime(date[0]).timestamp() - time.time() + 3600) < 5


def test_every_kind_is_tested_and_says_what_it_does() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in KINDS if name not in text] == []
    assert all(kind.what.endswith(".") or kind.what.endswith(")") for kind in KINDS.values())


# when


def test_nth_times_method_and_path(wire: Wire) -> None:
    wire.faults.clear()
    wire.faults.add("error-503:nth=2,times=2,method=POST,path=/Appointment")

    def status(method: str, path: str) -> int:
        return wire.client.request(method, path).status_code

    assert status("POST", "/Appointment") == 200
    assert status("GET", "/Appointment/1") == 200
    assert status("POST", "/AppointmentResponse") == 200
    assert [status("POST", "/Appointment/1") for _ in range(3)] == [503, 503, 200]


def test_chance_is_repeatable_and_can_be_replayed(wire: Wire) -> None:
    def run(*faults: Fault | str) -> list[int]:
        wire.faults.clear()
        wire.faults.add(*faults)
        return [wire.client.get("/").status_code for _ in range(30)]

    first = run("error-500:probability=0.3,seed=4")
    assert 0 < first.count(500) < 30
    replay = wire.faults.replay()
    assert run("error-500:probability=0.3,seed=4") == first
    assert run("error-500:probability=0.3,seed=5") != first
    assert run(*replay) == first


scripts = st.lists(
    st.builds(
        Fault,
        name=st.sampled_from(["error-500", "html-200", "clock-skew", "delay-after"]),
        method=st.none() | st.sampled_from(["GET", "POST"]),
        path=st.none() | st.sampled_from(["/Slot", "/Slot/1"]),
        probability=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
        seed=st.integers(0, 9),
        seconds=st.just(0.0),
        after=st.booleans(),
    )
    | st.builds(
        Fault,
        name=st.sampled_from(["error-503", "rate-limited", "landing-fails"]),
        nth=st.none() | st.integers(1, 6),
        times=st.none() | st.integers(1, 4),
        method=st.none() | st.just("POST"),
    ),
    max_size=5,
)
calls = st.lists(
    st.tuples(st.sampled_from(["GET", "POST"]), st.sampled_from(["/Slot", "/Slot/1", "/Slots"])),
    max_size=25,
)


@settings(deadline=None)
@given(scripts, calls)
def test_a_script_strikes_the_same_each_time_and_so_does_its_replay(
    script: list[Fault], calls: list[tuple[str, str]]
) -> None:
    async def run(text: str) -> tuple[list[int], Faults]:
        faults = Faults(App())
        faults.script(text)
        statuses: list[int] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        for method, path in calls:
            scope = {"type": "http", "method": method, "path": path, "query_string": b"q=1"}
            await faults(scope, receive, send)
            faults.strikes("landing", method, path)
        return statuses, faults

    text = "\n".join(map(str, script))
    first, faults = asyncio.run(run(text))
    struck = [(f.call, f.method, f.path, f.fault.name) for f in faults.fired]
    again, same = asyncio.run(run(text))
    assert (again, same.fired) == (first, faults.fired)
    replayed, replay = asyncio.run(run("\n".join(map(str, faults.replay()))))
    assert replayed == first
    assert sorted((f.call, f.method, f.path, f.fault.name) for f in replay.fired) == sorted(struck)
    assert set(replay.replay()) == set(faults.replay())


def test_two_faults_on_one_call(wire: Wire) -> None:
    wire.faults.clear()
    wire.faults.add("clock-skew", "error-504:after=yes")
    answer = wire.client.get("/")
    assert answer.status_code == 504
    assert "date" in answer.headers
    assert [str(f.fault) for f in wire.faults.fired] == ["clock-skew", "error-504:after=yes"]


faults = st.builds(
    Fault,
    name=st.sampled_from([n for n in KINDS if not KINDS[n].needs]),
    nth=st.none() | st.integers(1, 99),
    times=st.none() | st.integers(1, 99),
    method=st.none() | st.sampled_from(["GET", "POST"]),
    path=st.none() | st.just("/Slot"),
    seed=st.integers(0, 9),
    seconds=st.none() | st.floats(0, 100),
    size=st.none() | st.integers(1, 10**8),
    to=st.none() | st.just("http://other.example:8080"),
    after=st.booleans(),
)


@given(faults)
def test_a_fault_reads_as_it_is_written(fault: Fault) -> None:
    assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("lost-repply", "lost-reply"),
        ("lost-reply:nht=1", "nth"),
        ("lost-reply:nth=0", "from 1"),
        ("lost-reply:nth=x", "cannot be 'x'"),
        ("lost-reply:nth=1,probability=0.5", "or probability"),
        ("error-500:probability=2", "0 to 1"),
        ("dropped-filter", "param="),
        ("next-elsewhere:to=other", "cannot be"),
        ("error-500:after=perhaps", "cannot be"),
        ("redirect-elsewhere:to=http://a b", "commas nor blanks"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        Fault.parse(text)


# around the sandbox


def test_a_lost_reply_after_the_appointment_is_committed(server: Server) -> None:
    slot = server.free_slots()[0]
    server.sandbox.faults.add("lost-reply:nth=1,method=POST,path=/Appointment")
    server.put(busy(slot, "m"), 'W/"1"')
    with pytest.raises(httpx.ReadError):
        server.post(appointment(slot, marker="m"))
    (made,) = server.sandbox.clinic.appointments(opening=slot["id"])
    again = server.post(appointment(slot, marker="m"), if_none_exist="identifier=urn:test|m")
    assert (again.status_code, again.json()["id"]) == (200, made.id)


def test_a_filter_dropped_from_a_posted_search_shows_in_the_self_link(server: Server) -> None:
    server.sandbox.faults.add("dropped-filter:param=status")
    form = {"status": "free", "start": "2027-03-15"}
    found = server.client.post("/Slot/_search", data=form).json()
    assert "status" not in found["link"][0]["url"]
    assert {e["resource"]["status"] for e in found["entry"]} == {"free", "busy"}


def test_another_process_turns_the_switch(server: Server) -> None:
    origin = server.url.removesuffix("/fhir")
    control = httpx.Client(base_url=f"{origin}/.sandbox", verify=False)
    with control:
        assert control.put("/faults", content=b"error-500:nth=1\nerror-502").status_code == 200
        assert server.client.get("/Slot/x", headers={"accept": JSON}).status_code == 500
        shown = control.get("/").json()
        assert shown["faults"] == ["error-500:nth=1", "error-502"]
        assert shown["fired"][0] == {"call": 1, "fault": "error-500:nth=1"}
        assert shown["settings"]["base_url"] == server.url
        bad = control.put("/faults", content=b"error-599")
        assert (bad.status_code, "error-5" in bad.json()["error"]) == (400, True)
        control.put("/faults")
        assert server.client.get("/metadata").status_code == 200
        control.post("/advance", params={"seconds": 86_400})
        assert server.client.get("/metadata").headers["date"].startswith("Thu, 11 Mar 2027")
        server.post(appointment(server.free_slots()[0]))
        before = server.get("/Appointment")["total"]
        control.post("/reset")
        assert server.get("/Appointment")["total"] != before
