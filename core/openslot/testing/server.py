"""An ASGI application served over real HTTP on this machine: in a thread for a test, or for good.

The server hands each request the means to cut its own connection (`Connection`), because a fault
that only raises inside the application is answered with a tidy 500 and tests nothing.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import threading
from asyncio import Transport
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from uvicorn import Server

__all__ = ["TLS", "ASGIApp", "Connection", "Message", "Receive", "Scope", "Send", "run", "serve"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_STATE = "openslot.connection"


@dataclass(frozen=True, slots=True)
class TLS:
    """Paths of the certificate chain and of its key, both PEM."""

    certificate: Path
    key: Path


class Connection:
    """The TCP connection under a request."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def of(cls, scope: Scope) -> Connection:
        """The connection under this request. Raises LookupError under any other server."""
        try:
            found = scope["state"][_STATE]
        except KeyError:
            raise LookupError(
                "cutting a connection needs openslot.testing.server; start the application with it"
            ) from None
        assert isinstance(found, Connection)
        return found

    def reset(self) -> None:
        """Cut with an RST: what was not yet read is lost on the other side."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            # Linger for zero seconds turns the close into an RST.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def close(self) -> None:
        """Send what is buffered, then a FIN."""
        self._transport.close()


@contextmanager
def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: TLS | None = None,
) -> Iterator[str]:
    """Serve `app` from a thread of its own; the value is its URL, without a trailing slash.

    Port 0 takes a free one. It answers from the first moment and is gone on leaving.
    Raises OSError where the port is taken.
    """
    listener = _listen(host, port)
    url = _url(listener, tls)
    server = _server(app, tls)
    thread = threading.Thread(target=server.run, args=([listener],), name="openslot-server")
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def run(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: TLS | None = None,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Serve `app` until SIGTERM or SIGINT; `announce` is told the URL once it can be called.

    It runs in the main thread, where signals arrive. Raises OSError where the port is taken.
    """
    listener = _listen(host, port)
    server = _server(app, tls)

    def stop(signal_number: int, frame: object) -> None:
        server.should_exit = True

    # uvicorn sends itself the signal again when it is done; by then this handler is harmless, and
    # the process ends in the caller's own way.
    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        # The socket listens already, so whoever reads the URL may call at once.
        announce(_url(listener, tls))
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol's name asyncio leaves Nagle's algorithm on: 40 ms on every answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket, tls: TLS | None) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{shown}:{port}"


def _server(app: ASGIApp, tls: TLS | None) -> Server:
    from uvicorn import Config, Server
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Protocol(H11Protocol):
        def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            # uvicorn copies this into every request's scope["state"].
            self.app_state = {**self.app_state, _STATE: Connection(transport)}

    class Quick(Server):
        async def main_loop(self) -> None:
            # The library looks ten times a second whether it should end; tests end many servers.
            while not await self.on_tick(0):  # noqa: ASYNC110 (set by a thread, or a signal)
                await asyncio.sleep(0.01)

    return Quick(
        Config(
            app,
            http=Protocol,
            loop="asyncio",
            ws="none",
            # Query strings name patients, so nothing is logged; the application sets Date itself,
            # because a sandbox has a clock of its own.
            access_log=False,
            log_config=None,
            log_level="critical",
            date_header=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=tls.certificate if tls else None,
            ssl_keyfile=tls.key if tls else None,
        )
    )
