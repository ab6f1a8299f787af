"""`openslot book`, `reschedule` and `cancel`: one intent each, by a key."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openslot.cli.options import PARTIAL, Chosen, common, emit, given, pass_chosen, run
from openslot.errors import SlotTaken

if TYPE_CHECKING:
    from openslot.desk import Desk, Outcome
    from openslot.model import Patient
    from openslot.practice import Practice

__all__ = ["book", "cancel", "reschedule"]

F = TypeVar("F", bound=Callable[..., Any])


def _keyed(command: F) -> F:
    return click.option(
        "--key",
        metavar="KEY",
        help="Names this intent: the same key again answers the same outcome. Made, and printed "
        "on stderr before anything is sent, where you give none.",
    )(command)


def _slotted(command: F) -> F:
    command = click.option(
        "--conversation",
        metavar="ID",
        default="",
        help="Where SLOT is the code of an offer: the conversation it was made in.",
    )(command)
    return click.argument("slot", metavar="SLOT")(command)


@click.command()
@_slotted
@click.option("--patient", metavar="ID", help="The practice's id of the patient.")
@click.option("--family", metavar="NAME", help="Or the person: family name,")
@click.option("--given", "given_name", metavar="NAME", help="given name,")
@click.option("--birth-date", metavar="DATE", help="date of birth (1980-05-17),")
@click.option("--phone", metavar="NUMBER", help="and how to reach them.")
@click.option("--email", metavar="ADDRESS")
@click.option("--type", "type_", metavar="ID", help="Appointment type, where the slot has none.")
@click.option("--reason", metavar="TEXT", help="Reason for the visit.")
@click.option("--patient-new/--patient-existing", "new", default=None)
@_keyed
@common
@pass_chosen
def book(
    chosen: Chosen,
    slot: str,
    conversation: str,
    patient: str | None,
    family: str | None,
    given_name: str | None,
    birth_date: str | None,
    phone: str | None,
    email: str | None,
    type_: str | None,
    reason: str | None,
    new: bool | None,
    key: str | None,
) -> int:
    """Book SLOT: a token of `find` or `hold`, `-` to read it from stdin, or the code of an offer.

    A person who is not known yet is registered first.
    """
    who = _who(patient, family, given_name, birth_date, phone, email)
    token = given(slot, "SLOT")
    return _perform(
        chosen,
        key,
        "Booking",
        lambda desk, key: desk.book(
            token,
            who,
            key=key,
            conversation=conversation,
            appointment_type=type_,
            reason=reason,
            new_patient=new,
        ),
    )


@click.command()
@click.argument("appointment", metavar="APPOINTMENT")
@_slotted
@click.option("--reason", metavar="TEXT", help="Why it is moved.")
@_keyed
@common
@pass_chosen
def reschedule(
    chosen: Chosen,
    appointment: str,
    slot: str,
    conversation: str,
    reason: str | None,
    key: str | None,
) -> int:
    """Move APPOINTMENT to SLOT without losing the patient's place."""
    token = given(slot, "SLOT")
    return _perform(
        chosen,
        key,
        "Moving",
        lambda desk, key: desk.reschedule(
            appointment, token, key=key, conversation=conversation, reason=reason
        ),
    )


@click.command()
@click.argument("appointment", metavar="APPOINTMENT")
@click.option("--reason", metavar="ID|TEXT", help="An id of the practice's reasons, or text.")
@_keyed
@common
@pass_chosen
def cancel(chosen: Chosen, appointment: str, reason: str | None, key: str | None) -> int:
    """Cancel APPOINTMENT and read back that it is cancelled."""
    return _perform(
        chosen,
        key,
        "Cancelling",
        lambda desk, key: desk.cancel(appointment, key=key, reason=reason),
    )


def _perform(
    chosen: Chosen,
    key: str | None,
    doing: str,
    verb: Callable[[Desk, str], Awaitable[Outcome]],
) -> int:
    practice = chosen.the_practice()
    if key is None:
        key = f"cli-{secrets.token_hex(8)}"
        # Before anything leaves: whoever kills this process can still ask what became of it.
        click.echo(f"key: {key} (what became of it: openslot outcome {key})", err=True)
    return run(_performed(chosen, practice, key, doing, verb))


async def _performed(
    chosen: Chosen,
    practice: Practice,
    key: str,
    doing: str,
    verb: Callable[[Desk, str], Awaitable[Outcome]],
) -> int:
    from openslot.cli.shapes import outcome_shape, sealed
    from openslot.cli.show import progress, show_alternatives, show_outcome

    async with chosen.desk(practice) as desk:
        try:
            with progress(doing):
                outcome = await verb(desk, key)
        except SlotTaken as error:
            error.alternatives = sealed(error.alternatives, desk)
            if not chosen.json:
                show_alternatives(error, practice.zone_info)
            raise
        if chosen.json:
            emit({"practice": practice.name, **outcome_shape(outcome, desk)})
        else:
            show_outcome(outcome, practice.zone_info)
    return 0 if outcome.confirmed and not outcome.old_standing else PARTIAL


def _who(
    patient: str | None,
    family: str | None,
    given_name: str | None,
    birth_date: str | None,
    phone: str | None,
    email: str | None,
) -> str | Patient:
    from openslot.cli.who import person

    details = (family, given_name, birth_date, phone, email)
    if patient is not None:
        if any(details):
            raise click.UsageError("give --patient, or the person's name and birth date, not both")
        return patient
    if not (family and given_name and birth_date):
        raise click.UsageError(
            "say for whom: --patient ID, or --family, --given and --birth-date together"
        )
    return person(*details)
