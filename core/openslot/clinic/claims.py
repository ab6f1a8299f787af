"""Taking time without booking it: claims of outside systems, holds, blocks."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from openslot.clinic.openings import Openings, Position
from openslot.clinic.records import Block, Opening
from openslot.clinic.store import local, pack, seconds
from openslot.errors import KeyReused, Rejected, SlotTaken, Stale
from openslot.model import ChangeKind, Hold, Resource, VisitMode, Window

__all__ = ["Claims"]


class Claims(Openings):
    """The part of the clinic in which time is spent."""

    def claim(
        self, opening: str, *, marker: str | None = None, version: int | None = None
    ) -> Opening:
        """Take an opening for an outside system, to be taken over by `book` with the same marker.

        A claim without marker is taken over by whichever booking names the opening. Claiming again
        with the same marker answers the opening as it stands. Raises Stale where `version` is not
        current (checked first), SlotTaken, NotFound, Rejected(NOTICE or HORIZON).
        """
        with self.transaction():
            position = self._position(opening)
            self._check_opening_version(position, version)
            if marker is not None and self._one(
                "SELECT 1 FROM block WHERE opening = ? AND marker = ?", (opening, marker)
            ):
                return self._opening(position)
            self._check_rules(position)
            id = self._next_id("block")
            rooms = self._take(id, position, VisitMode.IN_PERSON)
            self._write_claim(id, position, rooms, marker)
            return self._opening(position)

    def unclaim(
        self, opening: str, *, marker: str | None = None, version: int | None = None
    ) -> Opening:
        """Give a claimed opening back; no error where it is free already.

        With a `marker`, only that marker's claim. Frees also what a cancelled appointment left
        busy (`frees_slot_on_cancel=False`). Raises NotFound, Stale by version, Rejected(POLICY)
        where another's claim or an appointment stands on it.
        """
        with self.transaction():
            position = self._position(opening)
            self._check_opening_version(position, version)
            claims = self._all("SELECT id, marker FROM block WHERE opening = ?", (opening,))
            ours = [c for c in claims if marker in (None, c["marker"]) or c["marker"] is None]
            if not ours and (
                claims
                or self._one(
                    "SELECT 1 FROM taken t JOIN appointment a ON a.id = t.owner "
                    "WHERE a.opening = ?",
                    (opening,),
                )
            ):
                raise Rejected("the time is not this caller's to give back", sent=False)
            for claim in ours:
                self._drop_block(claim["id"])
            if ours:
                self._touch_opening(position.id)
            return self._opening(position)

    def hold(self, opening: str, *, intent: str | None = None) -> Hold:
        """Keep an opening for `hold_for`. Same intent, same hold, while it lasts.

        Raises SlotTaken, NotFound, KeyReused, Rejected(NOTICE or HORIZON).
        """
        with self.transaction():
            position = self._position(opening)
            if intent is not None and (
                known := self._one("SELECT * FROM hold WHERE intent = ?", (intent,))
            ):
                if known["opening"] != opening:
                    raise KeyReused("this intent already holds another time", sent=False)
                return self._as_hold(known, position)
            self._check_rules(position)
            id = self._next_id("hold")
            expires = self._now() + seconds(self.hold_for)
            self._take(id, position, VisitMode.IN_PERSON, expires=expires)
            self._run("INSERT INTO hold VALUES (?, ?, ?, ?)", (id, opening, expires, intent))
            self._touch_opening(opening)
            row = self._one("SELECT * FROM hold WHERE id = ?", (id,))
            assert row is not None
            return self._as_hold(row, position)

    def release(self, hold: str) -> None:
        """Give a hold back; no error where it is gone."""
        with self.transaction():
            self._drop_hold(hold)

    def add_block(
        self,
        resources: tuple[str, ...],
        start: datetime,
        end: datetime,
        *,
        reason: str | None = None,
        marker: str | None = None,
    ) -> Block:
        """Make time of practitioners, rooms or devices busy without a patient.

        Raises SlotTaken where it is taken, NotFound, ValueError for naive or reversed times.
        """
        span = Window(start, end)
        if not resources:
            raise ValueError("a block takes the time of at least one resource")
        low, high = int(span.start.timestamp()), int(span.end.timestamp())
        with self.transaction():
            id = self._next_id("block")
            for resource in resources:
                self.resource(resource)
                self._insert_taken(id, resource, (low, high))
            self._run(
                "INSERT INTO block VALUES (?, ?, ?, ?, NULL, ?, ?, NULL)",
                (id, low, high, pack(resources), reason, marker),
            )
            self._changed(ChangeKind.CREATED, "Block", id)
            return next(block for block in self.blocks(span) if block.id == id)

    def remove_block(self, id: str) -> None:
        """Take a block or a claim away; no error where it is gone."""
        with self.transaction():
            block = self._one("SELECT opening FROM block WHERE id = ?", (id,))
            if block is None:
                return
            self._drop_block(id)
            if block["opening"] is not None:
                self._touch_opening(block["opening"])
            else:
                self._changed(ChangeKind.DELETED, "Block", id)

    def blocks(self, window: Window) -> tuple[Block, ...]:
        """The blocks that touch the window, claims included, by start."""
        rows = self._all(
            "SELECT b.*, l.zone FROM block b LEFT JOIN location l ON l.id = b.location "
            "WHERE b.start < ? AND b.stop > ? ORDER BY b.start, b.id",
            (window.end.timestamp(), window.start.timestamp()),
        )
        return tuple(self._as_block(row) for row in rows)

    # inside a transaction

    def _take(
        self,
        owner: str,
        position: Position,
        visit_mode: VisitMode | None,
        *,
        expires: int | None = None,
    ) -> tuple[str, ...]:
        """Spend the position's time on `owner`; the rooms it got. Raises SlotTaken."""
        share = position.share
        capacity = position.type.capacity
        span = position.occupied
        self._insert_taken(
            owner, position.schedule.practitioner, span, share, capacity, expires=expires
        )
        rooms: tuple[str, ...] = ()
        in_person = visit_mode in (None, VisitMode.IN_PERSON)
        if in_person and position.type.needs and VisitMode.IN_PERSON in position.type.visit_modes:
            rooms = self._choose_rooms(position)
        for room in rooms:
            self._insert_taken(owner, room, span, share, capacity, expires=expires)
        return rooms

    def _choose_rooms(self, position: Position) -> tuple[str, ...]:
        if position.share is not None:
            # Whoever joins a group goes where the group is.
            group = self._all(
                "SELECT DISTINCT resource FROM taken WHERE share = ? AND resource <> ? "
                "AND start = ?",
                (position.share, position.schedule.practitioner, position.occupied[0]),
            )
            if group:
                return tuple(row["resource"] for row in group)
        location = position.schedule.location
        times = self._room_times(position.type, location, *position.occupied, None)
        rooms = self._free_rooms(position, times or {})
        if rooms is not None:
            return rooms
        if self.enforces_conflicts:
            raise SlotTaken("no room that this visit needs is free then", sent=False)
        return tuple(group[0] for group in position.type.needs if group)

    def _insert_taken(
        self,
        owner: str,
        resource: str,
        span: tuple[int, int],
        share: str | None = None,
        capacity: int = 1,
        *,
        expires: int | None = None,
    ) -> None:
        try:
            self._run(
                "INSERT INTO taken VALUES (?, ?, ?, ?, ?, ?, ?)",
                (owner, resource, *span, share, capacity, expires),
            )
        except sqlite3.IntegrityError as error:
            # Here rather than at the end, so that a caller of several writes may catch it.
            raise self._taken_or(error) from error

    def _free(self, owner: str) -> None:
        self._run("DELETE FROM taken WHERE owner = ?", (owner,))

    def _write_claim(
        self, id: str, position: Position, rooms: tuple[str, ...], marker: str | None
    ) -> None:
        low, high = position.occupied
        resources = (position.schedule.practitioner, *rooms)
        self._run(
            "INSERT INTO block VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
            (id, low, high, pack(resources), position.schedule.location, marker, position.id),
        )
        self._touch_opening(position.id)

    def _drop_block(self, id: str) -> None:
        self._free(id)
        self._run("DELETE FROM block WHERE id = ?", (id,))

    def _drop_hold(self, id: str) -> None:
        row = self._one("SELECT opening FROM hold WHERE id = ?", (id,))
        if row is not None:
            self._free(id)
            self._run("DELETE FROM hold WHERE id = ?", (id,))
            self._touch_opening(row["opening"])

    def _drop_expired_holds(self) -> None:
        for row in self._all("SELECT id FROM hold WHERE expires <= ?", (self._now(),)):
            self._drop_hold(row["id"])

    def _take_over(self, opening: str, marker: str | None, hold: str | None) -> None:
        """Drop the hold, and the claims on the opening that are for this booking."""
        if hold is not None:
            row = self._one("SELECT opening FROM hold WHERE id = ?", (hold,))
            if row is not None and row["opening"] != opening:
                raise Stale("the hold is for another time", sent=False)
            self._drop_hold(hold)
        for row in self._all("SELECT id, marker FROM block WHERE opening = ?", (opening,)):
            if row["marker"] is None or row["marker"] == marker:
                self._drop_block(row["id"])

    def _touch_opening(self, id: str) -> None:
        """The next version of an opening's record (the first write makes it 2)."""
        practitioner, _, _, start = id.split(".")
        self._run(
            "INSERT INTO opening VALUES (?, ?, ?, 2) "
            "ON CONFLICT (id) DO UPDATE SET version = version + 1",
            (id, practitioner, int(start)),
        )
        self._changed(ChangeKind.UPDATED, "Slot", id)

    def _check_opening_version(self, position: Position, version: int | None) -> None:
        if version is None:
            return
        row = self._one("SELECT version FROM opening WHERE id = ?", (position.id,))
        if version != (row["version"] if row else 1):
            raise Stale("the opening changed since it was read", sent=False)

    def _as_hold(self, row: sqlite3.Row, position: Position) -> Hold:
        expires = datetime.fromtimestamp(row["expires"], UTC)
        slot = self._opening(position).slot
        return Hold(row["id"], slot, expires, as_of=self.clock.now())

    def _as_block(self, row: sqlite3.Row) -> Block:
        zone = ZoneInfo(row["zone"] or "UTC")
        resources: tuple[Resource, ...] = tuple(
            self.resource(id) for id in json.loads(row["resources"])
        )
        return Block(
            row["id"],
            local(row["start"], zone),
            local(row["stop"], zone),
            resources,
            row["reason"],
            row["marker"],
            row["opening"],
        )
