"""A practice engine that a small clinic can run on, and that serves sandboxes as their engine."""

from openslot.clinic.availability import (
    DayException,
    Rules,
    WeeklyHours,
    WorkPlan,
    free_starts,
    open_stretches,
)
from openslot.clinic.clinic import Clinic
from openslot.clinic.openings import opening_id
from openslot.clinic.reading import INTENT_SYSTEM
from openslot.clinic.records import Block, Event, Manners, Opening, Schedule, VisitType
from openslot.clinic.synthetic import synthetic_clinic

__all__ = [
    "INTENT_SYSTEM",
    "Block",
    "Clinic",
    "DayException",
    "Event",
    "Manners",
    "Opening",
    "Rules",
    "Schedule",
    "VisitType",
    "WeeklyHours",
    "WorkPlan",
    "free_starts",
    "open_stretches",
    "opening_id",
    "synthetic_clinic",
]
