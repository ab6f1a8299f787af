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
from typing import Any
from urllib.parse import urlencode

from openslot_connectors.fhir.sandbox.wire import Doc, Problem, interval

__all__ = ["Criterion", "Kind", "Page", "Param", "criteria", "matches", "page"]

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


def matches(document: Doc, criterion: Criterion, zone: tzinfo) -> bool:
    """Whether a resource fits one criterion. Raises Problem for a value that means nothing."""
    values = list(criterion.param.values(document))
    if criterion.modifier == "missing":
        return (not values) is (criterion.alternatives[:1] == (("", "true"),))
    kind = criterion.param.kind
    if kind is Kind.TOKEN:
        hit = any(_token(v, a) for v in values for _, a in criterion.alternatives)
        return not hit if criterion.modifier == "not" else hit
    if kind is Kind.REFERENCE:
        return any(_refers(v, a) for v in values for _, a in criterion.alternatives)
    if kind is Kind.STRING:
        texts = [(_plain(v), _plain(a)) for v in values for _, a in criterion.alternatives]
        if criterion.modifier == "exact":
            return any(v == a for v in values for _, a in criterion.alternatives)
        if criterion.modifier == "contains":
            return any(a in v for v, a in texts)
        return any(v.startswith(a) for v, a in texts)
    return any(
        _dated(v, prefix, a, UTC if kind is Kind.DATE else zone, criterion.name)
        for v in values
        for prefix, a in criterion.alternatives
    )


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


def _dated(value: str, prefix: str, asked: str, zone: tzinfo, name: str) -> bool:
    try:
        start, end = interval(asked, zone)
        low, high = interval(value, zone)
    except ValueError as error:
        raise Problem(400, "value", f"{name}: {error}") from None
    match prefix:
        case "ge":
            return low >= start
        case "gt" | "sa":
            return low >= end
        case "lt" | "eb":
            return low < start
        case "le":
            return low < end
        case "ne":
            return not (start <= low and high <= end)
        case _:
            return start <= low and high <= end


Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A stretch of the matches, how many there are in all, and where the next one starts."""

    items: Sequence[Doc]
    total: int
    following: str | None
    count: int


def page(found: list[Doc], query: Sequence[tuple[str, str]], key: str | None, size: int) -> Page:
    """The page that `query` asks for, of resources sorted by the instant at `key`, then id.

    The token of a page names the last resource of the one before, so that a resource which
    disappears in between moves nobody off a page.
    """
    asked = dict(query)
    reverse = False
    if sort := asked.get("_sort"):
        reverse = sort.startswith("-")
        if sort.lstrip("-") not in {key, "date" if key == "start" else "_id", "_id"}:
            raise Problem(400, "not-supported", "this server cannot sort by that")
        if sort.lstrip("-") == "_id":
            key = None
    try:
        count = int(asked.get("_count", size))
    except ValueError:
        raise Problem(400, "value", "_count is a number") from None
    if count < 0:
        raise Problem(400, "value", "_count is not negative")
    count = min(count, LARGEST_PAGE)

    def place(document: Doc) -> Key:
        when = document.get(key) if key else None
        at = datetime.fromisoformat(when).astimezone(UTC).isoformat() if when else ""
        return (at, document["id"])

    ordered = sorted(found, key=place, reverse=reverse)
    first = 0
    if "_page" in asked:
        last = _decode(asked["_page"])
        first = sum(1 for d in ordered if (place(d) >= last if reverse else place(d) <= last))
    items = ordered[first : first + count]
    more = count > 0 and first + count < len(ordered)
    return Page(items, len(ordered), _encode(place(items[-1])) if more else None, count)


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def _decode(token: str) -> Key:
    try:
        at, id_ = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return (str(at), str(id_))
    except ValueError:
        raise Problem(400, "value", "this page is not known here") from None


def link(url: str, type_: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A search as a URL."""
    query = urlencode(list(pairs))
    return f"{url}/{type_}" + (f"?{query}" if query else "")
