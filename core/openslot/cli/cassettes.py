"""`openslot cassettes`: record a session with a vendor's server, play it, check it, read it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen
from openslot.errors import ConfigError, OpenSlotError

__all__ = ["cassettes"]

NEEDED = frozenset({"vcr", "yaml", "uvicorn", "starlette", "h11"})
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILES = click.Path(exists=True, path_type=Path)


class Unrecorded(OpenSlotError):
    """A cassette that cannot be recorded, read or played."""

    code = "cassette"


@click.group()
def cassettes() -> None:
    """Recorded sessions with a vendor's server: record, play, check, read, compare."""


@cassettes.command()
@click.argument("connector")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--scenario", default="desk", show_default=True, help="contract, desk, or m:f.")
@click.option("--against", metavar="URL", help="A test server without credentials.")
@click.option("--real", is_flag=True, help="The test practice of --config and --practice.")
@click.option("--software", metavar="'NAME VERSION'", help="What answers, for a real server.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which synthetic people.")
@click.option("--zone", default="America/New_York", show_default=True, help="With --against.")
@click.option("--day", metavar="DATE", help="When slots are looked for. Default: the clock's + 5.")
@click.option("--hours", metavar="FROM-UNTIL", default="9-11", show_default=True, help="Local.")
@click.option("--practitioner", metavar="ID", help="Whose slots. Default: anybody's.")
@click.option("--type", "type_", metavar="ID", help="The appointment type. Default: any.")
@click.option("--patient", metavar="ID", help="Where the system registers nobody.")
@common
@pass_chosen
def record(
    chosen: Chosen,
    connector: str,
    file: Path,
    scenario: str,
    against: str | None,
    real: bool,
    software: str | None,
    seed: int,
    zone: str,
    day: str | None,
    hours: str,
    practitioner: str | None,
    type_: str | None,
    patient: str | None,
) -> None:
    """Play a scenario with CONNECTOR and write it to FILE.

    Its own sandbox answers, unless --against or --real names a server. It books, moves and
    cancels there: a real practice must be marked `test = true`.
    """
    if real and against:
        raise click.UsageError("--real or --against, not both")
    if (real or against) and not software:
        raise click.UsageError("say what answers: --software 'NAME VERSION'")
    with _needed():
        from openslot.testing.cassettes import Options, record_sandbox
        from openslot.testing.cassettes import record as record_

        options = Options(_day(day), _hours(hours), practitioner, type_, patient)
        if not (real or against):
            played = record_sandbox(file, connector, scenario=scenario, options=options, seed=seed)
        else:
            settings: Mapping[str, Any] = {"base_url": against}
            directory = Path()
            if real:
                practice = chosen.the_practice()
                if not practice.test:
                    raise ConfigError(
                        f"practice {practice.name!r} is not a test practice, and a recording books"
                        f" in it; mark one that is with test = true"
                    )
                if practice.connector != connector:
                    raise ConfigError(
                        f"practice {practice.name!r} is spoken to by {practice.connector!r}"
                    )
                settings, zone = practice.settings, practice.zone
                directory = practice.directory
            played = record_(
                file,
                connector=connector,
                settings=settings,
                answered_by=f"live: {software}",
                scenario=scenario,
                options=options,
                zone=zone,
                seed=seed,
                waits=True,
                directory=directory,
            )
    size = file.stat().st_size
    if chosen.json:
        emit(
            {
                "file": str(file),
                "interactions": played.interactions,
                "bytes": size,
                "session": list(played.session),
            }
        )
        return
    for line in played.session:
        click.echo(f"  {line}")
    click.echo(f"{file}: {played.interactions} interactions, {size:,} bytes")


@cassettes.command()
@click.argument("files", type=FILES, nargs=-1, required=True)
@common
@pass_chosen
@click.pass_context
def replay(ctx: click.Context, chosen: Chosen, files: tuple[Path, ...]) -> None:
    """Play FILES (folders: all below) with the network blocked. Exits 1 if one does not play."""
    with _needed():
        from openslot.testing.cassettes import CassetteError, Mismatch
        from openslot.testing.cassettes import replay as replay_
        from openslot.testing.cassettes.checks import cassettes_below

        results: list[dict[str, Any]] = []
        for path in cassettes_below(files):
            began, wrong, count = time.perf_counter(), None, 0
            try:
                count = replay_(path).interactions
            except (Mismatch, CassetteError, OpenSlotError) as error:
                wrong = str(error)
            seconds = round(time.perf_counter() - began, 3)
            results.append(
                {
                    "file": str(path),
                    "played": wrong is None,
                    "interactions": count,
                    "seconds": seconds,
                    "problem": wrong,
                }
            )
            if not chosen.json and wrong is None:
                click.echo(f"{path}: {count} interactions in {seconds:.2f} s")
            elif not chosen.json:
                click.echo(f"{path}: {wrong}", err=True)
    if chosen.json:
        emit({"cassettes": results})
    ctx.exit(0 if all(r["played"] for r in results) else 1)


@cassettes.command()
@click.argument("files", type=FILES, nargs=-1, required=True)
@click.option("--no-replay", is_flag=True, help="Only read the files.")
@common
@pass_chosen
@click.pass_context
def check(ctx: click.Context, chosen: Chosen, files: tuple[Path, ...], no_replay: bool) -> None:
    """Look for secrets, real people and whatever else FILES must not hold. Exits 1 if found."""
    with _needed():
        from openslot.testing.cassettes import check as check_
        from openslot.testing.cassettes.checks import cassettes_below

        paths = cassettes_below(files)
        found = [f for path in paths for f in check_(path, play=not no_replay)]
    if chosen.json:
        findings = [{"file": str(f.path), "where": f.where, "what": f.what} for f in found]
        emit({"checked": [str(p) for p in paths], "findings": findings})
    else:
        for finding in found:
            click.echo(str(finding))
        click.echo(f"{len(paths)} checked, {len(found)} findings")
    ctx.exit(1 if found or not paths else 0)


@cassettes.command()
@click.argument("file", type=FILE)
@click.argument("number", type=click.IntRange(min=1), required=False)
@common
@pass_chosen
def show(chosen: Chosen, file: Path, number: int | None) -> None:
    """Print FILE as a person reads it, or its interaction NUMBER whole."""
    with _needed():
        from openslot.testing.cassettes import Cassette
        from openslot.testing.cassettes.show import overview, whole

        found = Cassette.load(file)
        if number is not None and number > len(found.interactions):
            raise click.UsageError(f"{file} has {len(found.interactions)} interactions")
        if chosen.json:
            wanted = found.interactions[number - 1 : number] if number else found.interactions
            emit(
                {
                    "provenance": found.provenance.plain(),
                    "session": list(found.session),
                    "interactions": [i.plain() for i in wanted],
                }
            )
            return
        lines = whole(found.interactions[number - 1]) if number else overview(found)
        for line in lines:
            click.echo(line)


@cassettes.command()
@click.argument("before", type=FILE)
@click.argument("after", type=FILE)
@click.option("--exact", is_flag=True, help="Also ids, versions and times the server chose.")
@common
@pass_chosen
@click.pass_context
def diff(ctx: click.Context, chosen: Chosen, before: Path, after: Path, exact: bool) -> None:
    """Tell, field by field, what changed from BEFORE to AFTER. Exits 1 if anything did."""
    with _needed():
        from openslot.testing.cassettes import Cassette
        from openslot.testing.cassettes.diff import changes

        lines = list(changes(Cassette.load(before), Cassette.load(after), exact=exact))
    if chosen.json:
        emit({"changes": lines})
    else:
        for line in lines:
            click.echo(line)
    ctx.exit(1 if lines else 0)


@contextmanager
def _needed() -> Iterator[None]:
    """The extra is named where it is missing; what a cassette says of itself leaves as an error."""
    try:
        from openslot.testing.cassettes.file import CassetteError
        from openslot.testing.cassettes.tape import Mismatch
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    except (CassetteError, Mismatch) as error:
        raise Unrecorded(str(error)) from error


def _missing(error: ModuleNotFoundError) -> Exception:
    if error.name not in NEEDED:
        return error
    return ConfigError(
        f"cassettes need the package {error.name!r}; "
        f"install it with: pip install 'openslot[testing]'"
    )


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise click.UsageError("--day is a date such as 2027-03-15") from None


def _hours(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not (dash and first.isdigit() and last.isdigit() and 0 <= int(first) < int(last) <= 23):
        raise click.UsageError("--hours is from and until, such as 9-11")
    return int(first), int(last)
