"""The three systems that the same tests run against, each behind the same few questions.

A target is a practice's own system: `local` (a clinic in a file), `fhir-sandbox` (the clinic as a
FHIR R4 server over HTTP), `medplum` (somebody else's FHIR R4 server). What a test wants to know of
the truth it asks the target, which never looks through our connectors.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from acceptance.child import OffsetClock
from acceptance.plan import NOW, Plan
from peers.medplum import start_medplum

from openslot import Location, Practice, Practitioner, Slot, SlotStatus
from openslot.clinic import Clinic, VisitType, WeeklyHours
from openslot.practice import Rules
from openslot.testing.sandbox import SandboxClock
from openslot_connectors.fhir.sandbox import Sandbox

NAMES = ("local", "fhir-sandbox", "medplum")
STANDING = frozenset({"booked", "pending", "arrived", "checked-in", "fulfilled"})
SYSTEM = "https://practice.example/visit-type"


@dataclass(frozen=True)
class Record:
    """An appointment as the system itself has it."""

    id: str
    status: str
    patient: str
    start: datetime

    @property
    def stands(self) -> bool:
        """Whether it takes time."""
        return self.status in STANDING


class Target(ABC):
    """A practice's own system."""

    name: str
    connector: str

    def __init__(self) -> None:
        self.plan = Plan()
        self.offset = (NOW - datetime.now(NOW.tzinfo)).total_seconds()
        self.clock = OffsetClock(self.offset)

    @abstractmethod
    def seed(self, plan: Plan) -> None:
        """Empty it, and fill it as planned."""

    @abstractmethod
    def settings(self, *, page_size: int | None = None) -> dict[str, Any]:
        """The connector's settings. `page_size` means something only where there are pages."""

    @abstractmethod
    def records(self) -> list[Record]:
        """Every appointment in the system, cancelled ones included."""

    @abstractmethod
    def offers(self, slot: Slot) -> bool:
        """Whether the system itself shows this slot as free."""

    def practice(self, *, page_size: int | None = None, rules: Rules | None = None) -> Practice:
        """The practice, as its settings file would describe it."""
        return Practice(
            "acceptance",
            self.connector,
            self.plan.zone,
            self.settings(page_size=page_size),
            rules or Rules(),
        )

    def described(self, **settings: Any) -> dict[str, Any]:
        """What another process needs to open a desk of its own on it."""
        return {
            "connector": self.connector,
            "zone": self.plan.zone,
            "settings": self.settings() | settings,
            "offset": self.offset,
        }

    def standing(self, *, start: datetime | None = None, patient: str | None = None) -> list[str]:
        """Ids of the standing appointments with this start, or of this patient."""
        return [
            r.id
            for r in self.records()
            if r.stands
            and (start is None or r.start == start)
            and (patient is None or r.patient == patient)
        ]


def fill_clinic(clinic: Clinic, plan: Plan) -> None:
    """Set a clinic up as planned."""
    length = timedelta(minutes=plan.minutes)
    with clinic.transaction():
        clinic.add_location(Location("main", "Example Practice", plan.zone))
        for who in plan.practitioners:
            clinic.add_practitioner(Practitioner(who, f"Practitioner {who}"))
            hours = tuple(
                WeeklyHours(day.weekday(), a, b, day, day)
                for day in plan.dates
                for a, b in plan.hours
            )
            clinic.set_hours(who, "main", hours)
        horizon = timedelta(days=3650)
        clinic.add_type(VisitType("visit", "Visit", length, step=length, horizon=horizon))
        for patient in plan.patients:
            clinic.create_patient(patient)


class Local(Target):
    """A clinic in a file, spoken to by `local`."""

    name = "local"
    connector = "local"

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory
        self._numbers = itertools.count(1)
        self._path = directory / "clinic-0.db"

    def seed(self, plan: Plan) -> None:
        self.plan = plan
        self._path = self._directory / f"clinic-{next(self._numbers)}.db"
        with Clinic(self._path, clock=self.clock) as clinic:
            fill_clinic(clinic, plan)

    def settings(self, *, page_size: int | None = None) -> dict[str, Any]:
        return {"database": str(self._path)}

    def records(self) -> list[Record]:
        with Clinic(self._path, clock=self.clock) as clinic:
            found = clinic.appointments()
        assert all(a.start for a in found)
        return [Record(a.id, a.status.value, a.patient or "", a.start) for a in found if a.start]

    def offers(self, slot: Slot) -> bool:
        assert slot.id is not None
        with Clinic(self._path, clock=self.clock) as clinic:
            return clinic.opening(slot.id).slot.status is SlotStatus.FREE


class Fhir(Target):
    """A FHIR R4 server, spoken to by `fhir-r4`; its truth is read over HTTP by this class alone."""

    connector = "fhir-r4"

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.raw = httpx.Client(base_url=url, timeout=30, trust_env=False)

    def settings(self, *, page_size: int | None = None) -> dict[str, Any]:
        paged = {} if page_size is None else {"page_size": page_size}
        return {"base_url": self.url, "max_connections": 5} | paged

    def all(self, type_: str) -> list[dict[str, Any]]:
        """Every resource of a type."""
        found: list[dict[str, Any]] = []
        url: str | None = f"{self.url}/{type_}?_count=1000"
        while url is not None:
            bundle = self.raw.get(url).raise_for_status().json()
            found += [e["resource"] for e in bundle.get("entry", [])]
            links = {link["relation"]: link["url"] for link in bundle.get("link", [])}
            url = links.get("next")
        return [r for r in found if r["resourceType"] == type_]

    def records(self) -> list[Record]:
        return [self._record(raw) for raw in self.all("Appointment")]

    def offers(self, slot: Slot) -> bool:
        return bool(self.raw.get(f"/Slot/{slot.id}").raise_for_status().json()["status"] == "free")

    def _record(self, raw: dict[str, Any]) -> Record:
        actors = [p["actor"]["reference"] for p in raw["participant"]]
        patient = next(a.partition("/")[2] for a in actors if a.startswith("Patient/"))
        return Record(raw["id"], raw["status"], patient, datetime.fromisoformat(raw["start"]))


class FhirSandbox(Fhir):
    """Our own FHIR server, over HTTP."""

    name = "fhir-sandbox"

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        super().__init__(url)
        self.sandbox = sandbox
        sandbox.clock.advance(timedelta(seconds=self.offset))

    def settings(self, *, page_size: int | None = None) -> dict[str, Any]:
        return super().settings(page_size=page_size) | {"refuses_overlaps": True}

    def seed(self, plan: Plan) -> None:
        self.plan = plan
        self.sandbox.reset()

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[FhirSandbox]:
        """The server in a thread of this process, its clinic filled by the plan of the moment."""
        target: list[FhirSandbox] = []

        def populate(clinic: Clinic) -> None:
            fill_clinic(clinic, target[0].plan if target else Plan())

        sandbox = Sandbox(populate=populate, clock=SandboxClock())
        try:
            with sandbox.serve() as url:
                target.append(cls(sandbox, url))
                with target[0].raw:
                    yield target[0]
        finally:
            sandbox.close()


class Medplum(Fhir):
    """The independent FHIR server."""

    name = "medplum"

    def seed(self, plan: Plan) -> None:
        self.plan = plan
        self.raw.post(str(self.raw.base_url.join("/__reset"))).raise_for_status()
        visit = {"coding": [{"system": SYSTEM, "code": "visit", "display": "Visit"}]}
        self._put("Location", "main", name="Example Practice", status="active")
        self._put("HealthcareService", "visit", active=True, name="Visit", type=[visit])
        for number, patient in enumerate(plan.patients, 1):
            assert patient.name and patient.birth_date
            self._put(
                "Patient",
                f"pat-{number}",
                active=True,
                name=[{"family": patient.name.family, "given": list(patient.name.given)}],
                birthDate=patient.birth_date.isoformat(),
                telecom=[{"system": c.system.value, "value": c.value} for c in patient.telecom],
            )
        starts = list(plan.starts())
        for who in plan.practitioners:
            self._put("Practitioner", who, active=True, name=[{"text": f"Practitioner {who}"}])
            actors = [{"reference": f"Practitioner/{who}"}, {"reference": "Location/main"}]
            self._put("Schedule", f"{who}-main", active=True, serviceType=[visit], actor=actors)
            for start in starts:
                end = start.astimezone(NOW.tzinfo) + timedelta(minutes=plan.minutes)
                self._put(
                    "Slot",
                    f"{who}-{int(start.timestamp())}",
                    schedule={"reference": f"Schedule/{who}-main"},
                    status="free",
                    start=start.isoformat(),
                    end=end.astimezone(start.tzinfo).isoformat(),
                    serviceType=[visit],
                )

    def add_slot(self, slot: Slot, later: timedelta) -> None:
        """A free Slot of the same Schedule that begins `later` and overlaps the given one."""
        raw = self.raw.get(f"/Slot/{slot.id}").raise_for_status().json()
        moved = {k: raw[k] for k in ("schedule", "status", "serviceType")}
        ends = {"start": slot.start + later, "end": slot.end + later}
        self._put("Slot", f"{slot.id}-late", **moved, **{k: v.isoformat() for k, v in ends.items()})

    def _put(self, type_: str, id_: str, **members: Any) -> None:
        document = {"resourceType": type_, "id": id_, **members}
        self.raw.put(f"/{type_}/{id_}", json=document).raise_for_status()

    @classmethod
    @contextmanager
    def started(cls, *, together_ms: int = 0) -> Iterator[Medplum]:
        """The server in a process of its own."""
        with start_medplum(together_ms=together_ms) as url:
            target = cls(url)
            with target.raw:
                yield target


@contextmanager
def started(name: str, directory: Path, *, together_ms: int = 0) -> Iterator[Target]:
    """The target of this name, running and empty."""
    if name == "local":
        yield Local(directory)
    elif name == "fhir-sandbox":
        with FhirSandbox.started() as sandbox:
            yield sandbox
    else:
        with Medplum.started(together_ms=together_ms) as medplum:
            yield medplum
