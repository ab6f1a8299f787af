"""Access tokens: what one is, where it is kept, and that only one is asked for at a time."""

from __future__ import annotations

import asyncio
import contextvars
import json
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

from openslot.clock import Clock
from openslot.errors import ConfigError, OpenSlotError, Unavailable

__all__ = ["FileTokenStore", "Flight", "MemoryTokenStore", "Token", "TokenStore", "flight"]

SKEW = timedelta(seconds=30)
"""A token this close to its end is not used: clocks differ, and a request takes its time."""
LONGEST_REFRESH = 30.0
"""Seconds after which a refresh whose owner went silent is taken over."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, when it ends (None: not said), and what goes with it."""

    access: str = field(repr=False)
    expires: datetime | None = None
    refresh: str | None = field(default=None, repr=False)
    scope: frozenset[str] | None = None
    """The scopes granted; None where the server did not say, which means: as asked (RFC 6749)."""
    issued: datetime | None = None

    def usable(self, now: datetime) -> bool:
        """Whether it lasts for one more request. A short-lived one gives up a tenth of its life."""
        if self.expires is None:
            return True
        margin = SKEW
        if self.issued is not None:
            margin = min(margin, (self.expires - self.issued) / 10)
        return now < self.expires - margin


class TokenStore(Protocol):
    """Where tokens outlive a process or are shared between processes.

    A store is hashable: connectors with equal stores share one token. `exclusive` is held while
    a token is refreshed; a store that processes share keeps them out of each other's refresh by it.
    """

    async def load(self, name: str) -> Token | None:
        """The token last saved under the name."""
        ...

    async def save(self, name: str, token: Token) -> None:
        """Keep the token; it is safe on return."""
        ...

    def exclusive(self, name: str) -> AbstractAsyncContextManager[None]:
        """Only one holder at a time, wherever the store reaches."""
        ...

    def __hash__(self) -> int: ...


class MemoryTokenStore:
    """Keeps tokens for as long as the process lives."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    async def load(self, name: str) -> Token | None:
        """The token last saved under the name."""
        return self._tokens.get(name)

    async def save(self, name: str, token: Token) -> None:
        """Keep the token."""
        self._tokens[name] = token

    def exclusive(self, name: str) -> AbstractAsyncContextManager[None]:
        """Nothing to exclude: within a process the flight does that."""
        return nullcontext()


@dataclass(frozen=True, slots=True)
class FileTokenStore:
    """Keeps tokens in a folder that only its owner may enter, one file each.

    Processes of one machine share it: a refresh holds a lock on the token's file where the system
    has such locks (POSIX).
    """

    folder: Path

    async def load(self, name: str) -> Token | None:
        """The token last saved under the name. Raises ConfigError if others may read the file."""
        return await asyncio.to_thread(_read_file, self._path(name))

    async def save(self, name: str, token: Token) -> None:
        """Keep the token: written beside, flushed to disk, then renamed over the old one."""
        await asyncio.to_thread(_write_file, self._path(name), token)

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncIterator[None]:
        """Only one process of this machine at a time. Raises Unavailable if another never ends."""
        try:
            import fcntl
        except ImportError:  # not a POSIX system
            yield
            return
        lock = self._path(name).with_suffix(".lock")
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + LONGEST_REFRESH
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Unavailable(
                            "another process refreshes the token and does not finish", sent=False
                        ) from None
                    await asyncio.sleep(0.02)
            yield
        finally:
            os.close(handle)  # which also unlocks

    def _path(self, name: str) -> Path:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"{self.folder} cannot be made", sent=False) from error
        return self.folder / f"{name}.json"


def _read_file(path: Path) -> Token | None:
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & 0o077:
                raise ConfigError(f"{path} is open to others than its owner: chmod 600", sent=False)
            data = json.loads(file.read(1024 * 1024))
        return Token(
            access=data["access"],
            expires=_instant(data["expires"]),
            refresh=data["refresh"],
            scope=None if data["scope"] is None else frozenset(data["scope"]),
            issued=_instant(data["issued"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        # Nothing of the cause is kept: it may quote the token.
        raise ConfigError(f"{path} cannot be read as a token", sent=False) from None


def _write_file(path: Path, token: Token) -> None:
    data = {
        "access": token.access,
        "expires": token.expires and token.expires.isoformat(),
        "refresh": token.refresh,
        "scope": None if token.scope is None else sorted(token.scope),
        "issued": token.issued and token.issued.isoformat(),
    }
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".token-")  # mode 600
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written", sent=False) from error


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    return datetime.fromisoformat(text).astimezone(UTC)


Fetch = Callable[[Token | None], Awaitable[Token]]
"""Gets a new token; told the one before, if there was one."""


class Flight:
    """Gives every task of every thread the same token, and asks for a new one once.

    A refresh belongs to nobody's call: it runs as a task of its own with a time limit of its own,
    as a caller who hangs up must not lose a refresh token that was just exchanged for a new one.
    """

    def __init__(self, name: str, store: TokenStore) -> None:
        self._name = name
        self._store = store
        self._lock = threading.Lock()  # held for moments only, never across an await
        self._token: Token | None = None
        self._under_way: Future[Token] | None = None
        self._since = 0.0
        self._tasks: set[asyncio.Task[None]] = set()

    async def token(self, fetch: Fetch, clock: Clock, *, refused: str | None = None) -> Token:
        """A usable token other than the `refused` one. Raises what `fetch` raises."""
        for _ in range(3):
            under_way = self._join(fetch, clock, refused)
            if isinstance(under_way, Token):
                return under_way
            try:
                return await self._wait(under_way)
            except _Abandoned:
                continue
        raise Unavailable("the token could not be refreshed: each try was broken off")

    def _join(self, fetch: Fetch, clock: Clock, refused: str | None) -> Token | Future[Token]:
        with self._lock:
            token = self._token
            if token and token.access != refused and token.usable(clock.now()):
                return token
            silent = time.monotonic() - self._since > LONGEST_REFRESH
            if self._under_way is not None and not silent:
                return self._under_way
            result: Future[Token] = Future()
            self._under_way = result
            self._since = time.monotonic()
        task = asyncio.get_running_loop().create_task(
            self._refresh(result, fetch, clock, refused), context=contextvars.Context()
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return result

    async def _wait(self, result: Future[Token]) -> Token:
        from openslot.call import current

        here = current()
        try:
            async with asyncio.timeout(here.remaining(LONGEST_REFRESH)):
                return await asyncio.shield(asyncio.wrap_future(result))
        except TimeoutError:
            here.remaining()
            raise Unavailable("the authorization server did not answer in time") from None

    async def _refresh(
        self, result: Future[Token], fetch: Fetch, clock: Clock, refused: str | None
    ) -> None:
        failure: BaseException | None = None
        token: Token | None = None
        try:
            async with asyncio.timeout(LONGEST_REFRESH), self._store.exclusive(self._name):
                stored = await self._store.load(self._name)
                if stored and stored.access != refused and stored.usable(clock.now()):
                    token = stored  # another process was faster, or the last one left it
                else:
                    token = await fetch(stored)
                    await self._store.save(self._name, token)
        except asyncio.CancelledError:
            failure = _Abandoned()
            raise
        except TimeoutError:
            failure = Unavailable("the authorization server did not answer in time")
        except OpenSlotError as error:
            failure = error
        finally:
            if (
                failure is None and token is None
            ):  # a defect: this task reports it, who waits goes on
                failure = _Abandoned()
            with self._lock:
                if self._under_way is result:
                    self._under_way = None
                    if failure is None:
                        self._token = token
            if failure is not None:
                result.set_exception(failure)
            else:
                assert token is not None
                result.set_result(token)


class _Abandoned(Exception):
    """The loop that refreshed ended before the answer came."""


_flights: WeakValueDictionary[Hashable, Flight] = WeakValueDictionary()
_flights_lock = threading.Lock()


def flight(name: str, store: TokenStore | None) -> Flight:
    """The flight of that credential: the same one for all who ask with an equal store."""
    key = (name, store)
    with _flights_lock:
        found = _flights.get(key)
        if found is None:
            found = _flights[key] = Flight(name, store or MemoryTokenStore())
        return found
