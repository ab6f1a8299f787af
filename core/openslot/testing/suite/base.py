"""What makes a check a check: its law, what it applies to, and that nobody skips it quietly."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from openslot.connector import Capabilities, Claim
from openslot.testing.auth import ApiKey, SandboxAuth
from openslot.testing.suite.wire import Stage

if TYPE_CHECKING:
    from openslot.connector import Connector
    from openslot.testing.sandbox import Sandbox
    from openslot.testing.suite.bench import Bench
    from openslot.testing.suite.foreign import Foreign, Reader, Stay

__all__ = ["NOT_APPLICABLE", "SUITE_VERSION", "Check", "Suite", "check", "xfail"]

SUITE_VERSION = "1"
"""The newest version of the suite in this release."""
NOT_APPLICABLE = "not applicable: "
"""How the reason of a skip begins that the suite itself decided on."""

Body = Callable[[Any, "Bench"], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Check:
    """What a check is about, and when it applies.

    `law` is a law's number, 0 for the contract itself. It applies where every verb of `verbs` can
    be called, every trait of `claims` is claimed, none of `unclaimed` is, and, for `wire`, where
    requests travel that can be looked at. `options` go to the sandbox.
    """

    name: str
    law: int
    verbs: tuple[str, ...]
    claims: tuple[str, ...] = ()
    unclaimed: tuple[str, ...] = ()
    wire: bool = False
    since: str = "1"
    options: Mapping[str, Any] = field(default_factory=dict)
    doc: str = ""

    def inapplicable(self, can: Capabilities, *, wired: bool) -> str | None:
        """Why it does not apply to a connector that can do this; None where it does."""
        traits = can.traits
        lacking = [v for v in self.verbs if not can.can(v)]
        if lacking:
            return f"it cannot {', '.join(lacking)}"
        for trait in self.claims:
            if getattr(traits, trait) is not Claim.YES:
                return f"{trait} is {getattr(traits, trait).value}"
        for trait in self.unclaimed:
            if getattr(traits, trait) is Claim.YES:
                return f"{trait} is claimed, and tested instead"
        if self.wire and not wired:
            return "nothing travels between it and its system that could be looked at"
        return None


def check(
    law: int,
    *verbs: str,
    claims: tuple[str, ...] = (),
    unclaimed: tuple[str, ...] = (),
    wire: bool = False,
    since: str = "1",
    **options: Any,
) -> Callable[[Body], Callable[..., None]]:
    """Make a coroutine function over a `Bench` one of the suite's checks."""

    def make(body: Body) -> Callable[..., None]:
        name: str = body.__name__
        spec = Check(
            name, law, verbs, claims, unclaimed, wire, since, options, (body.__doc__ or "").strip()
        )

        def run(self: Suite, tmp_path: Path) -> None:
            __tracebackhide__ = True
            with asyncio.Runner() as runner:
                runner.run(self._carry_out(spec, body, tmp_path))

        run.__name__, run.__qualname__ = name, body.__qualname__
        run.__doc__, run.__module__ = body.__doc__, body.__module__
        run.__dict__["openslot_check"] = spec
        return run

    return make


class xfail:
    """Stands for a check that the vendor makes impossible: `test_x = xfail(reason="...")`.

    The suite's own check still runs; the day it passes, the run fails until the line is removed.
    """

    def __init__(self, *, reason: str) -> None:
        if not reason.strip():
            raise ValueError("an xfail says why: reason is empty")
        self.reason = reason


class Suite:
    """The machinery of `ConnectorSuite`, whose class attributes and methods an author fills in."""

    suite_version: ClassVar[str | None] = None
    """The version of the suite that a run has to pass: checks of newer ones are reported only."""
    auth: ClassVar[type[SandboxAuth] | None] = ApiKey
    """How the sandbox asks who is calling, of `openslot.testing.auth`; None: as it does itself."""
    zone: ClassVar[str] = "America/New_York"
    """Where the clinic is, in the checks that are not about zones."""

    foreign: ClassVar[Foreign | None] = None
    """The server that is not a sandbox, where the suite is to run against one."""
    left_standing: ClassVar[tuple[str, ...]] = ()
    """Ids of what a run could not cancel on such a server."""

    _stage: ClassVar[Stage]
    _left_out: ClassVar[tuple[str, ...]] = ()

    def make_sandbox(self, **options: Any) -> Sandbox:
        """The vendor's sandbox; `options` are those of `openslot.testing.sandbox.Sandbox`."""
        raise NotImplementedError("write make_sandbox(self, **options): return YourSandbox(...)")

    def make_connector(self, settings: dict[str, Any], **options: Any) -> Connector:
        """The connector; `options` are its `zone`, `practice` and `clock`."""
        raise NotImplementedError("write make_connector(self, settings, **options)")

    def make_reader(self, foreign: Foreign) -> Reader | None:
        """What reads the truth on a foreign server, past the connector; None where nothing does."""
        return None

    def stay(self) -> Stay:
        """Arrive at the foreign server. Raises ConfigError where the account is not fit."""
        from zoneinfo import ZoneInfo

        from openslot.testing.suite.foreign import Stay

        assert self.foreign is not None

        def make(settings: dict[str, Any], **options: Any) -> Connector:
            options = {"zone": ZoneInfo(self.zone), "practice": "conformance", **options}
            return self.make_connector(settings, **options)

        return Stay(self.foreign, make, self.make_reader(self.foreign))

    # how it runs

    @classmethod
    def setup_class(cls) -> None:
        """Open the server that all checks of the class share; starting one takes 0.1 s."""
        cls._stage = Stage()

    @classmethod
    def teardown_class(cls) -> None:
        """Close it."""
        if cls._stage.stay is not None:
            cls.left_standing = cls._stage.stay.left()
        cls._stage.close()

    async def _carry_out(self, spec: Check, body: Body, directory: Path) -> None:
        __tracebackhide__ = True
        bench_type = self._bench_type()
        stage = self._stage
        if stage.known is None:
            async with bench_type(self, stage, directory, {}) as bench:
                stage.known = (bench.connector.capabilities, bench.wired, bench.registers)
        can, wired, registers = stage.known
        why = spec.inapplicable(can, wired=wired)
        if why is None and not registers and "create_patient" in spec.verbs:
            why = "who is registered on this server stays there"
        if why is not None:
            pytest.skip(NOT_APPLICABLE + why)
        async with bench_type(self, stage, directory, dict(spec.options)) as bench:
            await body(self, bench)

    def _bench_type(self) -> type[Bench]:
        if self.foreign is not None:
            from openslot.testing.suite.away import ForeignBench

            return ForeignBench
        from openslot.testing.suite.bench import Bench

        return Bench

    # nobody skips quietly

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__module__.startswith("openslot.testing.suite."):
            return
        left_out = []
        for name, original in checks_of(cls):
            mine = getattr(cls, name)
            spec: Check = original.__dict__["openslot_check"]
            if isinstance(mine, xfail):
                setattr(cls, name, _marked(original, mine.reason, strict=True))
            elif mine is not original and not getattr(mine, "openslot_xfail", False):
                left_out.append(name)
            elif cls.suite_version is not None and _newer(spec.since, cls.suite_version):
                reason = f"new in suite version {spec.since}; this run is for {cls.suite_version}"
                setattr(cls, name, _marked(original, reason, strict=False))
        cls._left_out = tuple(left_out)
        keeper = "test_nothing_is_left_out"
        setattr(cls, keeper, Suite.__dict__[keeper])  # this one cannot be overridden

    def test_nothing_is_left_out(self, request: pytest.FixtureRequest) -> None:
        """Every check of the suite runs as the suite wrote it.

        If it fails: remove the override, or write `test_name = xfail(reason="...")` in its place;
        remove marks and hooks that skip; pin `suite_version`.
        """
        assert not self._left_out, (
            f"overridden or deleted without xfail(reason=...): {', '.join(self._left_out)}"
        )
        assert self.suite_version is not None, f'write suite_version = "{SUITE_VERSION}"'
        assert not _newer(self.suite_version, SUITE_VERSION), (
            f"suite_version {self.suite_version} is newer than the installed suite "
            f"({SUITE_VERSION}): upgrade openslot"
        )
        stray = sorted(
            f"{item.name} ({mark.name})"
            for item in request.session.items
            if getattr(item, "cls", None) is type(self)
            for mark in item.iter_markers()
            if mark.name in {"skip", "skipif", "xfail"}
            if not getattr(getattr(type(self), item.name, None), "openslot_xfail", False)
        )
        assert not stray, f"marked from outside: {', '.join(stray)}"


def checks_of(cls: type) -> Iterator[tuple[str, types.FunctionType]]:
    """The checks that a suite class inherits from this package, as they were written."""
    seen = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("openslot.testing.suite."):
            continue
        for name, value in vars(base).items():
            if name not in seen and "openslot_check" in getattr(value, "__dict__", {}):
                seen.add(name)
                yield name, value


def _marked(original: types.FunctionType, reason: str, *, strict: bool) -> types.FunctionType:
    """A copy of the check that is expected to fail; the original belongs to everybody."""
    copy = types.FunctionType(
        original.__code__,
        original.__globals__,
        original.__name__,
        original.__defaults__,
        original.__closure__,
    )
    copy.__dict__.update(original.__dict__)
    copy.__dict__["openslot_xfail"] = True
    copy.__doc__, copy.__qualname__ = original.__doc__, original.__qualname__
    marked: types.FunctionType = pytest.mark.xfail(reason=reason, strict=strict)(copy)
    return marked


def _newer(one: str, other: str) -> bool:
    return int(one) > int(other)
