"""Pages whose commands a reader types: each is run, and prints what the page says it prints."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "first_connector"


def _loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


pages = _loaded(ROOT / "docs" / "pages.py")


def environment(folder: Path) -> dict[str, str]:
    """What a reader has: the commands of this environment, and nothing of our repository."""
    programs = folder / ".programs"
    programs.mkdir()
    for name, module in (("openslot", "openslot.cli"), ("pytest", "pytest")):
        program = programs / name
        program.write_text(
            f"#!{sys.executable}\nimport {module} as m\nraise SystemExit(m.main())\n"
        )
        program.chmod(0o755)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OPENSLOT", "PYTEST"))}
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "COLUMNS": "140"}


@contextmanager
def going_on(script: str, folder: Path, env: dict[str, str]) -> Iterator[str]:
    """A second terminal: the first line that its command prints."""
    command = ["bash", "-c", f"exec {script}"]
    with subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()
            process.wait(20)


def follow(name: str, folder: Path, env: dict[str, str], *, whole: bool = False) -> int:
    """Type what a page says, in its order, the slow blocks only if `whole`; how many were typed."""
    blocks = [b for b in pages.commands(ROOT / "docs" / name) if whole or not b.slow]
    ports: dict[str, str] = {}

    def free(found: re.Match[str]) -> str:
        if found[0] not in ports:
            with socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                ports[found[0]] = str(taken.getsockname()[1])
        return ports[found[0]]

    exported = ""
    with ExitStack() as terminals:
        for block in blocks:
            script = re.sub(r"\b80\d\d\b", free, block.script)  # the page's ports may be taken here
            if block.goes_on:
                printed = terminals.enter_context(going_on(script, folder, env))
                assert pages.unlike(block.shown, printed) is None, printed
                continue
            done = subprocess.run(
                ["bash", "-euc", exported + script],
                cwd=folder,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
            )
            assert done.returncode == block.exit, f"{script}\n{done.stdout}"
            lacking = pages.unlike(block.shown, done.stdout)
            assert lacking is None, f"{script}\ndid not print: {lacking}\nbut:\n{done.stdout}"
            exported += "".join(f"{e}\n" for e in re.findall(r"^export .*$", script, re.MULTILINE))
    return len(blocks)


def test_from_a_recording_to_a_reproduced_bug(tmp_path: Path) -> None:
    env = environment(tmp_path)
    assert follow("qa.md", tmp_path, env) == 9
    # The page says that the lost answer was lost, and that there is one booking all the same.
    openslot = [str(tmp_path / ".programs" / "openslot"), "outcome", "bug-17", "--json"]
    told = subprocess.run(openslot, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert '"confirmed": true' in told.stdout


@pytest.mark.slow
def test_all_of_the_bug_s_page(tmp_path: Path) -> None:
    assert follow("qa.md", tmp_path, environment(tmp_path), whole=True) == 11


@pytest.fixture
def tidewell(tmp_path: Path) -> Path:
    """The tutorial's package in a copy of its own, installed beside it as a reader would."""
    package = tmp_path / "package"
    shutil.copytree(EXAMPLE, package, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--target", f"{tmp_path}/site"]
    subprocess.run([*pip, *offline, str(package)], check=True, timeout=120)
    (package / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return package


def test_the_first_connector(tidewell: Path) -> None:
    env = {**environment(tidewell.parent), "PYTHONPATH": str(tidewell.parent / "site")}
    assert follow("first-connector.md", tidewell, env) == 4


@pytest.mark.slow
def test_all_of_the_first_connector_s_page(tidewell: Path) -> None:
    """Both of its steps pass the suite, and it is recorded and replayed."""
    env = {**environment(tidewell.parent), "PYTHONPATH": str(tidewell.parent / "site")}
    assert follow("first-connector.md", tidewell, env, whole=True) == 7


def test_the_first_connector_is_small_and_typed() -> None:
    source = (EXAMPLE / "openslot_tidewell" / "connector.py").read_text(encoding="utf-8")
    (body,) = re.findall(
        r"^class TidewellConnector.*?(?=^\S)", source[source.index("class T") :], re.S | re.M
    )
    lines = [line for line in body.splitlines() if line.strip()]
    assert len(lines) <= 45
    test = (EXAMPLE / "test_tidewell.py").read_text(encoding="utf-8")
    assert len([line for line in test.splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize(
    ("shown", "printed", "lacking"),
    [
        (("a 1 b", "c ..."), "a 22  b\nother\nc anything", None),
        (("a", "b"), "b\na\n", "b"),
        (("Mon 3 Nov 2026, 09:00 EST",), "Tue 17 May 2027, 14:15 EDT", None),
        (("booked",), "pending", "booked"),
    ],
)
def test_what_counts_as_printed(shown: tuple[str, ...], printed: str, lacking: str | None) -> None:
    assert pages.unlike(shown, printed) == lacking


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w./-]+\.md)\)", (ROOT / "README.md").read_text()))
    here = {p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").glob("*.md")}
    assert here <= linked, sorted(here - linked)
