"""A process of its own with the clinic's file open: books what standard input names.

python worker.py FILE race      a line `INTENT OPENING PATIENT` in, `won` or `taken` out
python worker.py FILE pause     the same, but stops for good in the middle of the booking
"""

from __future__ import annotations

import sys
import time
from typing import Any

from clinic.support import small_clinic

from openslot.clinic import Clinic
from openslot.errors import SlotTaken


def say(text: str) -> None:
    print(text, flush=True)


def main(path: str, mode: str) -> None:
    clinic = small_clinic(path)
    if mode == "pause":

        def stop(self: Clinic, *args: Any) -> None:
            say("inside")
            time.sleep(3600)

        Clinic._recorded = stop  # type: ignore[method-assign, assignment]
    say("ready")
    for line in sys.stdin:
        intent, opening, patient = line.split()
        try:
            booked = clinic.book(opening, patient, intent=intent)
        except SlotTaken:
            say("taken")
        else:
            say(f"won {booked.id}")


if __name__ == "__main__":
    main(*sys.argv[1:])
