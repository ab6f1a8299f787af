"""Sandboxes that run while a test does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox.kit import Server, running


@pytest.fixture
def server() -> Iterator[Server]:
    """A sandbox of one's own."""
    yield from running()


@pytest.fixture(scope="module")
def reading() -> Iterator[Server]:
    """A sandbox that the tests of a module share, for reading only."""
    yield from running()
