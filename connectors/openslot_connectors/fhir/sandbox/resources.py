"""What a FHIR server can do with each type of resource, on the clinic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar
from zoneinfo import ZoneInfo

from openslot.clinic import Clinic, VisitType
from openslot.errors import NotFound
from openslot.model import Window
from openslot_connectors.fhir.sandbox.records import Records
from openslot_connectors.fhir.sandbox.search import Criterion, Kind, Param
from openslot_connectors.fhir.sandbox.wire import Doc, Problem, interval

if TYPE_CHECKING:
    from openslot_connectors.fhir.sandbox.manners import FhirManners

__all__ = [
    "ID",
    "IDENTIFIER",
    "Context",
    "Resource",
    "codes",
    "concept",
    "reference",
    "refs",
    "text",
    "token",
    "values_of",
    "when",
    "window_of",
]


@dataclass(frozen=True)
class Context:
    """What the resources of one sandbox stand on."""

    clinic: Clinic
    records: Records
    manners: FhirManners

    @property
    def zone(self) -> ZoneInfo:
        """The server's own zone, in which a date means a day: that of the first location."""
        return ZoneInfo(self.clinic.locations()[0].zone or "UTC")

    def types(self) -> Mapping[str, VisitType]:
        """The clinic's appointment types by id."""
        return {t.id: t for t in self.clinic.types()}


def refs(value: Any) -> Iterable[str]:
    """The references in a member, one or several, as `Type/id`."""
    for item in value if isinstance(value, list) else [value]:
        text = (item or {}).get("reference")
        if isinstance(text, str):
            yield "/".join(text.rsplit("/", 2)[-2:])


def codes(value: Any) -> Iterable[tuple[str | None, str]]:
    """The codings in a member, one concept or several."""
    for concept in value if isinstance(value, list) else [value]:
        for coding in (concept or {}).get("coding", ()):
            if coding.get("code"):
                yield (coding.get("system"), coding["code"])


def identifiers(document: Doc) -> Iterable[tuple[str | None, str]]:
    """The identifiers as tokens."""
    for item in document.get("identifier", ()):
        if item.get("value"):
            yield (item.get("system"), item["value"])


def token(member: str) -> Param:
    """A parameter on a coded text or boolean."""

    def values(document: Doc) -> Iterable[tuple[None, str]]:
        value = document.get(member)
        if value is not None:
            yield (None, str(value).lower() if isinstance(value, bool) else value)

    return Param(Kind.TOKEN, values)


def concept(member: str) -> Param:
    """A parameter on concepts."""
    return Param(Kind.TOKEN, lambda d: codes(d.get(member)))


def reference(member: str) -> Param:
    """A parameter on references."""
    return Param(Kind.REFERENCE, lambda d: refs(d.get(member)))


def text(member: str) -> Param:
    """A parameter on a text."""
    return Param(Kind.STRING, lambda d: [d[member]] if d.get(member) else [])


def when(member: str, kind: Kind = Kind.INSTANT) -> Param:
    """A parameter on an instant or a date."""
    return Param(kind, lambda d: [d[member]] if d.get(member) else [])


ID = Param(Kind.TOKEN, lambda d: [(None, d["id"])])
IDENTIFIER = Param(Kind.TOKEN, identifiers)


class Resource(ABC):
    """One type: how it is read, found, created and updated. Without an override it cannot be."""

    type: ClassVar[str]
    params: ClassVar[dict[str, Param]] = {}
    includes: ClassVar[dict[str, str]] = {}
    """Search parameter to member, for `_include`."""
    sort_key: ClassVar[str | None] = None
    ordered: ClassVar[bool] = False
    """Whether `find` gives them by the instant at `sort_key`, then id."""
    interactions: ClassVar[tuple[str, ...]] = ("read", "search-type")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.clinic = context.clinic
        self.records = context.records

    def read(self, id: str) -> Doc:
        """One resource. Raises NotFound."""
        for document in self.find(()):
            if document["id"] == id:
                return document
        raise NotFound(f"there is no {self.type} with that id", sent=False)

    @abstractmethod
    def find(self, criteria: Sequence[Criterion], since: int | None = None) -> Iterable[Doc]:
        """Every resource that may fit; the criteria are applied afterwards.

        Where it is `ordered` it may leave out what comes before the epoch second `since`.
        """

    def create(self, document: Doc) -> str:
        """Create it; its id. In a transaction."""
        raise Problem(405, "not-supported", f"{self.type} cannot be created here")

    def update(self, id: str, document: Doc, current: Doc) -> None:
        """Replace `current` by `document`. In a transaction; the version was checked."""
        raise Problem(405, "not-supported", f"{self.type} cannot be changed here")


def values_of(criteria: Sequence[Criterion], name: str) -> tuple[str, ...] | None:
    """The alternatives of the one plain criterion of that name, None where nothing narrows."""
    asked = [c for c in criteria if c.name == name and not c.modifier]
    return tuple(v for _, v in asked[0].alternatives) if asked else None


def window_of(
    criteria: Sequence[Criterion], name: str, zone: ZoneInfo, now: datetime, default: timedelta
) -> Window | None:
    """The stretch in which the instants of a parameter lie; None where it is empty."""
    low = high = None
    for criterion in criteria:
        if criterion.name != name or len(criterion.alternatives) != 1 or criterion.modifier:
            continue
        prefix, value = criterion.alternatives[0]
        try:
            start, end = interval(value, zone)
        except ValueError as error:
            raise Problem(400, "value", f"{name}: {error}") from None
        if prefix in {"eq", "ge", "gt", "sa"}:
            low = max(low, start) if low else start
        if prefix in {"eq", "le", "lt", "eb"}:
            high = min(high, end) if high else end
    low = low or now
    high = high or low + default
    return Window(low, high) if low < high else None
