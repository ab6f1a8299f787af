"""Origins, links and paths: where a request may go (law 9).

Everything that a server names (next links, Location, references, redirects) passes `resolve`, and
comes out below the pinned origin or not at all. Hosts are compared as text after strict parsing:
another spelling of the same machine is another host.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, urljoin, urlsplit

from openslot.errors import BadResponse, NotFound

__all__ = ["Origin", "path", "query", "resolve"]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?\Z")
_IPV6 = re.compile(r"[0-9a-f:.]{2,45}\Z")
# What urllib and a client may read differently: no such character has a place in a URL.
_UNFIT = re.compile(r"[\x00-\x20\x7f-\uffff\U00010000-\U0010ffff\\^`{}<>\"]")
_LONGEST_LINK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: what a credential is meant for."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Self | None:
        """The origin of an absolute http or https URL; None where it has none, or a user name."""
        if len(url) > _LONGEST_LINK or _UNFIT.search(url):
            return None
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        scheme = parts.scheme.lower()
        if scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc or port == 0:
            return None
        bracketed = parts.netloc.startswith("[")
        if not (_IPV6 if bracketed else _HOST).match(host):
            return None
        return cls(scheme, host, port or _DEFAULT_PORTS[scheme])

    @property
    def address(self) -> str:
        """Host and port, as a message may name them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}"


def resolve(
    base_url: str, link: str, *, relative_to: str | None = None, what: str = "a link"
) -> str:
    """The URL that `link` means, which is at `base_url`'s origin.

    A link without a leading slash hangs below `base_url`, or, where `relative_to` is given, beside
    that URL; one with a slash starts at the origin's root (RFC 3986); an absolute one must be at
    the same origin. Fragments are dropped. Raises BadResponse for everything else.
    """
    origin = Origin.of(base_url)
    if origin is None:
        raise ValueError("base_url must be absolute")
    try:
        if len(link) > _LONGEST_LINK or _UNFIT.search(link):
            raise ValueError
        parts = urlsplit(link)
        if not parts.netloc and (parts.scheme or link.startswith("//")):
            raise ValueError  # what this means depends on who reads it
        if relative_to is None:
            relative_to = base_url if base_url.endswith("/") else base_url + "/"
            link = link or base_url
        url = urljoin(relative_to, link).partition("#")[0]  # a server never sees a fragment
    except ValueError:
        raise BadResponse(
            f"the server at {origin.address} gave {what} that is not a valid address"
        ) from None
    target = Origin.of(url)
    if target != origin:
        where = f"at {target}" if target else "of another kind"
        raise BadResponse(
            f"the server at {origin} gave {what} to an address {where}, where this practice's"
            " credential does not belong; if that is the practice's server too, set base_url to it"
        )
    return url


def path(*segments: str) -> str:
    """A path below `base_url` of these segments, each escaped, so that an id stays one segment.

    Raises NotFound for a segment that no record can be named by: empty, `.` or `..`.
    """
    for segment in segments:
        if segment in {"", ".", ".."}:
            raise NotFound("there is no record of that name", sent=False)
    return "/".join(quote(s, safe="~-._$!*'(),=@") for s in segments)


def query(link: str) -> Mapping[str, tuple[str, ...]]:
    """The query parameters of a link: all that a profile may take from a link it cannot trust."""
    found: dict[str, tuple[str, ...]] = {}
    try:
        pairs = parse_qsl(
            urlsplit(link[:_LONGEST_LINK]).query, keep_blank_values=True, max_num_fields=200
        )
    except ValueError:
        raise BadResponse("the server gave a link that is not a valid address") from None
    for name, value in pairs:
        found[name] = (*found.get(name, ()), value)
    return found
