"""Desks over the vendor in memory, on journals in files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from desk.vendor import START, FakeClock, Marked, Plain, Vendor

from openslot import Desk, Practice, Slot
from openslot.practice import Rules

MakeDesk = Callable[..., Desk]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def vendor() -> Vendor:
    return Vendor()


@pytest.fixture
def make_desk(tmp_path: Path, clock: FakeClock, vendor: Vendor) -> Iterator[MakeDesk]:
    def make(
        kind: type[Plain] = Marked,
        *,
        journal: str = "journal.db",
        rules: Rules | None = None,
        recover_every: float | None = None,
        traits: dict[str, Any] | None = None,
        name: str = "toy",
    ) -> Desk:
        practice = Practice(name, "toy", "America/New_York", rules=rules or Rules())
        return Desk(
            practice,
            journal=tmp_path / journal,
            connector=kind(vendor, clock, **(traits or {})),
            clock=clock,
            recover_every=recover_every,
        )

    return make


def slot_at(hour: int, minute: int = 0, base: Any = START) -> Slot:
    from desk.vendor import DR, HALF

    start = base.replace(hour=hour, minute=minute)
    return Slot(start, start + HALF, id=f"s{start:%H%M}", resources=(DR,), source="toy")
