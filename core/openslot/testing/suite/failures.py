"""Law 8, and with it 11 and 12: every failure is one leaf, whatever a server makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from openslot.errors import (
    AuthFailed,
    BadResponse,
    OpenSlotError,
    RateLimited,
    Unavailable,
    Unsupported,
)
from openslot.model import AppointmentQuery, Listing
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import leaf, one_of, same_slots
from openslot.testing.suite.world import CANARY, named

__all__ = ["Failures"]


class Failures(Suite):
    """What becomes of bad answers."""

    @check(8, "find_slots", wire=True)
    async def test_a_refused_credential_is_auth_failed(self, bench: Bench) -> None:
        """A credential that the server does not take (any more) is AuthFailed, for every verb.

        If it fails: 401 is no outage: nobody mends it by trying later.
        """
        bench.revoke()
        for name, ask in self._reads(bench):
            with one_of(AuthFailed, what=f"{name} with a revoked credential"):
                await ask(await bench.another())

    @check(8, "find_slots", wire=True)
    async def test_forbidden_is_auth_failed(self, bench: Bench) -> None:
        """A 403 is AuthFailed (or Unsupported, where it says that access does not cover this).

        If it fails: what a credential may not do is not an empty answer, and no outage.
        """
        for name, ask in self._reads(bench):
            connector = await bench.signed_in()
            bench.answer_instead(403, b"{}", "application/json")
            with one_of(AuthFailed, Unsupported, what=f"{name}, answered with 403"):
                await ask(connector)
            bench.heal()

    @check(12, "find_slots", wire=True)
    async def test_retry_after_is_obeyed(self, bench: Bench) -> None:
        """After a 429 with Retry-After, nothing is asked before that time, and the error tells it.

        If it fails: read Retry-After in seconds and as a date; wait, or raise RateLimited with it.
        """
        await self._waits(bench, "rate-limited", RateLimited)

    @check(12, "find_slots", wire=True)
    async def test_retry_after_as_a_date_is_obeyed(self, bench: Bench) -> None:
        """Retry-After may be a date, by the server's own clock.

        If it fails: subtract the answer's Date header, not this machine's time.
        """
        await self._waits(bench, "rate-limited-date", RateLimited)

    @check(12, "find_slots", wire=True)
    async def test_retry_after_an_outage_is_obeyed(self, bench: Bench) -> None:
        """A 503 may carry Retry-After as well.

        If it fails: as for 429.
        """
        await self._waits(bench, "error-503", Unavailable)

    @check(8, "find_slots", wire=True)
    async def test_a_server_that_is_down_is_unavailable(self, bench: Bench) -> None:
        """500, 502, 503, 504 and a gateway's page are Unavailable.

        If it fails: look at the status before the body.
        """
        for fault in ("error-500", "error-502", "error-503", "error-504", "html-502"):
            await self._all_raise(bench, fault, Unavailable)

    @check(8, "find_slots", wire=True)
    async def test_a_dead_vendor_gets_few_calls(self, bench: Bench) -> None:
        """While everything fails, one search stays within a few requests.

        If it fails: bound retries; do not go on to the next page or resource for ever.
        """
        bench.fault("error-503")
        await leaf(bench.connector.find_slots(bench.query(bench.week())), "a dead vendor")
        assert len(bench.wire.seen) <= 20, f"{len(bench.wire.seen)} requests to a dead vendor"

    @check(8, "find_slots", wire=True)
    async def test_a_vendor_that_is_not_there_is_unavailable(self, bench: Bench) -> None:
        """A refused connection is Unavailable, and a write that met one is not called sent.

        If it fails: transport errors of the HTTP library must not get out.
        """
        closed = "http://127.0.0.1:9" + bench.base_path
        slot = await bench.slot()
        connector = await bench.another(url=closed)
        with one_of(Unavailable, what="a search where nobody listens"):
            await connector.find_slots(bench.query(bench.week()))
        with one_of(Unavailable, what="a booking where nobody listens") as caught:
            await connector.book(bench.request(slot))
        assert caught[0].sent is not True, "nothing was sent, and the error says that it was"

    @check(8, "find_slots", wire=True)
    async def test_a_web_page_is_a_bad_response(self, bench: Bench) -> None:
        """A login or maintenance page with 200 is BadResponse, not an empty answer.

        If it fails: look what you parse.
        """
        await self._all_raise(bench, "html-200", BadResponse)

    @check(8, "find_slots", wire=True)
    async def test_broken_bodies_are_leaves(self, bench: Bench) -> None:
        """Truncated, malformed and wrongly encoded bodies are BadResponse or Unavailable.

        If it fails: catch the parser's errors where you parse.
        """
        for fault in ("truncated-body", "malformed-json", "wrong-charset"):
            await self._all_raise(bench, fault, BadResponse, Unavailable)

    @check(9, "find_slots", wire=True)
    async def test_huge_and_deep_bodies_are_bounded(self, bench: Bench) -> None:
        """A body of 12 MB, 50 MB out of a small gzip, or 100,000 levels deep is BadResponse.

        If it fails: count bytes while reading, unpacked; bound the nesting before parsing.
        """
        for fault in ("huge-body", "gzip-bomb", "deep-nesting"):
            await self._all_raise(bench, fault, BadResponse, only=1)

    @check(8, "find_slots", wire=True)
    async def test_another_document_is_a_bad_response(self, bench: Bench) -> None:
        """JSON of another shape than the vendor's is BadResponse, not an empty answer.

        If it fails: check what the document is before you look for its entries.
        """
        for body in (b"[]", b"null", b'{"unexpected": true}', b'"text"', b"17"):
            for name, ask in self._reads(bench):
                bench.heal()
                connector = await bench.signed_in()
                bench.answer_instead(200, body, "application/json")
                result = await leaf(ask(connector), f"{name}, answered {body!r}")
                if isinstance(result, Listing) and not result.none:
                    assert not result.items, "entries were read out of another document"
                    continue
                assert isinstance(result, BadResponse), (
                    f"{name}, answered with {body!r}, gave {type(result).__name__}"
                )

    @check(12, "find_slots", wire=True, manners={"page_size": 7})
    async def test_a_token_that_expires_meanwhile_is_renewed(self, bench: Bench) -> None:
        """A token that expires between two pages is renewed, and the answer is whole.

        If it fails: on 401, renew once and send the request again.
        """
        if not bench.gives_tokens:
            bench.not_applicable("the server gives out no tokens that can be made to expire")
        connector = await bench.another()
        await connector.find_slots(bench.query(bench.week(1)))
        bench.fault("expired-token", lasting=False)
        same_slots(
            await connector.find_slots(bench.query(bench.week(2))), bench.free(bench.week(2))
        )

    def _reads(self, bench: Bench) -> list[tuple[str, Callable[[Any], Awaitable[Any]]]]:
        """Every way of reading that this connector has."""
        people, can = bench.people, bench.connector.capabilities.can
        id = bench.vendor_id("appointment", bench.somebody().id)
        every: list[tuple[str, Callable[[Any], Awaitable[Any]]]] = [
            ("find_slots", lambda c: c.find_slots(bench.query(bench.week()))),
            ("get_appointment", lambda c: c.get_appointment(id)),
            (
                "list_appointments",
                lambda c: c.list_appointments(AppointmentQuery(patient=people.patients[0])),
            ),
            ("find_patients", lambda c: c.find_patients(named(CANARY))),
        ]
        return [(name, ask) for name, ask in every if can(name)]

    async def _all_raise(
        self, bench: Bench, fault: str, *leaves: type[OpenSlotError], only: int | None = None
    ) -> None:
        for name, ask in self._reads(bench)[:only]:
            bench.heal()
            connector = await bench.signed_in()
            bench.fault(fault)
            with one_of(*leaves, what=f"{name}, met by {fault}"):
                await ask(connector)

    async def _waits(self, bench: Bench, fault: str, kind: type[OpenSlotError]) -> None:
        asked = 7.0
        for name, ask in self._reads(bench):
            bench.heal()
            clock = bench.another_clock()
            connector = await bench.signed_in(clock=clock)
            bench.fault(fault, seconds=asked)
            with one_of(kind, what=f"{name}, met by {fault}") as caught:
                await ask(connector)
            # Only what was told to wait counts: a connection that broke may be tried again at once.
            seen, told_off = bench.wire.seen, {429, 503}
            again = sum(
                any(s.same == e.same and e.status in told_off for e in seen[:n])
                for n, s in enumerate(seen)
            )
            slept = sum(clock.slept)
            assert slept >= again * (asked - 1), (
                f"{name} asked {again} times again within {timedelta(seconds=slept)}, though told "
                f"to wait {asked} seconds each time"
            )
            told = getattr(caught[0], "retry_after", None)
            assert told is not None, f"{name}: the error does not say when to come back"
            assert abs(told - asked) <= 1.5, f"{name}: told {asked} seconds, and says {told}"
