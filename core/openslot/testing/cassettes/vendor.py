"""What a vendor's folder says of its recordings, in `deviations.toml` beside its connector.

[headers]                       # beyond those that every cassette may hold
response = ["x-vendor-page"]

[[deviation]]                   # a real server's answer that the FHIR release does not allow
answered_by = "live: Software"  # the beginning of the provenance's answered_by
resource = "Appointment"
path = "participant.*.status"   # elements by name, * for any position or name
why = "..."
source = "..."

[[person]]                      # a test patient whom the vendor publishes
name = "Given Family"
source = "..."
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

from openslot.registry import CONNECTORS
from openslot.testing.cassettes.file import CassetteError
from openslot.testing.cassettes.interaction import Listed

__all__ = ["Deviation", "Rules", "parsed", "rules_for"]

FILE = "deviations.toml"


@dataclass(frozen=True, slots=True)
class Deviation:
    """One way in which a real server's answers differ from what its FHIR release allows."""

    answered_by: str
    resource: str
    path: str
    why: str
    source: str

    def covers(self, answered_by: str, resource: str, path: str) -> bool:
        """Whether this is the deviation that was met."""
        pattern = re.escape(self.path).replace(r"\*", r"[^.]+")
        return (
            answered_by.startswith(self.answered_by)
            and resource == self.resource
            and re.fullmatch(pattern, path) is not None
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """What a vendor's folder adds to the rules that every cassette keeps."""

    listed: Listed = field(default_factory=Listed)
    deviations: tuple[Deviation, ...] = ()
    people: frozenset[str] = frozenset()
    where: str = FILE


@cache
def rules_for(connector: str) -> Rules:
    """The rules of a connector's folder; the common ones where it says nothing.

    Raises CassetteError for a file that cannot be read, or an entry without its source.
    """
    found = {e.name: e for e in entry_points(group=CONNECTORS)}
    if connector not in found:
        return Rules()
    package = found[connector].module.rpartition(".")[0]
    try:
        text = files(package or found[connector].module).joinpath(FILE).read_text("utf-8")
    except (FileNotFoundError, ModuleNotFoundError, NotADirectoryError, TypeError):
        return Rules()
    where = f"{package.replace('.', '/')}/{FILE}"
    try:
        return parsed(tomllib.loads(text), where)
    except (tomllib.TOMLDecodeError, TypeError, KeyError, AttributeError) as error:
        raise CassetteError(f"{where} cannot be read: {error}") from None


def parsed(document: dict[str, Any], where: str) -> Rules:
    """The rules in such a file. Raises CassetteError where one does not name its source."""
    headers = document.get("headers", {})
    people = document.get("person", [])
    entries = [*document.get("deviation", []), *people]
    if not all(str(e.get("source", "")).strip() for e in entries):
        raise CassetteError(f"{where}: every deviation and person names its source")
    return Rules(
        listed=Listed().plus(headers.get("request", ()), headers.get("response", ())),
        deviations=tuple(Deviation(**e) for e in document.get("deviation", [])),
        people=frozenset(str(p["name"]) for p in people),
        where=where,
    )
