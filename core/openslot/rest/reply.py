"""What a vendor answered, whole and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from openslot.errors import BadResponse
from openslot.rest import json as json_

__all__ = ["Headers", "Reply"]


class Headers(Mapping[str, str]):
    """Header fields, found by name in any case; repeated ones are joined by a comma."""

    __slots__ = ("_fields",)

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, str] = {}
        for name, value in fields:
            name = name.lower()
            seen = self._fields.get(name)
            self._fields[name] = value if seen is None else f"{seen}, {value}"

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._fields)})"  # values may be secrets


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its body is read to the end and unpacked. `url_path` is without the query.

    `date` is the server's own clock where it says it; `request_id` the vendor's name for the
    call. `write` says that a write was answered, so that what cannot be understood of it may hide
    something done.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request_id: str | None = None
    date: datetime | None = None
    url_path: str = field(default="", repr=False)  # a path may hold a patient's id
    write: bool = False

    @property
    def etag(self) -> str | None:
        """The entity tag as sent, weak or strong, quotes included; None where there is none."""
        return self.headers.get("etag") or None

    @property
    def media_type(self) -> str:
        """The body's media type in lower case, without parameters; empty where it is not said."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def json(self) -> Any:
        """The body as JSON. Raises BadResponse for an HTML page, another charset, or bad JSON."""
        charset = self._charset()
        if charset not in {"", "utf-8", "utf8", "us-ascii"} and not self.body.isascii():
            raise self.bad("the server answered in a charset other than UTF-8")
        if self.body[:512].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
            page = "an HTML page" if b"<html" in self.body[:2048].lower() else "markup"
            raise self.bad(
                f"the server answered {self.status} with {page} where JSON belongs;"
                " a proxy, a login page or a wrong base_url does that"
            )
        if not self.body:
            raise self.bad(f"the server answered {self.status} without a body where JSON belongs")
        try:
            return json_.loads(self.body)
        except ValueError as error:
            # The message names no content; its context would quote the document.
            why = str(error)
        raise self.bad(f"the server's answer could not be read: {why}")

    def bad(self, message: str, *, path: str | None = None) -> BadResponse:
        """The error that says that this answer cannot be understood, and where in the document."""
        return BadResponse(
            message, path=path, request_id=self.request_id, sent=True if self.write else None
        )

    def _charset(self) -> str:
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.partition("=")
            if name.strip().lower() == "charset":
                return value.strip().strip('"').lower()
        return ""
