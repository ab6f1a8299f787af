"""Credentials: each kind at a strict server, and one refresh for everybody."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc.jwk import ECKey, KeySet, RSAKey
from pydantic import SecretStr

from openslot.call import call
from openslot.clock import SystemClock
from openslot.errors import (
    AuthFailed,
    BadResponse,
    ConfigError,
    DeadlineExceeded,
    OpenSlotError,
    RateLimited,
    Unavailable,
)
from openslot.rest import (
    Basic,
    FileTokenStore,
    MemoryTokenStore,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
    SmartBackend,
    StaticKey,
    Token,
)
from rest.authority import Authority
from rest.servers import Clock, Got, reply, serving, vendor

SECRET = SecretStr("s3cret+/=")


def credentials(url: str, **more: object) -> OAuth2ClientCredentials:
    return OAuth2ClientCredentials(f"{url}/token", "me", SECRET, **more)  # type: ignore[arg-type]


async def test_keys_and_basic() -> None:
    async with serving([reply()]) as server:
        for auth in (
            StaticKey(SecretStr("k")),
            StaticKey(SecretStr("k"), header="X-Api-Key", prefix=""),
            Basic("me", SecretStr("pä:ss")),
        ):
            async with vendor(server.url, auth=auth) as connector:
                await connector.read("x")
    assert server.got[0].headers["authorization"] == "Bearer k"
    assert server.got[1].headers["x-api-key"] == "k"
    encoded = server.got[2].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(encoded).decode() == "me:pä:ss"


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post"])
async def test_client_credentials(way: str) -> None:
    authority = Authority()
    async with serving(authority.answer) as server:
        auth = credentials(server.url, authentication=way, scope=("a", "b"))
        async with vendor(server.url, auth=auth) as connector:
            for _ in range(3):
                assert (await connector.read("data")).json() == "data"
            await connector.write("POST", "data", step="s")
    assert len(authority.issued) == 1
    assert b"scope=a+b" in server.got[0].body


async def test_a_wrong_secret_is_one_sentence_without_the_servers_words() -> None:
    authority = Authority(secret="other")
    async with (
        serving(authority.answer) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        with pytest.raises(AuthFailed, match="invalid_client") as caught:
            await connector.write("POST", "data", step="s")
    assert "CANARY" not in str(caught.value)
    assert caught.value.sent is False
    assert [g.target for g in server.got] == ["/token"]


async def test_a_token_near_its_end_is_replaced() -> None:
    authority, clock = Authority(life=60), Clock()
    async with (
        serving(authority.answer) as server,
        vendor(server.url, auth=credentials(server.url), clock=clock) as connector,
    ):
        await connector.read("data")
        clock.pass_(53)
        await connector.read("data")
        assert len(authority.issued) == 1
        clock.pass_(2)  # a tenth of its life is left: 6 seconds
        await connector.read("data")
    assert len(authority.issued) == 2


async def test_a_revoked_token_is_replaced_once_also_for_a_write() -> None:
    authority = Authority()
    steps: list[str] = []

    async def on_send(step: str) -> None:
        steps.append(step)

    async with (
        serving(authority.answer) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        await connector.read("data")
        authority.revoke()
        with call(on_send=on_send):
            assert (await connector.write("POST", "data", step="s")).json() == "data"
    assert len(authority.issued) == 2
    assert steps == ["s"]


async def test_a_401_for_ever_is_asked_twice() -> None:
    authority = Authority()

    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes:
        return await authority.answer(got, writer) if got.target == "/token" else reply(401)

    async with (
        serving(answer) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        with pytest.raises(AuthFailed):
            await connector.write("POST", "data", step="s")
    assert [g.target for g in server.got] == ["/token", "/data", "/token", "/data"]


@pytest.mark.parametrize(
    ("body", "leaf"),
    [
        (reply(429, Retry_After="9"), RateLimited),
        (reply(503), Unavailable),
        (reply(403), AuthFailed),
        (reply(raw=b"<html>", Content_Type="text/html"), BadResponse),
        (reply(body=[]), BadResponse),
        (reply(body={"access_token": ""}), BadResponse),
        (reply(body={"access_token": "a", "token_type": "mac"}), BadResponse),
        (reply(body={"access_token": "a", "expires_in": "soon"}), BadResponse),
        (reply(302, Location="http://127.0.0.1:1/token"), AuthFailed),
    ],
)
async def test_token_endpoints_that_misbehave(body: bytes, leaf: type[OpenSlotError]) -> None:
    async with (
        serving([body]) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        with pytest.raises(leaf) as caught:
            await connector.write("POST", "data", step="s")
    assert caught.value.sent is False
    assert len(server.got) == 1


async def test_granted_scopes_are_compared_with_those_asked_for() -> None:
    authority = Authority(grants="read")
    async with serving(authority.answer) as server:
        auth = credentials(server.url, scope=("read", "write"))
        async with vendor(server.url, auth=auth) as connector:
            await connector.read("data")
        assert auth.missing_scopes == {"write"}
        auth = credentials(server.url, scope=("read", "write"), required=("write",))
        async with vendor(server.url, auth=auth) as connector:
            with pytest.raises(AuthFailed, match="write is missing"):
                await connector.read("data")


# one refresh for everybody


async def test_a_hundred_tasks_refresh_once() -> None:
    authority = Authority(delay=0.05)
    async with (
        serving(authority.answer) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        await asyncio.gather(*(connector.read("data") for _ in range(100)))
        assert len(authority.issued) == 1
        authority.revoke()
        await asyncio.gather(*(connector.read("data") for _ in range(100)))
        assert len(authority.issued) == 2


async def test_four_threads_of_a_hundred_tasks_refresh_once() -> None:
    """Each thread has a loop and a connector of its own; the credential is the same."""
    authority = Authority(delay=0.2)
    async with serving(authority.answer) as server:
        barrier = threading.Barrier(4)

        async def one() -> list[object]:
            auth = credentials(server.url)
            async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
                await asyncio.to_thread(barrier.wait)
                replies = await asyncio.gather(*(connector.read("data") for _ in range(100)))
                return [r.json() for r in replies]

        results = await asyncio.gather(*(asyncio.to_thread(asyncio.run, one()) for _ in range(4)))
    assert [len(r) for r in results] == [100] * 4
    assert len(authority.issued) == 1
    assert len(server.got) == 401


async def test_another_secret_is_another_credential() -> None:
    authority = Authority()
    async with (
        serving(authority.answer) as server,
        vendor(server.url, auth=credentials(server.url)) as connector,
    ):
        await connector.read("data")
        wrong = OAuth2ClientCredentials(f"{server.url}/token", "me", SecretStr("wrong"))
        async with vendor(server.url, auth=wrong) as other:
            with pytest.raises(AuthFailed):
                await other.read("data")


async def test_a_caller_who_hangs_up_does_not_end_the_refresh() -> None:
    authority = Authority(delay=0.2, rotate=True)
    async with serving(authority.answer) as server:
        store = MemoryTokenStore()
        auth = OAuth2RefreshToken(
            f"{server.url}/token", "me", SECRET, SecretStr("first"), store=store
        )
        async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
            first = asyncio.create_task(connector.read("data"))
            second = asyncio.create_task(connector.read("data"))
            await asyncio.sleep(0.1)
            first.cancel()
            assert (await second).json() == "data"
            with pytest.raises(asyncio.CancelledError):
                await first
    assert len(authority.issued) == 1
    assert authority.complaints == []


async def test_a_refresh_has_to_fit_the_deadline() -> None:
    authority = Authority(delay=0.5)
    async with serving(authority.answer) as server:
        auth = credentials(server.url)
        async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
            with call(seconds=0.1), pytest.raises(DeadlineExceeded) as caught:
                await connector.write("POST", "data", step="s")
            assert caught.value.sent is False
            # the refresh went on, and the next caller has its token
            assert (await connector.read("data")).json() == "data"
    assert len(authority.issued) == 1


async def test_a_loop_that_ends_in_mid_refresh_hands_it_over() -> None:
    authority = Authority(delay=0.4)
    async with serving(authority.answer) as server:

        async def short() -> None:
            auth = credentials(server.url)
            async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
                with call(seconds=0.2):
                    await connector.read("data")

        auth = credentials(server.url)
        leader = asyncio.create_task(asyncio.to_thread(asyncio.run, short()))
        await authority.asked.wait()
        async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
            assert (await connector.read("data")).json() == "data"
        with pytest.raises(DeadlineExceeded):
            await leader
    assert [g.target for g in server.got] == ["/token", "/token", "/data"]


# refresh tokens and where they are kept


async def test_a_rotating_refresh_token_survives_the_process(tmp_path: Path) -> None:
    authority, clock = Authority(rotate=True), Clock()
    async with serving(authority.answer) as server:
        for _ in range(3):  # a new process has nothing but the file
            auth = OAuth2RefreshToken(
                f"{server.url}/token",
                "me",
                SECRET,
                SecretStr("first"),
                store=FileTokenStore(tmp_path / "tokens"),
            )
            async with vendor(server.url, auth=auth, clock=clock) as connector:
                await connector.read("data")
                clock.pass_(4000)
                await connector.read("data")
            del auth, connector
            clock.pass_(4000)
    assert authority.complaints == []
    assert len(authority.issued) == 6
    files = list((tmp_path / "tokens").iterdir())
    assert {f.stat().st_mode & 0o777 for f in files} == {0o600}
    assert (tmp_path / "tokens").stat().st_mode & 0o777 == 0o700


async def test_a_refresh_token_that_is_not_rotated_is_kept() -> None:
    authority, clock = Authority(rotate=True), Clock()
    async with serving(authority.answer) as server:
        auth = OAuth2RefreshToken(
            f"{server.url}/token", "me", SECRET, SecretStr("first"), store=MemoryTokenStore()
        )
        async with vendor(server.url, auth=auth, clock=clock) as connector:
            for _ in range(3):
                await connector.read("data")
                authority.rotate = False  # from now on the second one stays
                clock.pass_(4000)
    assert authority.complaints == []
    assert len(authority.issued) == 3


async def test_a_file_store_refuses_what_others_can_read(tmp_path: Path) -> None:
    store = FileTokenStore(tmp_path)
    assert await store.load("a") is None
    token = Token("CANARY", refresh="CANARY", scope=frozenset({"x"}), issued=Clock().now())
    await store.save("a", token)
    assert await store.load("a") == token
    assert "CANARY" not in repr(token)
    (tmp_path / "a.json").chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        await store.load("a")
    (tmp_path / "a.json").chmod(0o600)
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ConfigError, match="cannot be read as a token"):
        await store.load("a")


@pytest.mark.skipif(os.name != "posix", reason="file locks are POSIX's")
async def test_processes_refresh_one_after_another(tmp_path: Path) -> None:
    """Locks of two open files exclude each other as those of two processes do."""
    store, order = FileTokenStore(tmp_path), []

    async def one(n: int) -> None:
        async with store.exclusive("a"):
            order.append(n)
            await asyncio.sleep(0.03)
            order.append(n)

    await asyncio.gather(one(1), one(2), one(3))
    assert order[0::2] == order[1::2]


# SMART Backend Services


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, old: bool = False) -> SecretStr:
    form = (
        serialization.PrivateFormat.TraditionalOpenSSL if old else serialization.PrivateFormat.PKCS8
    )
    made = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return SecretStr(made.decode())


EC = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)


def registered() -> KeySet:
    keys = [
        ECKey.import_key(pem(EC).get_secret_value(), {"kid": "ec"}),
        RSAKey.import_key(pem(RSA).get_secret_value(), {"kid": "rsa"}),
    ]
    return KeySet.import_key_set(KeySet(keys).as_dict(private=False))


def _jwk(kid: str) -> SecretStr:
    import json

    key = ECKey.import_key(pem(EC).get_secret_value(), {"kid": kid})
    return SecretStr(json.dumps(key.as_dict(private=True)))


@pytest.mark.parametrize(
    ("key", "kid", "algorithm"),
    [
        (pem(EC), "ec", "ES384"),
        (pem(EC, old=True), "ec", "ES384"),
        (pem(RSA), "rsa", "RS384"),
        (pem(RSA, old=True), "rsa", "RS384"),
        (_jwk("ec"), None, "ES384"),
    ],
)
async def test_smart_backend_services(key: SecretStr, kid: str | None, algorithm: str) -> None:
    authority, clock = Authority(keys=registered(), life=300), Clock()
    async with serving(authority.answer) as server:
        authority.token_endpoint = authority.audience = f"{server.url}/token"
        auth = SmartBackend("me", key, kid=kid, scope=("system/Slot.rs",), base_url=server.url)
        async with vendor(server.url, auth=auth, clock=clock) as connector:
            for _ in range(3):
                authority.now = clock.now().timestamp()
                await connector.read("data")
                clock.pass_(400)
    assert authority.complaints == []
    assert len(authority.issued) == 3
    assert len(authority.seen_jti) == 3
    assert {h["alg"] for h in authority.headers} == {algorithm}
    assert {h["kid"] for h in authority.headers} == {kid or "ec"}
    assert [g.target for g in server.got].count("/.well-known/smart-configuration") == 1


async def test_the_strict_authority_is_strict() -> None:
    """Guards the test above: an assertion that is replayed, too long or for another is refused."""
    authority = Authority(keys=registered())
    auth = SmartBackend("me", pem(EC), kid="ec", base_url="https://x.example")

    class Wire:
        clock = SystemClock()

    def problem(token: str) -> str | None:
        form = {
            "client_assertion": token,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        }
        return authority._assertion_problem(form)

    authority.audience = "https://x.example/token"
    token = auth._assertion(Wire(), authority.audience)  # type: ignore[arg-type]
    assert problem(token) is None
    assert problem(token) == "replayed jti"
    assert problem(auth._assertion(Wire(), "https://y.example")) == "audience"  # type: ignore[arg-type]
    authority.now = (SystemClock().now() + timedelta(minutes=-2)).timestamp()
    assert problem(auth._assertion(Wire(), authority.audience)) == "expiry"  # type: ignore[arg-type]


async def test_discovery_may_name_another_origin_by_the_rules() -> None:
    authority = Authority(keys=registered())
    async with serving(authority.answer) as tokens, serving(authority.answer) as server:
        authority.token_endpoint = authority.audience = f"{tokens.url}/token"
        auth = SmartBackend("me", pem(EC), kid="ec", base_url=server.url)
        async with vendor(server.url, auth=auth, clock=SystemClock()) as connector:
            await connector.read("data")
    assert [g.target for g in tokens.got] == ["/token"]
    assert "authorization" not in tokens.got[0].headers


@pytest.mark.parametrize(
    ("base", "endpoint", "says"),
    [
        ("http://127.0.0.1:1", "http://login.example/token", "plain http"),
        ("https://ehr.example", "https://10.0.0.1/token", "inside a private network"),
        ("https://ehr.example", "https://localhost/token", "inside a private network"),
        ("https://ehr.example", "http://login.example/token", "plain http"),
        ("https://ehr.example", "https://user@login.example/token", "not an absolute"),
        ("https://ehr.example", "/token", "not an absolute"),
    ],
)
async def test_where_a_secret_may_not_go(base: str, endpoint: str, says: str) -> None:
    wire = vendor(base)._wire
    with pytest.raises(ConfigError, match=says):
        wire.permit(endpoint, what="the token endpoint", derived=True)


async def test_discovery_that_does_not_help() -> None:
    authority = Authority(keys=registered())
    async with serving(authority.answer) as server:
        authority.token_endpoint = f"{server.url}/token"
        auth = SmartBackend("me", pem(RSA), kid="rsa", base_url=server.url)
        async with vendor(server.url, auth=auth) as connector:
            authority.metadata = {"token_endpoint_auth_signing_alg_values_supported": ["ES384"]}
            with pytest.raises(ConfigError, match="does not take RS384; it takes ES384"):
                await connector.read("data")
            authority.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
            with pytest.raises(ConfigError, match="private_key_jwt"):
                await connector.read("data")
            authority.metadata = {"token_endpoint": 7}
            with pytest.raises(BadResponse, match="token_endpoint"):
                await connector.read("data")
    async with serving([reply(404)]) as server, vendor(server.url, auth=auth) as connector:
        with pytest.raises(ConfigError, match="check base_url"):
            await connector.read("data")


@pytest.mark.parametrize(
    ("status", "leaf"), [(429, RateLimited), (500, Unavailable), (503, Unavailable)]
)
async def test_discovery_that_may_help_later(status: int, leaf: type[OpenSlotError]) -> None:
    async def answer(got: Got, writer: asyncio.StreamWriter) -> bytes:
        return reply(status, Retry_After="7")

    async with serving(answer) as server:
        auth = SmartBackend("me", pem(EC), kid="ec", base_url=server.url)
        async with vendor(server.url, auth=auth) as connector:
            with pytest.raises(leaf) as caught:
                await connector.read("data")
    assert getattr(caught.value, "retry_after", None) == 7


async def test_granted_scopes_may_come_as_a_list() -> None:
    authority = Authority(grants=["read", "other"])  # type: ignore[arg-type]
    async with serving(authority.answer) as server:
        auth = credentials(server.url, scope=("read", "write"))
        async with vendor(server.url, auth=auth) as connector:
            await connector.read("data")
    assert auth.missing_scopes == {"write"}


@pytest.mark.parametrize(
    ("key", "more", "says"),
    [
        (SecretStr("CANARY"), {}, "not an unencrypted private key"),
        (SecretStr('{"kty": "CANARY"}'), {}, "not an unencrypted private key"),
        (pem(ec.generate_private_key(ec.SECP256R1())), {}, "P-384"),
        (pem(RSA), {"algorithm": "ES384"}, "is for RS384"),
        (pem(EC), {"kid": None}, "kid is missing"),
    ],
)
def test_keys_that_do_not_fit(key: SecretStr, more: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        SmartBackend("me", key, base_url="https://x.example", **({"kid": "k"} | more))  # type: ignore[arg-type]
    assert "CANARY" not in str(caught.value)
    assert caught.value.__cause__ is None
