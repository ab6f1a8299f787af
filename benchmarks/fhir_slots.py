"""A thousand FHIR Slots, from the bytes of a search to values, against `json.loads` alone.

Prints milliseconds (the median of many runs, taken in turns) and their ratio; the promise is at
most 2.
"""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median

from openslot.model import Resource, ResourceKind, Slot, Window
from openslot.rest import Headers, Reply
from openslot_connectors.fhir.bundle import read_page
from openslot_connectors.fhir.slots import Schedule, SlotReader

START = datetime(2027, 3, 1, 9, tzinfo=UTC)
COUNT = 1000
RUNS = 200


def body() -> bytes:
    """A searchset as servers write it: ids, versions, a coded type, a fullUrl an entry."""
    entries = []
    for number in range(COUNT):
        start = START + timedelta(minutes=15 * number)
        resource = {
            "resourceType": "Slot",
            "id": f"slot-{number:06}",
            "meta": {"versionId": "1", "lastUpdated": "2027-01-01T00:00:00.000Z"},
            "serviceType": [
                {"coding": [{"system": "urn:types", "code": "check", "display": "Check-up"}]}
            ],
            "schedule": {"reference": f"Schedule/{number % 7}"},
            "status": "free",
            "start": start.isoformat(),
            "end": (start + timedelta(minutes=15)).isoformat(),
        }
        url = f"https://ehr.example/fhir/R4/Slot/slot-{number:06}"
        entries.append({"fullUrl": url, "resource": resource, "search": {"mode": "match"}})
    return json.dumps(
        {"resourceType": "Bundle", "type": "searchset", "total": COUNT, "entry": entries}
    ).encode()


def schedules() -> dict[str, Schedule]:
    """The seven Schedules that the Slots name."""
    return {
        str(n): Schedule(str(n), (Resource(ResourceKind.PRACTITIONER, f"dr-{n}"),), "loc-1")
        for n in range(7)
    }


def slots(data: bytes, known: dict[str, Schedule]) -> list[Slot]:
    """What `find_slots` does with one page."""
    page = read_page(Reply(200, Headers(), data).json(), "Slot", {"status": "free"})
    reader = SlotReader(
        Window(START, START + timedelta(days=365)),
        known,
        wanted=None,
        wanted_type=None,
        as_of=START,
        source="fhir-r4",
        base_url="https://ehr.example/fhir/R4",
    )
    reader.read(page.matches)
    return sorted(reader.slots.values(), key=lambda slot: slot.start)


def timed(work: Callable[[], object]) -> float:
    """Milliseconds of one run, of this process alone: others on the machine do not count."""
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000


def ratio(runs: int = RUNS) -> tuple[float, float]:
    """Median milliseconds of `json.loads` alone, and of bytes to Slots."""
    data, known = body(), schedules()
    assert len(slots(data, known)) == COUNT
    alone, whole = [], []
    gc.collect()
    for _ in range(runs):
        alone.append(timed(lambda: json.loads(data)))
        whole.append(timed(lambda: slots(data, known)))
    return median(alone), median(whole)


if __name__ == "__main__":
    alone, whole = ratio()
    print(
        f"{COUNT} FHIR Slots: json.loads {alone:.2f} ms, bytes to Slots {whole:.2f} ms,"
        f" ratio {whole / alone:.2f} (promised: at most 2)"
    )
