"""Appointments as they are read: one, many, by intent, and their history."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from openslot.clinic.records import Event
from openslot.clinic.store import Store, local, not_found
from openslot.model import (
    Appointment,
    AppointmentStatus,
    Identifier,
    Resource,
    ResourceKind,
    VisitMode,
    Window,
)

__all__ = ["INTENT_SYSTEM", "Reading"]

INTENT_SYSTEM = "urn:openslot:intent"
"""The system of the identifier that carries an intent's marker in `Appointment.identifiers`."""

_SELECT = "SELECT a.*, l.zone FROM appointment a JOIN location l ON l.id = a.location"


class Reading(Store):
    """The part of the clinic that shows appointments."""

    def get_appointment(self, id: str) -> Appointment:
        """One appointment as it stands now. Raises NotFound."""
        with self._lock:
            return self._appointment(self._row(id), self._rooms())

    def appointments(
        self,
        *,
        patient: str | None = None,
        resource: str | None = None,
        location: str | None = None,
        window: Window | None = None,
        opening: str | None = None,
        identifier: Identifier | None = None,
        include_cancelled: bool = True,
        limit: int = 10_000,
    ) -> tuple[Appointment, ...]:
        """Appointments that fit all that is given, by start; at most `limit`.

        `window` means that the visit overlaps it (buffers do not count); `resource` is a
        practitioner, a room or a device.
        """
        where: list[str] = []
        values: list[str | float] = []
        for column, value in (
            ("a.patient", patient),
            ("a.location", location),
            ("a.opening", opening),
        ):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if resource is not None:
            where.append(
                "(a.practitioner = ? OR EXISTS (SELECT 1 FROM json_each(a.rooms) WHERE value = ?))"
            )
            values += (resource, resource)
        if window is not None:
            where.append("a.start < ? AND a.stop > ?")
            values += (window.end.timestamp(), window.start.timestamp())
        if identifier is not None:
            where.append(
                "a.id IN (SELECT appointment FROM appointment_key WHERE system = ? AND value = ?)"
            )
            values += (identifier.system, identifier.value)
        if not include_cancelled:
            where.append("a.status NOT IN ('cancelled', 'entered-in-error')")
        with self._lock:
            rows = self._all(
                f"{_SELECT} WHERE {' AND '.join(where) or '1'} "
                "ORDER BY a.start, LENGTH(a.id), a.id LIMIT ?",
                (*values, limit),
            )
            rooms = self._rooms()
        return tuple(self._appointment(row, rooms) for row in rows)

    def by_intent(self, intent: str) -> tuple[Appointment, ...]:
        """The appointment that was booked with this intent, if there is one."""
        return self.appointments(identifier=Identifier(INTENT_SYSTEM, intent))

    def history(self, appointment: str) -> tuple[Event, ...]:
        """Every version of an appointment, oldest first. Raises NotFound."""
        with self._lock:
            self._row(appointment)
            rows = self._all(
                "SELECT e.*, l.zone FROM event e JOIN location l ON l.id = e.location "
                "WHERE appointment = ? ORDER BY version",
                (appointment,),
            )
        return tuple(
            Event(
                row["version"],
                datetime.fromtimestamp(row["at"], UTC),
                row["what"],
                row["status"],
                local(row["start"], ZoneInfo(row["zone"])),
                local(row["stop"], ZoneInfo(row["zone"])),
                row["note"],
            )
            for row in rows
        )

    def _row(self, id: str) -> sqlite3.Row:
        return self._one(f"{_SELECT} WHERE a.id = ?", (id,)) or not_found("appointment")

    def _rooms(self) -> dict[str, ResourceKind]:
        rows = self._all("SELECT id, kind FROM resource WHERE kind <> 'practitioner'")
        return {row["id"]: ResourceKind(row["kind"]) for row in rows}

    def _appointment(self, row: sqlite3.Row, rooms: dict[str, ResourceKind]) -> Appointment:
        zone = ZoneInfo(row["zone"])
        return Appointment(
            id=row["id"],
            status=AppointmentStatus(row["status"]),
            start=local(row["start"], zone),
            end=local(row["stop"], zone),
            patient=row["patient"],
            resources=(
                Resource(ResourceKind.PRACTITIONER, row["practitioner"]),
                *(Resource(rooms[id], id) for id in json.loads(row["rooms"])),
            ),
            location=row["location"],
            appointment_type=row["type"],
            slots=(row["opening"],),
            visit_mode=VisitMode(row["visit_mode"]) if row["visit_mode"] else None,
            reason=row["reason"],
            comment=row["comment"],
            cancellation_reason=row["cancellation_reason"],
            identifiers=tuple(Identifier(*pair) for pair in json.loads(row["identifiers"])),
            created=datetime.fromtimestamp(row["created"], UTC),
            version=str(row["version"]),
            as_of=self.clock.now(),
        )
