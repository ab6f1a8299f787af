"""Kill -9 between "sent" and "answered"; the same key in a new process ends in one appointment.

The moments: a write is journalled and has not left (`journalled`); it has left and never arrives
(`before`), arrives when its sender is dead (`late`), or is done and its answer is lost (`after`);
in the clinic's own file, it is half way through the transaction (`uncommitted`) or just past it
(`committed`).
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import time as wall
from pathlib import Path
from typing import Any

import pytest
from acceptance.child import OffsetClock
from acceptance.children import Nursery
from acceptance.conftest import EVERY
from acceptance.gate import Gate, Stop
from acceptance.plan import Plan
from acceptance.targets import Target

from openslot import Desk, Practice, Slot, SlotQuery, to_json

ROUNDS = 20
PLAN = Plan(practitioners=("dr-1",), days=5, hours=((wall(8), wall(15)),))

IN_CLINIC = ("journalled", "uncommitted", "committed")
OVER_HTTP = ("journalled", "before", "late", "after")


@dataclass(frozen=True)
class Moment:
    """When the process dies: during which verb, at which of its writes, and where that write is."""

    verb: str
    where: str
    nth: int

    def __str__(self) -> str:
        return f"{self.verb}, write {self.nth} {self.where}"


def moments(target: Target) -> list[Moment]:
    """Every moment at which a process can die at this target."""
    places: tuple[str, ...]
    if target.name == "local":
        writes, places = {"book": 1, "reschedule": 1, "cancel": 1}, IN_CLINIC
    else:
        # book: Slot, Appointment. reschedule: both of the new, both of the old. cancel: both.
        writes, places = {"book": 2, "reschedule": 4, "cancel": 2}, OVER_HTTP
    return [
        Moment(verb, where, nth)
        for verb, count in writes.items()
        for nth in range(1, count + 1)
        for where in places
    ]


class Site:
    """A target that children work on, its slots, and the gate in front of it where it has one."""

    def __init__(
        self, target: Target, nursery: Nursery, directory: Path, gate: Gate | None
    ) -> None:
        self.target = target
        self.nursery = nursery
        self.directory = directory
        self.gate = gate
        self.slots: list[Slot] = []
        self.round = 0

    async def open(self) -> None:
        """Find the slots, as one of the practice's callers would."""
        async with self._desk("finder") as desk:
            found = await desk.find_slots(SlotQuery(PLAN.window))
        assert len(found.items) == len(PLAN.expected) == 70
        self.slots = list(found.items)

    def _described(self) -> dict[str, Any]:
        return self.target.described(**({"base_url": self.gate.url} if self.gate else {}))

    def _desk(self, journal: str) -> Desk:
        about = self._described()
        practice = Practice("acceptance", about["connector"], about["zone"], about["settings"])
        return Desk(
            practice,
            journal=self.directory / f"{journal}.db",
            clock=OffsetClock(about["offset"]),
            recover_every=None,
        )

    async def kill(self, moment: Moment, *, caller_comes_back: bool, delay: float = 0.0) -> float:
        """One round; the seconds that the second process took, once all has been checked."""
        self.round += 1
        name = f"{self.round}"
        slot, patient = self.slots.pop(0), f"pat-{1 + self.round % 3}"
        job: dict[str, Any] = {
            "verb": moment.verb,
            "target": self._described(),
            "journal": str(self.directory / f"{name}.db"),
            "slot": to_json(slot),
            "patient": patient,
            "key": f"call {name}",
        }
        before = set(self.target.standing())
        given_up: Slot | None = None
        if moment.verb != "book":
            given_up = self.slots.pop(0)
            async with self._desk(name) as desk:
                old = await desk.book(given_up, patient, key=f"before {name}")
            assert old.appointment is not None
            job["appointment"] = old.appointment.id

        stop = self._die(moment, job, delay)
        again = job if caller_comes_back else job | {"verb": "recover"}
        began = time.monotonic()
        second = self.nursery.child(again)
        told = second.hear()
        took = time.monotonic() - began
        second.close()
        if stop is not None:
            assert stop.over.wait(30)  # what arrives late must have arrived before we count

        standing = set(self.target.standing()) - before
        assert told.get("state") == "verified", (str(moment), told)
        assert told["confirmed"], (str(moment), told)
        assert told["settled"], (str(moment), told)
        if moment.verb == "cancel":
            assert standing == set(), str(moment)
        else:
            assert standing == {told["appointment"]}, (str(moment), told)
            assert self.target.standing(start=slot.start, patient=patient) == [told["appointment"]]
        if given_up is not None:
            assert self.target.offers(given_up), f"{moment}: the old time is not offered again"
        return took

    def _die(self, moment: Moment, job: dict[str, Any], delay: float) -> Stop | None:
        """Run the job in a process and kill that at the moment."""
        if moment.where in IN_CLINIC:
            hold = {"where": moment.where, "nth": moment.nth}
            child = self.nursery.child(job | {"hold": hold})
            assert child.hear() == {"held": moment.where}
            child.kill()
            return None
        assert self.gate is not None
        with self.gate.set(Stop(moment.where, moment.nth, delay)) as stop:
            child = self.nursery.child(job)
            assert stop.held.wait(30), f"{moment}: the write never came"
            child.kill()
        return stop


@pytest.fixture(params=EVERY)
async def site(
    request: pytest.FixtureRequest,
    running: Callable[..., Target],
    nursery: Nursery,
    tmp_path: Path,
) -> Any:
    target = running(request.param)
    target.seed(PLAN)
    with ExitStack() as stack:
        url = getattr(target, "url", None)
        gate = stack.enter_context(Gate.before(url)) if url else None
        found = Site(target, nursery, tmp_path, gate)
        await found.open()
        yield found


def told(site: Site, times: list[tuple[Moment, float]]) -> None:
    """Print how long each recovery took."""
    shown = "; ".join(f"{moment}: {seconds:.2f} s" for moment, seconds in times)
    sys.stdout.write(f"{site.target.name}, {len(times)} kills. {shown}\n")


def chosen(found: list[Moment], where: str, nth: int, verb: str = "book") -> Moment:
    return next(m for m in found if (m.verb, m.where, m.nth) == (verb, where, nth))


async def test_the_same_key_after_kill_minus_nine(site: Site) -> None:
    found = moments(site.target)
    if site.target.name == "local":
        some = [chosen(found, where, 1) for where in IN_CLINIC]
    else:
        some = [
            chosen(found, "after", 1),
            chosen(found, "late", 2),
            chosen(found, "before", 2),
        ]
    told(site, [(m, await site.kill(m, caller_comes_back=True, delay=0.2)) for m in some])


async def test_recovery_settles_it_without_the_caller(site: Site) -> None:
    found = moments(site.target)
    if site.target.name == "local":
        some = [chosen(found, "committed", 1), chosen(found, "journalled", 1, "reschedule")]
    else:
        some = [chosen(found, "before", 4, "reschedule")]  # the old slot's way back is still due
    told(site, [(m, await site.kill(m, caller_comes_back=False)) for m in some])


@pytest.mark.slow
@pytest.mark.parametrize("caller_comes_back", [True, False], ids=["same-key", "recover"])
async def test_twenty_kills_at_twenty_moments(site: Site, caller_comes_back: bool) -> None:
    """Every moment there is, in a fixed shuffle, until there have been twenty."""
    dice = random.Random(20270314)
    found = moments(site.target)
    dice.shuffle(found)
    times: list[tuple[Moment, float]] = []
    for number in range(max(ROUNDS, len(found))):
        moment = found[number % len(found)]
        delay = dice.choice((0.0, 0.05, 0.2, 0.5, 1.0))
        took = await site.kill(moment, caller_comes_back=caller_comes_back, delay=delay)
        times.append((moment, took))
    told(site, times)
