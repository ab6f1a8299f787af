"""Search as FHIR R4 has it: parameters by kind over rendered resources, and pages of the result."""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from enum import StrEnum
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from openslot_connectors.fhir.sandbox.wire import Doc, Problem, interval

__all__ = [
    "Criterion",
    "Kind",
    "Page",
    "Paging",
    "Param",
    "criteria",
    "link",
    "page",
    "paging",
    "predicate",
]

PREFIXES = ("eq", "ne", "ge", "gt", "le", "lt", "sa", "eb")
CONTROLS = frozenset({"_count", "_include", "_sort", "_page", "_format", "_pretty", "_total"})
LARGEST_PAGE = 1000


class Kind(StrEnum):
    """How a search parameter compares."""

    TOKEN = "token"
    STRING = "string"
    REFERENCE = "reference"
    INSTANT = "instant"
    DATE = "date"


@dataclass(frozen=True, slots=True)
class Param:
    """A search parameter: how it compares, and the values that a resource has for it.

    Tokens are (system or None, code), references `Type/id`, instants and dates text.
    """

    kind: Kind
    values: Callable[[Doc], Iterable[Any]]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One parameter as it was asked: alternatives of (prefix, value)."""

    name: str
    modifier: str
    param: Param
    alternatives: tuple[tuple[str, str], ...]


def criteria(
    query: Iterable[tuple[str, str]], params: dict[str, Param]
) -> tuple[list[Criterion], list[tuple[str, str]], list[str]]:
    """What was asked: criteria, the pairs that were understood, and names that were not."""
    found: list[Criterion] = []
    understood: list[tuple[str, str]] = []
    unknown: list[str] = []
    for name, value in query:
        if name in CONTROLS:
            continue
        bare, _, modifier = name.partition(":")
        param = params.get(bare)
        if param is None:
            unknown.append(bare)
            continue
        understood.append((name, value))
        parts = [re.sub(r"\\(.)", r"\1", p) for p in re.split(r"(?<!\\),", value) if p]
        dated = param.kind in {Kind.INSTANT, Kind.DATE}
        found.append(
            Criterion(
                bare, modifier, param, tuple(_prefixed(p) if dated else ("", p) for p in parts)
            )
        )
    return found, understood, unknown


def _prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def predicate(criterion: Criterion, zone: tzinfo) -> Callable[[Doc], bool]:
    """What a resource must fulfil to fit. Raises Problem for a value that means nothing."""
    values, kind = criterion.param.values, criterion.param.kind
    if criterion.modifier == "missing":
        missing = criterion.alternatives[:1] == (("", "true"),)
        return lambda d: (not list(values(d))) is missing
    if kind is Kind.INSTANT or kind is Kind.DATE:
        return _dated(criterion, UTC if kind is Kind.DATE else zone)
    asked = [a for _, a in criterion.alternatives]
    if kind is Kind.TOKEN:
        negated = criterion.modifier == "not"
        return lambda d: any(_token(v, a) for v in values(d) for a in asked) is not negated
    if kind is Kind.REFERENCE:
        return lambda d: any(_refers(v, a) for v in values(d) for a in asked)
    if criterion.modifier == "exact":
        return lambda d: any(v == a for v in values(d) for a in asked)
    plain = [_plain(a) for a in asked]
    if criterion.modifier == "contains":
        return lambda d: any(a in _plain(v) for v in values(d) for a in plain)
    return lambda d: any(_plain(v).startswith(a) for v in values(d) for a in plain)


def _token(value: tuple[str | None, str], asked: str) -> bool:
    system, bar, code = asked.rpartition("|")
    if not bar:
        return value[1] == asked
    return (not code or value[1] == code) and (value[0] or "") == system


def _refers(value: str, asked: str) -> bool:
    if "/" not in asked:
        return value.rpartition("/")[2] == asked
    return value == "/".join(asked.rsplit("/", 2)[-2:])


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _dated(criterion: Criterion, zone: tzinfo) -> Callable[[Doc], bool]:
    spans = []
    for prefix, asked in criterion.alternatives:
        try:
            spans.append((prefix, *interval(asked, zone)))
        except ValueError as error:
            raise Problem(400, "value", f"{criterion.name}: {error}") from None

    def fits(document: Doc) -> bool:
        for value in criterion.param.values(document):
            at = datetime.fromisoformat(value)
            if at.tzinfo is None:
                at = at.replace(tzinfo=zone)
            for prefix, start, end in spans:
                if _falls(prefix, at, start, end):
                    return True
        return False

    return fits


def _falls(prefix: str, at: datetime, start: datetime, end: datetime) -> bool:
    match prefix:
        case "ge":
            return at >= start
        case "gt" | "sa":
            return at >= end
        case "lt" | "eb":
            return at < start
        case "le":
            return at < end
        case "ne":
            return not start <= at < end
    return start <= at < end


Place = tuple[int, str]
"""Where a resource comes in a result: the seconds of the instant it is sorted by, and its id."""


@dataclass(frozen=True, slots=True)
class Paging:
    """Which stretch of a result is wanted, and in which order.

    `after` is the last resource of the page before, so that one which disappears in between moves
    nobody off a page; `total` is what the first page counted.
    """

    count: int
    key: str | None
    reverse: bool = False
    after: Place | None = None
    total: int | None = None

    def place(self, document: Doc) -> Place:
        """Where a resource comes."""
        when = document.get(self.key) if self.key else None
        return (int(datetime.fromisoformat(when).timestamp()) if when else 0, document["id"])

    def beyond(self, document: Doc) -> bool:
        """Whether a resource comes after the page before."""
        if self.after is None:
            return True
        here = self.place(document)
        return here < self.after if self.reverse else here > self.after


def paging(query: Sequence[tuple[str, str]], key: str | None, size: int) -> Paging:
    """What a query says of pages. Raises Problem."""
    asked = dict(query)
    reverse = False
    if sort := asked.get("_sort"):
        reverse, by = sort.startswith("-"), sort.removeprefix("-")
        if by not in {"_id", "start", "date"} or (by != "_id" and key is None):
            raise Problem(400, "not-supported", "this server cannot sort by that")
        key = None if by == "_id" else key
    try:
        count = int(asked.get("_count", size))
    except ValueError:
        raise Problem(400, "value", "_count is a number") from None
    if count < 0:
        raise Problem(400, "value", "_count is not negative")
    after, total = _decode(asked["_page"]) if "_page" in asked else (None, None)
    return Paging(min(count, LARGEST_PAGE), key, reverse, after, total)


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the matches, how many there are in all, and the token of the next one."""

    items: Sequence[Doc]
    total: int
    following: str | None


def page(found: Iterable[Doc], asked: Paging, *, ordered: bool) -> Page:
    """The page asked for; `ordered` results are read only as far as the page goes."""
    rest = (d for d in found if asked.beyond(d))
    if ordered and asked.after is not None and not asked.reverse and asked.key:
        items = list(islice(rest, asked.count + 1))
    else:
        items = sorted(rest, key=asked.place, reverse=asked.reverse)
    total = len(items) if asked.total is None else asked.total
    more = 0 < asked.count < len(items)
    items = items[: asked.count]
    return Page(items, total, _encode(asked.place(items[-1]), total) if more else None)


def _encode(place: Place, total: int) -> str:
    token = json.dumps([*place, total]).encode()
    return base64.urlsafe_b64encode(token).decode().rstrip("=")


def _decode(token: str) -> tuple[Place, int]:
    try:
        at, id_, total = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return (int(at), str(id_)), int(total)
    except (ValueError, TypeError):
        raise Problem(400, "value", "this page is not known here") from None


def link(url: str, type_: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A search as a URL."""
    query = urlencode(list(pairs))
    return f"{url}/{type_}" + (f"?{query}" if query else "")
