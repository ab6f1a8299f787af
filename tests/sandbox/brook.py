"""The sandbox of docs/sandboxes.md, with a practice in it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from openslot.testing.sandbox import Sandbox, SandboxClock
from openslot.testing.suite.world import NOW, populate
from sandbox.kit import STAGE, client

_PAGE = Path(__file__).parents[2] / "docs" / "examples" / "brook.py"
_spec = importlib.util.spec_from_file_location("brook", _PAGE)
assert _spec is not None
assert _spec.loader is not None
brook = importlib.util.module_from_spec(_spec)
sys.modules["brook"] = brook  # where dataclasses look for it
_spec.loader.exec_module(brook)

OPENING = "dr-1.main.visit.{}"


@dataclass
class Brook:
    """A running Brook and a raw client of it."""

    sandbox: Any
    client: httpx.Client

    def wait(self, seconds: float) -> None:
        """Let time pass at the vendor's."""
        self.sandbox.clock.advance(timedelta(seconds=seconds))

    def openings(self, at: str = "2027-03-08T00:00:00", **more: Any) -> list[str]:
        """What is shown as free, by id."""
        found = self.client.get("/openings", params={"from": at, **more}).json()
        return [o["id"] for o in found]

    def book(self, opening: str, patient: str = "pat-1") -> httpx.Response:
        """Ask for a booking."""
        return self.client.post("/bookings", json={"opening": opening, "client": patient})

    def bookings(self) -> list[str]:
        """The bookings that are shown, by id."""
        return [b["id"] for b in self.client.get("/bookings").json()]

    def told(self) -> list[str]:
        """The topics of the webhooks that have left."""
        return [w.topic for w in self.sandbox.webhooks.take()]


@contextmanager
def running_brook(
    *, clock: SandboxClock | None = None, faults: tuple[str, ...] = (), **manners: Any
) -> Iterator[Brook]:
    """Brook with these manners, its clock standing at a Monday morning."""
    box: Sandbox = brook.BrookSandbox(
        clock=clock or SandboxClock(NOW),
        populate=lambda clinic: populate(clinic, "America/New_York"),
        manners=brook.BrookManners(**manners),
        faults=faults,
    )
    try:
        with STAGE.shows(box.app) as origin, client(origin + box.base_path) as http:
            yield Brook(box, http)
    finally:
        box.close()
