"""Bodies survive the file: readable where that loses nothing, exact where it would."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cassette_tests.toy import provenance
from openslot.testing.cassettes import Cassette
from openslot.testing.cassettes.body import Body, unpacked
from openslot.testing.cassettes.interaction import Answered, Interaction, Sent, differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def through_a_file(body: Body) -> Body:
    interaction = Interaction(Sent("GET", "{base_url}/x"), Answered(200, (), body))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.yaml"
        Cassette(provenance(), (interaction,)).save(path)
        return Cassette.load(path).interactions[0].response.body


@given(JSON)
def test_json_means_the_same_afterwards(value):
    data = json.dumps(value).encode()
    body = through_a_file(Body.of(data, "application/fhir+json"))
    assert not list(differences(value, json.loads(body.data())))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
BREAKS = ["a\x85b\nc", "a\u2028b\nc", "\ufeffx\n", " x\n y", "a\r\nb", "a \n\n", "\n"]


@given(TEXTS | st.sampled_from(BREAKS))
def test_text_is_the_same_afterwards(text):
    data = text.encode()
    assert through_a_file(Body.of(data, "text/plain")).data() == data


@given(st.binary(min_size=1))
def test_any_bytes_are_the_same_afterwards(data):
    assert through_a_file(Body.of(data, "application/octet-stream")).data() == data


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1.50}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        "{",
        "[NaN]",
        "1e5",
        "[" * 200 + "]" * 200,
    ],
)
def test_json_that_would_change_stays_text(text):
    body = Body.of(text.encode(), "application/json")
    assert body.kind == "text"
    assert through_a_file(body).data() == text.encode()


def test_a_form_is_kept_as_fields_and_repeats():
    body = Body.of(b"a=1&b=x+y&a=2&c=", "application/x-www-form-urlencoded")
    assert body.plain() == {"form": {"a": ["1", "2"], "b": "x y", "c": ""}}


def test_what_is_no_form_stays_text():
    body = Body.of(b'{"a": 1}', "application/x-www-form-urlencoded")
    assert body == Body("text", '{"a": 1}')


def test_packed_answers_are_unpacked_whole_or_refused():
    packed = gzip.compress(b"abc" * 100)
    assert unpacked(packed, "gzip") == b"abc" * 100
    assert unpacked(b"plain", "identity") == b"plain"
    for broken in (packed[:-9], b"no gzip"):
        with pytest.raises(ValueError, match="packed"):
            unpacked(broken, "gzip")
