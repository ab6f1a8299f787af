"""`openslot conformance`: the matrix for people and for machines, and how it exits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner

from openslot.cli.conformance import conformance
from openslot.errors import ConfigError
from openslot.testing.suite import report
from suite.mutants import AcmeSandbox, NoCancel


def test_a_kept_connector_exits_with_nothing() -> None:
    run = CliRunner().invoke(conformance, ["local", "--json"], standalone_mode=False)
    document = json.loads(run.output)
    assert run.return_value == 0
    assert document["connector"] == "local"
    assert document["counts"].keys() == {"kept", "not applicable"}
    assert {"law": 4, "verb": "book", "verdict": "kept"} in document["matrix"]
    every = {c["check"]: c for c in document["checks"]}
    assert every["test_cancel_cancels"]["verdict"] == "kept"
    assert "nothing travels" in every["test_a_loop_of_pages_ends"]["reason"]


def test_a_broken_connector_is_told_with_what_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["test_cancel_cancels", "test_closing_twice_is_fine"]
    monkeypatch.setattr(report, "load_connector", lambda name: NoCancel)
    monkeypatch.setattr(report, "load_sandbox", lambda name: AcmeSandbox)
    whole: Any = report.run_suite
    monkeypatch.setattr(report, "run_suite", lambda suite: whole(suite, few))
    run = CliRunner().invoke(conformance, ["acme"], standalone_mode=False)
    assert run.return_value == 1
    assert "broken: test_cancel_cancels: it stands after it was cancelled" in run.output
    assert "use the vendor's cancellation, not a deletion" in run.output
    assert "acme: 1 kept, 1 broken" in run.output


def test_an_unknown_connector_is_a_config_error() -> None:
    run = CliRunner().invoke(conformance, ["fhir-r5"], standalone_mode=False)
    assert isinstance(run.exception, ConfigError)
    assert "did you mean 'fhir-r4'" in str(run.exception)
