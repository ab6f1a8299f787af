"""Runs the conformance suite on every connector of ours and writes what it came to beside this.

python docs/conformance/run.py [NAME ...]     (make conformance)

A record is of the code that was there when it was written. Connectors run on their sandboxes;
`fhir-r4-medplum` is `fhir-r4` on the independent FHIR server of the tests, which needs Node.
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from peers.medplum import HERE as MEDPLUM_HOME  # noqa: E402
from peers.medplum import node_available  # noqa: E402

from openslot import __version__, connector_names, load_connector  # noqa: E402
from openslot.testing.suite.record import record  # noqa: E402
from openslot.testing.suite.report import Result, Verdict, run_suite, suite_of  # noqa: E402

PEER = "fhir-r4-medplum"


def main() -> int:
    """Run those named, or all; exit with 1 where anything is broken."""
    software = {"openslot": __version__, "python": platform.python_version()}
    software |= {name: version(name) for name in ("httpx", "pydantic")}
    broken = 0
    for name in sys.argv[1:] or (*connector_names(), PEER):
        if name == PEER:
            reason = node_available()
            if reason is not None:
                print(f"{PEER}: left as it is: {reason}")
                continue
            from suite.test_medplum import TestMedplum

            lock = json.loads((MEDPLUM_HOME / "package-lock.json").read_text(encoding="utf-8"))
            router = lock["packages"]["node_modules/@medplum/fhir-router"]["version"]
            peer = {"@medplum/fhir-router": router}
            against = "Medplum's FHIR router, in memory"
            broken += _write(PEER, "fhir-r4", against, run_suite(TestMedplum), software | peer)
        else:
            results = run_suite(suite_of(name))
            broken += _write(name, name, "its sandbox", results, software)
    return 1 if broken else 0


def _write(
    name: str, connector: str, against: str, results: tuple[Result, ...], software: dict[str, str]
) -> int:
    made: dict[str, Any] = record(load_connector(connector), against, results, software)
    text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
    (HERE / f"{name}.json").write_text(text, encoding="utf-8")
    told = ", ".join(f"{n} {verdict}" for verdict, n in made["counts"].items())
    print(f"{name}: {told}, in {made['seconds']:.0f} s")
    return int(made["counts"].get(Verdict.BROKEN.value, 0))


if __name__ == "__main__":
    raise SystemExit(main())
