"""What front ends call: availability, offers, bookings, moves and cancellations, with proof."""

from openslot.desk.desk import Desk
from openslot.desk.outcome import (
    Failure,
    Match,
    MatchLevel,
    Offer,
    OldSlot,
    Outcome,
    OutcomeState,
)

__all__ = [
    "Desk",
    "Failure",
    "Match",
    "MatchLevel",
    "Offer",
    "OldSlot",
    "Outcome",
    "OutcomeState",
]
