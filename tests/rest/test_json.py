"""JSON reads the same whichever library does it."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openslot.rest import json as ours

FAST = ours._fast()
STANDARD = ours._standard()

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def _try(decode: object, data: bytes) -> object:
    try:
        return json.dumps(decode(data))  # type: ignore[operator]
    except ValueError:
        return ValueError


@given(VALUES)
def test_what_is_written_is_read(value: object) -> None:
    try:
        data = ours.dumps(value)
    except UnicodeEncodeError:
        return
    assert ours.loads(data) == value
    assert STANDARD(data) == value


@given(st.text('{}[]",:\\u0dD8eE+-.12 ntf', max_size=40) | st.text(max_size=20))
def test_both_libraries_agree(text: str) -> None:
    assert FAST is not None
    data = text.encode("utf-8", "surrogatepass")
    assert _try(FAST, data) == _try(STANDARD, data)


@pytest.mark.parametrize(
    "data",
    [
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"1" * 5000,
        b'"\xff"',
        b'"\\ud800"',
        b'"\xed\xa0\x80"',
        b"01",
        b"[1,]",
        b"{}x",
        b"",
        b"\xff\xfe{\x00}\x00",
        b"[" * 5000 + b"]" * 5000,
        b"[" * 101 + b"]" * 101,
    ],
)
@pytest.mark.parametrize("which", ["fast", "standard"])
def test_what_is_refused(data: bytes, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ours, "_decode", FAST if which == "fast" else STANDARD)
    with pytest.raises(ValueError, match="JSON") as caught:
        ours.loads(data)
    assert len(str(caught.value)) < 60


def test_numbers_and_marks() -> None:
    assert ours.loads(b"\xef\xbb\xbf[1.5e3]") == [1500.0]
    assert ours.loads(b'"\\ud83d\\ude00"') == "\U0001f600"
    with pytest.raises(ValueError, match="Out of range"):
        ours.dumps(math.nan)


def _depth(value: object) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(
    st.recursive(
        st.text('[]{}"\\a', max_size=4),
        lambda i: (
            st.lists(i, max_size=3) | st.dictionaries(st.text('[]{}"\\', max_size=3), i, max_size=3)
        ),
        max_leaves=40,
    )
)
def test_nesting_is_measured_as_it_is(value: object) -> None:
    data = ours.dumps(value)
    depth = _depth(value)
    limit = ours.MAX_DEPTH
    try:
        ours.MAX_DEPTH = depth
        assert not ours._deeper_than_allowed(data)
        if depth:
            ours.MAX_DEPTH = depth - 1
            assert ours._deeper_than_allowed(data)
    finally:
        ours.MAX_DEPTH = limit


def test_strings_full_of_brackets_do_not_count_or_hide() -> None:
    assert ours.loads(b'["' + b"[" * 500 + b'\\\\"]') == ["[" * 500 + "\\"]
    hidden = b'["]",' * 150 + b"1" + b"]" * 150
    with pytest.raises(ValueError, match="deeper"):
        ours.loads(hidden)
