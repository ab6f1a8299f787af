"""Taking a Slot and giving it back: the one step that two callers cannot both win.

The claim is a PUT of the whole Slot, status busy and marked with the caller's intent, under
If-Match. A repeated PUT under the same If-Match changes nothing, so it may be sent again; what a
lost answer hid, the next reading shows.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

from openslot.errors import BadResponse, NotFound, OutcomeUnknown, SlotTaken, Stale
from openslot.model import Slot
from openslot.rest import path
from openslot_connectors.fhir.reference import (
    Raw,
    markers,
    version_of,
    with_marker,
    without_markers,
)
from openslot_connectors.fhir.search import Searcher
from openslot_connectors.fhir.slots import instant
from openslot_connectors.fhir.validate import check

if TYPE_CHECKING:
    from openslot.rest import RestConnector
    from openslot_connectors.fhir.profile import FhirProfile

__all__ = ["Claims", "available", "same_time"]

_ROUNDS = 5
"""Readings of a Slot that others keep changing before we yield."""


def available(raw: Raw, intent: str, held: str | None = None) -> bool:
    """Whether this intent may take the Slot: it is free, or is the intent's own already."""
    if raw.get("status") == "free":
        return True
    marked = set(markers(raw))
    if raw.get("status") == "busy-tentative":
        return bool(marked) and marked <= {intent, held}
    return raw.get("status") == "busy" and marked == {intent}


def same_time(raw: Raw, slot: Slot) -> bool:
    """Whether the Slot is still when it was offered."""
    try:
        return instant(raw.get("start")) == slot.start and instant(raw.get("end")) == slot.end
    except ValueError:
        return False


class Claims:
    """Takes Slots for intents and gives them back."""

    def __init__(self, connector: RestConnector, profile: FhirProfile, searcher: Searcher) -> None:
        self._connector = connector
        self._profile = profile
        self._searcher = searcher

    async def read(self, slot: str) -> tuple[Raw, str]:
        """The Slot, whole, and its version. Raises NotFound, BadResponse."""
        raw, reply = await self._searcher.one("Slot", path("Slot", slot))
        version = version_of(raw, reply.etag)
        if version is None:
            raise BadResponse(
                "the server gives Slots no version, so none can be claimed safely",
                path="Slot.meta.versionId",
                request_id=reply.request_id,
            )
        return raw, version

    async def take(
        self, slot: Slot, intent: str, *, status: str = "busy", held: str | None = None
    ) -> Raw:
        """Make the Slot this intent's, and answer it as it now is.

        Goes on where the intent has claimed it before. Raises SlotTaken, Stale, and OutcomeUnknown
        where a claim may have been written and cannot be seen.
        """
        assert slot.id is not None
        doubtful = False
        claimed = False
        for _ in range(_ROUNDS):
            try:
                raw, version = await self.read(slot.id)
            except NotFound:
                raise Stale("the slot is not there any more") from None
            if not same_time(raw, slot):
                raise Stale("the slot has another time than it was offered with")
            if raw.get("status") == status and (
                intent in markers(raw) or (claimed and not self._profile.slot_marker)
            ):
                if len(markers(raw)) > 1:
                    raise SlotTaken("two callers claimed the slot at once")
                return raw
            if not available(raw, intent, held):
                raise SlotTaken()
            try:
                await self._put(self.marked(raw, intent, status), version, step="claim slot")
                claimed = True
            except (Stale, SlotTaken):
                continue  # somebody changed it: who, the next reading shows
            except NotFound:
                raise Stale("the slot is not there any more") from None
            except OutcomeUnknown:
                doubtful = True
        if doubtful or claimed:
            raise OutcomeUnknown("whether the slot was claimed is not known")
        raise SlotTaken("others keep changing the slot")

    def marked(self, raw: Raw, intent: str, status: str = "busy") -> Raw:
        """The Slot as this intent's claim leaves it."""
        taken = {**raw, "status": status}
        return with_marker(taken, intent) if self._profile.slot_marker else taken

    async def give_back(self, slot: str, intents: Set[str], *, unmarked: bool = False) -> bool:
        """Free the Slot where it is one of these intents'; `unmarked`: also where it is nobody's.

        False: it is another's, and was left alone. Raises where it could not be given back.
        """
        for _ in range(_ROUNDS):
            try:
                raw, version = await self.read(slot)
            except NotFound:
                return True
            marked = set(markers(raw))
            if raw.get("status") == "free" and not marked & intents:
                return True
            if raw.get("status") not in ("busy", "busy-tentative", "free"):
                return False
            if not marked & intents and not (unmarked and not marked):
                return False
            if marked - intents:
                return False
            freed = without_markers(raw)
            freed["status"] = "free"
            try:
                await self._put(freed, version, step="free slot")
            except (Stale, SlotTaken, OutcomeUnknown):
                continue  # the next reading shows whether it is free
            return True
        raise OutcomeUnknown("whether the slot was given back is not known")

    async def _put(self, resource: Raw, version: str, *, step: str) -> None:
        check(resource, ours=False)
        await self._connector.write(
            "PUT",
            path("Slot", resource["id"]),
            step=step,
            json=resource,
            headers={**self._profile.headers, "If-Match": self._profile.if_match.of(version)},
            repeatable=True,
        )
