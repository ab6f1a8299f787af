"""What goes over the wire of a FHIR R4 server beside the resources: outcomes, tags, references."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import format_datetime
from typing import Any

from openslot.errors import NotFound, OpenSlotError, Rejected, RejectedReason, SlotTaken, Stale

__all__ = [
    "Doc",
    "Problem",
    "http_date",
    "instant",
    "interval",
    "outcome",
    "parse_instant",
    "problem_of",
    "reference_id",
    "tag_version",
]

Doc = dict[str, Any]

_ID = r"[A-Za-z0-9\-.]{1,64}"
_REFERENCE = re.compile(rf"(?:.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>{_ID})(?:/_history/{_ID})?")
_INSTANT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_DATE = re.compile(
    r"(?P<y>\d{4})(?:-(?P<m>\d{2})(?:-(?P<d>\d{2})"
    r"(?P<t>T(?P<hm>\d{2}:\d{2})(?P<s>:\d{2}(?P<f>\.\d{1,6})?)?(?P<z>Z|[+-]\d{2}:\d{2}))?)?)?",
    re.ASCII,
)


class Problem(Exception):
    """A request that is not carried out: its HTTP status and the issue of its OperationOutcome."""

    def __init__(self, status: int, code: str, text: str, *, expression: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.expression = expression

    @property
    def outcome(self) -> Doc:
        """The OperationOutcome."""
        return outcome("error", self.code, self.text, self.expression)


def outcome(severity: str, code: str, text: str, expression: str | None = None) -> Doc:
    """An OperationOutcome of one issue."""
    issue: Doc = {"severity": severity, "code": code, "diagnostics": text}
    if expression is not None:
        issue["expression"] = [expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def problem_of(error: OpenSlotError, *, taken_status: int = 409) -> Problem:
    """The clinic's refusal as a FHIR server says it."""
    if isinstance(error, NotFound):
        return Problem(404, "not-found", error.message)
    if isinstance(error, Stale):
        return Problem(412, "conflict", error.message)
    if isinstance(error, SlotTaken):
        return Problem(taken_status, "conflict", error.message)
    if isinstance(error, Rejected):
        if error.reason is RejectedReason.DUPLICATE_PATIENT:
            return Problem(409, "duplicate", error.message)
        if error.reason is RejectedReason.MISSING_FIELD:
            return Problem(422, "required", error.message)
        return Problem(422, "business-rule", error.message)
    return Problem(500, "exception", error.message)


def instant(value: datetime) -> str:
    """A FHIR instant, with the offset that the value carries."""
    text = value.replace(microsecond=0).isoformat()
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def parse_instant(value: object, expression: str) -> datetime:
    """A FHIR instant: seconds and offset are required. Raises Problem."""
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        raise Problem(
            400, "value", "an instant has date, time, seconds and offset", expression=expression
        )
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise Problem(
            400, "value", "an instant that does not exist", expression=expression
        ) from None


def interval(text: str, zone: tzinfo) -> tuple[datetime, datetime]:
    """What a date search value stands for: from, and to (excluded).

    A value without a time means the local day (month, year) in `zone`. Raises ValueError.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not a FHIR date; a time needs an offset, and + is written %2B in a URL")
    if found["t"]:
        start = datetime.fromisoformat(text)
        if found["f"]:
            return start, start + timedelta(microseconds=1)
        return start, start + timedelta(seconds=1 if found["s"] else 60)
    year, month, day = int(found["y"]), int(found["m"] or 1), int(found["d"] or 1)
    start = datetime(year, month, day, tzinfo=zone)
    if found["d"]:
        # The next midnight by the calendar: a local day is not always 24 hours.
        after = datetime(year, month, day) + timedelta(days=1)  # noqa: DTZ001
        return start, after.replace(tzinfo=zone)
    if found["m"]:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        return start, datetime(year, month, 1, tzinfo=zone)
    return start, datetime(year + 1, 1, 1, tzinfo=zone)


def http_date(value: datetime) -> str:
    """An HTTP date."""
    return format_datetime(value.astimezone(UTC), usegmt=True)


def tag_version(if_match: str) -> str:
    """The version in an If-Match value: `W/"3"`, `"3"` or a bare `3`."""
    return if_match.strip().removeprefix("W/").strip('"')


def reference_id(reference: object, type: str) -> str | None:
    """The id in a reference (`{"reference": "Slot/1"}` or the text) to that type, else None."""
    text = reference.get("reference") if isinstance(reference, dict) else reference
    found = _REFERENCE.fullmatch(text) if isinstance(text, str) else None
    return found["id"] if found and found["type"] == type else None
