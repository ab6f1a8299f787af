"""Practices of one's own to run the command against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command import Command
from openslot_connectors.fhir.sandbox import Sandbox


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A folder without settings."""
    monkeypatch.delenv("OPENSLOT_CONFIG", raising=False)
    return Command(tmp_path)


@pytest.fixture
def local(bare: Command) -> Command:
    """A practice with a clinic file of its own."""
    database = str(bare.folder / "clinic.db")
    bare.toml("local", {"database": database, "synthetic": 1}, test=True)
    return bare


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """The FHIR sandbox, not yet served."""
    made = Sandbox(seed=1)
    yield made
    made.close()


@pytest.fixture
def fhir(bare: Command, sandbox: Sandbox) -> Iterator[Command]:
    """A practice with a FHIR server, spoken to over HTTP."""
    with sandbox.serve() as url:
        bare.toml("fhir-r4", sandbox.settings(url))
        yield bare
