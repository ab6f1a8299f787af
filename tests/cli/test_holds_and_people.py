"""Hold and release over processes; whose appointments; who is known; what a shell completes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from cli.command import OPENSLOT, Command
from cli.test_flows import PERSON, SLOT
from openslot import Connector, Patient, PatientQuery
from openslot.cli.app import cli
from openslot.clinic import Clinic
from openslot_connectors.fhir.sandbox import Sandbox
from openslot_connectors.local.connector import LocalConnector

HOLD = {"practice", "key", "token", "id", "slot", "expires", "emulated", "as_of"}
APPOINTMENTS = {
    "practice",
    "complete",
    "none",
    "missing",
    "appointments",
    "as_of",
    "source",
}
PATIENTS = {"practice", "level", "patient", "agreed"}


@pytest.fixture(params=["local", "fhir"])
def command(request: pytest.FixtureRequest) -> Command:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Command)
    return made


@pytest.fixture
def holdless(local: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A practice whose system cannot hold."""
    for verb in ("hold", "release"):
        monkeypatch.setattr(LocalConnector, verb, getattr(Connector, verb))
    return local


def slots(command: Command, *arguments: str) -> Any:
    asked = ("find", "--from", "tomorrow", "--type", "new", "--patient-new", *arguments)
    return command.json(*asked)["slots"]


def test_a_hold_keeps_others_out_and_is_booked_from_another_process(command: Command) -> None:
    slot = slots(command, "--limit", "1")[0]
    held = command.json("hold", slot["token"], "--key", "call-1")
    assert set(held) == HOLD
    assert set(held["slot"]) == SLOT
    # As it is set up here, that FHIR server cannot hold: the journal does.
    assert held["emulated"] is ("fhir-r4" in (command.folder / "openslot.toml").read_text())
    assert held["key"] == "call-1"
    assert held["slot"]["start"] == slot["start"]
    assert held["token"].startswith("hold.")
    assert command.json("book", slot["token"], *PERSON, "--key", "other", code=21)
    booked = command.spawn("book", held["token"], *PERSON, "--key", "mine", "--json")
    assert booked.returncode == 0, booked.stderr
    assert json.loads(booked.stdout)["appointment"]["start"] == slot["start"]
    # The slot itself and the hold on it are one request.
    assert command.json("book", slot["token"], *PERSON, "--key", "mine")["confirmed"]
    # What was booked stays booked.
    command.json("release", held["token"])
    assert command.json("outcome", "mine")["since"] is None


def test_a_hold_is_given_back(command: Command) -> None:
    token = slots(command, "--limit", "1")[0]["token"]
    held = command.json("hold", token, "--key", "call-1")["token"]
    assert command.json("hold", token, "--key", "call-2", code=21)["error"]["code"] == "slot_taken"
    document = command.spawn("release", held, "--json").stdout
    assert json.loads(document) == {"practice": "riverside", "released": True}
    assert command.json("release", "-", code=2)  # nothing on stdin
    assert command.run("release", "-", stdin=held + "\n").stdout == "Released.\n"
    assert command.json("book", token, *PERSON, "--key", "call-2")["confirmed"]


def test_where_the_system_cannot_hold_the_journal_does(holdless: Command) -> None:
    token = slots(holdless, "--limit", "1")[0]["token"]
    held = holdless.json("hold", token, "--key", "call-1", "--seconds", "600")
    assert held["emulated"] is True
    again = holdless.json("hold", token, "--key", "call-1", "--seconds", "900")
    assert (again["id"], again["expires"] > held["expires"]) == (held["id"], True)
    assert holdless.json("book", token, *PERSON, "--key", "other", code=21)
    assert holdless.json("book", held["token"], *PERSON, "--key", "mine")["confirmed"]


def test_a_token_of_one_kind_is_not_taken_for_the_other(local: Command) -> None:
    token = slots(local, "--limit", "1")[0]["token"]
    held = local.json("hold", token)["token"]
    assert local.json("release", token, code=22)["error"]["code"] == "stale"
    for altered in (held[:-8] + "AAAAAAA=", held.removeprefix("hold."), "hold." + token):
        assert local.json("book", altered, *PERSON, code=22)["error"]["code"] == "stale"


def test_what_people_read_of_a_hold(local: Command, holdless: Command) -> None:
    token = slots(local, "--limit", "1")[0]["token"]
    said = local.run("hold", token, "--key", "call-1").stdout
    lines = said.splitlines()
    assert re.match(r"Held until \d\d:\d\d:\d\d E[SD]T: nothing is booked\.$", lines[0])
    assert "binds         those who book through this journal" in said
    assert re.fullmatch(r"hold\.gAAAA\S{100,}", lines[-1])
    assert local.run("book", "-", *PERSON, stdin=lines[-1]).exit_code == 0


def test_whose_appointments(command: Command) -> None:
    slot = slots(command, "--limit", "1")[0]
    booked = command.json("book", slot["token"], *PERSON, "--reason", "cough", "--key", "k")
    id, patient = booked["appointment"]["id"], booked["appointment"]["patient"]
    listed = command.json("appointments", "--patient", patient)
    assert set(listed) == APPOINTMENTS
    assert (listed["complete"], listed["none"], listed["missing"]) == (True, False, [])
    assert [a["id"] for a in listed["appointments"]] == [id]
    day = slot["start"][:10]
    asked = ("appointments", "--practitioner", slot["practitioner"], "--from", day, "--to", day)
    mine = command.json(*asked)["appointments"]
    assert id in [a["id"] for a in mine]
    assert {a["start"][:10] for a in mine} == {day}
    said = command.run("appointments", "--patient", patient)
    assert said.exit_code == 0
    assert re.search(rf"^ {id} +\w{{3}} \d\d \w{{3}} 20\d\d.*booked +{patient}", said.stdout, re.M)
    assert "cough" not in said.stdout

    command.json("cancel", id, "--key", "c")
    assert command.json("appointments", "--patient", patient)["none"] is True
    assert "There is no appointment" in command.run("appointments", "--patient", patient).stdout
    kept = command.json("appointments", "--patient", patient, "--cancelled")["appointments"]
    assert [(a["id"], a["status"]) for a in kept] == [(id, "cancelled")]


def test_what_is_missing_of_a_list_is_said(fhir: Command, sandbox: Sandbox) -> None:
    from openslot.testing.faults import Fault

    slot = slots(fhir, "--limit", "1")[0]
    patient = fhir.json("book", slot["token"], *PERSON)["appointment"]["patient"]
    sandbox.faults.add(Fault.parse("page-loop:path=/Appointment"))
    document = fhir.json("appointments", "--patient", patient, code=3)
    assert (document["complete"], document["none"]) == (False, False)
    assert "Not read: " in fhir.run("appointments", "--patient", patient).stdout


def somebody(local: Command) -> Patient:
    with Clinic(local.folder / "clinic.db") as clinic:
        found = clinic.find_patients(PatientQuery(id="pat-1"))
    return found[0]


def test_none_one_and_many(local: Command) -> None:
    slots(local)  # makes the clinic
    known = somebody(local)
    assert known.name is not None
    assert known.name.family is not None
    born = str(known.birth_date)
    exact = ("--family", known.name.family, "--given", known.name.given[0], "--birth-date", born)
    document = local.json("patients", *exact)
    assert set(document) == PATIENTS
    assert (document["level"], document["patient"]) == ("one", "pat-1")
    assert document["agreed"] == ["family", "given", "birth_date"]
    said = local.run("patients", *exact)
    assert said.output == "One: pat-1, agreeing in family, given, birth_date.\n"

    nobody = ("--family", "Brassovane", "--given", "Lumira", "--birth-date", "1984-03-09")
    assert local.json("patients", *nobody) == {
        "practice": "riverside",
        "level": "none",
        "patient": None,
        "agreed": [],
    }
    assert local.run("patients", *nobody).stdout.startswith("None: ")

    # Twins of one name, as far as was said: neither of them is disclosed.
    with Clinic(local.folder / "clinic.db") as clinic:
        from dataclasses import replace

        from openslot import HumanName

        name = HumanName(known.name.family, ("Zerelda",))
        clinic.create_patient(replace(known, id=None, name=name, telecom=(), identifiers=()))
    vague = ("--family", known.name.family, "--birth-date", born)
    assert local.json("patients", *vague, code=3) == {
        "practice": "riverside",
        "level": "many",
        "patient": None,
        "agreed": [],
    }
    many = local.run("patients", *vague)
    assert (many.exit_code, many.output) == (3, "Many may be meant: give more facts.\n")


def test_no_guess_where_the_search_was_cut(fhir: Command, sandbox: Sandbox) -> None:
    from openslot.testing.faults import Fault

    sandbox.faults.add(Fault.parse("page-loop:path=/Patient"))
    error = fhir.json("patients", "--family", "A", code=31)["error"]
    assert error["code"] == "unavailable"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_is_printed(bare: Command, shell: str) -> None:
    script = bare.run("completion", shell).stdout
    assert "_OPENSLOT_COMPLETE" in script
    assert bare.json("completion", shell) == {"shell": shell, "script": script.removesuffix("\n")}


def test_a_shell_that_read_it_completes(bare: Command) -> None:
    script = bare.run("completion", "bash").stdout
    # What `complete -F` would do once a person has typed `openslot app` and pressed the key.
    asks = "COMP_WORDS=(openslot app); COMP_CWORD=1; _openslot_completion openslot; "
    programs = bare.folder / "bin"
    programs.mkdir()
    program = programs / "openslot"
    program.write_text(f"#!{sys.executable}\n{OPENSLOT[2]}\n")
    program.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", script + "\n" + asks + 'echo "${COMPREPLY[*]}"'],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "appointments\n", done.stderr


def test_every_part_is_in_the_table_of_the_page() -> None:
    from cli.test_errors import DOCS

    rows = re.findall(r"^\| (`openslot .*?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    named = {n for row in rows for n in re.findall(r"`openslot ([\w-]+)", row)}
    assert named == set(cli.commands)


@pytest.mark.parametrize("holds", ["local", "holdless"])
def test_a_held_time_can_be_moved_to(holds: str, request: pytest.FixtureRequest) -> None:
    command: Command = request.getfixturevalue(holds)
    old, new = (s["token"] for s in slots(command, "--limit", "3")[::2])
    id = command.json("book", old, *PERSON, "--key", "k")["appointment"]["id"]
    held = command.json("hold", new)["token"]
    assert command.json("reschedule", id, held, "--key", "m")["confirmed"]
    assert command.json("cancel", id, "--key", "c")["confirmed"]
    # Nothing is left of the hold.
    assert command.json("book", new, *PERSON, "--key", "again")["confirmed"]


def test_nothing_is_left_of_a_hold_that_was_booked(holdless: Command) -> None:
    token = slots(holdless, "--limit", "1")[0]["token"]
    held = holdless.json("hold", token)["token"]
    id = holdless.json("book", held, *PERSON, "--key", "k")["appointment"]["id"]
    assert holdless.json("cancel", id)["confirmed"]
    assert holdless.json("book", token, *PERSON, "--key", "other")["confirmed"]
