"""Transaction Bundles, for servers that are known to roll back; each entry's own status decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from openslot.errors import OpenSlotError, OutcomeUnknown, Rejected
from openslot_connectors.fhir.outcome import codes_of, meaning
from openslot_connectors.fhir.reference import Raw

if TYPE_CHECKING:
    from openslot_connectors.fhir.connector import FhirConnector

__all__ = ["Answer", "Entry", "put", "run"]


@dataclass(slots=True)
class Entry:
    """One request within a transaction."""

    method: str
    url: str
    resource: Raw
    version: str | None = None
    if_none_exist: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one entry came to."""

    error: OpenSlotError | None
    resource: Raw | None = None
    location: str | None = None
    etag: str | None = None


def put(url: str, resource: Raw, version: str) -> Entry:
    """The change of one resource under its version."""
    return Entry("PUT", url, resource, version=version)


async def run(fhir: FhirConnector, entries: Sequence[Entry], *, step: str) -> list[Answer]:
    """Send the entries as one transaction and read what each came to, in their order.

    Raises what a refusal of the whole means; OutcomeUnknown where the answer does not say what
    became of an entry.
    """
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [_entry(e, fhir) for e in entries],
    }
    reply = await fhir.write("POST", "", step=step, json=bundle, headers=fhir.profile.headers)
    try:
        body: Any = reply.json()
        answered = body["entry"]
        responses = [a["response"] for a in answered]
        statuses = [int(str(r["status"])[:3]) for r in responses]
    except (OpenSlotError, KeyError, TypeError, ValueError):
        raise OutcomeUnknown(
            "the server did not say what became of a transaction", request_id=reply.request_id
        ) from None
    if len(statuses) != len(entries):
        raise OutcomeUnknown(
            "the server answered a transaction with another number of entries",
            request_id=reply.request_id,
        )
    return [
        _answer(status, response, entry.get("resource"))
        for status, response, entry in zip(statuses, responses, answered, strict=True)
    ]


def _entry(entry: Entry, fhir: FhirConnector) -> Raw:
    request = {"method": entry.method, "url": entry.url}
    if entry.version is not None:
        request["ifMatch"] = fhir.profile.if_match.of(entry.version)
    if entry.if_none_exist is not None:
        request["ifNoneExist"] = entry.if_none_exist
    return {"request": request, "resource": entry.resource}


def _answer(status: int, response: Any, resource: Any) -> Answer:
    error: OpenSlotError | None = None
    if status // 100 != 2:
        error = meaning(status, *codes_of(response.get("outcome")))
        error = error or Rejected(f"the server refused a part of the transaction ({status})")
    location, etag = response.get("location"), response.get("etag")
    return Answer(
        error,
        resource if isinstance(resource, dict) else None,
        location if isinstance(location, str) else None,
        etag if isinstance(etag, str) else None,
    )
