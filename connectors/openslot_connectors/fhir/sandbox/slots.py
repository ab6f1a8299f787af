"""Slot: the clinic's openings, claimed and given back by PUT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar

from openslot.clinic import Opening
from openslot.errors import NotFound, Rejected
from openslot.model import SlotStatus, Window
from openslot_connectors.fhir.sandbox import render
from openslot_connectors.fhir.sandbox.records import Record
from openslot_connectors.fhir.sandbox.resources import (
    ID,
    IDENTIFIER,
    Resource,
    concept,
    reference,
    token,
    values_of,
    when,
    window_of,
)
from openslot_connectors.fhir.sandbox.search import Criterion, Kind, Param
from openslot_connectors.fhir.sandbox.wire import Doc, Problem, parse_instant, reference_id

__all__ = ["Slots", "marker_of"]

STATUSES = frozenset(s.value for s in SlotStatus)
CHUNK = timedelta(hours=8)
"""How much is looked up first: a page is rarely longer."""


def marker_of(document: Doc) -> str | None:
    """What marks a claim as somebody's: the first identifier of what they wrote."""
    for identifier in document.get("identifier", ()):
        if identifier.get("value"):
            return f"{identifier.get('system', '')}|{identifier['value']}"
    return None


class Slots(Resource):
    """Slot.

    On a plain server a Slot says what was last written to it. Here what was never written is as
    free as the clinic has it; busy, once written, is a claim in the clinic; and a Slot for which
    an Appointment was created without touching the Slot goes on saying free (`Record.shown_free`).
    """

    type = "Slot"
    interactions = ("read", "search-type", "update", "patch")
    sort_key = "start"
    ordered = True
    params: ClassVar = {
        "_id": ID,
        "identifier": IDENTIFIER,
        "schedule": reference("schedule"),
        "schedule.actor": Param(
            Kind.REFERENCE,
            lambda d: [
                f"{type_}/{id_}"
                for type_, id_ in zip(
                    ("Practitioner", "Location"),
                    d["schedule"]["reference"].partition("/")[2].split("."),
                    strict=True,
                )
            ],
        ),
        "start": when("start"),
        "status": token("status"),
        "service-type": concept("serviceType"),
        "appointment-type": concept("appointmentType"),
    }
    includes: ClassVar = {"schedule": "schedule"}

    def read(self, id: str) -> Doc:
        """One Slot."""
        return self._render([self.clinic.opening(id)])[0]

    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> Iterator[Doc]:
        """The openings that start in the window asked for, from now on where it has no start."""
        now = self.clinic.clock.now()
        ahead = timedelta(days=self.context.manners.days_ahead)
        window = window_of(criteria, "start", self.context.zone, now, ahead)
        if window is None:
            return
        if ids := values_of(criteria, "_id"):
            yield from self._render([o for i in ids if (o := self._opening(i))])
            return
        asked = {s.rpartition("/")[2] for s in values_of(criteria, "schedule") or ()}
        known = {s.practitioner for s in self.clinic.schedules() if s.id in asked}
        if asked and not known:
            return
        # A Slot that still says free is taken as far as the clinic knows.
        free = values_of(criteria, "status") == ("free",) and not self.records.shown_free()
        start, length = window.start.astimezone(UTC), CHUNK
        if since is not None:
            start = max(start, datetime.fromtimestamp(since, UTC))
        while start < window.end:
            end = min(start + length, window.end.astimezone(UTC))
            yield from self._render(
                self.clinic.openings(
                    Window(start, end),
                    practitioners=tuple(sorted(known)),
                    include_taken=not free,
                )
            )
            start, length = end, length * 2

    def update(self, id: str, document: Doc, current: Doc) -> None:
        """Claim it, give it back, or write something else into it."""
        status = self._checked(document, current)
        shown_free = current["status"] == "free"
        record = self.records.get(self.type, id)
        before = self.clinic.opening(id)
        keep = replace(record, document=document)
        if status == "free" and not shown_free:
            try:
                self.clinic.unclaim(id)
            except Rejected:
                # An appointment stands on it: the Slot says free all the same.
                keep = replace(keep, shown_free=True)
        elif status != "free" and shown_free:
            if record.shown_free:
                # The clinic has it taken already, by the Appointment that left the Slot alone.
                keep = replace(keep, shown_free=False)
            else:
                self.clinic.claim(id, marker=marker_of(document))
        grown = self.clinic.opening(id).version - before.version
        self.records.put(self.type, id, replace(keep, shift=record.shift + 1 - grown))

    def _checked(self, document: Doc, current: Doc) -> str:
        status = document.get("status")
        if status not in STATUSES or status == "entered-in-error":
            raise Problem(422, "value", "a Slot cannot be that", expression="Slot.status")
        for member in ("start", "end"):
            at = parse_instant(document.get(member), f"Slot.{member}")
            if at != parse_instant(current[member], f"Slot.{member}"):
                raise Problem(
                    422,
                    "business-rule",
                    "a Slot of this practice is not moved",
                    expression=f"Slot.{member}",
                )
        named = reference_id(document.get("schedule"), "Schedule")
        if named != reference_id(current["schedule"], "Schedule"):
            raise Problem(
                422, "business-rule", "a Slot stays in its Schedule", expression="Slot.schedule"
            )
        return str(status)

    @contextmanager
    def untouched(self, *ids: str) -> Iterator[None]:
        """Whatever is done to these openings meanwhile, their Slots' versions do not show it."""
        if self.context.manners.flips_slot:
            yield
            return
        before = {i: self._version(i) for i in ids}
        yield
        for id_, version in before.items():
            grown = self._version(id_) - version
            if grown:
                self.records.shift(self.type, id_, -grown)

    def _version(self, id: str) -> int:
        opening = self._opening(id)
        return opening.version if opening else 1

    def _opening(self, id: str) -> Opening | None:
        try:
            return self.clinic.opening(id)
        except NotFound:
            return None

    def _render(self, openings: Sequence[Opening]) -> list[Doc]:
        written = self.records.many(self.type, (o.id for o in openings))
        types = self.context.types()
        none = Record()
        return [render.slot(o.slot, o.version, written.get(o.id, none), types) for o in openings]
