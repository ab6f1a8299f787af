"""The commands that a page shows, and what it says that they print.

A ```sh block is what a reader types; `exit=1` says how its last command exits, `terminal=2` that it
goes on while the reader does, `when=proofs` that only `make proofs` runs it. The ```text block
behind it holds lines of its output, in order: numbers, ids and times may differ, and `...` stands
for whatever is left of a line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Commands:
    """One block of a page. `exit` is how its last command exits; `goes_on` if it never does."""

    script: str
    shown: tuple[str, ...]
    exit: int = 0
    goes_on: bool = False
    slow: bool = False


def commands(page: Path) -> list[Commands]:
    """What a page has its reader type, in order."""
    found: list[Commands] = []
    for language, info, body in FENCE.findall(page.read_text(encoding="utf-8")):
        options = dict(part.split("=", 1) for part in info.split() if "=" in part)
        if language == "sh":
            found.append(
                Commands(
                    body,
                    (),
                    exit=int(options.get("exit", 0)),
                    goes_on=options.get("terminal") == "2",
                    slow=options.get("when") == "proofs",
                )
            )
        elif language == "text":
            lines = tuple(line for line in body.splitlines() if line.strip())
            found.append(replace(found.pop(), shown=lines))
    return found


def unlike(shown: tuple[str, ...], printed: str) -> str | None:
    """The first line shown that is not printed, behind those before it; None if all are."""
    rest = [_shape(line) for line in printed.splitlines()]
    for line in shown:
        wanted = _shape(line)
        start = wanted.removesuffix("...").rstrip() if wanted.endswith("...") else None
        for number, there in enumerate(rest):
            if there == wanted or (start is not None and there.startswith(start)):
                rest = rest[number + 1 :]
                break
        else:
            return line
    return None


def _shape(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b", "Day", line)
    line = re.sub(r"\b(E[SD]T|[A-Z][a-z]{2}(?= 20\d\d))\b", "x", line)
    line = re.sub(r"\b[a-z2-7]{32}\b", "marker", line)
    return re.sub(r"\s+", " ", re.sub(r"\d+([.,]\d+)*", "0", line)).strip()
