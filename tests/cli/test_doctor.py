"""What the doctor finds, and how it says so."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.command import Command
from openslot import Connector, Rejected, RejectedReason, SlotQuery
from openslot.testing.auth import ApiKey
from openslot.testing.faults import Fault
from openslot_connectors.fhir.sandbox import Sandbox
from openslot_connectors.local.connector import LocalConnector

SHAPE = {
    "practice",
    "connector",
    "zone",
    "ok",
    "server",
    "skew_seconds",
    "verbs",
    "withheld",
    "traits",
    "checks",
}


def checks(document: Any) -> dict[str, Any]:
    assert set(document) == SHAPE
    for check in document["checks"]:
        assert set(check) == {"name", "state", "message", "code", "milliseconds"}
        assert check["state"] in {"ok", "warn", "fail"}
    return {check["name"]: check for check in document["checks"]}


def test_a_healthy_practice(fhir: Command) -> None:
    document = fhir.json("doctor")
    found = checks(document)
    assert document["ok"] is True
    assert {c["state"] for c in found.values()} == {"ok"}
    assert found["reach"]["milliseconds"] > 0
    assert abs(document["skew_seconds"]) < 5
    assert {"find_slots", "book", "cancel"} <= set(document["verbs"])
    assert "parse_webhook" in document["withheld"]
    assert document["traits"]["conflict_enforcement"] == "yes"
    # Looking leaves nothing behind.
    assert [p.name for p in fhir.folder.iterdir()] == ["openslot.toml"]
    said = fhir.run("doctor")
    assert said.exit_code == 0
    assert "ok   reach" in said.stdout


def test_nobody_there(bare: Command) -> None:
    bare.toml("fhir-r4", {"base_url": "http://127.0.0.1:9/fhir"})
    document = bare.json("doctor", code=31)
    found = checks(document)
    assert document["ok"] is False
    assert (found["reach"]["state"], found["reach"]["code"]) == ("fail", "unavailable")
    assert bare.run("doctor").exit_code == 31


def test_a_wrong_setting_does_not_hide_the_rest(bare: Command) -> None:
    bare.toml("fhir-r4", {"base_urll": "http://127.0.0.1:9/fhir"})
    found = checks(bare.json("doctor", code=11))
    assert "did you mean 'base_url'" in found["settings"]["message"]
    assert found["journal"]["state"] == "ok"


def test_a_wrong_key(bare: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVERSIDE_KEY", "not-the-key-at-all")
    guarded = Sandbox(auth=ApiKey(key="the-key"))
    with guarded.serve() as url:
        bare.toml("fhir-r4", {"base_url": url})
        with (bare.folder / "openslot.toml").open("a") as file:
            file.write('\nauth = { kind = "key", key = "env:RIVERSIDE_KEY" }\n')
        error = bare.json("find", code=12)["error"]
        assert error["code"] == "auth_failed"
        # The sandbox shows its CapabilityStatement to everybody, as servers must.
        document = bare.json("doctor", code=12)
        found = checks(document)
        assert found["reach"]["state"] == "ok"
        assert (found["read"]["state"], found["read"]["code"]) == ("fail", "auth_failed")
        assert document["ok"] is False
        monkeypatch.setenv("RIVERSIDE_KEY", "the-key")
        assert checks(bare.json("doctor"))["read"]["state"] == "ok"
    guarded.close()
    assert "not-the-key" not in json.dumps(error) + json.dumps(document)


def test_what_can_be_read_in_part_is_a_warning(fhir: Command, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault.parse("page-loop:path=/Slot"))
    found = checks(fhir.json("doctor"))
    assert found["read"]["state"] == "warn"
    assert "in part only" in found["read"]["message"]


def test_clocks_apart_and_work_undone(fhir: Command, sandbox: Sandbox) -> None:
    sandbox.faults.add(Fault.parse("clock-skew:seconds=-90"))
    document = fhir.json("doctor")
    found = checks(document)
    assert found["clock"]["state"] == "warn"
    assert "behind" in found["clock"]["message"]
    assert -95 < document["skew_seconds"] < -85


def test_keys_and_journal(local: Command) -> None:
    local.json("find", "--limit", "1")  # makes both
    journal = local.folder / "openslot-journal.db"
    keys = local.folder / "openslot-journal.db.keys"
    found = checks(local.json("doctor"))
    assert (found["journal"]["state"], found["keys"]["state"]) == ("ok", "ok")
    keys.chmod(0o644)
    found = checks(local.json("doctor", code=11))
    assert "chmod 600" in found["keys"]["message"]
    keys.unlink()
    found = checks(local.json("doctor"))
    assert found["keys"]["state"] == "warn"
    assert not keys.exists()
    journal.write_bytes(b"this is no database at all" * 100)
    found = checks(local.json("doctor", code=11))
    assert found["journal"]["state"] == "fail"


def test_it_writes_to_test_practices_only(local: Command, fhir: Command) -> None:
    # Both are one folder: the settings of the second stand, and say nothing of a test practice.
    error = fhir.json("doctor", "--write-probe", code=11)["error"]
    assert "test = true" in error["message"]


def test_it_says_what_writing_showed(local: Command) -> None:
    found = checks(local.json("doctor", "--write-probe"))
    assert found["write"]["state"] == "ok"


def test_a_connector_that_cannot_look_is_not_said_to_be_reached(
    local: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalConnector, "probe", Connector.probe)
    found = checks(local.json("doctor"))
    assert "reach" not in found
    assert found["read"]["state"] == "ok"

    async def refuses(self: LocalConnector, query: SlotQuery) -> None:
        raise Rejected("an appointment type is needed", reason=RejectedReason.MISSING_FIELD)

    monkeypatch.setattr(LocalConnector, "find_slots", refuses)
    found = checks(local.json("doctor"))
    assert found["read"]["state"] == "warn"
    assert "let in" in found["read"]["message"]
