"""Bundles of interactions: a transaction is all or nothing, a batch is each for itself."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from openslot_connectors.fhir.sandbox.wire import Doc, Problem

if TYPE_CHECKING:
    from openslot_connectors.fhir.sandbox.server import Call, FhirServer, Result

__all__ = ["carry_out"]

LARGEST = 500
ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
"""The order in which R4 has a transaction carried out (http.html#trules)."""
# Within the creates, who is referred to comes before who refers.
CREATES = {"Patient": 0}


def carry_out(server: FhirServer, call: Call) -> Doc:
    """The response Bundle. Raises Problem where a transaction is rolled back."""
    document = call.document
    if not isinstance(document, dict) or document.get("resourceType") != "Bundle":
        raise Problem(400, "structure", "the body is not a Bundle")
    kind = document.get("type")
    if kind not in {"transaction", "batch"}:
        raise Problem(400, "value", "a Bundle sent here is a transaction or a batch")
    entries = document.get("entry") or []
    if len(entries) > LARGEST:
        raise Problem(413, "too-costly", f"a Bundle has at most {LARGEST} entries")
    whole = kind == "transaction" and server.manners.rollback
    answers: list[Doc] = [{}] * len(entries)
    places: dict[str, str] = {}
    order = sorted(range(len(entries)), key=lambda i: _rank(entries[i], transaction=whole))
    with server.clinic.transaction() if whole else nullcontext():
        for index in order:
            try:
                answers[index] = _one(server, call, entries[index], places)
            except Problem as problem:
                if whole:
                    raise
                answers[index] = {
                    "response": {"status": str(problem.status), "outcome": problem.outcome}
                }
    return {
        "resourceType": "Bundle",
        "type": f"{kind}-response",
        **({"entry": answers} if answers else {}),
    }


def _rank(entry: Any, *, transaction: bool) -> tuple[int, int]:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not transaction or not isinstance(request, dict):
        return (0, 0)
    return (ORDER.get(request.get("method", ""), 4), CREATES.get(request.get("url", ""), 1))


def _one(server: FhirServer, call: Call, entry: Any, places: dict[str, str]) -> Doc:
    request = entry.get("request") if isinstance(entry, dict) else None
    if not isinstance(request, dict) or not isinstance(request.get("url"), str):
        raise Problem(
            400, "required", "an entry needs a request", expression="Bundle.entry.request"
        )
    path, _, query = request["url"].removeprefix(call.url).partition("?")
    if not path.strip("/"):
        raise Problem(400, "not-supported", "a Bundle within a Bundle is not carried out")
    headers = {
        header: str(request[member])
        for header, member in (
            ("if-match", "ifMatch"),
            ("if-none-exist", "ifNoneExist"),
            ("if-none-match", "ifNoneMatch"),
        )
        if member in request
    }
    result = server.interact(
        replace(
            call,
            method=str(request.get("method", "")),
            path=path,
            query=tuple(parse_qsl(query, keep_blank_values=True)),
            headers=headers,
            document=_resolved(entry.get("resource"), places),
        )
    )
    full_url = entry.get("fullUrl")
    if isinstance(full_url, str) and result.resource and result.written:
        places[full_url] = f"{result.resource['resourceType']}/{result.resource['id']}"
    return _answer(result)


def _answer(result: Result) -> Doc:
    response: Doc = {"status": str(result.status)}
    if result.location:
        response["location"] = result.location
    if result.version:
        response["etag"] = f'W/"{result.version}"'
    if result.updated:
        response["lastModified"] = result.updated
    answer: Doc = {"response": response}
    if result.resource is not None and result.status != 304:
        answer["resource"] = result.resource
    return answer


def _resolved(value: Any, places: dict[str, str]) -> Any:
    """The resource, its references to other entries' urn:uuid made real."""
    if isinstance(value, dict):
        return {
            k: places.get(v, v) if k == "reference" and isinstance(v, str) else _resolved(v, places)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_resolved(v, places) for v in value]
    return value
