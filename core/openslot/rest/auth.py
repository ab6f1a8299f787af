"""How a request says who is asking."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from openslot.clock import Clock
from openslot.rest.reply import Reply


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

    def permit(self, url: str, *, what: str) -> str:
        """The URL, if a secret may go there: https, or by the settings. Else ConfigError."""
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
