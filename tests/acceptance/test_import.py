"""`import openslot` is light: what is heavy is loaded by whoever needs it, when they need it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "import_time.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("import_time", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_importing_openslot_loads_nothing_heavy(benchmark: ModuleType) -> None:
    version, modules = benchmark.loaded()
    assert version
    assert benchmark.heavy(modules) == []


@pytest.mark.parametrize("name", ["httpx", "pydantic", "fhir.resources.R4B", "sqlalchemy"])
def test_the_benchmark_would_see_it(benchmark: ModuleType, name: str) -> None:
    assert benchmark.heavy(["openslot", name])
