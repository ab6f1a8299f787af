"""What is read into values, what is refused, and what is checked before it is written."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_r4.fake import slot
from openslot.errors import (
    AuthFailed,
    BadResponse,
    NotFound,
    OpenSlotError,
    RateLimited,
    Rejected,
    SlotTaken,
    Stale,
    Unsupported,
)
from openslot.model import (
    Address,
    Appointment,
    AppointmentStatus,
    ContactPoint,
    ContactSystem,
    Gender,
    HumanName,
    Identifier,
    Missing,
    Patient,
    PatientQuery,
    Resource,
    ResourceKind,
    Window,
)
from openslot_connectors.fhir.appointments import appointment_from, fhir_instant
from openslot_connectors.fhir.outcome import meaning
from openslot_connectors.fhir.people import (
    appointment_types_from,
    location_from,
    patient_filters,
    patient_from,
    patient_to,
    practitioner_from,
    readable,
)
from openslot_connectors.fhir.reference import (
    markers,
    reference_parts,
    version_of,
    with_marker,
    without_markers,
)
from openslot_connectors.fhir.slots import (
    Schedule,
    SlotReader,
    instant,
    resources_of,
    schedule_from,
)
from openslot_connectors.fhir.validate import check

BASE = "https://ehr.example/fhir/R4"
NOW = datetime(2027, 3, 10, tzinfo=UTC)
APPOINTMENT: dict[str, Any] = {
    "resourceType": "Appointment",
    "id": "a",
    "meta": {"versionId": "7"},
    "status": "booked",
    "start": "2027-03-15T09:00:00-04:00",
    "end": "2027-03-15T09:30:00-04:00",
    "slot": [{"reference": "Slot/s"}],
    "serviceType": [{"coding": [{"system": "u", "code": "c"}]}],
    "reasonCode": [{"text": "cough"}],
    "participant": [
        {"actor": {"reference": f"{BASE}/Patient/p"}, "status": "accepted"},
        {"actor": {"reference": "Practitioner/d", "display": "Dr. Sample"}, "status": "accepted"},
        {"actor": {"reference": "Location/l"}, "status": "accepted"},
        {"actor": {"display": "somebody without a record"}, "status": "accepted"},
    ],
}


def read(**changes: Any) -> Appointment:
    raw = {k: v for k, v in {**APPOINTMENT, **changes}.items() if v is not None}
    return appointment_from(raw, base_url=BASE, as_of=NOW, source="test")


def test_an_appointment() -> None:
    found = read()
    assert found.patient == "p"
    assert found.resources == (Resource(ResourceKind.PRACTITIONER, "d", "Dr. Sample"),)
    assert (found.location, found.slots, found.version) == ("l", ("s",), "7")
    assert (found.appointment_type, found.reason) == ("u|c", "cough")
    assert found.start == datetime(2027, 3, 15, 13, tzinfo=UTC)
    assert found.start.utcoffset() == timedelta(hours=-4)


def test_an_appointment_without_end_lasts_its_minutes() -> None:
    assert read(end=None, minutesDuration=20).end == datetime(2027, 3, 15, 13, 20, tzinfo=UTC)


def test_a_cancelled_one_may_lack_its_times() -> None:
    found = read(start=None, end=None, status="cancelled")
    assert (found.start, found.end) == (None, None)


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": None}, "Appointment.id"),
        ({"status": "open"}, "Appointment.status"),
        ({"status": None}, "Appointment.status"),
        ({"start": None}, "Appointment.start"),
        ({"start": None, "end": None}, "Appointment.start"),
        ({"start": "2027-03-15"}, "Appointment.start"),
        ({"end": "2027-03-15T09:30:00"}, "Appointment.end"),
        ({"end": None}, "Appointment.end"),
        ({"end": "2027-03-15T09:00:00-04:00"}, "Appointment.end"),
        ({"participant": {}}, "Appointment.participant"),
        ({"slot": "Slot/s"}, "Appointment.slot"),
        ({"modifierExtension": [{"url": "u"}]}, "Appointment.modifierExtension"),
        ({"resourceType": "Slot"}, "Appointment.resourceType"),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_path(
    changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(BadResponse) as caught:
        read(**changes)
    assert caught.value.path == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(
    member=st.sampled_from([*APPOINTMENT, "identifier", "cancelationReason", "comment", "created"]),
    value=json_values,
)
def test_no_value_of_a_member_breaks_the_reader(member: str, value: Any) -> None:
    try:
        found = read(**{member: value})
    except BadResponse:
        return
    assert found.id


@given(value=json_values, member=st.sampled_from(["name", "telecom", "identifier", "birthDate"]))
def test_no_value_breaks_the_reading_of_a_patient(value: Any, member: str) -> None:
    missing: list[Missing] = []
    raw = {"resourceType": "Patient", "id": "p", member: value}
    assert len(readable([raw], patient_from, missing)) + len(missing) == 1


@given(
    value=json_values,
    member=st.sampled_from(
        ["id", "status", "start", "end", "schedule", "serviceType", "appointmentType", "overbooked"]
    ),
)
def test_no_value_breaks_the_reading_of_slots(value: Any, member: str) -> None:
    schedule = Schedule("1", (), None)
    window = Window(NOW, NOW + timedelta(days=30))
    reader = SlotReader(
        window,
        {"1": schedule},
        wanted=None,
        wanted_type="u|c",
        as_of=NOW,
        source="s",
        base_url=BASE,
    )
    reader.read([{**slot("s", NOW), member: value}, slot("fine", NOW)])
    reader.learn({}, {})
    assert "fine" in reader.slots


@given(value=json_values)
def test_no_value_breaks_the_reading_of_schedules(value: Any) -> None:
    for raw in (
        {"id": "1", "actor": value},
        {"id": "1", "actor": [value]},
        {"actor": [], "id": value},
    ):
        try:
            schedule_from({**raw, "serviceType": value}, BASE)
        except ValueError:
            continue


instants = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(timezone(timedelta(hours=-9))),
)


@given(at=instants)
def test_windows_are_rounded_outwards(at: datetime) -> None:
    down, up = instant(fhir_instant(at)), instant(fhir_instant(at, up=True))
    assert down <= at <= up
    assert up - down <= timedelta(seconds=1)


def test_whose_time_it_is() -> None:
    both = [{"reference": "Location/l"}, {"reference": "Practitioner/d"}]
    assert resources_of(both, BASE) == ((Resource(ResourceKind.PRACTITIONER, "d"),), "l")
    room = resources_of(both[:1], BASE)
    assert room == ((Resource(ResourceKind.LOCATION, "l"),), "l")
    role = resources_of([{"reference": "PractitionerRole/r"}], BASE)
    assert role == ((Resource(ResourceKind.PRACTITIONER, "PractitionerRole/r"),), None)
    nobody = resources_of([{"display": "x"}], BASE, "sch")
    assert nobody == ((Resource(ResourceKind.SCHEDULE, "sch"),), None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Slot/1", ("Slot", "1")),
        (f"{BASE}/Slot/1/_history/3", ("Slot", "1")),
        ("/fhir/R4/Slot/a.b-c", ("Slot", "a.b-c")),
        ("https://other.example/fhir/R4/Slot/1", None),
        (f"{BASE}x/Slot/1", None),
        ("urn:uuid:1", None),
        ("#contained", None),
        (7, None),
    ],
)
def test_references(text: Any, parts: tuple[str, str] | None) -> None:
    assert reference_parts({"reference": text}, BASE) == parts


@pytest.mark.parametrize(
    ("etag", "version"), [('W/"3"', "3"), ('"3"', "3"), ("3", "3"), (None, None), ('W/""', None)]
)
def test_versions(etag: str | None, version: str | None) -> None:
    assert version_of({}, etag) == version
    assert version_of({"meta": {"versionId": "9"}}, etag) == "9"


def test_markers_leave_other_identifiers_alone() -> None:
    raw = {"identifier": [{"system": "mrn", "value": "1", "use": "usual"}], "strange": {"a": 1}}
    marked = with_marker(with_marker(raw, "i-1"), "i-2")
    assert markers(marked) == ("i-2",)
    assert without_markers(marked) == raw
    assert without_markers(with_marker({}, "i")) == {}


def test_a_patient_there_and_back() -> None:
    person = Patient(
        name=HumanName("Sample", ("Ada", "B"), prefix=("Dr.",)),
        birth_date=date(1980, 2, 29),
        gender=Gender.FEMALE,
        telecom=(ContactPoint(ContactSystem.PHONE, "+12125550100", "mobile"),),
        address=Address(("1 Main St",), "Springfield", "NY", "10001", "US"),
        identifiers=(Identifier("mrn", "1"),),
    )
    raw = patient_to(person, "i-1")
    check(raw, ours=True)
    back = patient_from({**raw, "id": "p"})
    assert back.name == person.name
    assert back.birth_date == person.birth_date
    assert back.telecom == person.telecom
    assert back.address == person.address
    assert back.gender is Gender.FEMALE
    assert person.identifiers[0] in back.identifiers


def test_a_year_of_birth_is_no_date_and_nonsense_is_refused() -> None:
    assert (
        patient_from({"resourceType": "Patient", "id": "p", "birthDate": "1980"}).birth_date is None
    )
    with pytest.raises(BadResponse) as caught:
        patient_from({"resourceType": "Patient", "id": "p", "birthDate": "canary"})
    assert caught.value.path == "Patient.birthDate"
    assert "canary" not in str(caught.value)


def test_people_who_were_merged_away_are_not_active() -> None:
    link = [{"type": "replaced-by", "other": {"reference": "Patient/q"}}]
    assert not patient_from({"resourceType": "Patient", "id": "p", "link": link}).active


def test_as_little_as_finds_the_person_is_asked_for() -> None:
    both = PatientQuery(family="O'Neil, Jr", birth_date=date(1980, 1, 2), phone="+1 212 555 0100")
    assert patient_filters(both) == {"birthdate": "1980-01-02", "family": "O'Neil\\, Jr"}
    phone = patient_filters(PatientQuery(phone="+12125550100"))["phone"].split(",")
    assert {"+12125550100", "2125550100", "(212) 555-0100", "212-555-0100"} <= set(phone)
    assert patient_filters(PatientQuery(identifier=Identifier("s|x", "1"))) == {
        "identifier": "s\\|x|1"
    }
    assert patient_filters(PatientQuery()) == {}


def test_places_people_and_types() -> None:
    zone = "http://hl7.org/fhir/StructureDefinition/timezone"
    place = location_from(
        {
            "resourceType": "Location",
            "id": "l",
            "name": "Main",
            "extension": [{"url": zone, "valueCode": "Asia/Kathmandu"}],
        }
    )
    assert (place.name, place.zone, place.active) == ("Main", "Asia/Kathmandu", True)
    doctor = practitioner_from(
        {"resourceType": "Practitioner", "id": "d", "name": [{"prefix": ["Dr."], "family": "S"}]}
    )
    assert doctor.name == "Dr. S"
    service = {
        "resourceType": "HealthcareService",
        "id": "h",
        "name": "Check",
        "type": [{"coding": [{"system": "u", "code": "c"}]}],
    }
    assert [t.id for t in appointment_types_from(service, BASE)] == ["u|c"]
    with pytest.raises(BadResponse):
        appointment_types_from({**service, "type": []}, BASE)


@pytest.mark.parametrize(
    ("status", "code", "leaf"),
    [
        (400, "conflict", SlotTaken),
        (422, "lock-error", SlotTaken),
        (409, "conflict", Stale),
        (412, "multiple-matches", Stale),
        (423, "lock-error", Stale),
        (424, "processing", Stale),
        (409, "duplicate", Rejected),
        (422, "business-rule", Rejected),
        (422, "required", Rejected),
        (400, "invalid", Rejected),
        (404, "not-found", NotFound),
        (410, "deleted", NotFound),
        (400, "throttled", RateLimited),
        (401, "login", AuthFailed),
        (403, "forbidden", AuthFailed),
        (405, "not-supported", Unsupported),
    ],
)
def test_what_an_outcome_means(status: int, code: str, leaf: type[OpenSlotError]) -> None:
    assert type(meaning(status, frozenset({code}))) is leaf


def test_an_outcome_of_no_meaning_is_left_to_the_status() -> None:
    assert meaning(404, frozenset({"processing"})) is None
    assert meaning(400, frozenset()) is None


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"status": "open"}, "status"),
        ({"end": None}, "end"),
        ({"start": None, "end": None}, "start"),
        ({"end": "2027-03-15T08:00:00-04:00"}, "end"),
        ({"end": "2027-03-15"}, "end"),
        ({"cancelationReason": {"text": "x"}}, "cancelationReason"),
        ({"participant": []}, "participant"),
        ({"participant": [{"status": "accepted"}]}, "participant[0]"),
        ({"participant": [{"actor": {"reference": "Patient/p"}}]}, "participant[0].status"),
        ({"comment": 5}, "comment"),
        ({"minutesDuration": -1}, "minutesDuration"),
    ],
)
def test_what_is_not_to_be_written(changes: dict[str, Any], member: str) -> None:
    raw = {k: v for k, v in {**APPOINTMENT, **changes}.items() if v is not None}
    with pytest.raises(BadResponse) as caught:
        check(raw, ours=False)
    assert caught.value.path == f"Appointment.{member}"
    assert caught.value.sent is False


def test_foreign_members_are_set_aside_and_stay() -> None:
    raw = {
        **APPOINTMENT,
        "strange": {"deep": [1]},
        "participant": [{**APPOINTMENT["participant"][0], "odd": 1}],
        "extension": [{"url": "u", "valueString": "v", "more": True}],
    }
    before = repr(raw)
    check(raw, ours=False)
    assert repr(raw) == before
    with pytest.raises(BadResponse):
        check(raw, ours=True)


def test_every_status_that_the_model_knows_can_be_written() -> None:
    for status in AppointmentStatus:
        check({**APPOINTMENT, "status": status.value}, ours=False)
    with pytest.raises(BadResponse):
        check({"resourceType": "Observation"}, ours=True)
