"""The conformance suite on `fhir-r4`."""

from __future__ import annotations

from typing import Any

from openslot.testing.suite import ConnectorSuite
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.sandbox import Sandbox
from openslot_connectors.fhir.settings import FhirSettings


class TestFhirR4(ConnectorSuite):
    suite_version = "1"

    def make_sandbox(self, **options: Any) -> Sandbox:
        return Sandbox(**options)

    def make_connector(self, settings: dict[str, Any], **options: Any) -> FhirR4Connector:
        return FhirR4Connector(FhirSettings(**settings), **options)
