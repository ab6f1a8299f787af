"""The page about the clinic is tested code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from openslot.clinic import Clinic
from openslot.model import AppointmentStatus

PAGE = Path(__file__).parents[2] / "docs" / "clinic.md"


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(code, str(PAGE), "exec"), {})
    with Clinic("clinic.db") as clinic:
        (appointment,) = clinic.by_intent("call-17")
    assert appointment.status is AppointmentStatus.BOOKED
