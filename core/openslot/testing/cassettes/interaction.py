"""One request and its answer, as a cassette holds them: readable, hidden, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from openslot.testing.cassettes.body import Body, Pairs, grouped, pairs_of, unpacked
from openslot.testing.cassettes.veil import Veil

__all__ = [
    "ABSENT",
    "REQUEST_HEADERS",
    "RESPONSE_HEADERS",
    "Answered",
    "Headers",
    "Interaction",
    "Listed",
    "Sent",
    "differences",
]

Headers = tuple[tuple[str, str], ...]

REQUEST_HEADERS = frozenset(
    {
        "accept",
        "cache-control",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-exist",
        "if-none-match",
        "prefer",
    }
)
"""The header fields of a request that a cassette may hold; every other is left out."""
RESPONSE_HEADERS = frozenset(
    {
        "allow",
        "cache-control",
        "content-location",
        "content-type",
        "date",
        "etag",
        "last-modified",
        "link",
        "location",
        "retry-after",
    }
)
"""The header fields of an answer that a cassette may hold; every other is left out."""


class _Absent:
    def __repr__(self) -> str:
        return "nothing"


ABSENT: Final = _Absent()
"""What stands on the side of a difference that has nothing there; JSON's null is something."""
_CONDITIONS = frozenset({"if-match", "if-none-exist", "if-none-match"})
"""Header fields that change what a write means, and so are compared."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The header fields that may be written: ours, and what a vendor's folder adds."""

    request: frozenset[str] = REQUEST_HEADERS
    response: frozenset[str] = RESPONSE_HEADERS

    def plus(self, request: Iterable[str], response: Iterable[str]) -> Listed:
        """These, and more."""
        return Listed(
            self.request | {n.lower() for n in request},
            self.response | {n.lower() for n in response},
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, its addresses and secrets hidden. `url` is without the query."""

    method: str
    url: str
    query: Pairs = ()
    headers: Headers = ()
    body: Body = field(default_factory=Body)

    @classmethod
    def of(
        cls, method: str, uri: str, headers: Headers, content: bytes, veil: Veil, listed: Listed
    ) -> Sent:
        """What a client sends, as it may be written."""
        parts = urlsplit(uri)
        query = tuple(
            (name, veil.hide(name, value))
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        )
        return cls(
            method=method.upper(),
            url=veil.hide("", urlunsplit(parts._replace(query="", fragment=""))),
            query=query,
            headers=_kept(headers, listed.request, veil),
            body=Body.of(content, _media_type(headers)).mapped(veil.hide),
        )

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Sent:
        """The request as it stands in a file. Raises ValueError."""
        return cls(
            method=_text(plain, "method"),
            url=_text(plain, "url"),
            query=pairs_of(_mapping(plain, "query")),
            headers=pairs_of(_mapping(plain, "headers")),
            body=Body.read(plain.get("body")),
        )

    def plain(self) -> dict[str, Any]:
        """The request as it stands in a file."""
        return _without_empty(
            {
                "method": self.method,
                "url": self.url,
                "query": grouped(self.query),
                "headers": grouped(self.headers),
                "body": self.body.plain(),
            }
        )

    @property
    def compared(self) -> dict[str, Any]:
        """What makes two requests the same: method, URL, query, conditions and meaning of the body.

        The order of query parameters, form fields and JSON members does not count.
        """
        body = self.body
        value = grouped(tuple(sorted(body.value))) if body.kind == "form" else body.value
        return {
            "method": self.method,
            "url": self.url,
            "query": grouped(tuple(sorted(self.query))),
            "headers": {k: v for k, v in self.headers if k in _CONDITIONS},
            "body": value,
        }

    @property
    def key(self) -> str:
        """A text that is the same for the same request."""
        return json.dumps(self.compared, sort_keys=True)

    @property
    def place(self) -> str:
        """Method and URL, as a sentence names a request."""
        return f"{self.method} {self.url}"


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, its addresses and secrets hidden, its body unpacked."""

    status: int
    headers: Headers = ()
    body: Body = field(default_factory=Body)

    @classmethod
    def of(
        cls, status: int, headers: Headers, content: bytes, veil: Veil, listed: Listed
    ) -> Answered:
        """What a server answered, as it may be written. Raises ValueError for damaged packing."""
        packing = next((v for k, v in headers if k.lower() == "content-encoding"), "")
        data = unpacked(content, packing)
        return cls(
            status=status,
            headers=_kept(headers, listed.response, veil),
            body=Body.of(data, _media_type(headers)).mapped(veil.hide),
        )

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> Answered:
        """The answer as it stands in a file. Raises ValueError."""
        status = plain.get("status")
        if not isinstance(status, int):
            raise ValueError("an answer has a status, a number")
        headers = pairs_of(_mapping(plain, "headers"))
        return cls(status, headers, Body.read(plain.get("body")))

    def plain(self) -> dict[str, Any]:
        """The answer as it stands in a file."""
        return _without_empty(
            {
                "status": self.status,
                "headers": grouped(self.headers),
                "body": self.body.plain(),
            }
        )

    def shown(self, veil: Veil) -> Answered:
        """The answer with addresses put back, as a client gets it."""
        headers = tuple((k, veil.show(v)) for k, v in self.headers)
        return Answered(self.status, headers, self.body.mapped(lambda _, text: veil.show(text)))


@dataclass(frozen=True, slots=True)
class Interaction:
    """A request and its answer."""

    request: Sent
    response: Answered

    @classmethod
    def read(cls, plain: Any) -> Interaction:
        """The interaction as it stands in a file. Raises ValueError."""
        if not isinstance(plain, dict):
            raise ValueError("an interaction is a request and a response")
        return cls(
            Sent.read(_mapping(plain, "request")), Answered.read(_mapping(plain, "response"))
        )

    def plain(self) -> dict[str, Any]:
        """The interaction as it stands in a file."""
        return {"request": self.request.plain(), "response": self.response.plain()}


def differences(one: Any, other: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ: the path, and what each has there, ABSENT where it has nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in (*one, *(n for n in other if n not in one)):
            inner = f"{path}.{name}" if path else str(name)
            yield from differences(one.get(name, ABSENT), other.get(name, ABSENT), inner)
    elif isinstance(one, list) and isinstance(other, list):
        for index in range(max(len(one), len(other))):
            left = one[index] if index < len(one) else ABSENT
            right = other[index] if index < len(other) else ABSENT
            yield from differences(left, right, f"{path}[{index}]")
    elif one != other or type(one) is not type(other):  # True == 1 in Python, and not in JSON
        yield path, one, other


def _kept(headers: Headers, listed: frozenset[str], veil: Veil) -> Headers:
    return tuple(sorted((k.lower(), veil.hide(k, v)) for k, v in headers if k.lower() in listed))


def _media_type(headers: Headers) -> str:
    value = next((v for k, v in headers if k.lower() == "content-type"), "")
    return value.partition(";")[0].strip().lower()


def _text(plain: Mapping[str, Any], name: str) -> str:
    value = plain.get(name)
    if not isinstance(value, str):
        raise ValueError(f"a request has a {name}, a text")
    return value


def _mapping(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = plain.get(name, {})
    if not isinstance(value, dict):
        raise ValueError(f"{name} is a mapping")
    return value


def _without_empty(plain: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in plain.items() if v not in (None, {})}
