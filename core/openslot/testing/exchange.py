"""What a sandbox is asked and what it answers, and which of its methods does it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from openslot.testing.auth import Access

__all__ = ["Answer", "Request", "route"]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a sandbox, `path` below the base path, `url` the base as the client sees it.

    Header names are in lower case; `query` keeps order and repeats.
    """

    method: str
    path: str
    url: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    access: Access = field(default_factory=Access)

    @property
    def form(self) -> tuple[tuple[str, str], ...]:
        """The body as a form, in order and with repeats."""
        return tuple(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def one(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((v for k, v in self.query if k == name), None)

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a sandbox answers: a document (JSON where it is not bytes) or nothing."""

    status: int = 200
    document: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"

    def inside_200(self, wrap: Callable[[int, Any], Any] = lambda status, said: said) -> Answer:
        """An error as some hide it: 200, the document made by `wrap` from status and document."""
        if self.status < 400:
            return self
        return replace(self, status=200, document=wrap(self.status, self.document))


_F = TypeVar("_F", bound=Callable[..., Answer])


def route(method: str, pattern: str) -> Callable[[_F], _F]:
    """Let a sandbox's method answer these requests: `@route("GET", "/slots/{id}")`."""
    parts = re.split(r"\{(\w+)\}", pattern)
    regex = "".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(parts))

    def mark(function: _F) -> _F:
        function.__dict__["sandbox_route"] = (method, re.compile(regex))
        return function

    return mark
