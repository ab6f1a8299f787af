"""One customer: which connector, which zone, which rules, and where its secrets come from.

    [practices.riverside]
    connector = "fhir-r4"
    zone = "America/New_York"

    [practices.riverside.settings]
    base_url = "https://fhir.riverside.example/r4"
    client_secret = "env:RIVERSIDE_SECRET"

    [practices.riverside.rules]
    confirm_unproven = false

A secret stands in the file by reference only: `env:NAME`, `file:PATH` (relative to the file that
names it) or `keyring:SERVICE/NAME`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, available_timezones

from openslot.errors import ConfigError
from openslot.model.time import zone_named
from openslot.registry import load_connector, nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from openslot.clock import Clock
    from openslot.connector import Connector

__all__ = ["Practice", "Rules", "load_practices"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What a practice decides for itself, beyond what its system enforces."""

    confirm_unproven: bool = False
    """Let front ends say "confirmed" although nothing shows that the time is the patient's alone
    (`exclusive` unknown)."""
    allow_gap: bool = False
    """Where a move is not possible otherwise, cancel first and book then, at the patient's risk."""
    notify_patient: bool | None = None
    """Whether the vendor may message the patient; None leaves it to the vendor."""
    offer_seconds: float = 600.0
    """How long an offer that was read out may be taken up."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A practice's settings. `settings` are the connector's, secrets in them by reference."""

    name: str
    connector: str
    zone: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    rules: Rules = field(default_factory=Rules)
    sealing_keys: tuple[str, ...] = field(default=(), repr=False)
    """References to Fernet keys that seal slot tokens and unsettled requests; the first seals, all
    open, so that keys can be rotated. None: a generated file beside the journal."""
    signing_key: str | None = field(default=None, repr=False)
    """Reference to the key (32 random bytes or more, as text) that turns callers' keys into
    markers. It never changes while intents are unsettled. None: as above."""
    test: bool = False
    """Whether this is a test practice, on which the doctor may write."""
    directory: Path = Path()
    """What relative `file:` references start from."""

    def __post_init__(self) -> None:
        try:
            zone_named(self.zone)
        except ValueError as error:
            hint = nearest(self.zone, available_timezones())
            raise ConfigError(
                f"practice {self.name!r}: no IANA time zone is called {self.zone!r}{hint}"
            ) from error

    @property
    def zone_info(self) -> ZoneInfo:
        """The practice's time zone."""
        return zone_named(self.zone)

    def open(self, *, clock: Clock | None = None) -> Connector:
        """The connector for this practice, not yet entered.

        Raises ConfigError with one sentence for an unknown connector, an unknown or missing
        setting, or a secret that is not where its reference says.
        """
        cls = load_connector(self.connector)
        settings = self.validated(cls.Settings)
        return cls(settings, zone=self.zone_info, practice=self.name, clock=clock)

    def validated(self, model: type[BaseModel]) -> BaseModel:
        """The settings as the connector's own model, secrets resolved."""
        from pydantic import ValidationError

        try:
            settings = model.model_validate(self._resolve(self.settings, "settings"))
        except ValidationError as error:
            raise ConfigError(self._explain(error, model)) from None
        return self._anchored(settings)

    def _anchored(self, settings: BaseModel) -> BaseModel:
        """The settings with relative paths taken from where the practice is described."""
        from pydantic import BaseModel

        changes: dict[str, Any] = {}
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            if isinstance(value, Path) and not value.is_absolute():
                changes[name] = self.directory / value
            elif isinstance(value, BaseModel):
                changes[name] = self._anchored(value)
        return settings.model_copy(update=changes)

    def secret(self, reference: str) -> str:
        """The secret behind a reference. Raises ConfigError; the message never holds the secret."""
        where = f"practice {self.name!r}"
        scheme, _, rest = reference.partition(":")
        if scheme == "env" and rest:
            value = os.environ.get(rest)
            if value is None:
                raise ConfigError(
                    f"{where}: the environment variable {rest} is not set; set it, or point the "
                    f"setting at file:PATH or keyring:SERVICE/NAME"
                )
            return value
        if scheme == "file" and rest:
            try:
                return (self.directory / rest).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{where}: the secret file {rest} cannot be read") from error
        if scheme == "keyring" and "/" in rest:
            return self._from_keyring(*rest.rsplit("/", 1))
        raise ConfigError(
            f"{where}: a secret is given by reference: env:NAME, file:PATH or keyring:SERVICE/NAME"
        )

    def _from_keyring(self, service: str, name: str) -> str:
        try:
            import keyring
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"practice {self.name!r}: keyring: references need the package keyring; "
                f"install it with: pip install 'openslot[keyring]'"
            ) from error
        value: str | None = keyring.get_password(service, name)
        if value is None:
            raise ConfigError(
                f"practice {self.name!r}: the keyring has nothing under {service}/{name}"
            )
        return value

    def resolved(self) -> dict[str, Any]:
        """The settings as they stand, with the secrets in place of their references."""
        return {k: self._resolve(v, f"settings.{k}") for k, v in self.settings.items()}

    def _resolve(self, value: Any, path: str) -> Any:
        if isinstance(value, Mapping):
            return {k: self._resolve(v, f"{path}.{k}") for k, v in value.items()}
        if isinstance(value, list):
            return [self._resolve(v, path) for v in value]
        if isinstance(value, str) and value.startswith(("env:", "file:", "keyring:")):
            return self.secret(value)
        return value

    def _explain(self, error: ValidationError, model: type[BaseModel]) -> str:
        known = tuple(model.model_fields)
        said = []
        for item in error.errors(include_input=False, include_url=False)[:3]:
            path = ".".join(str(p) for p in item["loc"])
            last = str(item["loc"][-1]) if item["loc"] else ""
            if item["type"] == "extra_forbidden":
                hint = nearest(last, known) or f"; it knows: {', '.join(known)}"
                said.append(f"there is no setting {path!r}{hint}")
            elif item["type"] == "missing":
                said.append(f"the setting {path!r} is missing")
            else:
                said.append(f"{path or 'the settings'}: {item['msg']}")
        return f"practice {self.name!r}, connector {self.connector!r}: " + "; ".join(said)


def load_practices(path: str | Path) -> dict[str, Practice]:
    """The practices of an `openslot.toml`, by name.

    Raises ConfigError with one sentence that says what to write instead.
    """
    path = Path(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no file {path}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    _refuse_unknown(document, ("practices",), str(path))
    practices = document.get("practices", {})
    if not isinstance(practices, dict) or not practices:
        raise ConfigError(f"{path} describes no practice; write a table [practices.NAME]")
    return {name: _practice(name, table, path.parent) for name, table in practices.items()}


_KEYS = ("connector", "zone", "settings", "rules", "sealing_keys", "signing_key", "test")


def _practice(name: str, table: Any, directory: Path) -> Practice:
    where = f"practice {name!r}"
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is not a table")
    _refuse_unknown(table, _KEYS, where)
    for key in ("connector", "zone"):
        if not isinstance(table.get(key), str):
            raise ConfigError(f'{where}: {key} is missing; write {key} = "..."')
    settings = table.get("settings", {})
    if not isinstance(settings, dict):
        raise ConfigError(f"{where}: settings is not a table")
    _refuse_plain_secrets(settings, where, table["connector"])
    keys = table.get("sealing_keys", [])
    if not (isinstance(keys, list) and all(isinstance(k, str) for k in keys)):
        raise ConfigError(f'{where}: sealing_keys is a list of references, like ["env:SEAL_KEY"]')
    signing_key = table.get("signing_key")
    if not (signing_key is None or isinstance(signing_key, str)):
        raise ConfigError(f'{where}: signing_key is a reference, like "env:SIGNING_KEY"')
    return Practice(
        name=name,
        connector=table["connector"],
        zone=table["zone"],
        settings=settings,
        rules=_rules(table.get("rules", {}), where),
        sealing_keys=tuple(keys),
        signing_key=signing_key,
        test=table.get("test", False) is True,
        directory=directory,
    )


def _rules(table: Any, where: str) -> Rules:
    if not isinstance(table, dict):
        raise ConfigError(f"{where}: rules is not a table")
    known = {f.name: f for f in fields(Rules)}
    _refuse_unknown(table, tuple(known), f"{where}, rules")
    for key, value in table.items():
        number = key == "offer_seconds"
        if number is not (isinstance(value, int | float) and not isinstance(value, bool)):
            kind = "a number" if number else "true or false"
            raise ConfigError(f"{where}, rules: {key} is {kind}")
    rules = Rules(**table)
    if timedelta(seconds=rules.offer_seconds) <= timedelta(0):
        raise ConfigError(f"{where}, rules: offer_seconds must be more than nothing")
    return rules


def _refuse_unknown(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in table:
        if key not in known:
            hint = nearest(key, known) or f"; it knows: {', '.join(known)}"
            raise ConfigError(f"{where}: there is no key {key!r}{hint}")


def _refuse_plain_secrets(settings: Mapping[str, Any], where: str, connector: str) -> None:
    """A secret that stands in the file itself is refused before anything else is said of it."""
    model = load_connector(connector).Settings
    for path in _plain_secrets(model, settings):
        raise ConfigError(
            f"{where}: the secret {path!r} stands in the file; "
            f"write a reference: env:NAME, file:PATH or keyring:SERVICE/NAME"
        )


def _plain_secrets(model: Any, settings: Mapping[str, Any], at: str = "") -> Iterator[str]:
    from typing import get_args

    from pydantic import BaseModel, SecretStr

    for name, info in getattr(model, "model_fields", {}).items():
        value = settings.get(name)
        types = [info.annotation, *_flatten(get_args(info.annotation))]
        if isinstance(value, str):
            referenced = value.startswith(("env:", "file:", "keyring:"))
            if SecretStr in types and not referenced:
                yield at + name
        elif isinstance(value, Mapping):
            for inner in types:
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    yield from _plain_secrets(inner, value, f"{at}{name}.")


def _flatten(args: tuple[Any, ...]) -> Iterator[Any]:
    from typing import get_args

    for arg in args:
        yield arg
        yield from _flatten(get_args(arg))
