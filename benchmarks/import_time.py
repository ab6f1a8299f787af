"""How long `import openslot` takes, and that it loads nothing heavy.

Each figure is a process of its own, started as often as RUNS says; the interpreter's own start is
measured beside it and taken off. Exits with 1 where a heavy library is loaded.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

RUNS = 15
HEAVY = ("httpx", "pydantic", "fhir.resources", "sqlalchemy")
"""What only connectors, the journal and validation need, and load when they need it."""

ALL = "import openslot; [getattr(openslot, name) for name in openslot.__all__]"
"""Everything that it exports, which is looked up on first use."""

REPORT = "; import json, sys; print(json.dumps([openslot.__version__, sorted(sys.modules)]))"


def loaded() -> tuple[str, list[str]]:
    """The version, and the names of all modules that are loaded once every export is in hand."""
    done = subprocess.run([sys.executable, "-c", ALL + REPORT], capture_output=True, check=True)
    version, modules = json.loads(done.stdout)
    return version, modules


def heavy(modules: list[str]) -> list[str]:
    """The heavy libraries among them."""
    return [name for name in HEAVY if any(m == name or m.startswith(f"{name}.") for m in modules)]


def milliseconds(program: str) -> float:
    """The median time that a process takes for this program."""
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def main() -> int:
    """Print the figures."""
    version, modules = loaded()
    bare, light, whole = (milliseconds(p) for p in ("pass", "import openslot", ALL))
    print(f"import openslot {version}: {light - bare:.0f} ms (python alone: {bare:.0f} ms)")
    print(f"every export looked up: {whole - bare:.0f} ms, {len(modules)} modules")
    found = heavy(modules)
    print(f"loaded, and should not be: {found}" if found else f"not loaded: {', '.join(HEAVY)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
