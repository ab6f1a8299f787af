"""The journal: one held connection on one thread, one durable commit a transition.

SQLAlchemy Core over SQLite in a file (WAL, synchronous=FULL) by default. Every transition checks
the fence: a worker that was taken for dead and comes back finds that its entry moved on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from openslot.errors import ConfigError, KeyReused
from openslot.journal.owner import new_owner, surely_dead
from openslot.journal.states import ALLOWED, State

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Row

__all__ = ["FILE_NAME", "Entry", "Journal", "LeaseLost", "OfferRow"]

T = TypeVar("T")

FILE_NAME = "openslot-journal.db"
"""What the journal's file is called where nobody says: beside the practices' settings."""

LEASE_SECONDS = 15.0
"""How long a worker's silence is taken for work. Renewed while it works."""


class LeaseLost(Exception):
    """Another worker took this entry over; read it again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One intent as the journal has it. `facts` and `result` are free of a patient's data but for
    the vendor's patient id; `payload` is sealed."""

    practice: str
    marker: str
    verb: str
    fingerprint: str
    parent: str | None
    state: State
    final: bool
    facts: Mapping[str, Any]
    payload: str | None
    result: Mapping[str, Any] | None
    target: str | None
    appointment: str | None
    created: float
    sent: float | None
    updated: float
    owner: str | None
    lease: float | None
    fence: int


@dataclass(frozen=True, slots=True)
class OfferRow:
    """An offer that was read out: the slot as JSON, and until when a first use is taken."""

    slot: str
    expires: float


class Journal:
    """Where the desk writes down what it is about to do. Use it as `async with`.

    `where` is a file's path, ":memory:", or an SQLAlchemy URL.
    """

    def __init__(self, where: str | Path) -> None:
        text = str(where)
        self.url = text if "://" in text else f"sqlite:///{text}"
        self.owner = new_owner()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="openslot-journal")
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    @property
    def path(self) -> Path | None:
        """The file, None for a journal in memory or on a server."""
        name = self.url.removeprefix("sqlite:///")
        return None if name in {self.url, ":memory:"} else Path(name)

    async def __aenter__(self) -> Self:
        await self._run(self._open)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection. Safe to call twice."""
        if self._connection is not None:
            await self._run(self._close)
        self._thread.shutdown(wait=False)

    # intents

    async def begin(
        self,
        practice: str,
        marker: str,
        *,
        verb: str,
        fingerprint: str,
        facts: Mapping[str, Any],
        payload: str | None,
        target: str | None = None,
        parent: str | None = None,
        now: float,
    ) -> tuple[Entry, bool]:
        """Record an intent, leased to us; or find the one that has this marker.

        The second value says whether it is new. Raises KeyReused where the marker stands for
        another request.
        """

        def work(c: Connection) -> tuple[Entry, bool]:
            from openslot.journal.schema import intents

            found = self._get(c, practice, marker)
            if found is None:
                c.execute(
                    intents.insert().values(
                        practice=practice,
                        marker=marker,
                        verb=verb,
                        fingerprint=fingerprint,
                        parent=parent,
                        state=State.RECORDED,
                        final=False,
                        facts=json.dumps(facts),
                        payload=payload,
                        target=target,
                        created=now,
                        updated=now,
                        owner=self.owner,
                        lease=now + LEASE_SECONDS,
                        fence=1,
                    )
                )
                found = self._get(c, practice, marker)
                assert found is not None  # (inserted one line above, same transaction)
                return found, True
            if (found.verb, found.fingerprint) != (verb, fingerprint):
                raise KeyReused(
                    "this key already stands for another request; a new intent needs a new key",
                    sent=False,
                )
            return found, False

        return await self._transact(work)

    async def get(self, practice: str, marker: str) -> Entry | None:
        """The entry of this marker."""
        return await self._transact(lambda c: self._get(c, practice, marker))

    async def take(self, entry: Entry, now: float) -> Entry | None:
        """The entry, leased to us; None while somebody else is at work on it, or it is final."""

        def work(c: Connection) -> Entry | None:
            found = self._get(c, entry.practice, entry.marker)
            if found is None or found.final:
                return None
            free = found.owner is None or found.lease is None or found.lease <= now
            if not (free or found.owner == self.owner or surely_dead(found.owner or "")):
                return None
            self._update(
                c, found, owner=self.owner, lease=now + LEASE_SECONDS, fence=found.fence + 1
            )
            return self._get(c, entry.practice, entry.marker)

        return await self._transact(work)

    async def renew(self, entry: Entry, now: float) -> None:
        """Say that we are still at work. Raises LeaseLost."""
        await self._transact(lambda c: self._update(c, entry, lease=now + LEASE_SECONDS))

    async def let_go(self, entry: Entry, now: float) -> None:
        """End our lease, so that whoever comes next need not wait for it."""

        def work(c: Connection) -> None:
            self._update(c, entry, owner=None, lease=None, updated=now)

        try:
            await self._transact(work)
        except LeaseLost:
            return

    async def step(self, entry: Entry, step: str, now: float) -> None:
        """Record that the first byte of a write is about to leave. Raises LeaseLost."""

        def work(c: Connection) -> None:
            from sqlalchemy import func, select

            from openslot.journal.schema import steps

            where = (steps.c.practice == entry.practice) & (steps.c.marker == entry.marker)
            count = c.execute(select(func.count()).select_from(steps).where(where)).scalar_one()
            current = self._get(c, entry.practice, entry.marker)
            sent = State.SENT if current and current.state is State.RECORDED else None
            self._update(
                c, entry, sent=now, updated=now, **({"state": sent} if sent is not None else {})
            )
            c.execute(
                steps.insert().values(
                    practice=entry.practice,
                    marker=entry.marker,
                    number=count + 1,
                    step=step,
                    at=now,
                )
            )

        await self._transact(work)

    async def steps_of(self, entry: Entry) -> tuple[str, ...]:
        """The names of the writes that left, or were about to leave, in order."""

        def work(c: Connection) -> tuple[str, ...]:
            from sqlalchemy import select

            from openslot.journal.schema import steps

            rows = c.execute(
                select(steps.c.step)
                .where(steps.c.practice == entry.practice, steps.c.marker == entry.marker)
                .order_by(steps.c.number)
            )
            return tuple(str(r.step) for r in rows)

        return await self._transact(work)

    async def advance(
        self,
        entry: Entry,
        state: State,
        now: float,
        *,
        result: Mapping[str, Any] | None = None,
        appointment: str | None = None,
        final: bool = False,
    ) -> Entry:
        """Move an entry on; a final one loses its payload and its lease.

        Raises LeaseLost. Raises ValueError for a transition that the table does not allow: a
        defect of ours, never a vendor's.
        """

        def work(c: Connection) -> Entry:
            found = self._get(c, entry.practice, entry.marker)
            if found is None or found.fence != entry.fence:
                raise LeaseLost
            if state is not found.state and state not in ALLOWED[found.state]:
                raise ValueError(f"an intent does not go from {found.state} to {state}")
            values: dict[str, Any] = {"state": state, "final": final, "updated": now}
            if result is not None:
                values["result"] = json.dumps(result)
            if appointment is not None:
                values["appointment"] = appointment
            if final:
                values |= {"payload": None, "owner": None, "lease": None}
            self._update(c, entry, **values)
            moved = self._get(c, entry.practice, entry.marker)
            assert moved is not None  # (updated one line above, same transaction)
            return moved

        return await self._transact(work)

    async def note(self, entry: Entry, facts: Mapping[str, Any], now: float) -> Entry:
        """Add facts to an entry before it is sent. Raises LeaseLost."""
        merged = {**entry.facts, **facts}

        def work(c: Connection) -> Entry:
            self._update(c, entry, facts=json.dumps(merged), updated=now)
            found = self._get(c, entry.practice, entry.marker)
            assert found is not None  # (updated one line above, same transaction)
            return found

        return await self._transact(work)

    async def forget(self, entry: Entry) -> None:
        """Delete an intent of which nothing left: its key is unused. Raises LeaseLost."""

        def work(c: Connection) -> None:
            from openslot.journal.schema import intents

            gone = c.execute(intents.delete().where(*_is(entry)))
            if gone.rowcount != 1:
                raise LeaseLost

        await self._transact(work)

    async def unfinished(self, practice: str) -> tuple[Entry, ...]:
        """The entries that are not final, oldest first; parts of a larger one left out."""

        def work(c: Connection) -> tuple[Entry, ...]:
            from sqlalchemy import select

            from openslot.journal.schema import intents

            rows = c.execute(
                select(intents)
                .where(
                    intents.c.practice == practice,
                    intents.c.final.is_(False),
                    intents.c.parent.is_(None),
                )
                .order_by(intents.c.created)
                .limit(1000)
            )
            return tuple(_entry(r) for r in rows)

        return await self._transact(work)

    async def of_target(self, practice: str, appointment: str) -> tuple[Entry, ...]:
        """The verified cancellations and moves of this appointment, oldest first."""

        def work(c: Connection) -> tuple[Entry, ...]:
            from sqlalchemy import select

            from openslot.journal.schema import intents

            rows = c.execute(
                select(intents)
                .where(
                    intents.c.practice == practice,
                    intents.c.target == appointment,
                    intents.c.state == State.VERIFIED,
                    intents.c.parent.is_(None),
                )
                .order_by(intents.c.created)
                .limit(100)
            )
            return tuple(_entry(r) for r in rows)

        return await self._transact(work)

    # offers

    async def add_offers(
        self,
        practice: str,
        conversation: str,
        offers: Iterable[tuple[str, str]],
        *,
        now: float,
        expires: float,
    ) -> None:
        """Keep offers (code, slot as JSON). Offers of long ago are dropped on the way."""
        rows = [
            {
                "practice": practice,
                "conversation": conversation,
                "code": code,
                "slot": slot,
                "created": now,
                "expires": expires,
            }
            for code, slot in offers
        ]

        def work(c: Connection) -> None:
            from openslot.journal.schema import offers as table

            # Kept long after expiry: a replay of a booking must still find what was offered.
            c.execute(table.delete().where(table.c.expires < now - 90 * 86400))
            if rows:
                c.execute(table.insert(), rows)

        await self._transact(work)

    async def offer(self, practice: str, conversation: str, code: str) -> OfferRow | None:
        """The offer of this code in this conversation."""

        def work(c: Connection) -> OfferRow | None:
            from sqlalchemy import select

            from openslot.journal.schema import offers as table

            row = c.execute(
                select(table.c.slot, table.c.expires).where(
                    table.c.practice == practice,
                    table.c.conversation == conversation,
                    table.c.code == code,
                )
            ).one_or_none()
            return None if row is None else OfferRow(str(row.slot), float(row.expires))

        return await self._transact(work)

    # claims: time that one of us keeps from the others

    async def claim(
        self,
        practice: str,
        resources: Iterable[str],
        span: tuple[float, float],
        owner: str,
        *,
        now: float,
        expires: float,
    ) -> bool:
        """Keep [start, end) of the resources for `owner`; False where another's claim overlaps."""
        wanted = sorted(set(resources))

        def work(c: Connection) -> bool:
            from sqlalchemy import select

            from openslot.journal.schema import claims

            start, end = span
            c.execute(claims.delete().where(claims.c.expires <= now))
            taken = c.execute(
                select(claims.c.owner)
                .where(
                    claims.c.practice == practice,
                    claims.c.resource.in_(wanted),
                    claims.c.start < end,
                    claims.c.end > start,
                    claims.c.owner != owner,
                )
                .limit(1)
            ).first()
            if taken is not None:
                return False
            c.execute(
                claims.delete().where(
                    claims.c.practice == practice,
                    claims.c.owner == owner,
                    claims.c.resource.in_(wanted),
                    claims.c.start == start,
                )
            )
            c.execute(
                claims.insert(),
                [
                    {
                        "practice": practice,
                        "resource": r,
                        "start": start,
                        "end": end,
                        "owner": owner,
                        "expires": expires,
                    }
                    for r in wanted
                ],
            )
            return True

        return await self._transact(work) if wanted else True

    async def unclaim(self, practice: str, owner: str) -> None:
        """Give back all that `owner` keeps."""

        def work(c: Connection) -> None:
            from openslot.journal.schema import claims

            c.execute(claims.delete().where(claims.c.practice == practice, claims.c.owner == owner))

        await self._transact(work)

    # the one connection

    def _get(self, c: Connection, practice: str, marker: str) -> Entry | None:
        from sqlalchemy import select

        from openslot.journal.schema import intents

        row = c.execute(
            select(intents).where(intents.c.practice == practice, intents.c.marker == marker)
        ).one_or_none()
        return None if row is None else _entry(row)

    def _update(self, c: Connection, entry: Entry, **values: Any) -> None:
        from openslot.journal.schema import intents

        done = c.execute(intents.update().where(*_is(entry)).values(**values))
        if done.rowcount != 1:
            raise LeaseLost

    async def _transact(self, work: Callable[[Connection], T]) -> T:
        def guarded() -> T:
            if self._connection is None:
                raise ConfigError("the journal is not open; use it as `async with`")
            with self._connection.begin():
                return work(self._connection)

        return await self._run(guarded)

    async def _run(self, work: Callable[[], T]) -> T:
        # Shielded: a cancelled caller must not leave the thread inside a transaction unawaited.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))

    def _open(self) -> None:
        from sqlalchemy import create_engine, event, exc

        engine = create_engine(self.url, connect_args=_connect_args(self.url))
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_immediate)
        try:
            connection = engine.connect()
            _migrate(connection)
        except exc.SQLAlchemyError as error:
            name = engine.url.render_as_string()  # hides a password
            raise ConfigError(f"the journal {name} cannot be opened") from error
        self._engine, self._connection = engine, connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._engine is not None:
            self._engine.dispose()
        self._connection = self._engine = None


def _is(entry: Entry) -> tuple[Any, ...]:
    from openslot.journal.schema import intents

    return (
        intents.c.practice == entry.practice,
        intents.c.marker == entry.marker,
        intents.c.fence == entry.fence,
    )


def _entry(row: Row[Any]) -> Entry:
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    values["facts"] = json.loads(values["facts"])
    values["result"] = None if values["result"] is None else json.loads(values["result"])
    return Entry(**values)


def _connect_args(url: str) -> dict[str, Any]:
    return {"timeout": 30, "check_same_thread": False} if url.startswith("sqlite") else {}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediate(connection: Connection) -> None:
    # A deferred transaction that reads and then writes can fail half way when two processes meet.
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _migrate(connection: Connection) -> None:
    from sqlalchemy import inspect, text

    from openslot.journal.schema import HEAD

    with connection.begin():
        if inspect(connection).has_table("alembic_version"):
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
            if found == HEAD:
                return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", "openslot.journal:migrations")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
