"""Run a connector's sandbox: python -m openslot.testing fhir-r4 --port 8080."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from openslot.errors import ConfigError
from openslot.testing.auth import ApiKey, ClientCredentials, NoAuth, SmartBackend
from openslot.testing.faults import KINDS
from openslot.testing.sandbox import main_run
from openslot.testing.server import TLS

AUTH = {auth.kind: auth for auth in (NoAuth, ApiKey, ClientCredentials, SmartBackend)}


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM; prints one line, the address that a connector is configured with."""
    parser = argparse.ArgumentParser(
        prog="python -m openslot.testing",
        description=__doc__,
        epilog="Faults: " + " ".join(f"[{k.name}] {k.what}" for k in KINDS.values()),
    )
    parser.add_argument("name", help="the connector's name, such as fhir-r4")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--seed", type=int, default=1, help="which synthetic clinic")
    parser.add_argument("--database", type=Path, help="the clinic's SQLite file, kept if it exists")
    parser.add_argument("--fault", action="append", default=[], help="NAME:KEY=VALUE,...")
    parser.add_argument("--manner", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--auth", choices=sorted(AUTH), default="none", help="who may call")
    parser.add_argument("--certificate", type=Path, help="PEM; serves over TLS, with --key")
    parser.add_argument("--key", type=Path, help="PEM of the certificate's key")
    given = parser.parse_args(arguments)
    if (given.certificate is None) is not (given.key is None):
        parser.error("--certificate and --key come together")

    def announce(url: str) -> None:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()

    try:
        main_run(
            given.name,
            host=given.host,
            port=given.port,
            seed=given.seed,
            database=given.database,
            faults=given.fault,
            manners=given.manner,
            auth=AUTH[given.auth](),
            tls=TLS(given.certificate, given.key) if given.certificate else None,
            announce=announce,
        )
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return ConfigError.exit_code
    except OSError as error:
        sys.stderr.write(f"cannot listen on {given.host} port {given.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
