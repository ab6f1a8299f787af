"""Signed webhooks: what a receiver gets, in which order, and what goes wrong on the way."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openslot.errors import ConfigError
from openslot.testing.clock import SandboxClock
from openslot.testing.faults import Faults
from openslot.testing.server import Receive, Scope, Send
from openslot.testing.suite.world import NOW
from openslot.testing.webhooks import SECRET, Signing, Webhooks
from sandbox.brook import running_brook
from sandbox.kit import fetch


async def nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """The server that sends them; here nobody calls it."""


class Vendor:
    """Webhooks by themselves."""

    def __init__(self, *script: str) -> None:
        self.clock = SandboxClock(NOW)
        self.faults = Faults(nobody, script)
        self.hooks = Webhooks(self.clock, self.faults)

    def send(self, *numbers: int) -> None:
        """One webhook for each number."""
        for number in numbers:
            self.hooks.send("appointment.updated", {"number": number})

    def got(self, wait: float = 0) -> list[int]:
        """The numbers of the webhooks that left, some time later."""
        self.clock.advance(timedelta(seconds=wait))
        return [json.loads(w.body)["number"] for w in self.hooks.take()]


def test_a_signature_is_over_id_time_and_body() -> None:
    vendor = Vendor()
    vendor.send(1)
    (hook,) = vendor.hooks.take()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{hook.id}.{int(NOW.timestamp())}.".encode() + hook.body
    mac = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert hook.headers == {
        "content-type": "application/json",
        "webhook-id": hook.id,
        "webhook-timestamp": str(int(NOW.timestamp())),
        "webhook-signature": f"v1,{mac}",
    }
    assert vendor.hooks.take() == ()
    assert mac not in repr(hook)


def test_a_signature_is_the_published_example() -> None:
    from datetime import UTC, datetime

    from openslot.testing.webhooks import standard_webhooks

    # The example of the Standard Webhooks specification.
    signing = Signing(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        "",
        b'{"test": 2432232314}',
    )
    headers = standard_webhooks(signing)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("fault", "now", "in_a_minute"),
    [
        ("webhook-dropped:nth=2", [1, 3], []),
        ("webhook-duplicated:nth=2", [1, 2, 2, 3], []),
        ("webhook-duplicated:nth=2,seconds=9", [1, 2, 3], [2]),
        ("webhook-delayed:nth=2", [1, 3], [2]),
        ("webhook-delayed:nth=2,seconds=61", [1, 3], []),
        ("webhook-reordered:nth=2", [1, 3, 2], []),
        ("webhook-reordered:nth=3", [1, 2], [3]),
        ("webhook-reordered:nth=1,times=2", [3, 1, 2], []),
        ("webhook-reordered:nth=3,seconds=61", [1, 2], []),
        ("webhook-dropped:path=/appointment.created", [1, 2, 3], []),
        ("webhook-dropped:path=/appointment.updated", [], []),
        ("error-500", [1, 2, 3], []),
    ],
)
def test_what_goes_wrong_on_the_way(fault: str, now: list[int], in_a_minute: list[int]) -> None:
    vendor = Vendor(fault)
    vendor.send(1, 2, 3)
    assert vendor.got() == now
    assert vendor.got(60) == in_a_minute


def test_a_second_arrival_is_the_same_to_the_byte_and_a_late_one_as_it_was_signed() -> None:
    vendor = Vendor("webhook-duplicated:seconds=400")
    vendor.send(1)
    (first,) = vendor.hooks.take()
    vendor.clock.advance(timedelta(seconds=400))
    assert vendor.hooks.take() == (first,)
    assert int(first.headers["webhook-timestamp"]) == int(NOW.timestamp())


def test_a_forged_one_has_another_signature() -> None:
    right, wrong = Vendor(), Vendor("webhook-forged")
    right.send(1)
    wrong.send(1)
    (one,), (other,) = right.hooks.take(), wrong.hooks.take()
    assert one.body == other.body
    assert one.headers["webhook-signature"] != other.headers["webhook-signature"]


KINDS = [f"webhook-{k}" for k in ("dropped", "duplicated", "delayed", "reordered", "forged")]
scripts = st.lists(
    st.builds(
        "{}:probability={},seed={}".format,
        st.sampled_from(KINDS),
        st.sampled_from([0.2, 0.5, 0.9]),
        st.integers(0, 5),
    ),
    max_size=4,
)


@settings(deadline=None)
@given(scripts, st.lists(st.integers(0, 100), max_size=12))
def test_the_same_script_does_the_same_and_its_replay_too(
    script: list[str], waits: list[int]
) -> None:
    def run(*faults: Any) -> tuple[list[Any], list[Any], list[str]]:
        vendor = Vendor(*map(str, faults))
        got = []
        for number, wait in enumerate(waits):
            vendor.send(number)
            vendor.clock.advance(timedelta(seconds=wait))
            got.append(vendor.hooks.take())
        vendor.clock.advance(timedelta(days=1))
        got.append(vendor.hooks.take())
        fired = [(f.call, f.fault.name) for f in vendor.faults.fired]
        return got, fired, [str(f) for f in vendor.faults.replay()]

    got, fired, replay = run(*script)
    assert run(*script) == (got, fired, replay)
    assert run(*replay) == (got, fired, replay)
    dropped = {n for n, name in fired if name == "webhook-dropped"}
    arrived = {w.id for each in got for w in each}
    assert arrived == {f"msg-{n}" for n in range(1, len(waits) + 1) if n not in dropped}


# from a sandbox


def test_a_sandbox_tells_of_every_change_whoever_made_it() -> None:
    with running_brook(faults=("webhook-dropped:nth=2",)) as vendor:
        vendor.book(vendor.openings()[0])
        vendor.wait(20)
        (made,) = vendor.sandbox.clinic.appointments()
        vendor.sandbox.clinic.update(made.id, comment="at the practice's own desk")
        vendor.sandbox.clinic.cancel(made.id)
        hooks = vendor.sandbox.webhooks.take()
        assert [w.topic for w in hooks] == ["booking.created", "booking.updated"]
        assert [json.loads(w.body) for w in hooks] == [{"id": made.id}] * 2
        vendor.sandbox.reset()
        assert vendor.told() == []


class Receiver:
    """A front end's endpoint: it reads back before it answers, as front ends do."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: Queue[tuple[str, dict[str, str], bytes]] = Queue()
        self.read_back: str | None = None


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if receiver.read_back:
                fetch(receiver.read_back).raise_for_status()
            status = receiver.statuses.pop(0) if receiver.statuses else 204
            headers = {k.lower(): v for k, v in self.headers.items()}
            receiver.got.put((self.path, headers, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield receiver, f"http://127.0.0.1:{server.server_address[1]}/hooks?practice=1"
        finally:
            server.shutdown()
            thread.join()


def test_they_are_posted_in_order_and_again_where_they_were_not_received() -> None:
    with receiving() as (receiver, url), running_brook() as vendor:
        control = vendor.client.base_url.join("/.sandbox/webhooks")
        assert vendor.client.put(control, content=url).json()["webhooks"] == url
        receiver.read_back = f"{vendor.client.base_url}bookings"
        receiver.statuses = [500]
        vendor.book(vendor.openings()[0])
        vendor.wait(20)
        path, headers, body = receiver.got.get(timeout=10)
        assert path == "/hooks?practice=1"
        (kept,) = vendor.sandbox.webhooks.take()
        assert (body, headers["webhook-signature"]) == (
            kept.body,
            kept.headers["webhook-signature"],
        )
        again = None
        for _ in range(100):  # the retry is set when the 500 has come in
            vendor.wait(5)
            if not receiver.got.empty():
                again = receiver.got.get()
                break
            threading.Event().wait(0.02)
        assert again is not None
        assert again[2] == body
        for number in range(3):
            vendor.sandbox.webhooks.send("n", number)
        assert [receiver.got.get(timeout=10)[2] for _ in range(3)] == [b"0", b"1", b"2"]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="http://"):
        Vendor().hooks.to("front.example/hooks")
    with running_brook() as vendor:
        control = vendor.client.base_url.join("/.sandbox/webhooks")
        assert vendor.client.put(control, content="front.example").status_code == 400
