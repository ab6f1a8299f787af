"""Law 9: a credential goes only where it belongs, and what a server says is bounded."""

from __future__ import annotations

from openslot.errors import BadResponse, OpenSlotError, TryLater
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import counted, leaf, one_of
from openslot.testing.suite.wire import Seen

__all__ = ["Security"]

MOST_PAGES = 250


class Security(Suite):
    """Links, redirects and loops."""

    @check(9, "find_slots", wire=True, manners={"page_size": 7})
    async def test_a_next_link_elsewhere_is_not_followed(self, bench: Bench) -> None:
        """A next page on another host is not asked for, and the answer is not called whole.

        If it fails: pin every link to the practice's origin (`self.pages`, `self.resolve`).
        """
        truth = bench.free(bench.week())
        bench.fault("next-elsewhere", to=bench.stage.elsewhere)
        result = await leaf(
            bench.connector.find_slots(bench.query(bench.week())), "a link elsewhere"
        )
        self._nothing_strayed(bench)
        if isinstance(result, OpenSlotError):
            assert isinstance(result, BadResponse), f"it became {type(result).__name__}"
            return
        assert not (result.complete and truth - counted(result)), "pages are silently left out"

    @check(9, "find_slots", wire=True)
    async def test_a_redirect_elsewhere_is_not_followed(self, bench: Bench) -> None:
        """A redirect to another host is not followed by a search.

        If it fails: switch the HTTP library's redirects off, and pin what you follow.
        """
        connector = await bench.signed_in()
        bench.fault("redirect-elsewhere", to=bench.stage.elsewhere)
        with one_of(TryLater, what="a redirect to another host"):
            await connector.find_slots(bench.query(bench.week()))
        self._nothing_strayed(bench)

    @check(9, "book", wire=True)
    async def test_a_redirected_write_is_not_followed(self, bench: Bench) -> None:
        """A redirect to another host takes no booking, and no patient, along.

        If it fails: as for searches; a write is never redirected.
        """
        slot = await bench.slot()
        bench.fault("redirect-elsewhere", to=bench.stage.elsewhere)
        with one_of(OpenSlotError, what="a booking that is redirected to another host"):
            await bench.connector.book(bench.request(slot))
        self._nothing_strayed(bench)
        assert not bench.standing(), "it was booked at the wrong place"

    @check(9, "find_slots", wire=True, manners={"page_size": 7})
    async def test_a_loop_of_pages_ends(self, bench: Bench) -> None:
        """A next link that leads to its own page is noticed.

        If it fails: remember the pages that were read; bound their number.
        """
        bench.fault("page-loop")
        bench.wire.instead = lambda seen: _too_many(bench)
        result = await leaf(
            bench.connector.find_slots(bench.query(bench.week())), "a loop of pages"
        )
        count = len(bench.wire.seen)
        assert count < MOST_PAGES, "the connector reads the same page again and again"
        if not isinstance(result, OpenSlotError):
            truth = bench.free(bench.week())
            assert not result.complete or counted(result) == truth, "a loop is taken for the end"

    @check(9, "find_slots", "book", wire=True)
    async def test_the_credential_is_in_no_address(self, bench: Bench) -> None:
        """The secret travels in headers or a body, never in a URL.

        If it fails: use a header; URLs end up in logs.
        """
        secret = bench.static_key
        if secret is None:
            bench.not_applicable("the server asks for no static key")
        await bench.connector.book(bench.request(await bench.slot()))
        assert all(secret not in seen.target for seen in bench.wire.seen), "the key is in a URL"
        assert any(secret in str(seen.headers) for seen in bench.wire.seen), "no key was sent"

    def _nothing_strayed(self, bench: Bench) -> None:
        strayed = bench.stage.strayed
        with_key = [s for s in strayed if "authorization" in s.headers or _keyed(bench, s)]
        assert not with_key, "the credential was sent to another host"
        assert not strayed, f"{len(strayed)} requests went to another host"


def _keyed(bench: Bench, seen: Seen) -> bool:
    secret = bench.static_key
    return secret is not None and secret in f"{seen.headers} {seen.target}"


def _too_many(bench: Bench) -> None:
    """Bring a connector that would never stop to an end, so that the check can tell."""
    if len(bench.wire.seen) >= MOST_PAGES:
        bench.calm()
