"""What the documentation shows is run; what is generated into it is up to date."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from fastapi.testclient import TestClient

from openslot import (
    KeyReused,
    Listing,
    Outcome,
    Slot,
    SlotQuery,
    Window,
    from_json,
    load_practices,
    to_json,
)
from openslot.connector import VERBS
from openslot.registry import connector_names

ROOT = Path(__file__).resolve().parents[2]


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_the_readme_shows_the_examples_and_the_connectors_as_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "docs/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_the_ten_lines_book(elsewhere: Path) -> None:
    module = example("booking")
    assert await module.main() == "booked"
    with pytest.raises(KeyReused):
        await module.main()  # the first free slot is another one now: a new intent, a new key


def test_the_service_books_recovers_and_shuts_down(elsewhere: Path) -> None:
    (elsewhere / "openslot.toml").write_text(
        '[practices.demo]\nconnector = "local"\nzone = "America/New_York"\n'
        f'[practices.demo.settings]\ndatabase = "{elsewhere}/clinic.db"\nsynthetic = 1\n'
    )
    app = example("service").app
    now = datetime.now(UTC)
    query = to_json(SlotQuery(Window(now, now + timedelta(days=7)), "follow-up"))
    headers = {"Content-Type": "application/json"}
    with TestClient(app) as client:
        found = from_json(Listing[Slot], client.post("/slots", content=query, headers=headers).text)
        params = {"token": str(found.items[0].token), "patient": "pat-1"}
        booked = from_json(Outcome, client.put("/bookings/call-1", params=params).text)
        assert booked.confirmed
        taken = client.put("/bookings/call-2", params=params | {"patient": "pat-2"})
        assert (taken.status_code, taken.json()["code"]) == (409, "slot_taken")
    with TestClient(app) as client:  # the next process
        again = from_json(Outcome, client.get("/bookings/call-1").text)
        assert again == booked
        assert client.put("/bookings/call-1", params=params).status_code == 200
        assert client.get("/bookings/never").status_code == 409


@pytest.mark.parametrize("page", ["README.md", "docs/practices.md"])
def test_the_practices_shown_are_practices(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PRACTICE_KEY", "SEAL_KEY", "SIGNING_KEY"):
        monkeypatch.setenv(name, "k" * 43 + "=")
    blocks = re.findall(r"```toml\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        path = tmp_path / "openslot.toml"
        path.write_text(block, encoding="utf-8")
        for practice in load_practices(path).values():
            practice.open()


@pytest.mark.parametrize("name", connector_names())
def test_every_connector_has_its_page(name: str) -> None:
    page = (ROOT / "docs" / "connectors" / f"{name}.md").read_text(encoding="utf-8")
    for heading in ("What works", "What cannot", "Limits", "Credentials", "How it was verified"):
        assert f"## {heading}" in page, heading
    named = set(re.findall(r"`(\w+)`", page))
    from openslot import load_connector

    lacking = set(VERBS) - load_connector(name).verbs()
    assert lacking <= named, "what cannot be done is said by name"
