"""Whether a person who calls is one of the practice's patients: none, one or many."""

from __future__ import annotations

import re
import unicodedata

from openslot.desk.outcome import Match, MatchLevel
from openslot.errors import Unavailable
from openslot.model import ContactSystem, HumanName, Listing, Patient, PatientQuery

__all__ = ["match", "query_for"]

_PHONES = (ContactSystem.PHONE, ContactSystem.SMS)


def query_for(patient: Patient) -> PatientQuery:
    """What to ask the vendor for, to find this person: the narrowest that survives a typing error.

    Family name and date of birth where both are known; the rest is compared here.
    """
    name = patient.name or HumanName()
    phones, mails = patient.contacts(*_PHONES), patient.contacts(ContactSystem.EMAIL)
    if name.family and patient.birth_date:
        return PatientQuery(family=name.family, birth_date=patient.birth_date)
    return PatientQuery(
        family=name.family,
        given=name.given[0] if name.given else None,
        birth_date=patient.birth_date,
        phone=phones[0] if phones else None,
        email=mails[0] if mails else None,
        identifier=patient.identifiers[0] if patient.identifiers else None,
    )


def match(wanted: Patient, found: Listing[Patient]) -> Match:
    """Which of those found is the one wanted.

    A candidate fits when no given fact contradicts it and at least two agree (one, where only one
    was given). A fact that the practice does not have contradicts nothing. Raises Unavailable
    where the search was incomplete and "none" or "one" would be a guess.
    """
    given = len(_facts(wanted))
    fitting, near = [], False
    for candidate in found:
        agreed, denied = _compare(wanted, candidate)
        if not candidate.active or len(agreed) < min(2, given):
            continue
        if not denied:
            fitting.append((candidate, agreed))
        elif denied == ["given"]:
            # A short form of the same name, or a twin: a person must ask.
            near = True
    if len(fitting) > 1:
        fitting = [f for f in fitting if len(f[1]) == given]
        if len(fitting) != 1:
            return Match(MatchLevel.MANY)
    if not found.complete:
        raise Unavailable("the practice's list of patients could not be read in full", sent=False)
    if not fitting:
        return Match(MatchLevel.MANY if near else MatchLevel.NONE)
    patient, agreed = fitting[0]
    return Match(MatchLevel.ONE, patient, tuple(agreed))


def _facts(p: Patient) -> list[tuple[str, frozenset[str]]]:
    name = p.name or HumanName()
    facts = {
        "id": {p.id} if p.id else set(),
        "family": {_plain(name.family)} if name.family else set(),
        "given": {_plain(name.given[0])} if name.given else set(),
        "birth_date": {p.birth_date.isoformat()} if p.birth_date else set(),
        "phone": {_digits(c) for c in p.contacts(*_PHONES)} - {""},
        "email": {c.strip().casefold() for c in p.contacts(ContactSystem.EMAIL)},
        "identifier": {f"{i.system}|{i.value}" for i in p.identifiers},
    }
    return [(name, frozenset(values)) for name, values in facts.items() if values]


# People change phones and addresses: those may differ. Who somebody is may not.
_HARD = {"id", "family", "given", "birth_date"}


def _compare(wanted: Patient, candidate: Patient) -> tuple[list[str], list[str]]:
    known = dict(_facts(candidate))
    agreed, denied = [], []
    for name, values in _facts(wanted):
        if name not in known:
            continue
        if values & known[name]:
            agreed.append(name)
        elif name in _HARD:
            denied.append(name)
    return agreed, denied


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text)
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", "", letters).casefold()


def _digits(text: str) -> str:
    # The last nine digits: the same number with and without country code or trunk zero.
    return re.sub(r"\D", "", text)[-9:]
