"""How this FHIR server behaves: the defaults are a plain one's, each switch is some server's."""

from __future__ import annotations

from dataclasses import dataclass

from openslot.testing.sandbox import Manners

__all__ = ["FhirManners"]


@dataclass(frozen=True, slots=True)
class FhirManners(Manners):
    """The manners of a FHIR R4 server."""

    frees_slot_on_cancel: bool = False
    """True: a cancelled Appointment's Slot is free again; else whoever wrote it busy frees it."""
    page_size: int = 50
    read_lag: float = 0.0
    """Seconds by which reads and searches show what was; within a Bundle they do not."""
    flips_slot: bool = False
    """True: creating an Appointment makes its Slot busy; else the Slot says what was written."""
    taken_status: int = 409
    """The status of a refusal because the time is taken: 409, 412, 418 or 422 are seen."""
    stale_status: int = 412
    """The status for an If-Match that is not current."""
    location: str = "absolute"
    """The Location header of a create: absolute, relative, or none."""
    etag: str = "weak"
    """`W/"3"` (weak), `"3"` (strong), or a bare 3 (bare)."""
    returns_body: bool = True
    """Whether a write is answered with the resource where the client does not say."""
    rollback: bool = True
    """False: a transaction is carried out entry by entry, and what went through stays."""
    unknown_parameters: str = "ignore"
    """What a parameter that is not understood does: ignore, empty (no results), or refuse."""
    days_ahead: int = 60
    """How many days of Slots a search sees that names no end."""
    total: bool = True
    """Whether a search says how many there are in all."""
