"""The conformance suite on `local`."""

from __future__ import annotations

from typing import Any

from openslot.testing.suite import ConnectorSuite
from openslot_connectors.local.connector import LocalConnector
from openslot_connectors.local.sandbox import Sandbox
from openslot_connectors.local.settings import LocalSettings


class TestLocal(ConnectorSuite):
    suite_version = "1"

    def make_sandbox(self, **options: Any) -> Sandbox:
        return Sandbox(**options)

    def make_connector(self, settings: dict[str, Any], **options: Any) -> LocalConnector:
        return LocalConnector(LocalSettings(**settings), **options)
