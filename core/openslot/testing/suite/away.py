"""The bench of a check on a server that is not ours: no clock to move, no manners, no clinic."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from zoneinfo import ZoneInfo

from openslot.model import Appointment, AppointmentStatus, Patient, PatientQuery, Slot, Window
from openslot.testing.clock import SandboxClock
from openslot.testing.faults import Fault
from openslot.testing.suite.bench import ALWAYS, SECRET_SIZE, Bench, SuiteClock, key
from openslot.testing.suite.foreign import Stay
from openslot.testing.suite.wire import Stage, Wire
from openslot.testing.suite.world import World

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.testing.suite.base import Suite

__all__ = ["ForeignBench"]

UNMOVED = "the server's clock, rules and manners cannot be moved"
UNKNOWN = "what is free there is known only through the connector itself (give a reader)"
LONGEST_WAIT = 60.0


class _RealClock(SuiteClock):
    """Jumps over waits as in a sandbox, but not where the server itself asked for one."""

    def __init__(self, stay: Stay) -> None:
        super().__init__(SandboxClock())
        self._stay = stay

    async def sleep(self, seconds: float) -> None:
        """Wait for real after the server's own 429 or 503."""
        if self._stay.proxy.told_to_wait:
            await asyncio.sleep(min(seconds, LONGEST_WAIT))
            self.slept.append(seconds)
        else:
            await super().sleep(seconds)


class ForeignBench(Bench):
    """One check's stay on a test account; what it makes there is cancelled when it ends."""

    def __init__(
        self, suite: Suite, stage: Stage, directory: Path, options: dict[str, Any]
    ) -> None:
        self.suite = suite
        self.stage = stage
        self.directory = directory
        self.zone = ZoneInfo(suite.zone)
        self.secret = secrets.token_urlsafe(SECRET_SIZE)
        self.wired = True
        self._opened = []
        self._intents = 0
        if "zone" in options:
            self.not_applicable("the server is in a zone of its own")
        self.lacks_manners = tuple(options.get("manners", ()))
        if stage.stay is None:
            stage.stay = suite.stay()
        stay: Stay = stage.stay
        self.stay = stay
        self._begun = datetime.now(UTC)
        self._armed = self._struck = False
        self._somebody: Appointment | None = None
        stay.proxy.faults.clear()
        self.wire = Wire(stay.proxy.app)
        self._before = frozenset(a.id for a in stay.appointments())

    def __getattr__(self, name: str) -> NoReturn:
        # What is the sandbox's alone is not there; a check that asks for it ends.
        if name in {"sandbox", "clinic", "world"}:
            self.not_applicable(UNMOVED)
        raise AttributeError(name)

    async def __aexit__(self, *exc: object) -> None:
        self.calm()
        self.wire.forget()
        for opened in reversed(self._opened):
            await opened.aclose()
        self.stay.tidy(self._before)
        if exc[0] is None and self._armed and not self._struck:
            # It would be kept for the want of what is to go wrong.
            self.not_applicable("no answer of this server holds what the fault spoils")

    # what the server is

    @property
    def name(self) -> str:
        return type(self.connector).info.name

    @property
    def base_path(self) -> str:
        return self.stay.proxy.base_path

    @property
    def start(self) -> datetime:
        return self.stay.foreign.window.start

    @property
    def query_window(self) -> Window:
        return self.stay.foreign.window

    def week(self, days: int = 5) -> Window:
        return self.stay.foreign.window

    @property
    def night(self) -> Window:
        free = sorted(key(s)[:2] for s, _ in self._free(self.query_window))
        gaps = [
            Window(end, start - timedelta(minutes=1))
            for (_, end), (start, _) in pairwise(free)
            if start and end and start - end >= timedelta(hours=1)
        ]
        return gaps[0] if gaps else self.not_applicable("there is no hour without free slots")

    @property
    def static_key(self) -> str | None:
        found = {k: v for k, v in _secrets(self.connector.settings) if k == "key" or "api_key" in k}
        return next(iter(found.values()), None)

    @property
    def shared_secret(self) -> str | None:
        return next((v for _, v in _secrets(self.connector.settings)), None)

    @property
    def gives_tokens(self) -> bool:
        return False

    @property
    def registers(self) -> bool:
        reader = self.stay.reader
        return self.stay.foreign.registers and reader is not None and reader.forgets_people

    def needs(self, why: str) -> None:
        self.not_applicable(why)

    def needs_all_known(self) -> None:
        if self.stay.reader is None or not self.stay.reader.everything_known:
            self.not_applicable("who and what there is there is known only through the connector")

    # what talks to it

    def settings(self, url: str | None = None) -> dict[str, Any]:
        return self.stay.foreign.at(url or self.stage.origin + self.base_path)

    def another_clock(self) -> SuiteClock:
        return _RealClock(self.stay)

    async def signed_in(self, *, clock: SuiteClock | None = None) -> Connector:
        made = await self.another(clock=clock)
        await made.find_slots(self.query(Window(self.start, self.start + timedelta(hours=1))))
        self.heal()
        return made

    # who and what there is

    def vendor_id(self, kind: str, id: str) -> str:
        return id

    @property
    def people(self) -> World:
        return self.stay.people

    async def slot(self, number: int = 0) -> Slot:
        found = await self.slots(self.query_window)
        assert len(found) > number, "the plain search found too few slots to go on"
        return found[number]

    # the truth

    @property
    def before(self) -> frozenset[str]:
        return self._before

    def free(self, window: Window, **narrowed: Any) -> Counter[Any]:
        wanted = {"type": self.people.visit, **narrowed}
        whose, where = wanted.get("practitioners"), wanted.get("locations")
        return Counter(
            key(slot)
            for slot, kind in self._free(window)
            if kind in (None, wanted["type"])
            if whose is None or slot.practitioner in whose
            if where is None or slot.location in where
        )

    def _free(self, window: Window) -> Sequence[tuple[Slot, str | None]]:
        reader = self.stay.reader
        free = reader.free(window) if reader is not None else None
        if free is None:
            self.not_applicable(UNKNOWN)
        return free

    def standing(self, patient: str | None = None) -> tuple[Appointment, ...]:
        return tuple(
            a
            for a in self.stay.appointments()
            if a.status.takes_time
            if a.id not in self._before
            if patient in (None, a.patient)
        )

    def record(self, appointment: str) -> Appointment:
        return self.stay.appointment(appointment)

    def shown(self, id: str) -> Appointment:
        return self.stay.appointment(id)

    def registered(self, query: PatientQuery) -> Sequence[Patient]:
        reader = self.stay.reader
        found = reader.registered(query.family or "") if reader is not None else None
        if found is None:
            self.not_applicable("who is registered there is known only through the connector")
        return found

    def mark(self) -> str:
        return str(len(self.wire.seen))

    def wrote_since(self, mark: str | None) -> bool:
        return bool(self.writes(self.wire.seen[int(mark or 0) :]))

    # what somebody else does

    def take(self, slot: Slot, patient: int = 1) -> Appointment:
        return self.stay.appointment(self.stay.book(slot, self.people.patients[patient]))

    def somebody(self) -> Appointment:
        if self._somebody is None:
            self._somebody = self.take(self.stay.spare, patient=0)
        return self._somebody

    def call_off(self, id: str) -> None:
        self.stay.cancel(id)

    def set_status(self, id: str, status: AppointmentStatus) -> None:
        reader = self.stay.reader
        if reader is None or not reader.set_status(id, status):
            self.not_applicable("nobody but the practice can set a status on this server")

    def annotate(self, id: str) -> None:
        self.stay.comment(id, "changed at the practice's own desk")

    def withdraw(self, slot: Slot) -> None:
        reader = self.stay.reader
        if reader is None or not reader.withdraw(slot):
            self.not_applicable("nobody but the practice can take a time back on this server")

    # what goes wrong

    def fault(
        self, name: str, *, nth: int | None = None, lasting: bool = True, **more: Any
    ) -> None:
        self.calm()
        self._armed = True
        times = ALWAYS if lasting else 1
        self.stay.proxy.faults.add(Fault(name, nth=nth or 1, times=times, **more))

    def calm(self) -> None:
        self._struck = self._struck or bool(self.stay.proxy.faults.fired)
        self.stay.proxy.faults.clear()

    def revoke(self) -> None:
        if self.shared_secret is None:
            self.not_applicable("the server asks for no credential")
        self.fault("revoked-token")


def _secrets(settings: Any) -> Iterator[tuple[str, str]]:
    """Every secret among a connector's settings, by the name of its field."""
    from pydantic import BaseModel, SecretStr

    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield name, value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets(value)
