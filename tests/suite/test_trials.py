"""Two hundred trials each: a write whose answer is lost, or that lands late, takes effect once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from openslot.call import current
from openslot.desk import Desk, Outcome
from openslot.errors import OpenSlotError, OutcomeUnknown
from openslot.model import Slot, Window
from openslot.testing.suite import Bench
from openslot.testing.suite.wire import Stage
from openslot.testing.suite.world import NOW, week
from openslot_connectors.local.connector import LocalConnector
from openslot_connectors.local.settings import LocalSettings
from suite.test_fhir_r4 import TestFhirR4 as FhirSuite
from suite.test_local import TestLocal as LocalSuite

TRIALS = 200
VERBS = ("book", "cancel", "reschedule")

pytestmark = pytest.mark.slow


class Losing(LocalConnector):
    """`local` whose answers to writes are lost, at once or before the write has landed."""

    loses: str | None = None
    lost = 0
    late: asyncio.Task[Any] | None = None

    async def _write(self, step: str, work: Any) -> Any:
        if self.loses is None:
            return await super()._write(step, work)
        how, self.loses, self.lost = self.loses, None, 1
        if how == "late-commit":
            await current().sending(step)
            self.late = asyncio.create_task(self._later(work))
        else:
            await super()._write(step, work)
        raise OutcomeUnknown("the answer was lost", sent=True)

    async def _later(self, work: Any) -> None:
        await asyncio.sleep(0.02)
        await self._on_thread(work, writes=True)


class LosingSuite(LocalSuite):
    def make_connector(self, settings: dict[str, Any], **options: Any) -> Losing:
        return Losing(LocalSettings(**settings), **options)


async def act(bench: Bench, desk: Desk, verb: str, id: str, slots: list[Slot], key: str) -> Outcome:
    if verb == "book":
        return await desk.book(slots[0], bench.people.patients[0], key=key)
    if verb == "cancel":
        return await desk.cancel(id, key=key)
    return await desk.reschedule(id, slots[1], key=key)


async def trials(suite: Any, stage: Stage, directory: Path, verb: str, fault: str) -> None:
    async with Bench(suite, stage, directory, {}) as bench:
        desk = await bench.desk()
        window = Window(NOW, NOW + (week(4).end - NOW))
        slots = list(await bench.slots(window))
        method = {"book": "POST", "cancel": "PUT", "reschedule": "POST"}[verb]
        for number in range(TRIALS):
            pair = [slots[(2 * number) % 50], slots[(2 * number + 1) % 50]]
            id = "" if verb == "book" else bench.take(pair[0]).id
            if bench.wired:
                more = {"seconds": 0.02} if fault == "late-commit" else {}
                bench.fault(fault, lasting=False, method=method, path="/Appointment", **more)
            else:
                connector: Any = desk.connector
                connector.loses, connector.lost = fault, 0
            key = f"trial-{number}"
            result: Any
            try:
                result = await act(bench, desk, verb, id, pair, key)
            except OpenSlotError as error:
                result = error
            await asyncio.sleep(0.06 if fault == "late-commit" else 0)
            if bench.wired:
                assert len(bench.sandbox.faults.fired) == 1, f"trial {number}: nothing was lost"
            else:
                assert connector.lost == 1, f"trial {number}: nothing was lost"
            bench.sandbox.faults.clear()
            for _ in range(6):
                if not await desk.unsettled():
                    break
                await desk.recover()
            told = await desk.outcome(key)
            stand = bench.standing()
            wanted = [] if verb == "cancel" else [pair[0 if verb == "book" else 1].start]
            assert [a.start for a in stand] == wanted, f"trial {number}: {result!r}, {told.state}"
            assert told.failure is None, f"trial {number}: {told.failure}"
            assert told.settled, f"trial {number}: {told.state}"
            for left in stand:
                bench.clinic.cancel(left.id)
                for slot in pair:
                    _free(bench, slot)


def _free(bench: Bench, slot: Slot) -> None:
    """A Slot says what was written to it, so the practice's own desk frees it."""
    bench.clinic.unclaim(bench.opening(slot))


@pytest.mark.parametrize("fault", ["lost-reply", "late-commit"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("suite", [LosingSuite, FhirSuite], ids=["local", "fhir-r4"])
def test_one_effect_each(suite: Any, verb: str, fault: str, tmp_path: Path) -> None:
    stage = Stage()
    try:
        asyncio.run(trials(suite(), stage, tmp_path, verb, fault))
    finally:
        stage.close()
