"""The clinic, put together."""

from __future__ import annotations

from openslot.clinic.bookings import Bookings

__all__ = ["Clinic"]


class Clinic(Bookings):
    """One practice in one SQLite file (or ":memory:"), safe for threads and for several processes.

    Ids of practitioners, locations, rooms and types are 1 to 16 of `A-Za-z0-9-`, so that every id
    made of them is a FHIR id. Datetimes that it returns carry the offset that the location's clocks
    have at that instant (not the zone, so that they compare as instants). `version` of an
    appointment is a decimal counter ("1", "2", ...). Every write is one transaction; whatever
    raises has changed nothing. `manners.enforce_conflicts` is a property of the file: `manners` of
    None keeps what the file says (a new one enforces). Errors are leaves of `openslot.errors` with
    `sent=False`, without patient data; ConfigError where the file is not a clinic's.

    `hold_for` is how long a hold lasts. Methods are synchronous and take about a millisecond; in
    asyncio they belong on one worker thread, as `openslot_connectors.local` does it.
    """
