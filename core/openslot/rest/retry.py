"""When a request is sent again, and after how long: tenacity's loop, our reasons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from openslot.call import current
from openslot.errors import DeadlineExceeded, OpenSlotError

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Again", "Budget", "attempts"]

T = TypeVar("T")

_FIRST_WAIT = 0.2
_LONGEST_WAIT = 5.0


class Again(Exception):
    """This try failed with `error`, and another one would do no harm.

    `after` is what the server asked to wait, in seconds.
    """

    def __init__(self, error: OpenSlotError, *, after: float | None = None) -> None:
        super().__init__(error.message)
        self.error = error
        self.after = after


class Budget:
    """How much repeating a connector allows itself: a tenth of its requests, and ten in reserve.

    A vendor that fails gets few calls instead of many times as many.
    """

    def __init__(self, *, reserve: float = 10.0, share: float = 0.1) -> None:
        self._reserve = reserve
        self._share = share
        self._left = reserve

    def earn(self) -> None:
        """A request is made."""
        self._left = min(self._left + self._share, self._reserve)

    def spend(self) -> bool:
        """Whether one more repetition is allowed; takes it if so."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


async def attempts(
    one: Callable[[], Awaitable[T]],
    *,
    at_most: int,
    budget: Budget,
    sleep: Callable[[float], Awaitable[None]],
) -> T:
    """The result of `one`, tried again while it raises Again, within the call's deadline.

    Waits grow twofold from 0.2 s with full jitter; what the server asked for is the least. Where
    the wait would not fit before the deadline, or the budget is spent, the error is raised at once.
    """
    from tenacity import AsyncRetrying, retry_if_exception_type
    from tenacity.wait import wait_random_exponential

    backoff = wait_random_exponential(multiplier=_FIRST_WAIT, max=_LONGEST_WAIT)

    def wait(state: RetryCallState) -> float:
        asked = _again(state).after
        # A little above what was asked for, so that all who were told the same do not come at once.
        return backoff(state) if asked is None else asked + backoff(state) * 0.1

    def stop(state: RetryCallState) -> bool:
        if state.attempt_number >= at_most:
            return True
        try:
            room = current().remaining(at_most=float("inf"))
        except DeadlineExceeded:
            return True
        # Outside of a call nobody set a limit; a person still does not wait for minutes.
        room = min(room, _LONGEST_UNASKED) if current().deadline is None else room
        return state.upcoming_sleep >= room or not budget.spend()

    def give_up(state: RetryCallState) -> T:
        raise _again(state).error

    budget.earn()
    retrying = AsyncRetrying(
        sleep=sleep,
        wait=wait,
        stop=stop,
        retry=retry_if_exception_type(Again),
        retry_error_callback=give_up,
    )
    return await retrying(one)


_LONGEST_UNASKED = 30.0


def _again(state: RetryCallState) -> Again:
    assert state.outcome is not None
    error = state.outcome.exception()
    assert isinstance(error, Again)
    return error
