"""Recording whole sessions: twice the same, with credentials that stay out, and from a test."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cassette_tests.toy import KEY
from openslot.errors import ConfigError
from openslot.model import SlotQuery, Window
from openslot.testing.auth import ApiKey, ClientCredentials, SandboxAuth, SmartBackend
from openslot.testing.cassettes import (
    Cassette,
    CassetteError,
    Live,
    Mismatch,
    Options,
    Playing,
    cassette,
    record,
    record_sandbox,
    replay,
)
from openslot.testing.cassettes.clinic import small_clinic
from openslot.testing.cassettes.diff import changes
from openslot.testing.cassettes.run import CLOCK
from openslot.testing.sandbox import SandboxClock
from openslot_connectors.fhir.sandbox import Sandbox


def test_two_recordings_of_a_session_are_the_same_file(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    for path in (one, two):
        record_sandbox(path, "fhir-r4", scenario="contract")
    assert one.read_text("utf-8") == two.read_text("utf-8")
    assert not list(changes(Cassette.load(one), Cassette.load(two), exact=True))


def sandbox(auth: SandboxAuth | None = None) -> Sandbox:
    return Sandbox(clock=SandboxClock(CLOCK), populate=small_clinic, auth=auth)


def credentials(box: Sandbox, url: str) -> dict[str, Any]:
    match box.auth:
        case ApiKey(key=key):
            return {"kind": "key", "key": key}
        case ClientCredentials(client_id=client, client_secret=secret):
            token_url = url.removesuffix("/fhir") + "/oauth2/token"
            return {
                "kind": "client_credentials",
                "token_url": token_url,
                "client_id": client,
                "client_secret": secret,
                "authentication": "client_secret_post",
            }
        case SmartBackend(client_id=client, client_key=key):
            assert key is not None
            return {"kind": "smart", "client_id": client, "private_key": key.pem, "kid": key.kid}
    raise AssertionError(box.auth)


@pytest.mark.parametrize("kind", [ApiKey, ClientCredentials, SmartBackend])
def test_a_credential_is_used_stays_out_of_the_file_and_is_not_needed_again(tmp_path, kind):
    path = tmp_path / "x.yaml"
    box = sandbox(kind())
    with box.serve() as url:
        auth = credentials(box, url)
        record(
            path,
            connector="fhir-r4",
            settings={"base_url": url, "auth": auth},
            answered_by="sandbox fhir-r4",
            scenario="contract",
        )
    box.close()
    text = path.read_text("utf-8")
    for secret in (auth.get("key"), auth.get("client_secret"), auth.get("private_key")):
        assert secret is None or str(secret) not in text
    assert "127.0.0.1" not in text
    assert ("access_token: '{secret}'" in text) is (kind is not ApiKey)
    # Twice: a token of the first replay must not be found by the second.
    assert replay(path) == replay(path)


def test_a_session_that_finds_no_slot_says_what_to_name(tmp_path):
    box = sandbox()
    with box.serve() as url, pytest.raises(CassetteError, match="--hours"):
        record(
            tmp_path / "x.yaml",
            connector="fhir-r4",
            settings=box.settings(url),
            answered_by="sandbox fhir-r4",
            options=Options(hours=(20, 22)),
        )
    box.close()
    assert not list(tmp_path.iterdir())


def test_an_unknown_scenario_or_connector_is_one_sentence(tmp_path):
    with pytest.raises(CassetteError, match="there is no scenario 'deks'"):
        record_sandbox(tmp_path / "x.yaml", "fhir-r4", scenario="deks")
    with pytest.raises(ConfigError, match="no sandbox is called"):
        record_sandbox(tmp_path / "x.yaml", "fhir-r5")


async def find(playing: Playing, *, days: int = 5) -> int:
    zone = playing.practice.zone_info
    start = playing.clock.now().astimezone(zone).replace(hour=9)
    day = start.replace(day=start.day + days)
    async with playing.practice.open(clock=playing.clock) as connector:
        found = await connector.find_slots(SlotQuery(Window(day, day.replace(hour=11))))
    return len(found.items)


def test_a_test_records_once_and_plays_from_then_on(tmp_path: Path, monkeypatch):
    path = tmp_path / "find.yaml"
    with pytest.raises(CassetteError, match="record it first"), cassette(path):
        pass
    box = sandbox()
    monkeypatch.setenv("OPENSLOT_RECORD", "1")
    with box.serve() as url:
        live = Live("fhir-r4", {"base_url": url}, "sandbox fhir-r4")
        with cassette(path, live=live, test="test_find") as playing:
            assert playing.recording
            assert asyncio.run(find(playing)) == 4
    box.close()
    monkeypatch.delenv("OPENSLOT_RECORD")
    with cassette(path) as playing:
        assert not playing.recording
        assert asyncio.run(find(playing)) == 4
    with pytest.raises(Mismatch, match=r"query\.start"), cassette(path) as playing:
        asyncio.run(find(playing, days=6))
    assert Cassette.load(path).provenance.scenario == "test: test_find"


async def test_a_cassette_plays_inside_a_running_loop():
    path = Path(__file__).resolve().parent.parent / "cassettes/fhir-r4/sandbox-contract.yaml"
    with pytest.raises(Mismatch, match="were not played"), cassette(path) as playing:
        async with playing.practice.open(clock=playing.clock) as connector:
            assert connector.capabilities.can("book")


def test_recording_needs_somebody_to_record(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENSLOT_RECORD", "1")
    with pytest.raises(CassetteError, match="nobody to record"), cassette(tmp_path / "x.yaml"):
        pass
    assert KEY not in str(list(tmp_path.iterdir()))
