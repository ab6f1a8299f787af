"""What the packaging promises, as far as it can be seen without building anything."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([a-z0-9-]+)==([^ ;\\]+)", re.MULTILINE)


def pins(name: str) -> dict[str, list[str]]:
    """The locked versions by project; some have one version for each range of Pythons."""
    found: dict[str, list[str]] = {}
    for project, version in PIN.findall((ROOT / "requirements" / name).read_text("utf-8")):
        found.setdefault(project, []).append(version)
    return found


def wanted(lines: list[str | dict[str, str]]) -> list[Requirement]:
    """Requirements from pyproject.toml, leaving out references to the project's own extras."""
    read = [Requirement(line) for line in lines if isinstance(line, str)]
    return [requirement for requirement in read if requirement.name != "openslot"]


def test_the_locks_satisfy_what_the_project_asks_for():
    core = wanted(PROJECT["project"]["dependencies"])
    extras = [
        line for lines in PROJECT["project"]["optional-dependencies"].values() for line in lines
    ]
    groups = PROJECT["dependency-groups"]
    asked = {
        "run.txt": core,
        "test.txt": core + wanted(extras + groups["test"]),
        "dev.txt": core + wanted(extras + groups["test"] + groups["lint"]),
    }
    assert [lock.name for lock in LOCKS] == sorted(asked)
    for lock, requirements in asked.items():
        locked = pins(lock)
        for requirement in requirements:
            versions = locked.get(canonicalize_name(requirement.name), [])
            assert versions, f"{lock} lacks {requirement}: run `make lock`"
            assert all(requirement.specifier.contains(v) for v in versions), (
                f"{lock}: {requirement}"
            )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_pin_has_hashes_and_no_lock_names_an_index(lock):
    text = lock.read_text("utf-8")
    assert "://" not in text
    assert "index-url" not in text
    for entry in re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]


def test_the_smaller_locks_agree_with_the_larger():
    larger = pins("dev.txt")
    for lock in ("run.txt", "test.txt"):
        assert pins(lock).items() <= larger.items()


def test_all_brings_every_other_extra():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = (Requirement(line) for line in extras["all"])
    assert everything.extras == set(extras) - {"all"}


@pytest.mark.parametrize("package", ["openslot", "openslot_connectors", "openslot_contrib"])
def test_each_package_says_that_it_is_typed(package):
    (root,) = (
        name for name in ("core", "connectors", "contrib") if (ROOT / name / package).exists()
    )
    assert (ROOT / root / package / "py.typed").is_file()


def test_the_version_comes_from_one_place():
    import openslot

    assert "version" not in PROJECT["project"]
    assert metadata.version("openslot") == openslot.__version__


def test_every_entry_point_loads():
    points = metadata.distribution("openslot").entry_points
    assert {point.name for point in points if point.group == "openslot.connectors"} >= {
        "local",
        "fhir-r4",
    }
    for point in points:
        assert point.load() is not None, point


def test_nothing_is_imported_by_the_name_of_a_folder():
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert {"core", "connectors", "contrib"} <= banned.keys()


def test_git_never_ignores_the_source_roots():
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert not [rule for rule in rules if re.search("core|connectors|contrib", rule)]
