"""What a check works with: a fresh sandbox, connectors to it, desks over them, and the truth."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Self
from zoneinfo import ZoneInfo

import pytest

from openslot.clinic import DayException
from openslot.desk import Desk
from openslot.journal import Journal
from openslot.model import (
    Appointment,
    AppointmentStatus,
    BookingRequest,
    Patient,
    PatientQuery,
    Slot,
    SlotQuery,
    Window,
)
from openslot.practice import Practice, Rules
from openslot.testing.auth import NoAuth, TokenServer
from openslot.testing.faults import Fault
from openslot.testing.sandbox import SandboxClock
from openslot.testing.suite.base import NOT_APPLICABLE
from openslot.testing.suite.wire import Instead, Seen, Stage, Wire
from openslot.testing.suite.world import NOW, World, populate

if TYPE_CHECKING:
    from openslot.clinic import Clinic
    from openslot.connector import Connector
    from openslot.testing.suite.base import Suite

__all__ = ["Bench", "SuiteClock", "key"]

ALWAYS = 1_000_000
SECRET_SIZE = 24


class SuiteClock:
    """A clock of one client: sleeping moves it, so that no wait is waited for.

    It starts at the sandbox's time, and a wait of one client moves nobody else's clock.
    """

    def __init__(self, sandbox: SandboxClock) -> None:
        self._sandbox = sandbox
        self._skipped = 0.0
        self.slept: list[float] = []
        """Every wait, in seconds, in order."""

    def now(self) -> datetime:
        """The sandbox's time, and what was slept since."""
        return self._sandbox.now() + timedelta(seconds=self._skipped)

    def monotonic(self) -> float:
        """Real seconds, and what was slept."""
        return self._sandbox.monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        """Let the others run for a moment; the rest of the wait is jumped over."""
        moment = min(max(seconds, 0.0), 0.02)
        await asyncio.sleep(moment)
        self._skipped += max(seconds, 0.0) - moment
        self.slept.append(seconds)


def key(slot: Slot | Appointment) -> tuple[datetime | None, datetime | None, str | None]:
    """What two readings of one slot or appointment agree in, wherever they come from."""
    return (_utc(slot.start), _utc(slot.end), slot.practitioner)


def _utc(instant: datetime | None) -> datetime | None:
    return None if instant is None else instant.astimezone(UTC)


class Bench:
    """One check's own sandbox and what talks to it."""

    def __init__(
        self, suite: Suite, stage: Stage, directory: Path, options: dict[str, Any]
    ) -> None:
        self.suite = suite
        self.stage = stage
        self.directory = directory
        self.zone = ZoneInfo(options.pop("zone", suite.zone))
        manners: Mapping[str, Any] = options.pop("manners", {})
        self.world: World | None = None
        self.secret = secrets.token_urlsafe(SECRET_SIZE)
        given: dict[str, Any] = {
            "zone": self.zone.key,
            "clock": SandboxClock(NOW),
            "populate": self._populate,
            **options,
        }
        auth = type(suite).auth
        if auth is not None:
            given["auth"] = auth()
        self.sandbox = suite.make_sandbox(**given)
        self.lacks_manners = self._behave(manners, given)
        self.wired: bool = self.sandbox.served
        self.wire = Wire(self.sandbox.app)
        self._opened: list[Any] = []
        self._intents = 0

    def _populate(self, clinic: Clinic) -> None:
        self.world = populate(clinic, self.zone.key)

    def _behave(self, manners: Mapping[str, Any], given: dict[str, Any]) -> tuple[str, ...]:
        """Open the sandbox again with these manners; answers those that it does not have."""
        kind = type(self.sandbox).manners_type
        known = {f.name for f in fields(kind)}
        mine = {k: v for k, v in manners.items() if k in known}
        if mine:
            self.sandbox.close()
            self.sandbox = self.suite.make_sandbox(
                **given, manners=replace(self.sandbox.manners, **mine)
            )
        return tuple(k for k in manners if k not in known)

    async def __aenter__(self) -> Self:
        if self.wired:
            self.stage.set(self.wire)
        self.clock = self.another_clock()
        self.connector = await self.another(clock=self.clock)
        return self

    async def __aexit__(self, *exc: object) -> None:
        for opened in reversed(self._opened):
            await opened.aclose()
        self.sandbox.close()

    # what the sandbox is

    @property
    def name(self) -> str:
        """The connector's name, as its sandbox knows it."""
        return self.sandbox.name

    @property
    def base_path(self) -> str:
        """The path that the vendor's paths hang from."""
        return self.sandbox.base_path

    @property
    def start(self) -> datetime:
        """When the check begins, and the searches of the checks do."""
        return NOW

    def week(self, days: int = 5) -> Window:
        """The first days from today on."""
        return Window(self.start, self.start + timedelta(days=days))

    @property
    def night(self) -> Window:
        """A time at which nobody works."""
        return Window(self.start + timedelta(hours=14), self.start + timedelta(hours=20))

    @property
    def static_key(self) -> str | None:
        """The key that the connector sends along, where it is a static one."""
        found = getattr(self.sandbox.auth, "key", None)
        return found if isinstance(found, str) else None

    @property
    def shared_secret(self) -> str | None:
        """The secret that connector and server share, where there is one."""
        found = self.static_key or getattr(self.sandbox.auth, "client_secret", None)
        return found if isinstance(found, str) else None

    @property
    def gives_tokens(self) -> bool:
        """Whether it gives out access tokens that can be made to expire."""
        return isinstance(self.sandbox.auth, TokenServer)

    @property
    def registers(self) -> bool:
        """Whether people may be registered: they stay."""
        return True

    def needs(self, why: str) -> None:
        """Go on only where the server is ours to be moved; `why` says what it is not, else."""

    def needs_all_known(self) -> None:
        """Go on only where all people, places and types that there are are known."""

    # what talks to the sandbox

    def settings(self, url: str | None = None) -> dict[str, Any]:
        """What the connector is configured with, at the sandbox's address or at `url`."""
        if url is None:
            url = (self.stage.origin if self.wired else "") + self.sandbox.base_path
        return self.sandbox.settings(url)

    def another_clock(self) -> SuiteClock:
        """The clock of one more client."""
        return SuiteClock(self.sandbox.clock)

    async def another(
        self, *, clock: SuiteClock | None = None, url: str | None = None
    ) -> Connector:
        """One more connector, as another process would have it: it shares nothing."""
        made = self.suite.make_connector(
            self.settings(url),
            zone=self.zone,
            practice="conformance",
            clock=clock or self.another_clock(),
        )
        await made.__aenter__()
        self._opened.append(made)
        return made

    async def signed_in(self, *, clock: SuiteClock | None = None) -> Connector:
        """One more connector, which has its access token already, where one is needed.

        What goes wrong from now on then goes wrong with the vendor, not with the token.
        """
        made = await self.another(clock=clock)
        if self.gives_tokens:
            assert not self.sandbox.faults.active, "sign in before anything goes wrong"
            await made.find_slots(self.query(Window(NOW, NOW + timedelta(hours=1))))
            self.heal()
        return made

    async def desk(self, *, journal: Journal | None = None, rules: Rules | None = None) -> Desk:
        """A desk over a connector of its own, with a journal of its own unless one is given."""
        clock = self.another_clock()
        name = type(self.connector).info.name
        desk = Desk(
            Practice("conformance", name, self.zone.key, rules=rules or Rules()),
            journal=journal or self.directory / f"journal-{len(self._opened)}.db",
            connector=await self.another(clock=clock),
            clock=clock,
            recover_every=None,
        )
        await desk.__aenter__()
        self._opened.append(desk)
        return desk

    # who and what there is

    def vendor_id(self, kind: str, id: str) -> str:
        """The id under which the vendor shows what the clinic calls `id`."""
        return self.sandbox.vendor_id(kind, id)

    @property
    def people(self) -> World:
        """The clinic's people, places and types, under the vendor's ids."""
        assert self.world is not None, "the sandbox did not call populate: pass its options on"
        world, vendor = self.world, self.vendor_id
        return World(
            patients=tuple(vendor("patient", p) for p in world.patients),
            canary=vendor("patient", world.canary),
            main=vendor("location", world.main),
            east=vendor("location", world.east),
            doctors=tuple(vendor("practitioner", d) for d in world.doctors),
            visit=vendor("type", world.visit),
            long=vendor("type", world.long),
        )

    def intent(self) -> str:
        """A marker that was never used, of the shape that the desk gives connectors."""
        self._intents += 1
        return f"suite{self._intents:03d}{secrets.token_hex(12)}"

    @property
    def query_window(self) -> Window:
        """Four days, in which there are slots enough for any check."""
        return Window(NOW, NOW + timedelta(days=4))

    def query(self, window: Window, **narrowed: Any) -> SlotQuery:
        """A search for visits in the window."""
        return SlotQuery(window, **{"appointment_type": self.people.visit, **narrowed})

    async def slots(self, window: Window, **narrowed: Any) -> tuple[Slot, ...]:
        """The free visits with `dr-1`, as the connector sees them."""
        narrowed = {"practitioners": (self.people.doctors[0],), **narrowed}
        found = await self.connector.find_slots(self.query(window, **narrowed))
        assert found.complete, f"a plain search was not complete: {found.missing}"
        return found.items

    async def slot(self, number: int = 0) -> Slot:
        """One free visit of the first day."""
        found = await self.slots(Window(NOW, NOW + timedelta(hours=20)))
        assert len(found) > number, "the plain search found too few slots to go on"
        return found[number]

    def request(self, slot: Slot, *, patient: str | Patient | None = None, **more: Any) -> Any:
        """A booking of the slot for the first patient, under an intent of its own."""
        given: dict[str, Any] = {"intent": self.intent(), "appointment_type": self.people.visit}
        return BookingRequest(
            slot=slot, patient=patient or self.people.patients[0], **{**given, **more}
        )

    # the truth, as the practice's own system has it

    @property
    def before(self) -> frozenset[str]:
        """The vendor's ids of the appointments that the check found there."""
        return frozenset()

    @property
    def clinic(self) -> Clinic:
        """The engine behind the sandbox."""
        return self.sandbox.clinic

    def free(self, window: Window, **narrowed: Any) -> Counter[Any]:
        """The slots that are really free, by `key`, how often each."""
        assert self.world is not None
        known = {self.vendor_id("practitioner", d): d for d in self.world.doctors} | {
            self.vendor_id("location", p): p for p in (self.world.main, self.world.east)
        }
        known |= {self.vendor_id("type", t): t for t in (self.world.visit, self.world.long)}
        asked: dict[str, Any] = {
            k: known[v] if isinstance(v, str) else tuple(known[one] for one in v)
            for k, v in narrowed.items()
        }
        openings = self.clinic.openings(window, **{"type": "visit", **asked})
        return Counter(
            (_utc(o.slot.start), _utc(o.slot.end), self._vendor("practitioner", o.slot))
            for o in openings
        )

    def standing(self, patient: str | None = None) -> tuple[Appointment, ...]:
        """Every appointment that takes time now, under the clinic's ids."""
        found = self.clinic.appointments(patient=patient)
        return tuple(a for a in found if a.status.takes_time)

    def record(self, appointment: str) -> Appointment:
        """The one appointment that the vendor shows under this id."""
        for found in self.clinic.appointments():
            if self.vendor_id("appointment", found.id) == appointment:
                return found
        raise AssertionError("the id that the connector answered is no appointment's")

    def opening(self, slot: Slot) -> str:
        """The clinic's name for a slot that the connector found."""
        span = Window(slot.start, slot.start + timedelta(seconds=1))
        for opening in self.clinic.openings(span, type="visit", include_taken=True):
            if self._vendor("practitioner", opening.slot) == slot.practitioner:
                return opening.id
        raise AssertionError("the clinic has no opening at that time")

    def take(self, slot: Slot, patient: int = 1) -> Appointment:
        """Somebody else books the slot, at the practice's own desk."""
        assert self.world is not None
        return self.clinic.book(self.opening(slot), self.world.patients[patient], staff=True)

    def shown(self, id: str) -> Appointment:
        """An appointment, by the clinic's id."""
        return self.clinic.get_appointment(id)

    def registered(self, query: PatientQuery) -> Sequence[Patient]:
        """The people whom the practice knows, by the clinic's ids."""
        return tuple(self.clinic.find_patients(query))

    def mark(self) -> str | None:
        """Where the practice's system is now, for `wrote_since`."""
        return self.clinic.changes().cursor

    def wrote_since(self, mark: str | None) -> bool:
        """Whether anything was written since."""
        return self.clinic.changes(mark).items != ()

    # what happens at the practice's own desk

    def call_off(self, id: str) -> None:
        """The practice cancels an appointment, by the clinic's id."""
        self.clinic.cancel(id)

    def set_status(self, id: str, status: AppointmentStatus) -> None:
        """The practice sets an appointment's status."""
        self.clinic.set_status(id, status)

    def annotate(self, id: str) -> None:
        """The practice writes something into an appointment."""
        self.clinic.update(id, comment="changed at the practice's own desk")

    def withdraw(self, slot: Slot) -> None:
        """The practice takes back a time that it had offered."""
        day = slot.start.astimezone(self.zone).date()
        self.clinic.add_exception(DayException(day), practitioner="dr-1")

    def somebody(self) -> Appointment:
        """An appointment that the practice made, without the connector's help."""
        assert self.world is not None
        free = self.clinic.openings(self.query_window, type="visit", practitioners=("dr-1",))
        return self.clinic.book(free[-1].id, self.world.patients[0], staff=True)

    def _vendor(self, kind: str, slot: Slot) -> str:
        return self.vendor_id(kind, str(slot.practitioner))

    # what goes wrong

    def fault(
        self, name: str, *, nth: int | None = None, lasting: bool = True, **more: Any
    ) -> None:
        """Let the nth request from now on (every one, without it) meet a fault, and all later."""
        self.calm()
        times = ALWAYS if lasting else 1
        self.sandbox.faults.add(Fault(name, nth=nth or 1, times=times, **more))

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.sandbox.faults.clear()

    def revoke(self) -> None:
        """Take the connector's credential for no good any more."""
        if isinstance(self.sandbox.auth, NoAuth):
            self.not_applicable("the sandbox asks for no credential")
        self.sandbox.auth.revoke()

    def heal(self) -> None:
        """All is well again, and requests are counted anew."""
        self.calm()
        self.wire.forget()

    def answer_instead(self, status: int, body: bytes, media_type: str, **headers: str) -> None:
        """Answer every request so, whatever it asks."""
        wrong = Instead(
            status, body, media_type, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        self.wire.instead = lambda seen: wrong

    def writes(self, seen: Iterable[Seen]) -> list[int]:
        """Which of the requests, counted from 1, may have changed something."""
        return [
            n
            for n, request in enumerate(seen, 1)
            if request.method not in {"GET", "HEAD", "OPTIONS"}
            and not request.target.partition("?")[0].endswith("/_search")
        ]

    def not_applicable(self, why: str) -> NoReturn:
        """End the check: what it looks for does not occur with this connector."""
        pytest.skip(NOT_APPLICABLE + why)

    @contextmanager
    def logs(self) -> Iterator[list[str]]:
        """Every log record of the process, formatted, at any level."""
        kept: list[str] = []

        class Keep(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                kept.append(f"{record.name}: {record.getMessage()}")

        root, keep = logging.getLogger(), Keep(logging.NOTSET)
        level = root.level
        root.addHandler(keep)
        root.setLevel(logging.DEBUG)
        try:
            yield kept
        finally:
            root.removeHandler(keep)
            root.setLevel(level)
