from openslot_tidewell.connector import TidewellConnector, TidewellSettings
from openslot_tidewell.sandbox import TidewellSandbox

from openslot.testing.suite import ConnectorSuite


class TestTidewell(ConnectorSuite):
    suite_version = "1"

    def make_sandbox(self, **options):
        return TidewellSandbox(**options)

    def make_connector(self, settings, **options):
        return TidewellConnector(TidewellSettings(**settings), **options)
