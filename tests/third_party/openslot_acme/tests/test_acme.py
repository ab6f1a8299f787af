from openslot_acme import AcmeConnector, AcmeSettings
from openslot_acme.sandbox import AcmeSandbox

from openslot.testing.suite import ConnectorSuite


class TestAcme(ConnectorSuite):
    suite_version = "1"

    def make_sandbox(self, **options):
        return AcmeSandbox(**options)

    def make_connector(self, settings, **options):
        return AcmeConnector(AcmeSettings(**settings), **options)
