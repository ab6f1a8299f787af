"""Every error leaves by its own exit code, as a sentence or as a document."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cli.command import Command
from openslot.desk import Desk
from openslot.errors import OpenSlotError, SlotTaken, leaves

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_documented_exit_codes_are_those_of_the_tree() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|$", DOCS.read_text(), re.MULTILINE)
    assert [(int(code), name) for code, name in rows] == [(e.exit_code, e.code) for e in leaves()]


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda e: e.code)
def test_each_leaf_has_its_exit_code(
    leaf: type[OpenSlotError], local: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*args: Any, **kwargs: Any) -> None:
        raise leaf("this is what happened", request_id="req-1")

    monkeypatch.setattr(Desk, "find_slots", fails)
    document = local.json("find", code=leaf.exit_code)
    assert document["error"].pop("alternatives", []) == []
    document["error"].pop("reason", None)
    assert document == {
        "error": {"code": leaf.code, "message": "this is what happened", "request_id": "req-1"}
    }
    said = local.run("find")
    assert said.exit_code == leaf.exit_code
    assert said.stdout == ""
    assert said.stderr == "openslot: this is what happened (vendor's request id req-1)\n"


def test_rejections_carry_reason_and_fields(
    local: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from openslot.errors import Rejected, RejectedReason

    async def fails(*args: Any, **kwargs: Any) -> None:
        raise Rejected("a phone is needed", reason=RejectedReason.MISSING_FIELD, fields=("phone",))

    monkeypatch.setattr(Desk, "find_slots", fails)
    assert local.json("find", code=23)["error"] == {
        "code": "rejected",
        "message": "a phone is needed",
        "reason": "missing_field",
        "fields": ["phone"],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("find", "--from", "2026-03-08T02:30"), "no such local time"),
        (("find", "--limit", "0"), "--limit"),
        (("book", "token"), "say for whom"),
        (("book", "token", "--family", "Doe"), "say for whom"),
        (("book", "token", "--patient", "p", "--family", "Doe"), "not both"),
        (
            ("book", "t", "--family", "Doe", "--given", "R", "--birth-date", "17.5.1980"),
            "1980-05-17",
        ),
        (("book", "-", "--patient", "p"), "SLOT"),
        (("cancel",), "APPOINTMENT"),
        (("hold", "token", "--seconds", "0"), "--seconds"),
        (("release", "-"), "HOLD"),
        (("appointments",), "say whose"),
        (("appointments", "--patient", "p", "--practitioner", "d"), "say whose"),
        (("appointments", "--patient", "p", "--to", "2020-01-01"), "--to"),
        (("patients",), "say who"),
        (("patients", "--birth-date", "17.5.1980"), "1980-05-17"),
        (("completion", "csh"), "csh"),
        (("no-such-part",), "no-such-part"),
        (("sandbox",), "name a sandbox"),
    ],
)
def test_misuse_is_2_and_a_sentence(local: Command, arguments: tuple[str, ...], said: str) -> None:
    result = local.run(*arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stdout == ""
    document = local.json(*arguments, code=2)
    assert document["error"]["code"] == "usage"
    assert said in document["error"]["message"]


def test_no_settings_file(bare: Command) -> None:
    error = bare.json("find", code=11)["error"]
    assert error["code"] == "config_error"
    assert "write one" in error["message"]


def test_which_practice(bare: Command) -> None:
    table = 'connector = "local"\nzone = "Europe/Paris"\n'
    (bare.folder / "openslot.toml").write_text(
        f"[practices.north]\n{table}[practices.south]\n{table}"
    )
    assert "choose one with --practice" in bare.json("find", code=11)["error"]["message"]
    message = bare.json("find", "--practice", "nort", code=11)["error"]["message"]
    assert "did you mean 'north'?" in message
    # An empty clinic: that nothing is free is known.
    assert bare.json("--practice", "south", "find")["none"] is True


def test_tokens_that_are_altered_or_from_elsewhere(local: Command) -> None:
    token = local.json("find", "--limit", "1")["slots"][0]["token"]
    assert local.json("book", token[:-8] + "AAAAAAA=", "--patient", "pat-1", code=22)
    assert local.json("book", "BCDFG", "--patient", "pat-1", code=22)["error"]["code"] == "stale"


def test_taken_says_what_is_free_instead(local: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found = local.json("find", "--type", "follow-up", "--from", "tomorrow")["slots"]
    token = found[0]["token"]
    assert local.json("book", token, "--patient", "pat-1", "--key", "one")["confirmed"]
    error = local.json("book", token, "--patient", "pat-2", "--key", "two", code=21)["error"]
    assert error["code"] == SlotTaken.code
    assert len(error["alternatives"]) == 3
    other = error["alternatives"][0]["token"]
    assert local.json("book", other, "--patient", "pat-2", "--key", "three")["confirmed"]
    said = local.run("book", token, "--patient", "pat-2", "--key", "two")
    assert (said.exit_code, said.stdout) == (21, "")
    assert "free a moment ago" in said.stderr


@pytest.mark.parametrize("form", ["--tokens", "--json"])
def test_a_reader_that_leaves_early_hears_no_more(local: Command, form: str) -> None:
    with local.start("find", "--limit", "200", form) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 1


def test_the_errors_document_is_all_of_stdout(bare: Command) -> None:
    done = bare.spawn("find", "--json")
    assert done.returncode == 11
    assert json.loads(done.stdout)["error"]["code"] == "config_error"
    assert done.stderr == ""
