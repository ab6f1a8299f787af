"""Appointment: the clinic's bookings, created for a Slot, moved and cancelled by PUT or PATCH."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar

from openslot.clinic import Opening, opening_id
from openslot.errors import NotFound, Rejected, SlotTaken
from openslot.model import Appointment, AppointmentStatus, Identifier, Window
from openslot_connectors.fhir.sandbox import render
from openslot_connectors.fhir.sandbox.records import Record
from openslot_connectors.fhir.sandbox.resources import (
    ID,
    IDENTIFIER,
    Context,
    Resource,
    concept,
    reference,
    refs,
    token,
    values_of,
    when,
    window_of,
)
from openslot_connectors.fhir.sandbox.search import Criterion, Kind, Param
from openslot_connectors.fhir.sandbox.slots import Slots, marker_of
from openslot_connectors.fhir.sandbox.wire import Doc, Problem, parse_instant, reference_id

__all__ = ["Appointments"]

ALWAYS = timedelta(days=36_500)


def _actors(*types: str) -> Param:
    def values(document: Doc) -> list[str]:
        found = [r for p in document.get("participant", ()) for r in refs(p.get("actor"))]
        return [r for r in found if not types or r.partition("/")[0] in types]

    return Param(Kind.REFERENCE, values)


class Appointments(Resource):
    """Appointment."""

    type = "Appointment"
    interactions = ("read", "search-type", "create", "update", "patch")
    sort_key = "start"
    params: ClassVar = {
        "_id": ID,
        "identifier": IDENTIFIER,
        "status": token("status"),
        "date": when("start"),
        "slot": reference("slot"),
        "actor": _actors(),
        "patient": _actors("Patient"),
        "practitioner": _actors("Practitioner"),
        "location": _actors("Location"),
        "service-type": concept("serviceType"),
        "appointment-type": concept("appointmentType"),
    }
    includes: ClassVar = {
        "slot": "slot",
        "actor": "participant.actor",
        "patient": "participant.actor",
        "practitioner": "participant.actor",
        "location": "participant.actor",
    }

    def __init__(self, context: Context, slots: Slots) -> None:
        super().__init__(context)
        self.slots = slots

    def read(self, id: str) -> Doc:
        """One Appointment."""
        return self._render([self.clinic.get_appointment(id)])[0]

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> list[Doc]:
        """Narrowed by patient, identifier, slot or date, whichever is asked."""
        long_ago = self.clinic.clock.now() - ALWAYS
        window = window_of(criteria, "date", self.context.zone, long_ago, ALWAYS * 2)
        if window is None:
            return []
        if not any(c.name == "date" for c in criteria):
            window = None
        patients = values_of(criteria, "patient")
        identifier = _plain_identifier(values_of(criteria, "identifier"))
        slots = values_of(criteria, "slot")
        found = self.clinic.appointments(
            patient=_only(patients),
            identifier=identifier,
            opening=_only(slots),
            window=_at_least_a_second(window),
            limit=100_000,
        )
        return self._render(found)

    def create(self, document: Doc) -> str:
        """Book the Slot that it names; one that somebody else claimed is theirs."""
        status = _checked(document)
        patient = self._participant(document, "Patient")
        if patient is None:
            raise Problem(
                422, "required", "a patient is missing", expression="Appointment.participant"
            )
        if status not in {AppointmentStatus.BOOKED, AppointmentStatus.PENDING}:
            raise Problem(
                422,
                "business-rule",
                "an Appointment is created booked or pending",
                expression="Appointment.status",
            )
        self._known_patient(patient)
        id_ = self._opening_id(document)
        opening, shown_free = self._opening(id_)
        self._check_span(document, opening)
        self._check_claim(document, opening)
        with self.slots.untouched(id_):
            made = self.clinic.book(
                id_,
                patient,
                marker=opening.marker if opening else None,
                reason=_concept_text(document.get("reasonCode")),
                comment=document.get("comment"),
                identifiers=render.identifiers_of(document),
                staff=True,
            )
            if status is AppointmentStatus.PENDING or self.context.manners.bookings_pend:
                self.clinic.set_status(made.id, AppointmentStatus.PENDING)
        self._leave_slot(id_, shown_free)
        self.records.put(self.type, made.id, Record(document=document))
        return made.id

    def update(self, id: str, document: Doc, current: Doc) -> None:
        """Cancel it, move it, or change what it says."""
        status = _checked(document)
        known = self.clinic.get_appointment(id)
        before = int(known.version or 1)
        if self._participant(document, "Patient") != known.patient:
            raise Problem(
                422,
                "business-rule",
                "an Appointment stays its patient's",
                expression="Appointment.participant",
            )
        if status is AppointmentStatus.CANCELLED:
            self._cancel(known, _concept_text(document.get("cancelationReason")))
        else:
            self._change(known, document, status)
        record = self.records.get(self.type, id)
        grown = int(self.clinic.get_appointment(id).version or 1) - before
        shift = record.shift + 1 - grown
        self.records.put(self.type, id, Record(shift=shift, document=document))

    def _cancel(self, known: Appointment, reason: str | None) -> None:
        slot = known.slots[0]
        shown = self.records.get("Slot", slot).shown_free
        with self.slots.untouched(slot):
            self.clinic.cancel(known.id, reason=reason)
            if shown:
                self.clinic.unclaim(slot)
        if shown:
            self.records.shift("Slot", slot, 0, shown_free=False)

    def _change(self, known: Appointment, document: Doc, status: AppointmentStatus) -> None:
        moved_to = self._opening_id(document)
        if moved_to != known.slots[0]:
            self._move(known, document, moved_to)
        else:
            self._check_span(document, self._opening(moved_to)[0])
        if status is not known.status:
            self.clinic.set_status(known.id, status)
        self.clinic.update(
            known.id,
            reason=_concept_text(document.get("reasonCode")),
            comment=document.get("comment"),
            identifiers=render.identifiers_of(document),
        )

    def _move(self, known: Appointment, document: Doc, to: str) -> None:
        opening, shown_free = self._opening(to)
        self._check_span(document, opening)
        old = known.slots[0]
        old_shown_free = self.records.get("Slot", old).shown_free
        with self.slots.untouched(old, to):
            marker = opening.marker if opening else None
            self.clinic.reschedule(known.id, to, marker=marker, staff=True)
            if not self.context.manners.flips_slot and not old_shown_free:
                self._still_busy(old)
        if old_shown_free:
            self.records.shift("Slot", old, 0, shown_free=False)
        self._leave_slot(to, shown_free)

    def _still_busy(self, slot: str) -> None:
        """Whoever wrote the Slot busy has to free it: moving the Appointment does not."""
        try:
            self.clinic.claim(slot)
        except (SlotTaken, Rejected, NotFound):
            return  # the new time overlaps the old, or it is not offered any more

    def _leave_slot(self, id: str, shown_free: bool) -> None:
        if shown_free and not self.context.manners.flips_slot:
            self.records.shift("Slot", id, 0, shown_free=True)

    def _opening(self, id: str) -> tuple[Opening | None, bool]:
        """The opening, where it is one of the practice's own, and whether its Slot says free."""
        try:
            opening = self.clinic.opening(id)
        except NotFound:
            return None, False
        free = opening.slot.status.value == "free"
        return opening, free or self.records.get("Slot", id).shown_free

    def _opening_id(self, document: Doc) -> str:
        slots = document.get("slot") or []
        if len(slots) > 1:
            raise Problem(422, "not-supported", "one Slot each", expression="Appointment.slot")
        if slots:
            id_ = reference_id(slots[0], "Slot")
            if id_ is None or self._opening(id_)[0] is None:
                raise Problem(
                    422, "not-found", "there is no such Slot", expression="Appointment.slot"
                )
            return id_
        return self._opening_at(document)

    def _opening_at(self, document: Doc) -> str:
        """Where an Appointment without a Slot goes, as the practice's staff would book it."""
        who = self._participant(document, "Practitioner")
        if who is None:
            raise Problem(
                422,
                "required",
                "neither a slot nor a practitioner is named",
                expression="Appointment.slot",
            )
        start = parse_instant(document.get("start"), "Appointment.start")
        length = parse_instant(document.get("end"), "Appointment.end") - start
        where = self._participant(document, "Location")
        schedules = [s for s in self.clinic.schedules() if s.practitioner == who]
        location = where or next((s.location for s in schedules), None)
        code = render.type_code(document)
        types = [t for t in self.clinic.types() if t.duration == length and code in (None, t.id)]
        if location is None or not types:
            raise Problem(422, "business-rule", "no visit of this practice fits that time")
        return opening_id(who, location, types[0].id, start)

    def _check_span(self, document: Doc, opening: Opening | None) -> None:
        if opening is None:
            return
        for member, at in (("start", opening.slot.start), ("end", opening.slot.end)):
            if parse_instant(document.get(member), f"Appointment.{member}") != at:
                raise Problem(
                    422,
                    "business-rule",
                    "an Appointment has its Slot's times",
                    expression=f"Appointment.{member}",
                )

    def _check_claim(self, document: Doc, opening: Opening | None) -> None:
        if opening is None or opening.marker is None or not self.context.manners.enforce_conflicts:
            return
        # Whoever held the Slot wrote their mark beside the holder's when they claimed it.
        written = self.records.get("Slot", opening.id).document
        if not _marks(document) & {opening.marker, *_marks(written)}:
            raise Problem(
                self.context.manners.taken_status, "conflict", "the Slot is somebody else's"
            )

    def _known_patient(self, patient: str) -> None:
        try:
            self.clinic.get_patient(patient)
        except NotFound:
            raise Problem(
                422, "not-found", "there is no such Patient", expression="Appointment.participant"
            ) from None

    def _participant(self, document: Doc, type: str) -> str | None:
        for participant in document.get("participant") or ():
            if id_ := reference_id(participant.get("actor"), type):
                return id_
        return None

    def _render(self, appointments: Sequence[Appointment]) -> list[Doc]:
        written = self.records.many(self.type, (a.id for a in appointments))
        types = self.context.types()
        return [
            render.appointment(a, written.get(a.id, Record()), types, self._updated(a))
            for a in appointments
        ]

    def _updated(self, appointment: Appointment) -> datetime | None:
        history = self.clinic.history(appointment.id)
        return history[-1].at if history else None


def _marks(document: Doc) -> set[str | None]:
    return {marker_of({"identifier": [i]}) for i in document.get("identifier", ())}


def _checked(document: Doc) -> AppointmentStatus:
    """The status, after R4's own rules for an Appointment."""
    try:
        status = AppointmentStatus(str(document.get("status")))
    except ValueError:
        raise Problem(400, "value", "no such status", expression="Appointment.status") from None
    if not document.get("participant"):
        raise Problem(
            400, "required", "participants are missing", expression="Appointment.participant"
        )
    for participant in document["participant"]:
        if not isinstance(participant, dict) or not participant.get("status"):
            raise Problem(
                400,
                "required",
                "a participant has a status",
                expression="Appointment.participant.status",
            )
    both = ("start" in document, "end" in document)
    if both[0] is not both[1]:
        raise Problem(422, "invariant", "app-2: either start and end are there, or neither")
    if not both[0] and status not in {AppointmentStatus.PROPOSED, AppointmentStatus.CANCELLED}:
        raise Problem(422, "invariant", "app-3: only proposed or cancelled ones lack start and end")
    if both[0]:
        start = parse_instant(document["start"], "Appointment.start")
        if parse_instant(document["end"], "Appointment.end") <= start:
            raise Problem(
                422, "business-rule", "it ends after it starts", expression="Appointment.end"
            )
    over = {AppointmentStatus.CANCELLED, AppointmentStatus.NOSHOW}
    if document.get("cancelationReason") and status not in over:
        raise Problem(422, "invariant", "app-4: only cancelled or missed ones have that reason")
    return status


def _concept_text(value: object) -> str | None:
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, dict):
        return None
    coding: Doc = next(iter(first.get("coding") or ()), {})
    text = first.get("text") or coding.get("display") or coding.get("code")
    return str(text) if text else None


def _plain_identifier(values: tuple[str, ...] | None) -> Identifier | None:
    if values is None or len(values) != 1:
        return None
    system, bar, value = values[0].rpartition("|")
    return Identifier(system, value) if bar and system and value else None


def _only(values: tuple[str, ...] | None) -> str | None:
    return values[0].rpartition("/")[2] if values and len(values) == 1 else None


def _at_least_a_second(window: Window | None) -> Window | None:
    """The clinic asks for overlap, in seconds; an instant lies within one."""
    if window is None:
        return None
    return Window(window.start, max(window.end, window.start + timedelta(seconds=1)))
