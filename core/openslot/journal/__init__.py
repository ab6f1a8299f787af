"""Intents, offers and claims on disk: what the desk promised, before and after it acts."""

from openslot.journal.states import State
from openslot.journal.store import Entry, Journal, OfferRow

__all__ = ["Entry", "Journal", "OfferRow", "State"]
