"""The life of an intent, as a table.

                      ┌──────────────► (deleted: nothing left, the key is unused)
    RECORDED ──► SENT ┼──► ACCEPTED ──► WRITTEN ──► VERIFIED
                      ├──► UNKNOWN ──► any of the three to the right, when it is found
                      └──► REJECTED   nothing stands: refused, or undone by us
    any of them  ──► LOST             the patient had a place and has none any more

VERIFIED, REJECTED and LOST are ends. `final` on an entry says that nobody will work on it again,
also where it ends lower because the vendor cannot be read.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ALLOWED", "State"]


class State(StrEnum):
    """How far an intent has got."""

    RECORDED = "recorded"
    SENT = "sent"
    UNKNOWN = "unknown"
    ACCEPTED = "accepted"
    WRITTEN = "written"
    VERIFIED = "verified"
    REJECTED = "rejected"
    LOST = "lost"

    @property
    def ended(self) -> bool:
        """Whether no transition leads on from here."""
        return not ALLOWED[self]


_SETTLED = frozenset({State.VERIFIED, State.REJECTED, State.LOST})

ALLOWED: dict[State, frozenset[State]] = {
    State.RECORDED: frozenset({State.SENT, State.UNKNOWN, State.ACCEPTED, State.WRITTEN})
    | _SETTLED,
    State.SENT: frozenset({State.UNKNOWN, State.ACCEPTED, State.WRITTEN}) | _SETTLED,
    State.UNKNOWN: frozenset({State.ACCEPTED, State.WRITTEN}) | _SETTLED,
    State.ACCEPTED: frozenset({State.WRITTEN}) | _SETTLED,
    State.WRITTEN: _SETTLED,
    State.VERIFIED: frozenset(),
    State.REJECTED: frozenset(),
    State.LOST: frozenset(),
}
"""Where each state may go; staying is always allowed."""
