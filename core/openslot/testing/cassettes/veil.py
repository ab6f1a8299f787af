"""What stands in a cassette instead of addresses and secrets: `{base_url}`, `{origin}`, `{secret}`.

Everything that is written to a file, and every request that is compared with one, passes a `Veil`.
Addresses become placeholders so that a recording plays at any other; secrets become one word that
cannot be undone.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

__all__ = ["SECRET", "Veil", "credentials_in", "is_secret_name"]

SECRET = "{secret}"
_SHORTEST = 6
"""Secrets shorter than this are hidden where they are a whole value only: `1` is everywhere."""

_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]*")
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+([A-Za-z0-9+/._~-]{8,}={0,2})", re.IGNORECASE)
_NAMES = frozenset(
    {
        "accesstoken",
        "apikey",
        "apitoken",
        "appkey",
        "appsecret",
        "assertion",
        "authorization",
        "authtoken",
        "bearertoken",
        "clientassertion",
        "clientsecret",
        "codeverifier",
        "cookie",
        "csrftoken",
        "idtoken",
        "jwt",
        "passphrase",
        "password",
        "passwd",
        "privatekey",
        "pwd",
        "refreshtoken",
        "secret",
        "secretkey",
        "sessionid",
        "sessiontoken",
        "setcookie",
        "subscriptionkey",
        "token",
        "xapikey",
    }
)


def is_secret_name(name: str) -> bool:
    """Whether a member, field or parameter of this name holds a credential."""
    return re.sub(r"[^a-z]", "", name.lower()) in _NAMES


def credentials_in(text: str) -> Iterator[re.Match[str]]:
    """The `Bearer` and `Basic` credentials in a text; a "Basic examination" is none."""
    for found in _SCHEME.finditer(text):
        scheme, word = found[1].lower(), found[2]
        if scheme == "bearer" and (len(word) >= 20 or any(c.isdigit() for c in word)):
            yield found
        elif scheme == "basic":
            try:
                pair = base64.b64decode(word, validate=True)
            except ValueError:
                continue
            if b":" in pair:
                yield found


class Veil:
    """Hides one practice's addresses and secrets, and puts addresses back."""

    def __init__(self, places: Mapping[str, str], secrets: tuple[str, ...] = ()) -> None:
        """`places` are addresses by placeholder, such as `{base_url}`."""
        self._places = {name: url.rstrip("/") for name, url in places.items() if url}
        whole = {s for s in secrets if s}
        self._whole = frozenset(whole)
        forms = {f for s in whole if len(s) >= _SHORTEST for f in (s, quote(s, safe=""))}
        self._secrets = _any_of(forms)
        # The longer first: an origin is the beginning of the base URL.
        longest = sorted(self._places.items(), key=lambda p: -len(p[1]))
        self._hidden = [(re.compile(re.escape(url) + _END), name) for name, url in longest]

    @classmethod
    def of(cls, settings: Any) -> Veil:
        """The veil for a connector's settings, a pydantic model with a `base_url`."""
        base = str(settings.base_url)
        places = {"{base_url}": base, "{origin}": _origin(base)}
        secrets = []
        for path, value in _leaves(settings):
            if hasattr(value, "get_secret_value"):
                secrets.append(str(value.get_secret_value()))
            elif isinstance(value, str) and value.startswith(("http://", "https://")):
                origin = _origin(value)
                if origin not in places.values():
                    places[f"{{origin of {path}}}"] = origin
        return cls(places, tuple(secrets))

    @property
    def places(self) -> Mapping[str, str]:
        """The addresses by placeholder."""
        return self._places

    def hide(self, name: str, text: str) -> str:
        """The text as it may be written; `name` is that of the member whose value it is."""
        if text in self._whole or (text and is_secret_name(name)):
            return SECRET
        for pattern, placeholder in self._hidden:
            text = pattern.sub(placeholder, text)
        if self._secrets is not None:
            text = self._secrets.sub(SECRET, text)
        text = _JWT.sub(SECRET, text)
        for found in reversed(list(credentials_in(text))):
            text = text[: found.start(2)] + SECRET + text[found.end(2) :]
        return text

    def show(self, text: str) -> str:
        """The text with addresses put back."""
        if "{" in text:
            for placeholder, url in self._places.items():
                text = text.replace(placeholder, url)
        return text


# What may not follow an address: more of a host or of a port, or of a path's segment.
_END = r"(?![A-Za-z0-9_-]|:[0-9]|\.[A-Za-z0-9])"


def _any_of(texts: set[str]) -> re.Pattern[str] | None:
    if not texts:
        return None
    return re.compile("|".join(re.escape(t) for t in sorted(texts, key=len, reverse=True)))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _leaves(model: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        path = f"{at}{name}"
        if hasattr(type(value), "model_fields"):
            yield from _leaves(value, f"{path}.")
        elif isinstance(value, list | tuple):
            yield from ((path, v) for v in value)
        elif not isinstance(value, Path):
            yield path, value
