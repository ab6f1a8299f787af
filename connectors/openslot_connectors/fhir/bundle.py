"""What a searchset Bundle holds, and whether it holds all that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from openslot.errors import BadResponse
from openslot.model import Missing, MissingWhat
from openslot.rest import query
from openslot_connectors.fhir.reference import Raw

__all__ = ["Page", "read_page"]

_HARMLESS = frozenset({"information", "warning", "success"})


@dataclass(slots=True)
class Page:
    """One page of a search, its entries told apart by what they are."""

    matches: list[Raw]
    included: list[Raw] = field(default_factory=list)
    total: int | None = None
    next: str | None = None
    size: int | None = None
    """The page size that the server says it used, in its self link."""
    dropped: frozenset[str] = frozenset()
    """Filters that were sent and are not in the server's self link."""
    missing: list[Missing] = field(default_factory=list)


def read_page(body: Any, type_: str, sent: Mapping[str, Any] | None = None) -> Page:
    """Read a searchset Bundle. Raises BadResponse, with a path, where it is none.

    Entries are read by their resourceType, whatever else they claim: an OperationOutcome among
    them is no match, and with severity error it says that something is missing.
    """
    if not isinstance(body, dict) or body.get("resourceType") != "Bundle":
        raise BadResponse("the answer to a search is not a Bundle", path="resourceType")
    entries = body.get("entry", [])
    if not isinstance(entries, list):
        raise BadResponse("the entries of a Bundle are not a list", path="entry")
    page = Page([])
    add = page.matches.append
    for index, entry in enumerate(entries):
        try:
            resource = entry["resource"]
            kind = resource["resourceType"]
        except (KeyError, TypeError):
            page.missing.append(
                Missing(
                    MissingWhat.ENTRY,
                    "an entry of the search without a resource",
                    path=f"entry[{index}].resource",
                )
            )
            continue
        if kind == type_:
            add(resource)
        elif kind == "OperationOutcome":
            page.missing.extend(_complaints(resource, index))
        else:
            page.included.append(resource)
    total = body.get("total")
    if isinstance(total, int) and not isinstance(total, bool):
        page.total = total
    links = body.get("link", [])
    for link in links if isinstance(links, list) else ():
        relation, url = (
            (link.get("relation"), link.get("url")) if isinstance(link, dict) else (0, 0)
        )
        if not isinstance(url, str):
            continue
        if relation == "next":
            page.next = url
        elif relation == "self" and sent is not None:
            _compare(page, url, sent)
    return page


def _compare(page: Page, self_link: str, sent: Mapping[str, Any]) -> None:
    told = query(self_link)
    if not told:
        return  # a self link without a query says nothing of what was understood
    counts = told.get("_count", ())
    if counts and counts[-1].isdigit():
        page.size = int(counts[-1])
    names = {name.partition(":")[0] for name in told}
    page.dropped = frozenset(
        name for name in sent if not name.startswith("_") and name.partition(":")[0] not in names
    )


def _complaints(outcome: Raw, index: int) -> list[Missing]:
    issues = outcome.get("issue", [])
    found = []
    for number, issue in enumerate(issues if isinstance(issues, list) else ()):
        severity = issue.get("severity") if isinstance(issue, dict) else None
        if severity not in _HARMLESS:
            found.append(
                Missing(
                    MissingWhat.PAGE,
                    "the server says that its answer is not whole",
                    path=f"entry[{index}].resource.issue[{number}]",
                )
            )
    return found
