"""OAuth2: client credentials and refresh tokens (RFC 6749)."""

from __future__ import annotations

import base64
import hashlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote_plus

from pydantic import SecretStr

from openslot.errors import AuthFailed, BadResponse, RateLimited, Unavailable
from openslot.rest.auth import Auth, Wire
from openslot.rest.reply import Reply
from openslot.rest.rules import retry_after
from openslot.rest.tokens import Flight, Token, TokenStore, flight

__all__ = ["ClientAuthentication", "OAuth2", "OAuth2ClientCredentials", "OAuth2RefreshToken"]

ClientAuthentication = Literal["client_secret_basic", "client_secret_post"]

_LONGEST_LIFE = 366 * 24 * 3600
# What RFC 6749 (5.2) and OpenID name; a server's other words may be anything and are not repeated.
_KNOWN_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "temporarily_unavailable",
        "server_error",
    }
)


class OAuth2(Auth):
    """A bearer token from a token endpoint, asked for once for all tasks and threads.

    The scopes granted are compared with those asked for: one that is `required` and missing is
    AuthFailed, naming it; others that are missing are listed by `missing_scopes`.
    """

    def __init__(
        self,
        *identity: str,
        scope: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
        store: TokenStore | None = None,
    ) -> None:
        self.scope = scope
        self._required = frozenset(required)
        self._granted: frozenset[str] | None = None
        # What makes two credentials the same one. A digest, as it names files and is compared.
        text = "\x00".join((type(self).__name__, *identity, *sorted(scope)))
        self._flight: Flight = flight(hashlib.sha256(text.encode()).hexdigest()[:32], store)

    @abstractmethod
    async def fetch(self, wire: Wire, before: Token | None) -> Token:
        """A new token. `before` is the one that is refused or used up, if there was one."""

    @property
    def missing_scopes(self) -> frozenset[str]:
        """Scopes asked for and not granted by the last token; a connector withholds their verbs."""
        if self._granted is None:
            return frozenset()
        return frozenset(self.scope) - self._granted

    async def headers(self, wire: Wire) -> Mapping[str, str]:
        """The bearer token."""
        return self._fields(await self._token(wire, refused=None))

    async def renew(self, wire: Wire, refused: Mapping[str, str]) -> bool:
        """A token other than the refused one, asked for once however many were refused."""
        await self._token(wire, refused=refused["Authorization"].removeprefix("Bearer "))
        return True

    async def _token(self, wire: Wire, refused: str | None) -> Token:
        async def fetch(before: Token | None) -> Token:
            return await self.fetch(wire, before)

        token = await self._flight.token(fetch, wire.clock, refused=refused)
        self._granted = token.scope
        lacking = sorted(self._required - token.scope) if token.scope is not None else []
        if lacking:
            raise AuthFailed(
                f"the vendor granted the credential less than is needed: {', '.join(lacking)}"
                " is missing; have the vendor allow it",
                sent=False,
            )
        return token

    def _fields(self, token: Token) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {token.access}"}


class OAuth2ClientCredentials(OAuth2):
    """The practice's own client id and secret (RFC 6749, 4.4)."""

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: SecretStr,
        *,
        scope: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
        authentication: ClientAuthentication = "client_secret_basic",
        extra: Mapping[str, str] | None = None,
        store: TokenStore | None = None,
    ) -> None:
        secret = client_secret.get_secret_value()
        extra = dict(extra or {})
        more = (f"{k}={v}" for k, v in sorted(extra.items()))
        super().__init__(
            token_url, client_id, secret, *more, scope=scope, required=required, store=store
        )
        self._token_url = token_url
        self._extra = extra
        self._client = _Client(client_id, client_secret, authentication)

    async def fetch(self, wire: Wire, before: Token | None) -> Token:
        """A token by the client's secret."""
        form = {"grant_type": "client_credentials", **self._extra}
        if self.scope:
            form["scope"] = " ".join(self.scope)
        return await self._client.ask(wire, self._token_url, form)


class OAuth2RefreshToken(OAuth2):
    """A refresh token that somebody's sign-in left us (RFC 6749, 6).

    Where the server rotates it, the new one is in the store before the new access token is used;
    `refresh_token` only begins the chain, so a store that outlives the process is needed then.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: SecretStr | None,
        refresh_token: SecretStr,
        *,
        store: TokenStore,
        scope: tuple[str, ...] = (),
        required: tuple[str, ...] = (),
        authentication: ClientAuthentication = "client_secret_basic",
    ) -> None:
        first = refresh_token.get_secret_value()
        # The first token is part of the identity: a new sign-in begins a new chain.
        super().__init__(token_url, client_id, first, scope=scope, required=required, store=store)
        self._token_url = token_url
        self._first = refresh_token
        self._client = _Client(client_id, client_secret, authentication)

    async def fetch(self, wire: Wire, before: Token | None) -> Token:
        """The next token of the chain."""
        refresh = (before and before.refresh) or self._first.get_secret_value()
        form = {"grant_type": "refresh_token", "refresh_token": refresh}
        if self.scope:
            form["scope"] = " ".join(self.scope)
        token = await self._client.ask(wire, self._token_url, form)
        return token if token.refresh else replace(token, refresh=refresh)


class _Client:
    """How a client proves itself to the token endpoint."""

    def __init__(
        self, client_id: str, secret: SecretStr | None, authentication: ClientAuthentication
    ) -> None:
        self._id = client_id
        self._secret = secret
        self._authentication = authentication

    async def ask(self, wire: Wire, url: str, form: dict[str, str]) -> Token:
        headers: dict[str, str] = {}
        if self._secret is None:
            form["client_id"] = self._id
        elif self._authentication == "client_secret_post":
            form["client_id"] = self._id
            form["client_secret"] = self._secret.get_secret_value()
        else:
            # RFC 6749, 2.3.1: each is form-encoded before they are joined.
            pair = f"{quote_plus(self._id)}:{quote_plus(self._secret.get_secret_value())}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        url = wire.permit(url, what="token_url")
        return read_token(await wire.fetch("POST", url, headers=headers, form=form), wire)


def read_token(reply: Reply, wire: Wire) -> Token:
    """The token in a token endpoint's answer (RFC 6749, 5). Raises the failure that it means."""
    if reply.status == 429:
        raise RateLimited(
            "the authorization server's rate limit is reached",
            retry_after=retry_after(reply),
            request_id=reply.request_id,
        )
    if reply.status >= 500:
        raise Unavailable(
            f"the authorization server cannot answer now (status {reply.status})",
            retry_after=retry_after(reply),
            request_id=reply.request_id,
        )
    if reply.status not in {200, 201}:
        why = f"status {reply.status}{_word(reply)}"
        raise AuthFailed(
            f"the authorization server refused the credential ({why})",
            request_id=reply.request_id,
        )
    data = reply.json()
    access = data.get("access_token") if isinstance(data, dict) else None
    if not isinstance(access, str) or not access or not access.isascii():
        raise reply.bad("the authorization server's answer holds no token", path="access_token")
    if str(data.get("token_type", "bearer")).lower() != "bearer":
        raise reply.bad("the authorization server's token is not a bearer token", path="token_type")
    now = wire.clock.now()
    life = _life(reply, data.get("expires_in"))
    granted = data.get("scope")
    refresh = data.get("refresh_token")
    return Token(
        access=access,
        expires=None if life is None else now + life,
        refresh=refresh if isinstance(refresh, str) and refresh else None,
        scope=frozenset(_scopes(granted)) if isinstance(granted, str | list) else None,
        issued=now,
    )


def _life(reply: Reply, seconds: object) -> timedelta | None:
    if seconds is None:
        return None
    if isinstance(seconds, str) and seconds.isascii() and seconds.isdigit():
        seconds = int(seconds[:12])  # some servers quote it
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise reply.bad("the token's life is not a number of seconds", path="expires_in")
    return timedelta(seconds=min(seconds, _LONGEST_LIFE))


def _word(reply: Reply) -> str:
    try:
        data = reply.json()
    except BadResponse:
        return ""
    word = data.get("error") if isinstance(data, dict) else None
    return f", {word}" if word in _KNOWN_ERRORS else ""


def _scopes(granted: str | list[Any]) -> list[str]:
    # Some servers answer a list where RFC 6749 has a string; authlib reads both.
    from authlib.oauth2.rfc6749.util import scope_to_list

    return [s for s in scope_to_list(granted) if s]
