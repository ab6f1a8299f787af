"""Compares what the system of record shows with what was asked for (law 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from openslot.model import Appointment, ResourceKind, Slot

__all__ = ["Comparison", "compare", "shareable"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Which fields are equal, which differ, and which one side does not have."""

    equal: tuple[str, ...]
    different: tuple[str, ...]
    uncompared: tuple[str, ...]

    @property
    def proves(self) -> bool:
        """Whether this is enough for VERIFIED: nothing differs, start and patient are equal."""
        return not self.different and {"start", "patient"} <= set(self.equal)


def compare(
    record: Appointment, slot: Slot, *, patient: str | None, appointment_type: str | None
) -> Comparison:
    """Compare a record, field by field, with the slot and the patient that were asked for.

    Resources are compared kind by kind: a record that names no room says nothing of the room.
    """
    pairs: list[tuple[str, object, object]] = [
        ("start", slot.start, record.start),
        ("end", slot.end, record.end),
        ("patient", patient, record.patient),
        ("location", slot.location, record.location),
        ("appointment_type", appointment_type or slot.appointment_type, record.appointment_type),
        ("slot", slot.id, slot.id if slot.id in record.slots else (record.slots or None)),
    ]
    for kind in (ResourceKind.PRACTITIONER, ResourceKind.ROOM, ResourceKind.DEVICE):
        asked = frozenset(r.id for r in slot.resources if r.kind is kind)
        shown = frozenset(r.id for r in record.resources if r.kind is kind)
        if asked or shown:
            pairs.append((kind.value, asked or None, (shown & asked or shown) or None))
    equal, different, uncompared = [], [], []
    for name, asked_for, found in pairs:
        if asked_for is None or found is None:
            uncompared.append(name)
        elif asked_for == found:
            equal.append(name)
        else:
            different.append(name)
    return Comparison(tuple(equal), tuple(different), tuple(uncompared))


def shareable(record: Appointment) -> Appointment:
    """The record without what the journal must not keep: words about the patient's health."""
    return replace(record, reason=None, comment=None, cancellation_reason=None)
