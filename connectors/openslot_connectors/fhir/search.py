"""Searches that know what they lack: pages, truncation, dropped filters, windows.

FHIR R4 search (http://hl7.org/fhir/R4/search.html). A search is whole when its last page has no
next link and nothing says that there is more: neither a `total` above what was seen, nor a full
page of a server that gives no total. Where that is in doubt and there is a window, it is asked for
in halves until each answer is whole; else the doubt is reported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from openslot.errors import BadResponse, TryLater
from openslot.model import Missing, MissingWhat, Window
from openslot.rest import Reply, query
from openslot_connectors.fhir.appointments import fhir_instant
from openslot_connectors.fhir.bundle import Page, read_page
from openslot_connectors.fhir.reference import Raw

if TYPE_CHECKING:
    from openslot.rest import RestConnector
    from openslot_connectors.fhir.profile import FhirProfile

__all__ = ["Filters", "Found", "Searcher"]

Filters = Mapping[str, "str | Sequence[str]"]

_MOST_SEARCHES = 64
"""Searches that one windowed search may come to, halving included."""
_CUT = "the server gave fewer entries than it has, and no next link"
_SHORTEST = timedelta(minutes=1)


@dataclass(slots=True)
class Found:
    """What a search brought, and what it could not."""

    matches: list[Raw] = field(default_factory=list)
    included: list[Raw] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    dropped: frozenset[str] = frozenset()
    cut: bool = False
    """Whether there is, or may be, more than was given."""

    def add(self, other: Found) -> None:
        """Take in another part of the same search."""
        self.matches += other.matches
        self.included += other.included
        self.missing += other.missing
        self.dropped |= other.dropped


class Searcher:
    """Searches one server in its profile's way."""

    def __init__(self, connector: RestConnector, profile: FhirProfile) -> None:
        self._connector = connector
        self._profile = profile

    async def search(self, type_: str, filters: Filters, *, post: bool = False) -> Found:
        """Everything that matches, as far as the server gives it; `cut` is left to the caller.

        Raises what the first page raises; a later page that fails is reported as missing.
        """
        profile = self._profile
        size = profile.page_size
        params: dict[str, str | Sequence[str]] = {**filters, "_count": str(size)}
        if profile.asks_total:
            params["_total"] = "accurate"
        found = Found()
        pages: list[Page] = []

        def following(reply: Reply) -> str | Filters | None:
            page = pages[-1]
            if page.next is not None:
                rebased = {k: list(v) for k, v in query(page.next).items()}
                return rebased if profile.rebases_links else page.next
            seen = len(found.matches)
            more = page.total is not None and page.total > seen
            if profile.offset_parameter and page.matches and not post and more:
                return {**params, profile.offset_parameter: str(seen)}
            return None

        path = f"{type_}/_search" if post else type_
        replies = self._connector.pages(
            path,
            params=None if post else params,
            form=params if post else None,
            method="POST" if post else "GET",
            headers=profile.headers,
            next_page=following,
        )
        try:
            async for reply in replies:
                page = read_page(reply.json(), type_, filters)
                pages.append(page)
                found.matches += page.matches
                found.included += page.included
                found.missing += page.missing
                found.dropped |= page.dropped
        except TryLater as error:
            if not pages:
                raise
            found.missing.append(_page(f"a further page could not be read: {error.message}"))
            return found
        last, seen = pages[-1], len(found.matches)
        if last.total is not None:
            found.cut = last.total > seen
        else:
            # Without a total, a full last page may be the server's way of stopping.
            found.cut = len(last.matches) >= min(size, last.size or size) > 0
        return found

    async def whole(self, type_: str, filters: Filters, *, post: bool = False) -> Found:
        """As `search`, with a doubt about its end reported as missing."""
        found = await self.search(type_, filters, post=post)
        if found.cut:
            found.missing.append(_page(_CUT))
        return found

    async def windowed(self, type_: str, parameter: str, window: Window, filters: Filters) -> Found:
        """Everything whose `parameter` lies in the window, in halves where an answer is cut."""
        longest = self._profile.largest_window
        todo = [window] if longest is None else list(window.split(longest))
        todo.reverse()
        found = Found()
        for count in range(_MOST_SEARCHES + len(todo)):
            if not todo:
                return found
            piece = todo.pop()
            span = [f"ge{fhir_instant(piece.start)}", f"lt{fhir_instant(piece.end, up=True)}"]
            try:
                part = await self.search(type_, {**filters, parameter: span})
            except TryLater as error:
                if count == 0:
                    raise
                found.missing.append(
                    Missing(MissingWhat.WINDOW, f"a part could not be read: {error.message}")
                )
                continue
            found.add(part)
            if not part.cut:
                continue
            if piece.length <= _SHORTEST:
                found.missing.append(_page(_CUT))
                continue
            middle = (piece.start + piece.length / 2).astimezone(UTC).replace(microsecond=0)
            todo += [Window(middle, piece.end), Window(piece.start, middle)]
        if todo:
            found.missing.append(
                Missing(MissingWhat.WINDOW, "the server's answers are cut off too often to go on")
            )
        return found

    async def one(self, type_: str, path: str) -> tuple[Raw, Reply]:
        """One resource of this type by its path. Raises NotFound, BadResponse."""
        reply = await self._connector.read(path, headers=self._profile.headers)
        body: Any = reply.json()
        if not isinstance(body, dict) or body.get("resourceType") != type_:
            raise BadResponse(
                f"the server gave something else than a {type_}",
                path="resourceType",
                request_id=reply.request_id,
            )
        return body, reply


def _page(why: str) -> Missing:
    return Missing(MissingWhat.PAGE, why)
