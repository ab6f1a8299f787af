"""What a FHIR server keeps of a resource beside what the clinic knows: in the clinic's own file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from openslot.clinic import Clinic
from openslot_connectors.fhir.sandbox.wire import Doc

__all__ = ["Record", "Records"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fhir_record (
    type TEXT NOT NULL,
    id TEXT NOT NULL,
    shift INTEGER NOT NULL,
    shown_free INTEGER NOT NULL,
    updated INTEGER,
    document TEXT NOT NULL,
    PRIMARY KEY (type, id)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Record:
    """A resource as it was last written, and how its version is counted.

    The version that clients see is the clinic's plus `shift`: writes of which the clinic knows
    nothing count up, and what the clinic did on its own account of another resource does not.
    `shown_free` is a Slot that still says free although an Appointment was created for it.
    """

    shift: int = 0
    shown_free: bool = False
    updated: datetime | None = None
    document: Doc = field(default_factory=dict)


class Records:
    """The records of one sandbox. Writes belong into a transaction of the clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        with clinic.transaction():
            clinic.execute(_SCHEMA)

    def get(self, type: str, id: str) -> Record:
        """The record of a resource; an empty one where none was written."""
        return self.many(type, (id,)).get(id, Record())

    def many(self, type: str, ids: Iterable[str]) -> dict[str, Record]:
        """The records there are, by id."""
        wanted = list(ids)
        rows = self._clinic.execute(
            "SELECT id, shift, shown_free, updated, document FROM fhir_record "
            "WHERE type = ? AND id IN (SELECT value FROM json_each(?))",
            (type, json.dumps(wanted)),
        )
        return {row[0]: _record(*row[1:]) for row in rows}

    def shown_free(self) -> frozenset[str]:
        """The Slots that say free although an Appointment was created for them."""
        rows = self._clinic.execute("SELECT id FROM fhir_record WHERE shown_free AND type = 'Slot'")
        return frozenset(row[0] for row in rows)

    def put(self, type: str, id: str, record: Record) -> None:
        """Write a record, updated now."""
        self._write(type, id, replace(record, updated=self._clinic.clock.now()))

    def shift(self, type: str, id: str, by: int, *, shown_free: bool | None = None) -> None:
        """Count a version up or down, and say how a Slot is shown: nothing that clients see."""
        known = self.get(type, id)
        shown = known.shown_free if shown_free is None else shown_free
        self._write(type, id, replace(known, shift=known.shift + by, shown_free=shown))

    def _write(self, type: str, id: str, record: Record) -> None:
        self._clinic.execute(
            "INSERT OR REPLACE INTO fhir_record VALUES (?, ?, ?, ?, ?, ?)",
            (
                type,
                id,
                record.shift,
                int(record.shown_free),
                int(record.updated.timestamp()) if record.updated else None,
                json.dumps(record.document, ensure_ascii=False),
            ),
        )


def _record(shift: int, shown_free: int, updated: int | None, document: str) -> Record:
    when = None if updated is None else datetime.fromtimestamp(updated, UTC)
    return Record(shift, bool(shown_free), when, json.loads(document))
