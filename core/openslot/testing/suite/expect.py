"""What several checks expect in the same words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from openslot.errors import OpenSlotError, TryLater
from openslot.model import Listing, Slot
from openslot.testing.suite.bench import Bench, key

__all__ = ["counted", "failing_at_each_request", "leaf", "one_of", "same_slots"]

T = TypeVar("T")


@contextmanager
def one_of(*leaves: type[OpenSlotError], what: str) -> Iterator[list[OpenSlotError]]:
    """The block ends in one of these leaves; the list holds it afterwards."""
    names = " or ".join(leaf.__name__ for leaf in leaves)
    caught: list[OpenSlotError] = []
    try:
        yield caught
    except leaves as error:
        caught.append(error)
    except OpenSlotError as error:
        raise AssertionError(
            f"{what}: {names} was expected, and {type(error).__name__} came: {error}"
        ) from error
    else:
        raise AssertionError(f"{what}: {names} was expected, and it went through")


async def leaf(work: Awaitable[T], what: str) -> T | OpenSlotError:
    """The result, or the leaf it ended in; anything else that is raised breaks law 8."""
    try:
        return await work
    except OpenSlotError as error:
        return error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError) as error:
        raise AssertionError(
            f"{what}: a {type(error).__name__} got out, and only leaves of openslot.errors may"
        ) from error


def counted(slots: Listing[Slot] | tuple[Slot, ...]) -> Counter[Any]:
    """Slots by `key`, how often each."""
    return Counter(key(slot) for slot in slots)


def same_slots(found: Listing[Slot], truth: Counter[Any]) -> None:
    """The listing is complete and holds just what is free."""
    assert found.complete, f"something is missing without cause: {found.missing}"
    seen = counted(found)
    absent, extra = truth - seen, seen - truth
    assert not absent, f"{absent.total()} free slots are left out, the first: {min(absent)}"
    assert not extra, f"{extra.total()} slots are too many, the first: {min(extra)}"


async def failing_at_each_request(
    bench: Bench,
    fault: str,
    ask: Callable[[Any], Awaitable[Listing[Any]]],
    keys: Callable[[Any], Any],
) -> None:
    """Whichever request of a search fails, and all after it: the answer says so, or is an error."""
    bench.heal()
    whole = Counter(keys(i) for i in await ask(await bench.another()))
    requests = len(bench.wire.seen)
    assert requests, "the search sent no request, so it cannot have read anything now"
    for nth in range(1, requests + 1):
        bench.heal()
        bench.fault(fault, nth=nth)
        result = await leaf(ask(await bench.another()), f"{fault} from request {nth} on")
        if isinstance(result, OpenSlotError):
            assert isinstance(result, TryLater), (
                f"{fault} from request {nth} of {requests} on became {type(result).__name__}"
            )
            continue
        got = Counter(keys(i) for i in result)
        lost = whole - got
        assert not result.complete or not lost, (
            f"request {nth} of {requests} failed ({fault}), {lost.total()} of {whole.total()} "
            f"entries are not there, and the answer says that it is complete"
        )
    bench.heal()
