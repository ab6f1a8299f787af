"""`openslot conformance`: which laws a connector keeps, on its sandbox or on a real server."""

from __future__ import annotations

import pkgutil
from collections import Counter
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen
from openslot.errors import ConfigError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from openslot.testing.suite import ConnectorSuite
    from openslot.testing.suite.report import Result

__all__ = ["conformance"]

NEEDED = frozenset({"pytest", "uvicorn", "starlette", "h11"})
BROKEN = 1


@click.command()
@click.argument("name", metavar="CONNECTOR")
@click.option("--against", metavar="URL", help="Run on the test account of a real server.")
@click.option("--from", "start", metavar="DATE", help="Where to book there. Default: tomorrow.")
@click.option("--days", type=click.IntRange(1, 90), default=14, show_default=True)
@click.option("--type", "visit", metavar="ID", help="The appointment type that is booked there.")
@click.option("--other-type", "long", metavar="ID", help="Another one.")
@click.option("--patient", "patients", metavar="ID", multiple=True, help="A test patient; five.")
@click.option("--register", is_flag=True, help="Register synthetic people there; they stay.")
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=10.0,
    show_default=True,
    help="The most requests per second there; 0 for no limit.",
)
@click.option("--suite", metavar="MODULE:CLASS", help="Your own suite: its reader, its xfails.")
@common
@pass_chosen
def conformance(chosen: Chosen, /, name: str, **options: Any) -> int:
    """Run the conformance suite on CONNECTOR and its sandbox, or a real server's test account.

    Prints what is kept, broken and not applicable, law by law. Exits with 0 only if nothing is
    broken. With --against, settings and credentials are those of a practice in the settings file
    that says test = true; whatever the run books there is cancelled.
    """
    try:
        return _conformance(chosen, name, options)
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise ConfigError(
            f"the suite needs the package {error.name!r}; "
            f"install it with: pip install 'openslot[testing]'"
        ) from error


def _conformance(chosen: Chosen, name: str, options: dict[str, Any]) -> int:
    from openslot.cli.show import progress
    from openslot.testing.suite.report import Verdict, run_suite, suite_of

    against: str | None = options["against"]
    if against is None:
        suite, on = suite_of(name), "sandbox"
    else:
        suite, on = _abroad(chosen, name, against, options), against
    with progress(f"running the conformance suite on {name}"):
        results = run_suite(suite)
    broken = [r for r in results if r.verdict is Verdict.BROKEN]
    left = suite.left_standing
    if chosen.json:
        _emit(name, on, results, left)
    else:
        _show(name, results)
        if left:
            click.echo(f"not cancelled, and left standing: {', '.join(left)}")
    return BROKEN if broken or left else 0


def _abroad(
    chosen: Chosen, name: str, against: str, options: dict[str, Any]
) -> type[ConnectorSuite]:
    """The suite on a real server. Refuses where the practice is not a test practice."""
    from openslot.model import Window
    from openslot.registry import load_connector
    from openslot.testing.suite.foreign import Foreign
    from openslot.testing.suite.report import abroad

    practice = chosen.the_practice()
    if not practice.test:
        raise ConfigError(
            f"practice {practice.name!r} is not a test practice, so nothing is booked there; "
            f"where it is one, write test = true in its table"
        )
    if practice.connector != name:
        raise ConfigError(
            f"practice {practice.name!r} is spoken to by {practice.connector!r}, not by {name!r}"
        )
    practice.validated(load_connector(name).Settings)
    own = str(practice.settings.get("base_url", against))
    if urlsplit(own)[:2] != urlsplit(against)[:2]:
        raise ConfigError(
            f"the credentials of practice {practice.name!r} belong to the server in its base_url, "
            f"and --against names another; describe that test account as a practice of its own"
        )
    start = _midnight(options["start"], practice.zone_info)
    foreign = Foreign(
        against,
        practice.resolved(),
        Window(start, start + timedelta(days=options["days"])),
        visit=options["visit"],
        long=options["long"],
        patients=options["patients"],
        registers=options["register"],
        rate=options["rate"],
    )
    return abroad(name, foreign, practice.zone, _own(options["suite"]))


def _midnight(day: str | None, zone: ZoneInfo) -> datetime:
    try:
        first = date.fromisoformat(day) if day else datetime.now(zone).date() + timedelta(days=1)
    except ValueError as error:
        raise click.BadParameter("a date is written as 2027-03-08", param_hint="--from") from error
    return datetime.combine(first, time(), zone)


def _own(path: str | None) -> type[ConnectorSuite] | None:
    from openslot.testing.suite import ConnectorSuite

    if path is None:
        return None
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError) as error:
        raise click.BadParameter(f"there is no {path}", param_hint="--suite") from error
    if not (isinstance(found, type) and issubclass(found, ConnectorSuite)):
        raise click.BadParameter(f"{path} is no ConnectorSuite", param_hint="--suite")
    return found


def _emit(name: str, on: str, results: tuple[Result, ...], left: tuple[str, ...]) -> None:
    from openslot import __version__
    from openslot.testing.suite import SUITE_VERSION
    from openslot.testing.suite.report import LAWS, matrix

    counts = Counter(r.verdict.value for r in results)
    emit(
        {
            "connector": name,
            "against": on,
            "openslot": __version__,
            "suite_version": SUITE_VERSION,
            "counts": dict(sorted(counts.items())),
            "laws": {str(number): text for number, text in LAWS.items()},
            "matrix": [{"law": n, "verb": verb, "verdict": v} for n, verb, v in matrix(results)],
            "checks": [r.as_dict() for r in results],
            "left_standing": list(left),
        }
    )


def _show(name: str, results: tuple[Result, ...]) -> None:
    from openslot.cli.show import console, table
    from openslot.testing.suite.report import LAWS, Verdict

    rows = []
    for number, text in LAWS.items():
        mine = Counter(r.verdict for r in results if r.check.law == number)
        rows.append((str(number), text, *(str(mine[v] or "") for v in Verdict)))
    table(("law", "", *(v.value for v in Verdict)), rows)
    out = console()
    for verdict in (Verdict.BROKEN, Verdict.EXPECTED):
        for result in results:
            if result.verdict is verdict:
                out.print(f"{verdict.value}: {result.check.name}: {result.reason}")
                if verdict is Verdict.BROKEN:
                    out.print(f"    {' '.join(result.check.doc.split())}")
    reasons = Counter(r.reason for r in results if r.verdict is Verdict.NOT_APPLICABLE)
    for reason, count in reasons.most_common():
        out.print(f"not applicable: {count}, as {reason}")
    counts = Counter(r.verdict for r in results)
    told = ", ".join(f"{counts[v]} {v.value}" for v in Verdict if counts[v])
    seconds = sum(r.seconds for r in results)
    out.print(f"{name}: {told}, in {seconds:.0f} s")
