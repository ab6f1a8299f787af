"""What people read: tables and sentences. rich is imported on first use."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING

from openslot.errors import OpenSlotError, SlotTaken
from openslot.model import (
    Appointment,
    Exclusive,
    Hold,
    Listing,
    Missing,
    ProofLevel,
    Resource,
    Slot,
)

if TYPE_CHECKING:
    from rich.console import Console

    from openslot.desk import Match, Outcome

__all__ = [
    "console",
    "progress",
    "show_alternatives",
    "show_appointments",
    "show_error",
    "show_hold",
    "show_match",
    "show_outcome",
    "show_slots",
    "span",
    "table",
]

PIPED_WIDTH = 140

LEVELS = {
    ProofLevel.HELD: "the time is kept; nothing is booked",
    ProofLevel.ACCEPTED: "the vendor took the request; the practice's system may not show it yet",
    ProofLevel.WRITTEN: "the vendor says that it is written",
    ProofLevel.VERIFIED: "the practice's system, read after the write, shows it",
}
EXCLUSIVE = {
    Exclusive.ENFORCED: "the vendor refuses overlaps",
    Exclusive.CHECKED: "every overlapping appointment was read: this one is alone",
    Exclusive.UNKNOWN: "nothing shows that nobody else has the time",
}
DONE = {"book": "Booked", "reschedule": "Moved", "cancel": "Cancelled", "register": "Registered"}


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr; wide where nobody's terminal says how wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        width=None if stream.isatty() else PIPED_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not stream.isatty(),
    )


@contextmanager
def progress(text: str) -> Iterator[None]:
    """Say what is being waited for, on a terminal, once it takes more than a second."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.status import Status

    status = Status(text, console=console(stderr=True))
    late = threading.Timer(1.0, status.start)
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()
        late.join()
        status.stop()


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = False) -> None:
    """Print rows under headings."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    console(stderr=stderr).print(made)


def span(start: datetime | None, end: datetime | None, zone: tzinfo) -> str:
    """A stretch of time as a clock in `zone` shows it, the zone's abbreviation behind it."""
    if start is None or end is None:
        return "no time"
    begins, ends = start.astimezone(zone), end.astimezone(zone)
    last = f"{ends:%H:%M}" if ends.date() == begins.date() else f"{ends:%a %d %b %H:%M}"
    return f"{begins:%a %d %b %Y, %H:%M} to {last} {ends.tzname()}"


def show_slots(
    found: Listing[Slot], shown: tuple[Slot, ...], zone: tzinfo, *, tokens: bool
) -> None:
    """Print what a search found. "None" is said only where everything was read (law 1)."""
    out = console()
    total, partly = len(found.items), not found.complete
    if found.none:
        out.print("There is no free slot: everything that was asked for was read.")
    elif not total:
        out.print("No free slot was seen, but not everything could be read: there may be some.")
    else:
        counted = f"{total} free slot{'s' if total != 1 else ''}"
        said = f"{counted}, and perhaps others" if partly else counted
        out.print(f"{said}; the first {len(shown)} seen:" if len(shown) < total else f"{said}:")
        _slot_table(shown, zone)
    if tokens:
        for number, slot in enumerate(shown, 1):
            out.print(f"{number} {slot.token}", soft_wrap=True)
    _show_missing(found.missing)


def _show_missing(what: tuple[Missing, ...]) -> None:
    for missing in what:
        name = f" {missing.id}" if missing.id else ""
        console().print(f"Not read: {missing.what.value}{name}: {missing.why}")


def show_appointments(found: Listing[Appointment], zone: tzinfo) -> None:
    """Print appointments: when, with whom, whose; not what a patient said of them."""
    out = console()
    if found.none:
        out.print("There is no appointment: everything that was asked for was read.")
    elif not found.items:
        out.print("No appointment was seen, but not everything could be read: there may be some.")
    else:
        _used_columns(
            ("appointment", "when", "status", "patient", "with", "where", "type"),
            [
                (
                    a.id,
                    span(a.start, a.end, zone),
                    a.status.value,
                    a.patient or "",
                    ", ".join(map(_named, a.resources)),
                    a.location or "",
                    _code(a.appointment_type),
                )
                for a in found
            ],
        )
    _show_missing(found.missing)


def show_hold(held: Hold, token: str, key: str, zone: tzinfo) -> None:
    """Print what is held, until when, whom it binds, and the token for it."""
    out = console()
    ends = held.expires.astimezone(zone)
    out.print(f"Held until {ends:%H:%M:%S} {ends.tzname()}: nothing is booked.")
    binds = (
        "those who book through this journal; the practice's system knows nothing of it"
        if held.emulated
        else "everybody: the practice's system itself keeps the time"
    )
    facts = (("when", span(held.slot.start, held.slot.end, zone)), ("binds", binds), ("key", key))
    for name, value in facts:
        out.print(f"  {name:<14}{value}")
    out.print(token, soft_wrap=True)


def show_match(found: Match) -> None:
    """Print whether a person is known: of one the id, of several nothing."""
    out = console()
    if found.patient is not None:
        out.print(f"One: {found.patient.id}, agreeing in {', '.join(found.agreed)}.")
    elif found.level == "many":
        out.print("Many may be meant: give more facts.")
    else:
        out.print("None: the practice knows nobody like that.")


def _slot_table(slots: tuple[Slot, ...], zone: tzinfo, *, stderr: bool = False) -> None:
    rows = [
        (
            str(number),
            span(slot.start, slot.end, zone),
            ", ".join(map(_named, slot.resources)),
            slot.location or "",
            _code(slot.appointment_type),
            slot.visit_mode.value if slot.visit_mode else "",
        )
        for number, slot in enumerate(slots, 1)
    ]
    _used_columns(("#", "when", "with", "where", "type", "how"), rows, stderr=stderr)


def _used_columns(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, stderr: bool = False
) -> None:
    """Print the table without its empty columns."""
    used = [i for i in range(len(headings)) if any(row[i] for row in rows)]
    table([headings[i] for i in used], [[row[i] for i in used] for row in rows], stderr=stderr)


def _code(type_: str | None) -> str:
    return (type_ or "").rpartition("|")[2]  # without its system


def _named(resource: Resource) -> str:
    return f"{resource.name} ({resource.id})" if resource.name else resource.id


def show_outcome(outcome: Outcome, zone: tzinfo) -> None:
    """Print what became of an intent: what may be said of it, then what it rests on."""
    out = console()
    out.print(headline(outcome))
    facts: list[tuple[str, str]] = []
    if (appointment := outcome.appointment) is not None:
        facts.append(("appointment", appointment.id))
        facts.append(("when", span(appointment.start, appointment.end, zone)))
        facts.append(("status", appointment.status.value))
        if appointment.resources:
            facts.append(("with", ", ".join(map(_named, appointment.resources))))
    if (proof := outcome.proof) is not None:
        facts.append(("proof", f"{proof.level.value}: {LEVELS[proof.level]}"))
        if outcome.verb in {"book", "reschedule"}:
            facts.append(("exclusive", f"{proof.exclusive.value}: {EXCLUSIVE[proof.exclusive]}"))
        facts.append(("compared", ", ".join(proof.compared) or "nothing"))
        if proof.uncompared:
            facts.append(("not compared", ", ".join(proof.uncompared)))
        if proof.inferred:
            facts.append(("recognised by", "patient and time, not by a marker of ours"))
    if outcome.mismatch:
        facts.append(("differs in", ", ".join(outcome.mismatch)))
    if outcome.way:
        facts.append(("way", outcome.way))
    if outcome.old_slot:
        facts.append(("old time", outcome.old_slot.value))
    facts.append(("as of", outcome.as_of.astimezone(zone).isoformat(timespec="seconds")))
    if outcome.key:
        facts.append(("key", outcome.key))
    for name, value in facts:
        out.print(f"  {name:<14}{value}")


def headline(outcome: Outcome) -> str:
    """What may be said of an outcome, in one sentence."""
    done = DONE.get(outcome.verb, outcome.verb)
    if outcome.since:
        later = f" to {outcome.since_appointment}" if outcome.since_appointment else ""
        return f"{done}, and {outcome.since}{later} since."
    if outcome.failure is not None:
        return f"Refused ({outcome.failure.code}): {outcome.failure.message}."
    if outcome.old_standing:
        return f"{done}, but the old appointment still stands: it is retried by `openslot recover`."
    if outcome.confirmed:
        return f"{done}: confirmed."
    if outcome.mismatch:
        return "Requested: the practice's record differs from what was asked; a person must look."
    if outcome.level is ProofLevel.VERIFIED:
        return "Requested: it is in the schedule, but perhaps not the patient's alone."
    if outcome.settled:
        return "Requested: this practice's system does not show enough to call it confirmed."
    return f"Requested: not settled yet (state: {outcome.state.value}); do not send it again."


def show_error(error: OpenSlotError) -> None:
    """Print an error as one sentence on stderr."""
    console(stderr=True).print(f"openslot: {error}", style="bold red")


def show_alternatives(error: SlotTaken, zone: tzinfo) -> None:
    """Print, on stderr, what is free instead of a slot that is taken."""
    if error.alternatives:
        console(stderr=True).print("Taken; free a moment ago:")
        _slot_table(error.alternatives, zone, stderr=True)
