"""Whether the FHIR bodies of a cassette are what R4 allows, as fhir.resources (R4B) reads it.

R4B's Appointment, Slot, Schedule, Patient and Bundle are R4's own. What a real server answers
against the rules stays in the cassette, named with its source in the vendor's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from openslot.testing.cassettes.vendor import Deviation

__all__ = ["fhir_problems"]

_MOST = 20


def fhir_problems(
    value: Any, *, answered_by: str, deviations: tuple[Deviation, ...]
) -> Iterator[tuple[str, str]]:
    """Where a FHIR body breaks the rules and no deviation covers it: path and phrase.

    The entries of a Bundle are checked one by one, so that one that deviates hides no other.
    """
    for path, resource in _resources(value, ""):
        kind = str(resource.get("resourceType"))
        for where, said in _invalid(kind, resource):
            if not any(d.covers(answered_by, kind, where) for d in deviations):
                yield f"{path}{where}".strip("."), f"{kind}: {said} (fhir.resources, R4B)"


def _resources(value: Any, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(value, dict) or "resourceType" not in value:
        return
    if value["resourceType"] != "Bundle" or not isinstance(value.get("entry"), list):
        yield path, value
        return
    # Without the resources, which come one by one.
    entries = [
        {k: v for k, v in e.items() if k != "resource"} if isinstance(e, dict) else e
        for e in value["entry"]
    ]
    yield (
        path,
        {**value, "entry": [e for e in entries if e != {}]}
        if any(entries)
        else {k: v for k, v in value.items() if k != "entry"},
    )
    for index, entry in enumerate(value["entry"]):
        if isinstance(entry, dict):
            yield from _resources(entry.get("resource"), f"{path}entry[{index}].resource.")


def _invalid(kind: str, resource: dict[str, Any]) -> list[tuple[str, str]]:
    from fhir.resources.R4B import get_fhir_model_class
    from pydantic import ValidationError

    try:
        model = get_fhir_model_class(kind)
    except KeyError:
        return [("resourceType", "R4 has no such resource")]
    try:
        model.model_validate(resource)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        return [(".".join(str(p) for p in e["loc"]), e["msg"]) for e in problems[:_MOST]]
    return []
