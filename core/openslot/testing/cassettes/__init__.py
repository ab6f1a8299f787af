"""Recorded sessions with a vendor's server, readable and free of secrets, played without one.

    from openslot.testing.cassettes import cassette

    with cassette("tests/cassettes/acme/find.yaml") as tape:
        async with tape.practice.open(clock=tape.clock) as connector: ...

`openslot cassettes record|replay|check|show|diff` does the same from the shell; see
`docs/cassettes.md`. It needs the extra `testing`.
"""

from __future__ import annotations
