"""Who works on an entry, and whether they are still alive.

A lease ends by time. On one machine it also ends when the process that holds it is gone: after a
crash nobody waits for a clock.
"""

from __future__ import annotations

import os
import platform
import secrets
import uuid
from functools import cache
from pathlib import Path

__all__ = ["new_owner", "surely_dead"]


def new_owner() -> str:
    """A name for one worker in this process: machine, process, start of the process, nonce."""
    pid = os.getpid()
    return f"{_machine()}:{pid}:{_started(pid) or ''}:{secrets.token_hex(4)}"


def surely_dead(owner: str) -> bool:
    """Whether the process behind the name ran on this machine and is gone. Unsure means no."""
    machine, pid, started, _ = owner.rsplit(":", 3)
    if machine != _machine() or not started:
        return False
    return _started(int(pid)) != started


@cache
def _machine() -> str:
    # Process numbers mean something within one boot and one process namespace only.
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return f"{platform.node()}-{uuid.getnode():x}".replace(":", "-")
    return f"{boot}-{namespace}".replace(":", "-")


def _started(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    state, start = fields[0], fields[19]
    return None if state in {"Z", "X"} else start
