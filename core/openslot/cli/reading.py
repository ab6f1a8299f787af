"""`openslot appointments` and `openslot patients`: who comes when, and whether one is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openslot.cli.options import PARTIAL, Chosen, common, emit, pass_chosen, run

if TYPE_CHECKING:
    from openslot.desk import Match
    from openslot.model import Appointment, AppointmentQuery, Listing, Patient
    from openslot.practice import Practice

__all__ = ["appointments", "patients"]


@click.command()
@click.option("--patient", metavar="ID", help="Whose: the practice's id of a patient,")
@click.option("--practitioner", metavar="ID", help="or of a practitioner.")
@click.option("--from", "since", metavar="WHEN", help="Date or time.")
@click.option("--to", "until", metavar="WHEN", help="Date (included) or time; 7 days after --from.")
@click.option("--cancelled", is_flag=True, help="Also those that were cancelled.")
@common
@pass_chosen
def appointments(
    chosen: Chosen,
    patient: str | None,
    practitioner: str | None,
    since: str | None,
    until: str | None,
    cancelled: bool,
) -> int:
    """List the appointments of a patient or of a practitioner.

    Without --from and --to: all that the system keeps of a patient, and of a practitioner those of
    the next 7 days.
    """
    from openslot.cli.when import window
    from openslot.clock import SystemClock
    from openslot.model import AppointmentQuery, Resource, ResourceKind

    if (patient is None) is (practitioner is None):
        raise click.UsageError("say whose: --patient ID or --practitioner ID")
    practice = chosen.the_practice()
    now = SystemClock().now().replace(microsecond=0)
    bounded = since or until or practitioner
    query = AppointmentQuery(
        patient=patient,
        resource=Resource(ResourceKind.PRACTITIONER, practitioner) if practitioner else None,
        window=window(since, until, practice.zone_info, now) if bounded else None,
        include_cancelled=cancelled,
    )
    found = run(_appointments(chosen, practice, query))
    if chosen.json:
        from openslot.cli.shapes import appointments_shape

        emit({"practice": practice.name, **appointments_shape(found)})
    else:
        from openslot.cli.show import show_appointments

        show_appointments(found, practice.zone_info)
    return 0 if found.complete else PARTIAL


async def _appointments(
    chosen: Chosen, practice: Practice, query: AppointmentQuery
) -> Listing[Appointment]:
    from openslot.cli.show import progress

    with progress("Looking for appointments"):
        async with chosen.desk(practice) as desk:
            return await desk.appointments(query, seconds=60.0)


@click.command()
@click.option("--family", metavar="NAME", help="Family name.")
@click.option("--given", metavar="NAME", help="Given name.")
@click.option("--birth-date", metavar="DATE", help="Date of birth (1980-05-17).")
@click.option("--phone", metavar="NUMBER")
@click.option("--email", metavar="ADDRESS")
@common
@pass_chosen
def patients(
    chosen: Chosen,
    family: str | None,
    given: str | None,
    birth_date: str | None,
    phone: str | None,
    email: str | None,
) -> int:
    """Tell whether a person is one of the practice's patients: none, one or many.

    Of one, the id is printed, and on which of the given facts the practice agrees. Of several,
    nothing: give more facts.
    """
    from openslot.cli.who import person

    if not any((family, given, birth_date, phone, email)):
        raise click.UsageError("say who: --family, --given, --birth-date, --phone, --email")
    wanted = person(family, given, birth_date, phone, email)
    practice = chosen.the_practice()
    found = run(_patients(chosen, practice, wanted))
    if chosen.json:
        from openslot.cli.shapes import match_shape

        emit({"practice": practice.name, **match_shape(found)})
    else:
        from openslot.cli.show import show_match

        show_match(found)
    return PARTIAL if found.level == "many" else 0


async def _patients(chosen: Chosen, practice: Practice, wanted: Patient) -> Match:
    from openslot.cli.show import progress

    with progress("Looking for the patient"):
        async with chosen.desk(practice) as desk:
            return await desk.find_patient(wanted, seconds=60.0)
