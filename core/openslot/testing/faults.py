"""Faults: what goes wrong between us and a vendor, in one vocabulary for every server.

`Faults` is ASGI middleware with a switch. Around a sandbox it is built in; around a reverse proxy
it works in front of any server. A fault is written the same way everywhere:

    lost-reply:nth=1,method=POST,path=/Appointment

that is a name from `KINDS` (whose values say what each does) and, after the colon, when it strikes:

    method=POST          calls with that method
    path=/Appointment    calls whose path, below the server's base path, begins with these segments
    nth=2                the second call that matches (then it is spent)
    times=3              that many matching calls, from the nth or from the first
    probability=0.1      each matching call with that chance, drawn from `seed` (0)

and, where the kind takes them, `seconds`, `size`, `to`, `param`, and `after=yes` (for answers that
replace the application's: let it commit first). Without nth, times or probability it strikes every
matching call. The same faults over the same calls strike the same ones, and `Faults.replay` tells
what struck as faults by number.

Faults of webhooks (`webhook-`) count the webhooks that a server sends, each with its topic as path
(`path=/appointment.created`); those of writes that are accepted now and land later (`landing-`)
count these, each by the request that it was accepted from.
"""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from openslot.clock import Clock, SystemClock
from openslot.errors import ConfigError
from openslot.registry import nearest
from openslot.testing import effects
from openslot.testing.effects import KINDS, Next, set_next
from openslot.testing.server import ASGIApp, Receive, Scope, Send

__all__ = ["KINDS", "Fault", "Faults", "Fired"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, and when. `name` is a key of `KINDS`; None leaves its default."""

    name: str
    nth: int | None = None
    times: int | None = None
    method: str | None = None
    path: str | None = None
    probability: float | None = None
    seed: int = 0
    seconds: float | None = None
    """How long to wait, or by how much to be wrong."""
    size: int | None = None
    """Bytes of a body, or levels of a nesting."""
    to: str | None = None
    """The origin that a link or a redirect leads to."""
    param: str | None = None
    """The search parameter that is dropped."""
    after: bool = False
    """Whether the application commits before the fault replaces its answer."""

    def __post_init__(self) -> None:
        if self.name not in KINDS:
            raise ConfigError(f"no fault is called {self.name!r}{nearest(self.name, KINDS)}")
        for name in ("nth", "times", "size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"fault {self.name}: {name} counts from 1")
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise ConfigError(f"fault {self.name}: probability is from 0 to 1")
        if self.probability is not None and (self.nth or self.times):
            raise ConfigError(f"fault {self.name}: give nth and times, or probability")
        for name in ("method", "path", "to", "param"):
            # In a script, commas part the options and blanks the faults.
            if re.search(r"[,\s]", getattr(self, name) or ""):
                raise ConfigError(f"fault {self.name}: {name} holds neither commas nor blanks")
        for name in KINDS[self.name].needs:
            if getattr(self, name) is None:
                raise ConfigError(f"fault {self.name} needs {name}=")

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault that `text` describes. Raises ConfigError with what to write instead."""
        name, _, rest = text.partition(":")
        values: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if key not in _OPTIONS or not equals:
                raise ConfigError(
                    f"fault {name}: {key!r} is not an option{nearest(key, _OPTIONS)}; "
                    f"write key=value with one of {', '.join(_OPTIONS)}"
                )
            try:
                values[key] = _OPTIONS[key](value)
            except ValueError:
                raise ConfigError(f"fault {name}: {key} cannot be {value!r}") from None
        return cls(name.strip(), **values)

    def __str__(self) -> str:
        said = [
            f"{f.name}={'yes' if value is True else value}"
            for f in fields(self)[1:]
            if (value := getattr(self, f.name)) not in (None, f.default)
        ]
        return f"{self.name}:{','.join(said)}" if said else self.name

    def matches(self, method: str, path: str) -> bool:
        """Whether a call is one that this fault counts."""
        if self.method is not None and self.method != method:
            return False
        if self.path is None:
            return True
        prefix = self.path.rstrip("/")
        return path == prefix or path.startswith((prefix + "/", prefix + "?"))


def _yes(text: str) -> bool:
    words = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
    if text.lower() not in words:
        raise ValueError(text)
    return words[text.lower()]


def _origin(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise ValueError(text)
    return text.rstrip("/")


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "nth": int,
    "times": int,
    "method": str.upper,
    "path": lambda text: "/" + text.lstrip("/"),
    "probability": float,
    "seed": int,
    "seconds": float,
    "size": int,
    "to": _origin,
    "param": str,
    "after": _yes,
}


@dataclass(frozen=True, slots=True)
class Fired:
    """A fault that struck: which call it was, never its query.

    Calls are counted from 1, and so are webhooks and landings, each for themselves.
    """

    call: int
    method: str
    path: str
    fault: Fault


@dataclass(slots=True)
class _Rule:
    fault: Fault
    seen: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.fault.seed)  # noqa: S311 (it must be repeatable)

    def strikes(self) -> bool:
        """Whether this matching call is hit; to be asked once a call."""
        fault = self.fault
        self.seen += 1
        if fault.probability is not None:
            return self.dice.random() < fault.probability
        if fault.nth is None and fault.times is None:
            return True
        first = fault.nth or 1
        return first <= self.seen < first + (fault.times or 1)


class Faults:
    """The fault switch around an application; safe to turn from another thread.

    `base` is the path under which the server lives and which `path=` leaves out. `exempt` begins
    the paths that no fault strikes and no rule counts. `expire` and `revoke` are told to end the
    access tokens, or the clients' rights, that the server has given out; without them the token
    faults answer 401 themselves. `next_link` sets or removes the link to the next page in a parsed
    document of this server.
    """

    def __init__(
        self,
        app: ASGIApp,
        faults: Iterable[Fault | str] = (),
        *,
        base: str = "",
        exempt: str | None = None,
        clock: Clock | None = None,
        expire: Callable[[], None] | None = None,
        revoke: Callable[[], None] | None = None,
        next_link: Next = set_next,
    ) -> None:
        self._app = app
        self._base = base.rstrip("/")
        self._exempt = exempt
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []
        self._fired: list[Fired] = []
        self._counts: Counter[str] = Counter()
        self.clock: Clock = clock or SystemClock()
        self.expire = expire
        self.revoke = revoke
        self.next_link = next_link
        self.add(*faults)

    def add(self, *faults: Fault | str) -> None:
        """Turn these faults on, beside those that are on already."""
        new = [_Rule(Fault.parse(f) if isinstance(f, str) else f) for f in faults]
        with self._lock:
            self._rules += new

    def clear(self) -> None:
        """Turn every fault off and forget what struck; calls are counted from 1 again."""
        with self._lock:
            self._rules = []
            self._fired = []
            self._counts.clear()

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that are on, spent ones included."""
        with self._lock:
            return tuple(rule.fault for rule in self._rules)

    @property
    def fired(self) -> tuple[Fired, ...]:
        """What struck, in order."""
        with self._lock:
            return tuple(self._fired)

    @property
    def calls(self) -> int:
        """How many calls came in since the start or the last `clear`."""
        with self._lock:
            return self._counts["call"]

    def script(self, text: str) -> None:
        """Turn these faults, a line or a word each, on instead of those that are. ConfigError."""
        faults = [Fault.parse(word) for word in text.split()]
        self.clear()
        self.add(*faults)

    def report(self) -> dict[str, Any]:
        """What is on, what struck, and the script that strikes the same again."""
        return {
            "calls": self.calls,
            "faults": [str(f) for f in self.active],
            "fired": [{"call": f.call, "fault": str(f.fault)} for f in self.fired],
            "replay": [str(f) for f in self.replay()],
        }

    def replay(self) -> tuple[Fault, ...]:
        """What struck, as faults by call number: they strike the same calls of the same run."""
        return tuple(
            replace(f.fault, nth=f.call, times=None, probability=None, method=None, path=None)
            for f in self.fired
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exempt = self._exempt is not None and scope.get("path", "").startswith(self._exempt)
        if scope["type"] != "http" or exempt:
            await self._app(scope, receive, send)
            return
        app = self._app
        # The first that is on lies outermost: a delay before a lost reply is both.
        for fault in reversed(self.strikes("call", scope["method"], scope["path"])):
            app = effects.Struck(self, fault, app)
        await app(scope, receive, send)

    def strikes(self, of: str, method: str, path: str) -> Sequence[Fault]:
        """What strikes the next call, webhook or landing; asked once for each, it counts them."""
        below = path.removeprefix(self._base) if of == "call" else path
        with self._lock:
            self._counts[of] += 1
            rules = [r for r in self._rules if KINDS[r.fault.name].of == of]
            hit = [r.fault for r in rules if r.fault.matches(method, below) and r.strikes()]
            self._fired += [Fired(self._counts[of], method, path, fault) for fault in hit]
        return hit
