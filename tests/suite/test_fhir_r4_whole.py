"""The conformance suite on `fhir-r4` with what a practice may switch on: holds, transactions."""

from __future__ import annotations

from typing import Any

import pytest

from openslot.testing.auth import SmartBackend
from openslot.testing.suite import xfail
from openslot_connectors.fhir.connector import FhirR4Connector
from openslot_connectors.fhir.settings import FhirSettings
from suite.test_fhir_r4 import TestFhirR4 as Plain


@pytest.mark.slow
class TestHolding(Plain):
    test_a_hold_expires = xfail(reason="R4 knows no expiry: whoever held a Slot gives it back")

    def make_connector(self, settings: dict[str, Any], **options: Any) -> FhirR4Connector:
        return FhirR4Connector(FhirSettings(**settings, holds=True), **options)


@pytest.mark.slow
class TestTransacting(Plain):
    auth = SmartBackend
    test_the_practice_s_rules_are_rejected = xfail(
        reason="the sandbox looks at notice where a Slot is claimed; a transaction creates first"
    )

    def make_connector(self, settings: dict[str, Any], **options: Any) -> FhirR4Connector:
        return FhirR4Connector(FhirSettings(**settings, rolls_back=True), **options)
