"""What goes over the wire, in words that name no client library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

__all__ = ["Cause", "Lost", "Request", "Timeouts"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its URL already resolved and its body already bytes."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The URL's path, without the query."""
        return urlsplit(self.url).path or "/"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a connection and for everything."""

    connect: float
    total: float


class Cause(StrEnum):
    """Why no answer came."""

    NO_HOST = "no_host"
    REFUSED = "refused"
    CERTIFICATE = "certificate"
    TLS = "tls"
    CONNECT = "connect"
    BUSY = "busy"
    """Every connection was in use for too long."""
    BROKEN = "broken"
    """The connection ended, or spoke no HTTP."""
    TIMEOUT = "timeout"
    TOO_LARGE = "too_large"
    ENCODING = "encoding"
    """The body does not unpack, or is packed in a way that was not asked for."""


class Lost(Exception):
    """No whole answer came. `left` is False only where no byte of the request can have left.

    `headers` are those of an answer whose body did not come whole.
    """

    def __init__(
        self, cause: Cause, sentence: str, *, left: bool, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.sentence = sentence
        self.left = left
        self.headers = headers
