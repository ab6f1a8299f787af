"""Processes that run desks of their own and may be killed at any moment.

They are forked from a process that has imported everything and done nothing: each is a process
like any other, but is there in milliseconds instead of seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).parents[1]
PATIENCE = 60.0
"""Seconds after which a silent child is a failure."""


class Child:
    """One process, spoken to in lines of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        self._connection = connection
        self._lines = connection.makefile("r", encoding="utf-8")
        self.pid: int = self.hear()["pid"]

    def say(self, message: dict[str, Any]) -> None:
        """Tell it something."""
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        """What it says next. Raises EOFError where it is gone."""
        line = self._lines.readline()
        if not line:
            raise EOFError("the child is gone")
        message: dict[str, Any] = json.loads(line)
        if "defect" in message:
            raise AssertionError(f"the child failed:\n{message['defect']}")
        return message

    def kill(self) -> None:
        """End it at once, as kill -9 does, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        try:
            while self._lines.readline():
                pass
        except ConnectionError:
            pass
        self.close()

    def close(self) -> None:
        """Stop listening to it; it ends by itself."""
        self._lines.close()
        self._connection.close()


class Nursery:
    """Where children come from. Use it as `with`."""

    def __init__(self, directory: Path) -> None:
        self._address = str(directory / "s")
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(self._address)
        self._listener.listen(64)
        self._listener.settimeout(PATIENCE)
        environment = {**os.environ, "PYTHONPATH": str(TESTS)}
        self._mother = subprocess.Popen(
            [sys.executable, "-m", "acceptance.child", self._address],
            stdin=subprocess.PIPE,
            env=environment,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._mother.stdin is not None
        self._mother.stdin.close()
        self._mother.wait(10)
        self._listener.close()

    def child(self, job: dict[str, Any]) -> Child:
        """A new process at work on this job."""
        assert self._mother.stdin is not None
        self._mother.stdin.write(b"\n")
        self._mother.stdin.flush()
        connection, _ = self._listener.accept()
        child = Child(connection)
        child.say(job)
        return child
