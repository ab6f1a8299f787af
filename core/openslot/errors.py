"""Every failure is one leaf of this tree, grouped by what the caller does next.

    OpenSlotError
    ├── SetupError              have somebody mend the set-up; trying again changes nothing
    │   ├── Unsupported         this vendor or practice cannot do that; nothing was sent
    │   ├── ConfigError         the settings do not fit; the message says what to write instead
    │   └── AuthFailed          the credential was refused
    ├── AskAgain                talk to the patient: another slot, another answer
    │   ├── NotFound            there is no such record
    │   ├── SlotTaken           somebody else has the time; `alternatives` may say what is free
    │   ├── Stale               what was offered is expired, altered or from elsewhere: search again
    │   ├── Rejected            the practice's rules say no; `reason` says which
    │   └── KeyReused           this intent key already stands for another request
    ├── TryLater                nothing is known to have changed
    │   ├── RateLimited         the vendor's limit is reached; `retry_after` in seconds
    │   ├── Unavailable         the vendor cannot be reached or says that it is down
    │   ├── DeadlineExceeded    the time ran out before anything was sent
    │   └── BadResponse         the answer could not be understood; `path` leads to the place
    └── Unsettled               tell staff; do not send again
        ├── OutcomeUnknown      a write may have happened; `key` names the intent to ask for
        └── PlaceLost           the patient has no place any more

A message is a sentence for the person who reads it. It never holds a patient's data, a secret or
a query string; `request_id` is the vendor's own name for the call, for their support desk.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from openslot.model import Slot

__all__ = [
    "AskAgain",
    "AuthFailed",
    "BadResponse",
    "ConfigError",
    "DeadlineExceeded",
    "KeyReused",
    "NotFound",
    "OpenSlotError",
    "OutcomeUnknown",
    "PlaceLost",
    "RateLimited",
    "Rejected",
    "RejectedReason",
    "SetupError",
    "SlotTaken",
    "Stale",
    "TryLater",
    "Unavailable",
    "Unsettled",
    "Unsupported",
    "leaves",
]


class OpenSlotError(Exception):
    """The root of the tree: catch it to catch every failure of this library.

    `request_id` is the vendor's name for the call. `sent` says whether a write may stand: False
    only where provably nothing of it does and nothing is in flight, because it never left or
    because the vendor refused it; None where nobody has said. `exit_code` is the command's.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(
        self, message: str, *, request_id: str | None = None, sent: bool | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.request_id = request_id
        self.sent = sent

    def __str__(self) -> str:
        if self.request_id:
            return f"{self.message} (vendor's request id {self.request_id})"
        return self.message


class SetupError(OpenSlotError):
    """Have somebody mend the set-up; trying again changes nothing."""


class Unsupported(SetupError):
    """This vendor, or this practice's access to it, cannot do that. Nothing was sent."""

    exit_code = 10
    code = "unsupported"


class ConfigError(SetupError):
    """The settings do not fit; the message says what to write instead."""

    exit_code = 11
    code = "config_error"


class AuthFailed(SetupError):
    """The vendor refused the credential, or what it allows is not enough."""

    exit_code = 12
    code = "auth_failed"


class AskAgain(OpenSlotError):
    """Talk to the patient: another slot, another answer."""


class NotFound(AskAgain):
    """There is no such record."""

    exit_code = 20
    code = "not_found"


class SlotTaken(AskAgain):
    """Somebody else has the time. `alternatives` are slots that were free a moment ago."""

    exit_code = 21
    code = "slot_taken"

    def __init__(
        self,
        message: str = "the slot is taken",
        *,
        alternatives: tuple[Slot, ...] = (),
        request_id: str | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, sent=sent)
        self.alternatives = alternatives


class Stale(AskAgain):
    """What was offered is expired, altered or from another practice or conversation: search again.

    Also a record that changed since it was read.
    """

    exit_code = 22
    code = "stale"


class RejectedReason(StrEnum):
    """Which of the practice's rules said no."""

    NOTICE = "notice"
    HORIZON = "horizon"
    POLICY = "policy"
    PAYMENT = "payment"
    DUPLICATE_PATIENT = "duplicate_patient"
    PATIENT_CONFLICT = "patient_conflict"
    MISSING_FIELD = "missing_field"
    NOT_BOOKABLE_ONLINE = "not_bookable_online"
    GAP_REQUIRED = "gap_required"


class Rejected(AskAgain):
    """The practice's rules say no; `reason` says which, `fields` what is missing."""

    exit_code = 23
    code = "rejected"

    def __init__(
        self,
        message: str,
        *,
        reason: RejectedReason = RejectedReason.POLICY,
        fields: tuple[str, ...] = (),
        request_id: str | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, sent=sent)
        self.reason = reason
        self.fields = fields


class KeyReused(AskAgain):
    """This intent key already stands for another request. Use a new key for a new intent."""

    exit_code = 24
    code = "key_reused"


class TryLater(OpenSlotError):
    """Nothing is known to have changed; the same call may go through later.

    `retry_after` is in seconds, None where the vendor did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after: float | None = None,
        request_id: str | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, sent=sent)
        self.retry_after = retry_after


class RateLimited(TryLater):
    """The vendor's limit is reached."""

    exit_code = 30
    code = "rate_limited"


class Unavailable(TryLater):
    """The vendor cannot be reached, or says that it is down."""

    exit_code = 31
    code = "unavailable"


class DeadlineExceeded(TryLater):
    """The time ran out before anything was sent."""

    exit_code = 32
    code = "deadline_exceeded"


class BadResponse(TryLater):
    """The vendor's answer could not be understood. `path` leads into its document."""

    exit_code = 33
    code = "bad_response"

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        request_id: str | None = None,
        sent: bool | None = None,
    ) -> None:
        super().__init__(message, request_id=request_id, sent=sent)
        self.path = path

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} at {self.path}" if self.path else text


class Unsettled(OpenSlotError):
    """Tell staff; do not send again."""


class OutcomeUnknown(Unsettled):
    """A write may have happened and nothing that was read since settles it.

    `key` names the intent: ask `Desk.outcome(key)` or `Desk.wait(key, timeout)`.
    """

    exit_code = 40
    code = "outcome_unknown"

    def __init__(
        self,
        message: str,
        *,
        key: str | None = None,
        since: datetime | None = None,
        request_id: str | None = None,
        sent: bool | None = True,
    ) -> None:
        super().__init__(message, request_id=request_id, sent=sent)
        self.key = key
        self.since = since


class PlaceLost(Unsettled):
    """The patient had a place and has none any more. Staff must act now."""

    exit_code = 41
    code = "place_lost"


def leaves(root: type[OpenSlotError] = OpenSlotError) -> Iterator[type[OpenSlotError]]:
    """The leaves of the tree within this library, each once."""
    for child in root.__subclasses__():
        if child.__module__ != __name__:
            continue
        if any(c.__module__ == __name__ for c in child.__subclasses__()):
            yield from leaves(child)
        else:
            yield child
