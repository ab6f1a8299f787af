"""The sandbox as a command."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request

from cli.command import Command


def test_it_serves_until_it_is_interrupted(bare: Command) -> None:
    with bare.start(
        "sandbox", "fhir-r4", "--database", "kept.db", "--fault", "error-503:nth=2"
    ) as p:
        assert p.stdout is not None
        line = p.stdout.readline()
        url = line.split()[3]
        assert line == f"fhir-r4 sandbox at {url} (seed 1); interrupt to stop\n"
        with urllib.request.urlopen(f"{url}/metadata", timeout=10) as reply:
            assert json.load(reply)["fhirVersion"] == "4.0.1"
        p.send_signal(signal.SIGINT)
        assert p.wait(10) == 0
        assert p.stderr is not None
        assert p.stderr.read() == ""
    assert (bare.folder / "kept.db").exists()


def test_as_a_document(bare: Command) -> None:
    listed = bare.json("sandbox", "--list")
    assert set(listed) == {"sandboxes", "faults"}
    assert "fhir-r4" in listed["sandboxes"]
    assert "lost-reply" in listed["faults"]
    assert "lost-reply" in bare.run("sandbox", "--list").stdout


def test_what_it_does_not_know(bare: Command) -> None:
    assert bare.json("sandbox", "fhir-r5", code=11)["error"]["message"].startswith("no sandbox")
    assert "did you mean" in bare.run("sandbox", "fhir-r4", "--fault", "lost-replay").stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        error = bare.json("sandbox", "fhir-r4", "--port", port, code=1)["error"]
    assert error["code"] == "cannot_listen"
    assert port in error["message"]


def test_without_its_extra_it_says_what_to_install(bare: Command) -> None:
    for part in (["sandbox", "fhir-r4"], ["demo"]):
        program = f"import sys; sys.modules['uvicorn'] = None; sys.argv[1:] = {part!r}; "
        done = subprocess.run(
            [sys.executable, "-c", program + "from openslot.cli import main; main()"],
            cwd=bare.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 11, done.stderr
        assert "pip install 'openslot[testing]'" in done.stderr
        assert "Traceback" not in done.stderr
