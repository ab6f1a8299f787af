import asyncio
from datetime import UTC, datetime, timedelta

from openslot import Desk, Practice, SlotQuery, SlotTaken, Window

PRACTICE = Practice(
    "demo", "local", "America/New_York", settings={"database": "clinic.db", "synthetic": 1}
)


async def main() -> str:
    now = datetime.now(UTC)
    async with Desk(PRACTICE) as desk:
        found = await desk.find_slots(SlotQuery(Window(now, now + timedelta(days=7)), "follow-up"))
        try:
            outcome = await desk.book(found.items[0], "pat-1", key="call-0042")
        except SlotTaken as taken:
            return f"taken; free instead: {[str(s.start) for s in taken.alternatives]}"
        return "booked" if outcome.confirmed else "requested"


if __name__ == "__main__":
    print(asyncio.run(main()))
