"""One request and its answer, within the deadline and the limits, and logged without content."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from openslot.call import current
from openslot.clock import Clock
from openslot.errors import (
    BadResponse,
    ConfigError,
    DeadlineExceeded,
    OpenSlotError,
    Unavailable,
)
from openslot.rest.origin import Origin
from openslot.rest.reply import Reply
from openslot.rest.retry import Again, Budget, attempts
from openslot.rest.rules import http_date
from openslot.rest.settings import RestSettings, is_private
from openslot.rest.wire import Cause, Lost, Request, Timeouts

if TYPE_CHECKING:
    from openslot.rest.http import Client

__all__ = ["CredentialWire", "Exchange", "by_cause", "out_of_time", "user_agent"]

_log = logging.getLogger("openslot.rest")
_LARGEST_TOKEN_ANSWER = 1024 * 1024
_LONGEST_REQUEST_ID = 200


class Exchange:
    """Sends single requests for one connector; its clients are made when first needed."""

    def __init__(
        self,
        settings: RestSettings,
        origin: Origin,
        *,
        clock: Clock,
        request_id_headers: tuple[str, ...],
        transport: Callable[[], Any],
    ) -> None:
        self.settings = settings
        self.origin = origin
        self.clock = clock
        self._request_id_headers = request_id_headers
        self._transport = transport
        self._clients: dict[Origin, Client] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        clients = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()

    async def send(
        self,
        request: Request,
        *,
        write: bool,
        origin: Origin | None = None,
        max_body: int | None = None,
    ) -> Reply:
        """The answer, whatever its status. Raises Lost, or DeadlineExceeded before sending."""
        limit = current().remaining(self.settings.timeout)
        started = self.clock.monotonic()
        seen: int | str = "no answer"
        request_id: str | None = None
        try:
            status, headers, body = await self._client(origin or self.origin).send(
                request,
                timeouts=Timeouts(min(limit, self.settings.connect_timeout), limit),
                max_body=max_body or self.settings.max_body,
            )
            seen = status
            request_id = self.request_id(headers)
        finally:
            _log.debug(
                "%s %s %s %.0f ms %s",
                request.method,
                request.path,
                seen,
                (self.clock.monotonic() - started) * 1000,
                request_id,
            )
        return Reply(
            status=status,
            headers=headers,
            body=body,
            request_id=request_id,
            date=http_date(headers.get("date", "")),
            url_path=request.path,
            write=write,
        )

    def request_id(self, headers: Mapping[str, str]) -> str | None:
        """The vendor's name for a call, where one of its headers has a plain one."""
        for name in self._request_id_headers:
            value = headers.get(name)
            if value and len(value) <= _LONGEST_REQUEST_ID and value.isprintable():
                return value
        return None

    def _client(self, origin: Origin) -> Client:
        client = self._clients.get(origin)
        if client is None:
            from openslot.rest.http import Client

            client = self._clients[origin] = Client(
                origin,
                ca_file=self.settings.ca_file,
                connections=self.settings.max_connections,
                transport=self._transport(),
            )
        return client


class CredentialWire:
    """Sends what an `Auth` has to ask for, without the practice's credential on it."""

    def __init__(self, exchange: Exchange, budget: Budget) -> None:
        self._exchange = exchange
        self._budget = budget

    @property
    def clock(self) -> Clock:
        """The connector's clock."""
        return self._exchange.clock

    @property
    def base_url(self) -> str:
        """The practice's configured address, without a slash at its end."""
        return self._exchange.settings.base_url.rstrip("/")

    def permit(self, url: str, *, what: str, derived: bool = False) -> str:
        """The URL, if a secret may go there; see `Wire.permit`."""
        origin = Origin.of(url)
        if origin is None:
            raise ConfigError(f"{what} is not an absolute http or https address", sent=False)
        home = self._exchange.origin
        if origin == home:
            return url
        if derived and is_private(origin.host) and not is_private(home.host):
            raise ConfigError(
                f"{what} is at {origin}, inside a private network, though base_url is not",
                sent=False,
            )
        private = is_private(origin.host) and is_private(home.host)
        if origin.scheme != "https" and not (private or self._exchange.settings.allow_http):
            raise ConfigError(
                f"{what} is at {origin}, plain http: a secret goes there only over https,"
                " or where allow_http is set",
                sent=False,
            )
        return url

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to one request, whatever its status. Repeated only if it never left."""
        origin = Origin.of(self.permit(url, what="the authorization server"))
        fields = {"Accept": "application/json", "User-Agent": user_agent(), **(headers or {})}
        content = None
        if form is not None:
            content = urlencode(form).encode()
            fields["Content-Type"] = "application/x-www-form-urlencoded"
        request = Request(method, url, fields, content)

        async def one() -> Reply:
            try:
                return await self._exchange.send(
                    request, write=False, origin=origin, max_body=_LARGEST_TOKEN_ANSWER
                )
            except Lost as lost:
                error = by_cause(lost, None)
                if lost.cause is Cause.TIMEOUT and out_of_time():
                    error = DeadlineExceeded("the time for this call ran out", sent=current().sent)
                elif not lost.left and lost.cause is not Cause.CERTIFICATE:
                    raise Again(error) from None
                raise error from None

        return await attempts(
            one,
            at_most=self._exchange.settings.attempts,
            budget=self._budget,
            sleep=self.clock.sleep,
        )


def by_cause(lost: Lost, request_id: str | None) -> OpenSlotError:
    """The failure that a lost answer is, where nothing was to be written."""
    match lost.cause:
        case Cause.CERTIFICATE:
            return ConfigError(lost.sentence, request_id=request_id)
        case Cause.TOO_LARGE | Cause.ENCODING:
            return BadResponse(lost.sentence, request_id=request_id)
        case _:
            return Unavailable(lost.sentence, request_id=request_id)


def out_of_time() -> bool:
    """Whether the call's deadline has passed, or as good as: timers may be early by a moment."""
    try:
        return current().remaining() < 0.005
    except DeadlineExceeded:
        return True


def user_agent() -> str:
    """What every request says of us."""
    from openslot import __version__

    return f"openslot/{__version__}"
