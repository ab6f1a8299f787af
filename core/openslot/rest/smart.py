"""SMART Backend Services: a token by a signed assertion, for a server that acts for nobody.

Follows SMART App Launch 2.2, "Backend Services" and "Client Authentication: Asymmetric", and
RFC 7523. The token endpoint comes from `token_url`, or else from
`BASE/.well-known/smart-configuration`, read from the configured origin itself (redirects are not
followed). That document may name another origin, as large vendors do; `Wire.permit` says which.
The assertion's audience is the endpoint, so it is of no use anywhere else.
"""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any, Literal

from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import SecretStr

from openslot.errors import ConfigError
from openslot.rest.auth import Wire
from openslot.rest.oauth import OAuth2, read_token
from openslot.rest.rules import judge
from openslot.rest.tokens import Token, TokenStore

__all__ = ["SmartBackend"]

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LIFE = timedelta(minutes=4)  # five is the most allowed; a minute is left for clocks that differ

Algorithm = Literal["RS384", "ES384"]


class SmartBackend(OAuth2):
    """A registered backend client: its id, its private key, and the key's id at the vendor.

    `private_key` is a PEM or a JWK; `algorithm` None takes what fits it. A key that does not fit
    raises ConfigError at once.
    """

    def __init__(
        self,
        client_id: str,
        private_key: SecretStr,
        *,
        kid: str | None = None,
        algorithm: Algorithm | None = None,
        scope: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
        base_url: str,
        token_url: str | None = None,
        jwks_url: str | None = None,
        store: TokenStore | None = None,
    ) -> None:
        super().__init__(
            base_url,
            token_url or "",
            client_id,
            kid or "",
            private_key.get_secret_value(),
            scope=scope,
            required=required,
            store=store,
        )
        self._client_id = client_id
        self._jwks_url = jwks_url
        self._token_url = token_url
        self._endpoint: str | None = None
        self._key, self._algorithm, key_id = _load(private_key.get_secret_value(), algorithm)
        self._kid = kid or key_id
        if not self._kid:
            raise ConfigError(
                "kid is missing: give the key's id as it is registered at the vendor", sent=False
            )

    async def fetch(self, wire: Wire, before: Token | None) -> Token:
        """A token by a new assertion; each has an id of its own, never used twice."""
        endpoint = self._endpoint or await self._discover(wire)
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(self.scope),
            "client_assertion_type": _ASSERTION,
            "client_assertion": self._assertion(wire, endpoint),
        }
        token = read_token(await wire.fetch("POST", endpoint, form=form), wire)
        self._endpoint = endpoint  # kept once it has worked
        return token

    def _assertion(self, wire: Wire, endpoint: str) -> str:
        from joserfc import jwt

        now = wire.clock.now()
        header = {"alg": self._algorithm, "typ": "JWT", "kid": self._kid}
        if self._jwks_url:
            header["jku"] = self._jwks_url
        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": endpoint,
            "jti": str(uuid.uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + _LIFE).timestamp()),
        }
        return jwt.encode(header, claims, self._key, algorithms=[self._algorithm])

    async def _discover(self, wire: Wire) -> str:
        if self._token_url:
            return wire.permit(self._token_url, what="token_url")
        reply = await wire.fetch("GET", f"{wire.base_url}/.well-known/smart-configuration")
        if reply.status == 429 or reply.status >= 500:
            error, _ = judge({}, reply)  # passing, and not a matter of the settings
            raise error
        if reply.status != 200:
            raise ConfigError(
                f"base_url has no .well-known/smart-configuration (status {reply.status}):"
                " check base_url, or give token_url",
                request_id=reply.request_id,
            )
        data = reply.json()
        url = data.get("token_endpoint") if isinstance(data, dict) else None
        if not isinstance(url, str):
            raise reply.bad("the SMART configuration names no address", path="token_endpoint")
        methods = data.get("token_endpoint_auth_methods_supported")
        if isinstance(methods, list) and methods and "private_key_jwt" not in methods:
            raise ConfigError("the server does not take signed assertions (private_key_jwt)")
        algorithms = data.get("token_endpoint_auth_signing_alg_values_supported")
        if isinstance(algorithms, list) and algorithms and self._algorithm not in algorithms:
            known = ", ".join(a for a in ("RS384", "ES384") if a in algorithms) or "neither of ours"
            raise ConfigError(
                f"the server does not take {self._algorithm}; it takes {known}: register a key of"
                " that kind"
            )
        return wire.permit(url, what="the token endpoint of the SMART configuration", derived=True)


def _load(text: str, algorithm: Algorithm | None) -> tuple[Any, Algorithm, str | None]:
    """The key, the algorithm it signs with, and the id that a JWK carries."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from joserfc.errors import JoseError
    from joserfc.jwk import ECKey, RSAKey, import_key

    key: Any
    try:
        if text.lstrip().startswith("{"):
            key = import_key(json.loads(text))
        else:
            private = load_pem_private_key(text.encode(), password=None)
            # The kind is told to the library: guessing it from a PEM is what fails elsewhere.
            if isinstance(private, ec.EllipticCurvePrivateKey):
                key = ECKey.import_key(text)
            elif isinstance(private, rsa.RSAPrivateKey):
                key = RSAKey.import_key(text)
            else:
                raise TypeError
    except (ValueError, TypeError, JoseError, UnsupportedAlgorithm):
        # Nothing of the cause is kept: it may quote the key.
        raise ConfigError(
            "private_key is not an unencrypted private key as PEM or JWK (RSA, or EC on P-384)",
            sent=False,
        ) from None
    fits: Algorithm
    if isinstance(key, RSAKey) and key.is_private:
        fits = "RS384"
        if key.raw_value.key_size < 2048:
            raise ConfigError("private_key is an RSA key under 2048 bits", sent=False)
    elif isinstance(key, ECKey) and key.is_private and key.curve_name == "P-384":
        fits = "ES384"
    else:
        raise ConfigError(
            "private_key must be a private RSA key (RS384) or EC key on P-384 (ES384)", sent=False
        )
    if algorithm not in {None, fits}:
        raise ConfigError(f"algorithm is {algorithm}, but private_key is for {fits}", sent=False)
    kid = key.kid
    return key, fits, kid if isinstance(kid, str) else None
