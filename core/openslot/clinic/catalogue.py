"""What a clinic offers: places, people, rooms, working hours, appointment types, reasons."""

from __future__ import annotations

import json
import sqlite3
from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

from openslot.clinic.availability import DayException, WeeklyHours, WorkPlan
from openslot.clinic.records import Schedule, VisitType
from openslot.clinic.store import Store, not_found, pack, seconds
from openslot.model import (
    Address,
    ChangeKind,
    ContactPoint,
    ContactSystem,
    Location,
    Practitioner,
    Question,
    QuestionType,
    Reason,
    Resource,
    ResourceKind,
    VisitMode,
)
from openslot.model.time import zone_named

__all__ = ["Catalogue"]


class Catalogue(Store):
    """The part of the clinic that its manager sets up."""

    def add_location(self, location: Location) -> Location:
        """Add or replace a location; its `zone` is required. Raises ValueError."""
        self._check_id(location.id, "location")
        if location.zone is None:
            raise ValueError("a clinic's location has a zone of its own")
        zone_named(location.zone)
        with self.transaction():
            self._run(
                "INSERT INTO location VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "name = excluded.name, zone = excluded.zone, address = excluded.address, "
                "telecom = excluded.telecom, active = excluded.active",
                (
                    location.id,
                    location.name,
                    location.zone,
                    pack_address(location.address),
                    pack_telecom(location.telecom),
                    location.active,
                ),
            )
        return location

    def add_practitioner(self, practitioner: Practitioner) -> Practitioner:
        """Add or replace a practitioner; where they work follows from `set_hours`."""
        self._put_resource(
            Resource(ResourceKind.PRACTITIONER, practitioner.id, practitioner.name),
            None,
            practitioner.specialties,
            practitioner.active,
        )
        return practitioner

    def add_resource(self, resource: Resource, *, location: str | None = None) -> Resource:
        """Add or replace a room or device, at one location or (None) wherever it is needed."""
        if resource.kind not in (ResourceKind.ROOM, ResourceKind.DEVICE):
            raise ValueError("a resource that is added by itself is a room or a device")
        self._put_resource(resource, location, (), True)
        return resource

    def _put_resource(
        self, resource: Resource, location: str | None, specialties: tuple[str, ...], active: bool
    ) -> None:
        self._check_id(resource.id, "resource")
        if location is not None:
            self._location(location)
        with self.transaction():
            known = self._one("SELECT kind FROM resource WHERE id = ?", (resource.id,))
            if known is not None and known["kind"] != resource.kind.value:
                raise ValueError("another kind of resource has this id")
            self._run(
                "INSERT INTO resource VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
                "name = excluded.name, location = excluded.location, "
                "specialties = excluded.specialties, active = excluded.active",
                (resource.id, resource.kind, resource.name, location, pack(specialties), active),
            )

    def add_type(self, type: VisitType) -> VisitType:
        """Add or replace an appointment type. Raises NotFound for a resource it names in vain."""
        self._check_id(type.id, "type")
        with self.transaction():
            for id in type.practitioners:
                self.resource(id, ResourceKind.PRACTITIONER)
            for id in (id for group in type.needs for id in group):
                self.resource(id, ResourceKind.ROOM, ResourceKind.DEVICE)
            for id in type.locations:
                self._location(id)
            self._run("DELETE FROM visit_type WHERE id = ?", (type.id,))
            self._run(
                f"INSERT INTO visit_type VALUES ({', '.join('?' * 17)})",  # noqa: S608
                (
                    type.id,
                    type.name,
                    seconds(type.duration),
                    seconds(type.step),
                    seconds(type.before),
                    seconds(type.after),
                    seconds(type.notice),
                    seconds(type.horizon),
                    type.new_patients,
                    type.existing_patients,
                    pack(type.visit_modes),
                    pack(type.practitioners),
                    pack(type.locations),
                    pack(type.needs),
                    type.capacity,
                    type.bookable_online,
                    pack([[q.id, q.text, q.type, q.required, q.choices] for q in type.questions]),
                ),
            )
        return type

    def add_reason(self, reason: Reason) -> Reason:
        """Add or replace a reason; `use` is "visit" or "cancellation"."""
        with self.transaction():
            self._run(
                "INSERT OR REPLACE INTO reason VALUES (?, ?, ?)",
                (reason.id, reason.name, reason.use),
            )
        return reason

    def set_hours(
        self, practitioner: str, location: str, hours: tuple[WeeklyHours, ...]
    ) -> Schedule:
        """Replace the weekly working hours of a practitioner at a location."""
        with self.transaction():
            self.resource(practitioner, ResourceKind.PRACTITIONER)
            zone = self._location(location)["zone"]
            self._run(
                "DELETE FROM hours WHERE practitioner = ? AND location = ?",
                (practitioner, location),
            )
            for row in hours:
                self._run(
                    "INSERT INTO hours VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (
                        practitioner,
                        location,
                        row.weekday,
                        row.start.isoformat(),
                        row.end.isoformat(),
                        row.since and row.since.isoformat(),
                        row.until and row.until.isoformat(),
                    ),
                )
            schedule = Schedule(f"{practitioner}.{location}", practitioner, location, zone)
            self._changed(ChangeKind.UPDATED, "Schedule", schedule.id)
        return schedule

    def add_exception(
        self,
        exception: DayException,
        *,
        practitioner: str | None = None,
        location: str | None = None,
    ) -> None:
        """Close or open a date for one practitioner or all (None), at one location or all."""
        with self.transaction():
            if practitioner is not None:
                self.resource(practitioner, ResourceKind.PRACTITIONER)
            if location is not None:
                self._location(location)
            self._run(
                "INSERT INTO exception VALUES (?, ?, ?, ?, ?, ?)",
                (
                    practitioner,
                    location,
                    exception.day.isoformat(),
                    exception.open,
                    exception.start and exception.start.isoformat(),
                    exception.end and exception.end.isoformat(),
                ),
            )
            for schedule in self.schedules():
                if practitioner in (None, schedule.practitioner) and location in (
                    None,
                    schedule.location,
                ):
                    self._changed(ChangeKind.UPDATED, "Schedule", schedule.id)

    # reading

    def practitioners(self) -> tuple[Practitioner, ...]:
        """Everyone who sees patients, with the locations and types that follow from the rules."""
        with self._lock:
            places: dict[str, list[str]] = {}
            for schedule in self.schedules():
                places.setdefault(schedule.practitioner, []).append(schedule.location)
            types = self.types()
            rows = self._all("SELECT * FROM resource WHERE kind = 'practitioner' ORDER BY id")
        return tuple(
            Practitioner(
                row["id"],
                row["name"] or row["id"],
                bool(row["active"]),
                tuple(json.loads(row["specialties"])),
                tuple(places.get(row["id"], ())),
                tuple(t.id for t in types if not t.practitioners or row["id"] in t.practitioners),
            )
            for row in rows
        )

    def locations(self) -> tuple[Location, ...]:
        """Every place."""
        return tuple(
            Location(
                row["id"],
                row["name"],
                row["zone"],
                unpack_address(row["address"]),
                unpack_telecom(row["telecom"]),
                bool(row["active"]),
            )
            for row in self._all("SELECT * FROM location ORDER BY id")
        )

    def resources(self, kind: ResourceKind | None = None) -> tuple[Resource, ...]:
        """Everything that time is taken from: practitioners, rooms, devices."""
        return tuple(
            Resource(ResourceKind(row["kind"]), row["id"], row["name"])
            for row in self._all("SELECT * FROM resource ORDER BY id")
            if kind is None or row["kind"] == kind.value
        )

    def types(self) -> tuple[VisitType, ...]:
        """Everything that can be booked."""
        return tuple(map(_visit_type, self._all("SELECT * FROM visit_type ORDER BY id")))

    def type(self, id: str) -> VisitType:
        """One appointment type. Raises NotFound."""
        row = self._one("SELECT * FROM visit_type WHERE id = ?", (id,))
        return _visit_type(row) if row else not_found("appointment type")

    def reasons(self) -> tuple[Reason, ...]:
        """Reasons for visits and for cancellations."""
        rows = self._all("SELECT * FROM reason ORDER BY use, id")
        return tuple(Reason(row["id"], row["name"], row["use"]) for row in rows)

    def schedules(self) -> tuple[Schedule, ...]:
        """Every practitioner and location that have working hours together."""
        rows = self._all(
            "SELECT DISTINCT h.practitioner, h.location, l.zone FROM hours h "
            "JOIN location l ON l.id = h.location JOIN resource r ON r.id = h.practitioner "
            "WHERE l.active AND r.active ORDER BY 1, 2"
        )
        return tuple(
            Schedule(f"{row[0]}.{row[1]}", row["practitioner"], row["location"], row["zone"])
            for row in rows
        )

    def plan(self, schedule: Schedule) -> WorkPlan:
        """The working hours and exceptions of a schedule, for the availability engine."""
        where = (schedule.practitioner, schedule.location)
        weekly = self._all("SELECT * FROM hours WHERE practitioner = ? AND location = ?", where)
        exceptions = self._all(
            "SELECT * FROM exception WHERE (practitioner IS NULL OR practitioner = ?) "
            "AND (location IS NULL OR location = ?)",
            where,
        )
        return WorkPlan(
            ZoneInfo(schedule.zone),
            tuple(
                WeeklyHours(
                    row["weekday"],
                    time.fromisoformat(row["start"]),
                    time.fromisoformat(row["stop"]),
                    _date(row["since"]),
                    _date(row["until"]),
                )
                for row in weekly
            ),
            tuple(
                DayException(
                    date.fromisoformat(row["day"]),
                    bool(row["open"]),
                    time.fromisoformat(row["start"]) if row["start"] else None,
                    time.fromisoformat(row["stop"]) if row["stop"] else None,
                )
                for row in exceptions
            ),
        )

    def resource(self, id: str, *kinds: ResourceKind) -> Resource:
        """One practitioner, room or device, of one of these kinds if any are named.

        Raises NotFound.
        """
        row = self._one("SELECT * FROM resource WHERE id = ?", (id,))
        if row is None or (kinds and row["kind"] not in kinds):
            not_found(" or ".join(kinds) or "resource")
        return Resource(ResourceKind(row["kind"]), row["id"], row["name"])

    def _location(self, id: str) -> sqlite3.Row:
        return self._one("SELECT * FROM location WHERE id = ?", (id,)) or not_found("location")


def _visit_type(row: sqlite3.Row) -> VisitType:
    def span(name: str) -> timedelta:
        return timedelta(seconds=row[name])

    return VisitType(
        id=row["id"],
        name=row["name"],
        duration=span("duration"),
        step=span("step"),
        before=span("before"),
        after=span("after"),
        notice=span("notice"),
        horizon=span("horizon"),
        new_patients=bool(row["new_patients"]),
        existing_patients=bool(row["existing_patients"]),
        visit_modes=tuple(map(VisitMode, json.loads(row["visit_modes"]))),
        practitioners=tuple(json.loads(row["practitioners"])),
        locations=tuple(json.loads(row["locations"])),
        needs=tuple(map(tuple, json.loads(row["needs"]))),
        capacity=row["capacity"],
        bookable_online=bool(row["bookable_online"]),
        questions=tuple(
            Question(id, text, QuestionType(kind), required, tuple(choices))
            for id, text, kind, required, choices in json.loads(row["questions"])
        ),
    )


def _date(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def pack_telecom(telecom: tuple[ContactPoint, ...]) -> str:
    """Contact points for a column."""
    return pack([[point.system, point.value, point.use] for point in telecom])


def unpack_telecom(text: str) -> tuple[ContactPoint, ...]:
    """What `pack_telecom` wrote."""
    return tuple(
        ContactPoint(ContactSystem(system), value, use) for system, value, use in json.loads(text)
    )


def pack_address(address: Address | None) -> str | None:
    """An address for a column."""
    if address is None:
        return None
    return pack([address.line, address.city, address.state, address.postal_code, address.country])


def unpack_address(text: str | None) -> Address | None:
    """What `pack_address` wrote."""
    if text is None:
        return None
    line, *rest = json.loads(text)
    return Address(tuple(line), *rest)
