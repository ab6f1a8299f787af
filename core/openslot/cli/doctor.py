"""`openslot doctor`: what stands between this machine and a practice's schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen, run
from openslot.errors import ConfigError

if TYPE_CHECKING:
    from openslot.cli.checks import Check
    from openslot.connector import Connector
    from openslot.practice import Practice

__all__ = ["doctor"]


@click.command()
@click.option(
    "--write-probe",
    is_flag=True,
    help="Also show by writing what reading cannot; only where the practice says test = true.",
)
@common
@pass_chosen
def doctor(chosen: Chosen, write_probe: bool) -> int:
    """Tell whether a practice is reachable, authorised, and what can be done there.

    It exits with the code of the first check that failed, 0 where none did.
    """
    practice = chosen.the_practice()
    if write_probe and not practice.test:
        raise ConfigError(
            f"practice {practice.name!r} is not a test practice, so nothing is written to it; "
            f"where it is one, write test = true in its table"
        )
    return run(_doctor(chosen, practice, write_probe))


async def _doctor(chosen: Chosen, practice: Practice, write_probe: bool) -> int:
    from openslot.cli.checks import Doctor
    from openslot.cli.show import progress

    visit = Doctor(practice, chosen.the_journal(practice))
    with progress(f"Looking at {practice.name}"):
        connector = await visit.examine(write_probe=write_probe)
    if chosen.json:
        emit(_shape(practice, connector, visit))
    else:
        _show(practice, visit.checks)
    return next((c.exit_code for c in visit.checks if c.state == "fail"), 0)


def _shape(practice: Practice, connector: Connector | None, visit: Any) -> dict[str, Any]:
    from openslot.connector import VERBS

    can = connector.capabilities.verbs if connector else frozenset()
    report = visit.report
    skew = report.skew if report else None
    return {
        "practice": practice.name,
        "connector": practice.connector,
        "zone": practice.zone,
        "ok": all(c.state != "fail" for c in visit.checks),
        "server": report.server if report else None,
        "skew_seconds": skew.total_seconds() if skew is not None else None,
        "verbs": [v for v in VERBS if v in can],
        "withheld": visit.withheld,
        "traits": connector.traits.as_dict() if connector else {},
        "checks": [c.shape() for c in visit.checks],
    }


def _show(practice: Practice, checks: list[Check]) -> None:
    from openslot.cli.show import console

    out = console()
    out.print(f"{practice.name}: {practice.connector}, {practice.zone}", style="bold")
    colours = {"ok": "green", "warn": "yellow", "fail": "bold red"}
    for check in checks:
        out.print(f"{check.state:<5}", style=colours[check.state], end="")
        took = f" ({check.milliseconds:.0f} ms)" if check.milliseconds is not None else ""
        out.print(f"{check.name:<12} {check.message}{took}")
