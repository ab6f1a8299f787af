"""Records the cassettes of tests/cassettes anew: python tests/cassette_tests/record_set.py

The sandbox answers, and the independent FHIR server of the tests (which needs Node).
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

TESTS = Path(__file__).resolve().parent.parent
SET = TESTS / "cassettes"
ZONE = "America/New_York"
VISIT = {"coding": [{"system": "https://practice.example/visit-type", "code": "visit"}]}


def medplum_version() -> str:
    """The release of the independent server, as its lock pins it."""
    lock = json.loads((TESTS / "peers" / "medplum" / "package-lock.json").read_text("utf-8"))
    return str(lock["packages"]["node_modules/@medplum/fhir-router"]["version"])


def seed_medplum(url: str) -> None:
    """A practitioner, a place, and four slots on the Monday that the sessions look at."""
    from openslot.clinic.synthetic import synthetic_names

    given, family = synthetic_names(1)[0].split(" ")
    first = datetime(2027, 3, 15, 9, tzinfo=ZoneInfo(ZONE))
    half = timedelta(minutes=30)
    with httpx.Client(base_url=url, headers={"content-type": "application/fhir+json"}) as client:

        def create(resource: dict[str, Any]) -> str:
            answer = client.post(f"/{resource['resourceType']}", json=resource)
            answer.raise_for_status()
            return f"{resource['resourceType']}/{answer.json()['id']}"

        practitioner = create(
            {"resourceType": "Practitioner", "name": [{"family": family, "given": [given]}]}
        )
        location = create({"resourceType": "Location", "name": "Sample Clinic"})
        schedule = create(
            {
                "resourceType": "Schedule",
                "active": True,
                "actor": [{"reference": practitioner}, {"reference": location}],
            }
        )
        for number in range(4):
            create(
                {
                    "resourceType": "Slot",
                    "status": "free",
                    "schedule": {"reference": schedule},
                    "serviceType": [VISIT],
                    "start": (first + number * half).isoformat(),
                    "end": (first + (number + 1) * half).isoformat(),
                }
            )


def main() -> None:
    """Record each scenario from both servers."""
    from peers.medplum import start_medplum

    from openslot.testing.cassettes import record, record_sandbox

    for scenario in ("contract", "desk"):
        path = SET / "fhir-r4" / f"sandbox-{scenario}.yaml"
        played = record_sandbox(path, "fhir-r4", scenario=scenario)
        print(path.name, played.interactions, "interactions", path.stat().st_size, "bytes")
        with start_medplum() as url:
            seed_medplum(url)
            path = SET / "fhir-r4" / f"medplum-{scenario}.yaml"
            played = record(
                path,
                connector="fhir-r4",
                settings={"base_url": url},
                answered_by=f"live: Medplum FHIR router {medplum_version()}",
                scenario=scenario,
                waits=True,
            )
        print(path.name, played.interactions, "interactions", path.stat().st_size, "bytes")
        print(*(f"  {line}" for line in played.session), sep="\n")


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    main()
