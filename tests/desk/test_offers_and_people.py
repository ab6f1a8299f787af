"""Offers, tokens, holds, and whether a caller is a patient of the practice."""

from __future__ import annotations

import base64
import stat
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from desk.conftest import MakeDesk, slot_at
from desk.vendor import Atomic, FakeClock, Vendor, lost

import openslot.sync
from openslot import (
    ConfigError,
    ContactPoint,
    ContactSystem,
    Desk,
    HumanName,
    KeyReused,
    MatchLevel,
    Patient,
    Practice,
    Rejected,
    RejectedReason,
    SlotQuery,
    SlotTaken,
    Stale,
    Unavailable,
    Window,
)
from openslot.keys import Keys

DAY = SlotQuery(Window(slot_at(14).start, slot_at(20).start))


async def test_an_offer_is_a_short_code_for_one_conversation(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    async with make_desk() as desk:
        found = await desk.find_slots(DAY)
        offers = await desk.offer(found.items[:3], conversation="call-1")
        assert len({o.code for o in offers}) == 3 and all(len(o.code) == 5 for o in offers)
        with pytest.raises(Stale):
            await desk.book(offers[1].code, "p1", key="k", conversation="call-2")
        booked = await desk.book(offers[1].code.lower(), "p1", key="k", conversation="call-1")
    assert booked.appointment is not None and booked.appointment.start == offers[1].slot.start


async def test_expiry_bars_a_first_use_only(
    make_desk: MakeDesk, vendor: Vendor, clock: FakeClock
) -> None:
    async with make_desk() as desk:
        found = await desk.find_slots(DAY)
        one, two = await desk.offer(found.items[:2], conversation="c")
        booked = await desk.book(one, "p1", key="k", conversation="c")
        clock.passed += 3600
        assert await desk.book(one, "p1", key="k", conversation="c") == booked
        with pytest.raises(Stale):
            await desk.book(two, "p1", key="k2", conversation="c")
        with pytest.raises(Stale):
            await desk.book(str(found.items[3].token), "p1", key="k3")
    assert len(vendor.standing) == 1


async def test_a_token_carries_all_that_booking_needs_and_tells_nothing(
    make_desk: MakeDesk,
) -> None:
    async with make_desk() as desk:
        found = await desk.find_slots(DAY)
        token = str(found.items[0].token)
        assert desk.unseal(token) == replace(found.items[0], token=None)
        assert b"dr-1" not in base64.urlsafe_b64decode(token)
        assert (await desk.book(token, "p1", key="k")).confirmed


@pytest.mark.parametrize("fault", ["altered", "foreign practice", "foreign key", "nonsense"])
async def test_a_token_that_is_not_ours_is_stale(
    make_desk: MakeDesk, vendor: Vendor, fault: str
) -> None:
    async with make_desk() as desk, make_desk(name="other") as other:
        token = str((await desk.find_slots(DAY)).items[0].token)
        if fault == "foreign practice":
            token = str((await other.find_slots(DAY)).items[0].token)
        elif fault == "foreign key":
            token = Fernet(Fernet.generate_key()).encrypt(b"slot toy\n9e9\n{}").decode()
        elif fault == "altered":
            token = token[:40] + ("A" if token[40] != "A" else "B") + token[41:]
        else:
            token = "x" * 100
        with pytest.raises(Stale):
            await desk.book(token, "p1", key="k")
    assert not vendor.requests


async def test_an_emulated_hold_keeps_the_others_of_this_journal_out(
    make_desk: MakeDesk, vendor: Vendor, clock: FakeClock
) -> None:
    async with make_desk() as desk:
        hold = await desk.hold(slot_at(15), key="h", seconds=60)
        assert hold.emulated
        with pytest.raises(SlotTaken):
            await desk.hold(slot_at(15), key="h2")
        with pytest.raises(SlotTaken):
            await desk.book(slot_at(15), "p2", key="k2")
        assert (await desk.hold(slot_at(15), key="h", seconds=60)).id == hold.id
        assert (await desk.book(hold, "p1", key="k")).confirmed
        lapsed = await desk.hold(slot_at(16), key="h3", seconds=60)
        clock.passed += 61
        await desk.hold(slot_at(16), key="h4", seconds=60)
        assert lapsed.slot == slot_at(16)


async def test_a_native_hold_is_the_vendors(make_desk: MakeDesk, vendor: Vendor) -> None:
    async with make_desk(Atomic) as desk:
        hold = await desk.hold(slot_at(15), key="h")
        assert not hold.emulated and vendor.holds
        with pytest.raises(SlotTaken):
            await desk.book(slot_at(15), "p2", key="k2")
        assert (await desk.book(hold, "p1", key="k")).confirmed
        given = await desk.hold(slot_at(16), key="h2")
        await desk.release(given)
    assert not vendor.holds


def person(
    family: str = "Quillfeather",
    given: str = "Odalys",
    born: date | None = date(1980, 2, 29),
    phone: str = "+1 212 555 0142",
    id: str | None = None,
) -> Patient:
    return Patient(
        id=id,
        name=HumanName(family=family, given=(given,)),
        birth_date=born,
        telecom=(ContactPoint(ContactSystem.PHONE, phone),) if phone else (),
    )


@pytest.mark.parametrize(
    ("known", "level"),
    [
        ([], MatchLevel.NONE),
        ([person(id="1")], MatchLevel.ONE),
        ([person(id="1", phone="(212) 555-0142")], MatchLevel.ONE),
        ([person(id="1", phone="212 555 0199")], MatchLevel.ONE),
        ([person(id="1", family="QUILLFEATHER", given="odalýs")], MatchLevel.ONE),
        ([person(id="1", born=date(1980, 3, 1))], MatchLevel.NONE),
        ([person(id="1", given="Oda")], MatchLevel.MANY),  # a short form, or a twin: ask
        ([person(id="1"), person(id="2")], MatchLevel.MANY),
        ([person(id="1"), person(id="2", phone="")], MatchLevel.ONE),
        ([person(id="1", phone=""), person(id="2", phone="")], MatchLevel.MANY),
        ([replace(person(id="1"), active=False)], MatchLevel.NONE),
    ],
)
async def test_none_one_and_many_are_three_answers(
    make_desk: MakeDesk, vendor: Vendor, known: list[Patient], level: MatchLevel
) -> None:
    vendor.patients = {str(p.id): p for p in known}
    async with make_desk() as desk:
        found = await desk.find_patient(person())
    assert found.level is level
    assert (found.patient is None) is (level is not MatchLevel.ONE)


async def test_nobody_is_not_none_while_a_page_is_missing(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.blind = True
    async with make_desk() as desk:
        with pytest.raises(Unavailable):
            await desk.find_patient(person())


@pytest.mark.parametrize("answer_lost", [False, True])
async def test_a_new_person_is_registered_once_and_booked(
    make_desk: MakeDesk, vendor: Vendor, tmp_path: Path, answer_lost: bool
) -> None:
    if answer_lost:
        vendor.after["create_patient"] = [lost]
    async with make_desk() as desk:
        for _ in range(2):
            outcome = await desk.book(slot_at(15), person(), key="k")
        with pytest.raises(KeyReused):
            await desk.book(slot_at(15), person(given="Else"), key="k")
    assert outcome.confirmed
    assert [a.patient for a in vendor.standing] == list(vendor.patients)
    assert len(vendor.patients) == 1
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"Quillfeather" not in kept and b"1980" not in kept and b"0142" not in kept


async def test_a_person_who_may_be_several_is_not_registered(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    vendor.patients = {"1": person(id="1"), "2": person(id="2")}
    async with make_desk() as desk:
        with pytest.raises(Rejected) as caught:
            await desk.register_patient(person(), key="k")
    assert caught.value.reason is RejectedReason.DUPLICATE_PATIENT
    assert not vendor.requests


def test_generated_keys_are_their_owners_alone(tmp_path: Path) -> None:
    practice = Practice("p", "toy", "Europe/Vienna")
    path = tmp_path / "keys"
    first, second = Keys.of(practice, path), Keys.of(practice, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert second.unseal("x", first.seal("x", "text")) == "text"
    assert first.mac("a", "b") == second.mac("a", "b") != first.mac("ab")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keys.of(practice, path)


def test_sealing_keys_rotate(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OLD", "NEW"):
        monkeypatch.setenv(name, Fernet.generate_key().decode())
    monkeypatch.setenv("SIGN", "s" * 32)

    def keys(*names: str) -> Keys:
        sealing = tuple(f"env:{n}" for n in names)
        practice = Practice("p", "toy", "UTC", sealing_keys=sealing, signing_key="env:SIGN")
        return Keys.of(practice, None)

    sealed = keys("OLD").seal("x", "text")
    assert keys("NEW", "OLD").unseal("x", sealed) == "text"
    with pytest.raises(Stale):
        keys("NEW").unseal("x", sealed)


def test_the_desk_without_an_event_loop(tmp_path: Path, vendor: Vendor, clock: FakeClock) -> None:
    from desk.vendor import Marked

    practice = Practice("toy", "toy", "America/New_York")
    with openslot.sync.Desk(
        practice, journal=tmp_path / "j.db", connector=Marked(vendor, clock), clock=clock
    ) as desk:
        found = desk.find_slots(DAY)
        assert desk.book(found.items[0], "p1", key="k").confirmed
        with pytest.raises(SlotTaken):
            desk.book(found.items[0], "p2", key="k2")
    assert issubclass(Desk, object)


async def test_who_was_registered_just_now_is_booked_as_new(
    make_desk: MakeDesk, vendor: Vendor
) -> None:
    asked: list[bool | None] = []
    vendor.patients = {"7": person(id="7", family="Known")}
    async with make_desk() as desk:
        original = desk.connector.book

        async def noted(request: object) -> object:
            asked.append(request.new_patient)  # type: ignore[attr-defined]
            return await original(request)  # type: ignore[arg-type]

        desk.connector.book = noted  # type: ignore[method-assign,assignment]
        await desk.book(slot_at(15), person(), key="a")
        await desk.book(slot_at(16), person(family="Known"), key="b")
        await desk.book(slot_at(17), person(family="Third"), key="c", new_patient=False)
    assert asked == [True, None, False]
