"""A real server that the suite is run against, and how the truth is read there.

class TestAcmeLive(ConnectorSuite):
    suite_version = "1"
    foreign = Foreign("https://test.acme.example/api", {"api_key": key}, window)

    def make_connector(self, settings, **options): ...
    def make_reader(self, foreign): return AcmeReader(foreign.url)   # where there is one
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from openslot.clock import SystemClock
from openslot.errors import ConfigError, OpenSlotError
from openslot.model import (
    Appointment,
    AppointmentQuery,
    AppointmentStatus,
    AppointmentUpdate,
    BookingRequest,
    CancelRequest,
    Patient,
    Slot,
    SlotQuery,
    Window,
)
from openslot.testing.proxy import Proxy
from openslot.testing.suite.world import CANARY, PEOPLE, World, named

if TYPE_CHECKING:
    from openslot.connector import Connector

__all__ = ["NEEDED", "Foreign", "Found", "Reader", "Stay"]

T = TypeVar("T")

NEEDED = 24
"""Free slots of one practitioner that the checks need."""
PATIENCE = 60.0
"""Seconds that one direct call may take."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """A test account on a server that is not one of our sandboxes.

    `settings` are the connector's; whichever of them is `url` is replaced by the address of the
    proxy that makes faults, `base_url` where none is. Checks search `window`. `visit` is the type
    that is booked and `long` another one; `patients` five test patients, found or registered where
    none are given. Registering people leaves them there, so `registers` has to allow it. `rate` is
    the largest number of requests per second, 0 where there is no limit.
    """

    url: str
    settings: Mapping[str, Any] = field(repr=False)
    window: Window
    visit: str | None = None
    long: str | None = None
    patients: tuple[str, ...] = ()
    registers: bool = False
    rate: float = 0.0
    needed: int = NEEDED

    def at(self, url: str) -> dict[str, Any]:
        """The settings of a connector that finds the server at `url`."""
        mine = {k for k, v in self.settings.items() if str(v).rstrip("/") == self.url.rstrip("/")}
        return {**self.settings, **dict.fromkeys(mine or {"base_url"}, url)}


class Reader(ABC):
    """Reads the truth from the vendor's own system, past the connector that is tested.

    An author who can (by a raw HTTP client, say) writes one; more checks apply then. What a
    reader does not override it does not know, and what rests on it does not apply. All ids are
    the vendor's. It is called from several threads.
    """

    forgets_people = False
    """Whether `tidy` takes back whom a check registered."""
    everything_known = False
    """Whether `Foreign` and the slots found name all people, places and types that there are."""

    @abstractmethod
    def appointments(self) -> Sequence[Appointment]:
        """Every appointment of the account that a check could have made, cancelled ones too."""

    def free(self, window: Window) -> Sequence[tuple[Slot, str | None]] | None:
        """Every free slot that starts in the window, each with its appointment type."""
        return None

    def registered(self, family: str) -> Sequence[Patient] | None:
        """The people of this family name."""
        return None

    def set_status(self, id: str, status: AppointmentStatus) -> bool:
        """Set an appointment's status as the practice would; False where that cannot be done."""
        return False

    def withdraw(self, slot: Slot) -> bool:
        """Take back a free slot as the practice would; False where that cannot be done."""
        return False

    def tidy(self) -> None:  # noqa: B027  (a default, not an omission)
        """Put back, after each check, what cancelling does not."""

    def close(self) -> None:  # noqa: B027
        """Let go of connections."""


class Found(World):
    """Who and what was found on a server; asking for what was not there ends the check."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value == "":
            _skip(f"the test account has no {_MEANT.get(name, name)}")
        return value


_MEANT = {
    "canary": "patient whose every field can be recognised",
    "east": "second location",
    "long": "second appointment type (none was named)",
}


class Doctors(tuple[str, ...]):
    """Practitioners; asking for one more than there are ends the check."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index >= len(self):
            _skip(f"the test account has {len(self)} practitioners with free slots in the window")
        return super().__getitem__(index)


def _skip(why: str) -> NoReturn:
    import pytest

    from openslot.testing.suite.base import NOT_APPLICABLE

    pytest.skip(NOT_APPLICABLE + why)


class PacedProxy(Proxy):
    """A proxy that keeps to the account's limit, and hears where the server is tired of us."""

    told_to_wait = False
    """Whether the server's own last answer was 429 or 503."""

    def __init__(self, upstream: str, pace: Callable[[], float]) -> None:
        super().__init__(upstream)
        self._pace = pace

    def _call(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        time.sleep(self._pace())
        answer = super()._call(method, target, headers, body)
        self.told_to_wait = answer[0] in {429, 503}
        return answer


class Stay:
    """What the checks of one run share on a foreign server: proxy, reader, and a way past both.

    Raises ConfigError with one sentence where the account is not fit for a run.
    """

    def __init__(
        self,
        foreign: Foreign,
        make: Callable[..., Connector],
        reader: Reader | None,
    ) -> None:
        self.foreign = foreign
        self.reader = reader
        self.proxy = PacedProxy(foreign.url, self.pace)
        self._made: set[str] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._numbers = 0
        self._pace = threading.Lock()
        self._next = 0.0
        try:
            self.direct = make(foreign.at(foreign.url), clock=SystemClock())
            self._do(self.direct.__aenter__())
            self.people = self._look()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave."""
        if "direct" in self.__dict__:
            self._do(self.direct.aclose())
        if self.reader is not None:
            self.reader.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def pace(self) -> float:
        """Seconds to wait before the next request, so that the account's limit is kept."""
        if not self.foreign.rate:
            return 0.0
        with self._pace:
            now = time.monotonic()
            wait = max(0.0, self._next - now)
            self._next = now + wait + 1 / self.foreign.rate
            return wait

    # the truth

    def appointments(self) -> tuple[Appointment, ...]:
        """Every appointment that a check may have made, cancelled ones too."""
        if self.reader is not None:
            return tuple(self.reader.appointments())
        found: dict[str, Appointment] = {}
        for patient in (*self.people.patients, object.__getattribute__(self.people, "canary")):
            if patient:
                query = AppointmentQuery(patient=patient)
                listing = self._do(self.direct.list_appointments(query))
                found |= {a.id: a for a in listing}
        return tuple(found.values())

    def appointment(self, id: str) -> Appointment:
        """The appointment with this id."""
        if self.reader is None and self.direct.capabilities.can("get_appointment"):
            return self._do(self.direct.get_appointment(id))
        return next(a for a in self.appointments() if a.id == id)

    # what somebody else does

    def book(self, slot: Slot, patient: str) -> str:
        """Another client books; answers the id."""
        before = {a.id for a in self.appointments()}
        request = BookingRequest(self._intent(), slot, patient, appointment_type=self.people.visit)
        written = self._do(self.direct.book(request))
        return written.id or next(a.id for a in self.appointments() if a.id not in before)

    def cancel(self, id: str) -> None:
        """Another client cancels."""
        self._do(self.direct.cancel(CancelRequest(self._intent(), id)))

    def comment(self, id: str, text: str) -> None:
        """Another client writes into an appointment."""
        if not self.direct.capabilities.can("update_appointment"):
            _skip("nobody but the practice can change an appointment on this server")
        update = AppointmentUpdate(self._intent(), id, comment=text)
        self._do(self.direct.update_appointment(update))

    def tidy(self, before: frozenset[str]) -> None:
        """Cancel everything that was not there before."""
        for made in self.appointments():
            if made.id in before or not made.status.takes_time:
                continue
            self._made.add(made.id)
            with suppress(OpenSlotError):  # what still stands at the end is told
                self.cancel(made.id)
        if self.reader is not None:
            self.reader.tidy()

    def left(self) -> tuple[str, ...]:
        """The appointments of the run that stand, although they were cancelled after each check."""
        if not self._made:
            return ()
        found = self.appointments()
        return tuple(a.id for a in found if a.id in self._made and a.status.takes_time)

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        wait = self.pace()
        if wait:
            time.sleep(wait)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def _intent(self) -> str:
        self._numbers += 1
        return f"stay{self._numbers:06d}{time.time_ns():x}"

    # who and what there is

    def _look(self) -> Found:
        can, foreign = self.direct.capabilities.can, self.foreign
        name = type(self.direct).info.name
        if not can("cancel"):
            raise ConfigError(
                f"{name} cannot cancel here, so what the suite books on a real server would stay"
            )
        if self.reader is None and not can("list_appointments"):
            raise ConfigError(f"{name} cannot list appointments here, so nothing shows the truth")
        query = SlotQuery(foreign.window, appointment_type=foreign.visit)
        slots = self._do(self.direct.find_slots(query)).items
        free = Counter(s.practitioner for s in slots if s.practitioner)
        doctors = Doctors(d for d, _ in free.most_common())
        most = free[doctors[0]] if doctors else 0
        if most < foreign.needed:
            raise ConfigError(
                f"the suite needs {foreign.needed} free slots of one practitioner between "
                f"{foreign.window.start:%Y-%m-%d} and {foreign.window.end:%Y-%m-%d}, and the test "
                f"account has {most}"
            )
        self.spare = slots[-1]
        places = dict.fromkeys(
            s.location for d in doctors for s in slots if s.practitioner == d and s.location
        )
        main, east = (*places, "", "")[:2]
        patients, canary = self._patients()
        return Found(patients, canary, main, east, doctors, foreign.visit or "", foreign.long or "")

    def _patients(self) -> tuple[tuple[str, ...], str]:
        given = self.foreign.patients
        if given and len(given) < len(PEOPLE):
            raise ConfigError(f"the suite needs {len(PEOPLE)} test patients, not {len(given)}")
        if given:
            return given, self._known(CANARY) or ""
        ids = [self._known(person) for person in (*PEOPLE, CANARY)]
        if not all(ids[: len(PEOPLE)]):
            raise ConfigError(
                f"the suite needs {len(PEOPLE)} test patients: name them, or allow it to register "
                f"synthetic people, who stay there"
            )
        return tuple(str(i) for i in ids[: len(PEOPLE)]), ids[-1] or ""

    def _known(self, person: Patient) -> str | None:
        """The id of a synthetic person who is there, or is registered now if that is allowed."""
        can = self.direct.capabilities.can
        if can("find_patients"):
            found = self._do(self.direct.find_patients(named(person)))
            if found.items:
                return found.items[0].id
        if self.foreign.registers and can("create_patient"):
            return self._do(self.direct.create_patient(person, intent=self._intent())).id
        return None
