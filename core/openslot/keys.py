"""The keys that seal what leaves this process, and that turn callers' keys into markers.

They come from the practice's settings; else from a generated file beside the journal that only its
owner can read. Sealing is Fernet (the `cryptography` library): encrypted and authenticated, with
rotation.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from openslot.errors import ConfigError, Stale

if TYPE_CHECKING:
    from cryptography.fernet import MultiFernet

    from openslot.practice import Practice

__all__ = ["Keys"]


class Keys:
    """A signing key, which never changes, and sealing keys, of which the first seals."""

    def __init__(self, signing: bytes, sealing: tuple[str, ...]) -> None:
        self._signing = signing
        self._sealing = sealing
        self._fernet: MultiFernet | None = None

    def __repr__(self) -> str:
        return "Keys(...)"

    @classmethod
    def of(cls, practice: Practice, beside: Path | None) -> Keys:
        """The practice's keys; those it does not name come from the file `beside`.

        Without a file (a journal in memory) they last as long as the process. Raises ConfigError
        for a key of the wrong form, or a key file that others may read.
        """
        made = _generated(beside)
        signing = (
            practice.secret(practice.signing_key).encode()
            if practice.signing_key
            else base64.urlsafe_b64decode(made["signing"])
        )
        if len(signing) < 32:
            raise ConfigError(f"practice {practice.name!r}: signing_key must have 32 bytes or more")
        sealing = tuple(practice.secret(r) for r in practice.sealing_keys) or (made["sealing"],)
        keys = cls(signing, sealing)
        try:
            _ = keys.fernet
        except ValueError as error:
            raise ConfigError(
                f"practice {practice.name!r}: a sealing key is 32 bytes in URL-safe base64, "
                f"as Fernet.generate_key() of the cryptography package makes it"
            ) from error
        return keys

    @property
    def fernet(self) -> MultiFernet:
        """The sealing keys, made ready on first use."""
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet

            self._fernet = MultiFernet([Fernet(k) for k in self._sealing])
        return self._fernet

    def mac(self, *parts: str) -> str:
        """A keyed hash of the parts: 160 bits as 32 lower-case letters and digits."""
        message = json.dumps(parts).encode()
        digest = hmac.digest(self._signing, message, hashlib.sha256)
        return base64.b32encode(digest[:20]).decode().lower()

    def seal(self, purpose: str, text: str) -> str:
        """The text, readable and alterable only by holders of a sealing key, for one purpose."""
        return self.fernet.encrypt(f"{purpose}\n{text}".encode()).decode()

    def unseal(self, purpose: str, token: str) -> str:
        """What was sealed for this purpose. Raises Stale for anything else, without saying why."""
        from cryptography.fernet import InvalidToken

        try:
            found, _, text = self.fernet.decrypt(token.encode()).decode().partition("\n")
        except (InvalidToken, ValueError):
            found, text = "", ""
        if found != purpose:
            raise Stale(
                "this token is expired, altered, or from another practice; search again",
                sent=False,
            )
        return text


def _generated(path: Path | None) -> dict[str, str]:
    if path is None:
        return _fresh()
    try:
        _refuse_open(path)
        made: dict[str, str] = json.loads(path.read_text(encoding="ascii"))
        return {"signing": made["signing"], "sealing": made["sealing"]}
    except FileNotFoundError:
        pass
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ConfigError(f"the key file {path} is damaged; restore it from a backup") from error
    # Written whole under another name, then linked: of two processes that start at once, the one
    # that comes second reads the first one's keys, and none ever reads half a file.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(_fresh(), file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _generated(path)


def _fresh() -> dict[str, str]:
    return {
        "signing": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "sealing": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    }


def _refuse_open(path: Path) -> None:
    mode = path.stat().st_mode
    if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"others may read the key file {path}; run: chmod 600 {path}")
