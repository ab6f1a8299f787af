"""vcrpy's cassette with our manners: what is the same request, what is written, how it fails.

vcrpy patches the client library from outside and plays answers back; its own matchers ignore the
body and its filters leave answers alone, so both are ours here. A request is compared in the form
in which it is written: addresses and secrets hidden.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vcr.cassette import Cassette as VcrCassette  # type: ignore[import-untyped]
from vcr.patch import PATCHER_NAMES  # type: ignore[import-untyped]
from vcr.record_mode import RecordMode  # type: ignore[import-untyped]
from vcr.request import Request as VcrRequest  # type: ignore[import-untyped]

from openslot.testing.cassettes.file import Cassette, CassetteError, Provenance
from openslot.testing.cassettes.interaction import (
    Answered,
    Headers,
    Interaction,
    Listed,
    Sent,
    differences,
)
from openslot.testing.cassettes.veil import Veil

__all__ = ["MOST", "Mismatch", "Tape", "mismatch", "recording", "replaying"]

MOST = 100
"""Interactions in one cassette: more than that nobody reads."""

_PATCHED = frozenset({"httpx", "httpx2", "aiohttp"})
_SHOWN = 12


class Mismatch(Exception):
    """The session asked for something else than was recorded, or left something unasked."""


class Tape(VcrCassette):  # type: ignore[misc]
    """One session's interactions, while they are recorded or played."""

    def __init__(self, *, veil: Veil, listed: Listed, **options: Any) -> None:
        super().__init__(**options)
        self.veil = veil
        self.listed = listed
        self.mismatches: list[Mismatch] = []
        self._started = 0

    def can_play_response_for(self, request: Any) -> bool:
        """Whether the answer to a request is here; vcrpy asks before anything is sent.

        Raises Mismatch where nothing may be sent.
        """
        request.sent = self._sent(request)
        request.key = request.sent.key
        request.number = self._started  # answers may come in another order, and another each time
        self._started += 1
        if self.record_mode != RecordMode.NONE:
            return False
        if super().can_play_response_for(request):
            return True
        error = mismatch(request.sent, self._recorded(), self.play_counts, Path(self._path))
        self.mismatches.append(error)
        raise error

    @property
    def unanswered(self) -> int:
        """How many requests were sent and never answered while recording."""
        return self._started - len(self)

    def unplayed(self) -> tuple[int, ...]:
        """The numbers, from 1, of the interactions that nobody asked for."""
        return tuple(n + 1 for n in range(len(self)) if not self.play_counts[n])

    def _recorded(self) -> list[Sent]:
        return [request.sent for request in self.requests]

    def _sent(self, request: Any) -> Sent:
        body = request.body
        headers = tuple((str(k), str(v)) for k, v in request.headers.items())
        return Sent.of(request.method, request.uri, headers, _bytes(body), self.veil, self.listed)


class _Persister:
    """Where everything passes on its way to the file and back (vcrpy's word and interface)."""

    def __init__(
        self,
        veil: Veil,
        listed: Listed,
        *,
        found: Cassette | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self._veil = veil
        self._listed = listed
        self._found = found
        self._provenance = provenance

    def load_cassette(self, path: str, serializer: Any) -> tuple[list[Any], list[Any]]:
        """vcrpy's requests and answers of a cassette; a recording starts with nothing."""
        requests: list[Any] = []
        responses: list[Any] = []
        for interaction in self._found.interactions if self._found else ():
            sent, answer = interaction.request, interaction.response.shown(self._veil)
            request: Any = VcrRequest(sent.method, sent.url, sent.body.data(), dict(sent.headers))
            request.sent, request.key = sent, sent.key
            requests.append(request)
            headers: dict[str, list[str]] = {}
            for name, value in answer.headers:
                headers.setdefault(name, []).append(value)
            responses.append(
                {
                    "status": {"code": answer.status, "message": ""},
                    "headers": headers,
                    "body": {"string": answer.body.data()},
                }
            )
        return requests, responses

    def save_cassette(self, path: str, cassette_dict: dict[str, Any], serializer: Any) -> None:
        """Write what was recorded, in the order in which it was asked for; all of it hidden."""
        assert self._provenance is not None
        both = zip(cassette_dict["requests"], cassette_dict["responses"], strict=True)
        interactions = [
            Interaction(request.sent, self._answered(response))
            for request, response in sorted(both, key=lambda pair: pair[0].number)
        ]
        session = tuple(cassette_dict.get("metadata", {}).get("session", ()))
        Cassette(self._provenance, tuple(interactions), session).save(Path(path))

    def _answered(self, response: dict[str, Any]) -> Answered:
        headers: Headers = tuple(
            (name, value) for name, values in response["headers"].items() for value in values
        )
        content = _bytes(response["body"]["string"])
        status = response["status"]["code"]
        return Answered.of(status, headers, content, self._veil, self._listed)


@contextmanager
def recording(
    path: Path, provenance: Provenance, veil: Veil, listed: Listed, session: Sequence[str] = ()
) -> Iterator[Tape]:
    """Send what the block sends, and write it to `path` at its end, unless it raises.

    `session` may grow until then. Raises CassetteError, the file untouched, where a request got
    no answer (there is nothing to play back) and past 100 interactions.
    """
    draft = _use(
        path,
        RecordMode.ALL,
        veil,
        listed,
        _Persister(veil, listed, provenance=provenance),
        drop_unused_requests=True,
    )
    with _quiet(), draft as tape:
        yield tape
        try:
            if tape.unanswered:
                raise CassetteError(
                    f"{tape.unanswered} requests got no answer; a cassette holds answers only"
                )
            if len(tape) > MOST:
                raise CassetteError(
                    f"the session has {len(tape)} interactions; a cassette has at most {MOST}:"
                    " ask for less, or make it two"
                )
            if not len(tape):
                raise CassetteError("the session asked for nothing, so there is nothing to record")
        except CassetteError:
            tape.dirty = False
            raise
        tape.get_metadata("session", [])[:] = session


@contextmanager
def replaying(path: Path, cassette: Cassette, veil: Veil, listed: Listed) -> Iterator[Tape]:
    """Answer what the block asks from the cassette that stands in `path`, and nothing else.

    Raises Mismatch at the first request that was not recorded so; at the end for one that somebody
    swallowed, and for interactions that nobody asked for.
    """
    persister = _Persister(veil, listed, found=cassette)
    with _quiet(), _use(path, RecordMode.NONE, veil, listed, persister) as tape:
        yield tape
        if tape.mismatches:
            raise tape.mismatches[0]
        if left := tape.unplayed():
            recorded = tape._recorded()
            first = ", ".join(f"{n} ({recorded[n - 1].place})" for n in left[:3])
            raise Mismatch(
                f"{path.name}: {len(left)} of {len(tape)} interactions were not played:"
                f" {first}{' ...' if len(left) > 3 else ''}"
            )


def mismatch(sent: Sent, recorded: Sequence[Sent], played: Any, path: Path) -> Mismatch:
    """The error that says in which fields a request differs from the nearest recorded one."""
    head = f"{path.name}: {sent.place} was not recorded like this."
    if not recorded:
        return Mismatch(head)
    wanted = sent.compared
    fields = [tuple(differences(r.compared, wanted)) for r in recorded]

    def distance(number: int) -> tuple[bool, bool, int, bool]:
        other = recorded[number]
        far = (other.method != sent.method, other.url != sent.url)
        return (*far, len(fields[number]), bool(played[number]))

    nearest = min(range(len(recorded)), key=distance)
    if not fields[nearest]:
        return Mismatch(
            f"{path.name}: {sent.place} was recorded, but not as often as it is asked for now"
            f" (interaction {nearest + 1} is the same, and was played)"
        )
    lines = [
        f"  {where}: recorded {_short(was)}, sent {_short(now)}"
        for where, was, now in fields[nearest][:_SHOWN]
    ]
    if len(fields[nearest]) > _SHOWN:
        lines.append(f"  and {len(fields[nearest]) - _SHOWN} more")
    close = f"The nearest is interaction {nearest + 1}, {recorded[nearest].place}:"
    return Mismatch("\n".join([head, close, *lines]))


def _same(one: Any, other: Any) -> bool:
    """vcrpy's matcher."""
    return bool(one.key == other.key)


def _use(
    path: Path,
    mode: RecordMode,
    veil: Veil,
    listed: Listed,
    persister: _Persister,
    **options: Any,
) -> Any:
    return Tape.use(
        path=str(path),
        record_mode=mode,
        veil=veil,
        listed=listed,
        persister=persister,
        match_on=(_same,),
        skip_patchers=tuple(n for n in PATCHER_NAMES if n not in _PATCHED),
        record_on_exception=False,
        **options,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """vcrpy logs whole answers at INFO; none of that may reach anybody's log."""
    logger = logging.getLogger("vcr")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) else bytes(body)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 160 else f"{text[:157]}..."
