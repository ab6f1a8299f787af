"""Laws 1, 2, 3 and 14: what is free, all of it, when it really is, and what could not be seen."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from openslot.errors import AskAgain, BadResponse, OpenSlotError
from openslot.model import Window
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench, key
from openslot.testing.suite.expect import counted, failing_at_each_request, leaf, same_slots
from openslot.testing.suite.wire import Seen

__all__ = ["Slots"]

INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d.*")


class Slots(Suite):
    """`find_slots`."""

    @check(1, "find_slots")
    async def test_slots_are_what_is_free(self, bench: Bench) -> None:
        """A week's search answers every free slot and nothing else, whatever number of pages.

        If it fails: read to the last page; ask for the whole window; drop nothing silently.
        """
        found = await bench.connector.find_slots(bench.query(bench.week()))
        same_slots(found, bench.free(bench.week()))

    @check(1, "find_slots", manners={"page_size": 7})
    async def test_slots_come_from_every_page(self, bench: Bench) -> None:
        """All pages of a search are read, where the server's pages are short.

        If it fails: follow the next link, cursor or offset until the server says that it was the
        last page; do not stop at the second.
        """
        if bench.lacks_manners:
            bench.not_applicable("the server's pages cannot be made short")
        found = await bench.connector.find_slots(bench.query(bench.week()))
        same_slots(found, bench.free(bench.week()))

    @check(1, "find_slots")
    async def test_slots_are_sorted_and_each_is_there_once(self, bench: Bench) -> None:
        """Slots come by start, and none comes twice, also where windows are split.

        If it fails: sort after the last page; tell slots apart by `Slot.identity`.
        """
        window = bench.week(12)
        found = await bench.connector.find_slots(bench.query(window))
        starts = [s.start.astimezone(UTC) for s in found]
        assert starts == sorted(starts), "the slots are not sorted by start"
        twice = [k for k, n in Counter(s.identity for s in found).items() if n > 1]
        assert not twice, f"{len(twice)} slots come more than once"

    @check(1, "find_slots")
    async def test_slots_start_within_the_window(self, bench: Bench) -> None:
        """A slot that starts as the window starts is in; one that starts as it ends is not.

        If it fails: compare `window.start <= start < window.end` yourself, and ask the server for
        enough; it may cut seconds off, count days, or include the end.
        """
        every = await bench.slots(bench.week(2))
        window = Window(every[1].start, every[4].start)
        found = await bench.slots(window)
        assert [s.start for s in found] == [s.start for s in every[1:4]], (
            "the window's start belongs to it, and its end does not"
        )

    @check(3, "find_slots")
    async def test_slots_say_when_and_where_they_were_read(self, bench: Bench) -> None:
        """Each slot carries `as_of`, `source`, and whose time it takes; listings carry them too.

        If it fails: stamp slots with the clock's now and `info.name`; name the practitioner among
        `resources`.
        """
        found = await bench.connector.find_slots(bench.query(bench.week(1)))
        name = type(bench.connector).info.name
        assert found.items, "a plain search found nothing"
        assert found.source == name, "the listing does not say where it comes from"
        assert found.as_of is not None, "the listing has no as_of"
        for slot in found:
            assert slot.source == name, "a slot does not say where it comes from"
            assert slot.as_of is not None, "a slot has no as_of"
            assert slot.as_of.utcoffset() is not None, "as_of has no offset"
            assert abs(slot.as_of - bench.clock.now()) < timedelta(minutes=5), (
                "as_of is not when it was read"
            )
            assert slot.practitioner in bench.people.doctors, "a slot does not say with whom"

    @check(1, "find_slots")
    async def test_slots_are_those_of_whom_was_asked_for(self, bench: Bench) -> None:
        """Practitioners and locations narrow the answer, also where the server drops the filter.

        If it fails: compare again here; servers ignore parameters that they do not know.
        """
        people, window = bench.people, bench.week(7)
        found = await bench.connector.find_slots(
            bench.query(window, practitioners=(people.doctors[1],))
        )
        same_slots(found, bench.free(window, practitioners=(people.doctors[1],)))
        found = await bench.connector.find_slots(bench.query(window, locations=(people.east,)))
        same_slots(found, bench.free(window, locations=(people.east,)))

    @check(1, "find_slots")
    async def test_slots_are_of_the_type_asked_for(self, bench: Bench) -> None:
        """The appointment type narrows the answer and decides how long a slot is.

        If it fails: send the type, and compare what comes back.
        """
        query = bench.query(bench.week(2), appointment_type=bench.people.long)
        found = await bench.connector.find_slots(query)
        same_slots(found, bench.free(bench.week(2), type=bench.people.long))

    @check(1, "find_slots")
    async def test_nobody_is_not_everybody(self, bench: Bench) -> None:
        """Asked for a practitioner who does not exist, it answers nothing, or an error.

        If it fails: an unknown id must not become an empty filter.
        """
        query = bench.query(bench.week(), practitioners=("nobody-here",))
        result = await leaf(bench.connector.find_slots(query), "an unknown practitioner")
        if isinstance(result, OpenSlotError):
            assert isinstance(result, AskAgain | BadResponse), f"{type(result).__name__} came"
            return
        assert not result.items, "slots of others were answered for somebody who does not exist"

    @check(1, "find_slots")
    async def test_long_windows_are_read_whole(self, bench: Bench) -> None:
        """A window longer than one search may span is split, without gap or repetition.

        If it fails: split by the trait `largest_window` (`Window.split`), in UTC.
        """
        largest = bench.connector.traits.largest_window
        length = timedelta(days=16) if largest is None else min(largest * 2.5, timedelta(days=90))
        window = Window(bench.start, bench.start + length)
        found = await bench.connector.find_slots(bench.query(window))
        same_slots(found, bench.free(window))

    @check(1, "find_slots", "book")
    async def test_taken_time_is_not_offered(self, bench: Bench) -> None:
        """A slot that somebody else took is gone from the next search.

        If it fails: keep no slots; read again for every search, past the server's own caches.
        """
        slot = await bench.slot(1)
        bench.take(slot)
        assert key(slot) not in counted(await bench.slots(bench.week(2))), "a taken slot is offered"

    @check(1, "find_slots")
    async def test_none_is_said_where_nothing_is_free(self, bench: Bench) -> None:
        """A window without working hours is complete and empty.

        If it fails: an empty answer is an answer, and no error; nothing is missing from it.
        """
        night = bench.night
        found = await bench.connector.find_slots(bench.query(night))
        assert found.none, f"not known to be none: {found.missing or found.items}"

    @check(1, "find_slots", wire=True, manners={"page_size": 7})
    async def test_a_failed_request_is_not_silence(self, bench: Bench) -> None:
        """Where a page or a resource cannot be read, the answer is an error, or says what it lacks.

        If it fails: put what failed under `missing`, or raise; never answer an empty list instead.
        """
        query = bench.query(bench.week(2))
        await failing_at_each_request(bench, "error-503", lambda c: c.find_slots(query), key)

    @check(14, "find_slots", wire=True)
    async def test_what_cannot_be_read_is_named(self, bench: Bench) -> None:
        """An entry whose time is no time is named under `missing`, or makes the answer an error.

        If it fails: `except ValueError: continue` shrinks answers; add a `Missing` with a path.
        """
        await _with_altered_entry(bench, _garble, "an entry has a time that is none")

    @check(14, "find_slots", wire=True)
    async def test_what_ends_before_it_starts_is_named(self, bench: Bench) -> None:
        """An entry that ends before it starts is named under `missing`, or makes it an error.

        If it fails: catch the model's ValueError where you build the slot, and add a `Missing`.
        """
        await _with_altered_entry(bench, _reverse, "an entry ends before it starts")

    @check(2, "find_slots")
    async def test_slots_when_clocks_go_forward(self, bench: Bench) -> None:
        """New York, 2027-03-14: no slot at a time that does not exist, and offsets are right.

        If it fails: place wall times with `openslot.model.time.place`; add durations in UTC.
        """
        await _over_a_change(bench, datetime(2027, 3, 13, 12, tzinfo=UTC))

    @check(2, "find_slots")
    async def test_slots_when_clocks_go_back(self, bench: Bench) -> None:
        """New York, 2027-11-07: the repeated hour is there twice, at two instants.

        If it fails: a wall time alone does not say which hour is meant; take the vendor's offset.
        """
        await _over_a_change(bench, datetime(2027, 11, 6, 12, tzinfo=UTC))

    @check(2, "find_slots", zone="Australia/Lord_Howe")
    async def test_slots_where_clocks_change_by_half_an_hour(self, bench: Bench) -> None:
        """Lord Howe, 2027-04-04: half an hour is repeated.

        If it fails: do not assume that a transition is an hour long.
        """
        await _over_a_change(bench, datetime(2027, 4, 3, 2, tzinfo=UTC))

    @check(2, "find_slots", zone="Asia/Kathmandu")
    async def test_slots_are_in_the_place_s_own_zone(self, bench: Bench) -> None:
        """Kathmandu: wall times of the vendor are taken in the location's zone, not in ours.

        If it fails: use `self.zone`, or the location's own, and never the machine's.
        """
        found = await bench.connector.find_slots(bench.query(bench.week(3)))
        same_slots(found, bench.free(bench.week(3)))


async def _over_a_change(bench: Bench, start: datetime) -> None:
    window = Window(start, start + timedelta(days=2))
    truth = bench.free(window)
    if not truth:
        bench.needs("the test account has no free slots over this change of clocks")
    assert truth, "the clinic works over the change, so there are slots"
    found = await bench.connector.find_slots(bench.query(window))
    same_slots(found, truth)


async def _with_altered_entry(bench: Bench, change: Any, what: str) -> None:
    """Alter one entry of the answers in which slots come, and see that it does not just vanish."""
    window = bench.week(2)
    query = bench.query(window)
    whole = counted(await bench.connector.find_slots(query))
    sample = {s.isoformat()[:13] for k in whole for s in _shown(k[0], bench)}
    done: list[bool] = []

    def alter(seen: Seen, document: Any) -> Any:
        if not done and change(document, sample):
            done.append(True)
        return document

    bench.heal()
    bench.wire.alter = alter
    result = await leaf((await bench.another()).find_slots(query), what)
    if not done:
        bench.not_applicable("no answer holds start and end as ISO texts")
    if isinstance(result, OpenSlotError):
        assert isinstance(result, BadResponse), f"{what}, which became {type(result).__name__}"
        return
    lost = whole - counted(result)
    assert not result.complete or not lost, f"{what}, and it is silently left out"
    assert not counted(result) - whole, f"{what}, and became a slot that does not exist"


def _shown(instant: datetime, bench: Bench) -> tuple[datetime, datetime]:
    return instant.astimezone(UTC), instant.astimezone(bench.zone)


def _entries(document: Any, sample: set[str]) -> Any:
    """The objects of a document that hold two ISO times of which one is a slot's start."""
    if isinstance(document, dict):
        times = [k for k, v in document.items() if isinstance(v, str) and INSTANT.match(v)]
        if len(times) >= 2 and any(document[k][:13].replace(" ", "T") in sample for k in times):
            yield document, sorted(times, key=lambda k: document[k])
        for value in document.values():
            yield from _entries(value, sample)
    elif isinstance(document, list):
        for value in document:
            yield from _entries(value, sample)


def _garble(document: Any, sample: set[str]) -> bool:
    for entry, times in _entries(document, sample):
        entry[times[-2]] = "2027-02-30T25:61:00"
        return True
    return False


def _reverse(document: Any, sample: set[str]) -> bool:
    for entry, times in _entries(document, sample):
        entry[times[-2]], entry[times[-1]] = entry[times[-1]], entry[times[-2]]
        return True
    return False
