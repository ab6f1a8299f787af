"""What travels between a connector and its sandbox: kept, counted, and altered where a check asks.

The server is started once for all checks of a class. Beside it listens another one, on an origin
that no practice has configured: whatever reaches it went where it must not.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from openslot.testing.server import ASGIApp, Message, Receive, Scope, Send, serve

__all__ = ["Seen", "Stage", "Wire"]

Alter = Callable[["Seen", Any], Any]
"""Given a request and the JSON document that answers it, the document to answer instead."""


@dataclass(slots=True)
class Seen:
    """One request as it arrived; `status` is None until it is answered, or where it never was."""

    method: str
    target: str
    """Path and query, as sent."""
    headers: dict[str, str]
    body: bytes
    status: int | None = None

    @property
    def same(self) -> tuple[str, str, bytes]:
        """What makes two requests the same."""
        return (self.method, self.target, self.body)


@dataclass(slots=True)
class Instead:
    """An answer in place of the application's, from the nth request on."""

    status: int
    body: bytes
    media_type: str
    headers: dict[str, str] = field(default_factory=dict)


class Wire:
    """ASGI middleware that sees every request, outermost of all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self.alter: Alter | None = None
        self.instead: Callable[[Seen], Instead | None] | None = None
        self.watch: Callable[[], None] | None = None
        """Called after each request, before its answer leaves."""

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Every request since the start, or since `forget`."""
        with self._lock:
            return tuple(self._seen)

    def forget(self) -> None:
        """Start counting again, and alter nothing any more."""
        with self._lock:
            self._seen = []
        self.alter = self.instead = self.watch = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        query = scope["query_string"].decode("latin-1")
        seen = Seen(
            scope["method"],
            scope["raw_path"].decode("latin-1") + (f"?{query}" if query else ""),
            {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]},
            bytes(body),
        )
        with self._lock:
            self._seen.append(seen)
        told = False

        async def again() -> Message:
            nonlocal told
            if told:
                return await receive()
            told = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        instead = self.instead(seen) if self.instead else None
        if instead is not None:
            await _answer(instead, send)
            seen.status = instead.status
            return
        start: Message | None = None
        kept = bytearray()

        async def forward(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                if self.watch is not None:
                    self.watch()
                if self.alter is not None:
                    start = message
                    return
            elif start is not None:
                kept.extend(message.get("body", b""))
                if message.get("more_body"):
                    return
                await self._altered(seen, start, bytes(kept), send)
                return
            await send(message)

        await self._app(scope, again, forward)

    async def _altered(self, seen: Seen, start: Message, body: bytes, send: Send) -> None:
        try:
            document = json.loads(body) if body else None
        except ValueError:
            document = None
        if document is not None and self.alter is not None:
            body = json.dumps(self.alter(seen, document)).encode()
        headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
        headers.append((b"content-length", str(len(body)).encode()))
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _answer(instead: Instead, send: Send) -> None:
    headers = {
        "content-type": instead.media_type,
        "content-length": str(len(instead.body)),
        **instead.headers,
    }
    raw = [(k.encode(), v.encode()) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": instead.status, "headers": raw})
    await send({"type": "http.response.body", "body": instead.body})


class Stage:
    """The server of a run, whose application changes with every check, and the one elsewhere."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.app: ASGIApp = _nobody
        self.known: Any = None
        """What is remembered of the connector, so that checks which do not apply cost nothing."""
        self.stay: Any = None
        """What is shared on a server that is not ours (`foreign.Stay`)."""
        self._elsewhere = Wire(_nobody)
        self._origins: tuple[str, str] | None = None

    @property
    def origin(self) -> str:
        """Where the sandbox of the check that runs is served."""
        return self._open()[0]

    @property
    def elsewhere(self) -> str:
        """An origin that is not the practice's."""
        return self._open()[1]

    @property
    def strayed(self) -> tuple[Seen, ...]:
        """What reached the other origin."""
        return self._elsewhere.seen

    def set(self, app: ASGIApp) -> None:
        """Serve this application from now on."""
        self.app = app
        self._elsewhere.forget()

    def close(self) -> None:
        """Stop listening."""
        self._stack.close()
        self._origins = None
        if self.stay is not None:
            self.stay.close()
            self.stay = None

    def _open(self) -> tuple[str, str]:
        if self._origins is None:
            here = self._stack.enter_context(serve(self))
            there = self._stack.enter_context(serve(self._elsewhere))
            self._origins = (here, there)
        return self._origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers everything with an empty page, so that a client that got here goes on."""
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await _answer(Instead(200, b"{}", "application/json"), send)
