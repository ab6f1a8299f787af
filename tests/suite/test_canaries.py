"""A whole run of the suite, watched from outside: the canaries are nowhere (law 10)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from openslot.cli.conformance import conformance
from openslot.testing.suite.world import CANARY, leaks

pytestmark = pytest.mark.slow


class Everything(logging.Handler):
    """Every record of every logger, formatted with its arguments and its traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {self.format(record)}")


@pytest.fixture
def log() -> Iterator[Everything]:
    watch, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(watch)
    root.setLevel(logging.DEBUG)
    try:
        yield watch
    finally:
        root.removeHandler(watch)
        root.setLevel(before)


@pytest.mark.parametrize("name", ["local", "fhir-r4"])
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_a_whole_run_names_no_canary(
    log: Everything, tmp_path: Path, name: str, form: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the logs of the run, nor its report, nor a file that outlives it."""
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(conformance, [name, *form], standalone_mode=False)
    assert run.return_value == 0
    assert not leaks(run.output)
    text = "\n".join(log.lines)
    assert "asyncio" in text, "the watch sees what is logged"
    assert not leaks(text), [line for line in log.lines if leaks(line)][:5]
    kept = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert not [p.name for p in kept if leaks(p.read_bytes().decode(errors="replace"))]


def test_the_watch_would_see_one(log: Everything) -> None:
    logging.getLogger("openslot.rest").debug("%s was booked", CANARY.name)
    assert leaks("\n".join(log.lines))
