"""What pytest collects when a program runs the suite (`report.run_suite`)."""

from __future__ import annotations

from openslot.testing.suite.report import asked_for

TestConnector = asked_for()
