"""The journal: transitions, leases that end with their holder, and migrations with data in it."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from openslot import ConfigError, KeyReused
from openslot.journal import Entry, Journal, State
from openslot.journal.owner import new_owner, surely_dead
from openslot.journal.states import ALLOWED
from openslot.journal.store import LeaseLost


async def begin(journal: Journal, marker: str = "m", now: float = 0.0) -> Entry:
    entry, _ = await journal.begin(
        "p", marker, verb="book", fingerprint="f", facts={}, payload="sealed", now=now
    )
    return entry


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
async def test_only_what_the_table_allows_is_done(tmp_path: Path, old: State, new: State) -> None:
    async with Journal(tmp_path / "j.db") as journal:
        entry = await begin(journal)
        with sqlite3.connect(tmp_path / "j.db") as raw:
            raw.execute("UPDATE intents SET state = ?", (old.value,))
        raw.close()
        if new is old or new in ALLOWED[old]:
            assert (await journal.advance(entry, new, 1.0)).state is new
        else:
            with pytest.raises(ValueError, match=f"from {old} to {new}"):
                await journal.advance(entry, new, 1.0)


def test_ends_are_ends() -> None:
    assert {s for s in State if s.ended} == {State.VERIFIED, State.REJECTED, State.LOST}


async def test_a_key_stands_for_one_request(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j.db") as journal:
        entry = await begin(journal)
        assert await begin(journal) == entry
        with pytest.raises(KeyReused):
            await journal.begin(
                "p", "m", verb="book", fingerprint="other", facts={}, payload=None, now=0
            )


async def test_a_lease_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j.db") as one, Journal(tmp_path / "j.db") as two:
        entry = await begin(one, now=100.0)
        assert await two.take(entry, 110.0) is None
        await one.renew(entry, 110.0)
        assert await two.take(entry, 120.0) is None
        taken = await two.take(entry, 126.0)
        assert taken is not None
        for late in (
            one.renew(entry, 127.0),
            one.step(entry, "book", 127.0),
            one.advance(entry, State.WRITTEN, 127.0),
            one.forget(entry),
        ):
            with pytest.raises(LeaseLost):
                await late
        done = await two.advance(taken, State.VERIFIED, 128.0, final=True)
        assert done.payload is None
        assert await one.take(done, 999.0) is None


async def test_a_lease_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from openslot.journal import Journal\n"
        "async def main():\n"
        "    async with Journal(sys.argv[1]) as j:\n"
        "        await j.begin('p', 'm', verb='book', fingerprint='f', facts={}, payload=None,"
        " now=100.0)\n"
        "        print('begun', flush=True)\n"
        "        sys.stdin.read()\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "j.db"
    child = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    await asyncio.to_thread(child.stdout.readline)
    async with Journal(path) as journal:
        entry = await journal.get("p", "m")
        assert entry is not None
        assert await journal.take(entry, 101.0) is None
        child.kill()
        await asyncio.to_thread(child.wait)
        assert await journal.take(entry, 101.0) is not None
    child.stdout.close()
    assert child.stdin is not None
    child.stdin.close()


def test_the_living_and_the_far_away_are_not_taken_for_dead() -> None:
    mine = new_owner()
    assert not surely_dead(mine)
    machine, pid, started, nonce = mine.rsplit(":", 3)
    assert surely_dead(f"{machine}:{pid}:{int(started) - 1}:{nonce}")
    assert not surely_dead(f"elsewhere:{pid}:{int(started) - 1}:{nonce}")


async def test_steps_are_kept_in_order_and_go_with_their_intent(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j.db") as journal:
        entry = await begin(journal)
        for step in ("claim", "create"):
            await journal.step(entry, step, 1.0)
        assert await journal.steps_of(entry) == ("claim", "create")
        sent = await journal.get("p", "m")
        assert sent is not None
        assert sent.state is State.SENT
        await journal.forget(sent)
        assert await journal.steps_of(entry) == ()


async def test_claims_keep_overlaps_out_and_expire(tmp_path: Path) -> None:
    async with Journal(tmp_path / "j.db") as journal:

        async def claim(owner: str, start: float, end: float, now: float = 0) -> bool:
            return await journal.claim(
                "p", ["dr", "room"], (start, end), owner, now=now, expires=60
            )

        assert await claim("a", 0, 30)
        assert await claim("a", 0, 30)
        assert not await claim("b", 29, 40)
        assert await claim("b", 30, 40)
        assert await claim("c", 0, 30, now=61)
        await journal.unclaim("p", "c")
        assert await claim("d", 0, 30, now=61)


async def test_migrations_go_up_and_down_with_data(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, inspect

    path = tmp_path / "j.db"
    async with Journal(path) as journal:
        await begin(journal)
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", "openslot.journal:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert "intents" not in inspect(connection).get_table_names()
        command.upgrade(config, "head")
    engine.dispose()
    async with Journal(path) as journal:
        assert await journal.get("p", "m") is None
        await begin(journal)


def test_the_migrations_make_the_tables_that_the_code_speaks_to(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine

    from openslot.journal.schema import metadata

    async def make() -> None:
        async with Journal(tmp_path / "j.db"):
            pass

    asyncio.run(make())
    engine = create_engine(f"sqlite:///{tmp_path / 'j.db'}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_journal_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with Journal(tmp_path / "nowhere" / "j.db"):
            pass
    (tmp_path / "text.db").write_text("not a database, and long enough to be looked at " * 50)
    with pytest.raises(ConfigError, match="cannot be opened"):
        async with Journal(tmp_path / "text.db"):
            pass
