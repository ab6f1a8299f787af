"""A connector in a package of its own: installed elsewhere, found by entry point, conformant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "third_party" / "openslot_acme"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the package, in a folder outside this tree."""
    source = tmp_path_factory.mktemp("source") / "openslot_acme"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(source)], check=True, cwd=source)
    return {**os.environ, "PYTHONPATH": str(target), "PYTEST_ADDOPTS": ""}


def test_its_author_s_test_is_fifteen_lines_and_passes(
    installed: dict[str, str], tmp_path: Path
) -> None:
    test = PACKAGE / "tests" / "test_acme.py"
    assert len(test.read_text().splitlines()) <= 15
    shutil.copy(test, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-pno:cacheprovider", "test_acme.py"],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout


def test_it_is_found_by_entry_point(installed: dict[str, str], tmp_path: Path) -> None:
    code = (
        "import json; from openslot import connector_names, load_connector;"
        "from openslot.testing.sandbox import load_sandbox;"
        "print(json.dumps([list(connector_names()), load_connector('acme').__module__,"
        "load_sandbox('acme').__module__]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    names, connector, sandbox = json.loads(run.stdout)
    assert {"acme", "local", "fhir-r4"} <= set(names)
    assert (connector, sandbox) == ("openslot_acme.connector", "openslot_acme.sandbox")
