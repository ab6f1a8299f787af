"""What we write is checked before it leaves: by fhir.resources, and by what that does not see.

fhir.resources (module R4B, whose Appointment, Slot and Patient are R4's) refuses members that it
does not know; those of a record that the server gave us are set aside for the check and leave with
the rest (law 13). It accepts status codes that do not exist and ends before starts: those we check.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from openslot.errors import BadResponse
from openslot.model import AppointmentStatus, Gender, SlotStatus
from openslot_connectors.fhir.reference import Raw
from openslot_connectors.fhir.slots import instant

__all__ = ["check"]

_ROUNDS = 200
_SLOT = frozenset(s.value for s in SlotStatus)
_APPOINTMENT = frozenset(s.value for s in AppointmentStatus)
_GENDER = frozenset(g.value for g in Gender)
_PARTICIPATION = frozenset({"accepted", "declined", "tentative", "needs-action"})
_UNTIMED = frozenset({"proposed", "cancelled", "waitlist"})


def check(resource: Raw, *, ours: bool) -> None:
    """Refuse to send a resource that R4 does not allow. Raises BadResponse, `sent` False.

    `ours`: nothing in it came from the server, so every member must be known. The message names
    the element and never what stands in it.
    """
    type_ = resource.get("resourceType")
    own = {"Slot": _slot, "Appointment": _appointment, "Patient": _patient}.get(str(type_))
    if own is None:
        raise _invalid(str(type_), "resourceType", "a type that this connector does not write")
    own(resource)
    _by_library(resource, str(type_), ours=ours)


def _by_library(resource: Raw, type_: str, *, ours: bool) -> None:
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    model = get_fhir_model_class(type_)
    copy = _plain(resource)
    for _ in range(_ROUNDS):
        try:
            model.model_validate(copy)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False, include_context=False)
            foreign = [p["loc"] for p in problems if p["type"] == "extra_forbidden"]
            if ours or len(foreign) < len(problems) or not _set_aside(copy, foreign):
                first = next((p for p in problems if p["loc"] not in foreign), problems[0])
                path = ".".join(str(part) for part in first["loc"])
                raise _invalid(type_, path, "an element that R4 does not allow") from None
        else:
            return
    raise _invalid(type_, "", "too many foreign members to check")


def _plain(value: Any) -> Any:
    """A copy, so that what is set aside for the check stays in what is sent."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _set_aside(copy: Raw, locations: list[tuple[int | str, ...]]) -> bool:
    removed = False
    for location in locations:
        place: Any = copy
        for part in location[:-1]:
            # A location may name a step of the library's own between two members: passed over.
            if isinstance(place, list) and isinstance(part, int):
                place = place[part]
            elif isinstance(place, dict):
                place = place.get(part, place)
        if isinstance(place, dict) and place.pop(location[-1], None) is not None:
            removed = True
    return removed


def _slot(resource: Raw) -> None:
    if resource.get("status") not in _SLOT:
        raise _invalid("Slot", "status", "a status that does not exist")
    _span(resource, "Slot")


def _appointment(resource: Raw) -> None:
    status = resource.get("status")
    if status not in _APPOINTMENT:
        raise _invalid("Appointment", "status", "a status that does not exist")
    timed = "start" in resource or "end" in resource
    if timed and not ("start" in resource and "end" in resource):
        raise _invalid("Appointment", "end", "one of start and end without the other (app-2)")
    if not timed and status not in _UNTIMED:
        raise _invalid("Appointment", "start", "no start and end in this status (app-3)")
    if timed:
        _span(resource, "Appointment")
    if "cancelationReason" in resource and status not in ("cancelled", "noshow"):
        raise _invalid(
            "Appointment", "cancelationReason", "a reason that only cancelled ones have (app-4)"
        )
    participants = resource.get("participant")
    if not isinstance(participants, list) or not participants:
        raise _invalid("Appointment", "participant", "nobody who takes part")
    for index, participant in enumerate(participants):
        path = f"participant[{index}]"
        if not isinstance(participant, dict) or not (
            "actor" in participant or "type" in participant
        ):
            raise _invalid("Appointment", path, "neither type nor actor (app-1)")
        if participant.get("status") not in _PARTICIPATION:
            raise _invalid("Appointment", f"{path}.status", "a status that does not exist")


def _patient(resource: Raw) -> None:
    if "gender" in resource and resource["gender"] not in _GENDER:
        raise _invalid("Patient", "gender", "a code that does not exist")


def _span(resource: Raw, type_: str) -> None:
    times: dict[str, datetime] = {}
    for member in ("start", "end"):
        try:
            times[member] = instant(resource.get(member))
        except ValueError:
            raise _invalid(type_, member, "no instant") from None
    if times["end"] <= times["start"]:
        raise _invalid(type_, "end", "an end that is not after the start")


def _invalid(type_: str, member: str, why: str) -> BadResponse:
    return BadResponse(
        f"the {type_} to be written has {why}, so nothing was sent",
        path=f"{type_}.{member}".rstrip("."),
        sent=False,
    )
