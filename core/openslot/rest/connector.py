"""The base of every connector that speaks HTTP: client, auth, retries, limits, paging, errors.

A connector on it is settings, an error table, and verbs that `read` and `write`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, ClassVar

from openslot.connector import Connector
from openslot.rest.auth import Auth
from openslot.rest.reply import Reply
from openslot.rest.rules import ErrorRule
from openslot.rest.settings import RestSettings

Params = Mapping[str, "str | Sequence[str]"]


class RestConnector(Connector):
    """Talks HTTP to one vendor's origin, and to no other, within the call's deadline.

    Logs, at DEBUG on `openslot.rest`: method, path without query, status, milliseconds, request
    id. The writes of one call go one after another.
    """

    Settings: ClassVar[type[Any]] = RestSettings
    error_table: ClassVar[Mapping[int, ErrorRule]] = {}
    """What a status means at this vendor, over the defaults in `openslot.rest.rules`."""
    request_id_headers: ClassVar[tuple[str, ...]] = (
        "x-request-id",
        "x-correlation-id",
        "request-id",
        "x-amzn-requestid",
        "x-trace-id",
    )
    """Where this vendor puts its name for a call, the first that is there."""
    media_type: ClassVar[str] = "application/json"
    """What bodies are, sent and asked for."""

    settings: RestSettings

    def authenticate(self) -> Auth | None:
        """The credential of this practice, from its settings; asked for once. None: no credential."""
        return None

    def resolve(self, url_or_path: str) -> str:
        """The absolute URL that a path or a server's link means, at the practice's origin (law 9).

        `Slot` hangs below `base_url`, `/fhir/Slot` starts at the origin's root, an absolute URL
        must be at the same origin. Raises BadResponse otherwise.
        """
        raise NotImplementedError

    async def read(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        json: Any = None,
        form: Params | None = None,
        also: tuple[int, ...] = (),
    ) -> Reply:
        """A 2xx answer to a request that changes nothing; tried again, within the deadline.

        `method` may be POST for a search whose parameters must not stand in a URL. `also` names
        statuses that are answers here and not errors.
        """
        raise NotImplementedError

    async def write(
        self,
        method: str,
        path: str,
        *,
        step: str,
        json: Any = None,
        content: bytes | None = None,
        form: Params | None = None,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool = False,
        also: tuple[int, ...] = (),
    ) -> Reply:
        """A 2xx answer to a request that changes something; `step` is journalled before it leaves.

        Sent again only where it provably never left, or was refused unread (429), or where
        `repeatable` says that the vendor itself makes a second one harmless. Raises OutcomeUnknown
        where it may have left and no answer settles it. An error whose `sent` is False changed
        nothing.
        """
        raise NotImplementedError

    def pages(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        form: Params | None = None,
        next_page: Callable[[Reply], str | Params | None],
    ) -> AsyncIterator[Reply]:
        """Each page of a list, in order.

        `next_page` answers a link (pinned like any other), or query parameters to ask the same
        path with, or None at the end. Raises BadResponse on a link elsewhere, on a loop, and past
        `max_pages` or `max_total` bytes: pages read until then have been given out.
        """
        raise NotImplementedError
