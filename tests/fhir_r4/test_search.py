"""Searches: what they bring, and what they say that they lack."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_r4.fake import BASE, SCHEDULE, Fake, answers, connect, slot
from openslot.errors import BadResponse
from openslot.model import Listing, MissingWhat, PatientQuery, Slot, SlotQuery, SlotStatus, Window
from openslot_connectors.fhir.profile import GENERIC_R4, Schedules
from openslot_connectors.fhir.slots import Schedule, SlotReader

START = datetime(2027, 3, 14, tzinfo=UTC)
WEEK = Window(START, START + timedelta(days=7))


async def found(fake: Fake, **more: Any) -> Listing[Slot]:
    async with connect(fake, **more) as fhir:
        return await fhir.find_slots(SlotQuery(WEEK))


def ids(listing: Listing[Slot]) -> list[str | None]:
    return [s.id for s in listing]


FAULTS = {
    "no end": ({"end": None}, "Slot.end"),
    "end first": ({"end": "2027-03-15T08:00:00Z"}, "Slot.end"),
    "a date only": ({"start": "2027-03-15"}, "Slot.start"),
    "no offset": ({"start": "2027-03-15T09:00:00"}, "Slot.start"),
    "no such day": ({"start": "2027-02-30T09:00:00Z"}, "Slot.start"),
    "unknown status": ({"status": "open"}, "Slot.status"),
    "no schedule": ({"schedule": None}, "Slot.schedule"),
    "elsewhere": ({"schedule": {"reference": "https://other.example/Schedule/1"}}, "Slot.schedule"),
    "modifier": ({"modifierExtension": [{"url": "u"}]}, "Slot.modifierExtension"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_slot_that_cannot_be_read_is_missing_and_the_others_stand(name: str) -> None:
    changes, path = FAULTS[name]
    broken = slot("broken", datetime(2027, 3, 15, 9, tzinfo=UTC)) | changes
    broken = {k: v for k, v in broken.items() if v is not None}
    fine = slot("fine", datetime(2027, 3, 15, 10, tzinfo=UTC))
    fake = Fake([SCHEDULE, broken, fine])
    fake.ignored = frozenset({"status", "start"})
    listing = await found(fake)
    assert ids(listing) == ["fine"]
    assert [(m.what, m.id, m.path) for m in listing.missing] == [
        (MissingWhat.ENTRY, "broken", path)
    ]
    assert not listing.none


async def test_filters_that_the_server_drops_are_made_up_for() -> None:
    nine = datetime(2027, 3, 15, 9, tzinfo=UTC)
    fake = Fake(
        [
            SCHEDULE,
            {**SCHEDULE, "id": "2", "actor": [{"reference": "Practitioner/b"}]},
            slot("fine", nine),
            slot("taken", nine + timedelta(hours=1), status="busy"),
            slot("late", nine + timedelta(days=30)),
            slot("other", nine, schedule={"reference": "Schedule/2"}),
        ]
    )
    fake.ignored = frozenset({"status", "start", "schedule", "actor"})
    async with connect(fake) as fhir:
        listing = await fhir.find_slots(SlotQuery(WEEK, practitioners=("a",)))
    assert ids(listing) == ["fine"]
    assert listing.complete


async def test_a_dropped_filter_that_cannot_be_made_up_for_is_missing() -> None:
    person = {"resourceType": "Patient", "id": "p", "name": [{"family": "Else"}]}
    fake = Fake([person])
    fake.ignored = frozenset({"family"})
    fake.changes.append(_self_link("Patient?birthdate=1980-01-01"))
    async with connect(fake) as fhir:
        listing = await fhir.find_patients(PatientQuery(family="Wanted"))
    assert not listing.complete


def _self_link(path: str) -> Any:
    def change(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        body = answer.json()
        body["link"] = [{"relation": "self", "url": f"{BASE}/{path}"}]
        return httpx.Response(200, json=body)

    return change


@pytest.mark.parametrize("total", [True, False])
async def test_answers_that_are_cut_off_are_asked_for_in_halves(total: bool) -> None:
    slots = [slot(f"s{n}", START + timedelta(hours=n)) for n in range(60)]
    fake = Fake([SCHEDULE, *slots])
    fake.links, fake.total, fake.cap = False, total, 8
    listing = await found(fake, page_size=8)
    assert ids(listing) == [f"s{n}" for n in range(60)]
    assert listing.complete


async def test_a_cut_that_halving_cannot_mend_is_missing() -> None:
    slots = [slot(f"s{n}", START + timedelta(hours=3)) for n in range(20)]
    fake = Fake([SCHEDULE, *slots])
    fake.links, fake.cap = False, 8
    listing = await found(fake, page_size=8)
    assert len(listing.items) == 8
    assert {m.what for m in listing.missing} == {MissingWhat.PAGE}


async def test_a_full_page_without_total_or_link_is_doubted() -> None:
    fake = Fake([{**SCHEDULE, "id": str(n)} for n in range(1, 9)])
    fake.links = fake.total = False
    async with connect(fake, page_size=8) as fhir:
        _, missing = await fhir.schedules.read()
    assert [m.what for m in missing] == [MissingWhat.PAGE]


async def test_a_next_link_to_another_host_is_not_followed() -> None:
    slots = [slot(f"s{n}", START + timedelta(hours=n)) for n in range(6)]
    fake = Fake([SCHEDULE, *slots])

    def astray(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if "/Slot" not in request.url.path:
            return None
        body = answer.json()
        for link in body["link"]:
            if link["relation"] == "next":
                link["url"] = "https://thief.example/base/Slot?_at=3"
        return httpx.Response(200, json=body)

    fake.changes.append(astray)
    listing = await found(fake, page_size=3)
    assert len(listing.items) == 3
    assert [m.what for m in listing.missing] == [MissingWhat.PAGE]
    assert {r.url.host for r in fake.requests} == {"fhir.test.internal"}


async def test_a_next_link_in_circles_ends() -> None:
    fake = Fake([SCHEDULE, *(slot(f"s{n}", START + timedelta(hours=n)) for n in range(6))])

    def circle(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if "/Slot" not in request.url.path:
            return None
        body = answer.json()
        body["link"] = [{"relation": "next", "url": str(request.url)}]
        return httpx.Response(200, json=body)

    fake.changes.append(circle)
    listing = await found(fake, page_size=3)
    assert [m.what for m in listing.missing] == [MissingWhat.PAGE]
    assert len(fake.requests) < 10


async def test_a_broken_next_link_is_followed_by_its_query_where_the_profile_says_so() -> None:
    fake = Fake([SCHEDULE, *(slot(f"s{n}", START + timedelta(hours=n)) for n in range(6))])

    def inside(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        text = answer.text.replace(BASE, "http://10.0.0.7:8080/internal")
        return httpx.Response(200, text=text, headers={"content-type": "application/json"})

    fake.changes.append(inside)
    profile = replace(GENERIC_R4, rebases_links=True)
    async with connect(fake, profile, page_size=2) as fhir:
        listing = await fhir.find_slots(SlotQuery(WEEK))
    assert len(listing.items) == 6
    assert listing.complete


@pytest.mark.parametrize(("severity", "complete"), [("error", False), ("information", True)])
async def test_an_outcome_among_the_entries_is_read(severity: str, complete: bool) -> None:
    fake = Fake([SCHEDULE, slot("fine", START + timedelta(hours=9))])

    def complain(request: httpx.Request, answer: httpx.Response) -> httpx.Response | None:
        if "/Slot" not in request.url.path:
            return None
        body = answer.json()
        issue = {"severity": severity, "code": "timeout", "diagnostics": "canary"}
        body["entry"].append({"resource": {"resourceType": "OperationOutcome", "issue": [issue]}})
        return httpx.Response(200, json=body)

    fake.changes.append(complain)
    listing = await found(fake)
    assert ids(listing) == ["fine"]
    assert listing.complete is complete
    assert "canary" not in str(listing.missing)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, html="<html>log in</html>"),
        httpx.Response(200, json={"resourceType": "OperationOutcome", "issue": []}),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"resourceType": "Bundle", "entry": {}}),
    ],
)
async def test_what_is_no_bundle_is_a_bad_response(answer: httpx.Response) -> None:
    fake = Fake([SCHEDULE])
    fake.refuse.append(answers("GET", "/Slot", answer, times=9))
    with pytest.raises(BadResponse):
        await found(fake)


async def test_the_schedule_of_a_slot_is_read_or_missing() -> None:
    nine = START + timedelta(hours=9)
    fake = Fake([slot("a", nine), slot("b", nine, schedule={"reference": "Schedule/gone"})])
    fake.ignored = frozenset()
    listing = await found(fake)
    assert listing.items == ()
    assert {(m.what, m.id) for m in listing.missing} == {
        (MissingWhat.RESOURCE, "1"),
        (MissingWhat.RESOURCE, "gone"),
    }
    fake.save(SCHEDULE)
    listing = await found(fake)
    assert ids(listing) == ["a"]
    assert [m.id for m in listing.missing] == ["gone"]


async def test_schedules_come_with_the_slots_where_the_profile_says_so() -> None:
    fake = Fake([SCHEDULE, slot("a", START + timedelta(hours=9))])

    def include(request: httpx.Request, answer: httpx.Response) -> httpx.Response:
        body = answer.json()
        assert "_include=Slot%3Aschedule" in str(request.url)
        body["entry"].append({"resource": SCHEDULE, "search": {"mode": "include"}})
        return httpx.Response(200, json=body)

    fake.changes.append(include)
    async with connect(fake, replace(GENERIC_R4, schedules=Schedules.INCLUDE)) as fhir:
        listing = await fhir.find_slots(SlotQuery(WEEK, practitioners=("a",)))
        other = await fhir.find_slots(SlotQuery(WEEK, practitioners=("b",)))
    assert ids(listing) == ["a"]
    assert listing.items[0].practitioner == "a"
    assert other.none


async def test_a_long_window_is_split() -> None:
    fake = Fake([SCHEDULE, *(slot(f"s{n}", START + timedelta(days=n)) for n in range(7))])
    profile = replace(GENERIC_R4, largest_window=timedelta(days=2))
    async with connect(fake, profile) as fhir:
        assert fhir.traits.largest_window == timedelta(days=2)
        listing = await fhir.find_slots(SlotQuery(WEEK))
    assert ids(listing) == [f"s{n}" for n in range(7)]
    assert len([r for r in fake.requests if "/Slot" in r.url.path]) == 4


async def test_windows_are_asked_for_as_full_instants() -> None:
    fake = Fake([SCHEDULE])
    eastern = timezone(timedelta(hours=-5))
    window = Window(
        datetime(2027, 3, 14, 0, 0, 0, 500_000, tzinfo=eastern),
        datetime(2027, 3, 15, 0, 0, 0, 500_000, tzinfo=eastern),
    )
    async with connect(fake) as fhir:
        await fhir.find_slots(SlotQuery(window))
    asked = fake.requests[-1].url.params.get_list("start")
    assert asked == ["ge2027-03-14T05:00:00Z", "lt2027-03-15T05:00:01Z"]


async def test_demographics_stay_out_of_urls() -> None:
    fake = Fake([{"resourceType": "Patient", "id": "p", "name": [{"family": "Canary"}]}])
    async with connect(fake) as fhir:
        listing = await fhir.find_patients(PatientQuery(family="Canary"))
    assert [p.id for p in listing] == ["p"]
    assert not any("Canary" in str(r.url) for r in fake.requests)


offsets = st.sampled_from([timezone(timedelta(hours=h)) for h in (-11, -5, 0, 1, 14)])
starts = st.builds(
    lambda minutes, zone: (START + timedelta(minutes=minutes)).astimezone(zone),
    st.integers(-600, 11 * 24 * 60),
    offsets,
)


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(starts, max_size=40),
    busy=st.sets(st.integers(0, 39)),
    size=st.integers(3, 50),
    style=st.sampled_from(["links", "total", "nothing"]),
    ignored=st.sets(st.sampled_from(["status", "start"])),
)
def test_exactly_the_free_slots_of_the_window_each_once(
    times: list[datetime], busy: set[int], size: int, style: str, ignored: set[str]
) -> None:
    slots = [
        slot(f"s{n}", at, status="busy" if n in busy else "free") for n, at in enumerate(times)
    ]
    fake = Fake([SCHEDULE, *slots])
    fake.links, fake.total = style == "links", style != "nothing"
    fake.ignored = frozenset(ignored)
    listing = asyncio.run(found(fake, page_size=size))
    wanted = {f"s{n}" for n, at in enumerate(times) if n not in busy and WEEK.contains(at)}
    got = ids(listing)
    assert len(got) == len(set(got))
    assert set(got) <= wanted
    if listing.complete:
        assert set(got) == wanted
    if style == "links":
        assert listing.complete
    assert [s.start for s in listing] == sorted(s.start for s in listing)


def test_slots_are_built_as_the_class_builds_them() -> None:
    schedule = Schedule("1", (), "l")
    reader = SlotReader(
        WEEK, {"1": schedule}, wanted=None, wanted_type=None, as_of=START, source="s", base_url=BASE
    )
    nine = START + timedelta(hours=9)
    concept = {"coding": [{"system": "u", "code": "c"}]}
    reader.read([slot("a", nine, serviceType=[concept])])
    assert reader.slots["a"] == Slot(
        start=nine,
        end=nine + timedelta(minutes=30),
        id="a",
        schedule="1",
        location="l",
        appointment_type="u|c",
        status=SlotStatus.FREE,
        as_of=START,
        source="s",
    )
    assert hash(reader.slots["a"]) == hash(replace(reader.slots["a"]))


@pytest.mark.parametrize(
    ("wanted", "types", "schedule_types", "shown"),
    [
        ("u|c", ["c"], (), ["u|c"]),
        ("c", ["c"], (), ["u|c"]),
        ("u|d", ["c"], (), None),
        ("u|d", ["c", "d"], (), ["u|d"]),
        ("u|d", [], ("u|d",), ["u|d"]),
        ("u|d", [], ("u|c",), None),
        ("u|d", [], (), [None]),
        (None, ["c", "d"], (), [None]),
        (None, ["c"], (), ["u|c"]),
    ],
)
def test_types_of_slots(
    wanted: str | None, types: list[str], schedule_types: tuple[str, ...], shown: Any
) -> None:
    reader = SlotReader(
        WEEK,
        {"1": Schedule("1", (), None, schedule_types)},
        wanted=None,
        wanted_type=wanted,
        as_of=START,
        source="s",
        base_url=BASE,
    )
    concepts = [{"coding": [{"system": "u", "code": c}]} for c in types]
    reader.read([slot("a", START, **({"serviceType": concepts} if concepts else {}))])
    assert [s.appointment_type for s in reader.slots.values()] == (shown or [])
