"""Sandboxes that run while a test does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.kit import FILLED, STAGE, Server, client, make, running


@pytest.fixture
def server() -> Iterator[Server]:
    """A sandbox of one's own."""
    yield from running()


@pytest.fixture(scope="module")
def reading() -> Iterator[Server]:
    """A sandbox that the tests of a module share, for reading only, on a server of its own."""
    sandbox = make()
    with sandbox.serve() as url, client(url) as http:
        yield Server(sandbox, url, http)
    sandbox.close()


@pytest.fixture(scope="session", autouse=True)
def _stage() -> Iterator[None]:
    yield
    STAGE.close()
    while FILLED:
        FILLED.popitem()[1].close()
