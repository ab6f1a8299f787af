"""The suite on a server that is not ours to move: what it asks for, cleans up, and does not say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from openslot.cli.conformance import conformance
from openslot.errors import ConfigError
from openslot.model import Window
from openslot.testing.auth import ApiKey
from openslot.testing.sandbox import SandboxClock
from openslot.testing.suite import Foreign, report
from openslot.testing.suite.report import Result, Verdict, abroad, run_suite
from openslot.testing.suite.world import populate
from suite.mutants import AcmeConnector, AcmeSandbox, NoCancel

ZONE = "America/New_York"


@pytest.fixture
def server() -> Iterator[tuple[AcmeSandbox, dict[str, Any]]]:
    """A test account: a server that runs by itself, of which the suite has the address alone."""
    sandbox = AcmeSandbox(
        zone=ZONE, clock=SandboxClock(), auth=ApiKey(), populate=lambda c: populate(c, ZONE)
    )
    with sandbox.serve() as url:
        yield sandbox, sandbox.settings(url)
    sandbox.close()


def account(settings: dict[str, Any], **more: Any) -> Foreign:
    start = datetime.now(UTC) + timedelta(days=1)
    window = Window(start, start + timedelta(days=7))
    given: dict[str, Any] = {"visit": "visit", **more}
    return Foreign(settings["base_url"], settings, window, **given)


def verdicts(
    monkeypatch: pytest.MonkeyPatch, foreign: Foreign, connector: type[Any], *names: str
) -> tuple[dict[str, Result], tuple[str, ...]]:
    monkeypatch.setattr(report, "load_connector", lambda name: connector)
    suite = abroad("acme", foreign, ZONE)
    found = run_suite(suite, [f"test_{n}" for n in names])
    return {r.check.name.removeprefix("test_"): r for r in found}, suite.left_standing


def test_what_can_be_seen_is_checked_and_what_was_booked_is_cancelled(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, settings = server
    told, left = verdicts(
        monkeypatch,
        account(settings),
        AcmeConnector,
        "book_writes_what_was_asked",
        "a_lost_booking_is_not_sent_again",
        "the_credential_is_in_no_address",
        "slots_are_what_is_free",
        "a_new_patient_is_registered",
        "slots_when_clocks_go_back",
        "the_practice_s_rules_are_rejected",
        "pending_is_read_as_pending",
    )
    kept = {name for name, r in told.items() if r.verdict is Verdict.KEPT}
    assert kept == {
        "book_writes_what_was_asked",
        "a_lost_booking_is_not_sent_again",
        "the_credential_is_in_no_address",
    }, told
    rest = {name: r for name, r in told.items() if name not in kept}
    assert {r.verdict for r in rest.values()} == {Verdict.NOT_APPLICABLE}, rest
    assert "through the connector itself" in rest["slots_are_what_is_free"].reason
    assert "stays there" in rest["a_new_patient_is_registered"].reason
    assert "cannot be moved" in rest["the_practice_s_rules_are_rejected"].reason
    made = sandbox.clinic.appointments()
    assert made, "nothing was booked, so nothing was checked"
    assert not [a for a in made if a.status.takes_time]
    assert left == ()


def test_a_broken_connector_is_seen_and_what_it_left_is_told(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox, settings = server
    told, left = verdicts(monkeypatch, account(settings), NoCancel, "cancel_cancels")
    assert told["cancel_cancels"].verdict is Verdict.BROKEN
    assert "it stands after it was cancelled" in told["cancel_cancels"].reason
    assert [a.id for a in sandbox.clinic.appointments() if a.status.takes_time] == list(left)
    assert left


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"needed": 1000}, "the suite needs 1000 free slots of one practitioner"),
        ({"patients": ("pat-1",)}, "the suite needs 5 test patients, not 1"),
    ],
)
def test_an_account_that_is_not_fit_is_told_before_anything_runs(
    server: Any, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], sentence: str
) -> None:
    sandbox, settings = server
    with pytest.raises(ConfigError, match=sentence):
        verdicts(monkeypatch, account(settings, **more), AcmeConnector, "cancel_cancels")
    assert not sandbox.clinic.appointments()


def invoked(folder: Path, url: str, *more: str, test: bool = True, name: str = "fhir-r4") -> Any:
    path = folder / "openslot.toml"
    path.write_text(
        f'[practices.trial]\nconnector = "fhir-r4"\nzone = "{ZONE}"\n'
        f"test = {'true' if test else 'false'}\n"
        f'[practices.trial.settings]\nbase_url = "{url}"\n'
    )
    arguments = [name, "--config", str(path), "--against", url, "--json", *more]
    return CliRunner().invoke(conformance, arguments, standalone_mode=False)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [({"test": False}, "test = true"), ({"name": "local"}, "spoken to by 'fhir-r4'")],
)
def test_only_a_test_practice_of_that_connector_is_booked_at(
    tmp_path: Path, how: dict[str, Any], sentence: str
) -> None:
    run = invoked(tmp_path, "http://127.0.0.1:9", **how)
    assert isinstance(run.exception, ConfigError)
    assert sentence in str(run.exception)


def test_credentials_go_to_no_other_server(tmp_path: Path) -> None:
    run = invoked(tmp_path, "http://127.0.0.1:9", "--against", "http://127.0.0.1:10")
    assert isinstance(run.exception, ConfigError)
    assert "belong to the server in its base_url" in str(run.exception)


def test_from_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openslot_connectors.fhir.sandbox import Sandbox

    whole: Any = report.run_suite
    few = ["test_cancel_cancels", "test_slots_are_what_is_free"]
    monkeypatch.setattr(report, "run_suite", lambda suite: whole(suite, few))
    sandbox = Sandbox(zone=ZONE, clock=SandboxClock(), populate=lambda c: populate(c, ZONE))
    with sandbox.serve() as url:
        run = invoked(tmp_path, url, "--rate", "0", "--type", "visit")
    sandbox.close()
    assert run.exception is None, run.exception
    document = json.loads(run.output)
    assert run.return_value == 0
    assert document["against"] == url
    assert document["counts"] == {"kept": 1, "not applicable": 1}
    assert document["left_standing"] == []
