"""The checks of `openslot doctor`, each a line with ok, warn or fail and a sentence that helps."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from openslot.call import call
from openslot.connector import VERBS, Claim, Connector
from openslot.errors import ConfigError, OpenSlotError, Rejected, Unsupported
from openslot.model import SlotQuery, Window

if TYPE_CHECKING:
    from openslot.connector import ProbeReport
    from openslot.practice import Practice

__all__ = ["Check", "Doctor"]

SKEW = timedelta(seconds=5)
"""More than this shows in times that are compared; signed tokens bear about a minute."""
PROBE_SECONDS = 15.0
DAY = timedelta(days=1)
_ASKS_NOTHING = Connector.probe
READ_SPAN = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `exit_code` is that of the error, where it failed."""

    name: str
    state: str
    message: str
    code: str | None = None
    exit_code: int = 0
    milliseconds: float | None = None

    def shape(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "code": self.code,
            "milliseconds": self.milliseconds,
        }


@dataclass(slots=True)
class Doctor:
    """One look at one practice. Everything that can be looked at is, whatever failed before."""

    practice: Practice
    journal: str | Path
    checks: list[Check] = field(default_factory=list)
    report: ProbeReport | None = None
    withheld: dict[str, str] = field(default_factory=dict)

    async def examine(self, *, write_probe: bool) -> Connector | None:
        """Look at everything; the connector, where the settings lead to one."""
        connector = self._settings()
        await self._journal()
        self._keys()
        if connector is None:
            return None
        async with connector:
            if await self._reach(connector):
                await self._read(connector)
                self._can(connector)
                self._promises(connector)
                if write_probe:
                    await self._write(connector)
        return connector

    def _ok(self, name: str, message: str, milliseconds: float | None = None) -> None:
        self.checks.append(Check(name, "ok", message, milliseconds=milliseconds))

    def _warn(self, name: str, message: str) -> None:
        self.checks.append(Check(name, "warn", message))

    def _fail(self, name: str, error: OpenSlotError) -> None:
        self.checks.append(Check(name, "fail", str(error), error.code, error.exit_code))

    def _settings(self) -> Connector | None:
        try:
            connector = self.practice.open()
        except OpenSlotError as error:
            self._fail("settings", error)
            return None
        self._ok("settings", f"{connector.info.title}; every setting and secret was found")
        return connector

    async def _journal(self) -> None:
        from openslot.journal import Journal

        journal = Journal(self.journal)
        path = journal.path
        if path is not None and not path.exists():
            folder = path.parent
            if folder.is_dir() and os.access(folder, os.W_OK):
                self._ok("journal", f"{path} will be made on first use")
            else:
                self._fail("journal", ConfigError(f"the folder of {path} cannot be written to"))
            return
        try:
            async with journal:
                left = len(await journal.unfinished(self.practice.name))
        except OpenSlotError as error:
            self._fail("journal", error)
            return
        where = path or "the journal's database"
        if left:
            self._warn("journal", f"{where}: {left} unsettled; run `openslot recover`")
        else:
            self._ok("journal", f"{where}: nothing is unsettled")

    def _keys(self) -> None:
        from openslot.journal import Journal
        from openslot.keys import Keys

        path = Journal(self.journal).path
        beside = path.with_name(path.name + ".keys") if path else None
        own = bool(self.practice.signing_key and self.practice.sealing_keys)
        if not own and beside is not None and not beside.exists():
            if path is not None and path.exists():
                self._warn(
                    "keys",
                    f"{beside} is gone: intents of the journal cannot be asked for any more; "
                    f"restore it from a backup",
                )
            else:
                self._ok("keys", f"{beside} will be made on first use, for its owner only")
            return
        try:
            Keys.of(self.practice, None if own else beside)
        except OpenSlotError as error:
            self._fail("keys", error)
            return
        if own:
            self._ok("keys", "signing and sealing keys come from the settings")
        elif beside is None:
            self._warn(
                "keys", "no file holds the keys, so they end with the process; name your own"
            )
        else:
            self._ok("keys", f"{beside} can be read by its owner only")

    async def _reach(self, connector: Connector) -> bool:
        if type(connector).probe is _ASKS_NOTHING:
            return True
        begun = time.perf_counter()
        try:
            with call(seconds=PROBE_SECONDS):
                report = await connector.probe()
        except OpenSlotError as error:
            self._fail("reach", error)
            return False
        self.report = report
        took = (time.perf_counter() - begun) * 1000
        self._ok("reach", f"{report.server or 'the server'} answers", took)
        for note in report.notes:
            self._warn("server", note)
        if report.skew is None:
            self._ok("clock", "the server's answers carry no time to compare")
        elif abs(report.skew) > SKEW:
            seconds = report.skew.total_seconds()
            self._warn(
                "clock",
                f"the server's clock is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
                f"; set this machine's by NTP, or have theirs set",
            )
        else:
            self._ok("clock", f"{abs(report.skew.total_seconds()):.0f} s apart")
        return True

    async def _read(self, connector: Connector) -> None:
        """Read an hour of tomorrow: what a server shows to everybody proves no credential."""
        if not connector.capabilities.can("find_slots"):
            return
        begins = connector.clock.now().replace(minute=0, second=0, microsecond=0) + DAY
        begun = time.perf_counter()
        try:
            with call(seconds=PROBE_SECONDS):
                found = await connector.find_slots(SlotQuery(Window(begins, begins + READ_SPAN)))
        except Rejected as error:
            self._warn("read", f"let in, but free slots need more than a window: {error}")
            return
        except OpenSlotError as error:
            self._fail("read", error)
            return
        took = (time.perf_counter() - begun) * 1000
        if found.missing:
            self._warn("read", f"free slots could be read in part only: {found.missing[0].why}")
        else:
            self._ok("read", f"free slots can be read ({len(found.items)} in one hour)", took)

    def _can(self, connector: Connector) -> None:
        can = connector.capabilities.verbs
        for verb in VERBS:
            if verb not in can:
                try:
                    connector.require(verb)
                except Unsupported as error:
                    self.withheld[verb] = error.message
        if self.report is not None:
            self.withheld |= {v: why for v, why in self.report.withheld.items() if v not in can}
        self._ok("can", ", ".join(v for v in VERBS if v in can))
        denied = set(self.report.withheld if self.report else ()) - can
        for verb in (v for v in VERBS if v in denied):
            self._warn("cannot", f"{verb}: {self.withheld[verb]}")
        if "find_slots" not in can or "book" not in can:
            self._fail("cannot", Unsupported("without find_slots and book nothing can be booked"))

    def _promises(self, connector: Connector) -> None:
        """Whether bookings here can be called confirmed (laws 5 and 7)."""
        can = connector.capabilities.can
        if not (can("find_booking") or can("get_appointment")):
            self._warn("proof", "bookings cannot be read back, so none is called confirmed")
        elif connector.traits.conflict_enforcement is Claim.YES:
            self._ok("proof", "bookings are read back, and the system refuses double bookings")
        elif can("find_conflicts") and can("cancel"):
            self._ok("proof", "bookings are read back, and checked for overlaps by us")
        elif self.practice.rules.confirm_unproven:
            self._warn(
                "proof", "overlaps cannot be seen; confirm_unproven calls it confirmed all the same"
            )
        else:
            self._warn("proof", "overlaps cannot be seen, so bookings are requested, not confirmed")

    async def _write(self, connector: Connector) -> None:
        begun = time.perf_counter()
        try:
            with call(seconds=60.0):
                findings = await connector.doctor_write_probe()
        except OpenSlotError as error:
            self._fail("write", error)
            return
        took = (time.perf_counter() - begun) * 1000
        for finding in findings or ("this connector has nothing to find out by writing",):
            self._ok("write", finding, took)
