"""Fixtures of the independent FHIR server, for the tests that ask how it behaves."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from .medplum import require_node, start_medplum


@pytest.fixture(scope="module")
def medplum_client() -> Iterator[httpx.Client]:
    """A client of a server that the module's tests share."""
    require_node()
    with start_medplum() as url, httpx.Client(base_url=url) as client:
        yield client


@pytest.fixture
def medplum(medplum_client: httpx.Client) -> httpx.Client:
    """The same client, its server emptied."""
    medplum_client.post(str(medplum_client.base_url.join("/__reset"))).raise_for_status()
    return medplum_client
