"""A cassette as a file: provenance first, what the session was told, then the interactions."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from openslot.testing.cassettes.interaction import Interaction

__all__ = ["Cassette", "CassetteError", "Provenance"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LARGEST = 32 * 1024 * 1024


class CassetteError(Exception):
    """A cassette that cannot be recorded, read or played; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who answered, when, to which versions, and what it takes to play the session again.

    `answered_by` is `sandbox NAME`, `live: SOFTWARE VERSION` or `vendor docs`. `settings` are the
    connector's, addresses and secrets as placeholders; `options` the scenario's.
    """

    answered_by: str
    recorded: date
    connector: str
    scenario: str
    zone: str
    clock: datetime
    seed: int
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """The provenance as it stands in a file."""
        return {
            "answered_by": self.answered_by,
            "recorded": self.recorded.isoformat(),
            "connector": self.connector,
            "scenario": self.scenario,
            "options": self.options,
            "zone": self.zone,
            "clock": self.clock.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "seed": self.seed,
            "settings": self.settings,
            "versions": self.versions,
        }

    @classmethod
    def read(cls, plain: Any) -> Provenance:
        """The provenance as it stands in a file. Raises CassetteError naming what is missing."""
        if not isinstance(plain, dict):
            raise CassetteError("provenance is missing: record the cassette again")
        try:
            clock = datetime.fromisoformat(str(plain["clock"]))
            if clock.tzinfo is None:
                raise ValueError("clock needs an offset")
            return cls(
                answered_by=str(plain["answered_by"]),
                recorded=date.fromisoformat(str(plain["recorded"])),
                connector=str(plain["connector"]),
                scenario=str(plain["scenario"]),
                zone=str(plain["zone"]),
                clock=clock,
                seed=int(plain["seed"]),
                settings=dict(plain["settings"]),
                options=dict(plain["options"]),
                versions={str(k): str(v) for k, v in dict(plain["versions"]).items()},
            )
        except KeyError as error:
            raise CassetteError(f"provenance lacks {error.args[0]}") from None
        except (ValueError, TypeError) as error:
            raise CassetteError(f"provenance cannot be read: {error}") from None


@dataclass(frozen=True, slots=True)
class Cassette:
    """A recording: its provenance, a line for each step of the session, the interactions."""

    provenance: Provenance
    interactions: tuple[Interaction, ...]
    session: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path) -> Cassette:
        """The cassette in a file. Raises CassetteError."""
        document = _document(path)
        try:
            return cls(
                provenance=Provenance.read(document.get("provenance")),
                interactions=tuple(Interaction.read(i) for i in document.get("interactions") or ()),
                session=tuple(str(s) for s in document.get("session") or ()),
            )
        except (ValueError, TypeError) as error:
            raise CassetteError(f"{path} is no cassette: {error}") from None
        except CassetteError as error:
            raise CassetteError(f"{path}: {error}") from None

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        text = yaml.dump(
            {
                "provenance": self.provenance.plain(),
                "session": list(self.session),
                "interactions": [i.plain() for i in self.interactions],
                "version": 1,
            },
            Dumper=_Dumper,
            sort_keys=False,
            allow_unicode=True,
            width=10_000,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
            raise


def _document(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise CassetteError(f"{path} is larger than {_LARGEST} bytes")
        document = yaml.load(path.read_text("utf-8"), Loader=_LOADER)  # noqa: S506 (a safe loader)
    except FileNotFoundError:
        raise CassetteError(f"there is no cassette {path}: record it first") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CassetteError(f"{path} cannot be read") from error
    except yaml.YAMLError as error:
        raise CassetteError(f"{path} is not YAML: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("interactions"), list):
        raise CassetteError(f"{path} is no cassette: it has no list of interactions")
    return document


_BREAKS = "\r\x85\u2028\u2029\ufeff"


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Blocks for texts of several lines, nothing by reference, lists indented below their name."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _represent_text(dumper: yaml.SafeDumper, text: str) -> Any:
    style = "|" if "\n" in text else None
    if any(c in text for c in _BREAKS):
        style = '"'  # elsewhere a reader would take them for line ends
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
