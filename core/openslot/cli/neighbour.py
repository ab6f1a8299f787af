"""The demo's server: the FHIR R4 sandbox in a process of its own, and a second pair of eyes on it.

What the demo claims in the end is read here, past the connector, by plain HTTP.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from openslot.errors import BadResponse, ConfigError, Unavailable

__all__ = ["CONNECTOR", "Neighbour", "neighbour"]

CONNECTOR = "fhir-r4"
START_SECONDS = 30.0
READ_SECONDS = 10.0
STANDING = frozenset({"proposed", "pending", "booked", "arrived", "checked-in", "waitlist"})


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A server in another process."""

    pid: int
    url: str

    async def standing(self, patient: str) -> dict[str, Any]:
        """The patient's Appointments that stand, as the server's own documents, by id."""
        documents = await asyncio.to_thread(self._appointments, patient)
        return {d["id"]: d for d in documents if d["status"] in STANDING}

    def _appointments(self, patient: str) -> list[dict[str, Any]]:
        # No proxy: the server is on this machine, whatever the environment says of the rest.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        query = urlencode({"patient": f"Patient/{patient}", "_count": "100"})
        try:
            with opener.open(f"{self.url}/Appointment?{query}", timeout=READ_SECONDS) as reply:
                bundle = json.load(reply)
            entries = bundle.get("entry", [])
            if bundle["total"] != len(entries):
                raise BadResponse("the server did not show all of the patient's appointments")
            return [entry["resource"] for entry in entries]
        except OSError as error:
            raise Unavailable("the demo's server cannot be reached any more") from error
        except (ValueError, KeyError, TypeError) as error:
            raise BadResponse("the server's list of appointments cannot be read") from error


@asynccontextmanager
async def neighbour(
    folder: Path, options: tuple[str, ...], *, meanwhile: Callable[[], Awaitable[None]]
) -> AsyncIterator[Neighbour]:
    """Run the sandbox, with these options, until the block ends; it starts while `meanwhile` runs.

    Raises ConfigError, Unavailable.
    """
    if not _importable("uvicorn"):
        raise ConfigError(
            "the demo serves a FHIR server, which needs the package 'uvicorn'; "
            "install it with: pip install 'openslot[testing]'"
        )
    complaints = folder / "server.err"
    with complaints.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "openslot.testing", CONNECTOR, "--database", str(folder / "clinic.db")),
            *options,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=stderr,
        )
    try:
        await meanwhile()
        yield Neighbour(process.pid, await _announced(process, complaints))
    finally:
        await _stop(process)


def _importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # it was taken out of sys.modules on purpose
        return False


async def _announced(process: asyncio.subprocess.Process, complaints: Path) -> str:
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except TimeoutError:
        line = b""
    if url := line.decode().strip():
        return url
    why = _last_line(complaints) or f"it said nothing within {START_SECONDS:.0f} s"
    if process.returncode == ConfigError.exit_code or await _gone(process) == ConfigError.exit_code:
        raise ConfigError(why)
    raise Unavailable(f"the demo's server did not start: {why}")


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


async def _gone(process: asyncio.subprocess.Process) -> int | None:
    try:
        return await asyncio.wait_for(process.wait(), 1.0)
    except TimeoutError:
        return None


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5.0)
        except TimeoutError:
            process.kill()
            await process.wait()
