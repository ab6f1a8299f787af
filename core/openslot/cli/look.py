"""`openslot connectors` and `openslot find`: what there is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openslot.cli.options import PARTIAL, Chosen, common, emit, pass_chosen, run
from openslot.errors import ConfigError, OpenSlotError

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.model import Listing, Slot, SlotQuery
    from openslot.practice import Practice

__all__ = ["connectors", "find"]


@click.command()
@common
@pass_chosen
def connectors(chosen: Chosen) -> int:
    """List the installed connectors, and what each claims."""
    from openslot.cli.shapes import connector_shape, error_shape
    from openslot.registry import connector_names

    listed: list[dict[str, Any]] = []
    code = 0
    for name in connector_names():
        try:
            listed.append(connector_shape(name, _loaded(name)))
        except OpenSlotError as error:
            code = code or error.exit_code
            listed.append({"name": name, "error": error_shape(error)})
    if chosen.json:
        emit(listed)
    else:
        _show(listed)
    return code


def _loaded(name: str) -> type[Connector]:
    """The class behind a name. Raises ConfigError for whatever somebody's module does on import."""
    from openslot.registry import load_connector

    try:
        return load_connector(name)
    except (
        ImportError,
        AttributeError,
        LookupError,
        NameError,
        OSError,
        RuntimeError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise ConfigError(
            f"the connector {name!r} cannot be loaded: {type(error).__name__}: {error}"
        ) from error


def _show(listed: list[dict[str, Any]]) -> None:
    from openslot.cli.show import console, table

    out = console()
    if not listed:
        out.print("No connector is installed.")
    rows = [
        (
            c["name"],
            c["title"],
            c["evidence"].value,
            str(len(c["verbs"])),
            ", ".join(sorted(t for t, claim in c["traits"].items() if claim == "yes")),
        )
        for c in listed
        if "error" not in c
    ]
    if rows:
        table(("name", "speaks to", "evidence", "verbs", "claims"), rows)
    for broken in (c for c in listed if "error" in c):
        out.print(f"{broken['name']}: {broken['error']['message']}", style="bold red")


@click.command()
@click.option("--from", "since", metavar="WHEN", help="Date or time; default now.")
@click.option("--to", "until", metavar="WHEN", help="Date (included) or time; default 7 days on.")
@click.option("--type", "type_", metavar="ID", help="Appointment type.")
@click.option("--practitioner", metavar="ID", multiple=True, help="May be repeated.")
@click.option("--location", metavar="ID", multiple=True, help="May be repeated.")
@click.option(
    "--patient-new/--patient-existing", "new", default=None, help="Who the slot is meant for."
)
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True)
@click.option("--tokens", is_flag=True, help="Print the token of each slot, for `book`.")
@common
@pass_chosen
def find(
    chosen: Chosen,
    since: str | None,
    until: str | None,
    type_: str | None,
    practitioner: tuple[str, ...],
    location: tuple[str, ...],
    new: bool | None,
    limit: int,
    tokens: bool,
) -> int:
    """List free slots.

    A date, `today` and `tomorrow` mean the whole day; a time without an offset is the practice's.
    """
    from openslot.cli.when import window
    from openslot.clock import SystemClock
    from openslot.model import SlotQuery

    practice = chosen.the_practice()
    query = SlotQuery(
        window(since, until, practice.zone_info, SystemClock().now().replace(microsecond=0)),
        appointment_type=type_,
        practitioners=practitioner,
        locations=location,
        new_patient=new,
    )
    found = run(_find(chosen, practice, query))
    shown = found.items[:limit]
    if chosen.json:
        from openslot.cli.shapes import listing_shape

        window_shape = {
            "from": query.window.start.isoformat(timespec="seconds"),
            "to": query.window.end.isoformat(timespec="seconds"),
        }
        emit({"practice": practice.name, "window": window_shape, **listing_shape(found, shown)})
    else:
        from openslot.cli.show import show_slots

        show_slots(found, shown, practice.zone_info, tokens=tokens)
    return 0 if found.complete else PARTIAL


async def _find(chosen: Chosen, practice: Practice, query: SlotQuery) -> Listing[Slot]:
    from openslot.cli.show import progress

    with progress("Looking for free slots"):
        async with chosen.desk(practice) as desk:
            return await desk.find_slots(query, seconds=60.0)
