"""A person as people type them: name, date of birth, and how to reach them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from openslot.model import Patient

__all__ = ["person"]


def person(
    family: str | None,
    given: str | None,
    birth_date: str | None,
    phone: str | None,
    email: str | None,
) -> Patient:
    """The person with what was said of them. Raises BadParameter for what is no date."""
    from openslot.model import ContactPoint, ContactSystem, HumanName, Patient

    try:
        born = datetime.strptime(birth_date, "%Y-%m-%d").date() if birth_date else None  # noqa: DTZ007
    except ValueError:
        raise click.BadParameter(
            "write year, month and day, like 1980-05-17", param_hint="--birth-date"
        ) from None
    telecom = (
        *((ContactPoint(ContactSystem.PHONE, phone),) if phone else ()),
        *((ContactPoint(ContactSystem.EMAIL, email),) if email else ()),
    )
    name = HumanName(family, (given,) if given else ()) if family or given else None
    return Patient(name=name, birth_date=born, telecom=telecom)
