"""The records of conformance: what they say, and what becomes of one when the code has changed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from openslot import connector_names, load_connector
from openslot.testing.suite.base import Check
from openslot.testing.suite.record import code_hash, record
from openslot.testing.suite.report import LAWS, Result, Verdict
from openslot_connectors.fhir.connector import FhirR4Connector

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", DOCS / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_record_says_what_was_kept_and_why_the_rest_was_not() -> None:
    results = (
        Result(Check("test_a", 4, ("book", "cancel")), Verdict.KEPT),
        Result(Check("test_b", 4, ("book",)), Verdict.EXPECTED, "their manner"),
        Result(Check("test_c", 0, ()), Verdict.NOT_APPLICABLE, "no clock"),
    )
    made = record(FhirR4Connector, "a server", results, {"server": "1"})
    assert made["counts"] == {"expected": 1, "kept": 1, "not applicable": 1}
    assert {"law": 4, "verb": "book", "kept": 1, "expected": 1} in made["matrix"]
    assert {"law": 0, "verb": "all", "not applicable": 1} in made["matrix"]
    assert made["expected"] == {"test_b": "their manner"}
    assert made["not_applicable"] == {"test_c": "no clock"}
    assert made["code"] == code_hash(FhirR4Connector)


def test_a_changed_file_makes_another_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deeper").mkdir()
    for name in ("connector.py", "deeper/mapping.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr("inspect.getfile", lambda of: str(tmp_path / "connector.py"))
    before = code_hash(FhirR4Connector)
    (tmp_path / "deeper" / "mapping.py").write_text("x = 2\n")
    assert code_hash(FhirR4Connector) != before


def test_a_record_of_older_code_is_shown_as_such_and_fails_nothing(readme: ModuleType) -> None:
    made = json.loads((DOCS / "conformance" / "fhir-r4.json").read_text())
    now = "\n".join(readme._record("fhir-r4", {**made, "code": code_hash(FhirR4Connector)}))
    old = "\n".join(readme._record("fhir-r4", {**made, "code": "0" * 64}))
    assert readme.OLD not in now
    assert readme.OLD in old
    assert readme._undated(old) == now


def test_every_connector_of_ours_has_a_record_of_which_nothing_is_broken() -> None:
    found = {p.stem: json.loads(p.read_text()) for p in (DOCS / "conformance").glob("*.json")}
    ours = {
        name
        for name in connector_names()
        if load_connector(name).__module__.startswith("openslot_connectors.")
    }
    assert ours <= found.keys()
    assert not {name for name, made in found.items() if made["broken"]}


def test_the_page_names_the_laws(readme: ModuleType) -> None:
    page = (DOCS / "conformance" / "README.md").read_text()
    assert all(f"| {number} | {text} |" in page for number, text in LAWS.items())
