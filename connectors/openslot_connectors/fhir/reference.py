"""References, codes, identifiers and our own marker within raw FHIR resources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from openslot_connectors.fhir.profile import INTENT_SYSTEM

__all__ = [
    "Raw",
    "code_token",
    "concept_text",
    "concept_tokens",
    "id_of",
    "markers",
    "reference_parts",
    "same_code",
    "search_value",
    "version_of",
    "with_marker",
    "without_markers",
]

Raw = dict[str, Any]
"""A resource as parsed: every member that the server sent, understood or not."""

_RELATIVE = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$")
_TAG = re.compile(r'^(?:W/)?"?([^"]*)"?$')
_RESERVED = re.compile(r"([\\,|$])")


def reference_parts(value: Any, base_url: str = "") -> tuple[str, str] | None:
    """Type and id of a Reference (or of its text), None where it names no record here.

    An absolute reference counts where it lies below `base_url`; others' records are not ours.
    """
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return None
    if "://" in text:
        base = base_url.rstrip("/") + "/"
        if not base_url or not text.startswith(base):
            return None
        text = text[len(base) :]
    found = _RELATIVE.search(text)
    return (found[1], found[2]) if found else None


def id_of(resource: Mapping[str, Any]) -> str | None:
    """The resource's id, None where it has none."""
    value = resource.get("id")
    return value if isinstance(value, str) and value else None


def version_of(resource: Mapping[str, Any], etag: str | None = None) -> str | None:
    """The version id: from `meta`, else from an ETag, weak, strong or bare."""
    meta = resource.get("meta")
    version = meta.get("versionId") if isinstance(meta, dict) else None
    if isinstance(version, str) and version:
        return version
    found = _TAG.match(etag.strip()) if etag else None
    return (found[1] or None) if found else None


def code_token(coding: Any) -> str | None:
    """A Coding as a search token, `system|code` or `code`; None where it has no code."""
    if not isinstance(coding, dict):
        return None
    code, system = coding.get("code"), coding.get("system")
    if not isinstance(code, str) or not code:
        return None
    return f"{system}|{code}" if isinstance(system, str) and system else code


def concept_tokens(value: Any) -> list[str]:
    """The tokens of a CodeableConcept, or of a list of them, in order."""
    concepts = value if isinstance(value, list) else [value]
    found = []
    for concept in concepts:
        codings = concept.get("coding") if isinstance(concept, dict) else None
        for coding in codings if isinstance(codings, list) else ():
            token = code_token(coding)
            if token is not None:
                found.append(token)
    return found


def concept_text(value: Any) -> str | None:
    """What a CodeableConcept says to a person: its text, else a display, else a code."""
    concept = value[0] if isinstance(value, list) and value else value
    if not isinstance(concept, dict):
        return None
    text = concept.get("text")
    if isinstance(text, str) and text:
        return text
    codings = concept.get("coding")
    for key in ("display", "code"):
        for coding in codings if isinstance(codings, list) else ():
            shown = coding.get(key) if isinstance(coding, dict) else None
            if isinstance(shown, str) and shown:
                return shown
    return None


def same_code(wanted: str, token: str) -> bool:
    """Whether a token is the wanted one; a wanted code without system matches in any system."""
    return token == wanted or ("|" not in wanted and token.rpartition("|")[2] == wanted)


def search_value(text: str) -> str:
    """A text as a search parameter's value, with FHIR's own separators escaped."""
    return _RESERVED.sub(r"\\\1", text)


def markers(resource: Mapping[str, Any]) -> tuple[str, ...]:
    """The intents that marked this record as theirs."""
    identifiers = resource.get("identifier")
    found = []
    for identifier in identifiers if isinstance(identifiers, list) else ():
        if isinstance(identifier, dict) and identifier.get("system") == INTENT_SYSTEM:
            value = identifier.get("value")
            if isinstance(value, str):
                found.append(value)
    return tuple(found)


def with_marker(resource: Mapping[str, Any], intent: str) -> Raw:
    """The resource with this intent's marker, and no other of ours."""
    marked = without_markers(resource)
    marked["identifier"] = [
        *marked.get("identifier", ()),
        {"system": INTENT_SYSTEM, "value": intent},
    ]
    return marked


def without_markers(resource: Mapping[str, Any]) -> Raw:
    """The resource without our markers; all other members, and identifiers, as they were."""
    rest = dict(resource)
    identifiers = resource.get("identifier")
    if isinstance(identifiers, list):
        kept = [
            i for i in identifiers if not (isinstance(i, dict) and i.get("system") == INTENT_SYSTEM)
        ]
        rest["identifier"] = kept
        if not kept:
            del rest["identifier"]
    return rest


def comma_list(values: Iterable[str]) -> str:
    """Alternatives of one search parameter."""
    return ",".join(values)
