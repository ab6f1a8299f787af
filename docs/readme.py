"""Fills the generated parts of our pages: the examples, the connector matrix, the faults.

python docs/readme.py          writes them
python docs/readme.py --check  fails where they are out of date
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

from openslot import Claim, connector_names, load_connector
from openslot.connector import VERBS
from openslot.testing.faults import KINDS

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


def faults(of: str) -> str:
    """The table of the faults of a call, a webhook or a landing."""
    rows = [["fault", "what it does"], ["---", "---"]]
    rows += [[f"`{kind.name}`", kind.what] for kind in KINDS.values() if kind.of == of]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


TABLES: dict[str, Callable[[], str]] = {
    "matrix": matrix,
    "faults of calls": lambda: faults("call"),
    "faults of webhooks": lambda: faults("webhook"),
    "faults of landings": lambda: faults("landing"),
}


def filled(text: str) -> str:
    """A page with its generated parts made anew."""
    text = re.sub(
        rf"(<!-- ({'|'.join(TABLES)}) -->\n).*?(<!-- /\2 -->)",
        lambda m: f"{m[1]}{TABLES[m[2]]()}\n{m[3]}",
        text,
        flags=re.DOTALL,
    )
    return re.sub(
        r"```(\w+) file=(\S+)\n.*?```",
        lambda m: f"```{m[1]} file={m[2]}\n{(ROOT / m[2]).read_text(encoding='utf-8')}```",
        text,
        flags=re.DOTALL,
    )


def main() -> int:
    """Write, or with --check compare."""
    stale = 0
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        wanted = filled(text)
        if text == wanted:
            continue
        if "--check" in sys.argv:
            stale = 1
            name = path.relative_to(ROOT)
            print(f"{name} is out of date; run: python docs/readme.py", file=sys.stderr)
        else:
            path.write_text(wanted, encoding="utf-8")
    return stale


if __name__ == "__main__":
    raise SystemExit(main())
