"""Writes that land later, reads that lag, wall times, errors inside 200: as the kit gives them."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openslot.clinic import Clinic
from openslot.errors import NotFound, SlotTaken
from openslot.model import Window
from openslot.model.time import AmbiguousTime, NonexistentTime
from openslot.testing.clock import SandboxClock
from openslot.testing.later import WriteState
from openslot.testing.past import Past, WatchedClinic
from openslot.testing.sandbox import Answer, parse_manners
from openslot.testing.suite.world import NOW, populate
from openslot.testing.walls import WALL_TIMES, from_wall, skipped, to_wall
from openslot_connectors.fhir.sandbox import FhirManners
from sandbox.brook import brook, running_brook
from sandbox.kit import appointment, running

NEW_YORK = ZoneInfo("America/New_York")


def test_the_command_line_turns_them_all() -> None:
    texts = ["writes_land_after=1.5", "read_lag=0", "wall_times=reject", "errors_inside_200=no"]
    assert parse_manners(brook.BrookManners, texts) == brook.BrookManners(
        writes_land_after=1.5, read_lag=0.0, wall_times="reject", errors_inside_200=False
    )


# writes that land later


def test_an_accepted_write_lands_when_its_time_comes() -> None:
    with running_brook(read_lag=0) as vendor:
        (first, *_) = vendor.openings()
        answer = vendor.book(first)
        assert (answer.status_code, answer.json()) == (202, {"request": "write-1"})
        vendor.wait(19.9)
        assert vendor.bookings() == []
        assert first in vendor.openings()
        (write,) = vendor.sandbox.accepted.writes
        assert (write.state, write.what) == (WriteState.ACCEPTED, "POST /bookings")
        vendor.wait(0.1)
        assert write.state is WriteState.LANDED
        assert write.settled == NOW + timedelta(seconds=20)
        assert vendor.bookings() == [write.result.id]
        assert vendor.told() == ["booking.created"]
        shown = vendor.client.get(str(vendor.client.base_url.join("/.sandbox"))).json()
        assert shown["accepted"] == [{"id": "write-1", "what": "POST /bookings", "state": "landed"}]


def test_of_two_accepted_for_one_time_the_later_fails() -> None:
    with running_brook() as vendor:
        (first, *_) = vendor.openings()
        assert [vendor.book(first, p).status_code for p in ("pat-1", "pat-2")] == [202, 202]
        vendor.wait(3600)
        one, other = vendor.sandbox.accepted.writes
        assert (one.state, other.state) == (WriteState.LANDED, WriteState.FAILED)
        assert isinstance(other.error, SlotTaken)
        # Both settled at their own time, although the clock was moved past it at once.
        assert {one.settled, other.settled} == {NOW + timedelta(seconds=20)}
        assert vendor.told() == ["booking.created", "booking.failed"]


def test_the_next_one_fails_or_never_answers_or_is_late() -> None:
    script = ("landing-fails:nth=1", "landing-never:nth=2", "landing-delayed:nth=3,seconds=40.0")
    with running_brook(faults=script) as vendor:
        for number, opening in enumerate(vendor.openings()[:4], 1):
            vendor.book(opening, f"pat-{number}")
        vendor.wait(59)
        states = [w.state for w in vendor.sandbox.accepted.writes]
        assert states == ["failed", "accepted", "accepted", "landed"]
        assert vendor.sandbox.accepted.writes[0].error is None
        vendor.wait(86_400)
        states = [w.state for w in vendor.sandbox.accepted.writes]
        assert states == ["failed", "accepted", "landed", "landed"]
        replay = [str(f) for f in vendor.sandbox.faults.replay()]
        assert replay == ["landing-fails:nth=1", "landing-never:nth=2", script[2]]


def test_a_write_that_lands_at_once_raises_at_once() -> None:
    with running_brook(writes_land_after=0, errors_inside_200=False, read_lag=0) as vendor:
        (first, *_) = vendor.openings()
        assert vendor.book(first).status_code == 202
        assert len(vendor.bookings()) == 1
        refused = vendor.book(first, "pat-2")
        assert (refused.status_code, refused.json()) == (422, "slot_taken")


def test_on_a_running_clock_it_lands_without_a_request() -> None:
    with running_brook(clock=SandboxClock(), writes_land_after=0.05) as vendor:
        vendor.book(vendor.openings(f"{datetime.now(NEW_YORK):%Y-%m-%dT23:59:00}")[0])
        until = time.monotonic() + 5
        while vendor.sandbox.accepted.writes[0].settled is None and time.monotonic() < until:
            time.sleep(0.005)
        assert len(vendor.sandbox.clinic.appointments()) == 1


def test_starting_over_forgets_what_was_accepted() -> None:
    with running_brook() as vendor:
        vendor.book(vendor.openings()[0])
        vendor.sandbox.reset()
        vendor.wait(3600)
        assert vendor.sandbox.accepted.writes == ()
        assert vendor.sandbox.clinic.appointments() == ()
        assert vendor.told() == []


def test_alarms_ring_in_order_and_each_at_its_time() -> None:
    clock = SandboxClock(NOW)
    seen: list[tuple[str, float]] = []

    def note(name: str) -> None:
        seen.append((name, (clock.now() - NOW).total_seconds()))

    clock.at(NOW + timedelta(seconds=5), lambda: note("c"))
    clock.at(NOW + timedelta(seconds=1), lambda: note("a"))
    clock.at(NOW + timedelta(seconds=1), lambda: note("b"))
    off = clock.at(NOW + timedelta(seconds=2), lambda: note("never"))
    off.off = True
    clock.at(
        NOW + timedelta(seconds=3),
        lambda: (
            clock.at(clock.now() + timedelta(seconds=1), lambda: note("set on the way")) and None
        ),
    )
    clock.advance(timedelta(seconds=10))
    assert seen == [("a", 1), ("b", 1), ("set on the way", 4), ("c", 5)]
    assert clock.now() == NOW + timedelta(seconds=10)
    clock.advance(timedelta(seconds=-10))
    assert clock.now() == NOW
    assert len(seen) == 4


def test_writers_and_a_moving_clock_do_not_wait_for_each_other_forever() -> None:
    with running_brook(read_lag=1.0, writes_land_after=1.0) as vendor:
        openings = [o.id for o in vendor.sandbox.clinic.openings(_days(4), type="visit")][:24]
        threads = [
            threading.Thread(target=vendor.book, args=(opening, f"pat-{n % 5 + 1}"))
            for n, opening in enumerate(openings)
        ]
        for thread in threads:
            thread.start()
        for _ in range(20):
            vendor.wait(0.5)
        for thread in threads:
            thread.join(20)
            assert not thread.is_alive()
        vendor.wait(5)
        states = {w.state for w in vendor.sandbox.accepted.writes}
        assert WriteState.ACCEPTED not in states
        assert len(vendor.sandbox.accepted.writes) == 24


def _days(days: int) -> Window:
    return Window(NOW, NOW + timedelta(days=days))


# reads that lag


def test_a_read_shows_each_record_as_it_was() -> None:
    with running_brook(writes_land_after=0, read_lag=120) as vendor:
        first, _, later, *_ = vendor.openings()
        vendor.book(first)
        (made,) = vendor.sandbox.clinic.appointments()
        # Not there yet: neither by id, nor in the list, nor as time that is taken.
        assert vendor.client.get(f"/bookings/{made.id}").json() == {"errors": ["not_found"]}
        assert vendor.bookings() == []
        assert first in vendor.openings()
        vendor.wait(119)
        assert vendor.bookings() == []
        vendor.wait(1)
        assert vendor.bookings() == [made.id]
        assert first not in vendor.openings()
        vendor.wait(10)
        vendor.sandbox.clinic.reschedule(made.id, later, staff=True)
        vendor.wait(10)
        vendor.sandbox.clinic.cancel(made.id)
        before = vendor.client.get(f"/bookings/{made.id}").json()
        assert (before["at"], before["state"]) == (to_wall(made.start, NEW_YORK), "booked")
        vendor.wait(110)
        moved = vendor.client.get(f"/bookings/{made.id}").json()
        assert (moved["at"], moved["state"]) == ("2027-03-08T09:30:00", "booked")
        vendor.wait(10)
        assert vendor.client.get(f"/bookings/{made.id}").json()["state"] == "cancelled"


def test_a_record_may_have_a_lag_of_its_own() -> None:
    with running_brook(writes_land_after=0, read_lag=120) as vendor:
        for number, opening in enumerate(vendor.openings()[:3], 1):
            vendor.book(opening, f"pat-{number}")
        one, other, third = (a.id for a in vendor.sandbox.clinic.appointments())
        vendor.sandbox.lags |= {one: 0.0, other: 300.0}
        assert vendor.bookings() == [one]
        assert vendor.client.get(f"/bookings/{one}").json()["id"] == one
        vendor.wait(120)
        assert sorted(vendor.bookings()) == sorted([one, third])
        vendor.wait(180)
        assert sorted(vendor.bookings()) == sorted([one, other, third])


def test_the_fhir_sandbox_lags_too() -> None:
    for server in running(manners=FhirManners(read_lag=60)):
        slot = server.free_slots()[0]
        made = server.post(appointment(slot)).json()
        before = server.get("/Appointment")["total"]
        assert server.client.get(f"/Appointment/{made['id']}").status_code == 404
        found = server.client.post("/Appointment/_search", data={"_id": made["id"]}).json()
        assert found["total"] == 0
        server.sandbox.clock.advance(timedelta(seconds=60))
        assert server.get(f"/Appointment/{made['id']}") == made
        assert server.get("/Appointment")["total"] == before + 1


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["book", "cancel"]), st.integers(0, 40)), max_size=12),
    st.floats(0, 90),
)
def test_what_is_seen_is_what_was_true_the_lag_ago(
    steps: list[tuple[str, int]], lag: float
) -> None:
    clock = SandboxClock(NOW)
    clinic = WatchedClinic(clock=clock)
    populate(clinic, "America/New_York")
    past = Past(clinic, clock, lambda: 90.0)
    clinic.committed = (past.keep,)
    truth = [(clock.now(), _standing(clinic))]
    try:
        for number, (what, seconds) in enumerate(steps):
            clock.advance(timedelta(seconds=seconds))
            if what == "book":
                opening = clinic.openings(_days(4), type="visit", practitioners=("dr-1",))[0]
                clinic.book(opening.id, f"pat-{number % 5 + 1}")
            elif standing := _standing(clinic):
                clinic.cancel(standing[0])
            truth.append((clock.now(), _standing(clinic)))
            now = clock.now()
            old = [t for at, t in truth if (now - at).total_seconds() >= lag] or [truth[0][1]]
            assert past.read(_standing, lag) == old[-1]
    finally:
        past.close()
        clinic.close()


def _standing(clinic: Clinic) -> list[str]:
    return [a.id for a in clinic.appointments(include_cancelled=False)]


def test_very_many_changes_are_thinned_and_never_shown_too_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openslot.testing.past.MOST_COPIES", 32)
    clock = SandboxClock(NOW)
    clinic = WatchedClinic(clock=clock)
    populate(clinic, "America/New_York")
    past = Past(clinic, clock, lambda: 10_000.0)
    clinic.committed = (past.keep,)
    made = clinic.book(clinic.openings(_days(1), type="visit")[0].id, "pat-1")
    for number in range(100):
        clock.advance(timedelta(seconds=1))
        clinic.update(made.id, comment=str(number + 1))
    for lag in (0.0, 1.0, 5.0, 20.0, 80.0):
        shown = past.read(lambda c: c.get_appointment(made.id).comment, lag)
        assert int(shown or 0) <= 100 - lag
        assert int(shown or 0) >= 100 - lag - 40
    past.close()
    clinic.close()


def test_a_clinic_that_is_read_now_is_not_copied() -> None:
    with running_brook(read_lag=0) as vendor:
        assert vendor.sandbox.as_seen(lambda clinic: clinic) is vendor.sandbox.clinic
        with pytest.raises(NotFound):
            vendor.sandbox.as_seen(lambda clinic: clinic.get_appointment("apt-9"), "apt-9")


# wall times


@pytest.mark.parametrize(
    ("manner", "twice", "never"),
    [
        ("compatible", "05:30", "07:30"),
        ("earlier", "05:30", "06:30"),
        ("later", "06:30", "07:30"),
    ],
)
def test_a_time_that_is_there_twice_and_one_that_is_not(
    manner: str, twice: str, never: str
) -> None:
    def read(text: str) -> str:
        return f"{from_wall(text, NEW_YORK, manner):%H:%M}"

    assert read("2027-11-07T01:30:00") == twice
    assert read("2027-03-14T02:30:00") == never
    assert read("2027-03-14T01:30:00") == "06:30"


def test_a_server_may_refuse_them() -> None:
    with pytest.raises(AmbiguousTime):
        from_wall("2027-11-07T01:30:00", NEW_YORK, "reject")
    with pytest.raises(NonexistentTime):
        from_wall("2027-03-14T02:30:00", NEW_YORK, "reject")
    with pytest.raises(ValueError, match="unconverted"):
        from_wall("2027-03-14T02:30:00-05:00", NEW_YORK)
    with pytest.raises(KeyError):
        from_wall("2027-03-14T01:30:00", NEW_YORK, "as it likes")
    day = datetime(2027, 3, 14), datetime(2027, 3, 15)  # noqa: DTZ001
    assert [f"{w:%H:%M}" for w in skipped(*day, timedelta(minutes=30), NEW_YORK)] == [
        "02:00",
        "02:30",
    ]


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2029, 1, 1)),  # noqa: DTZ001
    st.sampled_from(
        ["America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu"]
    ),
    st.sampled_from(sorted(WALL_TIMES)),
)
def test_what_is_written_is_read_unless_it_is_there_twice(
    naive: datetime, zone: str, manner: str
) -> None:
    instant = naive.replace(tzinfo=UTC, microsecond=0)
    there = ZoneInfo(zone)
    text = to_wall(instant, there)
    try:
        read = from_wall(text, there, manner)
    except AmbiguousTime:
        read = min(from_wall(text, there, "earlier"), from_wall(text, there, "later"))
        assert read != from_wall(text, there, "later")
    # The other pass of a repeated hour looks the same.
    assert to_wall(read, there) == text
    assert abs(read - instant) <= timedelta(hours=1)


# errors inside 200


def test_an_error_hides_in_a_200() -> None:
    error = Answer(409, {"code": "taken"}, {"x": "1"})
    assert error.inside_200() == Answer(200, {"code": "taken"}, {"x": "1"})
    wrapped = error.inside_200(lambda status, said: {"status": status, "messages": [said]})
    assert wrapped.document == {"status": 409, "messages": [{"code": "taken"}]}
    fine = Answer(201, {"id": 1})
    assert fine.inside_200() is fine
    with running_brook() as vendor:
        assert vendor.client.get("/nothing").json() == {"errors": [{"error": "not found"}]}
