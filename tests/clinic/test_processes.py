"""Several processes on one file, and processes that die."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clinic.support import slot, small_clinic

from openslot.clinic import synthetic_clinic
from openslot.model import AppointmentStatus

HERE = Path(__file__).parent
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[subprocess.Popen[str]] = []

    def start(mode: str = "race") -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), str(tmp_path / "clinic.db"), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])},
        )
        running.append(worker)
        return worker

    yield start
    for worker in running:
        worker.kill()
        worker.communicate()


def tell(worker: subprocess.Popen[str], line: str) -> None:
    assert worker.stdin is not None
    worker.stdin.write(line + "\n")
    worker.stdin.flush()


def hear(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline().strip()


def test_eight_processes_one_slot(start: Start, tmp_path: Path) -> None:
    """They even create the file together; then one wins each slot, twenty times over."""
    workers = [start() for _ in range(8)]
    assert [hear(worker) for worker in workers] == ["ready"] * 8
    quarters = [(9 + n // 2, n % 2 * 30) for n in range(16)] + [(9, 0), (10, 0), (11, 0), (12, 0)]
    for number, (hour, minute) in enumerate(quarters):
        opening = slot(hour, minute, day=8 + number // 16)
        for rank, worker in enumerate(workers):
            tell(worker, f"{number}-{rank} {opening} pat-{1 + rank % 2}")
        answers = sorted(hear(worker).split()[0] for worker in workers)
        assert answers == ["taken"] * 7 + ["won"]
    with small_clinic(tmp_path / "clinic.db") as clinic:
        assert len(clinic.appointments()) == len(quarters)
        assert len(clinic.practitioners()) == 2


def test_eight_processes_one_intent(start: Start, tmp_path: Path) -> None:
    """The same intent from eight processes at once is one appointment, and all are told which."""
    workers = [start() for _ in range(8)]
    assert {hear(worker) for worker in workers} == {"ready"}
    for worker in workers:
        tell(worker, f"same {slot(10)} pat-1")
    assert len({hear(worker) for worker in workers}) == 1
    with small_clinic(tmp_path / "clinic.db") as clinic:
        assert len(clinic.appointments()) == 1


def test_killed_in_the_middle_of_a_booking(start: Start, tmp_path: Path) -> None:
    """Everything is written but the commit: nothing of it stands, and the same intent is free."""
    path = tmp_path / "clinic.db"
    victim = start("pause")
    assert hear(victim) == "ready"
    tell(victim, f"one {slot(10)} pat-1")
    assert hear(victim) == "inside"
    victim.kill()
    victim.wait()
    with small_clinic(path) as clinic:
        assert clinic.appointments() == ()
        assert clinic.by_intent("one") == ()
        booked = clinic.book(slot(10), "pat-2", intent="one")
        assert booked.status is AppointmentStatus.BOOKED
    assert sound(path)


def test_killed_at_any_time(start: Start, tmp_path: Path) -> None:
    """What was answered stands; what was not answered stands whole or not at all."""
    path = tmp_path / "clinic.db"
    small_clinic(path).close()
    rng = random.Random(7)
    answered: dict[str, str] = {}
    asked: set[str] = set()
    openings = [slot(9 + n // 2, n % 2 * 30, day=day) for day in range(8, 13) for n in range(16)]
    for _ in range(5):
        victim = start()
        assert hear(victim) == "ready"
        batch = [o for o in openings if o not in asked][:14]
        asked |= set(batch)
        for opening in batch:
            tell(victim, f"{opening} {opening} pat-1")
        for opening in batch[: rng.randrange(len(batch))]:
            answered[opening] = hear(victim).removeprefix("won ")
        victim.kill()
        victim.wait()
    with small_clinic(path) as clinic:
        stands = {a.slots[0]: a.id for a in clinic.appointments()}
        assert stands.items() >= answered.items()
        assert stands.keys() <= asked
        for opening in asked - answered.keys():
            clinic.book(opening, "pat-1", intent=opening)  # the same key, sent again
        assert {a.slots[0] for a in clinic.appointments()} == asked
        assert len(clinic.appointments()) == len(asked)
    assert sound(path)


def sound(path: Path) -> bool:
    """Whether SQLite finds the file whole and every appointment has exactly its time."""
    db = sqlite3.connect(path)
    whole = db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    owners = db.execute("SELECT owner FROM taken ORDER BY 1").fetchall()
    appointments = db.execute("SELECT id FROM appointment ORDER BY 1").fetchall()
    keys = db.execute("SELECT record FROM intent ORDER BY 1").fetchall()
    db.close()
    return whole and owners == appointments == keys


def test_the_synthetic_clinic_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    from clinic.support import Clock

    def content(seed: int, path: str | Path = ":memory:") -> tuple[object, ...]:
        with synthetic_clinic(path, seed=seed, clock=Clock()) as clinic:
            people = tuple(clinic.get_patient(f"pat-{n}") for n in range(1, 51))
            for person in people:
                for value in (c.value for c in person.telecom):
                    assert value.startswith("+1 212 555 01") or value.endswith("@example.org")
            return people, clinic.appointments(), clinic.practitioners()

    first = content(1, tmp_path / "a.db")
    assert first == content(1) == content(1, tmp_path / "a.db")
    assert first != content(2)
    assert len(first[1]) > 100  # type: ignore[arg-type]
