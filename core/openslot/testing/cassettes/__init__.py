"""Recorded sessions with a vendor's server, readable and free of secrets, played without one.

    from openslot.testing.cassettes import cassette

    with cassette("tests/cassettes/acme/find.yaml") as playing:
        async with playing.practice.open(clock=playing.clock) as connector: ...

`openslot cassettes record|replay|check|show|diff` does the same from the shell; see
`docs/cassettes.md`. It needs the extra `testing`.
"""

from __future__ import annotations

from openslot.testing.cassettes.checks import Finding, check
from openslot.testing.cassettes.clock import TapeClock
from openslot.testing.cassettes.context import Live, Playing, cassette
from openslot.testing.cassettes.file import Cassette, CassetteError, Provenance
from openslot.testing.cassettes.network import NetworkBlocked, no_network
from openslot.testing.cassettes.run import Played, record, record_sandbox, replay
from openslot.testing.cassettes.scenarios import Options, Stage
from openslot.testing.cassettes.tape import Mismatch

__all__ = [
    "Cassette",
    "CassetteError",
    "Finding",
    "Live",
    "Mismatch",
    "NetworkBlocked",
    "Options",
    "Played",
    "Playing",
    "Provenance",
    "Stage",
    "TapeClock",
    "cassette",
    "check",
    "no_network",
    "record",
    "record_sandbox",
    "replay",
]
