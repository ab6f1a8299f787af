"""What each fault does to one call: the effects behind the names in `KINDS`."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from openslot.testing.server import ASGIApp, Connection, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from openslot.testing.faults import Fault, Faults

__all__ = ["KINDS", "Kind", "Next", "Reply", "Struck", "set_next"]

Next = Callable[[Any, str | None], bool]
"""Sets the next link of a parsed page, or removes it; says whether the document is a page."""

ELSEWHERE = "http://elsewhere.invalid"
"""An origin that no name server knows (RFC 2606): where links lead that must not be followed."""


@dataclass(slots=True)
class Reply:
    """A whole answer, to be altered before it is sent."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header."""
        return next((v for k, v in self.headers if k.lower() == name), None)

    def set(self, name: bytes, value: bytes) -> None:
        """Replace a header."""
        self.drop(name)
        self.headers.append((name, value))

    def drop(self, name: bytes) -> None:
        """Remove a header."""
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name]

    async def send(self, send: Send) -> None:
        """Send it with a content length that is true."""
        self.set(b"content-length", str(len(self.body)).encode())
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


class Struck:
    """An application that one fault strikes."""

    def __init__(self, switch: Faults, fault: Fault, app: ASGIApp) -> None:
        self.switch = switch
        self.fault = fault
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        effect = KINDS[self.fault.name].effect
        assert effect is not None, "what strikes no call is not put around an application"
        await effect(self, scope, receive, send)

    def seconds(self, default: float) -> float:
        """The fault's seconds, or the kind's own."""
        return default if self.fault.seconds is None else self.fault.seconds

    async def reply(self, scope: Scope, receive: Receive) -> Reply:
        """Let the application commit and keep its answer back."""
        kept = Reply()

        async def keep(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept.status = message["status"]
                kept.headers = list(message.get("headers", ()))
            elif message["type"] == "http.response.body":
                kept.body += message.get("body", b"")

        await self.app(scope, receive, keep)
        return kept


Effect = Callable[[Struck, Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: what it does, for people, and which options it cannot do without.

    `of` is what it strikes: a call, a webhook, or the landing of an accepted write. What it does to
    a call is its effect; the others are carried out by who sends the webhook or lands the write.
    """

    name: str
    what: str
    effect: Effect | None = None
    needs: tuple[str, ...] = ()
    of: str = "call"


KINDS: dict[str, Kind] = {}


def _kind(name: str, what: str, needs: tuple[str, ...] = ()) -> Callable[[Effect], Effect]:
    def keep(effect: Effect) -> Effect:
        KINDS[name] = Kind(name, what, effect, needs)
        return effect

    return keep


async def _gone(receive: Receive) -> None:
    """Wait until the server knows that the connection is gone, so that it complains of nothing."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """A request whose body was read already."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


# the connection


@_kind("lost-reply", "The application commits; the connection is reset before the answer leaves.")
async def _lost_reply(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    # Read to the end, whether the application does or not: a client that is still sending when the
    # reset arrives sees it at its next write, and at the read after that only an end.
    body = await _body(receive)
    await struck.reply(scope, _again(body, receive))
    Connection.of(scope).reset()
    await _gone(receive)


@_kind("reset-before", "The connection is reset; the application never sees the call.")
async def _reset_before(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    await _body(receive)
    Connection.of(scope).reset()
    await _gone(receive)


@_kind(
    "late-commit",
    "The connection is reset at once; the application commits `seconds` (1) later, when the client "
    "has given up.",
)
async def _late_commit(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    body = await _body(receive)
    Connection.of(scope).reset()
    await _gone(receive)
    await asyncio.sleep(struck.seconds(1.0))
    await struck.reply(scope, _again(body, receive))


@_kind(
    "truncated-body",
    "Half of the body arrives under the content length of the whole; then the connection closes.",
)
async def _truncated_body(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    reply.set(b"content-length", str(max(len(reply.body), 2)).encode())
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    half = reply.body[: len(reply.body) // 2]
    await send({"type": "http.response.body", "body": half, "more_body": True})
    Connection.of(scope).close()
    await _gone(receive)


# time


@_kind("delay-before", "Nothing happens for `seconds` (5), then the call goes its way.")
async def _delay_before(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    body = await _body(receive)
    await asyncio.sleep(struck.seconds(5.0))
    await struck.app(scope, _again(body, receive), send)


@_kind("delay-after", "The application commits; its answer leaves `seconds` (5) later.")
async def _delay_after(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    await asyncio.sleep(struck.seconds(5.0))
    await reply.send(send)


@_kind(
    "slow-dribble",
    "The body arrives `size` (16) bytes at a time, every `seconds` (0.2), so that no single read "
    "ever times out.",
)
async def _slow_dribble(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    reply.set(b"content-length", str(len(reply.body)).encode())
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    size = struck.fault.size or 16
    for at in range(0, len(reply.body), size):
        piece = reply.body[at : at + size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(struck.seconds(0.2))
    await send({"type": "http.response.body", "body": b""})


@_kind("clock-skew", "The Date header is wrong by `seconds` (300; negative is behind).")
async def _clock_skew(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    wrong = struck.switch.clock.now() + timedelta(seconds=struck.seconds(300.0))
    reply.set(b"date", format_datetime(wrong, usegmt=True).encode())
    await reply.send(send)


# answers in place of the application's


def _instead(status: int, what: str, body: bytes = b"", kind: bytes = b"text/plain") -> Effect:
    async def effect(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
        if struck.fault.after:
            await struck.reply(scope, receive)
        else:
            await _body(receive)
        # A date is measured on the clock of whoever says it (RFC 9110, 10.2.3).
        now = struck.switch.clock.now()
        headers = [(b"content-type", kind), (b"date", format_datetime(now, usegmt=True).encode())]
        if what == "seconds":
            headers.append((b"retry-after", str(max(0, round(struck.seconds(2)))).encode()))
        elif what == "date":
            when = now + timedelta(seconds=struck.seconds(2))
            headers.append((b"retry-after", format_datetime(when, usegmt=True).encode()))
        await Reply(status, headers, body).send(send)

    return effect


_PAGE = (
    b"<!DOCTYPE html><html><head><title>Maintenance</title></head>"
    b"<body><h1>We will be back shortly</h1></body></html>"
)
_HTML = b"text/html; charset=utf-8"

_kind("rate-limited", "429 with Retry-After in `seconds` (2).")(_instead(429, "seconds"))
_kind("rate-limited-date", "429 with Retry-After as a date, `seconds` (2) from now.")(
    _instead(429, "date")
)
_kind("error-500", "500 with an empty body.")(_instead(500, ""))
_kind("error-502", "502 with an empty body.")(_instead(502, ""))
_kind("error-503", "503 with Retry-After in `seconds` (2).")(_instead(503, "seconds"))
_kind("error-504", "504 with an empty body; the call may have got through (`after`).")(
    _instead(504, "")
)
_kind("html-200", "An HTML page with 200, as a login or maintenance page answers.")(
    _instead(200, "", _PAGE, _HTML)
)
_kind("html-502", "An HTML page with 502, as a gateway answers.")(_instead(502, "", _PAGE, _HTML))


@_kind("redirect-elsewhere", "307 to the same path on another host (`to`).")
async def _redirect(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    await _body(receive)
    target = (struck.fault.to or ELSEWHERE).encode() + scope["raw_path"]
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    await Reply(307, [(b"location", target)]).send(send)


@_kind("expired-token", "The access tokens expire just now: this call and later ones get 401.")
async def _expired(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    await _end_tokens(struck, struck.switch.expire, scope, receive, send)


@_kind("revoked-token", "The client's rights end just now: 401, and no new token either.")
async def _revoked(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    await _end_tokens(struck, struck.switch.revoke, scope, receive, send)


async def _end_tokens(
    struck: Struck,
    end: Callable[[], None] | None,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    if end is not None:
        end()
        await struck.app(scope, receive, send)
        return
    await _body(receive)
    challenge = b'Bearer error="invalid_token", error_description="the token expired"'
    await Reply(401, [(b"www-authenticate", challenge)]).send(send)


# bodies


@_kind("malformed-json", "The body breaks off into what is no JSON, under its true length.")
async def _malformed(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    # Inside a string the quote ends it and the brace is out of place; outside, it opens one.
    reply.body = reply.body[: len(reply.body) // 2] + b'"{'
    await reply.send(send)


@_kind("wrong-charset", "The last text in the body holds Latin-1 bytes, declared as UTF-8.")
async def _wrong_charset(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    texts = list(re.finditer(rb':\s*"[^"\\]*(?=")', reply.body))
    at = texts[-1].end() if texts else len(reply.body)
    reply.body = reply.body[:at] + "é".encode("latin-1") + reply.body[at:]
    await reply.send(send)


@_kind("huge-body", "The body swells to `size` (12,000,000) bytes, its length not declared.")
async def _huge_body(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    reply.drop(b"content-length")
    left = max(0, (struck.fault.size or 12_000_000) - len(reply.body))
    head, tail = reply.body[:-1], reply.body[-1:]
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": head, "more_body": True})
    while left > 0:
        piece = b" " * min(left, 65_536)
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        left -= len(piece)
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": tail})


@_kind("gzip-bomb", "A small gzip body that unpacks to `size` (50,000,000) bytes.")
async def _gzip_bomb(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    left = max(0, (struck.fault.size or 50_000_000) - len(reply.body))
    reply.body = gzip.compress(reply.body[:-1] + b" " * left + reply.body[-1:], mtime=0)
    reply.set(b"content-encoding", b"gzip")
    await reply.send(send)


@_kind("deep-nesting", "The document holds a list in a list, `size` (100,000) levels deep.")
async def _deep_nesting(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    reply = await struck.reply(scope, receive)
    levels = struck.fault.size or 100_000
    nest = b"[" * levels + b"]" * levels
    whole = reply.body.rstrip()
    if whole.endswith(b"}") and len(whole) > 2:
        reply.body = whole[:-1] + b',"nested":' + nest + b"}"
    else:
        reply.body = nest
    await reply.send(send)


# pages


def set_next(document: Any, url: str | None) -> bool:
    """Set the next link of a FHIR Bundle, or of a page with a `next` member; None removes it."""
    if not isinstance(document, dict):
        return False
    if document.get("resourceType") == "Bundle":
        links = [k for k in document.get("link", ()) if k.get("relation") != "next"]
        document["link"] = links + ([{"relation": "next", "url": url}] if url else [])
        return True
    if "next" in document:
        document["next"] = url
        return True
    return False


def _next(url: Callable[[Struck, Scope], str | None]) -> Effect:
    async def effect(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await struck.reply(scope, receive)
        try:
            document = json.loads(reply.body)
        except ValueError:
            document = None
        if struck.switch.next_link(document, url(struck, scope)):
            reply.body = json.dumps(document).encode()
        await reply.send(send)

    return effect


def _target(scope: Scope) -> str:
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    return (path + (b"?" + query if query else b"")).decode("ascii")


def _own_origin(scope: Scope) -> str:
    host = next((v for k, v in scope["headers"] if k == b"host"), b"127.0.0.1")
    return f"{scope['scheme']}://{host.decode('ascii')}"


_kind("page-loop", "The next link leads to the page that holds it.")(
    _next(lambda struck, scope: _own_origin(scope) + _target(scope))
)
_kind("next-elsewhere", "The next link leads to another host (`to`).")(
    _next(lambda struck, scope: (struck.fault.to or ELSEWHERE) + _target(scope))
)
_kind("dropped-next", "There is no next link, though there are more pages.")(
    _next(lambda struck, scope: None)
)


@_kind("dropped-filter", "The server ignores the search parameter `param`.", needs=("param",))
async def _dropped_filter(struck: Struck, scope: Scope, receive: Receive, send: Send) -> None:
    def without(query: bytes) -> bytes:
        pairs = parse_qsl(query.decode(), keep_blank_values=True)
        return urlencode([(k, v) for k, v in pairs if k != struck.fault.param]).encode()

    form = any(
        k == b"content-type" and v.startswith(b"application/x-www-form-urlencoded")
        for k, v in scope["headers"]
    )
    scope = {**scope, "query_string": without(scope["query_string"])}
    if form:
        body = without(await _body(receive))
        # The headers keep the old length; applications go by the body.
        receive = _again(body, receive)
    await struck.app(scope, receive, send)


# webhooks, and writes that land later

for _name, _of, _what in (
    ("webhook-dropped", "webhook", "The webhook never arrives."),
    (
        "webhook-duplicated",
        "webhook",
        "The webhook arrives twice, the same to the byte, the second `seconds` (0) later.",
    ),
    (
        "webhook-delayed",
        "webhook",
        "The webhook arrives `seconds` (60) late, signed when it should have arrived.",
    ),
    (
        "webhook-reordered",
        "webhook",
        "The webhook arrives after the next one, or `seconds` (60) late where none follows.",
    ),
    ("webhook-forged", "webhook", "The webhook is signed with a secret that is somebody else's."),
    (
        "landing-fails",
        "landing",
        "An accepted write fails when its time comes, and nobody is told why.",
    ),
    ("landing-never", "landing", "An accepted write neither lands nor fails."),
    ("landing-delayed", "landing", "An accepted write takes `seconds` (60) longer than it should."),
):
    KINDS[_name] = Kind(_name, _what, of=_of)
