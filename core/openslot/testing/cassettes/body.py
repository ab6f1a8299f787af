"""A body as a person reads it: JSON as structure, forms as fields, text as text, the rest base64.

A body is kept in a readable form only where that form gives the same content back; JSON whose
numbers, names or characters would change (`1.50`, a name twice, half a surrogate pair) stays text.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import parse_qsl, urlencode

__all__ = ["Body", "Pairs", "grouped", "pairs_of", "unpacked"]

Kind = Literal["none", "json", "form", "text", "base64"]
Pairs = tuple[tuple[str, str], ...]

FORM = "application/x-www-form-urlencoded"
_MOST = 64 * 1024 * 1024
_DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Body:
    """What was sent or answered. `value` is a JSON value, Pairs, or text (base64 too)."""

    kind: Kind = "none"
    value: Any = None

    @classmethod
    def of(cls, data: bytes, media_type: str) -> Body:
        """The readable form of these bytes, which are not packed any more."""
        if not data:
            return cls()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            return cls("base64", base64.b64encode(data).decode())
        if media_type == "application/json" or media_type.endswith("+json"):
            try:
                return cls("json", _faithful(text))
            except (ValueError, RecursionError):
                return cls("text", text)
        if media_type == FORM and all("=" in part for part in text.split("&")):
            pairs = tuple(parse_qsl(text, keep_blank_values=True))
            if tuple(parse_qsl(urlencode(pairs), keep_blank_values=True)) == pairs:
                return cls("form", pairs)
        return cls("text", text)

    @classmethod
    def read(cls, plain: Any) -> Body:
        """The body as it stands in a file. Raises ValueError."""
        if plain is None:
            return cls()
        if isinstance(plain, dict):
            if "json" in plain:
                return cls("json", plain["json"])
            if isinstance(plain.get("form"), dict):
                return cls("form", pairs_of(plain["form"]))
            for kind in ("text", "base64"):
                if isinstance(plain.get(kind), str):
                    return cls(kind, plain[kind])
        raise ValueError("a body is one of json, form, text and base64")

    def plain(self) -> Any:
        """The body as it stands in a file."""
        if self.kind == "none":
            return None
        if self.kind == "form":
            return {"form": grouped(self.value)}
        if self.kind == "base64":
            size = len(self.data())
            return {"note": f"{size} bytes that are not UTF-8 text", "base64": self.value}
        return {self.kind: self.value}

    def data(self) -> bytes:
        """The bytes: of JSON and forms, bytes that mean the same as those recorded."""
        match self.kind:
            case "json":
                return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")).encode()
            case "form":
                return urlencode(self.value).encode()
            case "text":
                return str(self.value).encode()
            case "base64":
                return base64.b64decode(self.value)
            case _:
                return b""

    def mapped(self, change: Callable[[str, str], str]) -> Body:
        """The same body with every text put through `change(name, text)`.

        `name` is that of the member or field that the text is the value of, else empty.
        """
        match self.kind:
            case "json":
                return Body("json", _mapped(self.value, "", change))
            case "form":
                return Body("form", tuple((k, change(k, v)) for k, v in self.value))
            case "text":
                return Body("text", change("", self.value))
            case _:
                return self


def unpacked(data: bytes, encoding: str) -> bytes:
    """The content of a gzip or deflate answer; anything else as it is. Raises ValueError."""
    packing = encoding.strip().lower()
    if packing not in {"gzip", "x-gzip", "deflate"} or not data:
        return data
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: gzip and zlib alike
    try:
        content = inflate.decompress(data, _MOST)
    except zlib.error as error:
        raise ValueError("a packed answer is damaged") from error
    if not inflate.eof:
        raise ValueError("a packed answer is broken off, or too large for a cassette")
    return content


def grouped(pairs: Pairs) -> dict[str, Any]:
    """Pairs by name, in the order in which names came: a text, or a list of several."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


def pairs_of(names: dict[str, Any]) -> Pairs:
    """The pairs again; what stood between two of a name comes behind them."""
    return tuple(
        (str(name), str(value))
        for name, given in names.items()
        for value in (given if isinstance(given, list) else [given])
    )


def _mapped(value: Any, name: str, change: Callable[[str, str], str]) -> Any:
    if isinstance(value, str):
        return change(name, value)
    if isinstance(value, dict):
        return {k: _mapped(v, k, change) for k, v in value.items()}
    if isinstance(value, list):
        return [_mapped(v, name, change) for v in value]
    return value


def _faithful(text: str) -> Any:
    value = json.loads(
        text,
        parse_float=_number(float),
        parse_int=_number(int),
        parse_constant=_refuse,
        object_pairs_hook=_once,
    )
    if _depth(value) > _DEEPEST:
        raise ValueError("too deep to be read by a person")
    json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is no text
    return value


def _number(kind: type[int] | type[float]) -> Callable[[str], int | float]:
    def read(literal: str) -> int | float:
        number = kind(literal)
        if repr(number) != literal:
            raise ValueError("a number that would be written in another way")
        return number

    return read


def _refuse(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _depth(value: Any) -> int:
    level, deep = [value], 0
    while level and deep <= _DEEPEST:
        deep += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return deep
