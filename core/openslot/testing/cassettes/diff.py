"""What changed between two recordings, in terms of fields.

A server gives ids, versions and times of its own at each recording. They are told apart by the
order in which they come up, so that the same story under other ids is the same recording.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any

from openslot.testing.cassettes.file import Cassette
from openslot.testing.cassettes.interaction import Interaction, differences

__all__ = ["changes"]

_UUID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_VOLATILE_HEADERS = frozenset({"date", "last-modified"})
_VOLATILE_MEMBERS = frozenset({"lastUpdated", "timestamp"})


def changes(before: Cassette, after: Cassette, *, exact: bool = False) -> Iterator[str]:
    """A line for each change, from `before` to `after`; none where the story is the same.

    `exact` also tells of ids, versions and times that only the server chose.
    """
    yield from _lines("provenance", _provenance(before), _provenance(after))
    yield from _lines("session", list(before.session), list(after.session))
    old = _Story(before, exact=exact).interactions
    new = _Story(after, exact=exact).interactions
    matcher = SequenceMatcher(
        None, [_outline(i) for i in old], [_outline(i) for i in new], autojunk=False
    )
    for how, i, j, k, m in matcher.get_opcodes():
        # Requests to the same place, one for one; what is left over came or went.
        paired = min(j - i, m - k)
        for step in range(paired):
            yield from _changed(old[i + step], new[k + step], i + step, k + step, before)
        for gone in range(i + paired, j):
            yield f"- interaction {gone + 1}, {before.interactions[gone].request.place}: is gone"
        for came in range(k + paired, m):
            yield f"+ interaction {came + 1}, {after.interactions[came].request.place}: is new"
        assert how  # every stretch is told of, whatever it is called


def _changed(
    old: dict[str, Any], new: dict[str, Any], i: int, k: int, before: Cassette
) -> Iterator[str]:
    number = str(i + 1) if i == k else f"{i + 1} (now {k + 1})"
    place = before.interactions[i].request.place
    yield from _lines(f"interaction {number}, {place}", old, new)


def _lines(head: str, old: Any, new: Any) -> Iterator[str]:
    for path, was, now in differences(old, new):
        where = path if path.startswith("[") or not path else f" {path}"
        yield f"~ {head}:{where} {was!r} -> {now!r}"


def _provenance(cassette: Cassette) -> dict[str, Any]:
    plain = cassette.provenance.plain()
    del plain["recorded"]
    return plain


def _outline(interaction: dict[str, Any]) -> tuple[str, str]:
    request = interaction["request"]
    return str(request["method"]), str(request["url"])


class _Story:
    """A cassette's interactions, what the server chose numbered in the order in which it came."""

    def __init__(self, cassette: Cassette, *, exact: bool) -> None:
        self._names: dict[str, str] = {}
        self.interactions = [self._told(i, exact=exact) for i in cassette.interactions]

    def _told(self, interaction: Interaction, *, exact: bool) -> dict[str, Any]:
        plain = interaction.plain()
        if exact:
            return plain
        headers = plain["response"].get("headers", {})
        plain["response"]["headers"] = {
            k: v for k, v in headers.items() if k not in _VOLATILE_HEADERS
        }
        told: dict[str, Any] = self._renamed(plain)
        return told

    def _renamed(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: self._renamed(v) for k, v in value.items() if k not in _VOLATILE_MEMBERS}
        if isinstance(value, list):
            return [self._renamed(v) for v in value]
        if isinstance(value, str):
            return _UUID.sub(self._name, value)
        return value

    def _name(self, found: re.Match[str]) -> str:
        return self._names.setdefault(found[0].lower(), f"<id {len(self._names) + 1}>")
