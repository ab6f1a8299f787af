"""Who in a cassette could be a real person: names, numbers, addresses that we did not invent.

Names are those that the synthetic clinic of the recording's seed is made of, or those of test
patients that the vendor publishes. A name is looked for where names stand (FHIR's HumanName, the
display of a reference to a person, members and parameters called after names), not in free text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

from openslot.clinic.synthetic import synthetic_names
from openslot.testing.cassettes.scenarios import strangers

__all__ = ["People", "people_in"]

_EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@((?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,})")
_RESERVED = re.compile(
    r"(?:^|\.)(?:example\.(?:org|com|net)|invalid|test|example)\Z", re.IGNORECASE
)
_PHONE = re.compile(
    r"(?<![\w.:-])(?:\+\d[\d ().-]{7,}\d"
    r"|(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}[ .-])\d{3}[ .-]\d{4})(?![\w-])"
)
_FICTION = re.compile(r"\A1?(?:\d{3})?55501\d{2}\Z")
_SSN = re.compile(r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])")
_PHONE_NAMES = frozenset(
    {"phone", "mobile", "mobilephone", "cellphone", "homephone", "workphone", "tel", "fax", "sms"}
    | {"phonenumber", "telephone"}
)
_NAME_NAMES = frozenset(
    {"family", "given", "firstname", "lastname", "middlename", "surname", "familyname"}
    | {"givenname", "forename", "fullname", "patientname", "preferredname", "maidenname"}
)
_BIRTH_NAMES = frozenset({"birthdate", "dob", "dateofbirth", "birthday"})
_STREET_NAMES = frozenset({"line", "street", "streetaddress", "address1", "address2"})
_TITLES = frozenset({"dr", "mr", "mrs", "ms", "mx", "prof", "md", "do", "np", "pa", "jr", "sr"})
_PEOPLE_TYPES = ("Patient/", "Practitioner/", "RelatedPerson/", "Person/")


class People:
    """The words that invented names are made of, for one seed, and the vendor's test patients."""

    def __init__(self, seed: int, published: Iterable[str] = ()) -> None:
        self._words = _words(seed) | {w for n in published for w in _split(n)}

    def knows(self, name: str, *, beginning: bool = False) -> bool:
        """Whether every word of a name is invented; `beginning` of one, as a search may say."""
        words = [w for w in _split(name) if w not in _TITLES]
        if beginning:
            return all(any(known.startswith(w) for known in self._words) for w in words)
        return all(w in self._words for w in words)


def people_in(value: Any, people: People) -> Iterator[tuple[str, str]]:
    """Where a JSON value, or fields by name, may name a real person: path and phrase."""
    yield from _walk(value, "", "", people)


def _walk(value: Any, path: str, name: str, people: People) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from _person(value, path, people)
        for member, inner in value.items():
            yield from _walk(inner, f"{path}.{member}" if path else str(member), member, people)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _walk(inner, f"{path}[{index}]", name, people)
    elif isinstance(value, str):
        yield from ((path, what) for what in _text(name, value, people))


def _person(value: dict[str, Any], path: str, people: People) -> Iterator[tuple[str, str]]:
    """What only an object as a whole shows."""
    resource = value.get("resourceType")
    names = value.get("name")
    if isinstance(names, str) and resource is None and _plain_keys(value) & _BIRTH_NAMES:
        yield from _unless(people.knows(names), f"{path}.name", "a name that we did not invent")
    for entry in names if isinstance(names, list) else []:
        text = entry.get("text") if isinstance(entry, dict) else None
        if isinstance(text, str):
            yield from _unless(people.knows(text), f"{path}.name", "a name that we did not invent")
    reference, display = value.get("reference"), value.get("display")
    if isinstance(reference, str) and isinstance(display, str):
        of_person = any(kind in reference for kind in _PEOPLE_TYPES)
        known = not of_person or people.knows(display)
        yield from _unless(known, f"{path}.display", "a name that we did not invent")
    telecom = value.get("system") in {"phone", "sms", "fax", "pager"}
    if telecom and isinstance(value.get("value"), str):
        fine = bool(_FICTION.match(_digits(value["value"])))
        yield from _unless(fine, f"{path}.value", "a telephone number outside 555-01xx")
    if resource == "Patient":
        if isinstance(value.get("text"), dict):
            yield f"{path}.text".lstrip("."), "a narrative of a patient, which nothing can check"
        if "photo" in value:
            yield f"{path}.photo".lstrip("."), "a photograph"
    if _plain_keys(value) & _BIRTH_NAMES and not _named(value):
        yield path or "the fields", "a date of birth without a name that shows it to be invented"


def _text(name: str, text: str, people: People) -> Iterator[str]:
    plain = name.partition(":")[0]  # a search modifier, as in family:exact
    plain = _plain(plain)
    if plain in _NAME_NAMES and not people.knows(text, beginning=text.islower()):
        yield "a name that we did not invent"
    numbers = [_digits(found) for found in _PHONE.findall(text)]
    if plain in _PHONE_NAMES and len(_digits(text)) >= 7:
        numbers.append(_digits(text))
    if not all(_FICTION.match(number) for number in numbers):
        yield "a telephone number outside 555-01xx"
    if any(not _RESERVED.search(domain) for domain in _EMAIL.findall(text)):
        yield "a mail address outside example.org, .com, .net and the reserved domains"
    if _SSN.search(text):
        yield "a social security number"
    if "?" in text:  # a link repeats what was searched for
        for asked, value in parse_qsl(text.partition("?")[2]):
            if "?" not in value:
                yield from _text(asked, value, people)
    if plain in _STREET_NAMES and "example" not in text.lower():
        yield 'a street that is not called "Example"'


def _named(value: dict[str, Any]) -> bool:
    if _plain_keys(value) & (_NAME_NAMES | {"name"}):
        return True
    return any(isinstance(v, dict) and _plain_keys(v) & _NAME_NAMES for v in value.values())


def _plain_keys(value: dict[str, Any]) -> set[str]:
    return {_plain(str(k).partition(":")[0]) for k in value}


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def _split(name: str) -> list[str]:
    return [w for w in re.split(r"[^\w]+", name.lower()) if w]


def _unless(fine: bool, path: str, what: str) -> Iterator[tuple[str, str]]:
    if not fine:
        yield path.lstrip("."), what


@cache
def _words(seed: int) -> frozenset[str]:
    names = (*synthetic_names(seed), *strangers(seed))
    return frozenset(w for n in names for w in _split(n))
