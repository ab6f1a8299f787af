"""Laws 1 and 10: who somebody is, without their name in an address."""

from __future__ import annotations

from urllib.parse import unquote_plus

from openslot.errors import OpenSlotError
from openslot.model import ContactSystem, PatientQuery
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import failing_at_each_request, leaf
from openslot.testing.suite.world import CANARY, NEW_CANARY, leaks, named

__all__ = ["People"]


class People(Suite):
    """`find_patients` and `create_patient`."""

    @check(1, "find_patients")
    async def test_a_patient_is_found_by_name_and_birth_date(self, bench: Bench) -> None:
        """Among those who may be meant is the one who is.

        If it fails: send dates as the vendor wants them; read every page.
        """
        found = await bench.connector.find_patients(named(CANARY))
        assert found.complete, "a plain search was not complete"
        assert bench.people.canary in {p.id for p in found}, "the patient is not among those found"
        one = next(p for p in found if p.id == bench.people.canary)
        assert one.birth_date == CANARY.birth_date, "the birth date is another (a date has no zone)"
        assert one.name is not None, "the patient has no name"
        assert one.name.family == "Qanaryfam", "the family name is another"

    @check(1, "find_patients")
    async def test_a_stranger_is_not_found(self, bench: Bench) -> None:
        """Whoever is not there is known to be not there.

        If it fails: an empty answer is complete; nobody else is answered in their place.
        """
        found = await bench.connector.find_patients(named(NEW_CANARY))
        assert found.none, f"{len(found.items)} people for somebody who is not a patient"

    @check(1, "find_patients", wire=True)
    async def test_a_failed_search_for_a_patient_is_not_silence(self, bench: Bench) -> None:
        """A search that fails is an error or incomplete, so that nobody is registered twice.

        If it fails: put what failed under `missing`, or raise.
        """
        await failing_at_each_request(
            bench, "error-503", lambda c: c.find_patients(named(CANARY)), lambda p: p.id
        )

    @check(10, "find_patients", wire=True)
    async def test_no_address_names_the_patient_searched_for(self, bench: Bench) -> None:
        """Name, birth date, phone and e-mail of a patient are in no URL.

        If it fails: search by POST where the vendor can; URLs end up in other people's logs.
        """
        await bench.connector.find_patients(named(CANARY))
        phone = CANARY.contacts(ContactSystem.PHONE)[0]
        await leaf(bench.connector.find_patients(PatientQuery(phone=phone)), "search by phone")
        self._look(bench)

    @check(10, "create_patient", wire=True)
    async def test_no_address_names_the_patient_registered(self, bench: Bench) -> None:
        """Registering somebody puts nothing of them into a URL.

        If it fails: a conditional create (If-None-Exist and the like) asks by our marker only.
        """
        await bench.connector.create_patient(NEW_CANARY, intent=bench.intent())
        self._look(bench)

    @check(4, "create_patient")
    async def test_a_new_patient_is_registered(self, bench: Bench) -> None:
        """The practice has the person afterwards, as they were given.

        If it fails: compare what you send, the birth date first.
        """
        made = await bench.connector.create_patient(NEW_CANARY, intent=bench.intent())
        assert made.id, "a registered patient has an id"
        there = bench.registered(named(NEW_CANARY))
        assert [bench.vendor_id("patient", str(p.id)) for p in there] == [made.id], (
            "the practice does not have the person under the id that was answered"
        )
        assert there[0].birth_date == NEW_CANARY.birth_date, (
            "the birth date is another (a date has no zone)"
        )
        phones = there[0].contacts(ContactSystem.PHONE)
        assert phones == NEW_CANARY.contacts(ContactSystem.PHONE), "the phone number was lost"

    @check(4, "create_patient", wire=True)
    async def test_a_lost_registration_is_not_sent_again(self, bench: Bench) -> None:
        """The answer to a registration is lost: the person is there once.

        If it fails: use `self.write`; read back by your marker what became of it.
        """
        bench.fault("lost-reply", lasting=False, method="POST")
        work = bench.connector.create_patient(NEW_CANARY, intent=bench.intent())
        result = await leaf(work, "a lost registration")
        bench.heal()
        count = len(bench.registered(named(NEW_CANARY)))
        assert count <= 1, f"the person was registered {count} times"
        if isinstance(result, OpenSlotError) and count:
            assert result.sent is not False, "it was registered, and the error says nothing left"

    def _look(self, bench: Bench) -> None:
        assert bench.wire.seen, "nothing was sent, so nothing can be seen"
        for seen in bench.wire.seen:
            found = leaks(unquote_plus(seen.target))
            assert not found, f"the URL of a {seen.method} request names the patient: {found}"
