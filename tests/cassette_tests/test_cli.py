"""`openslot cassettes`: what each part prints and how it exits."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from openslot.cli.cassettes import cassettes
from openslot.testing.cassettes import Cassette

SET = Path(__file__).resolve().parent.parent / "cassettes" / "fhir-r4"
CONTRACT = SET / "sandbox-contract.yaml"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cassettes, [str(a) for a in arguments])


def test_record_then_replay_then_check(tmp_path):
    path = tmp_path / "new.yaml"
    told = run("record", "fhir-r4", path, "--scenario", "contract", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["interactions"] == 23
    played = run("replay", tmp_path, "--json")
    assert played.exit_code == 0, played.output
    assert json.loads(played.stdout)["cassettes"][0]["played"] is True
    checked = run("check", path)
    assert (checked.exit_code, checked.stdout) == (0, "1 checked, 0 findings\n")


def test_replay_of_a_file_that_does_not_play_exits_1_and_says_why(tmp_path):
    cassette = Cassette.load(CONTRACT)
    Cassette(cassette.provenance, cassette.interactions[1:], cassette.session).save(
        tmp_path / "x.yaml"
    )
    told = run("replay", tmp_path / "x.yaml")
    assert told.exit_code == 1
    assert "was not recorded like this" in told.stderr or "not as often" in told.stderr


def test_check_exits_1_on_a_finding_and_on_nothing_to_check(tmp_path):
    assert run("check", tmp_path).exit_code == 1
    text = CONTRACT.read_text("utf-8").replace("{secret}", "x") + "# nothing\n"
    (tmp_path / "x.yaml").write_text(text.replace("+1 212 555 01", "+1 212 867 01"), "utf-8")
    told = run("check", "--no-replay", tmp_path)
    assert told.exit_code == 1
    assert "a telephone number outside 555-01xx" in told.stdout


def test_show_prints_a_line_for_each_interaction_or_one_whole():
    told = run("show", CONTRACT)
    assert told.exit_code == 0
    assert "POST Appointment" in told.stdout
    assert "-> 201 Appointment" in told.stdout
    assert "book the same slot again: slot_taken" in told.stdout
    one = run("show", CONTRACT, 1)
    assert one.stdout.startswith("POST {base_url}/Patient/_search\n")
    assert "family = " in one.stdout
    assert run("show", CONTRACT, 99).exit_code == 2


def test_diff_tells_of_fields_and_exits_as_diff_does(tmp_path):
    same = run("diff", CONTRACT, CONTRACT)
    assert (same.exit_code, same.stdout) == (0, "")
    cassette = Cassette.load(CONTRACT)
    cassette.interactions[2].request.body.value["gender"] = "other"
    cassette.save(tmp_path / "x.yaml")
    told = run("diff", CONTRACT, tmp_path / "x.yaml")
    assert told.exit_code == 1
    assert told.stdout.splitlines() == [
        "~ interaction 3, POST {base_url}/Patient: request.body.json.gender 'unknown' -> 'other'"
    ]


def test_diff_sees_the_same_story_behind_a_servers_own_ids(tmp_path):
    """Other ids, versions and times, as the next recording from the same server has them."""
    before = SET / "medplum-contract.yaml"
    text = before.read_text("utf-8")
    names = set(re.findall(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", text))
    assert len(names) > 5
    for name in names:
        text = text.replace(name, name[:-12] + name[-12:][::-1])
    (tmp_path / "x.yaml").write_text(text.replace("GMT", "UTC"), "utf-8")
    assert run("diff", before, tmp_path / "x.yaml").exit_code == 0
    assert run("diff", "--exact", before, tmp_path / "x.yaml").exit_code == 1


def test_a_real_server_is_recorded_only_where_it_is_said_what_it_is_and_that_it_is_a_test(
    tmp_path,
):
    path = tmp_path / "x.yaml"
    told = run("record", "fhir-r4", path, "--against", "http://127.0.0.1:1/fhir")
    assert told.exit_code == 2
    assert "--software" in told.stderr
    (tmp_path / "openslot.toml").write_text(
        '[practices.a]\nconnector = "fhir-r4"\nzone = "America/New_York"\n'
        'settings = { base_url = "https://fhir.example.org/r4" }\n'
    )
    told = run(
        "record", "fhir-r4", path, "--real", "--software", "X 1", "--config",
        tmp_path / "openslot.toml",
    )  # fmt: skip
    assert "is not a test practice" in str(told.exception)
    assert not path.exists()


@pytest.mark.parametrize(
    ("name", "interactions"), [("sandbox-desk.yaml", 41), ("medplum-desk.yaml", 43)]
)
def test_a_cassette_plays_in_a_process_of_its_own_in_another_zone_and_folder(
    tmp_path, name, interactions
):
    """As on another machine: nothing but the file, no network, another local time."""
    code = (
        "import sys; from pathlib import Path; from openslot.testing.cassettes import replay;"
        "print(replay(Path(sys.argv[1])).interactions)"
    )
    copy = tmp_path / "elsewhere.yaml"
    copy.write_bytes((SET / name).read_bytes())
    environment = {**os.environ, "TZ": "Asia/Kathmandu", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(copy)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{interactions}\n"), done.stderr
