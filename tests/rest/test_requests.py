"""What one request becomes: retries, deadlines, lost answers, statuses (laws 4, 8, 11)."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import tracemalloc
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from openslot.call import call
from openslot.errors import (
    AuthFailed,
    BadResponse,
    ConfigError,
    DeadlineExceeded,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    RateLimited,
    Rejected,
    SlotTaken,
    Stale,
    Unavailable,
)
from openslot.rest import ErrorRule, Refused, Reply, StaticKey
from rest.servers import Clock, Got, Vendor, reply, reset, serving, vendor


async def write(connector: Vendor, **more: Any) -> Reply:
    return await connector.write("POST", "book", step="book", json={"a": 1}, **more)


async def test_a_read_brings_status_headers_body_and_names() -> None:
    answer = reply(
        body={"x": [1]}, ETag='W/"7"', X_Request_Id="r-1", Date="Mon, 02 Mar 2026 09:00:00 GMT"
    )
    async with serving([answer]) as server, vendor(server.url + "/api") as connector:
        got = await connector.read("Slot", params={"start": ["ge1", "lt2"], "q": "a b+c|d"})
    assert server.got[0].target == "/api/Slot?start=ge1&start=lt2&q=a%20b%2Bc%7Cd"
    assert server.got[0].headers["accept"] == "application/json"
    assert (got.status, got.json(), got.etag, got.request_id) == (200, {"x": [1]}, 'W/"7"', "r-1")
    assert got.url_path == "/api/Slot"
    assert got.date is not None
    assert got.date.isoformat() == "2026-03-02T09:00:00+00:00"
    assert got.headers.get("ETAG") == 'W/"7"'


async def test_a_write_is_announced_before_its_first_byte_leaves() -> None:
    events: list[str] = []

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes:
        events.append("arrived")
        return reply(201)

    async def on_send(step: str) -> None:
        events.append(f"sending {step}")

    async with serving(answer) as server, vendor(server.url) as connector:
        with call(on_send=on_send) as here:
            await write(connector)
    assert events == ["sending book", "arrived"]
    assert here.sent
    assert server.got[0].body == b'{"a":1}'


async def test_what_the_journal_refuses_does_not_leave() -> None:
    async def on_send(step: str) -> None:
        raise Unavailable("disk full")

    async with serving([reply()]) as server, vendor(server.url) as connector:
        with call(on_send=on_send), pytest.raises(Unavailable) as caught:
            await write(connector)
    assert caught.value.sent is False
    assert server.got == []


@pytest.mark.parametrize("status", [502, 503, 504, 429])
async def test_a_read_is_tried_again(status: int) -> None:
    clock = Clock()
    async with (
        serving([reply(status), reply(status), reply(body=1)]) as server,
        vendor(server.url, clock=clock) as connector,
    ):
        assert (await connector.read("x")).json() == 1
    assert len(clock.slept) == 2
    assert all(0 <= s <= 0.4 for s in clock.slept)


async def test_a_read_whose_connection_breaks_is_tried_again() -> None:
    calls = 0

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            reset(writer)
            return None
        if calls == 2:
            writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{")
            return None
        return reply(body="whole")

    async with serving(answer) as server, vendor(server.url) as connector:
        assert (await connector.read("x")).json() == "whole"


@pytest.mark.parametrize("status", [500, 501, 409, 400, 408, 418])
async def test_other_statuses_are_not_tried_again(status: int) -> None:
    async with serving([reply(status)]) as server, vendor(server.url) as connector:
        with pytest.raises(OpenSlotError):
            await connector.read("x")
    assert len(server.got) == 1


async def test_retry_after_is_obeyed_in_seconds_and_as_a_date() -> None:
    clock = Clock()
    later = {
        "Retry_After": "Mon, 02 Mar 2026 09:00:07 GMT",
        "Date": "Mon, 02 Mar 2026 09:00:00 GMT",
    }
    answers = [reply(429, Retry_After="3"), reply(503, **later), reply()]
    async with serving(answers) as server, vendor(server.url, clock=clock) as connector:
        await connector.read("x")
    assert 3 <= clock.slept[0] < 3.1
    assert 7 <= clock.slept[1] < 7.1


async def test_a_wait_past_the_deadline_is_not_waited() -> None:
    clock = Clock()
    async with (
        serving([reply(429, Retry_After="60")]) as server,
        vendor(server.url, clock=clock) as connector,
    ):
        with call(clock=clock, seconds=5), pytest.raises(RateLimited) as caught:
            await connector.read("x")
    assert caught.value.retry_after == 60
    assert clock.slept == []
    assert len(server.got) == 1


async def test_repetitions_run_out_when_everything_fails() -> None:
    async with serving([reply(503)]) as server, vendor(server.url) as connector:
        for _ in range(100):
            with pytest.raises(Unavailable):
                await connector.read("x")
    # a hundred requests, ten repetitions in reserve, and one more for every ten requests
    assert 110 <= len(server.got) <= 121


async def test_a_slow_dribble_ends_at_the_deadline() -> None:
    async def answer(got: Got, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with serving(answer) as server, vendor(server.url) as connector:
        started = time.monotonic()
        with call(seconds=0.3), pytest.raises(DeadlineExceeded) as caught:
            await connector.read("x")
        assert time.monotonic() - started < 1
        assert caught.value.sent is False
        with call(seconds=0.3), pytest.raises(OutcomeUnknown) as unknown:
            await write(connector)
        assert unknown.value.sent is True


async def test_a_passed_deadline_sends_nothing() -> None:
    clock = Clock()
    async with serving([reply()]) as server, vendor(server.url, clock=clock) as connector:
        with call(clock=clock, seconds=1):
            clock.pass_(2)
            with pytest.raises(DeadlineExceeded) as caught:
                await write(connector)
    assert caught.value.sent is False
    assert server.got == []


# writes that get no answer


async def test_a_write_reset_after_it_arrived_is_not_sent_again() -> None:
    async def answer(got: Got, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with serving(answer) as server, vendor(server.url) as connector:
        with pytest.raises(OutcomeUnknown) as caught:
            await write(connector)
    assert caught.value.sent is True
    assert len(server.got) == 1


async def test_a_write_into_a_connection_the_server_has_left_is_not_sent_again() -> None:
    """A stale keep-alive connection: nobody can tell whether the server read the request."""

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes | None:
        if got.method == "GET":
            return reply()
        reset(writer)
        return None

    async with serving(answer) as server, vendor(server.url) as connector:
        await connector.read("x")
        with pytest.raises(OutcomeUnknown):
            await write(connector)
    assert server.connections == 1
    assert [g.method for g in server.got] == ["GET", "POST"]


async def test_a_write_to_nobody_was_never_sent_and_is_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    clock = Clock()
    async with vendor(f"http://127.0.0.1:{port}", clock=clock) as connector:
        with pytest.raises(Unavailable) as caught:
            await write(connector)
    assert caught.value.sent is False
    assert f"127.0.0.1:{port} refuses connections" in str(caught.value)
    assert len(clock.slept) == 2


async def test_a_write_goes_through_once_the_server_is_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arrived: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(201, Connection="close"))
        writer.close()

    class Late(Clock):
        async def sleep(self, seconds: float) -> None:
            self.server = await asyncio.start_server(handle, "127.0.0.1", port)

    clock = Late()
    async with vendor(f"http://127.0.0.1:{port}", clock=clock) as connector:
        assert (await write(connector)).status == 201
    clock.server.close()
    assert len(arrived) == 1


async def test_an_unknown_host_says_so() -> None:
    async with vendor("https://ehr.invalid", attempts=1) as connector:
        with pytest.raises(Unavailable) as caught:
            await write(connector)
    assert "ehr.invalid" in str(caught.value)
    assert caught.value.sent is False


async def test_a_repeatable_write_is_sent_again_after_a_lost_answer() -> None:
    calls = 0

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            reset(writer)
            return None
        return reply(201)

    async with serving(answer) as server, vendor(server.url) as connector:
        assert (await write(connector, repeatable=True)).status == 201
    assert len(server.got) == 2


async def test_a_refusal_of_the_second_try_does_not_settle_the_first() -> None:
    """A conditional write: the first try may have caused the 412 of the second."""
    calls = 0

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes | None:
        nonlocal calls
        calls += 1
        if calls == 1:
            reset(writer)
            return None
        return reply(412)

    async with serving(answer) as server, vendor(server.url) as connector:
        with pytest.raises(OutcomeUnknown):
            await write(connector, repeatable=True)
    assert len(server.got) == 2


async def test_a_cancelled_write_is_not_sent_again() -> None:
    here = asyncio.Event()

    async def answer(got: Got, writer: asyncio.StreamWriter) -> None:
        here.set()
        await asyncio.sleep(5)

    async with serving(answer) as server, vendor(server.url) as connector:
        task = asyncio.create_task(write(connector))
        await here.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(server.got) == 1


async def test_only_what_provably_never_left_counts_as_unsent() -> None:
    """On somebody else's transport a connect error may come after sending."""
    import httpx  # the test plays a foreign transport; its errors are this library's

    class Lying(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise httpx.ConnectTimeout("not true")

    class Foreign(Vendor):
        def _transport(self) -> Any:
            return Lying()

    async with vendor("https://ehr.example", kind=Foreign) as connector:
        with pytest.raises(OutcomeUnknown):
            await write(connector)


# statuses


@pytest.mark.parametrize(
    ("status", "leaf"),
    [
        (400, Rejected),
        (401, AuthFailed),
        (403, AuthFailed),
        (404, NotFound),
        (409, SlotTaken),
        (410, NotFound),
        (412, Stale),
        (422, Rejected),
        (423, Stale),
        (429, RateLimited),
        (308, BadResponse),
        (500, OutcomeUnknown),
        (502, OutcomeUnknown),
        (503, OutcomeUnknown),
        (302, OutcomeUnknown),
        (418, OutcomeUnknown),
    ],
)
async def test_what_a_status_means_for_a_write(status: int, leaf: type[OpenSlotError]) -> None:
    answer = reply(status, {"detail": "CANARY"}, X_Correlation_Id="r-9")
    async with serving([answer]) as server, vendor(server.url, attempts=1) as connector:
        with pytest.raises(leaf) as caught:
            await connector.write("POST", "book", step="b", params={"name": "CANARY"})
    assert type(caught.value) is leaf
    assert caught.value.request_id == "r-9"
    assert "CANARY" not in repr(caught.value) + str(caught.value)
    assert caught.value.sent is (leaf is OutcomeUnknown)
    assert len(server.got) == 1


async def test_a_refusal_after_an_earlier_write_of_the_call_says_that_one_had_left() -> None:
    async with serving([reply(200), reply(409)]) as server, vendor(server.url) as connector:
        with call():
            await write(connector)
            with pytest.raises(SlotTaken) as caught:
                await write(connector)
    assert caught.value.sent is True


async def test_a_vendor_extends_the_table() -> None:
    def taken(answer: Reply) -> OpenSlotError | None:
        return SlotTaken() if answer.json().get("code") == "busy" else None

    class Own(Vendor):
        error_table: ClassVar[Mapping[int, ErrorRule]] = {
            400: taken,
            418: SlotTaken,
            503: Refused(Unavailable),
        }

    answers = [reply(400, {"code": "busy"}), reply(400), reply(418), reply(503), reply(201)]
    async with serving(answers) as server, vendor(server.url, kind=Own) as connector:
        for leaf in (SlotTaken, Rejected, SlotTaken):
            with pytest.raises(leaf):
                await write(connector)
        assert (await write(connector)).status == 201  # refused unread, so sent again
    assert len(server.got) == 5


async def test_a_409_to_a_read_is_not_a_taken_slot() -> None:
    async with serving([reply(409)]) as server, vendor(server.url) as connector:
        with pytest.raises(BadResponse):
            await connector.read("x")


async def test_statuses_that_are_answers_here() -> None:
    async with (
        serving([reply(304, raw=b""), reply(412)]) as server,
        vendor(server.url) as connector,
    ):
        assert (await connector.read("x", also=(304,))).status == 304
        assert (await write(connector, also=(412,))).status == 412


# bodies


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (reply(raw=b"<!DOCTYPE html><html>", Content_Type="text/html"), "an HTML page"),
        (reply(raw=b" <Bundle/>"), "markup"),
        (reply(raw=b""), "without a body"),
        (reply(raw=b'{"a": CANARY}'), "not valid JSON"),
        (reply(raw=b'{"a": NaN}'), "not valid JSON"),
        (reply(raw=b"[" * 101 + b"]" * 101), "deeper than 100"),
        (reply(raw=b'{"a":"\xe9"}', Content_Type="application/json; charset=latin1"), "charset"),
        (reply(raw=b'{"a":"\xe9"}'), "not valid JSON"),
    ],
)
async def test_a_body_that_is_not_json(answer: bytes, says: str) -> None:
    async with serving([answer]) as server, vendor(server.url) as connector:
        got = await connector.read("x")
        with pytest.raises(BadResponse, match=says) as caught:
            got.json()
        assert "CANARY" not in str(caught.value)
        assert caught.value.__context__ is None or "CANARY" not in str(caught.value.__context__)
        written = await write(connector)
        with pytest.raises(BadResponse) as caught:
            written.json()
        assert caught.value.sent is True


@pytest.mark.parametrize("declared", [True, False])
async def test_a_ten_megabyte_body_is_one_error(declared: bool) -> None:
    async def answer(got: Got, writer: asyncio.StreamWriter) -> None:
        length = "Content-Length: 10485760\r\n" if declared else "Connection: close\r\n"
        writer.write(f"HTTP/1.1 200 X\r\n{length}\r\n".encode())
        for _ in range(10):
            writer.write(b" " * 1024 * 1024)
            await writer.drain()

    async with serving(answer) as server, vendor(server.url) as connector:
        with pytest.raises(BadResponse, match="more than 8388608 bytes"):
            await connector.read("x")
        with pytest.raises(OutcomeUnknown):
            await write(connector)
    assert len(server.got) == 2


async def test_gzip_is_unpacked_and_a_bomb_is_not() -> None:
    good = reply(raw=gzip.compress(b'{"a":1}'), Content_Encoding="gzip")
    bomb = reply(raw=gzip.compress(bytes(100_000_000), 9), Content_Encoding="gzip")
    cut = reply(raw=gzip.compress(b'{"a":1}' * 100)[:-10], Content_Encoding="gzip")
    other = reply(raw=b"xx", Content_Encoding="br")
    async with serving([good, bomb, cut, other]) as server, vendor(server.url) as connector:
        assert (await connector.read("x")).json() == {"a": 1}
        tracemalloc.start()
        for says in ("more than", "broke its packed answer off", "not asked for"):
            with pytest.raises(BadResponse, match=says):
                await connector.read("x")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert most < 30_000_000


async def test_form_and_content_and_own_headers() -> None:
    async with serving([reply()]) as server, vendor(server.url) as connector:
        await connector.read("_search", method="POST", form={"a": ["1", "2"], "b": "x y"})
        await connector.write(
            "PUT", "x", step="s", content=b"<x/>", headers={"content-type": "text/xml"}
        )
        await connector.write("PATCH", "x", step="s", json=[], headers={"Content-Type": "a/b"})
    assert server.got[0].body == b"a=1&a=2&b=x+y"
    assert server.got[0].headers["content-type"] == "application/x-www-form-urlencoded"
    assert server.got[1].headers["content-type"] == "text/xml"
    assert server.got[2].headers["content-type"] == "a/b"


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", " a", "é", "\x00"])
async def test_header_injection_is_refused_before_sending(value: str) -> None:
    async with serving([reply()]) as server, vendor(server.url) as connector:
        with pytest.raises(ConfigError) as caught:
            await write(connector, headers={"If-Match": value})
    assert caught.value.sent is False
    assert server.got == []


async def test_the_log_has_the_call_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="openslot")
    from pydantic import SecretStr

    key = StaticKey(SecretStr("CANARY-key"))
    answer = reply(body={"name": "CANARY"}, X_Request_Id="r-1", Set_Cookie="CANARY=1")
    async with serving([answer]) as server, vendor(server.url, auth=key) as connector:
        await connector.read("Patient", params={"name": "CANARY"})
        got = await write(connector, headers={"X-Note": "CANARY"})
    text = [r.getMessage() for r in caplog.records if r.name == "openslot.rest"]
    assert [t.split(" ")[:3] for t in text] == [
        ["GET", "/Patient", "200"],
        ["POST", "/book", "200"],
    ]
    assert all(t.endswith(" ms r-1") for t in text)
    assert "CANARY" not in "".join(text) + repr(got) + repr(got.headers) + repr(key)
    assert server.got[1].headers["authorization"] == "Bearer CANARY-key"
    assert "cookie" not in server.got[1].headers
