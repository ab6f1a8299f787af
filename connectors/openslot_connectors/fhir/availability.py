"""Whose time Slots are, and which of them are free: Schedule and Slot searches put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from openslot.errors import BadResponse, OpenSlotError
from openslot.model import Listing, Missing, MissingWhat, Slot, SlotQuery
from openslot.rest import path
from openslot_connectors.fhir.profile import Schedules, SlotScope
from openslot_connectors.fhir.reference import Raw, comma_list, search_value
from openslot_connectors.fhir.search import Found
from openslot_connectors.fhir.slots import Schedule, SlotReader, schedule_from

if TYPE_CHECKING:
    from openslot_connectors.fhir.connector import FhirConnector

__all__ = ["ScheduleBook", "find_slots"]

_MOST_SINGLE_READS = 50
_SCHEDULES_AT_ONCE = 20
"""Schedules named in one Slot search, so that its URL stays short."""


class ScheduleBook:
    """The server's Schedules, remembered for a short time."""

    def __init__(self, fhir: FhirConnector) -> None:
        self._fhir = fhir
        self._kept: dict[tuple[str, ...], tuple[float, dict[str, Schedule], list[Missing]]] = {}

    async def read(
        self, practitioners: tuple[str, ...] = ()
    ) -> tuple[dict[str, Schedule], list[Missing]]:
        """The Schedules by id, of these practitioners only where some are named."""
        now = self._fhir.clock.monotonic()
        kept = self._kept.get(practitioners)
        if kept is not None and now - kept[0] < self._fhir.settings.schedule_cache_seconds:
            return dict(kept[1]), list(kept[2])
        filters = {}
        if practitioners:
            actors = (p if "/" in p else f"Practitioner/{p}" for p in practitioners)
            filters["actor"] = comma_list(search_value(a) for a in actors)
        found = await self._fhir.searcher.whole("Schedule", filters)
        missing = list(found.missing)
        schedules = self.understood(found.matches, missing)
        if not missing:
            if len(self._kept) > _MOST_SINGLE_READS:
                self._kept.clear()
            self._kept[practitioners] = (now, dict(schedules), [])
        return schedules, missing

    def understood(self, resources: Iterable[Raw], missing: list[Missing]) -> dict[str, Schedule]:
        """The Schedules among the resources; each that cannot be read is missing."""
        schedules = {}
        for raw in resources:
            if raw.get("resourceType") != "Schedule":
                continue
            try:
                schedule = schedule_from(raw, self._fhir.base_url)
            except ValueError:
                id_ = raw.get("id")
                missing.append(
                    Missing(
                        MissingWhat.RESOURCE,
                        "a Schedule without id or actor",
                        id=id_ if isinstance(id_, str) else None,
                        path="Schedule.actor",
                    )
                )
                continue
            schedules[schedule.id] = schedule
        return schedules

    async def one(self, id_: str) -> Schedule:
        """One Schedule, read now. Raises BadResponse, NotFound."""
        raw, _ = await self._fhir.searcher.one("Schedule", path("Schedule", id_))
        try:
            return schedule_from(raw, self._fhir.base_url)
        except ValueError:
            raise BadResponse("a Schedule without id or actor", path="Schedule.actor") from None


async def find_slots(fhir: FhirConnector, query: SlotQuery) -> Listing[Slot]:
    """The free Slots of the query. See `Connector.find_slots`."""
    profile = fhir.profile
    missing: list[Missing] = []
    schedules: dict[str, Schedule] = {}
    wanted: frozenset[str] | None = None
    if profile.schedules is Schedules.SEARCH:
        schedules, missing = await fhir.schedules.read(query.practitioners)
        if query.practitioners or query.locations:
            wanted = _wanted(schedules, query, missing)
    as_of = fhir.clock.now()
    reader = SlotReader(
        query.window,
        schedules,
        wanted=wanted,
        wanted_type=query.appointment_type,
        as_of=as_of,
        source=fhir.info.name,
        base_url=fhir.base_url,
    )
    for filters in _searches(fhir, query, wanted):
        found = await fhir.searcher.windowed("Slot", "start", query.window, filters)
        missing += found.missing
        reader.read(found.matches)
        await _resolve(fhir, reader, found, missing)
    if profile.schedules is Schedules.INCLUDE and (query.practitioners or query.locations):
        chosen = _wanted(reader.schedules, query, missing)
        reader.slots = {i: s for i, s in reader.slots.items() if s.schedule in chosen}
    slots = sorted(reader.slots.values(), key=lambda s: s.start)
    missing += reader.missing.values()
    return Listing(tuple(slots), tuple(dict.fromkeys(missing)), as_of, fhir.info.name)


def _wanted(
    schedules: Mapping[str, Schedule], query: SlotQuery, missing: list[Missing]
) -> frozenset[str]:
    chosen = set()
    for schedule in schedules.values():
        if query.practitioners and not _with(schedule, query):
            continue
        if query.locations and schedule.location not in query.locations:
            if schedule.location is None and schedule.active:
                missing.append(
                    Missing(
                        MissingWhat.RESOURCE, "a Schedule that names no location", id=schedule.id
                    )
                )
            continue
        chosen.add(schedule.id)
    return frozenset(chosen)


def _with(schedule: Schedule, query: SlotQuery) -> bool:
    return any(r.id in query.practitioners for r in schedule.resources)


def _searches(
    fhir: FhirConnector, query: SlotQuery, wanted: frozenset[str] | None
) -> list[dict[str, str]]:
    profile = fhir.profile
    filters = {"status": "free", **profile.slot_parameters}
    if profile.sends_type and query.appointment_type is not None:
        filters["service-type"] = query.appointment_type
    if profile.schedules is Schedules.INCLUDE:
        filters["_include"] = "Slot:schedule"
    if profile.slot_scope is SlotScope.ACTOR:
        if query.practitioners:
            filters[profile.slot_scope.value] = comma_list(
                p if "/" in p else f"Practitioner/{p}" for p in query.practitioners
            )
        return [filters]
    if wanted is None:
        return [filters]
    names = [f"Schedule/{search_value(i)}" for i in sorted(wanted)]
    return [
        {**filters, "schedule": comma_list(names[i : i + _SCHEDULES_AT_ONCE])}
        for i in range(0, len(names), _SCHEDULES_AT_ONCE)
    ]


async def _resolve(
    fhir: FhirConnector, reader: SlotReader, found: Found, missing: list[Missing]
) -> None:
    """Read the Schedules that Slots wait for, in the answer itself or one by one."""
    known = fhir.schedules.understood(found.included, missing)
    failed: dict[str, str] = {}
    for id_ in [i for i in reader.unknown if i not in known][:_MOST_SINGLE_READS]:
        try:
            known[id_] = await fhir.schedules.one(id_)
        except OpenSlotError as error:
            failed[id_] = error.message
    reader.learn(known, failed)
