"""What runs in a child process: a desk at work, which can be told where to stand still.

`python -m acceptance.child SOCKET` imports everything, then forks a child for every line on stdin.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any, TypeVar

from openslot import Desk, OpenSlotError, Practice, Slot, SystemClock, from_json
from openslot.call import Call
from openslot.clinic import Clinic

T = TypeVar("T")
Say = Callable[[dict[str, Any]], None]


class OffsetClock(SystemClock):
    """The machine's clock, moved by a fixed number of seconds: the same in every process."""

    def __init__(self, offset: float) -> None:
        self.offset = timedelta(seconds=offset)

    def now(self) -> datetime:
        """The current instant, moved."""
        return super().now() + self.offset


def open_desk(job: dict[str, Any], journal: str) -> Desk:
    """A desk on the target that the job describes."""
    about = job["target"]
    practice = Practice("acceptance", about["connector"], about["zone"], about["settings"])
    clock = OffsetClock(about["offset"])
    return Desk(practice, journal=journal, clock=clock, recover_every=None)


def _told(outcome: Any) -> dict[str, Any]:
    return {
        "state": outcome.state.value,
        "confirmed": outcome.confirmed,
        "settled": outcome.settled,
        "appointment": outcome.appointment.id if outcome.appointment else None,
        "failure": outcome.failure.code if outcome.failure else None,
    }


# one intent, perhaps cut off


async def work(job: dict[str, Any], say: Say) -> None:
    """Carry out one verb with a key, or recover without one, and tell what came of it."""
    stand_still(job.get("hold"), say)
    async with open_desk(job, job["journal"]) as desk:
        if job["verb"] == "recover":
            await desk.recover()
            say(_told(await desk.outcome(job["key"])))
            return
        slot = from_json(Slot, job["slot"])
        if job["verb"] == "book":
            outcome = await desk.book(slot, job["patient"], key=job["key"])
        elif job["verb"] == "cancel":
            outcome = await desk.cancel(job["appointment"], key=job["key"])
        else:
            outcome = await desk.reschedule(job["appointment"], slot, key=job["key"])
        say(_told(outcome))


def stand_still(hold: dict[str, Any] | None, say: Say) -> None:
    """Stand still at the nth write: `journalled`, or in the clinic `uncommitted`, `committed`."""
    if hold is None:
        return
    where, nth = hold["where"], hold["nth"]
    seen = 0

    def here() -> bool:
        nonlocal seen
        seen += 1
        return bool(seen == nth)

    def forever() -> None:
        say({"held": where})
        time.sleep(600)

    if where == "journalled":
        sending = Call.sending

        async def journalled(call: Call, step: str) -> None:
            await sending(call, step)
            if here():
                forever()

        Call.sending = journalled  # type: ignore[method-assign,assignment]
        return

    from openslot_connectors.local.connector import LocalConnector

    on_thread = LocalConnector._on_thread

    async def watched(self: LocalConnector, work: Callable[[Clinic], T], *, writes: bool) -> T:
        if not writes or not here():
            return await on_thread(self, work, writes=writes)

        def cut_off(clinic: Clinic) -> T:
            if where == "uncommitted":
                with clinic.transaction():
                    result = work(clinic)
                    forever()
            result = work(clinic)
            forever()
            return result

        return await on_thread(self, cut_off, writes=writes)

    LocalConnector._on_thread = watched  # type: ignore[method-assign]


# many at once


async def race(job: dict[str, Any], say: Say, hear: Callable[[], dict[str, Any]]) -> None:
    """Open a desk for every journal; in every round, all book the same slot at the same moment."""
    async with AsyncExitStack() as stack:
        desks = []
        for journal in job["journals"]:
            desks.append(await stack.enter_async_context(open_desk(job, journal)))
        say({"ready": len(desks)})
        while (told := await asyncio.to_thread(hear)).get("slot"):
            slot = from_json(Slot, told["slot"])
            await asyncio.sleep(max(0.0, told["at"] - time.monotonic()))
            results = await asyncio.gather(
                *(
                    _try(desk, slot, patient, f"round {told['round']}")
                    for desk, patient in zip(desks, job["patients"], strict=True)
                )
            )
            say({"results": results})


async def _try(desk: Desk, slot: Slot, patient: str, key: str) -> dict[str, Any]:
    began = time.monotonic()
    try:
        outcome = await desk.book(slot, patient, key=key, seconds=60.0)
    except OpenSlotError as error:
        said: dict[str, Any] = {
            "end": error.code,
            "why": str(error),
            "alternatives": len(getattr(error, "alternatives", ())),
        }
    else:
        end = outcome.state.value if outcome.confirmed else f"{outcome.state.value}, unconfirmed"
        said = {"end": end, "appointment": outcome.appointment.id if outcome.appointment else None}
    return {**said, "seconds": time.monotonic() - began}


# being born


def live(address: str) -> None:
    """The whole life of a child."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    lines = connection.makefile("r", encoding="utf-8")

    def say(message: dict[str, Any]) -> None:
        connection.sendall(json.dumps(message).encode() + b"\n")

    def hear() -> dict[str, Any]:
        message: dict[str, Any] = json.loads(lines.readline() or "{}")
        return message

    say({"pid": os.getpid()})
    job = hear()
    try:
        asyncio.run(race(job, say, hear) if job["verb"] == "race" else work(job, say))
    except OpenSlotError as error:
        say({"error": error.code, "why": str(error)})
    except BaseException:
        say({"defect": traceback.format_exc()})
        raise


def main(address: str) -> None:
    """Fork a child for every line on stdin; end when it closes."""

    import openslot_connectors.fhir.connector
    import openslot_connectors.local.connector  # noqa: F401 (all of these are for the children)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    while os.read(0, 1):
        if os.fork() == 0:
            code = 1
            try:
                live(address)
                code = 0
            finally:
                os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1])
