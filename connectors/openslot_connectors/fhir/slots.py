"""Slots, Schedules: from raw resources to values, as fast as values can be built.

FHIR R4 Slot and Schedule. A Slot that cannot be understood becomes an entry under `missing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from openslot.model import Missing, MissingWhat, Resource, ResourceKind, Slot, SlotStatus, Window
from openslot_connectors.fhir.reference import (
    Raw,
    code_token,
    concept_tokens,
    id_of,
    reference_parts,
    same_code,
)

__all__ = ["KINDS", "Schedule", "SlotReader", "instant", "resources_of", "schedule_from"]

KINDS: Mapping[str, ResourceKind] = {
    "Practitioner": ResourceKind.PRACTITIONER,
    "PractitionerRole": ResourceKind.PRACTITIONER,
    "Device": ResourceKind.DEVICE,
    "HealthcareService": ResourceKind.SERVICE,
}
"""What the actors of a Schedule and the participants of an Appointment are to us."""

_STATUSES = frozenset(s.value for s in SlotStatus)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Whose time the Slots of one FHIR Schedule are."""

    id: str
    resources: tuple[Resource, ...]
    location: str | None
    types: tuple[str, ...] = ()
    active: bool = True


def instant(value: Any) -> datetime:
    """A FHIR instant or full dateTime. Raises ValueError for a date only, or a time without offset."""
    if not isinstance(value, str):
        raise ValueError("not a time")
    parsed = datetime.fromisoformat(value)
    if parsed.tzinfo is None:
        raise ValueError("a time without date, time or offset")
    return parsed


def resources_of(
    actors: Iterable[Any], base_url: str, schedule: str | None = None
) -> tuple[tuple[Resource, ...], str | None]:
    """Whose time the actors stand for, and where: what a Slot and its Appointment both are asked.

    A location or a service beside a practitioner says where and what; the time is the
    practitioner's. Where there is nobody else, the time is the location's, else the service's.
    Ids are bare where the type is the kind's own, else `Type/id`.
    """
    people: list[Resource] = []
    services: list[Resource] = []
    locations: list[Resource] = []
    for actor in actors:
        parts = reference_parts(actor, base_url)
        if parts is None:
            continue
        type_, id_ = parts
        display = actor.get("display") if isinstance(actor, dict) else None
        name = display if isinstance(display, str) else None
        kind = KINDS.get(type_)
        if type_ == "Location":
            locations.append(Resource(ResourceKind.LOCATION, id_, name))
        elif kind is ResourceKind.SERVICE:
            services.append(Resource(kind, id_, name))
        elif kind is not None:
            own = type_ != "PractitionerRole"
            people.append(Resource(kind, id_ if own else f"{type_}/{id_}", name))
    location = locations[0].id if locations else None
    taken = people or locations or services
    if not taken and schedule is not None:
        taken = [Resource(ResourceKind.SCHEDULE, schedule)]
    return tuple(taken), location


def schedule_from(raw: Raw, base_url: str) -> Schedule:
    """A Schedule. Raises ValueError where it has no id or no actors to read."""
    id_ = id_of(raw)
    actors = raw.get("actor")
    if id_ is None or not isinstance(actors, list):
        raise ValueError("a Schedule without id or actor")
    resources, location = resources_of(actors, base_url, id_)
    types = concept_tokens(raw.get("serviceType")) if "serviceType" in raw else []
    return Schedule(id_, resources, location, tuple(types), raw.get("active") is not False)


def _build(
    start: datetime,
    end: datetime,
    id_: str,
    schedule: Schedule,
    type_: str | None,
    as_of: datetime,
    source: str,
) -> Slot:
    # Slot(...) spends most of its time in the frozen __init__; a page of a thousand is built by
    # the slots' own descriptors, its span checked by the caller. A test holds the two equal.
    slot = _new(Slot)
    _start(slot, start)
    _end(slot, end)
    _id(slot, id_)
    _schedule(slot, schedule.id)
    _resources(slot, schedule.resources)
    _location(slot, schedule.location)
    _type(slot, type_)
    _mode(slot, None)
    _status(slot, SlotStatus.FREE)
    _capacity(slot, 1)
    _segments(slot, ())
    _as_of(slot, as_of)
    _source(slot, source)
    _ref(slot, None)
    _token(slot, None)
    return slot


_new = object.__new__


def _setter(name: str) -> Any:
    return Slot.__dict__[name].__set__


_start, _end, _id, _schedule = (_setter(n) for n in ("start", "end", "id", "schedule"))
_resources, _location, _type = (_setter(n) for n in ("resources", "location", "appointment_type"))
_mode, _status, _capacity = (_setter(n) for n in ("visit_mode", "status", "capacity"))
_segments, _as_of, _source = (_setter(n) for n in ("segments", "as_of", "source"))
_ref, _token = (_setter(n) for n in ("ref", "token"))


class SlotReader:
    """Collects the free Slots of one search, page by page, each once."""

    def __init__(
        self,
        window: Window,
        schedules: Mapping[str, Schedule],
        *,
        wanted: frozenset[str] | None,
        wanted_type: str | None,
        as_of: datetime,
        source: str,
        base_url: str,
    ) -> None:
        self.window = window
        self.schedules = schedules
        self.wanted = wanted
        self.wanted_type = wanted_type
        self.as_of = as_of
        self.source = source
        self.base_url = base_url
        self.slots: dict[str, Slot] = {}
        self.missing: dict[tuple[str | None, str | None, str], Missing] = {}
        self._refs: dict[str, str | None] = {}

    def schedule_id(self, reference: str) -> str | None:
        """The Schedule that a reference names."""
        if reference not in self._refs:
            parts = reference_parts(reference, self.base_url)
            known = parts is not None and parts[0] == "Schedule"
            self._refs[reference] = parts[1] if parts and known else None
        return self._refs[reference]

    def unknown_schedules(self, resources: Iterable[Raw]) -> set[str]:
        """The Schedules that these Slots name and that have not been read."""
        references = set()
        for raw in resources:
            try:
                references.add(raw["schedule"]["reference"])
            except (KeyError, TypeError):
                continue  # `read` reports it
        ids = {self.schedule_id(r) for r in references if isinstance(r, str)}
        return {i for i in ids if i is not None and i not in self.schedules}

    def read(self, resources: Iterable[Raw]) -> None:
        """Take in one page's Slot resources."""
        start_of, end_of = self.window.start, self.window.end
        slots, schedules, refs = self.slots, self.schedules, self._refs
        parse, as_of, source = datetime.fromisoformat, self.as_of, self.source
        wanted, wanted_type = self.wanted, self.wanted_type
        for raw in resources:
            try:
                status = raw["status"]
                if status != "free":
                    if status not in _STATUSES:
                        self._miss(raw, "status", "a Slot with an unknown status")
                    continue
                reference = raw["schedule"]["reference"]
                id_ = refs[reference] if reference in refs else self.schedule_id(reference)
                if id_ is None:
                    self._miss(
                        raw, "schedule", "a Slot whose schedule is no Schedule of this server"
                    )
                    continue
                if wanted is not None and id_ not in wanted:
                    continue
                start, end = parse(raw["start"]), parse(raw["end"])
                # Comparing refuses a naive time (a date, or no offset) with TypeError.
                if not start_of <= start < end_of:
                    continue
                if not start < end:
                    self._miss(raw, "end", "a Slot that does not end after it starts")
                    continue
                slot_id = raw["id"]
            except (KeyError, TypeError, ValueError):
                self._miss(raw, _fault(raw), "a Slot without a readable id, status, start or end")
                continue
            schedule = schedules.get(id_)
            if schedule is None:
                self._resource(id_)
                continue
            if not schedule.active or raw.get("overbooked") is True:
                continue
            if "modifierExtension" in raw or "implicitRules" in raw:
                self._miss(
                    raw, "modifierExtension", "a Slot with a modifier that is not understood"
                )
                continue
            type_ = None
            if "serviceType" in raw or "appointmentType" in raw or schedule.types:
                types = _types(raw) or schedule.types
                if wanted_type is not None:
                    type_ = next((t for t in types if same_code(wanted_type, t)), None)
                    if type_ is None and types:
                        continue
                elif len(types) == 1:
                    type_ = types[0]
            slots[slot_id] = _build(start, end, slot_id, schedule, type_, as_of, source)

    def _resource(self, id_: str) -> None:
        key = (id_, "Schedule", "")
        self.missing[key] = Missing(
            MissingWhat.RESOURCE, "a Schedule that Slots belong to could not be read", id=id_
        )

    def _miss(self, raw: Any, member: str, why: str) -> None:
        id_ = id_of(raw) if isinstance(raw, dict) else None
        path = f"Slot.{member}"
        self.missing[(id_, path, why)] = Missing(MissingWhat.ENTRY, why, id=id_, path=path)


def _types(raw: Raw) -> list[str] | tuple[str, ...]:
    services = raw.get("serviceType")
    if services is not None:
        # One coding of one type is what servers send: the general way costs thrice as much.
        if len(services) == 1 and len(codings := services[0].get("coding", ())) == 1:
            token = code_token(codings[0])
            return (token,) if token is not None else ()
        found = concept_tokens(services)
        if found:
            return found
    return concept_tokens(raw.get("appointmentType"))


def _fault(raw: Any) -> str:
    if not isinstance(raw, dict):
        return "resource"
    for member in ("id", "status"):
        if not isinstance(raw.get(member), str):
            return member
    for member in ("start", "end"):
        try:
            instant(raw.get(member))
        except ValueError:
            return member
    return "schedule"
