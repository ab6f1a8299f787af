"""OperationOutcome read for its meaning: which refusal means which leaf of the error tree.

R4's issue types (http://hl7.org/fhir/R4/valueset-issue-type.html). `diagnostics` and
`details.text` may hold a patient's data and are never repeated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from openslot.errors import (
    AuthFailed,
    BadResponse,
    NotFound,
    OpenSlotError,
    RateLimited,
    Rejected,
    RejectedReason,
    SlotTaken,
    Stale,
    Unsupported,
)
from openslot.rest import ErrorRule, Reply

__all__ = ["ERROR_TABLE", "issue_codes", "judge"]

_LARGEST = 256 * 1024
_PLAIN_PATH = re.compile(r"[A-Z][A-Za-z]+(?:\.[a-zA-Z]+(?:\[\d{1,3}\])?){1,6}")
_LOGIN = frozenset({"login", "expired", "security", "unknown"})
_FORBIDDEN = frozenset({"forbidden", "suppressed"})
_GONE = frozenset({"not-found", "deleted"})
_TAKEN = frozenset({"conflict", "lock-error"})


def issue_codes(reply: Reply) -> tuple[frozenset[str], tuple[str, ...]]:
    """The issue types of an OperationOutcome, and the plain element paths that it names."""
    if not reply.body or len(reply.body) > _LARGEST:
        return frozenset(), ()
    try:
        body = reply.json()
    except BadResponse:
        return frozenset(), ()
    return codes_of(body)


def codes_of(body: Any) -> tuple[frozenset[str], tuple[str, ...]]:
    """As `issue_codes`, of a parsed body."""
    issues = body.get("issue") if isinstance(body, dict) else None
    codes, paths = set(), []
    for issue in issues if isinstance(issues, list) else ():
        if not isinstance(issue, dict):
            continue
        code = issue.get("code")
        if isinstance(code, str):
            codes.add(code)
        expressions = issue.get("expression")
        for text in expressions if isinstance(expressions, list) else ():
            # Only a bare element path: a FHIRPath filter may quote a value.
            if isinstance(text, str) and _PLAIN_PATH.fullmatch(text):
                paths.append(text)
    return frozenset(codes), tuple(paths)


def judge(reply: Reply) -> OpenSlotError | None:
    """What a refusal means; None leaves it to the status."""
    return meaning(reply.status, *issue_codes(reply))


def meaning(
    status: int, codes: frozenset[str], paths: tuple[str, ...] = ()
) -> OpenSlotError | None:
    """What a refusal of this status with these issue types means."""
    if status in _VERSION and not codes & {"duplicate", "business-rule"}:
        return Stale("the record changed since it was read, or is locked")
    if codes & _TAKEN:
        return SlotTaken("the server says that the time is taken")
    if "duplicate" in codes:
        return Rejected(
            "the server says that there is such a record already",
            reason=RejectedReason.DUPLICATE_PATIENT,
        )
    if codes & _GONE:
        return NotFound("there is no such record")
    if "throttled" in codes:
        return RateLimited("the server's limit is reached")
    if codes & _FORBIDDEN:
        return AuthFailed("the server does not allow this credential to do that")
    if codes & _LOGIN and status in (401, 403):
        return AuthFailed("the server refused the credential")
    if "required" in codes:
        return Rejected(
            "the server wants a field that is not there",
            reason=RejectedReason.MISSING_FIELD,
            fields=paths,
        )
    if "business-rule" in codes:
        return Rejected("the practice's rules say no", reason=RejectedReason.POLICY)
    if "not-supported" in codes:
        return Unsupported("the server does not support that")
    if codes and status in (400, 422):
        named = f" ({', '.join(sorted(codes & _KNOWN))})" if codes & _KNOWN else ""
        return Rejected(
            f"the server does not accept the request{named}",
            reason=RejectedReason.POLICY,
            fields=paths,
        )
    return None


_VERSION = frozenset({409, 412, 423, 424})
_KNOWN = frozenset(
    {"invalid", "structure", "value", "invariant", "code-invalid", "extension", "processing"}
    | {"too-long", "multiple-matches", "too-costly", "incomplete", "informational", "exception"}
)

ERROR_TABLE: Mapping[int, ErrorRule] = dict.fromkeys(
    (400, 401, 403, 404, 405, 409, 410, 412, 422, 423, 424), judge
)
"""For `RestConnector.error_table`."""
