"""A cassette as a person reads it: one line an interaction, or one interaction whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openslot.testing.cassettes.body import Body, Pairs
from openslot.testing.cassettes.file import Cassette
from openslot.testing.cassettes.interaction import Answered, Interaction, Sent

__all__ = ["overview", "whole"]


def overview(cassette: Cassette) -> Iterator[str]:
    """Who answered, what the session came to, and a line for each interaction."""
    provenance = cassette.provenance
    yield f"{provenance.connector}, answered by {provenance.answered_by}"
    yield (
        f"recorded {provenance.recorded.isoformat()} with openslot"
        f" {provenance.versions.get('openslot', '?')}; scenario {provenance.scenario}, clock"
        f" {provenance.clock.isoformat()}, seed {provenance.seed}"
    )
    if cassette.session:
        yield ""
        yield from (f"  {line}" for line in cassette.session)
    yield ""
    width = len(str(len(cassette.interactions)))
    for number, interaction in enumerate(cassette.interactions, 1):
        yield f"{number:>{width}}  {one_line(interaction)}"


def one_line(interaction: Interaction) -> str:
    """Method, place, what was asked, status, and what the answer is."""
    sent, answered = interaction.request, interaction.response
    asked = " ".join(f"{k}={v}" for k, v in _said(sent) if not k.startswith("_"))
    place = sent.url.replace("{base_url}/", "").replace("{origin}", "")
    return (
        f"{sent.method} {place} {_short(asked)}".rstrip()
        + f" -> {answered.status} {_gist(answered)}"
    )


def whole(interaction: Interaction) -> Iterator[str]:
    """The interaction as HTTP shows it, its bodies laid out."""
    sent, answered = interaction.request, interaction.response
    yield f"{sent.method} {sent.url}"
    yield from (f"    {name} = {value}" for name, value in sent.query)
    yield from (f"{name}: {value}" for name, value in sent.headers)
    yield from _body(sent.body)
    yield ""
    yield f"{answered.status}"
    yield from (f"{name}: {value}" for name, value in answered.headers)
    yield from _body(answered.body)


def _said(sent: Sent) -> Pairs:
    conditions = tuple((k, v) for k, v in sent.headers if k in {"if-match", "if-none-exist"})
    form = sent.body.value if sent.body.kind == "form" else ()
    return (*sent.query, *form, *conditions)


def _gist(answered: Answered) -> str:
    value = answered.body.value
    if answered.body.kind != "json":
        return "" if answered.body.kind == "none" else f"({answered.body.kind})"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if not isinstance(value, dict):
        return _short(json.dumps(value))
    kind = value.get("resourceType")
    if kind == "Bundle":
        return f"Bundle of {len(value.get('entry') or ())}"
    if kind == "OperationOutcome":
        issues = value.get("issue") or [{}]
        return f"OperationOutcome {issues[0].get('code', '')}".rstrip()
    words = [str(value[k]) for k in ("id", "status") if isinstance(value.get(k), str)]
    return " ".join([str(kind or "an object"), *words])


def _body(body: Body) -> Iterator[str]:
    if body.kind == "none":
        return
    yield ""
    match body.kind:
        case "json":
            yield from json.dumps(body.value, indent=2, ensure_ascii=False).splitlines()
        case "form":
            yield from (f"{name} = {value}" for name, value in body.value)
        case "text":
            yield from str(body.value).splitlines()
        case _:
            yield f"{len(body.data())} bytes that are not UTF-8 text"


def _short(value: Any, most: int = 110) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
