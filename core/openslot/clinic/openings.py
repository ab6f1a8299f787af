"""Where a visit could start: the positions of the schedules, and which of them are free."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from openslot.clinic.availability import Rules, free_starts
from openslot.clinic.people import People
from openslot.clinic.records import Opening, Schedule, VisitType
from openslot.clinic.store import local, not_found, seconds
from openslot.errors import NotFound, Rejected, RejectedReason
from openslot.model import Resource, ResourceKind, Slot, SlotStatus, VisitMode, Window

__all__ = ["Openings", "Position", "opening_id"]

_ID_PARTS = 4
_EPOCH_DIGITS = 12


def opening_id(practitioner: str, location: str, type: str, start: datetime) -> str:
    """The id of the opening at which a visit of this type starts: `PRACT.LOCATION.TYPE.EPOCH`."""
    return f"{practitioner}.{location}.{type}.{int(start.timestamp())}"


@dataclass(frozen=True, slots=True)
class Position:
    """An opening's coordinates, in epoch seconds."""

    schedule: Schedule
    type: VisitType
    start: int

    @property
    def id(self) -> str:
        """The opening's id."""
        return f"{self.schedule.id}.{self.type.id}.{self.start}"

    @property
    def stop(self) -> int:
        """When the visit ends."""
        return self.start + seconds(self.type.duration)

    @property
    def occupied(self) -> tuple[int, int]:
        """The time that is taken, buffers included."""
        return self.start - seconds(self.type.before), self.stop + seconds(self.type.after)

    @property
    def share(self) -> str | None:
        """What the patients of one group visit have in common; None for a visit alone."""
        return self.id if self.type.capacity > 1 else None


@dataclass(frozen=True, slots=True)
class _Taken:
    start: int
    stop: int
    share: str | None
    held: bool


class Openings(People):
    """The part of the clinic that knows what is free."""

    def openings(
        self,
        window: Window,
        *,
        type: str | None = None,
        practitioners: tuple[str, ...] = (),
        locations: tuple[str, ...] = (),
        visit_mode: VisitMode | None = None,
        new_patient: bool | None = None,
        ignore_appointment: str | None = None,
        include_taken: bool = False,
        online_only: bool = True,
    ) -> tuple[Opening, ...]:
        """The openings that start in the window, sorted by start, then id.

        Notice and horizon are applied. `include_taken` adds those that are busy or held, with that
        status. The capacity of a free slot is the number of places left in it. Raises NotFound for
        an unknown type, practitioner or location.
        """
        with self._lock:
            types = [self.type(type)] if type is not None else list(self.types())
            types = [
                t
                for t in types
                if (t.bookable_online or not online_only)
                and (visit_mode is None or visit_mode in t.visit_modes)
                and (t.new_patients or new_patient is not True)
                and (t.existing_patients or new_patient is not False)
            ]
            for id in practitioners:
                self.resource(id, ResourceKind.PRACTITIONER)
            for id in locations:
                self._location(id)
            start, end = _ceil(window.start), _ceil(window.end)
            noted = {
                row["id"]: row["version"]
                for row in self._all(
                    "SELECT id, version FROM opening WHERE start >= ? AND start < ?", (start, end)
                )
            }
            markers = {
                row["opening"]: row["marker"]
                for row in self._all(
                    "SELECT opening, marker FROM block WHERE opening IS NOT NULL "
                    "AND start < ? AND stop > ?",
                    (end, start),
                )
            }
            found: list[Opening] = []
            for schedule in self.schedules():
                if practitioners and schedule.practitioner not in practitioners:
                    continue
                if locations and schedule.location not in locations:
                    continue
                offered = [t for t in types if _offers(schedule, t)]
                if offered:
                    found += self._of_schedule(
                        schedule,
                        offered,
                        (start, end),
                        visit_mode,
                        ignore_appointment,
                        include_taken,
                        noted,
                        markers,
                    )
        found.sort(key=lambda opening: (opening.slot.start.timestamp(), opening.id))
        return tuple(found)

    def opening(self, id: str) -> Opening:
        """One opening as it stands now: free, busy, or busy-tentative (held).

        Raises NotFound where the id names no position within working hours.
        """
        with self._lock:
            return self._opening(self._position(id))

    def _opening(self, position: Position) -> Opening:
        row = self._one("SELECT version FROM opening WHERE id = ?", (position.id,))
        claim = self._one("SELECT marker FROM block WHERE opening = ?", (position.id,))
        low, high = position.occupied
        taken = self._taken(position.schedule.practitioner, low, high, None)
        rooms = self._room_times(position.type, position.schedule.location, low, high, None)
        status, left = self._status(position, taken, rooms)
        return Opening(
            self._slot(position, status, left, None),
            row["version"] if row else 1,
            claim["marker"] if claim else None,
        )

    def _of_schedule(
        self,
        schedule: Schedule,
        types: list[VisitType],
        span: tuple[int, int],
        visit_mode: VisitMode | None,
        ignored: str | None,
        include_taken: bool,
        noted: dict[str, int],
        markers: dict[str, str | None],
    ) -> Iterable[Opening]:
        start, end = span
        now = self._now()
        plan = self.plan(schedule)
        for type in types:
            rules = rules_of(type)
            low, high = start - rules.before, end + rules.duration + rules.after
            taken = self._taken(schedule.practitioner, low, high, ignored)
            rooms = (
                None
                if visit_mode not in (None, VisitMode.IN_PERSON)
                else self._room_times(type, schedule.location, low, high, ignored)
            )
            busy = [(t.start, t.stop) for t in taken]
            if include_taken:
                starts = free_starts(plan, rules, (), start, end, now=now)
            else:
                starts = free_starts(plan, rules, busy, start, end, now=now)
                if type.capacity > 1:
                    shared = {t.share for t in taken} - {None}
                    everywhere = free_starts(plan, rules, (), start, end, now=now)
                    joinable = {s for s in everywhere if Position(schedule, type, s).id in shared}
                    starts = sorted(joinable.union(starts))
            alone = type.capacity == 1 and not type.needs and not include_taken
            for at in starts:
                position = Position(schedule, type, at)
                status, left = SlotStatus.FREE, 1
                if not alone:
                    overlapping = _overlapping(taken, *position.occupied)
                    status, left = self._status(position, overlapping, rooms)
                    if status is not SlotStatus.FREE and not include_taken:
                        continue
                slot = self._slot(position, status, left, visit_mode)
                assert slot.id is not None
                yield Opening(slot, noted.get(slot.id, 1), markers.get(slot.id))

    def _status(
        self, position: Position, taken: list[_Taken], rooms: dict[str, list[_Taken]] | None
    ) -> tuple[SlotStatus, int]:
        """(status, places left) of a position, by what overlaps it."""
        share = position.share
        others = [t for t in taken if share is None or t.share != share]
        left = position.type.capacity - (len(taken) - len(others))
        if others or left <= 0:
            held = all(t.held for t in others or taken)
            return SlotStatus.BUSY_TENTATIVE if held else SlotStatus.BUSY, position.type.capacity
        alone = left == position.type.capacity  # whoever joins a group goes where the group is
        if alone and rooms is not None and self._free_rooms(position, rooms) is None:
            return SlotStatus.BUSY, position.type.capacity
        return SlotStatus.FREE, left

    def _free_rooms(
        self, position: Position, rooms: dict[str, list[_Taken]]
    ) -> tuple[str, ...] | None:
        """One free room or device of each group that the type needs, none twice; or None."""
        low, high = position.occupied
        groups = [
            [room for room in group if room in rooms and not _overlapping(rooms[room], low, high)]
            for group in position.type.needs
        ]

        def choose(index: int, chosen: tuple[str, ...]) -> tuple[str, ...] | None:
            if index == len(groups):
                return chosen
            for room in groups[index]:
                if room not in chosen:
                    rest = choose(index + 1, (*chosen, room))
                    if rest is not None:
                        return rest
            return None

        return choose(0, ())

    def _room_times(
        self, type: VisitType, location: str, low: int, high: int, ignored: str | None
    ) -> dict[str, list[_Taken]] | None:
        """What takes the time of each room or device that the type may use at the location.

        None where it needs none.
        """
        if not type.needs or VisitMode.IN_PERSON not in type.visit_modes:
            return None
        wanted = {room for group in type.needs for room in group}
        here = self._all(
            "SELECT id FROM resource WHERE active AND (location IS NULL OR location = ?) "
            "ORDER BY id",
            (location,),
        )
        return {
            row["id"]: self._taken(row["id"], low, high, ignored)
            for row in here
            if row["id"] in wanted
        }

    def _taken(self, resource: str, low: int, high: int, ignored: str | None) -> list[_Taken]:
        """What takes time of the resource in (low, high), by start; expired holds do not."""
        rows = self._all(
            "SELECT start, stop, share, expires FROM taken WHERE resource = ? AND stop > ? "
            "AND start < ? AND owner IS NOT ? AND (expires IS NULL OR expires > ?) ORDER BY start",
            (resource, low, high, ignored, self._now()),
        )
        return [_Taken(r["start"], r["stop"], r["share"], r["expires"] is not None) for r in rows]

    def _slot(
        self, position: Position, status: SlotStatus, left: int, visit_mode: VisitMode | None
    ) -> Slot:
        schedule, type = position.schedule, position.type
        zone = ZoneInfo(schedule.zone)
        if visit_mode is None and len(type.visit_modes) == 1:
            visit_mode = type.visit_modes[0]
        return Slot(
            start=local(position.start, zone),
            end=local(position.stop, zone),
            id=position.id,
            schedule=schedule.id,
            resources=(Resource(ResourceKind.PRACTITIONER, schedule.practitioner),),
            location=schedule.location,
            appointment_type=type.id,
            visit_mode=visit_mode,
            status=status,
            capacity=left,
            as_of=self.clock.now(),
            ref=position.id,
        )

    def _position(self, id: str, *, staff: bool = False) -> Position:
        """Where the id points. `staff` accepts times outside hours and grid. Raises NotFound."""
        parts = id.split(".")
        if len(parts) != _ID_PARTS or not parts[3].isascii() or not parts[3].isdigit():
            not_found("opening")
        if len(parts[3]) > _EPOCH_DIGITS:
            not_found("opening")
        practitioner, location, type_id, epoch = parts
        self.resource(practitioner, ResourceKind.PRACTITIONER)
        zone = self._location(location)["zone"]
        schedule = Schedule(f"{practitioner}.{location}", practitioner, location, zone)
        position = Position(schedule, self.type(type_id), int(epoch))
        if not _offers(schedule, position.type):
            not_found("opening")
        if not staff:
            rules, start = rules_of(position.type), position.start
            if schedule not in self.schedules() or not free_starts(
                self.plan(schedule), rules, (), start, start + 1
            ):
                raise NotFound("no visit of this type can start then", sent=False)
        return position

    def _check_rules(self, position: Position) -> None:
        """Refuse what may not be booked now. Raises Rejected (NOTICE or HORIZON)."""
        now = self._now()
        if position.start < now + seconds(position.type.notice):
            raise Rejected(
                "it is too late to book this time", reason=RejectedReason.NOTICE, sent=False
            )
        if position.start > now + seconds(position.type.horizon):
            raise Rejected(
                "it is too early to book this time", reason=RejectedReason.HORIZON, sent=False
            )


def rules_of(type: VisitType) -> Rules:
    """An appointment type's rules as the availability engine takes them."""
    return Rules(
        duration=seconds(type.duration),
        step=seconds(type.step),
        before=seconds(type.before),
        after=seconds(type.after),
        notice=seconds(type.notice),
        horizon=seconds(type.horizon),
    )


def _offers(schedule: Schedule, type: VisitType) -> bool:
    return (not type.practitioners or schedule.practitioner in type.practitioners) and (
        not type.locations or schedule.location in type.locations
    )


def _overlapping(taken: list[_Taken], low: int, high: int) -> list[_Taken]:
    until = bisect_left(taken, high, key=lambda t: t.start)
    return [t for t in taken[:until] if t.stop > low]


def _ceil(instant: datetime) -> int:
    whole = int(instant.timestamp())
    return whole + (instant.timestamp() > whole)
