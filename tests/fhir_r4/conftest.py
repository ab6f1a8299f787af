"""The servers that the verbs run against."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from peers.medplum import require_node, start_medplum

from fhir_r4.kit import Place, fill, sandbox


@pytest.fixture(scope="session")
def peer_url() -> Iterator[str]:
    """The independent server."""
    require_node()
    with start_medplum() as url:
        yield url


@pytest.fixture
def peer(peer_url: str) -> Iterator[Place]:
    """The independent server with a fresh practice in it."""
    with httpx.Client() as raw:
        yield fill(peer_url, raw)


@pytest.fixture
def box() -> Iterator[Place]:
    """A sandbox of one's own."""
    with sandbox() as place:
        yield place


@pytest.fixture(params=["sandbox", pytest.param("peer", marks=pytest.mark.peer)])
def place(request: pytest.FixtureRequest) -> Place:
    """Each server in turn."""
    found: Place = request.getfixturevalue("box" if request.param == "sandbox" else "peer")
    return found
