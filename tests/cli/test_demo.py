"""The demo ends well only where all of it holds."""

from __future__ import annotations

import json
import re

import pytest

from cli.command import Command

STEPS = [
    "server",
    "connectors",
    "probe",
    "find",
    "match",
    "offer",
    "book",
    "second caller",
    "same key",
    "reschedule",
    "cancel",
    "book again",
    "the server",
]


def test_the_demo_as_a_document(bare: Command) -> None:
    done = bare.spawn("demo", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0, document["error"]
    assert done.stderr == ""
    assert set(document) == {"ok", "seconds", "steps", "error"}
    assert (document["ok"], document["error"]) == (True, None)
    steps = {s["name"]: s for s in document["steps"]}
    assert list(steps) == STEPS
    for step in steps.values():
        assert set(step) == {"name", "said", "milliseconds", "proof", "details"}
        assert step["milliseconds"] > 0
    for name in ("book", "reschedule", "book again"):
        proof = steps[name]["proof"]
        assert (proof["level"], proof["exclusive"]) == ("verified", "enforced")
    assert steps["cancel"]["proof"]["level"] == "verified"
    assert len(steps["second caller"]["details"]) == 3
    assert list(bare.folder.iterdir()) == []


def test_the_demo_as_people_read_it_survives_a_lost_answer(bare: Command) -> None:
    lost = "lost-reply:nth=1,method=POST,path=/Appointment"
    done = bare.spawn("demo", "--fault", lost, "--manner", "returns_body=no")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    for number, name in enumerate(STEPS, 1):
        assert any(re.match(rf" *{number} {name} +\d+ ms  \S", line) for line in lines), name
    assert len(re.findall("VERIFIED, exclusive: enforced", done.stdout)) == 3
    assert "SlotTaken" in done.stdout
    assert re.fullmatch(r"All 13 steps held, in \d+\.\d s\.", lines[-1])


@pytest.mark.slow
def test_the_demo_fails_where_booking_fails(bare: Command) -> None:
    done = bare.spawn("demo", "--json", "--fault", "html-200:method=POST,path=/Appointment")
    document = json.loads(done.stdout)
    assert done.returncode != 0
    assert document["ok"] is False
    assert document["error"]["code"] != "error"
    assert [s["name"] for s in document["steps"]] == STEPS[:6]


def test_the_demo_fails_where_the_server_does_not_start(bare: Command) -> None:
    done = bare.spawn("demo", "--fault", "no-such-fault")
    assert done.returncode == 11
    assert done.stdout == ""
    assert "no fault is called 'no-such-fault'" in done.stderr


def test_the_demo_fails_where_the_server_counts_otherwise(bare: Command) -> None:
    """What stands in the end is read past the connector: here a server shows others' as well."""
    dropped = "dropped-filter:param=patient,method=GET,path=/Appointment"
    done = bare.spawn("demo", "--json", "--fault", dropped)
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) != (0, True)
    assert done.returncode == {"bad_response": 33, "did_not_hold": 1}[document["error"]["code"]]
    assert [s["name"] for s in document["steps"]] == STEPS[:7]
