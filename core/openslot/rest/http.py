"""The only module that knows the HTTP client library.

It sends one request and reads one bounded answer. What it makes of a failure rests on the trace of
the connection: a request left when its header began to be written, whatever the client's exception
is called. Environment proxies and netrc files are not used, redirects not followed, cookies not
kept: each would send something somewhere that the practice's settings do not name.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import re
import socket
import ssl
import threading
import zlib
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import certifi
import httpx

from openslot.errors import ConfigError
from openslot.rest.origin import Origin
from openslot.rest.reply import Headers
from openslot.rest.wire import Cause, Lost, Request, Timeouts

__all__ = ["Client"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?\Z|\Z")
_ssl_lock = threading.Lock()
_ours: ContextVar[bool] = ContextVar("openslot_http_ours", default=False)


def _not_ours(record: logging.LogRecord) -> bool:
    """Whether a record is of somebody else's request."""
    return not _ours.get()


# The client library logs whole URLs at INFO, and answers' headers at DEBUG: queries and Locations
# may name patients. What there is to say of our requests, `Exchange` says.
for _name in ("httpx", *(f"httpcore.{n}" for n in ("connection", "http11", "http2", "proxy"))):
    logging.getLogger(_name).addFilter(_not_ours)


@functools.cache
def _context(ca_file: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context()  # the machine's authorities: hospitals run their own
    context.load_verify_locations(certifi.where())  # slim containers have none
    if ca_file is not None:
        try:
            context.load_verify_locations(str(ca_file))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"ca_file {ca_file} cannot be read as PEM certificates", sent=False
            ) from error
    return context


class Client:
    """Connections to one origin, made when the first request needs one."""

    def __init__(
        self, origin: Origin, *, ca_file: Path | None, connections: int, transport: Any = None
    ) -> None:
        self._origin = origin
        # Without the trace of a transport of ours, every failure may have come after sending.
        self._traced = transport is None
        with _ssl_lock:  # 16 ms to create, shared by every connector of the process
            context = _context(ca_file)
        self._client = httpx.AsyncClient(
            transport=transport,
            verify=context,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections, keepalive_expiry=15.0),
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._client.aclose()

    async def send(
        self, request: Request, *, timeouts: Timeouts, max_body: int
    ) -> tuple[int, Headers, bytes]:
        """Status, headers and unpacked body. Raises Lost, ConfigError for unfit header fields."""
        seen = _Seen(traced=self._traced)
        built = self._build(request, timeouts, seen)
        ours = _ours.set(True)
        try:
            # A client's read timeout starts again with every chunk; this one does not.
            async with asyncio.timeout(timeouts.total):
                response = await self._client.send(built, stream=True, auth=None)
                try:
                    self._client.cookies.clear()
                    headers = Headers(response.headers.multi_items())
                    seen.headers = headers
                    body = await _read(response, headers, max_body)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise seen.lost(Cause.TIMEOUT, f"{self._where} did not answer in time") from None
        except (httpx.HTTPError, OSError) as error:
            raise self._explain(error, seen) from None
        except _Unreadable as error:
            raise seen.lost(error.cause, f"{self._where} {error}") from None
        finally:
            _ours.reset(ours)
        return response.status_code, headers, body

    @property
    def _where(self) -> str:
        return f"the server at {self._origin.address}"

    def _build(self, request: Request, timeouts: Timeouts, seen: _Seen) -> httpx.Request:
        for name, value in request.headers.items():
            if not _TOKEN.match(name) or not _VALUE.match(value):
                shown = name if _TOKEN.match(name) else "of a request"
                raise ConfigError(
                    f"the header {shown} holds characters that cannot be sent", sent=False
                )
        built = self._client.build_request(
            request.method,
            request.url,
            headers={"Accept-Encoding": "gzip", **request.headers},
            content=request.content,
            timeout=httpx.Timeout(timeouts.total, connect=timeouts.connect),
            extensions={"trace": seen.trace},
        )
        # The URL was pinned as text; make sure that the client reads that text the same way.
        if Origin.of(str(built.url)) != self._origin:
            raise ConfigError(f"a request is not meant for {self._origin.address}", sent=False)
        return built

    def _explain(self, error: Exception, seen: _Seen) -> Lost:
        causes = list(_chain(error))
        if not seen.left:
            for cause in causes:
                if isinstance(cause, ssl.SSLCertVerificationError):
                    return seen.lost(Cause.CERTIFICATE, self._certificate(cause))
            if any(isinstance(c, ssl.SSLError) for c in causes):
                return seen.lost(Cause.TLS, f"{self._where} does not speak TLS as it should")
            if any(isinstance(c, socket.gaierror) for c in causes):
                sentence = f"the host {self._origin.host} is not known: check base_url"
                return seen.lost(Cause.NO_HOST, sentence)
            if any(isinstance(c, ConnectionRefusedError) for c in causes):
                return seen.lost(Cause.REFUSED, f"{self._where} refuses connections")
            if isinstance(error, httpx.PoolTimeout):
                return seen.lost(
                    Cause.BUSY, f"every connection to {self._origin.address} is in use"
                )
            return seen.lost(Cause.CONNECT, f"{self._where} cannot be reached")
        if isinstance(error, httpx.TimeoutException):
            return seen.lost(Cause.TIMEOUT, f"{self._where} did not answer in time")
        return seen.lost(Cause.BROKEN, f"{self._where} broke the connection off")

    def _certificate(self, error: ssl.SSLCertVerificationError) -> str:
        why = {
            10: "has expired",
            9: "is not valid yet",
            18: "is signed by itself: give its authority as ca_file",
            19: "is signed by an unknown authority: give it as ca_file",
            20: "is signed by an unknown authority: give it as ca_file",
            62: f"is not for {self._origin.host}: check base_url",
            64: f"is not for {self._origin.host}: check base_url",
        }.get(error.verify_code, "cannot be verified")
        return f"the certificate of {self._where} {why}"


class _Seen:
    """What the connection's trace told about one request."""

    def __init__(self, *, traced: bool) -> None:
        self.left = not traced
        self.headers: Headers | None = None

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        # "http11.send_request_headers.started", and http2's alike.
        if event.endswith(".send_request_headers.started"):
            self.left = True

    def lost(self, cause: Cause, sentence: str) -> Lost:
        return Lost(cause, sentence, left=self.left, headers=self.headers)


class _Unreadable(Exception):
    def __init__(self, cause: Cause, sentence: str) -> None:
        super().__init__(sentence)
        self.cause = cause


async def _read(response: httpx.Response, headers: Headers, most: int) -> bytes:
    too_large = _Unreadable(Cause.TOO_LARGE, f"answered with more than {most} bytes")
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > most:
        raise too_large
    packed = headers.get("content-encoding", "identity").strip().lower()
    if packed not in {"identity", "", "gzip", "x-gzip"}:
        raise _Unreadable(Cause.ENCODING, "packed its answer in a way that was not asked for")
    unpack = _Gunzip(most) if packed.endswith("gzip") else None
    parts: list[bytes] = []
    size = raw = 0
    async for chunk in response.aiter_raw():
        raw += len(chunk)
        part = unpack.feed(chunk) if unpack else chunk
        size += len(part)
        if size > most or raw > most:
            raise too_large
        parts.append(part)
    if unpack and raw and not unpack.complete:
        raise _Unreadable(Cause.ENCODING, "broke its packed answer off")
    return b"".join(parts)


class _Gunzip:
    """Unpacks gzip without ever holding more than the limit: 10 kB of it can mean 10 MB."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def complete(self) -> bool:
        return self._inflate.eof

    def feed(self, chunk: bytes) -> bytes:
        if self._inflate.eof:
            return b""  # a second member, or padding: nothing a JSON document goes on with
        try:
            part = self._inflate.decompress(chunk, self._most + 1 - self._size)
        except zlib.error:
            raise _Unreadable(Cause.ENCODING, "sent a packed answer that is damaged") from None
        self._size += len(part)
        return part


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and len(found) < 10:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found
