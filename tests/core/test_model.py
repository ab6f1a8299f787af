"""The values: frozen, aware, through JSON and back, and as fields of a user's own models."""

from __future__ import annotations

import dataclasses
import inspect
import json
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

import openslot.model
from openslot import (
    Appointment,
    AppointmentStatus,
    BookingRequest,
    Exclusive,
    HumanName,
    Listing,
    Missing,
    MissingWhat,
    Patient,
    Proof,
    ProofLevel,
    Slot,
    SlotQuery,
    Window,
    from_json,
    json_schema,
    to_json,
)

START = datetime(2027, 3, 1, 9, 0, tzinfo=ZoneInfo("America/New_York"))
HALF = timedelta(minutes=30)
VALUES = [
    value
    for _, value in inspect.getmembers(openslot.model, inspect.isclass)
    if dataclasses.is_dataclass(value)
]
instants = st.datetimes(
    min_value=datetime(2020, 1, 1),  # noqa: DTZ001
    max_value=datetime(2040, 1, 1),  # noqa: DTZ001
    timezones=st.timezones(),
)


@pytest.mark.parametrize("kind", VALUES, ids=lambda k: k.__name__)
def test_every_value_is_frozen_slotted_and_has_a_schema(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in kind.__dict__
    schema = json_schema(kind[Slot] if kind is Listing else kind)
    assert schema["type"] == "object"
    assert set(schema["properties"]) == {f.name for f in dataclasses.fields(kind)}


@given(start=instants, minutes=st.integers(1, 600), as_of=instants)
def test_a_slot_goes_through_json_and_back(start: datetime, minutes: int, as_of: datetime) -> None:
    end = (start.astimezone(UTC) + timedelta(minutes=minutes)).astimezone(start.tzinfo)
    slot = Slot(start, end, id="s", as_of=as_of, ref='{"v": 1}')
    back = from_json(Slot, to_json(slot))
    assert back == dataclasses.replace(
        slot,
        start=back.start,
        end=back.end,
        as_of=back.as_of,
    )
    assert (back.start.timestamp(), back.end.timestamp()) == (start.timestamp(), end.timestamp())
    assert back.start.utcoffset() == start.utcoffset()
    assert back.duration == timedelta(minutes=minutes)


def test_a_listing_goes_through_json_and_back() -> None:
    listing = Listing((Slot(START, START + HALF),), (Missing(MissingWhat.PAGE, "gone", "2"),))
    assert from_json(Listing[Slot], to_json(listing, Listing[Slot])) == listing


@pytest.mark.parametrize(
    "patient", ["p-1", Patient(name=HumanName("Q", ("O",)), birth_date=date(1980, 2, 29))]
)
def test_a_request_keeps_which_kind_of_patient_it_names(patient: str | Patient) -> None:
    request = BookingRequest("i", Slot(START, START + HALF), patient)
    assert from_json(BookingRequest, to_json(request)) == request


@pytest.mark.parametrize("make", [Slot, Window])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START.replace(tzinfo=None), START.replace(tzinfo=None) + HALF),
        (START, START),
        (START, START - HALF),
    ],
)
def test_naive_and_backward_spans_are_refused(make: Any, start: datetime, end: datetime) -> None:
    with pytest.raises((ValueError, TypeError)):
        make(start, end)


def test_an_appointment_has_both_ends_or_neither() -> None:
    Appointment("1", AppointmentStatus.CANCELLED, None, None)
    with pytest.raises(ValueError, match="both a start and an end"):
        Appointment("1", AppointmentStatus.BOOKED, START, None)


def test_json_that_is_not_the_value_is_refused_without_telling_it() -> None:
    with pytest.raises(ValueError, match="birth_date") as caught:
        from_json(Patient, '{"birth_date": "Canary"}')
    assert "Canary" not in str(caught.value)
    with pytest.raises(ValueError, match="aware"):
        from_json(Slot, '{"start":"2027-01-01T00:00:00","end":"2027-01-01T01:00:00"}')


def test_people_do_not_show_in_representations() -> None:
    canary = Patient(id="7", name=HumanName(family="Canary"), birth_date=date(1980, 2, 29))
    request = BookingRequest("i", Slot(START, START + HALF), canary, reason="Canary")
    for text in (repr(canary), repr(request), repr(Listing((canary,)))):
        assert "Canary" not in text
        assert "1980" not in text


def test_empty_means_none_only_when_complete() -> None:
    assert Listing(()).none
    assert not Listing((), (Missing(MissingWhat.PAGE, "gone"),)).none
    assert Listing(()), "a listing is always true: truthiness must not stand for `none`"


def test_proof_climbs_in_order() -> None:
    ladder = list(ProofLevel)
    assert ladder == sorted(ladder)
    assert max(ladder) is ProofLevel.VERIFIED
    assert not ProofLevel.WRITTEN > ProofLevel.WRITTEN
    assert ProofLevel.HELD < ProofLevel.ACCEPTED <= ProofLevel.WRITTEN < ProofLevel.VERIFIED


def test_values_are_fields_of_a_users_own_pydantic_model() -> None:
    class Reply(BaseModel):
        slots: Listing[Slot]
        proof: Proof | None = None

    proof = Proof(ProofLevel.VERIFIED, START, Exclusive.ENFORCED)
    reply = Reply(slots=Listing((Slot(START, START + HALF),)), proof=proof)
    assert Reply.model_validate_json(reply.model_dump_json()) == reply
    with pytest.raises(ValidationError):
        Reply.model_validate({"slots": {"items": [{"start": "2027-01-01T00:00:00"}]}})


def test_values_are_bodies_and_answers_of_a_fastapi_service() -> None:
    app = FastAPI()

    @app.post("/echo")
    def echo(query: SlotQuery) -> Listing[Slot]:
        return Listing((Slot(query.window.start, query.window.end),))

    with TestClient(app) as client:
        ok = client.post("/echo", json=json.loads(to_json(SlotQuery(Window(START, START + HALF)))))
        bad = client.post("/echo", json={"window": {"start": "2027-01-01", "end": "x"}})
        schema = client.get("/openapi.json").json()
    assert from_json(Listing[Slot], ok.text).items == (Slot(START, START + HALF),)
    assert bad.status_code == 422
    assert "SlotQuery" in schema["components"]["schemas"]


def test_the_same_slot_read_twice_is_one() -> None:
    one = Slot(START, START + HALF, id="s", as_of=START)
    assert one.identity == dataclasses.replace(one, as_of=START + HALF, ref="v2").identity
    other = Slot(START.astimezone(timezone(timedelta(0))), START + HALF)
    assert Slot(START, START + HALF).identity == other.identity
