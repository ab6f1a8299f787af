"""A server on loopback that answers byte for byte what a test says, and remembers what it got."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from openslot.connector import ConnectorInfo, Traits
from openslot.rest import Auth, RestConnector, RestSettings


@dataclass
class Got:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """`answer` gets each request and returns bytes, or None where it wrote to the writer."""

    answer: Callable[[Got, asyncio.StreamWriter], Awaitable[bytes | None]]
    port: int = 0
    scheme: str = "http"
    got: list[Got] = field(default_factory=list)
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        host = "localhost" if self.scheme == "https" else "127.0.0.1"
        return f"{self.scheme}://{host}:{self.port}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                first, *lines = head.rstrip("\r\n").split("\r\n")
                method, target, _ = first.split(" ", 2)
                headers = {k.lower(): v.strip() for k, v in (x.split(":", 1) for x in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                got = Got(method, target, headers, body)
                self.got.append(got)
                out = await self.answer(got, writer)
                if out is None:
                    break
                writer.write(out)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # clients come and go, and so does the server
        finally:
            self.tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def reply(
    status: int = 200,
    body: Any = None,
    *,
    raw: bytes | None = None,
    **headers: str,
) -> bytes:
    """A whole HTTP/1.1 answer; underscores in header names stand for hyphens."""
    data = raw if raw is not None else json.dumps({} if body is None else body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(data))}
    fields.update({k.replace("_", "-"): v for k, v in headers.items()})
    head = "".join(f"{k}: {v}\r\n" for k, v in fields.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + data


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection at once."""
    writer.transport.abort()


@contextlib.asynccontextmanager
async def serving(
    answer: Callable[[Got, asyncio.StreamWriter], Awaitable[bytes | None]] | list[bytes],
    *,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """A server for the length of a test; a list answers one after another, the last for ever."""
    if isinstance(answer, list):
        queue = list(answer)

        async def scripted(got: Got, writer: asyncio.StreamWriter) -> bytes:
            return queue.pop(0) if len(queue) > 1 else queue[0]

        server = Server(scripted)
    else:
        server = Server(answer)
    server.scheme = "https" if tls else "http"
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in list(server.tasks):
            task.cancel()
        await asyncio.gather(*server.tasks, return_exceptions=True)


class Clock:
    """A clock whose sleeping costs nothing and is written down."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
        self._start = self._now

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_(seconds)
        await asyncio.sleep(0)

    def pass_(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


class Vendor(RestConnector):
    """The smallest connector there is."""

    info = ConnectorInfo(name="vendor", title="Vendor", traits=Traits(), documentation="none")
    auth: Auth | None = None

    def authenticate(self) -> Auth | None:
        return self.auth

    async def find_slots(self, query: Any) -> Any:
        raise NotImplementedError

    async def book(self, request: Any) -> Any:
        raise NotImplementedError


def vendor(
    url: str,
    *,
    auth: Auth | None = None,
    clock: Any = None,
    kind: type[Vendor] = Vendor,
    **more: Any,
) -> Vendor:
    """A connector to that address, whose waits cost no time."""
    made = kind(RestSettings(base_url=url, **more), zone=ZoneInfo("UTC"), clock=clock or Clock())
    made.auth = auth
    return made
