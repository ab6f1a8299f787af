"""Law 10: a patient who can be recognised everywhere is nowhere but where they were asked for."""

from __future__ import annotations

import json
import traceback
from collections.abc import Awaitable
from typing import Any

from openslot.model import AppointmentQuery, CancelRequest
from openslot.testing.suite.base import Suite, check
from openslot.testing.suite.bench import Bench
from openslot.testing.suite.expect import leaf
from openslot.testing.suite.world import CANARY, COMMENT, NEW_CANARY, leaks, named

__all__ = ["Privacy"]

ECHO = {
    "message": "Qanaryfam, Qanarygiv (1907-03-05, 555-0147) cannot be booked",
    "error": "Qanaryfam has a visit already",
    "resourceType": "OperationOutcome",
    "issue": [{"severity": "error", "code": "invalid", "diagnostics": "Qanaryfam 1907-03-05"}],
}
"""What servers do: they repeat in an error what was sent to them."""


class Privacy(Suite):
    """Canaries."""

    @check(10, "book")
    async def test_no_log_names_the_patient(self, bench: Bench) -> None:
        """A booking, a search and a cancellation leave nothing of the patient in any log.

        If it fails: log verbs, paths without queries, statuses; never bodies or whole URLs.
        """
        with bench.logs() as logs:
            await self._work(bench)
        found = leaks("\n".join(logs))
        assert not found, f"log records name the patient: {found}"

    @check(10, "book")
    async def test_no_answer_s_repr_names_the_patient(self, bench: Bench) -> None:
        """What verbs answer can be put into a log line.

        If it fails: subclasses of the model's values must not show more than they do.
        """
        found = leaks(repr(await self._work(bench)))
        assert not found, f"the repr of an answer names the patient: {found}"

    @check(10, "book", wire=True)
    async def test_no_error_repeats_what_the_server_says_of_a_patient(self, bench: Bench) -> None:
        """A server's error that names the patient is told without their name.

        If it fails: build messages from the status and known codes, never from the vendor's text.
        """
        slot = await bench.slot()
        body = json.dumps(ECHO).encode()
        with bench.logs() as logs:
            for status in (400, 404, 409, 412, 422, 500):
                request = bench.request(slot, patient=bench.people.canary, comment=COMMENT)
                bench.answer_instead(status, body, "application/json")
                told = await self._told(bench, bench.connector.book(request))
                bench.heal()
                assert not leaks(told), f"the error for {status} names the patient: {leaks(told)}"
        assert not leaks("\n".join(logs)), "a log record names the patient"

    @check(10, "find_patients", wire=True)
    async def test_no_error_repeats_what_was_asked(self, bench: Bench) -> None:
        """A search for a patient that fails names nobody, and shows no query string.

        If it fails: errors name verb, path and status; a URL in a message ends before its `?`.
        """
        with bench.logs() as logs:
            for fault in ("error-500", "html-200", "malformed-json", "lost-reply", "wrong-charset"):
                bench.fault(fault)
                search = (await bench.another()).find_patients(named(CANARY))
                told = await self._told(bench, search)
                assert not leaks(told), f"{fault}: the error names the patient: {leaks(told)}"
        assert not leaks("\n".join(logs)), "a log record names the patient"

    async def _work(self, bench: Bench) -> list[Any]:
        """A call's worth of verbs about the canary; answers everything that came back."""
        can = bench.connector.capabilities.can
        slot = await bench.slot()
        request = bench.request(slot, patient=bench.people.canary, comment=COMMENT)
        answers: list[Any] = [request, await bench.connector.book(request)]
        id = bench.vendor_id("appointment", bench.standing()[0].id)
        if can("get_appointment"):
            answers.append(await bench.connector.get_appointment(id))
        if can("list_appointments"):
            query = AppointmentQuery(patient=bench.people.canary)
            answers.append(await bench.connector.list_appointments(query))
        if can("find_patients"):
            answers.append(await bench.connector.find_patients(named(CANARY)))
        if can("create_patient") and bench.registers:
            work = bench.connector.create_patient(NEW_CANARY, intent=bench.intent())
            answers.append(await leaf(work, "registering somebody"))
        if can("cancel"):
            cancel = CancelRequest(bench.intent(), id, reason="Qanaryreason")
            answers.append(await bench.connector.cancel(cancel))
        return answers

    async def _told(self, bench: Bench, work: Awaitable[Any]) -> str:
        """Everything that an error says, its causes included; and what came back without one."""
        result = await leaf(work, "what is told")
        if not isinstance(result, BaseException):
            return repr(result)
        chain = "".join(traceback.format_exception(result))
        return f"{result} {result!r} {result.args} {vars(result)} {chain}"
