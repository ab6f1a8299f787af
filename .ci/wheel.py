"""Builds the wheel as a release would, installs it into an empty environment, and uses it there.

Seen to hold, or it fails: the wheel built from the source archive has the same files as the one
built from the tree; every tracked file under the source roots is in it; with the core dependencies
alone the package imports, the command answers and every connector loads; with all extras every
entry point of the distribution loads. Dependencies come from the lock files, by hash.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOTS = ("core", "connectors", "contrib")

LOAD = """
import importlib.metadata as metadata, sys
for point in metadata.distribution("openslot").entry_points:
    if sys.argv[1] in ("every group", point.group):
        point.load()
        print(f"  {point.group}: {point.name} = {point.value}")
"""
NO_TREE = "import openslot; print(openslot.__file__); print(openslot.__version__)"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command without our tree on its path; its output, or the end of this script."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONPATH", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        shown = " ".join(str(part) for part in command)
        sys.exit(f"failed: {shown}\n{done.stdout}{done.stderr}")
    return done.stdout.rstrip()


def build(tree: Path, kind: str, into: Path) -> Path:
    """Build the ``sdist`` or ``wheel`` of ``tree``; the file."""
    run(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", into, cwd=tree)
    (built,) = into.iterdir()
    return built


def files(wheel: Path) -> set[str]:
    """The names in a wheel, without its metadata."""
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if ".dist-info/" not in name}


def tracked() -> set[str]:
    """The names that the wheel must have: whatever is committed under the source roots."""
    if not (ROOT / ".git").exists():
        return set()
    listed = run("git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", *ROOTS, cwd=ROOT)
    paths = [name for name in listed.split("\0") if name and (ROOT / name).exists()]
    return {name.partition("/")[2] for name in paths}


def main() -> None:
    """Build, compare, install, load."""
    with tempfile.TemporaryDirectory(prefix="openslot-wheel-") as name:
        work = Path(name)
        wheel = build(ROOT, "wheel", work / "wheel")
        with tarfile.open(build(ROOT, "sdist", work / "sdist")) as archive:
            archive.extractall(work / "tree", filter="data")
        (tree,) = (work / "tree").iterdir()
        if odd := files(wheel) ^ files(build(tree, "wheel", work / "again")):
            sys.exit(f"only in one of the wheels from the tree and from the sdist: {sorted(odd)}")
        if lost := tracked() - files(wheel):
            sys.exit(f"committed, and not in the wheel (does .gitignore match it?): {sorted(lost)}")
        print(f"{wheel.name}: {len(files(wheel))} files, {wheel.stat().st_size // 1024} KiB")

        empty = work / "empty"
        venv.create(empty, with_pip=True)
        python = empty / "bin" / "python"
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "install")
        run(*pip, "--require-hashes", "-r", ROOT / "requirements/run.txt", cwd=work)
        run(*pip, "--no-deps", "--no-index", wheel, cwd=work)
        where, version = run(python, "-c", NO_TREE, cwd=work).split("\n")
        if not Path(where).is_relative_to(empty):
            sys.exit(f"not the wheel was imported, but {where}")
        said = run(empty / "bin" / "openslot", "--version", cwd=work)
        if version not in said or version not in wheel.name:
            sys.exit(f"versions differ: {wheel.name}, __version__ {version}, command: {said}")
        print(f"empty environment, core dependencies: {said}")
        print(run(python, "-c", LOAD, "openslot.connectors", cwd=work))

        run(*pip, "--require-hashes", "-r", ROOT / "requirements/test.txt", cwd=work)
        print("with every extra:")
        print(run(python, "-c", LOAD, "every group", cwd=work))
        run(python, "-m", "pip", "check", cwd=work)


if __name__ == "__main__":
    main()
