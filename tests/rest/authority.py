"""An authorization server that is as strict as the best of them, for the tests."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote_plus

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from rest.servers import Got, reply


@dataclass
class Authority:
    """Issues tokens and guards `/data` with them; `keys` are the registered public keys."""

    keys: KeySet | None = None
    secret: str = "s3cret+/="
    life: int | None = 3600
    grants: str | None = None
    delay: float = 0.0
    rotate: bool = False
    token_endpoint: str = ""
    metadata: dict[str, object] = field(default_factory=dict)
    audience: str = ""
    now: float = 0.0
    issued: list[str] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    refresh: set[str] = field(default_factory=lambda: {"first"})
    seen_jti: set[str] = field(default_factory=set)
    assertions: list[dict[str, object]] = field(default_factory=list)
    headers: list[dict[str, object]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, got: Got, writer: asyncio.StreamWriter) -> bytes:
        where = got.target.partition("?")[0]
        if where == "/.well-known/smart-configuration":
            return reply(body={"token_endpoint": self.token_endpoint, **self.metadata})
        if where == "/token":
            return await self._token(got)
        bearer = got.headers.get("authorization", "").removeprefix("Bearer ")
        return reply(body="data") if bearer in self.valid else reply(401)

    def revoke(self) -> None:
        """Every token ends at once."""
        self.valid.clear()

    async def _token(self, got: Got) -> bytes:
        self.asked.set()
        await asyncio.sleep(self.delay)
        form = {k: v[0] for k, v in parse_qs(got.body.decode()).items()}
        problem = self._problem(got, form)
        if problem:
            self.complaints.append(problem)
            return reply(400, {"error": "invalid_client", "error_description": f"CANARY {problem}"})
        token = f"token-{len(self.issued)}"
        self.issued.append(token)
        self.valid.add(token)
        body: dict[str, object] = {"access_token": token, "token_type": "Bearer"}
        if self.life is not None:
            body["expires_in"] = self.life
        if self.grants is not None:
            body["scope"] = self.grants
        if self.rotate:
            self.refresh = {f"refresh-{len(self.issued)}"}
            body["refresh_token"] = next(iter(self.refresh))
        return reply(body=body)

    def _problem(self, got: Got, form: dict[str, str]) -> str | None:
        if "client_assertion" in form:
            return self._assertion_problem(form)
        given = form.get("client_secret")
        basic = got.headers.get("authorization", "")
        if basic.startswith("Basic "):
            name, _, given = base64.b64decode(basic[6:]).decode().partition(":")
            if unquote_plus(name) != "me":
                return "unknown client"
            given = unquote_plus(given)
        if given != self.secret:
            return "wrong secret"
        if (
            form.get("grant_type") == "refresh_token"
            and form.get("refresh_token") not in self.refresh
        ):
            return "refresh token is used up"
        return None

    def _assertion_problem(self, form: dict[str, str]) -> str | None:
        assert self.keys is not None
        if form.get("client_assertion_type") != (
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        ):
            return "assertion type"
        try:
            token = jwt.decode(form["client_assertion"], self.keys, algorithms=["RS384", "ES384"])
        except (JoseError, ValueError) as error:
            return f"signature: {error}"
        claims, now = token.claims, self.now or time.time()
        self.assertions.append(claims)
        self.headers.append(token.header)
        if token.header.get("typ") != "JWT" or not token.header.get("kid"):
            return "header"
        if claims.get("iss") != "me" or claims.get("sub") != "me":
            return "issuer"
        if claims.get("aud") != self.audience:
            return "audience"
        if not now < claims["exp"] <= now + 300:
            return "expiry"
        if claims["jti"] in self.seen_jti:
            return "replayed jti"
        self.seen_jti.add(claims["jti"])
        return None
