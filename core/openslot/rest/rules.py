"""Which answer means which failure (law 8): a table by status that vendors extend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from openslot.errors import OpenSlotError
from openslot.rest.reply import Reply

__all__ = ["ErrorRule", "Refused"]

Judge: TypeAlias = Callable[[Reply], OpenSlotError | None]
"""Reads an answer for its meaning; None leaves it to the default for that status."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Marks a rule whose answer proves that the vendor did nothing: a write may be sent again.

    `{503: Refused(Unavailable)}` suits a vendor whose gateway answers 503 before any work.
    Without the mark, an answer to a write that asks to try later leaves the outcome unknown.
    """

    rule: type[OpenSlotError] | Judge


ErrorRule: TypeAlias = type[OpenSlotError] | Judge | Refused
