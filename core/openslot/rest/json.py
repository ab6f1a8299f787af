"""JSON in and out: as fast as what is installed allows, and the same whichever that is.

With the `fast` extra msgspec reads, else the standard library. Either way NaN, infinities, numbers
too large for a double, invalid UTF-8, lone surrogates and nesting deeper than `MAX_DEPTH` are
refused, and a byte order mark is passed over. Of repeated keys the last one counts.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn

__all__ = ["MAX_DEPTH", "dumps", "loads"]

MAX_DEPTH = 100
"""How deep arrays and objects may nest."""

_BOM = b"\xef\xbb\xbf"
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_SMALL = 256 * 1024
_STRING = re.compile(rb'"[^"]*"')
_STEPS = bytes.maketrans(b'[{]}"', b"\x01\x01\xff\xff\x00")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def loads(data: bytes) -> Any:
    """The value that the bytes stand for. Raises ValueError, whose message quotes none of them."""
    if data.startswith(_BOM):
        data = data[len(_BOM) :]
    if _deeper_than_allowed(data):
        raise ValueError(f"JSON nests deeper than {MAX_DEPTH}")
    return _decode(data)


def dumps(value: Any) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError or TypeError for what JSON cannot hold."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _deeper_than_allowed(data: bytes) -> bool:
    # No loop in Python: strings go, brackets become steps up and down, and the sum is watched.
    if b"\\" in data:  # looking for one byte is ten times faster than for two, and mostly enough
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    data = data.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    data = _STRING.sub(b"", data)
    if len(data) < _SMALL:
        # Each round takes one or two of the innermost levels away; most documents are used up soon.
        left = data
        for _ in range(min(MAX_DEPTH // 2, 8)):
            left = left.replace(b"{}", b"").replace(b"[]", b"")
        if not left:
            return False
    steps = memoryview(data.translate(_STEPS)).cast("b")
    return max(accumulate(steps), default=0) > MAX_DEPTH


def _standard() -> Callable[[bytes], Any]:
    def number(text: str) -> float:
        value = float(text)
        if math.isinf(value):
            raise ValueError("number out of range")
        return value

    def constant(_: str) -> NoReturn:
        raise ValueError("not a JSON number")

    decoder = json.JSONDecoder(parse_float=number, parse_constant=constant)

    def decode(data: bytes) -> Any:
        try:
            text = data.decode()
            value = decoder.decode(text)
            if _ESCAPED_SURROGATE.search(text):
                json.dumps(value, ensure_ascii=False).encode()  # fails on half a pair
        except (ValueError, RecursionError):
            raise ValueError("not valid JSON") from None
        return value

    return decode


def _fast() -> Callable[[bytes], Any] | None:
    try:
        import msgspec
    except ImportError:
        return None
    decoder = msgspec.json.Decoder()

    def decode(data: bytes) -> Any:
        try:
            return decoder.decode(data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise ValueError("not valid JSON") from None

    return decode


_decode = _fast() or _standard()
