"""How a request says who is asking: the hook, and the credentials that need no server.

An `Auth` yields header fields and is told of a 401. The client library's own auth flow is not used
for it: between two requests of one flow that reads the refused answer whole, however large it is.
"""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from pydantic import SecretStr

from openslot.clock import Clock
from openslot.rest.reply import Reply

__all__ = ["Auth", "Basic", "StaticKey", "Wire"]


class Wire(Protocol):
    """Sends one request without the practice's credential: what an `Auth` gets its token with."""

    @property
    def clock(self) -> Clock:
        """The clock that tokens expire by."""
        ...

    @property
    def base_url(self) -> str:
        """The practice's configured address, without a slash at its end."""
        ...

    def permit(self, url: str, *, what: str, derived: bool = False) -> str:
        """The URL, if a secret may go there. Raises ConfigError if not.

        It may go to `base_url`'s origin, to any other over https, and over plain http only where
        both are inside a private network or the settings say `allow_http`. An address that was not
        configured but learnt from the server (`derived`) may not lead from a public server into a
        private network.
        """
        ...

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to one request, whatever its status. Repeated only if it never left."""
        ...


class Auth(ABC):
    """Puts a credential on requests to the practice's own origin."""

    @abstractmethod
    async def headers(self, wire: Wire) -> Mapping[str, str]:
        """The header fields for the next request; gets a token first where one is needed."""

    async def renew(self, wire: Wire, refused: Mapping[str, str]) -> bool:
        """The vendor answered 401 to these fields. True: fresh ones may be had, ask once more."""
        return False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class StaticKey(Auth):
    """A key that the vendor gave out, in a header of its choice: `Bearer KEY` by default."""

    def __init__(
        self, key: SecretStr, *, header: str = "Authorization", prefix: str = "Bearer "
    ) -> None:
        self._header = header
        self._value = SecretStr(prefix + key.get_secret_value())

    async def headers(self, wire: Wire) -> Mapping[str, str]:
        """The key in its header."""
        return {self._header: self._value.get_secret_value()}


class Basic(Auth):
    """A user name and password (RFC 7617), in UTF-8."""

    def __init__(self, user: str, password: SecretStr) -> None:
        pair = f"{user}:{password.get_secret_value()}"
        self._value = SecretStr("Basic " + base64.b64encode(pair.encode()).decode())

    async def headers(self, wire: Wire) -> Mapping[str, str]:
        """The pair, encoded."""
        return {"Authorization": self._value.get_secret_value()}
