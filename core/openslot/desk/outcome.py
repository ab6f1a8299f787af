"""What the desk answers: outcomes that can be asked for again, offers, and matches of people."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from openslot.errors import OpenSlotError, RejectedReason, SlotTaken, leaves
from openslot.journal.states import State
from openslot.model import Appointment, Exclusive, Patient, Proof, ProofLevel, Slot, from_json

if TYPE_CHECKING:
    from openslot.journal import Entry
    from openslot.practice import Rules

__all__ = [
    "Failure",
    "Match",
    "MatchLevel",
    "Offer",
    "OldSlot",
    "Outcome",
    "OutcomeState",
    "outcome_of",
]

T = TypeVar("T")

OutcomeState = State
"""How far an intent has got: the journal's own words."""


class OldSlot(StrEnum):
    """What became of the time that a cancelled or moved appointment had."""

    FREED = "freed"
    """It is offered again."""
    RETAKEN = "retaken"
    """Somebody else has it already."""
    NOT_OFFERED = "not offered"
    """Nobody has it, and the practice does not offer it (any more)."""
    LEAKED = "leaked"
    """Nobody has it, and this vendor is not known to give time back: staff should look."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal as it is kept: the error's code and what it said. `error()` makes it anew."""

    code: str
    message: str
    reason: RejectedReason | None = None
    fields: tuple[str, ...] = ()
    request_id: str | None = None

    @classmethod
    def of(cls, error: OpenSlotError) -> Failure:
        """The failure that an error stands for."""
        return cls(
            code=error.code,
            message=error.message,
            reason=getattr(error, "reason", None),
            fields=getattr(error, "fields", ()),
            request_id=error.request_id,
        )

    def error(self, alternatives: tuple[Slot, ...] = ()) -> OpenSlotError:
        """The error again, of the same leaf."""
        kind = next((leaf for leaf in leaves() if leaf.code == self.code), OpenSlotError)
        extra: dict[str, Any] = {"request_id": self.request_id}
        if kind is SlotTaken:
            extra["alternatives"] = alternatives
        if self.reason is not None:
            extra |= {"reason": self.reason, "fields": self.fields}
        return kind(self.message, **extra)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an intent, as far as it is known; `as_of` says when.

    `confirmed` is what a front end may say aloud: the practice's own system shows the appointment,
    and nobody else can have the time (or the practice has allowed to say so regardless). While it
    is False and nothing failed, the word is "requested". `settled` is whether anything can still
    change it. `since` tells what later intents did to the appointment: "moved" or "cancelled".
    """

    intent: str
    verb: str
    state: State
    as_of: datetime
    settled: bool
    confirmed: bool = False
    key: str | None = field(default=None, repr=False)
    appointment: Appointment | None = None
    proof: Proof | None = None
    failure: Failure | None = None
    alternatives: tuple[Slot, ...] = ()
    mismatch: tuple[str, ...] = ()
    """Fields in which the practice's record differs from what was asked for: a person must look."""
    way: str | None = None
    """How a move was made: native, book-first, hold-first or gap."""
    old_slot: OldSlot | None = None
    old_standing: bool = False
    """The move's old appointment could not be cancelled yet; it is retried and listed."""
    since: str | None = None
    since_appointment: str | None = None
    """The id of the appointment that replaced this one, where it was moved since."""

    @property
    def level(self) -> ProofLevel | None:
        """The proof's level."""
        return self.proof.level if self.proof else None

    @property
    def exclusive(self) -> Exclusive:
        """The proof's word on who else may have the time."""
        return self.proof.exclusive if self.proof else Exclusive.UNKNOWN


@dataclass(frozen=True, slots=True)
class Offer:
    """A slot that was read out: a short code, good for one conversation at one practice."""

    code: str
    slot: Slot
    expires: datetime


class MatchLevel(StrEnum):
    """None, one and many are three different answers."""

    NONE = "none"
    ONE = "one"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class Match:
    """Who fits. `patient` is set for ONE only: nothing of several candidates is disclosed."""

    level: MatchLevel
    patient: Patient | None = None
    agreed: tuple[str, ...] = ()
    """On which of the given facts the one patient agrees."""


def outcome_of(entry: Entry, key: str | None, rules: Rules) -> Outcome:
    """What an entry of the journal says, as an outcome."""
    result = entry.result or {}
    proof = _read(Proof, result.get("proof"))
    exclusive = proof.exclusive if proof else Exclusive.UNKNOWN
    sure = exclusive is not Exclusive.UNKNOWN or rules.confirm_unproven
    verified = entry.state is State.VERIFIED
    return Outcome(
        intent=entry.marker,
        verb=entry.verb,
        state=entry.state,
        as_of=proof.as_of if proof else datetime.fromtimestamp(entry.updated, UTC),
        settled=entry.final,
        confirmed=verified and (sure or entry.verb in {"cancel", "register"}),
        key=key,
        appointment=_read(Appointment, result.get("appointment")),
        proof=proof,
        failure=_read(Failure, result.get("failure")),
        alternatives=tuple(
            s for s in (_read(Slot, v) for v in result.get("alternatives", ())) if s is not None
        ),
        mismatch=tuple(result.get("mismatch", ())),
        way=result.get("way"),
        old_slot=OldSlot(result["old_slot"]) if "old_slot" in result else None,
        old_standing=bool(result.get("old_standing")),
    )


def _read(type_: type[T], value: Any) -> T | None:
    return None if value is None else from_json(type_, json.dumps(value))
