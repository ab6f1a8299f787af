"""Which answer means which failure (law 8): a table by status that vendors extend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

from openslot.errors import (
    AskAgain,
    AuthFailed,
    BadResponse,
    ConfigError,
    NotFound,
    OpenSlotError,
    RateLimited,
    Rejected,
    SetupError,
    SlotTaken,
    Stale,
    Unavailable,
    Unsupported,
)
from openslot.rest.reply import Reply

__all__ = ["DEFAULT_TABLE", "ErrorRule", "Refused", "http_date", "judge", "retry_after"]

Judge: TypeAlias = Callable[[Reply], OpenSlotError | None]
"""Reads an answer for its meaning; None leaves it to the default for that status."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Marks a rule whose answer proves that the vendor did nothing: a write may be sent again.

    `{503: Refused(Unavailable)}` suits a vendor whose gateway answers 503 before any work.
    Without the mark, an answer to a write that asks to try later leaves the outcome unknown.
    """

    rule: type[OpenSlotError] | Judge


ErrorRule: TypeAlias = type[OpenSlotError] | Judge | Refused


def _forbidden(reply: Reply) -> OpenSlotError:
    what = "refused the credential" if reply.status == 401 else "does not allow this"
    return AuthFailed(f"the server {what} (status {reply.status})")


def _moved(reply: Reply) -> OpenSlotError:
    return BadResponse(
        f"the server wants to be asked elsewhere (status {reply.status});"
        " set base_url to the address that the practice's server really has"
    )


DEFAULT_TABLE: Mapping[int, ErrorRule] = {
    307: Refused(_moved),
    308: Refused(_moved),
    400: Rejected,
    401: _forbidden,
    402: Rejected,
    403: _forbidden,
    404: NotFound,
    408: Unavailable,
    409: SlotTaken,
    410: NotFound,
    412: Stale,
    422: Rejected,
    423: Stale,
    424: Stale,
    425: Unavailable,
    429: Refused(RateLimited),
}
"""What a status means where the vendor's table says nothing.

A 409 to a read is a `BadResponse`, as nothing was asked for that could be taken. Other 4xx are
`BadResponse`, 5xx `Unavailable`, the rest `BadResponse`.
"""

_SENTENCES: Mapping[type[OpenSlotError], str] = {
    AuthFailed: "the server refused the credential",
    NotFound: "the server has no such record",
    SlotTaken: "the server says that the time is taken",
    Stale: "the record changed since it was read",
    Rejected: "the server refused the request by its own rules",
    RateLimited: "the server's rate limit is reached",
    Unavailable: "the server cannot answer now",
    BadResponse: "the server's answer could not be understood",
    Unsupported: "the server cannot do this",
    ConfigError: "the server does not accept this set-up",
}


def judge(table: Mapping[int, ErrorRule], reply: Reply) -> tuple[OpenSlotError, bool]:
    """The failure that an answer means, and whether it proves that nothing was done.

    The error carries the vendor's request id and, where one was given, `retry_after`; its `sent`
    is left to the caller.
    """
    error: OpenSlotError | None = None
    refused = False
    for rules in (table, DEFAULT_TABLE):
        rule = rules.get(reply.status)
        refused = isinstance(rule, Refused)
        if isinstance(rule, Refused):
            rule = rule.rule
        if rule is None:
            continue
        if isinstance(rule, type):
            sentence = _SENTENCES.get(rule, "the server refused the request")
            error = rule(f"{sentence} (status {reply.status})")
        else:
            error = rule(reply)
        if error is not None:
            break
    if error is None:
        refused = False
        error = _by_class(reply)
    if isinstance(error, SlotTaken) and not reply.write:
        error = BadResponse(f"the server answered a read with status {reply.status}")
    if error.request_id is None:
        error.request_id = reply.request_id
    if isinstance(error, RateLimited | Unavailable) and error.retry_after is None:
        error.retry_after = retry_after(reply)
    # What asks for another way leaves nothing behind; what asks to try later may have.
    return error, refused or isinstance(error, SetupError | AskAgain)


def _by_class(reply: Reply) -> OpenSlotError:
    if reply.status >= 500:
        return Unavailable(f"the server cannot answer now (status {reply.status})")
    return BadResponse(
        f"the server answered with status {reply.status}, which is not expected here"
    )


def retry_after(reply: Reply) -> float | None:
    """Seconds that the answer asks to wait (RFC 9110, 10.2.3), None where it does not.

    A date is measured on the server's own clock where the answer says what that is.
    """
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), _LONGEST_WAIT))
    until = http_date(value)
    if until is None:
        return None
    start = reply.date or datetime.now(UTC)
    return min(max((until - start).total_seconds(), 0.0), float(_LONGEST_WAIT))


def http_date(value: str) -> datetime | None:
    """The instant of an HTTP date; None where it is none."""
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found.astimezone(UTC)


_LONGEST_WAIT = 24 * 3600
