"""What looks like a secret in a cassette: by name, by shape, and by how random it is."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote

from openslot.testing.cassettes.veil import SECRET, credentials_in, is_secret_name

__all__ = ["secrets_in"]

_SHAPES = (
    ("a JSON Web Token", re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}\.")),
    ("a PEM block", re.compile(r"-----BEGIN [A-Z0-9 ]+-----")),
    ("a user name and password in a URL", re.compile(r"://[^/\s:@]+:[^/\s@]+@")),
    ("an AWS key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("a Google key", re.compile(r"\bAIza[A-Za-z0-9_-]{30,}")),
    ("a payment key", re.compile(r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{8,}")),
    ("a GitHub or Slack token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|xox[abprs]-)")),
    ("a sealed token", re.compile(r"\bgAAAAA[A-Za-z0-9_-]{20,}")),
)
_UUID = re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b")
_HEX = re.compile(r"\b[0-9a-fA-F]{32,}\b")
_WORD = re.compile(r"[A-Za-z0-9+_=-]{24,}")
_BITS = 3.7
"""Bits a character from which on a mixed word of 24 or more is taken for random."""
# Versions name a state of a record and open nothing, whatever they look like.
_VERSIONS = frozenset({"etag", "if-match", "if-none-match", "versionid", "last-modified"})


def secrets_in(name: str, text: str) -> Iterator[str]:
    """What is wrong with a text that is the value of `name`: phrases that do not repeat it."""
    if is_secret_name(name):
        if text not in {"", SECRET}:
            yield f"{name} holds a value, where {SECRET} belongs"
        return
    for what, pattern in _SHAPES:
        if pattern.search(text):
            yield what
    for found in credentials_in(text):
        yield f"a {found[1].capitalize()} credential"
    if "?" in text:  # a link repeats what it was asked with
        for asked, value in parse_qsl(text.partition("?")[2]):
            if is_secret_name(asked) and value != SECRET:
                yield f"{asked} holds a value, where {SECRET} belongs"
    if name.lower() in _VERSIONS:
        return
    rest = _UUID.sub(" ", unquote(text))  # %7C is no part of a word
    if _HEX.search(rest):
        yield "a long hexadecimal word, as keys are"
    elif any(_random(word) for word in _WORD.findall(rest)):
        yield "a long random word, as keys are"


def _random(word: str) -> bool:
    kinds = (any(c.islower() for c in word), any(c.isupper() for c in word))
    digits = sum(c.isdigit() for c in word)
    if not (all(kinds) and digits >= 2):
        return False
    counts = Counter(word)
    bits = -sum(n / len(word) * math.log2(n / len(word)) for n in counts.values())
    return bits >= _BITS
