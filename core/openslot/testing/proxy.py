"""Faults in front of any server: a reverse proxy for a vendor's test system.

    openslot sandbox --proxy https://test.vendor.example/api --fault lost-reply:nth=2,method=POST

A client is configured with the proxy's address and meets the faults; the server knows nothing of
them. The server's own address in what it answers (next links, Location) is replaced by the proxy's,
and the other way round in what it is sent, so that a client stays with the proxy. What is signed
for the server's address, such as the assertion of a SMART client, does not survive that: give such
a client its token URL at the server itself. `expired-token` and `revoked-token` answer 401 in the
server's place, to the calls that they strike.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from openslot.errors import ConfigError
from openslot.testing.faults import Fault, Faults
from openslot.testing.server import TLS, Receive, Scope, Send, run, serve

__all__ = ["CONTROL", "Proxy", "proxy_run"]

CONTROL = "/.sandbox"
LARGEST = 64 * 1024 * 1024
"""Bytes of a body, either way."""
TIMEOUT = 60.0

_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers of one connection, not of a message (RFC 9110, 7.6.1)."""
_ADDRESSES = frozenset((b"location", b"content-location", b"link", b"refresh"))

_Headers = list[tuple[bytes, bytes]]


class Proxy:
    """The server at `upstream` as an ASGI application under `Faults`.

    `upstream` is the address that a client would be configured with; its path is what `path=` of a
    fault leaves out. `ca_file` holds the authorities of a server whose certificate is its own.
    Every call of any path goes to that server and to no other. A server that cannot be reached is
    502, one that does not answer within a minute 504. The control page `/.sandbox` shows and turns
    the faults, as a sandbox's does. Raises ConfigError for what is no address.
    """

    def __init__(
        self, upstream: str, faults: Iterable[Fault | str] = (), *, ca_file: Path | None = None
    ) -> None:
        parts = urlsplit(upstream)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query:
            raise ConfigError("the server behind the proxy is given as http://HOST[:PORT][/PATH]")
        if parts.username is not None:
            raise ConfigError("the address of the server behind the proxy holds no credentials")
        self.base_path = parts.path.rstrip("/")
        self._origin = f"{parts.scheme}://{parts.netloc}".encode("ascii")
        self._netloc, self._host, self._port = parts.netloc, parts.hostname, parts.port
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        if self._tls is not None and ca_file is not None:
            try:
                self._tls.load_verify_locations(ca_file)
            except OSError as error:
                raise ConfigError(f"{ca_file} cannot be read as PEM certificates") from error
        self.faults = Faults(self._forward, faults, base=self.base_path, exempt=CONTROL)

    @property
    def app(self) -> Faults:
        """The ASGI application, faults included."""
        return self.faults

    @contextmanager
    def serve(self, *, port: int = 0, tls: TLS | None = None) -> Iterator[str]:
        """Serve it from a thread; the value is the address that a client is configured with."""
        with serve(self.app, port=port, tls=tls) as origin:
            yield origin + self.base_path

    async def _forward(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
            return
        body = await _whole(receive)
        path: bytes = scope["raw_path"]
        if body is None:
            status, headers, answer = _said(413, "the request is too large for the proxy")
        elif scope["path"].startswith(CONTROL):
            status, headers, answer = self._control(scope["method"], scope["path"], body)
        else:
            own = _own_origin(scope)
            target = path + (b"?" + scope["query_string"] if scope["query_string"] else b"")
            status, headers, answer = await asyncio.to_thread(
                self._call,
                scope["method"],
                target.decode("ascii"),
                [(k, v.replace(own, self._origin)) for k, v in scope["headers"]],
                _readdressed(body, own, self._origin),
            )
            headers = [
                (k, v.replace(self._origin, own) if k.lower() in _ADDRESSES else v)
                for k, v in headers
            ]
            answer = _readdressed(answer, self._origin, own)
        if scope["method"] != "HEAD":
            headers = [(k, v) for k, v in headers if k.lower() != b"content-length"]
            headers.append((b"content-length", str(len(answer)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _call(
        self, method: str, target: str, headers: _Headers, body: bytes
    ) -> tuple[int, _Headers, bytes]:
        """One call of the server behind, on a connection of its own."""
        link: http.client.HTTPConnection
        if self._tls is None:
            link = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        else:
            link = http.client.HTTPSConnection(
                self._host, self._port, timeout=TIMEOUT, context=self._tls
            )
        try:
            link.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            link.putheader("Host", self._netloc)
            for name, value in _passed(headers):
                # A packed answer could be neither readdressed nor spoilt in a readable way.
                if name not in {b"host", b"content-length", b"accept-encoding", b"expect"}:
                    link.putheader(name.decode("latin-1"), value)
            link.putheader("Accept-Encoding", "identity")
            if body or method in {"POST", "PUT", "PATCH"}:
                link.putheader("Content-Length", str(len(body)))
            link.endheaders(body or None)
            answer = link.getresponse()
            read = answer.read(LARGEST + 1)
            if len(read) > LARGEST:
                return _said(502, "the server answered with more than the proxy takes")
            given = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in answer.getheaders()]
            return answer.status, list(_passed(given)), read
        except TimeoutError:
            return _said(504, "the server behind the proxy did not answer in time")
        except (OSError, http.client.HTTPException) as error:
            return _said(502, f"the server behind the proxy failed: {type(error).__name__}")
        finally:
            link.close()

    def _control(self, method: str, path: str, body: bytes) -> tuple[int, _Headers, bytes]:
        """GET /.sandbox; PUT /.sandbox/faults."""
        what = (method, path.removeprefix(CONTROL).strip("/"))
        try:
            if what == ("PUT", "faults"):
                self.faults.script(body.decode())
            elif what != ("GET", ""):
                return _said(404, str(self._control.__doc__))
        except (ConfigError, ValueError) as error:
            return _said(400, str(error))
        report = {"upstream": self._origin.decode() + self.base_path, **self.faults.report()}
        return 200, [(b"content-type", b"application/json")], json.dumps(report).encode()


def proxy_run(
    upstream: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    faults: Iterable[str] = (),
    ca_file: Path | None = None,
    tls: TLS | None = None,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Run the proxy until SIGTERM or SIGINT; `announce` is told the address for a client.

    Raises ConfigError for an address or a fault that is none, OSError where the port is taken.
    """
    proxy = Proxy(upstream, tuple(faults), ca_file=ca_file)
    run(
        proxy.app,
        host=host,
        port=port,
        tls=tls,
        announce=lambda origin: announce(origin + proxy.base_path),
    )


def _passed(headers: _Headers) -> Iterator[tuple[bytes, bytes]]:
    """The headers of the message, in lower case, without those of the connection."""
    named = {
        word.strip().decode("latin-1").lower()
        for k, v in headers
        if k.lower() == b"connection"
        for word in v.split(b",")
    }
    for k, v in headers:
        if k.decode("latin-1").lower() not in _HOP | named:
            yield k.lower(), v


def _readdressed(body: bytes, old: bytes, new: bytes) -> bytes:
    """A text with one address instead of the other, also as JSON with escaped slashes has it.

    What goes on after the address (another port, a longer host) makes it another address.
    """
    for escape in (b"", b"\\"):
        was, now = (origin.replace(b"/", escape + b"/") for origin in (old, new))
        other = rb"(?![A-Za-z0-9:-]|\.[A-Za-z0-9])"
        body = re.sub(re.escape(was) + other, now.replace(b"\\", rb"\\"), body)
    return body


def _own_origin(scope: Scope) -> bytes:
    host: bytes = next((v for k, v in scope["headers"] if k == b"host"), b"127.0.0.1")
    scheme: str = scope["scheme"]
    return scheme.encode("ascii") + b"://" + host


def _said(status: int, sentence: str) -> tuple[int, _Headers, bytes]:
    document = json.dumps({"error": sentence}).encode()
    return status, [(b"content-type", b"application/json")], document


async def _whole(receive: Receive) -> bytes | None:
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > LARGEST:
            return None
        if not message.get("more_body"):
            break
    return bytes(body)
