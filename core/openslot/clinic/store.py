"""The file: one held connection behind a lock, transactions, ids, the change log."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self
from zoneinfo import ZoneInfo

from openslot.clinic.records import Manners
from openslot.clinic.schema import SCHEMA, SCHEMA_VERSION, TAKEN
from openslot.clock import Clock, SystemClock
from openslot.errors import ConfigError, NotFound, SlotTaken, Unavailable
from openslot.model import Change, ChangeKind, Changes

__all__ = ["Store", "local", "not_found", "seconds"]

_ID = re.compile(r"[A-Za-z0-9-]{1,16}")
_BUSY_SECONDS = 10.0
_SWITCH_ATTEMPTS = 200
_CURSOR_DIGITS = 18


def seconds(span: timedelta) -> int:
    """Whole seconds of a duration."""
    return span // timedelta(seconds=1)


def _not_a_clinic(error: sqlite3.Error) -> ConfigError:
    return ConfigError(
        "the clinic's database cannot be opened: give the path of a file that OpenSlot "
        f"created and that this user may write, or one that does not exist yet ({error})"
    )


def local(instant: int, zone: ZoneInfo) -> datetime:
    """The instant as clocks of the zone show it, with its offset instead of the zone.

    Two datetimes of one ZoneInfo compare by what the clock shows, which puts the second pass of a
    repeated hour beside the first; with offsets they compare and subtract as what they are.
    """
    shown = datetime.fromtimestamp(instant, zone)
    offset = shown.utcoffset()
    assert offset is not None
    return shown.replace(tzinfo=_fixed(offset), fold=0)


@lru_cache(maxsize=256)
def _fixed(offset: timedelta) -> timezone:
    return timezone(offset)


def not_found(what: str) -> NoReturn:
    """Raise NotFound without repeating what was asked for."""
    raise NotFound(f"the clinic has no such {what}", sent=False)


class Store(ABC):
    """What every part of the clinic stands on."""

    def __init__(
        self,
        path: str | Path = ":memory:",
        *,
        clock: Clock | None = None,
        manners: Manners | None = None,
        hold_for: timedelta = timedelta(minutes=5),
    ) -> None:
        self.clock: Clock = clock or SystemClock()
        self.manners = manners or Manners()
        self.hold_for = hold_for
        self._lock = threading.RLock()
        self._depth = 0
        try:
            self._db = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _not_a_clinic(error) from error
        try:
            self._db.row_factory = sqlite3.Row
            self._write_ahead()
            # A booking that was confirmed on the phone survives a power cut.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            with self.transaction(tidy=False):
                self._prepare(manners)
        except sqlite3.Error as error:
            self._db.close()
            raise _not_a_clinic(error) from error
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Safe to call twice."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self, *, tidy: bool = True) -> Iterator[None]:
        """Several writes as one: all or nothing. Nests. Writers of other processes wait."""
        with self._lock:
            if self._depth:
                with self._savepoint():
                    yield
                return
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise Unavailable(
                    "the clinic's database is busy or cannot be written", sent=False
                ) from error
            self._depth = 1
            try:
                if tidy:
                    self._drop_expired_holds()
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                # SQLite may have rolled back by itself (disk full); a second time is an error.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise Unavailable(
                        "the clinic's database could not be written", sent=False
                    ) from error
                raise
            finally:
                self._depth = 0

    @contextmanager
    def _savepoint(self) -> Iterator[None]:
        """A write inside another: where it fails and the outer one goes on, it left nothing."""
        name = f"depth_{self._depth}"
        self._db.execute(f"SAVEPOINT {name}")
        self._depth += 1
        try:
            yield
        except BaseException:
            if self._db.in_transaction:
                self._db.execute(f"ROLLBACK TO {name}")
            raise
        finally:
            self._depth -= 1
            if self._db.in_transaction:
                self._db.execute(f"RELEASE {name}")

    def _write_ahead(self) -> None:
        """Switch to a write-ahead log, so that readers do not wait for writers.

        Several processes may open a new file at once, and SQLite does not wait for its lock here.
        """
        for attempt in range(_SWITCH_ATTEMPTS):
            try:
                if self._db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if attempt == _SWITCH_ATTEMPTS - 1:
                    raise
                time.sleep(_BUSY_SECONDS / _SWITCH_ATTEMPTS)

    def _prepare(self, manners: Manners | None) -> None:
        version: int = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            if self._one("SELECT 1 FROM sqlite_master"):
                raise ConfigError(
                    "the database holds other tables: give the clinic a file of its own"
                )
            for statement in _statements(SCHEMA):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            manners = manners or Manners()
        elif version != SCHEMA_VERSION:
            raise ConfigError(
                f"the clinic's database has format {version}, this release reads {SCHEMA_VERSION}"
            )
        if manners is not None:
            self._db.execute(
                "INSERT OR REPLACE INTO setting VALUES ('enforce_conflicts', ?)",
                (str(int(manners.enforce_conflicts)),),
            )

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        """Run one statement on tables of one's own in the clinic's file: the rows it gives.

        Inside `transaction` it is part of it; the clinic's own tables are not for writing.
        """
        with self._lock:
            return self._db.execute(sql, tuple(parameters)).fetchall()

    def copy_into(self, other: Store) -> None:
        """Make another store, in memory or in a new file, equal to this one as it now stands."""
        with self._lock, other._lock:
            self._db.backup(other._db)

    # reading

    def _all(self, sql: str, parameters: Iterable[Any] = ()) -> list[sqlite3.Row]:
        with self._lock:
            try:
                return self._db.execute(sql, tuple(parameters)).fetchall()
            except sqlite3.OperationalError as error:
                raise Unavailable("the clinic's database cannot be read", sent=False) from error

    def _one(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Row | None:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    def _run(self, sql: str, parameters: Iterable[Any] = ()) -> int:
        """Execute a write inside the open transaction; how many rows it touched."""
        assert self._depth, "writes happen in a transaction"
        return self._db.execute(sql, tuple(parameters)).rowcount

    @property
    def enforces_conflicts(self) -> bool:
        """Whether the file refuses overlaps, whoever writes to it."""
        row = self._one("SELECT value FROM setting WHERE name = 'enforce_conflicts'")
        return row is None or row["value"] != "0"

    @staticmethod
    def _taken_or(error: sqlite3.IntegrityError) -> Exception:
        """SlotTaken where a trigger refused an overlap, else the error itself."""
        return SlotTaken(sent=False) if TAKEN in str(error) else error

    def _now(self) -> int:
        return int(self.clock.now().timestamp())

    # ids and changes

    def _next_id(self, prefix: str) -> str:
        self._run(
            "INSERT INTO counter VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            (prefix,),
        )
        row = self._one("SELECT value FROM counter WHERE name = ?", (prefix,))
        assert row is not None
        return f"{prefix}-{row['value']}"

    def _changed(self, kind: ChangeKind, type: str, id: str) -> None:
        self._run(
            "INSERT INTO change (at, kind, type, id) VALUES (?, ?, ?, ?)",
            (self._now(), kind.value, type, id),
        )

    def changes(self, cursor: str | None = None, *, limit: int = 100) -> Changes:
        """What changed after the cursor, oldest first; None answers the cursor that means "now".

        Reading takes nothing away. "0" is the beginning. Types are "Appointment", "Patient",
        "Slot" (an opening was claimed, held, booked or freed) and "Schedule". Raises ValueError for
        a cursor that is none.
        """
        if cursor is None:
            row = self._one("SELECT COALESCE(MAX(seq), 0) AS seq FROM change")
            assert row is not None
            return Changes((), str(row["seq"]))
        if not cursor.isascii() or not cursor.isdigit() or len(cursor) > _CURSOR_DIGITS:
            raise ValueError("a cursor is a decimal number that `changes` gave out")
        rows = self._all(
            "SELECT * FROM change WHERE seq > ? ORDER BY seq LIMIT ?", (int(cursor), limit + 1)
        )
        items = tuple(
            Change(
                ChangeKind(row["kind"]),
                row["type"],
                row["id"],
                datetime.fromtimestamp(row["at"], UTC),
            )
            for row in rows[:limit]
        )
        last = str(rows[:limit][-1]["seq"]) if items else cursor
        return Changes(items, last, more=len(rows) > limit)

    # idempotency

    def _done(self, verb: str, intent: str | None) -> tuple[str, str] | None:
        """(what was asked, the record it led to) where this intent was carried out before."""
        if intent is None:
            return None
        row = self._one(
            "SELECT asked, record FROM intent WHERE verb = ? AND intent = ?", (verb, intent)
        )
        return (row["asked"], row["record"]) if row else None

    def _carried_out(self, verb: str, intent: str | None, asked: str, record: str) -> None:
        if intent is not None:
            self._run("INSERT INTO intent VALUES (?, ?, ?, ?)", (verb, intent, asked, record))

    @abstractmethod
    def _drop_expired_holds(self) -> None:
        """Give back the time of holds that are over, before anything looks at what is taken."""

    @staticmethod
    def _check_id(id: str, what: str) -> None:
        if not _ID.fullmatch(id):
            raise ValueError(f"the id of a {what} is 1 to 16 letters, digits and hyphens")


def pack(value: Any) -> str:
    """A small value as JSON text for a column."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit the transaction."""
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
