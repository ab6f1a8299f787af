"""`openslot hold` and `release`: a slot kept while somebody is deciding."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from openslot.cli.options import Chosen, common, emit, given, pass_chosen, run

if TYPE_CHECKING:
    from openslot.practice import Practice

__all__ = ["hold", "release"]


@click.command()
@click.argument("slot", metavar="SLOT")
@click.option(
    "--conversation",
    metavar="ID",
    default="",
    help="Where SLOT is the code of an offer: the conversation it was made in.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=120.0,
    show_default=True,
    help="For how long, where the system itself cannot hold; one that can says for how long.",
)
@click.option("--key", metavar="KEY", help="The same key again renews the hold.")
@common
@pass_chosen
def hold(chosen: Chosen, slot: str, conversation: str, seconds: float, key: str | None) -> int:
    """Keep SLOT for a while, and print the token that `book` and `release` take for it."""
    practice, wanted = chosen.the_practice(), given(slot, "SLOT")
    key = key or f"cli-{secrets.token_hex(8)}"
    return run(_hold(chosen, practice, wanted, conversation, seconds, key))


async def _hold(
    chosen: Chosen, practice: Practice, slot: str, conversation: str, seconds: float, key: str
) -> int:
    from openslot.cli.show import progress, show_hold

    async with chosen.desk(practice) as desk:
        with progress("Holding"):
            held = await desk.hold(slot, key=key, seconds=seconds, conversation=conversation)
        token = desk.seal_hold(held)
    if chosen.json:
        from openslot.cli.shapes import hold_shape

        emit({"practice": practice.name, "key": key, "token": token, **hold_shape(held)})
    else:
        show_hold(held, token, key, practice.zone_info)
    return 0


@click.command()
@click.argument("held", metavar="HOLD")
@common
@pass_chosen
def release(chosen: Chosen, held: str) -> int:
    """Give back what HOLD keeps: the token that `hold` printed, or `-` to read it from stdin.

    Releasing what is booked, expired or released already is no error.
    """
    practice, token = chosen.the_practice(), given(held, "HOLD")
    return run(_release(chosen, practice, token))


async def _release(chosen: Chosen, practice: Practice, token: str) -> int:
    from openslot.cli.show import console, progress

    async with chosen.desk(practice) as desk:
        with progress("Releasing"):
            await desk.release(token)
    if chosen.json:
        emit({"practice": practice.name, "released": True})
    else:
        console().print("Released.")
    return 0
