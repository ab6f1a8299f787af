"""The base of every connector that speaks HTTP: client, auth, retries, limits, paging, errors.

A connector on it is settings, an error table, and verbs that `read` and `write`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from openslot.call import current
from openslot.clock import Clock
from openslot.connector import Connector
from openslot.errors import (
    BadResponse,
    ConfigError,
    DeadlineExceeded,
    OpenSlotError,
    OutcomeUnknown,
    RateLimited,
    TryLater,
    Unavailable,
)
from openslot.rest import json as json_
from openslot.rest.auth import Auth
from openslot.rest.exchange import CredentialWire, Exchange, by_cause, out_of_time, user_agent
from openslot.rest.origin import Origin, resolve
from openslot.rest.reply import Reply
from openslot.rest.retry import Again, Budget, attempts
from openslot.rest.rules import ErrorRule, judge
from openslot.rest.settings import RestSettings
from openslot.rest.wire import Cause, Lost, Request

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["Params", "RestConnector"]

Params = Mapping[str, "str | Sequence[str]"]
"""Query parameters or form fields; several values repeat the name."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
_READ_AGAIN = frozenset({429, 502, 503, 504})


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

    def __init__(
        self,
        settings: Any,
        *,
        zone: ZoneInfo,
        practice: str = "practice",
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, zone=zone, practice=practice, clock=clock)
        origin = Origin.of(self.settings.base_url)
        if origin is None:
            raise ConfigError("base_url is not an absolute http or https address", sent=False)
        self._http = Exchange(
            self.settings,
            origin,
            clock=self.clock,
            request_id_headers=self.request_id_headers,
            transport=self._transport,
        )
        self._auth: Auth | Literal[False] | None = False
        self._budget = Budget()
        self._wire = CredentialWire(self._http, self._budget)

    # what a connector's author overrides

    def authenticate(self) -> Auth | None:
        """The credential of this practice, from its settings; asked for once. None: none."""
        return None

    def _transport(self) -> Any:
        """Another transport for the client, for tests and proxies; None for the usual one.

        A failure on another transport always counts as one after sending.
        """
        return None

    # what a connector's author calls

    def resolve(self, url_or_path: str) -> str:
        """The absolute URL that a path or a server's link means, at the practice's origin (law 9).

        `Slot` hangs below `base_url`, `/fhir/Slot` starts at the origin's root, an absolute URL
        must be at the same origin. Raises BadResponse otherwise.
        """
        return resolve(self.settings.base_url, url_or_path)

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
        request = self._request(method, path, params, headers, json, None, form)

        async def one() -> Reply:
            try:
                reply = await self._follow(request)
            except Lost as lost:
                raise self._read_lost(lost) from None
            if reply.status // 100 == 2 or reply.status in also:
                return reply
            error, _ = judge(self.error_table, reply)
            if isinstance(error, TryLater) and reply.status in _READ_AGAIN:
                raise Again(error, after=_asked(error))
            raise error

        return await self._tried(one)

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
        request = self._request(method, path, params, headers, json, content, form)
        here = current()
        write = _Write(step, before=here.sent)

        async def one() -> Reply:
            try:
                reply = await self._exchange(request, write=write)
            except Lost as lost:
                raise self._write_lost(lost, write, repeatable) from None
            if reply.status // 100 == 2 or reply.status in also:
                return reply
            error, refused = judge(self.error_table, reply)
            if refused:
                if isinstance(error, RateLimited | Unavailable):
                    raise Again(error, after=_asked(error))
                raise error
            unknown = error
            if not isinstance(error, OutcomeUnknown):
                unknown = OutcomeUnknown(
                    f"{error.message}; whether the write happened is not known",
                    request_id=error.request_id,
                )
            write.doubtful = True
            if repeatable and reply.status in _READ_AGAIN:
                raise Again(unknown, after=_asked(error))
            raise unknown

        try:
            return await self._tried(one)
        except OutcomeUnknown:
            raise
        except OpenSlotError as error:
            if write.doubtful:  # an earlier try may have been carried out
                raise OutcomeUnknown(
                    f"{error.message}; whether the write happened is not known",
                    request_id=error.request_id,
                ) from error
            error.sent = write.before
            raise

    async def pages(
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
        where, asked = path, params
        seen = {self._url(where, asked)}
        total = 0
        for _ in range(self.settings.max_pages):
            reply = await self.read(where, params=asked, headers=headers, method=method, form=form)
            total += len(reply.body)
            if total > self.settings.max_total:
                raise reply.bad(f"the list is larger than {self.settings.max_total} bytes")
            yield reply
            following = next_page(reply)
            if following is None:
                return
            # A link is asked for as it is: the first page's form is part of what it stands for.
            if isinstance(following, str):
                here = self._url(where, asked)
                where = self._linked(here, following, what="a next link")
                asked, method, form = None, "GET", None
            else:
                where, asked = path, following
            url = self._url(where, asked)
            if url in seen:
                raise reply.bad("the list's next page is one that was read already")
            seen.add(url)
        raise BadResponse(f"the list has more than {self.settings.max_pages} pages")

    async def aclose(self) -> None:
        """Close the connections. The connector may be used again afterwards."""
        await self._http.aclose()

    # one request

    def _url(self, path: str, params: Params | None) -> str:
        url = self.resolve(path)
        if not params:
            return url
        parts = urlsplit(url)
        more = urlencode(params, doseq=True, quote_via=quote)
        return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, more)))))

    def _linked(self, here: str, link: str, *, what: str) -> str:
        return resolve(self.settings.base_url, link, relative_to=here, what=what)

    def _request(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        json: Any,
        content: bytes | None,
        form: Params | None,
    ) -> Request:
        fields = {"Accept": self.media_type, "User-Agent": user_agent()}
        if json is not None:
            content = json_.dumps(json)
            fields["Content-Type"] = self.media_type
        elif form is not None:
            content = urlencode(form, doseq=True).encode()
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        for name, value in (headers or {}).items():
            for given in [n for n in fields if n.lower() == name.lower()]:
                del fields[given]
            fields[name] = value
        return Request(method.upper(), self._url(path, params), fields, content)

    async def _tried(self, one: Callable[[], Awaitable[Reply]]) -> Reply:
        return await attempts(
            one, at_most=self.settings.attempts, budget=self._budget, sleep=self.clock.sleep
        )

    async def _follow(self, request: Request) -> Reply:
        """The answer to a read, its redirects followed as far as they stay at home."""
        reply = await self._exchange(request)
        for _ in range(_MOST_REDIRECTS):
            link = reply.headers.get("location")
            if reply.status not in _REDIRECTS or not link or request.method not in {"GET", "HEAD"}:
                return reply
            request = replace(request, url=self._linked(request.url, link, what="a redirect"))
            reply = await self._exchange(request)
        if reply.status in _REDIRECTS:
            raise reply.bad("the server redirects again and again")
        return reply

    async def _exchange(self, request: Request, *, write: _Write | None = None) -> Reply:
        """One request with the credential on it; a 401 is answered once with a fresh one.

        Every call to the vendor passes here.
        """
        if self._auth is False:
            self._auth = self.authenticate()
        auth = self._auth
        wire = self._wire
        for last in (False, True):
            fields = await auth.headers(wire) if auth else {}
            if write is not None and not write.told:
                await current().sending(write.step)
                write.told = True
            signed = replace(request, headers={**request.headers, **fields})
            reply = await self._http.send(signed, write=write is not None)
            if reply.status != 401 or last or auth is None:
                return reply
            if not await auth.renew(wire, fields):
                return reply
        raise AssertionError("unreachable")

    # no whole answer

    def _read_lost(self, lost: Lost) -> Exception:
        request_id = self._http.request_id(lost.headers or {})
        error = by_cause(lost, request_id)
        if lost.cause is Cause.TIMEOUT and out_of_time():
            return DeadlineExceeded(
                f"{lost.sentence}, and the time for this call ran out",
                request_id=request_id,
                sent=current().sent,
            )
        if lost.cause in {Cause.CERTIFICATE, Cause.TOO_LARGE, Cause.ENCODING}:
            return error
        return Again(error)

    def _write_lost(self, lost: Lost, write: _Write, repeatable: bool) -> Exception:
        request_id = self._http.request_id(lost.headers or {})
        if not lost.left and not write.doubtful:
            error = by_cause(lost, request_id)
            if lost.cause is Cause.TIMEOUT and out_of_time():
                return DeadlineExceeded(
                    f"{lost.sentence}, and the time for this call ran out", sent=write.before
                )
            return error if lost.cause is Cause.CERTIFICATE else Again(error)
        write.doubtful = True
        unknown = OutcomeUnknown(
            f"{lost.sentence}; whether the write happened is not known", request_id=request_id
        )
        return Again(unknown) if repeatable else unknown


@dataclass(slots=True)
class _Write:
    """How far one write has got. `before`: whether an earlier write of the call had left."""

    step: str
    before: bool
    told: bool = False
    doubtful: bool = False
    """Whether a try of this write may have been carried out."""


def _asked(error: OpenSlotError) -> float | None:
    return error.retry_after if isinstance(error, RateLimited | Unavailable) else None
