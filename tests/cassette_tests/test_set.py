"""The recordings of tests/cassettes: nothing in them that must not be, and all of them play."""

from __future__ import annotations

from pathlib import Path

import pytest

from openslot.testing.cassettes import Cassette, Mismatch, check, replay
from openslot.testing.cassettes.checks import cassettes_below

SET = Path(__file__).resolve().parent.parent / "cassettes"
FILES = cassettes_below([SET])


def test_the_first_set_is_there():
    assert {p.relative_to(SET).as_posix() for p in FILES} >= {
        "fhir-r4/medplum-contract.yaml",
        "fhir-r4/medplum-desk.yaml",
        "fhir-r4/sandbox-contract.yaml",
        "fhir-r4/sandbox-desk.yaml",
    }


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(SET).as_posix())
def test_every_cassette_plays_and_holds_nothing_that_it_must_not(path):
    """Fails on a change of what a connector asks for: look at the diff, then record again.

    `python tests/cassette_tests/record_set.py`; for the rest see docs/cassettes.md.
    """
    assert [str(f) for f in check(path)] == []


def edited(path: Path, folder: Path, old: str, new: str) -> Path:
    text = path.read_text("utf-8")
    assert old in text
    copy = folder / path.name
    copy.write_text(text.replace(old, new), "utf-8")
    return copy


def test_one_field_of_a_booking_recorded_otherwise_fails_with_that_field(tmp_path):
    """As if the connector had begun to send another end."""
    path = SET / "fhir-r4" / "sandbox-desk.yaml"
    cassette = Cassette.load(path)
    booking = next(
        i for i in cassette.interactions if i.request.place == "POST {base_url}/Appointment"
    )
    booking.request.body.value["end"] = "2027-03-15T09:45:00-04:00"
    cassette.save(tmp_path / path.name)
    with pytest.raises(Mismatch) as caught:
        replay(tmp_path / path.name)
    message = str(caught.value)
    assert message.count("\n") == 2, message
    assert "body.end: recorded '2027-03-15T09:45:00-04:00', sent '2027-03-15T09:30:00" in message


def test_an_answer_that_is_understood_otherwise_fails_at_that_step(tmp_path):
    path = SET / "fhir-r4" / "sandbox-desk.yaml"
    copy = edited(path, tmp_path, "'book as another caller: slot_taken'", "'book as another: no'")
    with pytest.raises(Mismatch, match=r"step 4 came to .*slot_taken.*recorded was"):
        replay(copy)
