"""Everything that `check` is for is planted once, and found."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from openslot.testing.cassettes import check
from openslot.testing.cassettes import vendor as vendor_
from openslot.testing.cassettes.vendor import Deviation, Rules

GOOD = Path(__file__).resolve().parent.parent / "cassettes" / "fhir-r4" / "sandbox-contract.yaml"
DOCUMENT = json.dumps(yaml.safe_load(GOOD.read_text("utf-8")))
Plant = Callable[[dict[str, Any]], None]
JWT = ".".join(
    base64.urlsafe_b64encode(part).decode().rstrip("=")
    for part in (b'{"alg":"none"}', b'{"sub":"x"}', b"z")
)


def planted(folder: Path, plant: Plant) -> list[str]:
    document = json.loads(DOCUMENT)
    plant(document)
    path = folder / "x.yaml"
    path.write_text(json.dumps(document), "utf-8")  # JSON is YAML
    return [f"{f.where}: {f.what}" for f in check(path, play=False)]


def answer(document: dict[str, Any], of: str) -> dict[str, Any]:
    """The first answer that is a resource of this type."""
    for interaction in document["interactions"]:
        found: dict[str, Any] = interaction["response"]["body"]["json"]
        if found.get("resourceType") == of:
            return found
    raise AssertionError(of)


def patient(**more: Any) -> Plant:
    return lambda document: answer(document, "Patient").update(more)


def member(**more: Any) -> Plant:
    """In an answer that is no FHIR, as another vendor's is."""

    def plant(document: dict[str, Any]) -> None:
        document["interactions"][0]["response"]["body"] = {"json": more}

    return plant


def header(side: str, name: str, value: str) -> Plant:
    return lambda document: document["interactions"][0][side]["headers"].update({name: value})


def query(**more: str) -> Plant:
    return lambda document: document["interactions"][0]["request"].update(query=more)


def provenance(name: str, value: Any) -> Plant:
    return lambda document: document["provenance"].update({name: value})


PLANTS: list[tuple[str, Plant, str]] = [
    ("JWT", member(said=f"it is {JWT}"), "JSON Web Token"),
    ("PEM", member(said="-----BEGIN EC PRIVATE KEY-----\nabc"), "PEM"),
    ("bearer", header("request", "accept", "Bearer abcdefgh1234"), "Bearer credential"),
    ("basic", header("request", "accept", "Basic dXNlcjpwYXNzd29yZA=="), "Basic credential"),
    ("token by name", member(access_token="whatever"), "access_token holds a value"),
    ("secret in a query", query(api_key="whatever"), "api_key holds a value"),
    ("token in a link", member(next="{base_url}/x?page=2&token=whatever"), "token holds a value"),
    ("random word", member(said="x9KfLq2Zt7Vb4RmWc8YpNd3H"), "random word"),
    ("hexadecimal word", member(said="9f86d081884c7d659a2feaa0c55ad015"), "hexadecimal word"),
    ("password in a URL", member(said="https://me:word@example.org/"), "password in a URL"),
    ("secret in settings", provenance("settings", {"password": "x"}), "password holds a value"),
    ("name", patient(name=[{"family": "Garcia", "given": ["Maria"]}]), "name that we did not"),
    ("name in text", patient(name=[{"text": "Maria Garcia"}]), "name that we did not"),
    ("name of another vendor", member(firstName="Maria"), "name that we did not"),
    ("name beside a birth date", member(name="Maria Garcia", dob="1980-01-01"), "name that we"),
    ("name in a search", query(**{"family:exact": "Garcia"}), "name that we did not"),
    ("name in a link", member(url="{base_url}/Patient?family=Garcia"), "name that we did not"),
    (
        "name of a participant",
        member(actor={"reference": "Patient/1", "display": "Maria Garcia"}),
        "name that we did not",
    ),
    ("birth date alone", member(id="1", birthDate="1980-01-01"), "date of birth"),
    ("phone", patient(telecom=[{"system": "phone", "value": "2125551234"}]), "telephone"),
    ("phone of another vendor", member(mobile="212-867-5309"), "telephone"),
    ("phone in text", member(note="call (212) 867-5309 first"), "telephone"),
    ("foreign phone", member(note="call +49 30 1234567 first"), "telephone"),
    ("mail", member(note="write to maria@garcia.com"), "mail address"),
    ("mail of a look-alike", member(note="write to maria@notexample.org"), "mail address"),
    ("social security number", member(note="078-05-1120"), "social security"),
    ("street", patient(address=[{"line": ["12 Main Street"]}]), "street"),
    ("narrative", patient(text={"status": "generated", "div": "<div>x</div>"}), "narrative"),
    ("unlisted request header", header("request", "x-clinic", "1"), "no header"),
    ("unlisted answer header", header("response", "set-cookie", "{secret}"), "no header"),
    ("no provenance", lambda d: d.pop("provenance"), "provenance is missing"),
    ("provenance without a clock", lambda d: d["provenance"].pop("clock"), "lacks clock"),
    ("who answered", provenance("answered_by", "somebody"), "none of"),
    ("versions", lambda d: d["provenance"]["versions"].pop("vcrpy"), "is missing"),
    ("too many", lambda d: d.update(interactions=d["interactions"] * 5), "more than 100"),
    ("none at all", lambda d: d.update(interactions=[]), "are none"),
    ("FHIR", lambda d: answer(d, "Appointment").update(start="soon"), "Appointment: "),
    ("FHIR's own members", lambda d: answer(d, "Slot").update(colour="red"), "Slot: "),
    ("FHIR in a Bundle", lambda d: answer(d, "Bundle").update(type=7), "Bundle: "),
]


@pytest.mark.parametrize(("plant", "said"), [p[1:] for p in PLANTS], ids=[p[0] for p in PLANTS])
def test_it_is_found(tmp_path, plant, said):
    found = planted(tmp_path, plant)
    assert any(said in line for line in found), found


ALLOWED: list[tuple[str, Plant]] = [
    ("as it is", lambda d: None),
    ("ids and versions", member(id="0f8fad5b-d9cb-469f-a165-70867728950e")),
    ("a version that looks random", header("response", "etag", 'W/"x9KfLq2Zt7Vb4RmWc8YpNd3H"')),
    ("an instant and an epoch", member(at="2027-03-15T09:00:00.000-04:00", id="visit.1805115600")),
    ("fiction's numbers", member(phone="+1 (212) 555-0142", mail="a.b@clinic.example.org")),
    ("a placeholder", member(access_token="{secret}", said="Bearer {secret}")),
    ("a Basic examination", member(said="Basic examination, bearer certificate")),
    ("a practice's own name", member(name="Sample Clinic", line="1 Example Street")),
    ("FHIR codes", member(system="http://terminology.hl7.org/CodeSystem/v2-0276/ROUTINE1")),
]


@pytest.mark.parametrize("plant", [p[1] for p in ALLOWED], ids=[p[0] for p in ALLOWED])
def test_it_is_not_taken_for_more_than_it_is(tmp_path, plant):
    assert planted(tmp_path, plant) == []


def test_what_is_found_is_not_repeated(tmp_path):
    found = planted(tmp_path, member(access_token="canary-1", lastName="Canarygarcia"))
    assert len(found) == 2
    assert "anary" not in "".join(found)


def test_unplayed_interactions_are_found(tmp_path):
    document = json.loads(DOCUMENT)
    document["interactions"].append(document["interactions"][-1])
    path = tmp_path / "x.yaml"
    path.write_text(json.dumps(document), "utf-8")
    (finding,) = check(path)
    assert finding.where == "replay"
    assert "1 of 24 interactions were not played" in finding.what


def test_a_deviation_is_allowed_where_it_is_named_for_that_server(tmp_path, monkeypatch):
    def colourful(document: dict[str, Any]) -> None:
        answer(document, "Slot").update(colour="red")

    for server, found in (("sandbox fhir", 0), ("live: Other", 1)):
        named = Deviation(server, "Slot", "colour", "a colourful server", "its manual")
        rules = Rules(deviations=(named,))
        monkeypatch.setattr("openslot.testing.cassettes.checks.rules_for", lambda _, r=rules: r)
        assert len(planted(tmp_path, colourful)) == found


def test_a_vendors_folder_is_read_and_must_name_its_sources():
    text = {
        "headers": {"response": ["X-Page"]},
        "person": [{"name": "Maria Garcia", "source": "https://vendor.example/test-patients"}],
        "deviation": [
            {
                "answered_by": "live: X",
                "resource": "Slot",
                "path": "participant.*.status",
                "why": "w",
                "source": "s",
            }
        ],
    }
    rules = vendor_.parsed(text, "here")
    assert "x-page" in rules.listed.response
    assert rules.people == {"Maria Garcia"}
    assert rules.deviations[0].covers("live: X 1.2", "Slot", "participant.0.status")
    assert not rules.deviations[0].covers("live: X 1.2", "Slot", "participant.0.type.status")
    del text["person"][0]["source"]  # type: ignore[attr-defined]
    with pytest.raises(vendor_.CassetteError, match="names its source"):
        vendor_.parsed(text, "here")
