"""What every REST connector has to be told: where the vendor is, and how much of it to bear."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from openslot.rest.origin import Origin

__all__ = ["RestSettings", "is_private"]

MEBIBYTE = 1024 * 1024


class RestSettings(BaseModel):
    """The settings that all REST connectors share; a vendor's own inherit from it.

    Secrets are `SecretStr` in the vendor's class. Unknown keys are refused, and the values of
    refused ones are not repeated in the message, as they may be secrets.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str
    """The address that the vendor's paths hang from, such as `https://ehr.example/fhir/R4`."""
    allow_http: bool = False
    """Whether a public host may be spoken to without TLS."""
    ca_file: Path | None = None
    """A PEM file with the certificate authority of an on-premise server, trusted beside the
    machine's own."""
    timeout: float = Field(default=10.0, gt=0, le=120)
    """Seconds for one request, from connecting to the last byte of the answer."""
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    """Seconds for a connection, TLS included."""
    attempts: int = Field(default=3, ge=1, le=10)
    """How often one request is tried at most."""
    max_connections: int = Field(default=20, ge=1, le=1000)
    """Connections to the vendor at once."""
    max_body: int = Field(default=8 * MEBIBYTE, ge=1024)
    """Bytes of one answer, unpacked."""
    max_total: int = Field(default=64 * MEBIBYTE, ge=1024)
    """Bytes of all pages of one list, unpacked."""
    max_pages: int = Field(default=100, ge=1)
    """Pages of one list."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        parts = urlsplit(self.base_url)
        if parts.query or parts.fragment:
            raise ValueError("base_url must end before any ? or #")
        origin = Origin.of(self.base_url)
        if origin is None:
            raise ValueError(
                "base_url must be an absolute http or https address without a user name,"
                " such as https://ehr.example/fhir/R4"
            )
        if origin.scheme == "http" and not (self.allow_http or is_private(origin.host)):
            raise ValueError(
                f"base_url is plain http to the public host {origin.host}:"
                " write https, or set allow_http = true if patient data may travel unencrypted"
            )
        return self


def is_private(host: str) -> bool:
    """Whether a host cannot be a public one: loopback, private, one label, .local."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost", ".lan"))
    return address.is_private or address.is_loopback or address.is_link_local
