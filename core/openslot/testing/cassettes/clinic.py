"""The clinic that sandboxes are recorded with: so small that a person can read every answer."""

from __future__ import annotations

from datetime import time, timedelta

from openslot.clinic import Clinic
from openslot.clinic.availability import WeeklyHours
from openslot.clinic.records import VisitType
from openslot.clinic.synthetic import synthetic_names
from openslot.model import Address, Location, Practitioner, VisitMode

__all__ = ["small_clinic"]

MONDAY = 0


def small_clinic(clinic: Clinic, *, seed: int = 1, zone: str = "America/New_York") -> None:
    """Fill it: location `main`, practitioner `dr-1` on Mondays from 9 to 11, type `visit` (30 min).

    It has no patients: a session registers its own.
    """
    name = synthetic_names(seed)[0]
    address = Address(("1 Example Street",), "Sampleton")
    clinic.add_location(Location("main", "Sample Clinic", zone, address))
    clinic.add_practitioner(Practitioner("dr-1", f"Dr. {name}", specialties=("family medicine",)))
    clinic.set_hours("dr-1", "main", (WeeklyHours(MONDAY, time(9), time(11)),))
    clinic.add_type(
        VisitType(
            "visit",
            "Visit, 30 min",
            timedelta(minutes=30),
            step=timedelta(minutes=30),
            horizon=timedelta(days=180),
            visit_modes=(VisitMode.IN_PERSON,),
        )
    )
