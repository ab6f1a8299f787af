"""What is wrong with a cassette, before anybody else sees it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openslot.errors import ConfigError, OpenSlotError
from openslot.testing.cassettes.body import grouped
from openslot.testing.cassettes.fhir import fhir_problems
from openslot.testing.cassettes.file import Cassette, CassetteError
from openslot.testing.cassettes.interaction import Interaction, Listed
from openslot.testing.cassettes.people import People, people_in
from openslot.testing.cassettes.run import replay
from openslot.testing.cassettes.secrets import secrets_in
from openslot.testing.cassettes.tape import MOST, Mismatch
from openslot.testing.cassettes.vendor import Rules, rules_for

__all__ = ["Finding", "cassettes_below", "check"]

SUFFIXES = (".yaml", ".yml", ".json")
TEST = "test: "
"""How the scenario of a cassette begins that a test records and plays, not a scenario of ours."""
_ANSWERED_BY = re.compile(r"sandbox [a-z0-9][a-z0-9-]*|live: \S.* \S+|vendor docs")
_VERSIONS = ("openslot", "connector", "python", "vcrpy")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: in which file, where in it, and what. Values are not repeated."""

    path: Path
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.path}: {self.where}: {self.what}"


def cassettes_below(paths: Iterable[Path]) -> list[Path]:
    """The files given, and every cassette in the folders given, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = (p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
            found += sorted(p for p in below if not p.name.startswith("."))
        else:
            found.append(path)
    return found


def check(path: Path, *, play: bool = True) -> list[Finding]:
    """Everything that is wrong with the cassette in a file, played (the network blocked) or not."""
    try:
        cassette = Cassette.load(path)
        rules = rules_for(cassette.provenance.connector)
    except CassetteError as error:
        return [Finding(path, "file", str(error))]
    found = [Finding(path, where, what) for where, what in _wrong(cassette, rules)]
    if play and not cassette.provenance.scenario.startswith(TEST):
        found += [Finding(path, "replay", what) for what in _unplayable(path)]
    return found


def _unplayable(path: Path) -> Iterator[str]:
    try:
        replay(path)
    except (Mismatch, CassetteError) as error:
        yield str(error)
    except ConfigError as error:
        yield f"the connector cannot be opened: {error}"
    except OpenSlotError as error:
        yield f"the session ended in {error.code}: {error}"


def _wrong(cassette: Cassette, rules: Rules) -> Iterator[tuple[str, str]]:
    provenance = cassette.provenance
    if not _ANSWERED_BY.fullmatch(provenance.answered_by):
        yield (
            "provenance.answered_by",
            "is none of `sandbox NAME`, `live: SOFTWARE VERSION` and `vendor docs`",
        )
    for name in _VERSIONS:
        if not provenance.versions.get(name):
            yield f"provenance.versions.{name}", "is missing"
    if len(cassette.interactions) > MOST:
        yield "interactions", f"are {len(cassette.interactions)}, more than {MOST}"
    if not cassette.interactions:
        yield "interactions", "are none"
    yield from _secret(provenance.plain(), "provenance", "")
    yield from _secret(list(cassette.session), "session", "")
    people = People(provenance.seed, rules.people)
    for number, interaction in enumerate(cassette.interactions, 1):
        for where, what in _of_interaction(interaction, rules, people, provenance.answered_by):
            yield f"interaction {number}, {where}", what


def _of_interaction(
    interaction: Interaction, rules: Rules, people: People, answered_by: str
) -> Iterator[tuple[str, str]]:
    sent, answered = interaction.request, interaction.response
    yield from _headers(interaction, rules.listed)
    parts: list[tuple[str, Any]] = [
        ("request.url", sent.url),
        ("request.query", grouped(sent.query)),
        ("request.headers", grouped(sent.headers)),
        ("response.headers", grouped(answered.headers)),
    ]
    for side, body in (("request", sent.body), ("response", answered.body)):
        value = body.value
        if body.kind == "form":
            value = grouped(body.value)
        elif body.kind == "base64":
            value = body.data().decode("latin-1")
        parts.append((f"{side}.body", value))
    for where, value in parts:
        yield from _secret(value, where, "")
        for path, what in people_in(value, people):
            yield _joined(where, path), what
    for side, body in (("request", sent.body), ("response", answered.body)):
        if body.kind == "json":
            for path, what in fhir_problems(
                body.value, answered_by=answered_by, deviations=rules.deviations
            ):
                yield _joined(f"{side}.body", path), what


def _headers(interaction: Interaction, listed: Listed) -> Iterator[tuple[str, str]]:
    for side, headers, names in (
        ("request", interaction.request.headers, listed.request),
        ("response", interaction.response.headers, listed.response),
    ):
        for name, _ in headers:
            if name.lower() not in names:
                yield f"{side}.headers.{name}", "is no header that a cassette may hold"


def _secret(value: Any, path: str, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for member, inner in value.items():
            yield from ((_joined(path, "a name"), what) for what in secrets_in("", str(member)))
            yield from _secret(inner, _joined(path, str(member)), str(member))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _secret(inner, f"{path}[{index}]", name)
    elif isinstance(value, str):
        yield from ((path, what) for what in secrets_in(name, value))


def _joined(path: str, more: str) -> str:
    return f"{path}{'' if more.startswith('[') or not more else '.'}{more}"
