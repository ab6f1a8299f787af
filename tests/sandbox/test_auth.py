"""Who is let in: keys, client credentials, SMART Backend Services, each as strict as it can be."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from openslot.registry import load_connector
from openslot.testing.auth import (
    JWT_BEARER,
    ApiKey,
    ClientCredentials,
    NoAuth,
    SmartBackend,
)
from openslot.testing.sandbox import SandboxClock
from sandbox.kit import NOW, Server, fetch, running

CLIENT = "sandbox-client"


@pytest.fixture
def smart() -> Iterator[Server]:
    yield from running(auth=SmartBackend(scopes=frozenset({"system/Slot.read"})))


def token_url(server: Server) -> str:
    """Where tokens are had, as the server itself says."""
    return str(server.get("/.well-known/smart-configuration")["token_endpoint"])


def assertion(server: Server, key: Any = None, header: Any = None, **changes: Any) -> str:
    """A client assertion, right but for the changes (None leaves a claim out)."""
    auth = server.sandbox.auth
    assert isinstance(auth, SmartBackend)
    assert auth.client_key is not None
    now = int(server.sandbox.clock.now().timestamp())
    claims = {
        "iss": CLIENT,
        "sub": CLIENT,
        "aud": token_url(server),
        "exp": now + 240,
        "jti": "j1",
        **changes,
    }
    fields = header or {"alg": "ES384", "kid": auth.client_key.kid, "typ": "JWT"}
    return jwt.encode(
        fields,
        {k: v for k, v in claims.items() if v is not None},
        key or ECKey.import_key(auth.client_key.pem),
        algorithms=["ES384", "RS384", "ES256"],
    )


def ask(server: Server, signed: str, scope: str = "system/Slot.read", **form: str) -> Any:
    """The token endpoint's answer."""
    return fetch(
        token_url(server),
        "POST",
        data={
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": signed,
            **form,
        },
        timeout=10,
    )


def bearer(answer: Any) -> dict[str, str]:
    """The header with the token in an answer."""
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


def test_a_token_opens_what_its_scope_says_and_no_more(smart: Server) -> None:
    answer = ask(smart, assertion(smart), "system/Slot.read system/Patient.write")
    assert answer.status_code == 200
    assert answer.json()["scope"] == "system/Slot.read"
    assert answer.json()["expires_in"] == 300
    headers = bearer(answer)
    slots = {"start": "2027-03-15", "_count": "1"}
    assert smart.client.get("/Slot", params=slots, headers=headers).status_code == 200
    refused = smart.client.get("/Patient/pat-1", headers=headers)
    assert (refused.status_code, refused.json()["issue"][0]["code"]) == (403, "forbidden")
    assert smart.client.get("/metadata").status_code == 200


def test_without_a_token_an_outcome_and_a_challenge(smart: Server) -> None:
    answer = smart.client.get("/Slot/x")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (401, "login")
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')


NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "https://elsewhere.example/token"},
        {"aud": None},
        {"iss": "someone-else"},
        {"sub": "someone-else"},
        {"exp": NOW_S - 1},
        {"exp": NOW_S + 301},
        {"exp": None},
        {"jti": None},
        {"jti": ""},
    ],
    ids=str,
)
def test_an_assertion_with_a_wrong_claim_is_refused(smart: Server, changes: Any) -> None:
    answer = ask(smart, assertion(smart, **changes))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_an_assertion_with_a_wrong_signature_is_refused(smart: Server) -> None:
    auth = smart.sandbox.auth
    assert isinstance(auth, SmartBackend)
    kid = auth.client_key.kid if auth.client_key else ""
    stranger = ECKey.generate_key("P-384")
    assert ask(smart, assertion(smart, stranger)).status_code == 401
    other = {"alg": "ES384", "kid": "other"}
    assert ask(smart, assertion(smart, header=other)).status_code == 401
    weak = ECKey.generate_key("P-256", {"kid": kid})
    assert ask(smart, assertion(smart, weak, {"alg": "ES256", "kid": kid})).status_code == 401
    unsigned = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + ".e30."
    assert ask(smart, unsigned).status_code == 401
    assert ask(smart, "rubbish").status_code == 401


def test_an_assertion_serves_once(smart: Server) -> None:
    signed = assertion(smart)
    assert ask(smart, signed).status_code == 200
    replayed = ask(smart, signed)
    assert (replayed.status_code, replayed.json()["error"]) == (401, "invalid_client")
    assert ask(smart, assertion(smart, jti="j2")).status_code == 200


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_assertion_type": "x"}, "invalid_request"),
        ({"scope": ""}, "invalid_scope"),
        ({"scope": "system/Patient.read"}, "invalid_scope"),
    ],
)
def test_a_wrong_request_names_its_error(smart: Server, form: Any, error: str) -> None:
    answer = ask(smart, assertion(smart), **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_token_expires_on_the_sandbox_clock_and_by_the_fault(smart: Server) -> None:
    headers = bearer(ask(smart, assertion(smart)))
    slots = {"start": "2027-03-15", "_count": "1"}
    smart.sandbox.clock.advance(timedelta(seconds=299))
    assert smart.client.get("/Slot", params=slots, headers=headers).status_code == 200
    smart.sandbox.clock.advance(timedelta(seconds=2))
    assert smart.client.get("/Slot", params=slots, headers=headers).status_code == 401
    # In the midst of paging: the second page finds the token expired, a new one goes on.
    headers = bearer(ask(smart, assertion(smart, jti="j2")))
    smart.sandbox.faults.add("expired-token:nth=2,method=GET,path=/Slot")
    page = smart.client.get("/Slot", params=slots, headers=headers).json()
    following = next(k["url"] for k in page["link"] if k["relation"] == "next")
    assert smart.client.get(following, headers=headers).status_code == 401
    assert smart.client.get(following, headers=headers).status_code == 401
    headers = bearer(ask(smart, assertion(smart, jti="j3")))
    assert smart.client.get(following, headers=headers).status_code == 200
    smart.sandbox.faults.add("revoked-token:nth=1,path=/Slot")
    assert smart.client.get(following, headers=headers).status_code == 401
    assert ask(smart, assertion(smart, jti="j4")).json()["error"] == "invalid_client"


def test_rs384_with_registered_keys() -> None:
    key = RSAKey.generate_key(2048, {"kid": "r1"})
    auth = SmartBackend(jwks={"keys": [key.as_dict(private=False)]})
    for server in running(auth=auth):
        signed = jwt.encode(
            {"alg": "RS384", "kid": "r1"},
            {
                "iss": CLIENT,
                "sub": CLIENT,
                "aud": token_url(server),
                "exp": NOW_S + 60,
                "jti": "1",
            },
            key,
            algorithms=["RS384"],
        )
        assert ask(server, signed, "system/*.*").status_code == 200


def test_client_credentials_as_basic_and_in_the_form() -> None:
    for server in running(auth=ClientCredentials()):
        url = server.sandbox.settings(server.url)["auth"]["token_url"]
        form = {"grant_type": "client_credentials", "scope": "system/Slot.rs"}
        good = {"client_id": CLIENT, "client_secret": "sandbox-secret"}
        assert fetch(url, "POST", data=form | good).status_code == 200
        basic = fetch(url, "POST", data=form, auth=(CLIENT, "sandbox-secret"))
        assert basic.status_code == 200
        wrong = fetch(url, "POST", data=form, auth=(CLIENT, "guess"))
        assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
        both = fetch(url, "POST", data=form | good, auth=(CLIENT, "sandbox-secret"))
        assert both.status_code == 400
        slots = {"start": "2027-03-15", "_count": "1"}
        found = server.client.get("/Slot", params=slots, headers=bearer(basic))
        assert found.status_code == 200
        assert fetch(url).status_code == 405


def test_a_static_key() -> None:
    for server in running(auth=ApiKey("k-1")):
        assert server.client.get("/Patient/pat-1").status_code == 401
        wrong = {"authorization": "Bearer k-2"}
        assert server.client.get("/Patient/pat-1", headers=wrong).status_code == 401
        right = {"authorization": "Bearer k-1"}
        assert server.client.get("/Patient/pat-1", headers=right).status_code == 200


@pytest.mark.parametrize("auth", [NoAuth, ApiKey, ClientCredentials, SmartBackend])
async def test_the_connector_gets_in_with_the_settings_that_the_sandbox_gives(auth: Any) -> None:
    connector = load_connector("fhir-r4")
    for server in running(auth=auth(), clock=SandboxClock()):
        settings = connector.Settings.model_validate(server.sandbox.settings(server.url))
        async with connector(settings, zone=ZoneInfo("America/New_York")) as practice:
            found = await practice.list_practitioners()
            assert [p.id for p in found] == ["dr-1", "dr-2", "dr-3"]
            server.sandbox.auth.expire()
            if auth is not ApiKey:
                assert (await practice.list_locations()).complete


@pytest.mark.parametrize("auth", [NoAuth, ApiKey, ClientCredentials, SmartBackend])
async def test_after_a_reset_whoever_was_shut_out_is_let_in_again(auth: Any) -> None:
    connector = load_connector("fhir-r4")
    for server in running(auth=auth(), clock=SandboxClock()):
        settings = connector.Settings.model_validate(server.sandbox.settings(server.url))
        server.sandbox.auth.revoke()
        server.sandbox.reset()
        async with connector(settings, zone=ZoneInfo("America/New_York")) as practice:
            assert (await practice.list_practitioners()).complete
