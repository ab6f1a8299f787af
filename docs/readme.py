"""Fills the generated parts of README.md: the examples and the connector matrix.

python docs/readme.py          writes them
python docs/readme.py --check  fails where they are out of date
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from openslot import Claim, connector_names, load_connector
from openslot.connector import VERBS

ROOT = Path(__file__).resolve().parent.parent
MARKS = {Claim.YES: "●", Claim.NO: "○", Claim.UNPROVEN: ""}
TRAITS = {
    "conflict_enforcement": "refuses overlaps",
    "idempotent_booking": "same request, one booking",
    "atomic_reschedule": "moves atomically",
    "native_hold": "holds",
    "frees_slot_on_cancel": "gives time back",
}


def matrix() -> str:
    """The table of the installed connectors."""
    head = ["connector", "speaks to", "verbs", *TRAITS.values(), "evidence"]
    rows = [head, ["---"] * len(head)]
    for name in connector_names():
        cls = load_connector(name)
        info = cls.info
        marks = [MARKS[getattr(info.traits, t)] for t in TRAITS]
        link = f"[`{name}`](docs/connectors/{name}.md)"
        count = f"{len(cls.verbs())} of {len(VERBS)}"
        rows.append([link, info.title, count, *marks, info.evidence.value])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def filled(text: str) -> str:
    """The README with its generated parts made anew."""
    text = re.sub(
        r"(<!-- matrix -->\n).*?(<!-- /matrix -->)",
        lambda m: f"{m[1]}{matrix()}\n{m[2]}",
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        r"```python file=(\S+)\n.*?```",
        lambda m: f"```python file={m[1]}\n{(ROOT / m[1]).read_text(encoding='utf-8')}```",
        text,
        flags=re.DOTALL,
    )


def main() -> int:
    """Write, or with --check compare."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    wanted = filled(text)
    if "--check" in sys.argv:
        if text != wanted:
            print("README.md is out of date; run: python docs/readme.py", file=sys.stderr)
        return int(text != wanted)
    path.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
