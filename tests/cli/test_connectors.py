"""What is installed, also where something of it is broken."""

from __future__ import annotations

import json
import os

from cli.command import Command
from openslot.connector import VERBS

SHAPE = {
    "name",
    "title",
    "verbs",
    "traits",
    "evidence",
    "documentation",
    "verified_against",
    "notes",
}


def test_each_is_listed_with_what_it_claims(bare: Command) -> None:
    done = bare.spawn("connectors", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {c["name"]: c for c in json.loads(done.stdout)}
    assert {"local", "fhir-r4"} <= set(listed)
    for connector in listed.values():
        assert set(connector) == SHAPE
        assert {"find_slots", "book"} <= set(connector["verbs"]) <= set(VERBS)
        assert connector["evidence"] in {"live", "spec", "docs"}
        assert connector["traits"]["conflict_enforcement"] in {"yes", "no", "unproven"}
    said = bare.run("connectors")
    assert said.exit_code == 0
    assert "fhir-r4" in said.stdout


BROKEN = {
    "lacks": ("import a_package_that_is_nowhere", "a_package_that_is_nowhere"),
    "raises": ("undefined", "NameError"),
    "other": ("It = 3", "does not lead to a Connector"),
    "garbled": ("def :", "SyntaxError"),
    "empty": ("", "AttributeError"),
}


def test_those_that_do_not_load_hide_no_other(bare: Command) -> None:
    site = bare.folder / "site"
    info = site / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    lines = [f"{name} = broken_{name}:It" for name in BROKEN]
    (info / "entry_points.txt").write_text("\n".join(["[openslot.connectors]", *lines]))
    for name, (module, _) in BROKEN.items():
        (site / f"broken_{name}.py").write_text(module)
    done = bare.spawn("connectors", "--json", env={**os.environ, "PYTHONPATH": str(site)})
    assert (done.returncode, done.stderr) == (11, "")
    listed = {c["name"]: c for c in json.loads(done.stdout)}
    assert set(listed["local"]) == SHAPE
    for name, (_, said) in BROKEN.items():
        assert set(listed[name]) == {"name", "error"}
        assert listed[name]["error"]["code"] == "config_error"
        assert said in listed[name]["error"]["message"]


def test_the_command_stays_light(bare: Command) -> None:
    done = bare.spawn("--version")
    assert done.stdout.startswith("openslot, version ")
    loaded = bare.spawn("--help", env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"})
    names = {line.rpartition("|")[2].strip() for line in loaded.stderr.splitlines()}
    assert "openslot.cli.app" in names
    assert not {"httpx", "pydantic", "sqlalchemy", "fhir", "rich.console"} & names
