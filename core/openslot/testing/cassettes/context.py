"""Cassettes for tests of one's own: a context manager, and no plugin."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openslot.practice import Practice
from openslot.registry import load_connector
from openslot.testing.cassettes.checks import TEST
from openslot.testing.cassettes.clock import TapeClock
from openslot.testing.cassettes.file import Cassette, CassetteError, Provenance
from openslot.testing.cassettes.network import no_network
from openslot.testing.cassettes.run import (
    CLOCK,
    PRACTICE,
    replayed_practice,
    settings_plain,
    versions_of,
)
from openslot.testing.cassettes.tape import recording, replaying
from openslot.testing.cassettes.veil import Veil
from openslot.testing.cassettes.vendor import rules_for

__all__ = ["RECORD", "Live", "Playing", "cassette"]

RECORD = "OPENSLOT_RECORD"
"""The environment variable that, set to 1, makes tests record instead of play."""


@dataclass(frozen=True, slots=True)
class Live:
    """Whom to record: a test practice's connector and settings, and who answers there."""

    connector: str
    settings: Mapping[str, Any]
    answered_by: str
    zone: str = "America/New_York"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Playing:
    """What a test needs: a practice to open, and a clock that stands where the recording's did."""

    practice: Practice
    clock: TapeClock
    recording: bool


@contextmanager
def cassette(
    path: str | Path,
    *,
    live: Live | None = None,
    test: str = "a test",
    clock: datetime = CLOCK,
    directory: Path = Path(),
) -> Iterator[Playing]:
    """Play the cassette in `path` to the block, the network blocked.

    Where $OPENSLOT_RECORD is 1 it is recorded instead. `live` is whom to record, `test` names who
    plays it. Raises Mismatch for a request that was not recorded so, and at the end for
    interactions that nobody asked for; CassetteError where there is no cassette, or nobody to
    record.
    """
    path = Path(path)
    if os.environ.get(RECORD) == "1":
        if live is None:
            raise CassetteError(f"${RECORD} is set, and this test says nobody to record (live=)")
        with _recorded(path, live, test, clock, directory) as playing:
            yield playing
        return
    found = Cassette.load(path)
    provenance = found.provenance
    with replayed_practice(provenance) as practice:
        model = practice.validated(load_connector(provenance.connector).Settings)
        listed = rules_for(provenance.connector).listed
        with no_network(), replaying(path, found, Veil.of(model), listed):
            yield Playing(practice, TapeClock(provenance.clock), recording=False)


@contextmanager
def _recorded(
    path: Path, live: Live, test: str, clock: datetime, directory: Path
) -> Iterator[Playing]:
    practice = Practice(PRACTICE, live.connector, live.zone, live.settings, directory=directory)
    model = practice.validated(load_connector(live.connector).Settings)
    provenance = Provenance(
        answered_by=live.answered_by,
        recorded=datetime.now(UTC).date(),
        connector=live.connector,
        scenario=f"{TEST}{test}",
        zone=live.zone,
        clock=clock,
        seed=live.seed,
        settings=settings_plain(model),
        versions=versions_of(live.connector),
    )
    listed = rules_for(live.connector).listed
    with recording(path, provenance, Veil.of(model), listed):
        yield Playing(practice, TapeClock(clock, waits=True), recording=True)
