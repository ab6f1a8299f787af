"""A process without a network: whatever tries to connect, or to look up a name, is told so."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

__all__ = ["NetworkBlocked", "no_network"]

_LOCAL = frozenset(
    family for name in ("AF_UNIX",) if (family := getattr(socket, name, None)) is not None
)


class NetworkBlocked(RuntimeError):
    """Something asked for the network in a block that has none. No OSError, which clients catch."""


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse every connection and every name of this process for the length of the block.

    Sockets of the machine itself (AF_UNIX) stay. Threads are not told apart: what else the process
    does over a network in the meantime fails too.
    """
    with ExitStack() as stack:
        for name in ("connect", "connect_ex", "sendto"):
            original = getattr(socket.socket, name)
            stack.enter_context(mock.patch.object(socket.socket, name, _guarded(original)))
        stack.enter_context(mock.patch.object(socket, "getaddrinfo", _refused))
        yield


def _guarded(original: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        if self.family in _LOCAL:
            return original(self, *args)
        raise NetworkBlocked("the network is blocked while a cassette plays")

    return guarded


def _refused(*args: Any, **kwargs: Any) -> Any:
    raise NetworkBlocked("the network is blocked while a cassette plays")
