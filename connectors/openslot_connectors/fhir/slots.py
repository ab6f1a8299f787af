"""Slots, Schedules: from raw resources to values, as fast as values can be built.

FHIR R4 Slot and Schedule. A Slot that cannot be understood becomes an entry under `missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from openslot.model import Missing, MissingWhat, Resource, ResourceKind, Slot, SlotStatus, Window
from openslot_connectors.fhir.reference import (
    Raw,
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
    """A FHIR instant or full dateTime. Raises ValueError for a date, or a time without offset."""
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


# Slot(...) spends most of its time in the frozen __init__. A page of a thousand is built by the
# slots' own descriptors instead, in the order of the fields; a test holds the two ways equal.
_SETTERS: tuple[Callable[[Slot, Any], None], ...] = tuple(
    Slot.__dict__[field.name].__set__ for field in fields(Slot)
)


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
        self.schedules = dict(schedules)
        self.wanted = wanted
        self.wanted_type = wanted_type
        self.as_of = as_of
        self.source = source
        self.base_url = base_url
        self.slots: dict[str, Slot] = {}
        self.missing: dict[tuple[str | None, str | None, str], Missing] = {}
        self._refs: dict[str, str | None] = {}
        self._waiting: dict[str, list[Raw]] = {}
        self._single: dict[tuple[str, str], tuple[str | None, bool]] = {}

    def schedule_id(self, reference: str) -> str | None:
        """The Schedule that a reference names."""
        if reference not in self._refs:
            parts = reference_parts(reference, self.base_url)
            known = parts is not None and parts[0] == "Schedule"
            self._refs[reference] = parts[1] if parts and known else None
        return self._refs[reference]

    def learn(self, schedules: Mapping[str, Schedule], failed: Mapping[str, str]) -> None:
        """Take in Schedules, and the Slots that waited for them; those of others are missing."""
        self.schedules |= schedules
        waiting, self._waiting = self._waiting, {}
        for name, resources in waiting.items():
            if name in self.schedules:
                self.read(resources)
            else:
                key = (name, "Schedule", "")
                why = failed.get(name, "a Schedule that Slots belong to could not be read")
                self.missing[key] = Missing(MissingWhat.RESOURCE, why, id=name)

    @property
    def unknown(self) -> list[str]:
        """The Schedules that Slots wait for."""
        return sorted(self._waiting)

    def read(self, resources: Iterable[Raw]) -> None:
        """Take in one page's Slot resources."""
        (
            set_start, set_end, set_id, set_schedule, set_resources, set_location, set_type,
            set_mode, set_status, set_capacity, set_segments, set_as_of, set_source, set_ref,
            set_token,
        ) = _SETTERS  # fmt: skip
        new, parse, free = object.__new__, datetime.fromisoformat, SlotStatus.FREE
        first, last = self.window.start, self.window.end
        slots, schedules, refs, as_of, source = (
            self.slots, self.schedules, self._refs, self.as_of, self.source,
        )  # fmt: skip
        wanted, types_of, single = self.wanted, self._types_of, self._single
        for raw in resources:
            try:
                if raw["status"] != "free":
                    if raw["status"] not in _STATUSES:
                        self._miss(raw, "status", "a Slot with an unknown status")
                    continue
                reference = raw["schedule"]["reference"]
                name = refs[reference] if reference in refs else self.schedule_id(reference)
                if name is None:
                    self._miss(raw, "schedule", "a Slot whose schedule is none of this server's")
                    continue
                if wanted is not None and name not in wanted:
                    continue
                start, end, id_ = parse(raw["start"]), parse(raw["end"]), raw["id"]
                if id_.__class__ is not str:
                    raise TypeError
                # Comparing refuses a naive time (a date, or no offset) with TypeError.
                if not first <= start < last:
                    continue
                if not start < end:
                    self._miss(raw, "end", "a Slot that does not end after it starts")
                    continue
            except (KeyError, TypeError, ValueError):
                self._miss(raw, _fault(raw), "a Slot without a readable id, status, start or end")
                continue
            schedule = schedules.get(name)
            if schedule is None:
                self._waiting.setdefault(name, []).append(raw)
                continue
            if not schedule.active or raw.get("overbooked") is True:
                continue
            if "modifierExtension" in raw or "implicitRules" in raw:
                self._miss(raw, "modifierExtension", "a Slot with an unknown modifier")
                continue
            try:
                # One coding of one type is what servers send, and a page repeats a few of them.
                (concept,) = raw["serviceType"]
                (coding,) = concept["coding"]
                type_, fits = single[coding["system"], coding["code"]]
            except (KeyError, TypeError, ValueError):
                type_, fits = types_of(raw, schedule)
            if not fits:
                continue
            slot = new(Slot)
            set_start(slot, start)
            set_end(slot, end)
            set_id(slot, id_)
            set_schedule(slot, schedule.id)
            set_resources(slot, schedule.resources)
            set_location(slot, schedule.location)
            set_type(slot, type_)
            set_mode(slot, None)
            set_status(slot, free)
            set_capacity(slot, 1)
            set_segments(slot, ())
            set_as_of(slot, as_of)
            set_source(slot, source)
            set_ref(slot, None)
            set_token(slot, None)
            slots[id_] = slot

    def _types_of(self, raw: Raw, schedule: Schedule) -> tuple[str | None, bool]:
        """What the Slot is for, and whether that is what was asked for.

        A Slot that names no type is for what its Schedule names; where that names none, for any.
        """
        services = raw.get("serviceType")
        found = concept_tokens(services) or concept_tokens(raw.get("appointmentType"))
        known = self._fit(tuple(found) or schedule.types)
        if len(found) == 1:
            system, _, code = found[0].rpartition("|")
            self._single[system, code] = known
        return known

    def _fit(self, types: tuple[str, ...]) -> tuple[str | None, bool]:
        if self.wanted_type is not None and types:
            found = next((t for t in types if same_code(self.wanted_type, t)), None)
            return found, found is not None
        return (types[0] if len(types) == 1 else None), True

    def _miss(self, raw: Any, member: str, why: str) -> None:
        id_ = id_of(raw) if isinstance(raw, dict) else None
        path = f"Slot.{member}"
        self.missing[(id_, path, why)] = Missing(MissingWhat.ENTRY, why, id=id_, path=path)


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
