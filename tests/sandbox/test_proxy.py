"""The faults in front of a server that is not ours."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from click.testing import CliRunner
from peers.medplum import require_node, start_medplum

from openslot import BookingQuery, BookingRequest, SlotQuery, Window
from openslot.cli.app import cli
from openslot.errors import ConfigError
from openslot.testing.faults import KINDS
from openslot.testing.proxy import Proxy
from openslot.testing.server import Receive, Scope, Send, serve
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.sandbox.render import TYPE_SYSTEM
from sandbox.kit import NOW, Server, client, fetch, make
from sandbox.test_process import certificate


class Plain:
    """A server that knows no kit of ours: it counts what it commits and shows what it was sent."""

    def __init__(self) -> None:
        self.commits: list[str] = []
        self.bodies: list[str] = []
        self.origin = ""
        self.answer: bytes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = scope["query_string"].decode()
        self.commits.append(query)
        self.bodies.append(body.decode())
        page = {
            "next": f"{self.origin}/api/Slot?page=2",
            "escaped": f"{self.origin}/x",
            "other": self.origin + "0/y",
            "got": body.decode(),
            "path": scope["raw_path"].decode(),
            "headers": [[k.decode(), v.decode()] for k, v in scope["headers"]],
        }
        text = json.dumps(page).replace(f"{self.origin}/x", f"{self.origin}/x".replace("/", "\\/"))
        given = self.answer if self.answer is not None else text.encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"location", f"{self.origin}/api/made/1".encode()),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"connection", b"x-hop"),
            (b"x-hop", b"1"),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": given})


class Front:
    """A plain server, a proxy before it, a client of the proxy."""

    def __init__(self, plain: Plain, proxy: Proxy, http: httpx.Client) -> None:
        self.plain, self.proxy, self.client = plain, proxy, http

    def struck(self, fault: str, method: str = "GET") -> httpx.Response:
        """The answer to one call under this fault."""
        self.plain.commits.clear()
        self.proxy.faults.script(fault)
        return self.client.request(method, "/Slot?status=free&_count=2", content=b"{}")


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    plain = Plain()
    with serve(plain) as origin:
        plain.origin = origin
        proxy = Proxy(f"{origin}/api")
        with proxy.serve() as url, client(url) as http:
            assert url.endswith("/api")
            yield Front(plain, proxy, http)


@pytest.fixture(autouse=True)
def _calm(request: pytest.FixtureRequest) -> None:
    if "front" in request.fixturenames:
        front: Front = request.getfixturevalue("front")
        front.proxy.faults.clear()
        front.plain.commits.clear()


def test_what_is_asked_and_answered_passes_with_the_addresses_exchanged(front: Front) -> None:
    own = f"http://{front.client.base_url.netloc.decode()}"
    answer = front.client.post(
        "/Slot/a%2Fb?q=%C3%A9&q=2",
        content=f"see {own}/api/Patient/1",
        headers={"x-mine": own, "authorization": "Bearer t", "te": "trailers"},
    )
    assert answer.status_code == 201
    said = answer.json()
    assert said["path"] == "/api/Slot/a%2Fb"
    assert front.plain.commits == ["q=%C3%A9&q=2"]
    assert said["got"] == f"see {own}/api/Patient/1"  # exchanged on the way there and back again
    sent = dict(said["headers"])
    assert sent["x-mine"] == own
    assert (sent["authorization"], sent["accept-encoding"]) == ("Bearer t", "identity")
    assert "te" not in sent
    assert said["next"] == f"{own}/api/Slot?page=2"
    assert said["escaped"] == f"{own}/x"
    assert said["other"] == front.plain.origin + "0/y"
    assert answer.headers["location"] == f"{own}/api/made/1"
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert not {"x-hop", "connection"} & set(answer.headers)
    assert front.client.head("/Slot").content == b""
    # The server itself was sent its own address, not the proxy's.
    assert front.plain.bodies[-2] == f"see {front.plain.origin}/api/Patient/1"
    assert f"http://{sent['host']}" == front.plain.origin


def unfit(error: type[Exception], read: Callable[..., Any], *what: Any) -> bool:
    """Whether reading it raises this."""
    with pytest.raises(error):
        read(*what)
    return True


# What each fault shows to a client here: an error of the connection, or what is in the answer.
RESETS = {"lost-reply": 1, "reset-before": 0, "late-commit:seconds=0.05": 0}
STATUS = {
    "rate-limited": 429,
    "rate-limited-date": 429,
    "error-500": 500,
    "error-502": 502,
    "error-503": 503,
    "error-504": 504,
    "html-200": 200,
    "html-502": 502,
    "redirect-elsewhere": 307,
    "expired-token": 401,
    "revoked-token": 401,
}
BODIES = {
    "malformed-json": lambda a: unfit(ValueError, json.loads, a.content),
    "wrong-charset": lambda a: unfit(UnicodeDecodeError, a.content.decode, "utf-8"),
    "slow-dribble:seconds=0.001,size=200": lambda a: a.json()["path"] == "/api/Slot",
    "huge-body:size=30000": lambda a: len(a.content) == 30_000,
    "gzip-bomb:size=30000": lambda a: len(a.content) == 30_000,
    "deep-nesting:size=100000": lambda a: unfit(RecursionError, json.loads, a.content),
    "page-loop": lambda a: a.json()["next"].endswith("/api/Slot?status=free&_count=2"),
    "next-elsewhere": lambda a: a.json()["next"].startswith("http://elsewhere.invalid/"),
    "dropped-next": lambda a: a.json()["next"] is None,
    "delay-before:seconds=0.05": lambda a: a.elapsed.total_seconds() >= 0.05,
    "delay-after:seconds=0.05": lambda a: a.elapsed.total_seconds() >= 0.05,
    "clock-skew:seconds=-9000": lambda a: (
        abs(parsedate_to_datetime(a.headers["date"]).timestamp() + 9000 - time.time()) < 60
    ),
    "dropped-filter:param=status": lambda a: True,
}


def test_every_kind_of_call_is_tried_here() -> None:
    tried = {text.partition(":")[0] for text in (*RESETS, *STATUS, *BODIES, "truncated-body")}
    assert tried == {k.name for k in KINDS.values() if k.of == "call"}


@pytest.mark.parametrize("fault", RESETS)
def test_the_connection_to_the_client_is_cut(front: Front, fault: str) -> None:
    with pytest.raises(httpx.ReadError):
        front.struck(fault, "POST")
    assert len(front.plain.commits) == RESETS[fault]
    if fault.startswith("late-commit"):
        until = time.monotonic() + 5
        while not front.plain.commits and time.monotonic() < until:
            time.sleep(0.01)
        assert len(front.plain.commits) == 1


@pytest.mark.parametrize("fault", STATUS)
def test_an_answer_in_place_of_the_servers(front: Front, fault: str) -> None:
    assert front.struck(fault).status_code == STATUS[fault]
    assert front.plain.commits == []
    if fault.startswith("error-"):
        assert front.struck(f"{fault}:after=yes").status_code == STATUS[fault]
        assert len(front.plain.commits) == 1


@pytest.mark.parametrize("fault", BODIES)
def test_the_answer_is_altered(front: Front, fault: str) -> None:
    assert BODIES[fault](front.struck(fault))
    assert front.plain.commits == ["_count=2" if "filter" in fault else "status=free&_count=2"]


def test_the_answer_breaks_off(front: Front) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        front.struck("truncated-body")
    assert len(front.plain.commits) == 1


def test_another_process_turns_the_faults(front: Front) -> None:
    control = front.client.base_url.join("/.sandbox/")
    script = "error-500:nth=1,path=/Slot\nerror-502:probability=1.0"
    said = front.client.put(control.join("faults"), content=script).json()
    assert said["faults"] == script.split()
    assert front.client.get("/Slotted").status_code == 502
    assert front.client.get("/Slot").status_code == 500  # the outer of two
    said = front.client.get(str(control)).json()
    assert said["upstream"] == f"{front.plain.origin}/api"
    assert said["replay"] == ["error-502:nth=1", "error-500:nth=2", "error-502:nth=2"]
    assert front.plain.commits == []
    refused = front.client.put(control.join("faults"), content="error-501")
    assert (refused.status_code, "error-50" in refused.json()["error"]) == (400, True)
    assert front.client.get(str(control.join("nothing"))).status_code == 404


def test_a_server_that_is_not_there_or_says_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy = Proxy(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with proxy.serve() as url:
            answer = fetch(f"{url}/x")
            assert (answer.status_code, "ConnectionRefusedError" in answer.text) == (502, True)
    plain = Plain()
    monkeypatch.setattr("openslot.testing.proxy.LARGEST", 1000)
    with serve(plain) as origin, Proxy(origin).serve() as url:
        plain.answer = b"x" * 1001
        assert fetch(f"{url}/x").status_code == 502
        plain.answer = b"x" * 1000
        assert fetch(f"{url}/x").status_code == 201
        assert fetch(f"{url}/x", "POST", content=b"y" * 1001).status_code == 413
        monkeypatch.setattr("openslot.testing.proxy.TIMEOUT", 0.05)
        with serve(_never) as silent, Proxy(silent).serve() as front:
            assert fetch(f"{front}/x").status_code == 504


async def _never(scope: Scope, receive: Receive, send: Send) -> None:
    """A server that takes every call and answers none."""
    if scope["type"] == "lifespan":
        await Plain()(scope, receive, send)
        return
    while (await receive())["type"] != "http.disconnect":
        pass


@pytest.mark.parametrize(
    "address", ["vendor.example", "ftp://vendor.example", "http://u:p@vendor.example", "http://h?x"]
)
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        Proxy(address)


def test_before_a_server_with_a_certificate_of_its_own(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    box = make()
    with box.serve(tls=tls) as behind:
        with Proxy(behind).serve() as url:
            assert fetch(f"{url}/metadata").status_code == 502
        with Proxy(behind, ca_file=tls.certificate).serve() as url:
            said = fetch(f"{url}/metadata").json()
            assert said["implementation"]["url"] == url
    box.close()
    with pytest.raises(ConfigError, match="PEM"):
        Proxy("https://vendor.example", ca_file=tls.key)


def test_pages_are_followed_through_it(reading: Server) -> None:
    with Proxy(reading.url).serve() as url:
        page = fetch(f"{url}/Patient", params={"_count": 5}).json()
        seen = [e["resource"]["id"] for e in page["entry"]]
        while following := next((k["url"] for k in page["link"] if k["relation"] == "next"), None):
            assert following.startswith(url)
            page = fetch(following).json()
            seen += [e["resource"]["id"] for e in page["entry"]]
    assert len(seen) == len(set(seen)) == 12


async def test_a_connector_books_once_behind_it_though_an_answer_is_lost() -> None:
    box = make()
    with box.serve() as behind:
        proxy = Proxy(f"{behind}/", ["lost-reply:nth=1,method=POST,path=/Appointment"])
        with proxy.serve() as url:
            made = FhirR4Connector(
                FhirR4Connector.Settings(base_url=url),
                zone=ZoneInfo("America/New_York"),
                clock=box.clock,
            )
            async with made as connector:
                window = Window(NOW, NOW + timedelta(days=6))
                found = await connector.find_slots(SlotQuery(window, f"{TYPE_SYSTEM}|follow-up"))
                assert found.complete
                assert len(found.items) > 50  # more than a page
                request = BookingRequest(
                    slot=found.items[0], patient="pat-1", intent="intent-1", appointment_type=None
                )
                # Its request carries the intent, so that it may be sent again.
                written = await connector.book(request)
                (booked,) = (await connector.find_booking(BookingQuery("intent-1"))).items
                assert booked.id == written.id
    assert [str(f.fault) for f in proxy.faults.fired] == [
        "lost-reply:nth=1,method=POST,path=/Appointment"
    ]
    assert len(box.clinic.appointments(opening=found.items[0].id)) == 1
    box.close()


def test_the_command_starts_it(reading: Server) -> None:
    fault = "lost-reply:nth=2,path=/Patient"
    argv = ["sandbox", "--proxy", reading.url, "--fault", fault]
    code = "from openslot.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        url = line.split()[2]
        assert line == f"proxy at {url} before {reading.url}; interrupt to stop\n"
        assert fetch(f"{url}/Patient").status_code == 200
        with pytest.raises(httpx.ReadError):
            fetch(f"{url}/Patient")
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)
        assert (child.returncode, out, err) == (0, b"", b"")
    finally:
        child.kill()
        child.communicate(timeout=10)


@pytest.mark.peer
def test_before_the_independent_fhir_server() -> None:
    require_node()
    with start_medplum() as behind:
        proxy = Proxy(behind, ["lost-reply:nth=1,method=POST,path=/Appointment"])
        with proxy.serve() as url, client(url) as http, client(behind) as direct:
            body: dict[str, Any] = {
                "resourceType": "Appointment",
                "status": "booked",
                "identifier": [{"system": "urn:key", "value": "k"}],
                "participant": [{"status": "accepted"}],
            }
            with pytest.raises(httpx.ReadError):
                http.post("/Appointment", json=body)
            (entry,) = direct.get("/Appointment?identifier=urn:key|k").json()["entry"]
            again = http.post(
                "/Appointment", json=body, headers={"if-none-exist": "identifier=urn:key|k"}
            )
            assert (again.status_code, again.json()["id"]) == (200, entry["resource"]["id"])
            proxy.faults.script("late-commit:seconds=0.05,method=PUT")
            changed = {**again.json(), "comment": "late"}
            with pytest.raises(httpx.ReadError):
                http.put(f"/Appointment/{changed['id']}", json=changed)
            until = time.monotonic() + 5
            while time.monotonic() < until:
                if direct.get(f"/Appointment/{changed['id']}").json().get("comment") == "late":
                    break
                time.sleep(0.02)
            else:
                pytest.fail("it was never committed")
            proxy.faults.script("page-loop truncated-body:nth=2")
            loop = http.get("/Appointment?_count=1").json()
            (link,) = [k for k in loop["link"] if k["relation"] == "next"]
            assert link["url"] == f"{url}/Appointment?_count=1"
            with pytest.raises(httpx.RemoteProtocolError):
                http.get("/Appointment?_count=1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fhir-r4", "--proxy", "http://h"], "name a sandbox or a --proxy"),
        ([], "name a sandbox or a --proxy"),
        (["--proxy", "http://h", "--manner", "page_size=3"], "a proxy has no clinic"),
        (["fhir-r4", "--ca-file", __file__], "goes with --proxy"),
        (["--proxy", "vendor.example"], "http://HOST"),
        (["--proxy", "http://h", "--fault", "lost-replay"], "lost-reply"),
        (["fhir-r4", "--webhooks", "front.example"], "http://"),
    ],
)
def test_the_command_says_what_does_not_go_together(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["sandbox", *arguments], prog_name="openslot")
    assert done.exit_code != 0
    assert says in done.output
