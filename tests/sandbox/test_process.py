"""The sandbox as a process of its own, its state in one file."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from openslot.clinic import Clinic
from openslot.errors import ConfigError
from openslot.testing.sandbox import load_sandbox, parse_manners
from openslot.testing.server import TLS
from openslot_connectors.fhir.sandbox import FhirManners, Sandbox
from sandbox.kit import JSON, appointment, fetch, running


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`python -m openslot.testing fhir-r4 ...` and its URL."""
    command = [sys.executable, "-m", "openslot.testing", "fhir-r4", *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        url = child.stdout.readline().strip()
        assert url.startswith("http"), child.communicate(timeout=5)
        yield child, url
    finally:
        child.kill()
        child.communicate(timeout=10)


def test_it_prints_its_address_serves_and_ends_on_sigterm(tmp_path: Path) -> None:
    began = time.monotonic()
    file = tmp_path / "clinic.sqlite"
    with process("--database", str(file), "--manner", "page_size=3") as (child, url):
        page = fetch(f"{url}/Patient", timeout=10).json()
        took = time.monotonic() - began
        assert len(page["entry"]) == 3
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=10)
        assert (child.returncode, out, err) == (0, "", "")
    # Two seconds on an idle machine; this one may be shared.
    assert took < 6 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def test_what_was_booked_outlives_the_process_that_was_killed(tmp_path: Path) -> None:
    file = tmp_path / "clinic.sqlite"
    arguments = ("--database", str(file), "--seed", "5")
    headers = {"content-type": JSON}
    with process(*arguments) as (child, url):
        found = fetch(
            f"{url}/Slot",
            params={"status": "free", "service-type": "follow-up", "_count": 1},
            timeout=20,
        ).json()
        slot = found["entry"][0]["resource"]
        document = {**appointment(slot, marker="m"), "x-foreign": True}
        made = fetch(f"{url}/Appointment", "POST", json=document, headers=headers).json()
        child.kill()
    with Clinic(str(file)) as clinic:
        assert clinic.get_appointment(made["id"]).patient == "pat-1"
    with process(*arguments) as (_, url):
        assert fetch(f"{url}/Appointment/{made['id']}").json() == made


def test_faults_from_the_command_line() -> None:
    with process("--fault", "error-503:nth=1", "--fault", "reset-before:nth=2") as (_, url):
        assert fetch(f"{url}/metadata").status_code == 503
        with pytest.raises(httpx.ReadError):
            fetch(f"{url}/metadata")
        assert fetch(f"{url}/metadata").status_code == 200


def test_what_does_not_exist_is_said_in_one_sentence() -> None:
    command = [sys.executable, "-m", "openslot.testing", "fhir-r5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == ConfigError.exit_code
    assert "did you mean 'fhir-r4'" in done.stderr
    with pytest.raises(ConfigError, match="page_size"):
        parse_manners(FhirManners, ["pagesize=3"])
    with pytest.raises(ConfigError, match="cannot be"):
        parse_manners(FhirManners, ["flips_slot=perhaps"])
    assert parse_manners(FhirManners, ["flips_slot=yes", "etag=bare"]) == FhirManners(
        flips_slot=True, etag="bare"
    )


def test_the_entry_point_leads_to_it() -> None:
    assert load_sandbox("fhir-r4") is Sandbox


def test_it_starts_over_with_the_same_people(tmp_path: Path) -> None:
    for server in running(database=tmp_path / "clinic.sqlite"):
        first = server.get("/Patient", _count=5)["entry"]
        slot = server.free_slots()[0]
        server.post(appointment(slot))
        total = server.get("/Appointment")["total"]
        server.sandbox.reset()
        assert server.get("/Patient", _count=5)["entry"] == first
        assert server.get("/Appointment")["total"] == total - 1


def test_over_tls_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    tls = certificate(tmp_path)
    sandbox = Sandbox()
    with sandbox.serve(tls=tls) as url:
        assert url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(tls.certificate))
        with httpx.Client(verify=trusting, base_url=url) as client:
            assert client.get("/metadata").json()["implementation"]["url"] == url
            sandbox.faults.add("lost-reply")
            # Under TLS some clients see the RST as an end without an answer.
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                client.get("/metadata")
        sandbox.faults.clear()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{url}/metadata")
    sandbox.close()


def certificate(folder: Path) -> TLS:
    """A self-signed certificate for 127.0.0.1."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    tls = TLS(folder / "certificate.pem", folder / "key.pem")
    tls.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tls
