"""Signed webhooks from a sandbox: pulled by a test, or posted to an address."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from queue import SimpleQueue
from typing import Any
from urllib.parse import urlsplit

from openslot.errors import ConfigError
from openslot.testing.clock import Alarm, SandboxClock
from openslot.testing.faults import Fault, Faults

__all__ = ["SECRET", "Signing", "Webhook", "Webhooks", "standard_webhooks"]

SECRET = "whsec_" + base64.b64encode(b"openslot-sandbox-webhook").decode()
FORGED = "whsec_" + base64.b64encode(b"a-secret-of-someone-else").decode()
MOST_KEPT = 10_000
TIMEOUT = 5.0
RETRIES = (5.0, 30.0)
"""Seconds on the sandbox's clock until one that was not received is posted again."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What a signature may rest on."""

    secret: str = field(repr=False)
    id: str
    at: datetime
    url: str
    body: bytes = field(repr=False)


def standard_webhooks(what: Signing) -> Mapping[str, str]:
    """The headers of Standard Webhooks: HMAC-SHA256 over id, timestamp and body."""
    stamp = str(int(what.at.timestamp()))
    key = what.secret.encode()
    if what.secret.startswith("whsec_"):
        key = base64.b64decode(what.secret.removeprefix("whsec_"))
    signed = b".".join((what.id.encode(), stamp.encode(), what.body))
    mac = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": what.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{mac}",
    }


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook as it leaves: header names in lower case, the body as signed."""

    id: str
    topic: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Webhooks:
    """A vendor's outgoing webhooks; to an `url` where there is one, and kept for `take`.

    Faults count them by topic: `webhook-dropped:path=/appointment.created`.
    """

    def __init__(
        self,
        clock: SandboxClock,
        faults: Faults,
        *,
        sign: Callable[[Signing], Mapping[str, str]] = standard_webhooks,
        secret: str = SECRET,
        url: str | None = None,
    ) -> None:
        self.secret = secret
        self._clock = clock
        self._faults = faults
        self._sign = sign
        self._lock = threading.Lock()
        self._number = 0
        self._left: deque[Webhook] = deque(maxlen=MOST_KEPT)
        self._held: list[tuple[Webhook, Alarm]] = []
        self._alarms: list[Alarm] = []
        self._post: _Post | None = None
        self.to(url)

    @property
    def url(self) -> str | None:
        """Where they are posted."""
        return self._url

    def to(self, url: str | None) -> None:
        """Post them to this address from now on; None posts none. Raises ConfigError."""
        if url is not None and urlsplit(url).scheme not in {"http", "https"}:
            raise ConfigError("webhooks go to an address that begins with http:// or https://")
        self._url = url

    def send(self, topic: str, document: Any) -> None:
        """Tell of something; faults may make it late, twice, after the next, forged or never."""
        faults = {f.name: f for f in self._faults.strikes("webhook", "POST", f"/{topic}")}
        now = self._clock.now()
        with self._lock:
            self._number += 1
            id = f"msg-{self._number}"
        secret = FORGED if "webhook-forged" in faults else self.secret
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        headers = self._sign(Signing(secret, id, now, self._url or "", body))
        hook = Webhook(id, topic, {"content-type": "application/json", **headers}, body)
        if "webhook-dropped" in faults:
            return
        wait = _seconds(faults.get("webhook-delayed"), 60.0)
        if reordered := faults.get("webhook-reordered"):
            late = now + timedelta(seconds=wait + _seconds(reordered, 60.0))
            alarm = self._clock.at(late, lambda: self._release(hook))
            with self._lock:
                self._held.append((hook, alarm))
        else:
            self._leave(hook, wait)
        if "webhook-duplicated" in faults:
            self._leave(hook, wait + _seconds(faults["webhook-duplicated"], 0.0))

    def take(self) -> tuple[Webhook, ...]:
        """What left since it was last asked, in order of leaving."""
        self._clock.ring()
        with self._lock:
            left = tuple(self._left)
            self._left.clear()
        return left

    def clear(self) -> None:
        """Forget what was sent; what is still to leave never will."""
        with self._lock:
            for alarm in (*self._alarms, *(a for _, a in self._held)):
                alarm.off = True
            self._alarms, self._held, self._number = [], [], 0
            self._left.clear()

    def close(self) -> None:
        """Post no more, and wait until the one that is under way is done."""
        self.clear()
        if self._post is not None:
            self._post.close()
            self._post = None

    def _leave(self, hook: Webhook, wait: float) -> None:
        if wait > 0:
            due = self._clock.now() + timedelta(seconds=wait)
            self._arm(due, lambda: self._leave(hook, 0.0))
            return
        with self._lock:
            self._left.append(hook)
            held, self._held = self._held, []
            for other, alarm in held:
                alarm.off = True
                self._left.append(other)
        for each in (hook, *(other for other, _ in held)):
            self._posted(each, 0)

    def _release(self, hook: Webhook) -> None:
        """One that nothing followed."""
        with self._lock:
            self._held = [(h, a) for h, a in self._held if h is not hook]
        self._leave(hook, 0.0)

    def _posted(self, hook: Webhook, attempt: int) -> None:
        if self._url is None:
            return
        if self._post is None:
            self._post = _Post()
        self._post.put(self._url, hook, lambda: self._again(hook, attempt))

    def _again(self, hook: Webhook, attempt: int) -> None:
        if attempt < len(RETRIES):
            due = self._clock.now() + timedelta(seconds=RETRIES[attempt])
            self._arm(due, lambda: self._posted(hook, attempt + 1))

    def _arm(self, due: datetime, action: Callable[[], None]) -> None:
        alarm = self._clock.at(due, action)
        with self._lock:
            self._alarms = [a for a in self._alarms if not a.off]
            self._alarms.append(alarm)


class _Post:
    """A thread that posts one after the other, so that they arrive in the order of leaving.

    It is one of its own because the receiver may call the sandbox before it answers.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[str, Webhook, Callable[[], None]] | None] = SimpleQueue()
        self._over = False
        self._thread = threading.Thread(target=self._work, name="openslot-webhooks", daemon=True)
        self._thread.start()

    def put(self, url: str, hook: Webhook, lost: Callable[[], None]) -> None:
        """Post it in its turn; `lost` is called where it was not received."""
        self._jobs.put((url, hook, lost))

    def close(self) -> None:
        """Post what is under way, and no more."""
        self._over = True
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            url, hook, lost = job
            if not self._over and not _received(url, hook):
                lost()


def _received(url: str, hook: Webhook) -> bool:
    to = urlsplit(url)
    kind = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
    connection = kind(to.hostname or "", to.port, timeout=TIMEOUT)
    target = (to.path or "/") + (f"?{to.query}" if to.query else "")
    try:
        connection.request("POST", target, body=hook.body, headers=dict(hook.headers))
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _seconds(fault: Fault | None, default: float) -> float:
    if fault is None:
        return 0.0
    return default if fault.seconds is None else fault.seconds
