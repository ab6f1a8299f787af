"""A relay in front of a server that stops one write on its way in, or its answer on the way out.

It carries whole requests, so that "sent and not arrived", "arrived after the sender died" and
"done and not answered" are moments one can stand in, not races one has to win.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

PATIENCE = 60.0

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class Stop:
    """Where the gate closes: at the nth write, and what becomes of it.

    `before`: it never reaches the server. `late`: it does, `delay` seconds after its sender died.
    `after`: it does at once, and its answer never leaves.
    """

    where: str
    nth: int
    delay: float = 0.0
    seen: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    dead: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def is_here(self) -> bool:
        """Whether the write that is passing now is the one."""
        self.seen += 1
        return self.seen == self.nth


class Gate:
    """The relay; `stop` is what it is set to."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        assert parts.hostname and parts.port
        self.upstream = (parts.hostname, parts.port)
        self.path = parts.path
        self.url = ""
        self.stop: Stop | None = None
        self._lock = threading.Lock()

    @contextmanager
    def set(self, stop: Stop) -> Iterator[Stop]:
        """Close the gate at one write for the length of a block."""
        self.stop = stop
        try:
            yield stop
        finally:
            stop.dead.set()
            self.stop = None

    def carry(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer | None:
        """The server's answer; None where the gate swallowed the request or the answer."""
        stop = self.stop
        write = request.command in {"PUT", "POST", "PATCH"} and "_search" not in request.path
        with self._lock:
            here = stop is not None and write and stop.is_here()
        if stop is None or not here:
            return self._forward(request, body)
        try:
            if stop.where == "after":
                self._forward(request, body)
            stop.held.set()
            assert stop.dead.wait(PATIENCE)
            if stop.where == "late":
                time.sleep(stop.delay)
                self._forward(request, body)
        finally:
            stop.over.set()
        return None

    def _forward(self, request: BaseHTTPRequestHandler, body: bytes) -> Answer:
        connection = http.client.HTTPConnection(*self.upstream, timeout=PATIENCE)
        try:
            connection.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            left_out = {"connection", "keep-alive", "transfer-encoding", "content-length"}
            headers = [h for h in answer.getheaders() if h[0].lower() not in left_out]
            return answer.status, headers, data
        finally:
            connection.close()

    @classmethod
    @contextmanager
    def before(cls, upstream: str) -> Iterator[Gate]:
        """A gate in front of this server, open until it is set."""
        gate = cls(upstream)

        class Handler(_Handler):
            keeper = gate

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        gate.url = f"http://127.0.0.1:{server.server_port}{gate.path}"
        try:
            yield gate
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    keeper: ClassVar[Gate]

    def _carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        answer = self.keeper.carry(self, body)
        if answer is None:
            self.close_connection = True
            return
        status, headers, data = answer
        try:
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True  # the sender was killed meanwhile

    do_GET = do_PUT = do_POST = do_PATCH = _carry

    def handle(self) -> None:
        with suppress(ConnectionError):  # likewise
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Query strings name patients: nothing is logged."""
