"""What a run of the suite came to, short enough to be kept beside the code that it was about."""

from __future__ import annotations

import hashlib
import inspect
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openslot.testing.suite.base import SUITE_VERSION
from openslot.testing.suite.report import Result, Verdict

if TYPE_CHECKING:
    from openslot.connector import Connector

__all__ = ["code_hash", "record"]


def code_hash(connector: type[Connector]) -> str:
    """A digest of the connector's own folder, its sandbox included, by which a record is dated.

    What it stands on (the core, the suite) is not part of it; the record names its versions.
    """
    folder = Path(inspect.getfile(connector)).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        name, text = path.relative_to(folder).as_posix(), path.read_bytes()
        digest.update(f"{name} {len(text)}\n".encode() + text.replace(b"\r\n", b"\n"))
    return digest.hexdigest()


def record(
    connector: type[Connector], against: str, results: Iterable[Result], software: dict[str, str]
) -> dict[str, Any]:
    """The record of a run today: by law and verb how many checks came to what, and why not.

    `against` says in words what answered; `software` names what ran, with versions.
    """
    results = tuple(results)
    cells: dict[tuple[int, str], Counter[str]] = defaultdict(Counter)
    for result in results:
        for verb in result.check.verbs or ("all",):
            cells[result.check.law, verb][result.verdict.value] += 1
    return {
        "connector": connector.info.name,
        "against": against,
        "suite_version": SUITE_VERSION,
        "date": date.today().isoformat(),  # noqa: DTZ011  (the day of whoever runs it)
        "software": software,
        "code": code_hash(connector),
        "seconds": round(sum(r.seconds for r in results), 1),
        "counts": dict(sorted(Counter(r.verdict.value for r in results).items())),
        "matrix": [
            {"law": law, "verb": verb, **dict(sorted(cell.items()))}
            for (law, verb), cell in sorted(cells.items())
        ],
        "broken": _reasons(results, Verdict.BROKEN),
        "expected": _reasons(results, Verdict.EXPECTED),
        "not_applicable": _reasons(results, Verdict.NOT_APPLICABLE),
    }


def _reasons(results: Iterable[Result], verdict: Verdict) -> dict[str, str]:
    return {r.check.name: r.reason for r in results if r.verdict is verdict}
