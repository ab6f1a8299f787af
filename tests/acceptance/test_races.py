"""Fifty callers, each with a desk and a journal of their own, want one slot at the same moment."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from datetime import time as wall
from pathlib import Path
from typing import Any

import pytest
from acceptance.children import Child, Nursery
from acceptance.conftest import EVERY
from acceptance.plan import Plan, person
from acceptance.targets import Target

from openslot import Desk, Slot, SlotQuery, to_json

PROCESSES = 5
EACH = 10
CLIENTS = PROCESSES * EACH
TOGETHER_MS = 20
"""The independent server starts what arrives within this time in one turn, so that races show."""

RACE = Plan(
    practitioners=("dr-1",),
    days=5,
    hours=((wall(9), wall(12)),),
    patients=tuple(
        person(f"Racer{n}", "Test", date(1980, 1, 1) + timedelta(days=n)) for n in range(CLIENTS)
    ),
)


@dataclass
class Race:
    """The racers, ready, and the slots that they will want."""

    target: Target
    racers: list[Child]
    slots: list[Slot]

    def run(self, number: int) -> float:
        """One round; how long it took, once everything about it has been checked."""
        slot = self.slots[number]
        began = time.monotonic()
        start = began + 0.1
        for racer in self.racers:
            racer.say({"slot": to_json(slot), "round": number, "at": start})
        results: list[dict[str, Any]] = []
        for racer in self.racers:
            results += racer.hear()["results"]
        took = time.monotonic() - start

        ends = Counter(r["end"] for r in results)
        other = [
            r["why"] for r in results if r["end"] not in ("verified", "slot_taken") and "why" in r
        ]
        assert ends == {"verified": 1, "slot_taken": CLIENTS - 1}, (ends, other[:5])
        winner = next(r["appointment"] for r in results if r["end"] == "verified")
        assert self.target.standing(start=slot.start) == [winner]
        assert len(self.target.standing()) == number + 1
        # Whoever lost is told where else there is time.
        assert {r["alternatives"] for r in results if r["end"] == "slot_taken"} == {3}
        return took


@contextmanager
def racing(target: Target, nursery: Nursery, directory: Path) -> Iterator[Race]:
    """The racers of one target, their desks open."""
    racers = []
    try:
        for process in range(PROCESSES):
            numbers = range(process * EACH, (process + 1) * EACH)
            job = {
                "verb": "race",
                "target": target.described(),
                "journals": [str(directory / f"{n}.db") for n in numbers],
                "patients": [f"pat-{n + 1}" for n in numbers],
            }
            racers.append(nursery.child(job))
        for racer in racers:
            assert racer.hear() == {"ready": EACH}
        yield Race(target, racers, [])
    finally:
        for racer in racers:
            racer.close()


@pytest.fixture(params=EVERY)
def race(
    request: pytest.FixtureRequest,
    running: Callable[..., Target],
    nursery: Nursery,
    tmp_path: Path,
) -> Iterator[Race]:
    target = running(request.param, together_ms=TOGETHER_MS)
    target.seed(RACE)
    with racing(target, nursery, tmp_path) as found:
        yield found


async def slots_of(target: Target, directory: Path) -> list[Slot]:
    """The slots to race for, far enough from the end that three others stay free."""
    async with Desk(target.practice(), journal=directory / "finder.db", clock=target.clock) as desk:
        found = await desk.find_slots(SlotQuery(RACE.window))
    assert len(found.items) == len(RACE.expected) == 30
    return list(found.items)


async def rounds(race: Race, directory: Path, count: int) -> None:
    race.slots = await slots_of(race.target, directory)
    times = [race.run(number) for number in range(count)]
    shown = ", ".join(f"{t:.2f}" for t in times)
    sys.stdout.write(f"{race.target.name}: {count} rounds of {CLIENTS}, seconds each: {shown}\n")


async def test_one_of_fifty_gets_the_slot(race: Race, tmp_path: Path) -> None:
    await rounds(race, tmp_path, 3)


@pytest.mark.slow
async def test_one_of_fifty_gets_the_slot_twenty_times_over(race: Race, tmp_path: Path) -> None:
    await rounds(race, tmp_path, 20)
