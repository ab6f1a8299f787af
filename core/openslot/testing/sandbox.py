"""The sandbox kit: a vendor-shaped server is a thin facade over the clinic engine.

A vendor's sandbox subclasses `Sandbox`, names its connector and its manners, and answers requests,
by `route`d methods or by overriding `answer`. The kit adds what all share: a synthetic clinic by
seed, a clock that can be moved, authentication, the fault switch, writes that land later, reads
that lag behind, signed webhooks, and a control page at `/.sandbox` through which another process
turns faults and clock.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qsl, unquote

from openslot.clinic import Clinic
from openslot.clinic import Manners as ClinicManners
from openslot.errors import ConfigError
from openslot.model import Change
from openslot.registry import SANDBOXES, load_entry
from openslot.testing.auth import NoAuth, Refusal, SandboxAuth, SmartBackend, TokenServer
from openslot.testing.clock import SandboxClock
from openslot.testing.exchange import Answer, Request, route
from openslot.testing.faults import Fault, Faults
from openslot.testing.later import Later, Write
from openslot.testing.manners import Manners, parse_manners
from openslot.testing.past import Past, WatchedClinic
from openslot.testing.server import TLS, Receive, Scope, Send, run, serve
from openslot.testing.webhooks import Signing, Webhooks, standard_webhooks

__all__ = [
    "Answer",
    "Manners",
    "Request",
    "Sandbox",
    "SandboxClock",
    "load_sandbox",
    "main_run",
    "parse_manners",
    "route",
]

_R = TypeVar("_R")

CONTROL = "/.sandbox"
TOKEN_PATH = "/oauth2/token"
LARGEST_REQUEST = 16 * 1024 * 1024


class Sandbox(ABC):
    """One vendor's server, run by us, over a clinic of its own.

    `database` is the clinic's SQLite file (in memory without one); a new one is filled from `seed`,
    in `zone`, or by `populate`. `webhooks` is the address that webhooks are posted to. Faults may
    be turned, the clinic read and written and the clock moved at any time.
    """

    name: ClassVar[str]
    """The name of the connector that speaks to it, which is also its entry point's."""
    base_path: ClassVar[str] = ""
    """The path that the vendor's paths hang from, such as `/fhir`."""
    manners_type: ClassVar[type[Manners]] = Manners
    served: ClassVar[bool] = True
    """Whether there is a server to run; False where the connector opens the clinic itself."""
    public_paths: ClassVar[frozenset[str]] = frozenset()
    """Paths below the base that need no credential."""

    def __init__(
        self,
        *,
        seed: int = 1,
        zone: str = "America/New_York",
        database: Path | str | None = None,
        populate: Callable[[Clinic], object] | None = None,
        clock: SandboxClock | None = None,
        auth: SandboxAuth | None = None,
        manners: Manners | None = None,
        faults: Iterable[Fault | str] = (),
        webhooks: str | None = None,
    ) -> None:
        self.seed = seed
        self.zone = zone
        self.clock = clock or SandboxClock()
        self.auth = auth or NoAuth()
        self.auth.clock = self.clock
        self.manners = manners or self.manners_type()
        self._database = ":memory:" if database is None else str(database)
        self._populate = populate
        self.lags: dict[str, float] = {}
        """Records, by the clinic's id, that reads show with another lag (seconds) than the rest."""
        self.faults = Faults(
            self._serve,
            faults,
            base=self.base_path,
            exempt=CONTROL,
            clock=self.clock,
            expire=self._when_guarded(self.auth.expire),
            revoke=self._when_guarded(self.auth.revoke),
        )
        self.accepted = Later(self.clock, self.faults, self.settled)
        """The writes that were accepted, landed or failed."""
        self.webhooks = Webhooks(self.clock, self.faults, sign=self.sign, url=webhooks)
        self.clinic = self._open()

    @property
    def app(self) -> Faults:
        """The ASGI application, faults included."""
        return self.faults

    @contextmanager
    def serve(self, *, port: int = 0, tls: TLS | None = None) -> Iterator[str]:
        """Serve it from a thread; the value is the address that a connector is configured with."""
        with serve(self.app, port=port, tls=tls) as origin:
            yield origin + self.base_path

    def settings(self, url: str) -> dict[str, Any]:
        """What a practice sets for its connector to speak to this sandbox at `url`."""
        return {"base_url": url}

    def vendor_id(self, kind: str, id: str) -> str:
        """The id under which this server shows what the clinic calls `id`; the same, as a rule.

        `kind` is patient, practitioner, location, type or appointment.
        """
        return id

    def reset(self) -> None:
        """Start over: the clinic as seeded, no faults, what auth gave out ended."""
        self.accepted.clear()
        self._shut()
        if self._database != ":memory:":
            for suffix in ("", "-wal", "-shm"):
                Path(self._database + suffix).unlink(missing_ok=True)
        self.clinic = self._open()
        self.webhooks.clear()
        self.faults.clear()
        self.auth.reset()

    def close(self) -> None:
        """Let go of the clinic's file."""
        self.accepted.clear()
        self.webhooks.close()
        self._shut()

    def later(self, effect: Callable[[], Any], request: Request) -> Write:
        """Accept a write: `effect` is carried out `writes_land_after` seconds from now.

        At once, where that manner is 0; then what it raises is raised here.
        """
        after = getattr(self.manners, "writes_land_after", 0.0)
        return self.accepted.accept(effect, after, request.method, request.path)

    def as_seen(self, read: Callable[[Clinic], _R], record: str | None = None) -> _R:
        """What a reader sees: `read` given the clinic as it was `read_lag` seconds ago.

        `record` is the clinic's id of the one record that is read, which may have a lag of its
        own. What is younger is not there yet: `read` may raise NotFound.
        """
        return self._at_lag(read, self.lags.get(record or "", self._lag))

    def list_as_seen(
        self, read: Callable[[Clinic], Iterable[_R]], id: Callable[[_R], str | None]
    ) -> list[_R]:
        """The list that a reader sees, each record with its lag; `id` is the clinic's."""

        def at(lag: float) -> list[_R]:
            return self._at_lag(lambda clinic: list(read(clinic)), lag)

        found = [one for one in at(self._lag) if id(one) not in self.lags]
        for lag in sorted(set(self.lags.values())):
            found += [one for one in at(lag) if self.lags.get(id(one) or "") == lag]
        return found

    def answer(self, request: Request) -> Answer:
        """Answer one request; called in a worker thread, several at once."""
        for name in dir(type(self)):
            method, regex = getattr(getattr(type(self), name), "sandbox_route", (None, None))
            if method == request.method and regex and (found := regex.fullmatch(request.path)):
                handler: Callable[..., Answer] = getattr(self, name)
                return handler(request, **{k: unquote(v) for k, v in found.groupdict().items()})
        return Answer(404, {"error": "not found"})

    def refused(self, refusal: Refusal) -> Answer:
        """The vendor's way of saying that a caller is not let in."""
        document = {"error": refusal.code, "error_description": refusal.description}
        return Answer(refusal.status, document, {"www-authenticate": refusal.challenge})

    def opened(self, clinic: Clinic) -> None:  # noqa: B027 (most sandboxes keep nothing beside)
        """A clinic was opened: the place to make tables of one's own in its file."""

    def settled(self, write: Write) -> None:  # noqa: B027 (as above)
        """An accepted write landed or failed: the place to send a webhook."""

    def changed(self, change: Change) -> None:  # noqa: B027 (as above)
        """Something changed in the clinic, whoever did it: the place to send a webhook."""

    def sign(self, what: Signing) -> Mapping[str, str]:
        """The headers that prove a webhook; by Standard Webhooks unless the vendor has its own."""
        return standard_webhooks(what)

    @property
    def _lag(self) -> float:
        return float(getattr(self.manners, "read_lag", 0.0))

    def _at_lag(self, read: Callable[[Clinic], _R], lag: float) -> _R:
        if self._past is None or lag <= 0:
            return read(self.clinic)
        return self._past.read(read, lag)

    def _shut(self) -> None:
        self.clinic.close()
        if self._past is not None:
            self._past.close()

    def _watch(self, clinic: WatchedClinic) -> None:
        """From now on keep what reads that lag need, and tell of changes."""
        self._past = None
        told: list[Callable[[], None]] = []
        if self._lag > 0:
            self._past = Past(clinic, self.clock, lambda: max(self._lag, *self.lags.values(), 0))
            told.append(self._past.keep)
        if type(self).changed is not Sandbox.changed:
            cursor = clinic.changes().cursor

            def tell() -> None:
                nonlocal cursor
                found = clinic.changes(cursor)
                cursor = found.cursor
                for change in found.items:
                    self.changed(change)

            told.append(tell)
        clinic.committed = tuple(told)

    def _open(self) -> Clinic:
        clinic = WatchedClinic(
            self._database,
            clock=self.clock,
            manners=ClinicManners(
                enforce_conflicts=self.manners.enforce_conflicts,
                frees_slot_on_cancel=self.manners.frees_slot_on_cancel,
                bookings_pend=self.manners.bookings_pend,
            ),
        )
        if self._populate is None:
            from openslot.clinic.synthetic import fill

            fill(clinic, seed=self.seed, zone=self.zone)
        elif not clinic.locations():
            self._populate(clinic)
        self.opened(clinic)
        self._watch(clinic)
        return clinic

    def _when_guarded(self, end: Callable[[], None]) -> Callable[[], None] | None:
        return None if isinstance(self.auth, NoAuth) else end

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        body = await _body(receive)
        origin = f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}"
        if body is None:
            answer = Answer(413, {"error": "too large"})
        else:
            request = Request(
                method=scope["method"],
                path=scope["raw_path"].decode("latin-1"),
                url=origin,
                query=tuple(parse_qsl(scope["query_string"].decode(), keep_blank_values=True)),
                headers=headers,
                body=body,
            )
            # The engine is synchronous; in threads, concurrent requests are really concurrent.
            answer = await asyncio.to_thread(self._dispatch, request)
        await self._send(answer, send, head=scope["method"] == "HEAD")

    def _dispatch(self, request: Request) -> Answer:
        self.clock.ring()
        if request.path == CONTROL or request.path.startswith(CONTROL + "/"):
            return self._control(request)
        if isinstance(self.auth, TokenServer) and request.path == TOKEN_PATH:
            return self._token(request, self.auth)
        if not (request.path + "/").startswith(self.base_path + "/"):
            return Answer(404, {"error": f"everything here lies below {self.base_path}/"})
        request = replace(
            request,
            path=request.path.removeprefix(self.base_path),
            url=request.url + self.base_path,
        )
        if isinstance(self.auth, SmartBackend) and (
            request.path == "/.well-known/smart-configuration"
        ):
            return Answer(200, self.auth.configuration(self._token_url(request)))
        if request.path not in self.public_paths:
            try:
                request = replace(request, access=self.auth.access(request.headers))
            except Refusal as refusal:
                return self.refused(refusal)
        return self.answer(request)

    def _token_url(self, request: Request) -> str:
        return request.url.removesuffix(self.base_path) + TOKEN_PATH

    def _token(self, request: Request, auth: TokenServer) -> Answer:
        headers = {"cache-control": "no-store"}
        if request.method != "POST":
            return Answer(405, {"error": "invalid_request"}, headers)
        try:
            url = request.url + TOKEN_PATH
            return Answer(200, auth.grant(dict(request.form), request.headers, url), headers)
        except Refusal as refusal:
            document = {"error": refusal.code, "error_description": refusal.description}
            if refusal.status == 401:
                headers["www-authenticate"] = "Basic"
            return Answer(refusal.status, document, headers)

    def _control(self, request: Request) -> Answer:
        """GET /.sandbox; PUT /.sandbox/faults (a line each), /webhooks (the address to post to);
        POST /.sandbox/reset, /advance?seconds=N."""
        what = (request.method, request.path.removeprefix(CONTROL).strip("/"))
        try:
            if what == ("PUT", "faults"):
                self.faults.script(request.body.decode())
            elif what == ("PUT", "webhooks"):
                self.webhooks.to(request.body.decode().strip() or None)
            elif what == ("POST", "reset"):
                self.reset()
            elif what == ("POST", "advance"):
                self.clock.advance(timedelta(seconds=float(request.one("seconds") or "")))
            elif what != ("GET", ""):
                return Answer(404, {"error": str(self._control.__doc__)})
        except (ConfigError, ValueError) as error:
            return Answer(400, {"error": str(error)})
        url = request.url + self.base_path
        writes = self.accepted.writes
        return Answer(
            200,
            {
                "name": self.name,
                "url": url,
                "settings": self.settings(url),
                "now": self.clock.now().isoformat(),
                "accepted": [{"id": w.id, "what": w.what, "state": w.state} for w in writes],
                "webhooks": self.webhooks.url,
                **self.faults.report(),
            },
        )

    async def _send(self, answer: Answer, send: Send, *, head: bool) -> None:
        headers = {"date": format_datetime(self.clock.now(), usegmt=True), **answer.headers}
        body = b""
        if isinstance(answer.document, bytes):
            body = answer.document
        elif answer.document is not None:
            body = json.dumps(answer.document, ensure_ascii=False).encode()
        if body:
            headers.setdefault("content-type", answer.media_type)
        headers["content-length"] = str(len(body))
        raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": b"" if head else body})


def load_sandbox(name: str) -> type[Sandbox]:
    """The sandbox of the connector called `name`. Raises ConfigError where there is none."""
    loaded = load_entry(SANDBOXES, name)
    if not (isinstance(loaded, type) and issubclass(loaded, Sandbox)):
        raise ConfigError(f"the entry point {name!r} does not lead to a Sandbox")
    return loaded


def main_run(
    name: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    seed: int = 1,
    database: Path | str | None = None,
    faults: Iterable[str] = (),
    auth: SandboxAuth | None = None,
    manners: Iterable[str] = (),
    webhooks: str | None = None,
    tls: TLS | None = None,
    announce: Callable[[str], None] = lambda url: None,
) -> None:
    """Run the sandbox of connector `name` until SIGTERM or SIGINT.

    `announce` is told the address that a connector is configured with once it can be called.
    `manners` are texts like `page_size=5`; `webhooks` is the address that webhooks are posted to.
    Raises ConfigError for a name, fault or manner that does not exist, OSError where the port is
    taken.
    """
    cls = load_sandbox(name)
    if not cls.served:
        raise ConfigError(f"{name} has no server to run: its connector opens the clinic itself")
    sandbox = cls(
        seed=seed,
        database=database,
        auth=auth,
        faults=tuple(faults),
        webhooks=webhooks,
        manners=parse_manners(cls.manners_type, manners),
    )
    try:
        run(
            sandbox.app,
            host=host,
            port=port,
            tls=tls,
            announce=lambda origin: announce(origin + sandbox.base_path),
        )
    finally:
        sandbox.close()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None where it is larger than anything a client has a reason to send."""
    body = bytearray()
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if len(body) > LARGEST_REQUEST:
            return None
        if not message.get("more_body"):
            break
    return bytes(body)
