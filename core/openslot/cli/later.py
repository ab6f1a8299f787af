"""`openslot outcome`, `unsettled` and `recover`: what outlasts a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from openslot.cli.options import PARTIAL, Chosen, common, emit, pass_chosen, run

if TYPE_CHECKING:
    from openslot.desk import Outcome
    from openslot.practice import Practice

__all__ = ["outcome", "recover", "unsettled"]


@click.command()
@click.argument("key", metavar="KEY")
@click.option("--wait", type=click.FloatRange(0), default=0.0, metavar="SECONDS")
@common
@pass_chosen
def outcome(chosen: Chosen, key: str, wait: float) -> int:
    """Tell what became of the intent with KEY.

    It exits as the command exited, or would have, that asked for it.
    """
    practice = chosen.the_practice()
    return run(_outcome(chosen, practice, key, wait))


async def _outcome(chosen: Chosen, practice: Practice, key: str, wait: float) -> int:
    from openslot.cli.shapes import outcome_shape
    from openslot.cli.show import progress, show_outcome

    async with chosen.desk(practice) as desk:
        with progress("Waiting for it to settle"):
            told = await (desk.wait(key, wait) if wait else desk.outcome(key))
        if chosen.json:
            emit({"practice": practice.name, **outcome_shape(told, desk)})
        else:
            show_outcome(told, practice.zone_info)
    return _code(told)


def _code(told: Outcome) -> int:
    from openslot.errors import OutcomeUnknown
    from openslot.journal import State

    if told.failure is not None:
        return told.failure.error().exit_code
    if told.state in {State.SENT, State.UNKNOWN}:
        return OutcomeUnknown.exit_code
    return 0 if told.confirmed and not told.old_standing else PARTIAL


@click.command()
@common
@pass_chosen
def unsettled(chosen: Chosen) -> int:
    """List the intents that are not at their end: what staff should look at."""
    return run(_unsettled(chosen, chosen.the_practice(), recovers=False))


@click.command()
@common
@pass_chosen
def recover(chosen: Chosen) -> int:
    """Look at each unsettled intent once more, settle what can be settled, list the rest."""
    return run(_unsettled(chosen, chosen.the_practice(), recovers=True))


async def _unsettled(chosen: Chosen, practice: Practice, *, recovers: bool) -> int:
    from openslot.cli.shapes import outcome_shape
    from openslot.cli.show import console, headline, progress, span, table

    async with chosen.desk(practice) as desk:
        with progress("Looking at what is unsettled"):
            recovered = [o for o in (await desk.recover() if recovers else ()) if o.settled]
            left = await desk.unsettled()
        document = {
            "practice": practice.name,
            **({"recovered": [outcome_shape(o, desk) for o in recovered]} if recovers else {}),
            "unsettled": [outcome_shape(o, desk) for o in left],
        }
    if chosen.json:
        emit(document)
        return PARTIAL if left else 0
    out = console()
    for title, outcomes in (("Settled now", recovered), ("Unsettled", list(left))):
        if outcomes:
            out.print(f"{title}: {len(outcomes)}")
            rows = []
            for o in outcomes:
                a = o.appointment
                when = span(a.start, a.end, practice.zone_info) if a else ""
                rows.append((o.verb, o.state.value, a.id if a else "", when, headline(o)))
            table(("what", "state", "appointment", "when", "in a word"), rows)
    if not left:
        out.print("Nothing is unsettled.")
    return PARTIAL if left else 0
