"""Fills the generated parts of our pages: examples, the connector matrix, conformance, faults.

python docs/readme.py          writes them
python docs/readme.py --check  fails where they are out of date

That a record of conformance is of older code is shown on its page and told by --check, and fails
nothing: a change to a connector need not wait for a run of the suite.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from openslot import Claim, connector_names, load_connector
from openslot.connector import VERBS
from openslot.testing.faults import KINDS

OLD = "> **Out of date:**"
"""How a line begins that says of a record that the code has changed since."""
ROOT = Path(__file__).resolve().parent.parent
MARKS = {Claim.YES: "●", Claim.NO: "○", Claim.UNPROVEN: ""}
VERDICTS = {"broken": "✗", "expected": "◐", "kept": "●", "not applicable": "-"}
"""The mark of a law and verb, the worst verdict of its checks first."""
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


def conformance() -> str:
    """Law by verb, what the suite's last recorded run came to, for each record."""
    parts = []
    for path in sorted((ROOT / "docs" / "conformance").glob("*.json")):
        parts += [*_record(path.stem, json.loads(path.read_text(encoding="utf-8"))), ""]
    return "\n".join(parts).rstrip()


def _record(name: str, made: dict[str, Any]) -> list[str]:
    from openslot.testing.suite.record import code_hash

    counts = ", ".join(f"{n} {verdict}" for verdict, n in made["counts"].items())
    software = ", ".join(f"{k} {v}" for k, v in made["software"].items())
    lines = [
        f"## {name}",
        "",
        f"`{made['connector']}` against {made['against']}, {made['date']}: {counts}, in "
        f"{made['seconds']:.0f} s. Suite version {made['suite_version']}; {software}.",
        "",
    ]
    if made["code"] != code_hash(load_connector(made["connector"])):
        lines += [f"{OLD} the connector's code has changed since; `make conformance` runs it.", ""]
    cells = {(c["law"], c["verb"]): c for c in made["matrix"]}
    laws = sorted({law for law, _ in cells})
    lines += ["| verb | " + " | ".join(map(str, laws)) + " |", "|---|" + ":-:|" * len(laws)]
    for verb in ("all", *VERBS):
        row = [_mark(cells.get((law, verb), {})) for law in laws]
        if any(row):
            lines.append(f"| {verb} | " + " | ".join(row) + " |")
    for title, key in (("Broken", "broken"), ("Expected to fail", "expected")):
        if made[key]:
            lines += ["", f"{title}:", ""]
            lines += [f"- `{check}`: {reason}" for check, reason in made[key].items()]
    lines += ["", "Not applicable:", ""]
    grouped: dict[str, list[str]] = {}
    for check, reason in made["not_applicable"].items():
        grouped.setdefault(reason, []).append(check)
    lines += [f"- {reason}: {len(checks)}" for reason, checks in grouped.items()]
    return lines


def _mark(cell: dict[str, Any]) -> str:
    return next((mark for verdict, mark in VERDICTS.items() if verdict in cell), "")


TABLES: dict[str, Callable[[], str]] = {
    "matrix": matrix,
    "conformance": conformance,
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


def _undated(page: str) -> str:
    """A page without what says that a record is old."""
    return re.sub(rf"^{re.escape(OLD)}.*\n\n", "", page, flags=re.MULTILINE)


def main() -> int:
    """Write, or with --check compare."""
    stale = 0
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        wanted = filled(text)
        if text == wanted:
            continue
        name = path.relative_to(ROOT)
        if "--check" in sys.argv and _undated(text) == _undated(wanted):
            print(f"{name}: a record is not of the current code; make conformance renews it")
        elif "--check" in sys.argv:
            stale = 1
            print(f"{name} is out of date; run: python docs/readme.py", file=sys.stderr)
        else:
            path.write_text(wanted, encoding="utf-8")
    return stale


if __name__ == "__main__":
    raise SystemExit(main())
