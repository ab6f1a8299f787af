"""One practitioner-year of availability: 5 days a week, 8 hours, 15-minute steps, 30-minute visits,
2,000 busy intervals. Prints the median of many runs, first with the zone's offsets known to the
process, then without.

    python benchmarks/availability.py
"""

from __future__ import annotations

import random
import statistics
import time as clock
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

from openslot.clinic import Rules, WeeklyHours, WorkPlan, availability, free_starts, open_stretches

RUNS = 200


def main() -> None:
    plan = WorkPlan(
        ZoneInfo("America/New_York"),
        tuple(WeeklyHours(day, time(9), time(17)) for day in range(5)),
    )
    start = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp())
    end = int(datetime(2028, 1, 1, tzinfo=UTC).timestamp())
    rng = random.Random(1)
    cells = [
        cell for low, high in open_stretches(plan, start, end) for cell in range(low, high, 1800)
    ]
    busy = [(cell, cell + 1800) for cell in rng.sample(cells, 2000)]
    rules = Rules(duration=1800, step=900)

    def run() -> float:
        before = clock.perf_counter()
        free_starts(plan, rules, busy, start, end)
        return (clock.perf_counter() - before) * 1000

    found = len(free_starts(plan, rules, busy, start, end))
    warm = [run() for _ in range(RUNS)]
    cold = []
    for _ in range(RUNS):
        availability._offsets_of_piece.cache_clear()
        cold.append(run())
    print(
        f"one practitioner-year: {statistics.median(warm):.2f} ms "
        f"({statistics.median(cold):.2f} ms the first time in a zone), "
        f"{found} free starts, {len(busy)} busy intervals in random order, median of {RUNS}; "
        "goal: under 3 ms"
    )


if __name__ == "__main__":
    main()
