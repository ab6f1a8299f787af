"""The desk for programs without an event loop: the same verbs, each waiting for its answer.

    with openslot.sync.Desk(practice) as desk:
        found = desk.find_slots(SlotQuery(Window(start, end)))

One thread with an event loop of its own serves it. Nothing is written twice: every verb is the
asynchronous desk's.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from typing import Any, Self

from openslot.desk import Desk as AsyncDesk

__all__ = ["Desk"]


class Desk:
    """Everything that `openslot.Desk` has, as plain calls. Use it as `with`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._desk = AsyncDesk(*args, **kwargs)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="openslot-desk", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self._call(self._desk.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        try:
            self._call(self._desk.aclose())
        finally:
            self._stop()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._desk, name)
        if not inspect.iscoroutinefunction(value):
            return value

        @functools.wraps(value)
        def verb(*args: Any, **kwargs: Any) -> Any:
            return self._call(value(*args, **kwargs))

        return verb

    def _call(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
