"""The JSON of each part of the command. `docs/cli.md` describes it, and a test holds it to that."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from openslot.connector import VERBS
from openslot.errors import OpenSlotError, SlotTaken
from openslot.model import Appointment, Hold, Listing, Slot, to_json

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.desk import Desk, Match, Outcome

__all__ = [
    "appointments_shape",
    "connector_shape",
    "error_shape",
    "hold_shape",
    "listing_shape",
    "match_shape",
    "outcome_shape",
    "plain",
    "sealed",
    "slot_shape",
]


def plain(value: Any) -> Any:
    """A value of the model as what JSON can hold: its own JSON, the one that `from_json` reads."""
    return json.loads(to_json(value))


def sealed(slots: tuple[Slot, ...], desk: Desk) -> tuple[Slot, ...]:
    """The slots with the tokens that book them."""
    return tuple(replace(s, token=desk.seal(s)) for s in slots)


def slot_shape(slot: Slot) -> dict[str, Any]:
    """A slot, without what only its connector understands; `practitioner` is an id for reading."""
    shape: dict[str, Any] = plain(replace(slot, ref=None))
    del shape["ref"]
    return {**shape, "practitioner": slot.practitioner}


def listing_shape(found: Listing[Slot], shown: tuple[Slot, ...]) -> dict[str, Any]:
    """An answer of find: `total` slots were seen, `slots` are those that the limit lets through."""
    return {
        "complete": found.complete,
        "none": found.none,
        "missing": [plain(m) for m in found.missing],
        "total": len(found.items),
        "slots": [slot_shape(s) for s in shown],
        "as_of": found.as_of.isoformat() if found.as_of else None,
        "source": found.source,
    }


def hold_shape(held: Hold) -> dict[str, Any]:
    """A hold; its token stands beside it."""
    shape: dict[str, Any] = plain(replace(held, slot=replace(held.slot, ref=None)))
    return {**shape, "slot": slot_shape(replace(held.slot, token=None))}


def appointments_shape(found: Listing[Appointment]) -> dict[str, Any]:
    """Appointments as the practice has them, and what could not be read."""
    return {
        "complete": found.complete,
        "none": found.none,
        "missing": [plain(m) for m in found.missing],
        "appointments": [plain(a) for a in found],
        "as_of": found.as_of.isoformat() if found.as_of else None,
        "source": found.source,
    }


def match_shape(found: Match) -> dict[str, Any]:
    """Who fits: of one the id, of several nothing."""
    return {
        "level": found.level,
        "patient": found.patient.id if found.patient else None,
        "agreed": list(found.agreed),
    }


def outcome_shape(outcome: Outcome, desk: Desk) -> dict[str, Any]:
    """What became of an intent. The alternatives carry tokens."""
    shape: dict[str, Any] = plain(replace(outcome, alternatives=()))
    return {
        **shape,
        "level": outcome.level,
        "exclusive": outcome.exclusive,
        "alternatives": [slot_shape(s) for s in sealed(outcome.alternatives, desk)],
    }


def error_shape(error: OpenSlotError) -> dict[str, Any]:
    """An error: its code and sentence, and whatever else it knows."""
    shape: dict[str, Any] = {"code": error.code, "message": error.message}
    for name in ("reason", "request_id", "retry_after", "path", "key"):
        value = getattr(error, name, None)
        if value is not None:
            shape[name] = value
    if fields := getattr(error, "fields", ()):
        shape["fields"] = list(fields)
    if isinstance(error, SlotTaken):
        shape["alternatives"] = [slot_shape(s) for s in error.alternatives]
    return shape


def connector_shape(name: str, connector: type[Connector]) -> dict[str, Any]:
    """What a connector claims at best, for any practice."""
    info, verbs = connector.info, connector.verbs()
    return {
        "name": name,
        "title": info.title,
        "verbs": [v for v in VERBS if v in verbs],
        "traits": info.traits.as_dict(),
        "evidence": info.evidence,
        "documentation": info.documentation,
        "verified_against": list(info.verified_against),
        "notes": dict(info.notes),
    }
