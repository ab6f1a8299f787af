"""How a sandbox asks who is calling: nobody, a static key, OAuth2 client credentials, SMART.

Strict on purpose, so that a connector which is careless about audience, expiry, replay or scope
fails here and not at its first customer.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

from openslot.clock import Clock, SystemClock

__all__ = [
    "Access",
    "ApiKey",
    "ClientCredentials",
    "NoAuth",
    "Refusal",
    "SandboxAuth",
    "SmartBackend",
    "TokenServer",
]

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller may do; `scopes` is None where nothing is asked."""

    scopes: frozenset[str] | None = None


class Refusal(Exception):
    """A caller who is not let in: the HTTP status, an OAuth2 error code and a sentence."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate header (RFC 6750)."""
        return f'Bearer error="{self.code}", error_description="{self.description}"'


class SandboxAuth(ABC):
    """One way of asking who is calling. The sandbox sets `clock`."""

    kind: str
    clock: Clock = SystemClock()

    @abstractmethod
    def access(self, headers: Mapping[str, str]) -> Access:
        """What the caller of a request with these headers (names in lower case) may do.

        Raises Refusal.
        """

    @abstractmethod
    def expire(self) -> None:
        """End what was given out; the client may get new."""

    @abstractmethod
    def revoke(self) -> None:
        """End the client's rights."""

    @abstractmethod
    def reset(self) -> None:
        """As at the start: nothing given out, the client's rights as they were."""


class NoAuth(SandboxAuth):
    """Everybody may do everything."""

    kind = "none"

    def access(self, headers: Mapping[str, str]) -> Access:
        """Everything."""
        return Access()

    def expire(self) -> None:
        """Nothing was given out."""

    def revoke(self) -> None:
        """There is no client."""

    def reset(self) -> None:
        """Nothing to take back."""


class ApiKey(SandboxAuth):
    """A key that never changes, sent as a bearer token or in a header of its own."""

    kind = "key"

    def __init__(self, key: str = "sandbox-key", *, header: str = "authorization") -> None:
        self.key = key
        self.header = header.lower()
        self._revoked = False

    def access(self, headers: Mapping[str, str]) -> Access:
        """Everything, for the holder of the key."""
        sent = headers.get(self.header, "")
        if self.header == "authorization":
            sent = _bearer(headers)
        if self._revoked or not hmac.compare_digest(sent.encode(), self.key.encode()):
            raise Refusal(401, "invalid_token", "the key is missing or wrong")
        return Access()

    def expire(self) -> None:
        """A static key that expires does not come back."""
        self._revoked = True

    revoke = expire

    def reset(self) -> None:
        """The key is good again."""
        self._revoked = False


@dataclass(slots=True)
class _Token:
    scopes: frozenset[str]
    expires: float


class TokenServer(SandboxAuth):
    """OAuth2's token endpoint for client credentials; how a client proves itself is the subclass's.

    `scopes` are what the client may have at most; what it asks for beyond is left out of the
    answer's `scope`, as servers do. Tokens live `lifetime` seconds on the sandbox's clock.
    """

    def __init__(
        self,
        client_id: str = "sandbox-client",
        *,
        scopes: frozenset[str] = frozenset({"system/*.*"}),
        lifetime: float = 300.0,
    ) -> None:
        self.client_id = client_id
        self.scopes = scopes
        self.lifetime = lifetime
        self.granted = 0
        """How many tokens were given out."""
        self._tokens: dict[str, _Token] = {}
        self._revoked = False

    def access(self, headers: Mapping[str, str]) -> Access:
        """What the token in these headers allows."""
        token = self._tokens.get(_bearer(headers))
        if token is None or token.expires <= self.clock.now().timestamp():
            raise Refusal(401, "invalid_token", "the access token is unknown or expired")
        return Access(token.scopes)

    def expire(self) -> None:
        """Every access token given out so far ends."""
        self._tokens.clear()

    def revoke(self) -> None:
        """The client gets no token any more, and those it has end."""
        self._revoked = True
        self._tokens.clear()

    def reset(self) -> None:
        """The client may get tokens again; those it has end."""
        self._revoked = False
        self._tokens.clear()

    def grant(
        self, form: Mapping[str, str], headers: Mapping[str, str], token_url: str
    ) -> dict[str, Any]:
        """The token endpoint's answer (RFC 6749, 4.4). Raises Refusal."""
        if form.get("grant_type") != "client_credentials":
            raise Refusal(400, "unsupported_grant_type", "only client_credentials is served here")
        self.prove(form, headers, token_url)
        if self._revoked:
            raise Refusal(401, "invalid_client", "the client's rights were revoked")
        asked = frozenset(form.get("scope", "").split()) or self.unasked()
        granted = frozenset(s for s in asked if self.may(s))
        if not granted:
            raise Refusal(400, "invalid_scope", "none of the scopes is allowed to this client")
        token = secrets.token_urlsafe(32)
        expires = self.clock.now().timestamp() + self.lifetime
        self._tokens[token] = _Token(granted, expires)
        self.granted += 1
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": int(self.lifetime),
            "scope": " ".join(sorted(granted)),
        }

    def unasked(self) -> frozenset[str]:
        """The scopes of a client that names none (RFC 6749, 3.3). Raises Refusal."""
        return self.scopes

    def may(self, scope: str) -> bool:
        """Whether the client may have this scope at all."""
        if scope in self.scopes:
            return True
        area, _, _ = scope.partition("/")
        return f"{area}/*.*" in self.scopes and "/" in scope

    @abstractmethod
    def prove(self, form: Mapping[str, str], headers: Mapping[str, str], token_url: str) -> None:
        """Check that the caller is the client. Raises Refusal(invalid_client)."""


class ClientCredentials(TokenServer):
    """The client proves itself by a secret, in the form or as Basic (RFC 6749, 2.3.1)."""

    kind = "oauth2"

    def __init__(
        self,
        client_id: str = "sandbox-client",
        client_secret: str = "sandbox-secret",
        *,
        scopes: frozenset[str] = frozenset({"system/*.*"}),
        lifetime: float = 300.0,
    ) -> None:
        super().__init__(client_id, scopes=scopes, lifetime=lifetime)
        self.client_secret = client_secret

    def prove(self, form: Mapping[str, str], headers: Mapping[str, str], token_url: str) -> None:
        """Compare id and secret; a client that sends them both ways at once is refused."""
        sent = (form.get("client_id", ""), form.get("client_secret", ""))
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            if form.get("client_secret"):
                raise Refusal(400, "invalid_request", "two ways of authentication at once")
            sent = _basic(value)
        right = (self.client_id, self.client_secret)
        if not all(
            hmac.compare_digest(a.encode(), b.encode()) for a, b in zip(sent, right, strict=True)
        ):
            raise Refusal(401, "invalid_client", "the client id or the secret is wrong")


@dataclass(frozen=True, slots=True)
class ClientKey:
    """A key pair of the client: the private half as PEM, and its name."""

    pem: str = field(repr=False)
    kid: str
    alg: str


class SmartBackend(TokenServer):
    """SMART Backend Services: the client proves itself by a signed assertion.

    By the SMART App Launch guide 2.x (client authentication, asymmetric): RS384 or ES384, a known
    kid, iss and sub both the client's id, aud this very token endpoint, exp at most five minutes
    ahead, and a jti that was never seen before. `jwks` are the client's public keys; without them
    the sandbox makes a key pair of its own (`client_key`).
    """

    kind = "smart"
    algorithms = ("RS384", "ES384")

    def __init__(
        self,
        client_id: str = "sandbox-client",
        *,
        jwks: Mapping[str, Any] | None = None,
        scopes: frozenset[str] = frozenset({"system/*.*"}),
        lifetime: float = 300.0,
    ) -> None:
        super().__init__(client_id, scopes=scopes, lifetime=lifetime)
        self.client_key: ClientKey | None = None
        if jwks is None:
            jwks = self._make_key()
        self.jwks = jwks
        self._seen: dict[str, float] = {}

    def _make_key(self) -> Mapping[str, Any]:
        from joserfc.jwk import ECKey

        kid = "sandbox-1"
        key = ECKey.generate_key("P-384", {"kid": kid, "alg": "ES384", "use": "sig"})
        self.client_key = ClientKey(key.as_pem(private=True).decode(), kid, "ES384")
        return {"keys": [key.as_dict(private=False)]}

    def unasked(self) -> frozenset[str]:
        """SMART has every client name its scopes."""
        raise Refusal(400, "invalid_scope", "scope is missing")

    def configuration(self, token_url: str) -> dict[str, Any]:
        """The document at .well-known/smart-configuration."""
        return {
            "token_endpoint": token_url,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(self.algorithms),
            "grant_types_supported": ["client_credentials"],
            "scopes_supported": sorted(self.scopes),
            "capabilities": [
                "client-confidential-asymmetric",
                "permission-v1",
                "permission-v2",
            ],
        }

    def prove(self, form: Mapping[str, str], headers: Mapping[str, str], token_url: str) -> None:
        """Check the assertion, claim by claim."""
        from joserfc import jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        if form.get("client_assertion_type") != JWT_BEARER:
            raise Refusal(400, "invalid_request", "client_assertion_type is missing or wrong")
        try:
            token = jwt.decode(
                form.get("client_assertion", ""),
                KeySet.import_key_set(dict(self.jwks)),  # type: ignore[arg-type]
                algorithms=list(self.algorithms),
            )
        except (JoseError, ValueError):
            raise _bad("cannot be verified with the client's keys") from None
        if not token.header.get("kid"):
            raise _bad("names no kid")
        claims = token.claims
        if claims.get("iss") != self.client_id or claims.get("sub") != self.client_id:
            raise _bad("must have the client's id as iss and sub")
        if claims.get("aud") != token_url:
            raise _bad("has another audience than this token endpoint")
        now = self.clock.now().timestamp()
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or isinstance(expires, bool) or expires <= now:
            raise _bad("is expired or has no exp")
        if expires > now + 300:
            raise _bad("expires more than five minutes ahead")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise _bad("has no jti")
        self._seen = {k: until for k, until in self._seen.items() if until > now}
        if jti in self._seen:
            raise _bad("was used before")
        self._seen[jti] = expires


def _bad(why: str) -> Refusal:
    return Refusal(401, "invalid_client", f"the client assertion {why}")


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return "", ""
    # RFC 6749 has both form-encoded before they are joined.
    return unquote_plus(name), unquote_plus(secret)
