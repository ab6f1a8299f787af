"""openslot.toml: one clear sentence for everything that can be wrong in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from openslot import ConfigError, Practice, connector_names, load_connector, load_practices
from openslot.errors import OpenSlotError, leaves

GOOD = """
[practices.riverside]
connector = "fhir-r4"
zone = "America/New_York"
test = true
[practices.riverside.settings]
base_url = "https://fhir.riverside.example/r4"
[practices.riverside.rules]
allow_gap = true
"""


def load(tmp_path: Path, text: str) -> dict[str, Practice]:
    path = tmp_path / "openslot.toml"
    path.write_text(text, encoding="utf-8")
    return load_practices(path)


def test_a_practice_is_read(tmp_path: Path) -> None:
    (practice,) = load(tmp_path, GOOD).values()
    assert (practice.name, practice.connector, practice.test) == ("riverside", "fhir-r4", True)
    assert practice.rules.allow_gap
    assert not practice.rules.confirm_unproven
    assert str(practice.zone_info) == "America/New_York"
    assert practice.open().practice == "riverside"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("zone =", "zon ="), "no key 'zon'; did you mean 'zone'"),
        (("America/New_York", "America/New_Yrok"), "did you mean 'America/New_York'"),
        (('"fhir-r4"', '"fhir-r5"'), "no connector is called 'fhir-r5'; did you mean 'fhir-r4'"),
        (('connector = "fhir-r4"\n', ""), "connector is missing"),
        (("allow_gap", "alow_gap"), "did you mean 'allow_gap'"),
        (("allow_gap = true", "allow_gap = 1"), "allow_gap is true or false"),
        (("[practices.riverside.rules]", "[practices.riverside.rule]"), "did you mean 'rules'"),
        (("[practices.riverside]", "[practice.riverside]"), "did you mean 'practices'"),
        (("= true", "= tru"), "is not TOML"),
    ],
)
def test_a_mistake_is_named_with_what_to_write_instead(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    assert change[0] in GOOD
    with pytest.raises(ConfigError, match=r".+") as caught:
        load(tmp_path, GOOD.replace(*change))
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("base_url", "base_ulr"), "did you mean 'base_url'"),
        (("https://fhir.riverside.example/r4", "riverside"), "base_url"),
    ],
)
def test_a_wrong_setting_is_named_when_the_practice_opens(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    (practice,) = load(tmp_path, GOOD.replace(*change)).values()
    with pytest.raises(ConfigError) as caught:
        practice.open()
    assert says in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load_practices(tmp_path / "openslot.toml")


def secret(tmp_path: Path, reference: str) -> str:
    return Practice("p", "local", "UTC", directory=tmp_path).secret(reference)


def test_secrets_come_by_reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "from-env")
    (tmp_path / "key").write_text("from-file\n", encoding="utf-8")
    assert secret(tmp_path, "env:A_KEY") == "from-env"
    assert secret(tmp_path, "file:key") == "from-file"
    for reference, says in (
        ("env:NO_KEY", "NO_KEY is not set"),
        ("file:no-key", "no-key cannot be read"),
        ("hunter2", "by reference"),
        ("keyring:no-slash", "by reference"),
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            secret(tmp_path, reference)
        assert "hunter2" not in str(caught.value)


def test_a_secret_in_the_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class Ring(KeyringBackend):
        priority = 1  # type: ignore[assignment]

        def get_password(self, service: str, username: str) -> str | None:
            return "from-ring" if (service, username) == ("clinic", "key") else None

        def set_password(self, service: str, username: str, password: str) -> None:
            raise AssertionError

        def delete_password(self, service: str, username: str) -> None:
            raise AssertionError

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        assert secret(tmp_path, "keyring:clinic/key") == "from-ring"
        with pytest.raises(ConfigError, match="nothing under clinic/other"):
            secret(tmp_path, "keyring:clinic/other")
    finally:
        keyring.set_keyring(before)


def test_a_secret_that_stands_in_the_file_is_refused(tmp_path: Path) -> None:
    model = load_connector("fhir-r4").Settings
    assert any("SecretStr" in str(f) for f in json_text(model)), "the connector has secrets"
    text = GOOD + '[practices.riverside.settings.auth]\nkind = "key"\nkey = "hunter2"\n'
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert "stands in the file" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def json_text(model: type) -> list[str]:
    """The annotations of a settings model and of the models inside it."""
    import typing

    from pydantic import BaseModel

    seen: list[str] = []

    def walk(annotation: object) -> None:
        seen.append(str(annotation))
        for inner in typing.get_args(annotation):
            walk(inner)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            for field in annotation.model_fields.values():
                walk(field.annotation)

    walk(model)
    return seen


def test_the_installed_connectors_are_listed_and_loaded() -> None:
    assert {"local", "fhir-r4"} <= set(connector_names())
    for name in connector_names():
        assert load_connector(name).info.name == name


def test_every_leaf_has_a_code_and_an_exit_code_of_its_own() -> None:
    found = list(leaves())
    assert len(found) == 14
    assert len({leaf.code for leaf in found}) == len({leaf.exit_code for leaf in found}) == 14
    assert all(leaf.exit_code > 2 for leaf in found)
    assert OpenSlotError("a sentence", request_id="r-1").__str__().endswith("r-1)")
    assert SecretStr  # the type that settings hold secrets in


def test_relative_paths_in_settings_start_from_the_file(tmp_path: Path) -> None:
    text = (
        '[practices.p]\nconnector = "local"\nzone = "UTC"\n'
        '[practices.p.settings]\ndatabase = "clinic.db"\n'
    )
    (practice,) = load(tmp_path, text).values()
    assert practice.open().settings.database == tmp_path / "clinic.db"
    forgetful = Practice("p", "local", "UTC", directory=tmp_path).open()
    assert forgetful.settings.database == ":memory:"


def test_a_connector_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    from openslot import registry

    broken = [
        EntryPoint("gone", "no_such_package_here:C", registry.CONNECTORS),
        EntryPoint("old", "openslot.connector:NoSuchName", registry.CONNECTORS),
        EntryPoint("odd", "openslot.connector:VERBS", registry.CONNECTORS),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: broken)
    for name, says in (
        ("gone", "needs the package 'no_such_package_here'"),
        ("old", "cannot be loaded"),
        ("odd", "does not lead to a Connector"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_connector(name)
