"""Addresses become placeholders and come back; secrets do not."""

from __future__ import annotations

import base64

import pytest
from pydantic import BaseModel, SecretStr

from openslot.testing.cassettes.veil import SECRET, Veil


class Inner(BaseModel):
    token_url: str = "http://127.0.0.1:7/token"
    password: SecretStr = SecretStr("pass/word+1")


class Settings(BaseModel):
    base_url: str = "http://127.0.0.1:80/fhir/"
    auth: Inner = Inner()
    pin: SecretStr = SecretStr("12")


VEIL = Veil.of(Settings())


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("http://127.0.0.1:80/fhir/Slot/1", "{base_url}/Slot/1"),
        ("http://127.0.0.1:80/fhir", "{base_url}"),
        ("http://127.0.0.1:80/fhir2/x", "{origin}/fhir2/x"),
        ("http://127.0.0.1:8080/fhir/x", "http://127.0.0.1:8080/fhir/x"),
        ("http://127.0.0.1:7/token?a", "{origin of auth.token_url}/token?a"),
    ],
)
def test_addresses_are_hidden_whole_and_come_back(text, hidden):
    assert VEIL.hide("", text) == hidden
    assert VEIL.show(hidden) == text


JWT = ".".join(
    base64.urlsafe_b64encode(p).decode().rstrip("=") for p in (b'{"alg":"x"}', b'{"sub":"y"}', b"z")
)


@pytest.mark.parametrize(
    ("name", "text", "hidden"),
    [
        ("said", "x pass/word+1 y", f"x {SECRET} y"),
        ("said", "x pass%2Fword%2B1 y", f"x {SECRET} y"),
        ("client_secret", "whatever", SECRET),
        ("clientAssertion", "whatever", SECRET),
        ("access_token", "", ""),
        ("said", "12", SECRET),
        ("said", "2027-12-12", "2027-12-12"),
        ("said", f"a {JWT} b", f"a {SECRET} b"),
        ("said", "Bearer abcdefgh12", f"Bearer {SECRET}"),
        ("said", "Basic dXNlcjpwYXNzd29yZA==, yes", f"Basic {SECRET}, yes"),
        ("said", "Basic examination", "Basic examination"),
        ("code", "visit", "visit"),
    ],
)
def test_secrets_are_hidden_by_value_by_name_and_by_shape(name, text, hidden):
    assert VEIL.hide(name, text) == hidden
