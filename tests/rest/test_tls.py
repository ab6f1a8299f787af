"""Certificates that do not fit end in one sentence, before anything is sent."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openslot.errors import ConfigError, Unavailable
from rest.servers import reply, serving, vendor


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def certificate(
    folder: Path, host: str = "localhost", *, days: tuple[int, int] = (-2, 2)
) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file of the authority that signed its certificate."""
    now = datetime.now(UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    root = (
        x509.CertificateBuilder()
        .subject_name(_name("test authority"))
        .issuer_name(_name("test authority"))
        .public_key(authority.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = (
        x509.CertificateBuilder()
        .subject_name(_name(host))
        .issuer_name(root.subject)
        .public_key(key.public_key())
        .serial_number(2)
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.9"))]
            ),
            critical=False,
        )
        .sign(authority, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(
        leaf.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "leaf.pem")
    return context, folder / "ca.pem"


async def test_an_authority_of_ones_own(tmp_path: Path) -> None:
    context, ca = certificate(tmp_path)
    async with (
        serving([reply(201)], tls=context) as server,
        vendor(server.url, ca_file=ca) as connector,
    ):
        assert (await connector.write("POST", "x", step="s")).status == 201


@pytest.mark.parametrize(
    ("host", "days", "trusted", "says"),
    [
        ("localhost", (-5, -1), True, "has expired"),
        ("localhost", (1, 5), True, "is not valid yet"),
        ("other.example", (-2, 2), True, "is not for localhost"),
        ("localhost", (-2, 2), False, "unknown authority: give it as ca_file"),
    ],
)
async def test_a_certificate_that_does_not_fit(
    tmp_path: Path, host: str, days: tuple[int, int], trusted: bool, says: str
) -> None:
    context, ca = certificate(tmp_path, host, days=days)
    async with (
        serving([reply()], tls=context) as server,
        vendor(server.url, ca_file=ca if trusted else None) as connector,
    ):
        with pytest.raises(ConfigError, match=says) as caught:
            await connector.read("x")
        assert f"localhost:{server.port}" in str(caught.value)
        with pytest.raises(ConfigError) as caught:
            await connector.write("POST", "x", step="s")
        assert caught.value.sent is False
    assert server.got == []


async def test_a_server_without_tls() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 this port speaks plain HTTP\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with vendor(f"https://localhost:{port}", attempts=1) as connector:
        with pytest.raises(Unavailable, match="does not speak TLS") as caught:
            await connector.write("POST", "x", step="s")
    server.close()
    assert caught.value.sent is False


async def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    async with vendor("https://localhost:1", ca_file=tmp_path / "x.pem") as connector:
        with pytest.raises(ConfigError, match=r"x\.pem cannot be read"):
            await connector.read("x")
