"""A vendor with a small REST API, its connector, and a recording of the two."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from pydantic import SecretStr

from openslot.connector import ConnectorInfo, Traits
from openslot.model import BookingRequest, Listing, Slot, SlotQuery, Written
from openslot.rest import Auth, RestConnector, RestSettings, StaticKey
from openslot.testing.cassettes import Cassette, Provenance, no_network
from openslot.testing.cassettes.interaction import Listed
from openslot.testing.cassettes.tape import recording, replaying
from openslot.testing.cassettes.veil import Veil
from openslot.testing.server import Receive, Scope, Send

KEY = "Kq7-canary-key-Zx81"
COOKIE = "canary-cookie-91"
BYTES = bytes(range(256))


class ToySettings(RestSettings):
    key: SecretStr = SecretStr(KEY)


class Toy(RestConnector):
    info: ClassVar[ConnectorInfo] = ConnectorInfo("toy", "Toy", Traits(), "https://toy.example/")
    Settings: ClassVar[type[Any]] = ToySettings

    settings: ToySettings

    def authenticate(self) -> Auth:
        return StaticKey(self.settings.key)

    async def find_slots(self, query: SlotQuery) -> Listing[Slot]:
        raise NotImplementedError

    async def book(self, request: BookingRequest) -> Written:
        raise NotImplementedError


async def server(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers what it was sent: packed, in pieces, with cookies, tokens and its own address."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    headers = {k.decode(): v.decode() for k, v in scope["headers"]}
    origin = f"http://{headers['host']}"
    path = scope["path"]
    kind, packed = "application/json", False
    if path.endswith("/binary"):
        answer, kind = BYTES, "application/octet-stream"
    elif path.endswith("/page"):
        answer, kind = b"<p>Not today,\nnor tomorrow.</p>\n", "text/html; charset=utf-8"
    else:
        packed = True
        answer = json.dumps(
            {
                "self": f"{origin}{path}",
                "sent": body.decode(),
                "access_token": "canary-token-17",
                "said": f"your key is {KEY}",
            }
        ).encode()
    fields = [
        (b"content-type", kind.encode()),
        (b"set-cookie", f"session={COOKIE}".encode()),
        (b"x-internal", b"canary-header"),
        (b"location", f"{origin}/api/next?after=2".encode()),
    ]
    if packed:
        answer = gzip.compress(answer)
        fields.append((b"content-encoding", b"gzip"))
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for start in range(0, len(answer), 50):
        piece = answer[start : start + 50]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


Session = Callable[[Toy], Awaitable[Any]]


def provenance(base_url: str = "{origin}/api") -> Provenance:
    return Provenance(
        answered_by="sandbox toy",
        recorded=date(2027, 3, 10),
        connector="toy",
        scenario="test: toy",
        zone="America/New_York",
        clock=datetime(2027, 3, 10, 14, tzinfo=UTC),
        seed=1,
        settings={"base_url": base_url, "key": "{secret}"},
        versions={"openslot": "0", "connector": "0", "python": "3", "vcrpy": "9"},
    )


def run(url: str, session: Session, key: str = KEY) -> Any:
    async def go() -> Any:
        settings = ToySettings(base_url=url, key=SecretStr(key))
        async with Toy(settings, zone=ZoneInfo("UTC")) as toy:
            return await session(toy)

    return asyncio.run(go())


def recorded(path: Path, url: str, session: Session) -> Any:
    """What the session answers, recorded from the server at `url`."""
    veil = Veil.of(ToySettings(base_url=url))
    with recording(path, provenance(), veil, Listed()):
        return run(url, session)


def played(
    path: Path,
    session: Session,
    *,
    url: str = "https://elsewhere.example/api",
    key: str = "another",
    blocked: bool = True,
) -> Any:
    """What the session answers, played at another address, under another key."""
    veil = Veil.of(ToySettings(base_url=url, key=SecretStr(key)))
    with (
        no_network() if blocked else nullcontext(),
        replaying(path, Cassette.load(path), veil, Listed()),
    ):
        return run(url, session, key)
