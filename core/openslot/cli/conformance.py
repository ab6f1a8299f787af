"""`openslot conformance`: which laws an installed connector keeps, against its own sandbox."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen
from openslot.errors import ConfigError

if TYPE_CHECKING:
    from openslot.testing.suite.report import Result

__all__ = ["conformance"]

NEEDED = frozenset({"pytest", "uvicorn", "starlette", "h11"})
BROKEN = 1


@click.command()
@click.argument("name", metavar="CONNECTOR")
@common
@pass_chosen
def conformance(chosen: Chosen, name: str) -> int:
    """Run the conformance suite on CONNECTOR and its sandbox.

    Prints what is kept, broken and not applicable, law by law. Exits with 0 only if nothing is
    broken.
    """
    try:
        return _conformance(chosen, name)
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        raise ConfigError(
            f"the suite needs the package {error.name!r}; "
            f"install it with: pip install 'openslot[testing]'"
        ) from error


def _conformance(chosen: Chosen, name: str) -> int:
    from openslot.cli.show import progress
    from openslot.testing.suite.report import Verdict, run_suite, suite_of

    suite = suite_of(name)
    with progress(f"running the conformance suite on {name}"):
        results = run_suite(suite)
    broken = [r for r in results if r.verdict is Verdict.BROKEN]
    if chosen.json:
        _emit(name, results)
    else:
        _show(name, results)
    return BROKEN if broken else 0


def _emit(name: str, results: tuple[Result, ...]) -> None:
    from openslot import __version__
    from openslot.testing.suite import SUITE_VERSION
    from openslot.testing.suite.report import LAWS, matrix

    counts = Counter(r.verdict.value for r in results)
    emit(
        {
            "connector": name,
            "against": "sandbox",
            "openslot": __version__,
            "suite_version": SUITE_VERSION,
            "counts": dict(sorted(counts.items())),
            "laws": {str(number): text for number, text in LAWS.items()},
            "matrix": [{"law": n, "verb": verb, "verdict": v} for n, verb, v in matrix(results)],
            "checks": [r.as_dict() for r in results],
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
