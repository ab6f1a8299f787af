"""Find, book, move, cancel and ask again: against a clinic's file, and against a FHIR server."""

from __future__ import annotations

import json
import re
import signal
from typing import Any

import pytest

from cli.command import Command
from openslot.testing.faults import Fault
from openslot_connectors.fhir.sandbox import Sandbox

FIND = {
    "practice",
    "window",
    "complete",
    "none",
    "missing",
    "total",
    "slots",
    "as_of",
    "source",
}
SLOT = {
    "start",
    "end",
    "id",
    "schedule",
    "resources",
    "location",
    "appointment_type",
    "visit_mode",
    "status",
    "capacity",
    "segments",
    "as_of",
    "source",
    "token",
    "practitioner",
}
OUTCOME = {
    "practice",
    "intent",
    "verb",
    "state",
    "as_of",
    "settled",
    "confirmed",
    "key",
    "appointment",
    "proof",
    "failure",
    "alternatives",
    "mismatch",
    "way",
    "old_slot",
    "old_standing",
    "since",
    "since_appointment",
    "level",
    "exclusive",
}
PERSON = (
    *("--family", "Brassovane", "--given", "Lumira", "--birth-date", "1984-03-09"),
    *("--phone", "+1 212 555 0142", "--patient-new"),
)


@pytest.fixture(params=["local", "fhir"])
def command(request: pytest.FixtureRequest) -> Command:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Command)
    return made


def slots(command: Command, *arguments: str) -> Any:
    return command.json("find", "--from", "tomorrow", "--type", "new", "--patient-new", *arguments)


def test_from_find_to_cancel(command: Command) -> None:
    found = slots(command, "--limit", "40")
    assert set(found) == FIND
    assert (found["complete"], found["none"], found["missing"]) == (True, False, [])
    assert found["total"] > len(found["slots"]) == 40
    first, second = found["slots"][0], found["slots"][39]
    assert set(first) == set(second) == SLOT

    booked = command.json("book", first["token"], *PERSON, "--key", "call-1")
    assert set(booked) == OUTCOME
    assert (booked["verb"], booked["state"], booked["level"]) == ("book", "verified", "verified")
    assert (booked["confirmed"], booked["exclusive"]) == (True, "enforced")
    assert {"start", "end", "patient"} <= set(booked["proof"]["compared"])
    assert booked["appointment"]["start"] == first["start"]

    # The same key is the same answer, also in another process.
    again = command.spawn("book", first["token"], *PERSON, "--key", "call-1", "--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout) == booked
    # The same key for another slot is not.
    error = command.json("book", second["token"], *PERSON, "--key", "call-1", code=24)["error"]
    assert error["code"] == "key_reused"

    moved = command.json("reschedule", booked["appointment"]["id"], second["token"], "--key", "m")
    assert set(moved) == OUTCOME
    assert (moved["confirmed"], moved["old_slot"]) == (True, "freed")
    assert moved["appointment"]["start"] == second["start"]
    assert command.json("outcome", "call-1")["since"] == "moved"

    # The first id still leads to where the appointment is now.
    cancelled = command.json("cancel", booked["appointment"]["id"], "--key", "c")
    assert (cancelled["confirmed"], cancelled["appointment"]["status"]) == (True, "cancelled")
    assert command.json("outcome", "m")["since"] == "cancelled"
    assert command.json("unsettled") == {"practice": "riverside", "unsettled": []}
    assert command.json("recover") == {"practice": "riverside", "recovered": [], "unsettled": []}


def test_what_people_read(command: Command) -> None:
    shown = command.run("find", "--from", "tomorrow", "--type", "new", "--limit", "3", "--tokens")
    assert shown.exit_code == 0
    assert re.search(r"^\d+ free slots; the first 3 seen:", shown.stdout)
    assert re.search(r" 1 +\w{3} \d\d \w{3} 20\d\d, \d\d:\d\d to \d\d:\d\d E[SD]T ", shown.stdout)
    tokens = re.findall(r"^\d+ (gAAAA\S{100,})$", shown.stdout, re.MULTILINE)
    assert len(tokens) == 3

    booked = command.run("book", "-", *PERSON, stdin=tokens[0] + "\n")
    assert booked.exit_code == 0, booked.output
    assert booked.stdout.startswith("Booked: confirmed.\n")
    for said in ("proof         verified", "exclusive     enforced", "compared      start, end,"):
        assert f"\n  {said}" in booked.stdout
    key = re.fullmatch(r"key: (cli-\w{16}) \(.*openslot outcome \1\)\n", booked.stderr)
    assert key is not None
    told = command.run("outcome", key[1])
    assert (told.exit_code, told.stdout) == (0, booked.stdout)
    # Who was booked is nowhere in it.
    assert not re.search("Brassovane|Lumira|1984|0142", booked.output + told.output)


def test_common_options_stand_before_and_behind(local: Command) -> None:
    journal = local.folder / "elsewhere.db"
    before = local.run("--json", "--practice", "riverside", "--journal", str(journal), "unsettled")
    behind = local.run("unsettled", "--journal", str(journal), "--practice", "riverside", "--json")
    assert json.loads(before.stdout) == json.loads(behind.stdout)
    assert journal.exists()
    assert not (local.folder / "openslot-journal.db").exists()


def test_the_settings_file_may_be_named_by_the_environment(
    local: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSLOT_CONFIG", str(local.folder / "openslot.toml"))
    (local.folder / "below").mkdir()
    below = Command(local.folder / "below")
    assert below.spawn("unsettled").stdout == "Nothing is unsettled.\n"


def test_what_is_missing_is_said_and_none_is_not(fhir: Command, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault.parse("page-loop:path=/Slot"))
    result = fhir.run("find", "--from", "tomorrow", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["complete"], document["none"]) == (3, False, False)
    assert document["missing"]
    said = fhir.run("find", "--from", "tomorrow")
    assert said.exit_code == 3
    assert "perhaps others" in said.stdout
    assert "Not read: " in said.stdout


def test_the_key_is_known_before_anything_leaves(fhir: Command, sandbox: Sandbox) -> None:
    token = slots(fhir, "--limit", "1")["slots"][0]["token"]
    sandbox.faults.add(Fault.parse("delay-after:method=POST,path=/Appointment,seconds=30,times=1"))
    with fhir.start("book", token, "--patient", "pat-1", "--patient-new") as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        while not sandbox.faults.fired:  # the server has the booking, and keeps its answer
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    key = said.split()[1]
    assert fhir.json("outcome", key, code=40)["state"] == "sent"
    listed = fhir.json("unsettled", code=3)["unsettled"]
    assert [o["state"] for o in listed] == ["sent"]
    recovered = fhir.json("recover")
    assert [o["state"] for o in recovered["recovered"]] == ["verified"]
    assert fhir.json("outcome", key)["confirmed"] is True
    asked = fhir.json("book", token, "--patient", "pat-1", "--patient-new", "--key", key)
    assert asked["appointment"]["id"] == recovered["recovered"][0]["appointment"]["id"]


def test_an_interrupt_is_130(fhir: Command, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault.parse("delay-before:path=/Slot,seconds=30"))
    with fhir.start("find", "--json") as process:
        while not sandbox.faults.fired:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=20)
    assert process.returncode == 130
    assert json.loads(said)["error"]["code"] == "interrupted"
    assert complaints.strip() == ""
