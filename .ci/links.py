"""Checks that every relative link and anchor in the project's Markdown pages leads somewhere."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\[[^\]]*\]\(<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def pages() -> list[Path]:
    """Every page of ours: not those of hidden folders or of installed packages."""
    found = ROOT.rglob("*.md")
    return sorted(
        page
        for page in found
        if not any(
            part.startswith(".") or part == "node_modules" for part in page.relative_to(ROOT).parts
        )
    )


def anchors(page: Path) -> set[str]:
    """The anchors that a code host gives to the headings of ``page``."""
    names: set[str] = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text("utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        name, count = slug, 0
        while name in names:
            count += 1
            name = f"{slug}-{count}"
        names.add(name)
    return names


def broken(page: Path) -> list[str]:
    """One sentence for each link of ``page`` that leads nowhere."""
    problems = []
    for target in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text("utf-8")))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        goal = (page.parent / path).resolve() if path else page
        if not goal.is_relative_to(ROOT) or not goal.exists():
            problems.append(f"{page.relative_to(ROOT)}: no such file: {target}")
        elif anchor and goal.suffix == ".md" and anchor not in anchors(goal):
            problems.append(f"{page.relative_to(ROOT)}: no such heading: {target}")
    return problems


def main() -> int:
    """Print what is broken; 1 if anything is."""
    read = pages()
    problems = [problem for page in read for problem in broken(page)]
    print(
        "\n".join(problems)
        if problems
        else f"{len(read)} pages, every relative link leads somewhere"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
