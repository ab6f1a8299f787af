from openslot_tidewell.connector import TidewellSettings
from openslot_tidewell.more import TidewellPlus
from openslot_tidewell.sandbox import TidewellSandbox

from openslot.testing.suite import ConnectorSuite


class TestTidewellPlus(ConnectorSuite):
    suite_version = "1"

    def make_sandbox(self, **options):
        return TidewellSandbox(**options)

    def make_connector(self, settings, **options):
        return TidewellPlus(TidewellSettings(**settings), **options)
