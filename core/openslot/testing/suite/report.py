"""The suite run from a program: which laws a connector keeps, verb by verb.

It runs through pytest, in this process, with no plugin of the surroundings and no configuration
but its own, so that a run means the same everywhere.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

import pytest

from openslot.registry import load_connector
from openslot.testing.sandbox import load_sandbox
from openslot.testing.suite.base import NOT_APPLICABLE, SUITE_VERSION, Check, checks_of
from openslot.testing.suite.foreign import Foreign
from openslot.testing.suite.whole import ConnectorSuite

__all__ = ["LAWS", "Result", "Verdict", "abroad", "asked_for", "matrix", "run_suite", "suite_of"]

LAWS = {
    0: "The contract",
    1: "Empty means none",
    2: "Time is an instant and a place",
    3: "A slot is a fact with a date",
    4: "A write happens once",
    5: "Confirmed means verified",
    6: "Reschedule never loses the place",
    7: "Taken is one error",
    8: "Every failure is one leaf",
    9: "A credential goes only where it belongs",
    10: "Patient data goes nowhere else",
    11: "Every call has a deadline",
    12: "A vendor's limit is a budget",
    13: "An update preserves what it does not understand",
    14: "Failing to understand is an error",
}


class Verdict(StrEnum):
    """What a check came to."""

    KEPT = "kept"
    BROKEN = "broken"
    EXPECTED = "expected"
    """It fails, as the connector's author said it would (`xfail`)."""
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True, slots=True)
class Result:
    """One check's verdict; `reason` is the failure's first line, or why it does not apply."""

    check: Check
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """The result as the JSON report shows it."""
        return {
            "check": self.check.name,
            "law": self.check.law,
            "verbs": list(self.check.verbs),
            "verdict": self.verdict.value,
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "meaning": self.check.doc.partition("\n")[0],
        }


def abroad(
    name: str, foreign: Foreign, zone: str, suite: type[ConnectorSuite] | None = None
) -> type[ConnectorSuite]:
    """The suite for an installed connector against a server that is no sandbox.

    `suite` is the author's own, where it brings a reader and the vendor's own manners along. Raises
    ConfigError where the account is not fit for a run: it is looked at before any check begins.
    """
    if suite is None:
        connector = load_connector(name)

        class Plain(ConnectorSuite):
            suite_version = SUITE_VERSION

            def make_connector(self, settings: dict[str, Any], **options: Any) -> Any:
                return connector(connector.Settings(**settings), **options)

        suite = Plain
    members = {"foreign": foreign, "zone": zone, "__module__": __name__}
    made = cast(type[ConnectorSuite], type("TestAbroad", (suite,), members))
    made().stay().close()
    return made


def suite_of(name: str) -> type[ConnectorSuite]:
    """The suite for an installed connector and its installed sandbox. Raises ConfigError."""
    connector, sandbox = load_connector(name), load_sandbox(name)

    class TestConnector(ConnectorSuite):
        suite_version = SUITE_VERSION

        def make_sandbox(self, **options: Any) -> Any:
            return sandbox(**options)

        def make_connector(self, settings: dict[str, Any], **options: Any) -> Any:
            return connector(connector.Settings(**settings), **options)

    return TestConnector


def run_suite(suite: type[ConnectorSuite], only: Iterable[str] = ()) -> tuple[Result, ...]:
    """Run the suite's checks, or `only` those named, in the suite's own order."""
    specs = {name: made.__dict__["openslot_check"] for name, made in checks_of(suite)}
    chosen = tuple(only) or tuple(specs)
    unknown = [name for name in chosen if name not in specs]
    if unknown:
        raise ValueError(f"the suite has no check {unknown[0]!r}")
    keep = _Keep()
    here = Path(__file__).with_name("installed.py")
    with tempfile.TemporaryDirectory(prefix="openslot-suite-") as folder, _asking(suite):
        ini = Path(folder) / "pytest.ini"
        ini.write_text("[pytest]\n")
        pytest.main(
            [
                *(f"{here}::TestConnector::{name}" for name in chosen),
                f"-c={ini}",
                f"--rootdir={folder}",
                f"--basetemp={folder}/work",
                "--disable-plugin-autoload",
                "--import-mode=importlib",
                "-pno:terminal",
                "-pno:cacheprovider",
                "-pno:faulthandler",
                "-pno:logging",
                # They only warn, and collect garbage twice a run to do so.
                "-pno:unraisableexception",
                "-pno:threadexception",
            ],
            plugins=[keep],
        )
    return tuple(
        Result(specs[name], *keep.told.get(name, (Verdict.BROKEN, "it did not run", 0.0)))
        for name in specs
        if name in chosen
    )


def matrix(results: Iterable[Result]) -> list[tuple[int, str, str]]:
    """(law, verb, verdict) for each law and verb that was looked at, the worst verdict winning."""
    worst: dict[tuple[int, str], Verdict] = {}
    order = (Verdict.BROKEN, Verdict.EXPECTED, Verdict.KEPT, Verdict.NOT_APPLICABLE)
    for result in results:
        for verb in result.check.verbs or ("all",):
            known = worst.get((result.check.law, verb), Verdict.NOT_APPLICABLE)
            worst[result.check.law, verb] = min(known, result.verdict, key=order.index)
    return [(law, verb, verdict.value) for (law, verb), verdict in sorted(worst.items())]


class _Keep:
    """Hears what pytest tells of each check."""

    def __init__(self) -> None:
        self.told: dict[str, tuple[Verdict, str, float]] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        """Ask for plain tracebacks: only an error's first line is told."""
        config.option.tbstyle = "native"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the verdict of the phase that decided."""
        name = report.nodeid.rpartition("::")[2]
        if report.when != "call" and not report.failed:
            return
        reason = ""
        if report.failed:
            verdict, reason = Verdict.BROKEN, _why(report)
        elif hasattr(report, "wasxfail"):
            verdict, reason = Verdict.EXPECTED, str(report.wasxfail)
        elif report.skipped:
            verdict, reason = Verdict.NOT_APPLICABLE, _why(report).removeprefix("Skipped: ")
            reason = reason.removeprefix(NOT_APPLICABLE)
        else:
            verdict = Verdict.KEPT
        self.told[name] = (verdict, reason, report.duration)


def _why(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash is not None else str(report.longrepr)
    return message.partition("\n")[0].removeprefix("AssertionError: ")


_asked: list[type[ConnectorSuite]] = []


@contextmanager
def _asking(suite: type[ConnectorSuite]) -> Iterator[None]:
    """Say which suite `installed.py` is about, and keep this run out of any that surrounds it."""
    surrounding = os.environ.pop("PYTEST_ADDOPTS", None)
    current = os.environ.get("PYTEST_CURRENT_TEST")
    _asked.append(suite)
    # pytest must import it anew: it is about another suite now.
    sys.modules.pop("openslot.testing.suite.installed", None)
    try:
        yield
    finally:
        _asked.pop()
        if surrounding is not None:
            os.environ["PYTEST_ADDOPTS"] = surrounding
        if current is not None:
            os.environ["PYTEST_CURRENT_TEST"] = current


def asked_for() -> type[ConnectorSuite]:
    """The suite that is to be run now."""
    return _asked[-1]
