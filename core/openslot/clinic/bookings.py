"""Appointments as writes: book, move, cancel, change."""

from __future__ import annotations

import json
import sqlite3

from openslot.clinic.claims import Claims
from openslot.clinic.openings import Position
from openslot.clinic.reading import INTENT_SYSTEM, Reading
from openslot.clinic.records import VisitType
from openslot.clinic.store import pack
from openslot.errors import KeyReused, NotFound, Rejected, RejectedReason, Stale
from openslot.model import (
    Answer,
    Appointment,
    AppointmentStatus,
    ChangeKind,
    Identifier,
    Patient,
    VisitMode,
)

__all__ = ["Bookings"]

_S = AppointmentStatus
_MOVABLE = frozenset({_S.PENDING, _S.BOOKED})
_FOLLOWS: dict[AppointmentStatus, frozenset[AppointmentStatus]] = {
    _S.PENDING: frozenset({_S.BOOKED}),
    _S.BOOKED: frozenset({_S.PENDING, _S.ARRIVED, _S.CHECKED_IN, _S.FULFILLED, _S.NOSHOW}),
    _S.ARRIVED: frozenset({_S.BOOKED, _S.CHECKED_IN, _S.FULFILLED}),
    _S.CHECKED_IN: frozenset({_S.BOOKED, _S.ARRIVED, _S.FULFILLED}),
    _S.FULFILLED: frozenset({_S.ARRIVED, _S.CHECKED_IN}),
    _S.NOSHOW: frozenset({_S.BOOKED, _S.ARRIVED}),
}
"""What may follow by hand; ENTERED_IN_ERROR follows anything, CANCELLED goes through `cancel`."""


class Bookings(Claims, Reading):
    """The part of the clinic that gives patients their place."""

    def book(
        self,
        opening: str,
        patient: str | Patient,
        *,
        intent: str | None = None,
        marker: str | None = None,
        hold: str | None = None,
        visit_mode: VisitMode | None = None,
        new_patient: bool | None = None,
        reason: str | None = None,
        comment: str | None = None,
        answers: tuple[Answer, ...] = (),
        identifiers: tuple[Identifier, ...] = (),
        ignore_appointment: str | None = None,
        staff: bool = False,
    ) -> Appointment:
        """Book an opening for a patient (an id, or the demographics of a new person).

        The same `intent` answers the same appointment, however it stands by now; with another
        request it is KeyReused. A claim with the same `marker` (default: the intent) or without
        one, or the `hold`, is taken over in the same transaction. `ignore_appointment` is an
        appointment of this patient that may overlap, because it is about to be cancelled. `staff`
        skips the rules for online booking (hours, grid, notice, horizon, questions, pending),
        never the conflicts.

        Raises SlotTaken, Stale (not a time at which this visit is offered), NotFound, Rejected.
        """
        known = patient.id if isinstance(patient, Patient) else patient
        asked = pack([opening, known])
        with self.transaction():
            if done := self._done("book", intent):
                return self._replayed(done, asked)
            position = self._offered(opening, staff=staff)
            visit_mode = self._mode(position.type, visit_mode)
            if not staff:
                is_new = known is None if new_patient is None else new_patient
                self._check_online(position.type, is_new, answers)
                self._check_rules(position)
            if known is not None:
                self._check_active(self.get_patient(known))
            self._take_over(opening, marker or intent, hold)
            id = self._next_id("apt")
            rooms = self._take(id, position, visit_mode)
            if known is None:
                assert isinstance(patient, Patient)
                known = self.create_patient(patient).id
                assert known is not None
            self._check_patient_free(known, position, (id, ignore_appointment))
            if intent is not None:
                own = Identifier(INTENT_SYSTEM, intent)
                identifiers = (own, *(i for i in identifiers if i.system != INTENT_SYSTEM))
            status = _S.PENDING if self.manners.bookings_pend and not staff else _S.BOOKED
            self._run(
                f"INSERT INTO appointment VALUES ({', '.join('?' * 20)})",  # noqa: S608
                (
                    id,
                    0,
                    status,
                    position.start,
                    position.stop,
                    position.schedule.practitioner,
                    position.schedule.location,
                    position.type.id,
                    known,
                    pack(rooms),
                    opening,
                    visit_mode,
                    reason,
                    comment,
                    None,
                    "[]",
                    pack([[a.question, _plain(a.value)] for a in answers]),
                    intent,
                    self._now(),
                    None,
                ),
            )
            self._write_identifiers(id, identifiers)
            self._carried_out("book", intent, asked, id)
            self._touch_opening(opening)
            return self._recorded(id, "booked", ChangeKind.CREATED)

    def reschedule(
        self,
        appointment: str,
        opening: str,
        *,
        intent: str | None = None,
        version: str | None = None,
        marker: str | None = None,
        hold: str | None = None,
        note: str | None = None,
        staff: bool = False,
    ) -> Appointment:
        """Move an appointment in one transaction: same id, next version, its own time ignored.

        Raises as `book`; Stale where `version` is not current, Rejected(POLICY) for an appointment
        that is over, under way or cancelled.
        """
        asked = pack([appointment, opening])
        with self.transaction():
            if done := self._done("reschedule", intent):
                return self._replayed(done, asked)
            row = self._current(appointment, version)
            if _S(row["status"]) not in _MOVABLE:
                raise Rejected("only an appointment that is ahead can be moved", sent=False)
            position = self._offered(opening, staff=staff)
            self._carried_out("reschedule", intent, asked, appointment)
            if row["opening"] == opening:
                return self.get_appointment(appointment)
            visit_mode = self._mode(
                position.type, VisitMode(row["visit_mode"]) if row["visit_mode"] else None
            )
            if not staff:
                if not position.type.bookable_online:
                    _not_online()
                self._check_rules(position)
            self._take_over(opening, marker or intent, hold)
            self._free(appointment)
            rooms = self._take(appointment, position, visit_mode)
            self._check_patient_free(row["patient"], position, (appointment,))
            self._run(
                "UPDATE appointment SET start = ?, stop = ?, practitioner = ?, location = ?, "
                "type = ?, rooms = ?, opening = ?, visit_mode = ?, confirmed = NULL WHERE id = ?",
                (
                    position.start,
                    position.stop,
                    position.schedule.practitioner,
                    position.schedule.location,
                    position.type.id,
                    pack(rooms),
                    opening,
                    visit_mode,
                    appointment,
                ),
            )
            self._touch_opening(row["opening"])
            self._touch_opening(opening)
            return self._recorded(appointment, "moved", ChangeKind.UPDATED, note)

    def cancel(
        self,
        appointment: str,
        *,
        intent: str | None = None,
        reason: str | None = None,
        version: str | None = None,
    ) -> Appointment:
        """Cancel; a cancelled appointment is answered as it stands.

        Raises NotFound, Stale where `version` is not current, Rejected(POLICY) where the visit has
        taken place or was missed.
        """
        with self.transaction():
            if done := self._done("cancel", intent):
                return self._replayed(done, appointment)
            row = self._row(appointment)
            if row["status"] != _S.CANCELLED:
                self._check_version(row, version)
                if not _S(row["status"]).takes_time or row["status"] == _S.FULFILLED:
                    raise Rejected("only an appointment that stands can be cancelled", sent=False)
                self._run(
                    "UPDATE appointment SET status = ?, cancellation_reason = ? WHERE id = ?",
                    (_S.CANCELLED, reason, appointment),
                )
                self._give_back(row)
                self._recorded(appointment, "cancelled", ChangeKind.UPDATED, reason)
            self._carried_out("cancel", intent, appointment, appointment)
            return self.get_appointment(appointment)

    def set_status(
        self, appointment: str, status: AppointmentStatus, *, version: str | None = None
    ) -> Appointment:
        """Approve, check in, complete, mark as no-show or as entered in error.

        Raises NotFound, Stale, Rejected(POLICY) for what cannot follow.
        """
        if status is _S.CANCELLED:
            return self.cancel(appointment, version=version)
        with self.transaction():
            row = self._current(appointment, version)
            before = _S(row["status"])
            if before is status:
                return self.get_appointment(appointment)
            if status is not _S.ENTERED_IN_ERROR and status not in _FOLLOWS.get(before, ()):
                raise Rejected(
                    f"an appointment that is {before.value} cannot become {status.value}",
                    sent=False,
                )
            self._run("UPDATE appointment SET status = ? WHERE id = ?", (status, appointment))
            if status is _S.ENTERED_IN_ERROR:
                self._free(appointment)
                self._touch_opening(row["opening"])
            return self._recorded(appointment, status.value, ChangeKind.UPDATED)

    def update(
        self,
        appointment: str,
        *,
        intent: str | None = None,
        type: str | None = None,
        reason: str | None = None,
        comment: str | None = None,
        identifiers: tuple[Identifier, ...] | None = None,
        version: str | None = None,
    ) -> Appointment:
        """Change what an appointment says, not when it is. None leaves a field as it stands.

        Another type must last equally long, with equal buffers, rooms and capacity, and be offered
        at this schedule. The intent's own identifier stays whatever `identifiers` says.
        Raises NotFound, Stale, KeyReused, Rejected(POLICY).
        """
        asked = pack([appointment, type, reason is not None, comment is not None])
        with self.transaction():
            if done := self._done("update", intent):
                return self._replayed(done, asked)
            row = self._current(appointment, version)
            opening = row["opening"]
            if type is not None and type != row["type"]:
                opening = self._retype(row, self.type(type))
            self._run(
                "UPDATE appointment SET type = ?, opening = ?, reason = COALESCE(?, reason), "
                "comment = COALESCE(?, comment) WHERE id = ?",
                (type or row["type"], opening, reason, comment, appointment),
            )
            if identifiers is not None:
                own = [i for i in _identifiers(row) if i.system == INTENT_SYSTEM]
                others = (i for i in identifiers if i not in own)
                self._write_identifiers(appointment, (*own, *others))
            self._carried_out("update", intent, asked, appointment)
            return self._recorded(appointment, "updated", ChangeKind.UPDATED)

    def confirm(self, appointment: str) -> Appointment:
        """Record that the patient is coming; a second time changes nothing.

        Raises NotFound, Rejected(POLICY) for an appointment that does not stand.
        """
        with self.transaction():
            row = self._row(appointment)
            if _S(row["status"]) not in _MOVABLE:
                raise Rejected("only an appointment that is ahead can be confirmed", sent=False)
            if row["confirmed"] is not None:
                return self.get_appointment(appointment)
            self._run(
                "UPDATE appointment SET confirmed = ? WHERE id = ?", (self._now(), appointment)
            )
            return self._recorded(appointment, "confirmed", ChangeKind.UPDATED)

    # inside a transaction

    def _offered(self, opening: str, *, staff: bool) -> Position:
        try:
            return self._position(opening, staff=staff)
        except NotFound as error:
            raise Stale("this visit is not offered at that time (any more)", sent=False) from error

    def _replayed(self, done: tuple[str, str], asked: str) -> Appointment:
        if done[0] != asked:
            raise KeyReused("this intent already stands for another request", sent=False)
        return self.get_appointment(done[1])

    def _mode(self, type: VisitType, asked: VisitMode | None) -> VisitMode | None:
        if asked is None:
            return type.visit_modes[0] if len(type.visit_modes) == 1 else None
        if asked not in type.visit_modes:
            raise Rejected("this visit does not take place in that way", sent=False)
        return asked

    def _check_online(self, type: VisitType, is_new: bool, answers: tuple[Answer, ...]) -> None:
        if not type.bookable_online:
            _not_online()
        if not (type.new_patients if is_new else type.existing_patients):
            whom = "new" if is_new else "existing"
            raise Rejected(f"this visit is not for {whom} patients", sent=False)
        answered = {answer.question for answer in answers if answer.value != ""}
        missing = tuple(q.id for q in type.questions if q.required and q.id not in answered)
        if missing:
            raise Rejected(
                "the booking lacks answers that the practice asks for",
                reason=RejectedReason.MISSING_FIELD,
                fields=missing,
                sent=False,
            )

    def _check_active(self, patient: Patient) -> None:
        if not patient.active:
            raise Rejected("the patient's record is not active", sent=False)

    def _check_patient_free(
        self, patient: str, position: Position, ignored: tuple[str | None, ...]
    ) -> None:
        """A person is in one place at a time; writers come one by one, so this read holds."""
        if not self.enforces_conflicts:
            return
        rows = self._all(
            "SELECT id, status FROM appointment WHERE patient = ? AND start < ? AND stop > ?",
            (patient, position.stop, position.start),
        )
        if any(_S(row["status"]).takes_time and row["id"] not in ignored for row in rows):
            raise Rejected(
                "the patient has another appointment at that time",
                reason=RejectedReason.PATIENT_CONFLICT,
                sent=False,
            )

    def _current(self, appointment: str, version: str | None) -> sqlite3.Row:
        row = self._row(appointment)
        self._check_version(row, version)
        return row

    @staticmethod
    def _check_version(row: sqlite3.Row, version: str | None) -> None:
        if version is not None and version != str(row["version"]):
            raise Stale("the appointment changed since it was read", sent=False)

    def _give_back(self, row: sqlite3.Row) -> None:
        """Free a cancelled appointment's time, or leave it busy as the manners have it."""
        self._free(row["id"])
        if self.manners.frees_slot_on_cancel:
            self._touch_opening(row["opening"])
            return
        position = self._position(row["opening"], staff=True)
        block = self._next_id("block")
        rooms = self._take(block, position, VisitMode(row["visit_mode"] or VisitMode.IN_PERSON))
        self._write_claim(block, position, rooms, row["intent"] or row["id"])

    def _retype(self, row: sqlite3.Row, new: VisitType) -> str:
        old = self.type(row["type"])
        place = (row["practitioner"], row["location"])
        same = all(
            getattr(old, name) == getattr(new, name)
            for name in ("duration", "before", "after", "needs", "capacity")
        )
        if (
            not same
            or (new.practitioners and place[0] not in new.practitioners)
            or (new.locations and place[1] not in new.locations)
            or new.capacity > 1
        ):
            raise Rejected("this visit cannot become one of that type as it stands", sent=False)
        return f"{place[0]}.{place[1]}.{new.id}.{row['start']}"

    def _write_identifiers(self, id: str, identifiers: tuple[Identifier, ...]) -> None:
        pairs = list(dict.fromkeys((i.system, i.value) for i in identifiers))
        self._run("UPDATE appointment SET identifiers = ? WHERE id = ?", (pack(pairs), id))
        self._run("DELETE FROM appointment_key WHERE appointment = ?", (id,))
        for system, value in pairs:
            self._run("INSERT INTO appointment_key VALUES (?, ?, ?)", (system, value, id))

    def _recorded(
        self, id: str, what: str, kind: ChangeKind, note: str | None = None
    ) -> Appointment:
        """Count the version, keep the event, tell the feed; the appointment as it stands."""
        self._run("UPDATE appointment SET version = version + 1 WHERE id = ?", (id,))
        self._run(
            "INSERT INTO event SELECT id, version, ?, ?, status, start, stop, location, ? "
            "FROM appointment WHERE id = ?",
            (self._now(), what, note, id),
        )
        self._changed(kind, "Appointment", id)
        return self.get_appointment(id)


def _identifiers(row: sqlite3.Row) -> tuple[Identifier, ...]:
    return tuple(Identifier(*pair) for pair in json.loads(row["identifiers"]))


def _plain(value: object) -> object:
    return value if isinstance(value, str | bool | int) else str(value)


def _not_online() -> None:
    raise Rejected(
        "this visit is not booked online", reason=RejectedReason.NOT_BOOKABLE_ONLINE, sent=False
    )
