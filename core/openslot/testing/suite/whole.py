"""All rooms of the suite, in the order in which a connector's author meets them."""

from __future__ import annotations

from openslot.testing.suite.booking import Booking
from openslot.testing.suite.changing import Changing
from openslot.testing.suite.contract import Contract
from openslot.testing.suite.deadlines import Deadlines
from openslot.testing.suite.desk import AtTheDesk
from openslot.testing.suite.failures import Failures
from openslot.testing.suite.holds import Holds
from openslot.testing.suite.people import People
from openslot.testing.suite.privacy import Privacy
from openslot.testing.suite.reading import Reading
from openslot.testing.suite.security import Security
from openslot.testing.suite.slots import Slots
from openslot.testing.suite.writes import Writes

__all__ = ["ConnectorSuite"]


class ConnectorSuite(
    Contract,
    Slots,
    Booking,
    Writes,
    Reading,
    Changing,
    Holds,
    People,
    Failures,
    Security,
    Privacy,
    Deadlines,
    AtTheDesk,
):
    """The suite: a connector's author inherits this class, and no other of the package."""
