"""The conformance suite: inherit `ConnectorSuite` once and know what your connector forgot.

    class TestAcme(ConnectorSuite):
        suite_version = "1"

        def make_sandbox(self, **options):
            return AcmeSandbox(**options)

        def make_connector(self, settings, **options):
            return AcmeConnector(AcmeSettings(**settings), **options)

docs/conformance.md says what it checks, and what to do where a vendor cannot do better.
"""

from __future__ import annotations

import pytest

# Before they are imported, so that a failed assert shows the values in anybody's run.
pytest.register_assert_rewrite(
    *(
        f"openslot.testing.suite.{room}"
        for room in (
            "bench",
            "booking",
            "changing",
            "contract",
            "deadlines",
            "desk",
            "away",
            "expect",
            "failures",
            "holds",
            "people",
            "privacy",
            "reading",
            "security",
            "slots",
            "writes",
        )
    )
)

from openslot.testing.suite.base import SUITE_VERSION, Check, Suite, check, xfail  # noqa: E402
from openslot.testing.suite.bench import Bench  # noqa: E402
from openslot.testing.suite.foreign import Foreign, Reader  # noqa: E402
from openslot.testing.suite.whole import ConnectorSuite  # noqa: E402

__all__ = [
    "SUITE_VERSION",
    "Bench",
    "Check",
    "ConnectorSuite",
    "Foreign",
    "Reader",
    "Suite",
    "check",
    "xfail",
]
