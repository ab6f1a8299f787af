"""docs/sandboxes.md says what there is; its tables of faults are generated and compared there."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from openslot.testing.faults import KINDS, Fault
from openslot.testing.sandbox import CONTROL, Manners
from openslot.testing.walls import WALL_TIMES
from sandbox.brook import brook

PAGE = (Path(__file__).parents[2] / "docs" / "sandboxes.md").read_text(encoding="utf-8")


def test_every_fault_option_and_manner_is_on_the_page() -> None:
    rows = set(re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE))
    manners = {f.name for f in fields(brook.BrookManners)}
    assert {f.name for f in fields(Manners)} < manners
    assert rows == KINDS.keys() | manners
    assert [f.name for f in fields(Fault)[1:] if f"`{f.name}" not in PAGE] == []
    assert [name for name in WALL_TIMES if f"`{name}`" not in PAGE] == []
    assert CONTROL in PAGE


def test_every_fault_that_the_page_writes_is_one() -> None:
    written = [
        *re.findall(r"--fault ([\w-]+:\S+?)`", PAGE),
        *(text for text in re.findall(r'[`"(]([\w-]+:\w+=[^`"\s]+)[`"]', PAGE)),
    ]
    assert len(written) >= 6
    for text in written:
        Fault.parse(text)
