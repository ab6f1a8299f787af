"""What servers should not do, and do: each ends in one typed error whose sentence helps, or an
entry under `missing`; nothing is lost by it, and nothing of a patient or a credential leaks.

The leak is looked for by canaries: values that appear nowhere else, searched for in every message,
representation, log record at DEBUG and journal file.
"""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from acceptance.plan import NOW, Plan
from acceptance.targets import fill_clinic
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openslot import (
    AuthFailed,
    BadResponse,
    ConfigError,
    ContactPoint,
    ContactSystem,
    Desk,
    HumanName,
    Missing,
    NotFound,
    OpenSlotError,
    OutcomeUnknown,
    Patient,
    Practice,
    Slot,
    SlotQuery,
    Unavailable,
    Window,
)
from openslot.testing.auth import ApiKey
from openslot.testing.sandbox import SandboxClock
from openslot.testing.server import TLS, Message, Receive, Scope, Send, serve
from openslot_connectors.fhir.sandbox import FhirManners, Sandbox

GOOD_KEY = "canary-good-key-7Qx"
BAD_KEY = "canary-bad-key-3Zr"
WHO = Patient(
    name=HumanName("Kanaritsyn", ("Zebulonka",)),
    birth_date=date(1931, 7, 9),
    telecom=(
        ContactPoint(ContactSystem.PHONE, "+1 212 555 0177"),
        ContactPoint(ContactSystem.EMAIL, "zebu@canary.example"),
    ),
)
CALLER = "+12125550178 canary caller"
REASON = "canary-knee-hurts"
CANARIES = (
    *("Kanaritsyn", "Zebulonka", "1931-07-09", "date(1931", "2125550177", "212 555 0177"),
    *("zebu@canary", GOOD_KEY, BAD_KEY, "2125550178", REASON),
)


class Watch(logging.Handler):
    """Everything that was said, logged or written, to look for canaries in."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.loggers: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("uvicorn"):
            return  # the vendor's side, which runs in this process for the test's convenience
        self.loggers.add(record.name)
        self.said += [record.name, record.getMessage(), repr(record.args), str(record.__dict__)]
        if record.exc_info:
            self.said += traceback.format_exception(*record.exc_info)

    def saw(self, *things: object) -> None:
        """Take note of values and errors as anybody may print them."""
        for thing in things:
            self.said += [str(thing), repr(thing)]
            if isinstance(thing, BaseException):
                self.said += traceback.format_exception(thing)

    def check(self, directory: Path) -> None:
        """Fail for any canary anywhere."""
        text = "\n".join(self.said)
        for canary in CANARIES:
            assert canary not in text, [line for line in self.said if canary in line][:3]
        for path in sorted(directory.rglob("journal*")):
            data = path.read_bytes()
            for canary in CANARIES:
                assert canary.encode() not in data, (path.name, canary)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Listens to every logger at DEBUG; looks for canaries when the test is done."""
    handler, root = Watch(), logging.getLogger()
    known = [x for x in logging.root.manager.loggerDict.values() if isinstance(x, logging.Logger)]
    levels = {logger: logger.level for logger in (root, *known)}
    for logger in levels:
        logger.setLevel(logging.DEBUG)
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)
        for logger, level in levels.items():
            logger.setLevel(level)
    handler.check(tmp_path)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A FHIR server with a key, small pages, and a patient whom the log must not name."""
    plan = Plan(patients=(replace(WHO, birth_date=date(1931, 7, 10)),))
    clock = SandboxClock()
    clock.advance(NOW - datetime.now(UTC))
    found = Sandbox(
        populate=lambda clinic: fill_clinic(clinic, plan),
        clock=clock,
        auth=ApiKey(GOOD_KEY),
        manners=FhirManners(page_size=5),
    )
    yield found
    found.close()


@pytest.fixture
def url(sandbox: Sandbox) -> Iterator[str]:
    with sandbox.serve() as found:
        yield found


MakeDesk = Callable[..., Desk]


@pytest.fixture
def make_desk(sandbox: Sandbox, url: str, tmp_path: Path, watch: Watch) -> MakeDesk:
    """Opens desks on the server."""

    def make(**settings: Any) -> Desk:
        said = {
            "base_url": url,
            "auth": {"kind": "key", "key": GOOD_KEY},
            "page_size": 5,
            "timeout": 5.0,
        } | settings
        practice = Practice("acceptance", "fhir-r4", "America/New_York", said)
        watch.saw(practice)
        desk = Desk(
            practice, journal=tmp_path / "journal.db", clock=sandbox.clock, recover_every=None
        )
        watch.saw(desk, desk.connector, desk.connector.settings)
        return desk

    return make


DAY = Plan().window


async def a_slot(make_desk: MakeDesk) -> Slot:
    async with make_desk() as desk:
        answer = await desk.find_slots(SlotQuery(DAY, practitioners=("dr-1",)))
    assert answer.complete
    return answer.items[0]


async def refused(
    watch: Watch, desk: Desk, kind: type[OpenSlotError], *helps: str, slot: Slot | None = None
) -> None:
    """Reading and writing both end in this leaf, with words that help; nothing was done."""
    async with desk:
        with pytest.raises(OpenSlotError) as reading:
            await desk.find_slots(SlotQuery(DAY))
        with pytest.raises(OpenSlotError) as looking:
            await desk.find_patient(WHO)
        errors = [reading.value, looking.value]
        if slot is not None:
            with pytest.raises(OpenSlotError) as writing:
                await desk.book(slot, WHO, key=CALLER, reason=REASON, seconds=8)
            errors.append(writing.value)
            # A slot that was read a while ago is read again first, which fails before the write.
            assert slot.as_of is not None
            old = replace(slot, as_of=slot.as_of - timedelta(minutes=2))
            with pytest.raises(OpenSlotError) as writing:
                await desk.book(old, "pat-1", key=CALLER, seconds=8)
            errors.append(writing.value)
            with pytest.raises(NotFound):  # the key is unused: the same call may come again
                await desk.outcome(CALLER)
            assert await desk.unsettled() == ()
        watch.saw(desk, *errors)
    for error in errors:
        assert type(error) is kind, repr(error)
        sentence = str(error)
        assert all(word in sentence for word in helps), sentence
        assert "?" not in sentence


async def test_an_unreachable_host(make_desk: MakeDesk, watch: Watch) -> None:
    slot = await a_slot(make_desk)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    nowhere = f"http://127.0.0.1:{port}/fhir"
    desk = make_desk(base_url=nowhere, attempts=2)
    await refused(watch, desk, Unavailable, f"127.0.0.1:{port}", "refuses connections", slot=slot)


async def test_a_host_that_does_not_exist(make_desk: MakeDesk, watch: Watch) -> None:
    desk = make_desk(base_url="https://practice.invalid/fhir", attempts=1)
    await refused(watch, desk, Unavailable, "practice.invalid", "base_url")


async def test_a_wrong_key(make_desk: MakeDesk, watch: Watch) -> None:
    slot = await a_slot(make_desk)
    desk = make_desk(auth={"kind": "key", "key": BAD_KEY})
    await refused(watch, desk, AuthFailed, "refused the credential", slot=slot)


async def test_an_html_page_for_json(sandbox: Sandbox, make_desk: MakeDesk, watch: Watch) -> None:
    slot = await a_slot(make_desk)
    sandbox.faults.add("html-200")
    await refused(watch, make_desk(), BadResponse, "HTML page", "base_url", slot=slot)


async def test_a_body_of_ten_megabytes(sandbox: Sandbox, make_desk: MakeDesk, watch: Watch) -> None:
    slot = await a_slot(make_desk)
    sandbox.faults.add("huge-body:size=10000000")
    await refused(watch, make_desk(), BadResponse, "more than 8388608 bytes", slot=slot)


async def test_a_next_link_to_another_host(
    sandbox: Sandbox, make_desk: MakeDesk, watch: Watch
) -> None:
    """What was read stays; what lies behind the link is missing, and is not asked for."""
    calls: list[str] = []

    async def elsewhere(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            calls.append(scope["path"])

    with serve(elsewhere) as other:
        sandbox.faults.add(f"next-elsewhere:path=/Slot,to={other}")
        async with make_desk() as desk:
            answer = await desk.find_slots(SlotQuery(DAY))
            watch.saw(answer, *answer.missing)
    assert calls == []
    assert not answer.complete
    assert not answer.none
    assert len(answer.items) == 5
    assert any("next link" in m.why for m in answer.missing), answer.missing


def certificate(directory: Path, until: datetime) -> TLS:
    """A certificate for 127.0.0.1, its own authority, good until then."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(until - timedelta(days=30))
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    tls = TLS(directory / "certificate.pem", directory / "key.pem")
    tls.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    tls.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return tls


@pytest.mark.parametrize("days", [-1, 1], ids=["expired", "good"])
async def test_an_expired_certificate(
    sandbox: Sandbox, make_desk: MakeDesk, watch: Watch, tmp_path: Path, days: int
) -> None:
    slot = await a_slot(make_desk)
    tls = certificate(tmp_path, datetime.now(UTC) + timedelta(days=days))
    before = sandbox.faults.calls
    with sandbox.serve(tls=tls) as secure:
        desk = make_desk(base_url=secure, ca_file=str(tls.certificate))
        if days < 0:
            await refused(watch, desk, ConfigError, "certificate", "has expired", slot=slot)
            assert sandbox.faults.calls == before
            return
        async with desk:
            assert (await desk.find_slots(SlotQuery(DAY))).complete


@contextmanager
def altered(sandbox: Sandbox, alter: Callable[[dict[str, Any]], None]) -> Iterator[str]:
    """The same server, its Slots altered on the way out."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start: dict[str, Any] = {}

        async def through(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            body = message.get("body", b"")
            document = json.loads(body) if body.startswith(b"{") else None
            if document is not None:
                for entry in document.get("entry", ()):
                    if entry["resource"]["resourceType"] == "Slot":
                        alter(entry["resource"])
                body = json.dumps(document).encode()
            headers = [h for h in start["headers"] if h[0] != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await send({**start, "headers": headers})
            await send({**message, "body": body})

        await sandbox.app(scope, receive, through if scope["type"] == "http" else send)

    with serve(app) as origin:
        yield origin + sandbox.base_path


async def test_a_slot_without_an_end(sandbox: Sandbox, make_desk: MakeDesk, watch: Watch) -> None:
    slot = await a_slot(make_desk)

    def alter(raw: dict[str, Any]) -> None:
        if raw["id"] == slot.id:
            del raw["end"]

    with altered(sandbox, alter) as url:
        async with make_desk(base_url=url) as desk:
            answer = await desk.find_slots(SlotQuery(DAY))
            first = await desk.find_slots(
                SlotQuery(Window(slot.start, slot.end), practitioners=("dr-1",))
            )
            watch.saw(answer, *answer.missing, first)
    assert not answer.complete
    assert len(answer.items) == len(Plan().expected) - 1  # the others may still be offered
    (missing,) = answer.missing
    assert isinstance(missing, Missing)
    assert (missing.id, missing.path) == (slot.id, "Slot.end")
    assert "end" in missing.why
    assert first.items == ()
    assert not first.none  # "there is nothing" may not be said of it


SPOILT_WRITES = [
    "html-200:method=POST,path=/Appointment,nth=1",
    "html-200:method=POST,path=/Appointment,nth=1,after=yes",
    "html-502:method=POST,path=/Appointment,nth=1,after=yes",
    "huge-body:method=POST,path=/Appointment,nth=1,size=10000000",
    "html-200:method=PUT,path=/Slot,nth=1",
    "html-200:method=PUT,path=/Slot,nth=1,after=yes",
    "lost-reply:method=POST,path=/Appointment,nth=1",
    "truncated-body:method=POST,path=/Appointment,nth=1",
    "html-200:method=POST,path=/Patient,nth=2,after=yes",
]


@pytest.mark.parametrize("fault", SPOILT_WRITES)
async def test_a_spoilt_answer_to_a_write_loses_nothing(
    sandbox: Sandbox, make_desk: MakeDesk, watch: Watch, fault: str
) -> None:
    """Whatever the answer looked like: in the end the patient has the one appointment."""
    slot = await a_slot(make_desk)
    sandbox.faults.add(fault)
    async with make_desk() as desk:
        try:
            outcome = await desk.book(slot, WHO, key=CALLER, reason=REASON)
        except (OutcomeUnknown, BadResponse, Unavailable) as error:
            watch.saw(error)
            sandbox.faults.clear()
            outcome = await desk.book(slot, WHO, key=CALLER, reason=REASON)
        watch.saw(outcome, await desk.outcome(CALLER), await desk.unsettled())
    assert outcome.confirmed
    assert outcome.appointment is not None
    standing = [a for a in sandbox.clinic.appointments() if a.status.takes_time]
    assert [a.id for a in standing] == [outcome.appointment.id]


@pytest.mark.parametrize("way", ["post", "get", "match"])
async def test_a_search_for_a_person_leaves_no_trace(
    make_desk: MakeDesk, watch: Watch, way: str
) -> None:
    """Where a server wants names in the URL, they still go nowhere else."""
    async with make_desk(patient_search=way) as desk:
        match = await desk.find_patient(WHO)
        watch.saw(match, match.patient)
    assert watch.loggers >= {"openslot.rest"}


@pytest.mark.parametrize("leak", ["log", "error", "journal"])
def test_the_canaries_would_be_seen(tmp_path: Path, leak: str) -> None:
    """The look-out itself works."""
    seen = Watch()
    if leak == "log":
        record = logging.LogRecord("x", logging.DEBUG, "x.py", 1, "who: %s", ("Kanaritsyn",), None)
        seen.emit(record)
    elif leak == "error":
        seen.saw(ValueError(f"of {WHO.birth_date}"))
    else:
        (tmp_path / "journal.db-wal").write_bytes(b"\0" + REASON.encode())
    with pytest.raises(AssertionError):
        seen.check(tmp_path)
