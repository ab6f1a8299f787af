"""How a vendor's server behaves, as switches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from openslot.errors import ConfigError
from openslot.registry import nearest

__all__ = ["Manners", "parse_manners"]


@dataclass(frozen=True, slots=True)
class Manners:
    """How a vendor's server behaves; a sandbox subclasses it with its vendor's own.

    What the kit can do for a vendor that needs it is a field of these names in the subclass:
    `writes_land_after: float` (seconds; see `later`), `read_lag: float` (seconds; see `as_seen`),
    `wall_times: str` (see `openslot.testing.walls`), `errors_inside_200: bool` (see `inside_200`).
    """

    enforce_conflicts: bool = True
    """False: overlapping bookings of one resource are accepted."""
    bookings_pend: bool = False
    """True: a new appointment waits for the practice's approval."""
    frees_slot_on_cancel: bool = True
    """False: a cancelled appointment leaves its time busy."""
    page_size: int = 20
    """Entries on a page where the client does not say."""


def parse_manners(kind: type[Manners], texts: Iterable[str]) -> Manners:
    """Manners from texts like `page_size=5`. Raises ConfigError with what to write instead."""
    defaults = kind()
    known = {f.name: getattr(defaults, f.name) for f in fields(kind)}
    changes: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known:
            hint = nearest(name, known) or f"; it knows: {', '.join(known)}"
            raise ConfigError(f"this sandbox has no manner {name!r}{hint}")
        try:
            changes[name] = _value(value, known[name])
        except (ValueError, KeyError):
            raise ConfigError(f"the manner {name} cannot be {value!r}") from None
    return replace(defaults, **changes)


def _value(text: str, like: object) -> Any:
    if isinstance(like, bool):
        return {"yes": True, "true": True, "no": False, "false": False}[text.lower()]
    return type(like)(text) if isinstance(like, int | float) else text
