"""Records a connector's session, and plays it again with nothing but the file."""

from __future__ import annotations

import asyncio
import json
import platform
import secrets as random_
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, entry_points, packages_distributions, version
from pathlib import Path
from typing import Any

from openslot.practice import Practice
from openslot.registry import CONNECTORS, load_connector
from openslot.testing.cassettes.clinic import small_clinic
from openslot.testing.cassettes.clock import TapeClock
from openslot.testing.cassettes.file import Cassette, Provenance
from openslot.testing.cassettes.network import no_network
from openslot.testing.cassettes.scenarios import Options, Scenario, Stage, scenario_named
from openslot.testing.cassettes.tape import Mismatch, recording, replaying
from openslot.testing.cassettes.veil import SECRET, Veil
from openslot.testing.cassettes.vendor import rules_for

__all__ = [
    "CLOCK",
    "PRACTICE",
    "Played",
    "record",
    "record_sandbox",
    "replay",
    "replayed_practice",
    "settings_plain",
    "versions_of",
]

CLOCK = datetime(2027, 3, 10, 14, tzinfo=UTC)
"""Where the clock of a recording stands: a Wednesday morning in New York, days before its clocks
change."""
PRACTICE = "cassette"
PRIVATE_KEY = "{private key}"
DIRECTORY = "{directory}"
# Public on purpose: it makes the markers of a recording the same on every machine.
_SIGNING_KEY = "a signing key for recordings, which guards nothing at all"


@dataclass(frozen=True, slots=True)
class Played:
    """What a session came to: a line for each step, and how many interactions it took."""

    session: tuple[str, ...]
    interactions: int


def record(
    path: Path,
    *,
    connector: str,
    settings: Mapping[str, Any],
    answered_by: str,
    scenario: str = "desk",
    options: Options | None = None,
    zone: str = "America/New_York",
    clock: datetime = CLOCK,
    seed: int = 1,
    waits: bool = False,
    directory: Path = Path(),
) -> Played:
    """Play a scenario against a server and write the cassette; nothing is written if it fails.

    `settings` are a practice's, secrets by reference (relative to `directory`). `waits` makes the
    session's pauses last, for a server that takes its time. Raises CassetteError, ConfigError.
    """
    script, options = scenario_named(scenario), options or Options()
    practice = Practice(PRACTICE, connector, zone, settings, directory=directory, test=True)
    model = practice.validated(load_connector(connector).Settings)
    provenance = Provenance(
        answered_by=answered_by,
        recorded=datetime.now(UTC).date(),
        connector=connector,
        scenario=scenario,
        zone=zone,
        clock=clock,
        seed=seed,
        settings=settings_plain(model),
        options=options.plain(),
        versions=versions_of(connector),
    )
    told: list[str] = []
    veil, listed = Veil.of(model), rules_for(connector).listed
    with recording(path, provenance, veil, listed, told) as tape:
        stage = _play(script, practice, provenance, options, waits=waits)
        told.extend(stage)
    return Played(tuple(told), len(tape))


def record_sandbox(
    path: Path, name: str, *, scenario: str = "desk", options: Options | None = None, seed: int = 1
) -> Played:
    """Record a connector against its own sandbox, with a small clinic and a clock that stands."""
    from openslot.testing.sandbox import SandboxClock, load_sandbox

    box = load_sandbox(name)(
        seed=seed,
        clock=SandboxClock(CLOCK),
        populate=lambda clinic: small_clinic(clinic, seed=seed),
    )
    try:
        with box.serve() as url:
            return record(
                path,
                connector=name,
                settings=box.settings(url),
                answered_by=f"sandbox {name}",
                scenario=scenario,
                options=options,
                zone=box.zone,
                seed=seed,
            )
    finally:
        box.close()


def replay(path: Path) -> Played:
    """Play a cassette's session with the network blocked.

    Raises Mismatch where the session asks for something else than was recorded, leaves something
    unasked, or comes to something else; CassetteError for a file that cannot be played.
    """
    cassette = Cassette.load(path)
    provenance = cassette.provenance
    script = scenario_named(provenance.scenario)
    with replayed_practice(provenance) as practice:
        model = practice.validated(load_connector(provenance.connector).Settings)
        listed = rules_for(provenance.connector).listed
        with no_network(), replaying(path, cassette, Veil.of(model), listed) as tape:
            options = Options.read(provenance.options)
            session = tuple(_play(script, practice, provenance, options, waits=False))
    for number, (was, now) in enumerate(zip(cassette.session, session, strict=False), 1):
        if was != now:
            raise Mismatch(f"{path.name}: step {number} came to {now!r}, recorded was {was!r}")
    if len(cassette.session) != len(session):
        raise Mismatch(
            f"{path.name}: the session has {len(session)} steps, recorded were"
            f" {len(cassette.session)}"
        )
    return Played(session, len(tape))


@contextmanager
def replayed_practice(provenance: Provenance) -> Iterator[Practice]:
    """The practice of a recording, its address made up anew and its secrets made of nothing.

    The address is another each time, so that no token of an earlier replay is found again.
    """
    origin = f"https://replay-{random_.token_hex(4)}.invalid"
    with tempfile.TemporaryDirectory(prefix="openslot-replay-") as folder:
        settings = _filled(provenance.settings, origin, folder)
        yield Practice(
            PRACTICE, provenance.connector, provenance.zone, settings, directory=Path(folder)
        )


def versions_of(connector: str) -> dict[str, str]:
    """The versions that a recording depends on."""
    import openslot

    found = {e.name: e for e in entry_points(group=CONNECTORS)}
    module = found[connector].module.partition(".")[0] if connector in found else ""
    owner = (packages_distributions().get(module) or ["openslot"])[0]
    return {
        "openslot": openslot.__version__,
        "connector": f"{connector} of {owner} {_version(owner)}",
        "python": platform.python_version(),
        "vcrpy": _version("vcrpy"),
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _play(
    script: Scenario, practice: Practice, provenance: Provenance, options: Options, *, waits: bool
) -> list[str]:
    async def session(folder: Path) -> list[str]:
        (folder / "signing").write_text(_SIGNING_KEY, "utf-8")
        clock = TapeClock(provenance.clock, waits=waits)
        kept = Practice(
            PRACTICE,
            practice.connector,
            practice.zone,
            practice.settings,
            signing_key=f"file:{folder / 'signing'}",
            directory=practice.directory,
            test=True,
        )
        connector = kept.open(clock=clock)
        async with connector:
            stage = Stage(connector, kept, clock, provenance.seed, options)
            await script(stage)
        return stage.told

    with tempfile.TemporaryDirectory(prefix="openslot-cassette-") as folder:
        return asyncio.run(session(Path(folder)))


def settings_plain(model: Any) -> dict[str, Any]:
    """The settings that were given, as a file may hold them: what is private by placeholder."""
    veil = Veil.of(model)
    plain = _plain(model, veil)
    assert isinstance(plain, dict)
    base, origin = veil.places["{base_url}"], veil.places["{origin}"]
    # `{base_url}` would be said of itself.
    plain["base_url"] = "{origin}" + base.removeprefix(origin)
    plain.pop("ca_file", None)
    return plain


def _plain(value: Any, veil: Veil) -> Any:
    if hasattr(type(value), "model_fields"):
        given = {n: getattr(value, n) for n in sorted(value.model_fields_set)}
        if "kind" in type(value).model_fields:
            given["kind"] = value.kind
        return {n: _plain(v, veil) for n, v in given.items() if v is not None}
    if hasattr(value, "get_secret_value"):
        return PRIVATE_KEY if _is_private_key(value.get_secret_value()) else SECRET
    if isinstance(value, Path):
        return DIRECTORY
    if isinstance(value, list | tuple):
        return [_plain(v, veil) for v in value]
    if isinstance(value, str):
        return veil.hide("", value)
    return value if isinstance(value, bool | int | float) else str(value)


def _is_private_key(secret: Any) -> bool:
    text = str(secret).strip()
    if text.startswith("-----BEGIN"):
        return True
    try:
        return isinstance(json.loads(text), dict) and "kty" in text
    except ValueError:
        return False


def _filled(value: Any, origin: str, folder: str) -> Any:
    if isinstance(value, dict):
        rsa = str(value.get("algorithm", "")).startswith("RS")
        return {
            k: _throwaway_key(rsa=rsa) if v == PRIVATE_KEY else _filled(v, origin, folder)
            for k, v in value.items()
        }
    if isinstance(value, list):
        return [_filled(v, origin, folder) for v in value]
    if value == DIRECTORY:
        return folder
    if isinstance(value, str) and value.startswith("{origin"):
        placeholder, _, rest = value.partition("}")
        # Other servers of the practice (of tokens, say) get hosts of their own.
        number = sum(placeholder.encode()) if placeholder != "{origin" else 0
        host = origin.replace("replay-", f"replay-{number}-") if number else origin
        return host + rest
    return value


def _throwaway_key(*, rsa: bool) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric import rsa as rsa_

    key = rsa_.generate_private_key(65537, 2048) if rsa else ec.generate_private_key(ec.SECP384R1())
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
