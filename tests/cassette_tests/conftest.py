"""The toy vendor, running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cassette_tests.toy import server
from openslot.testing.server import serve


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serve(server) as origin:
        yield f"{origin}/api"
