"""A credential goes only where it belongs (law 9)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from openslot.errors import BadResponse, NotFound
from openslot.rest import RestSettings, StaticKey, path, query
from openslot.rest.origin import Origin, resolve
from rest.servers import Got, reply, serving, vendor

BASE = "https://ehr.example/fhir/R4"

ELSEWHERE = [
    "https://evil.example/fhir/R4/Slot",
    "//evil.example/Slot",
    "http://ehr.example/fhir/R4/Slot",
    "https://ehr.example:8443/Slot",
    "https://ehr.example@evil.example/",
    "https://user@ehr.example/Slot",
    "https://user:pw@ehr.example/Slot",
    "https://ehr.example.evil.example/",
    "https://ehr.example./Slot",
    "https://xn--hr-xka.example/",
    "https://ehr.example\\@evil.example/",
    "https://evil.example\\.ehr.example/",
    "https:evil.example/x",
    "https:///evil.example/x",
    "///evil.example/x",
    "/\\evil.example/x",
    "\\\\evil.example\\x",
    "https://[::1]/x",
    "https://[::ffff:1.2.3.4]/",
    "https://[fe80::1%25eth0]/",
    "https://2130706433/x",
    "https://0177.0.0.1/x",
    "https://0x7f.1/x",
    "ftp://ehr.example/x",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "data:,x",
    "https://ehr.example:0/x",
    "https://ehr.example:99999/x",
    "https://ehr.example:x/x",
    "https://ehr.example:443x/x",
    "https://ehr\u3002example/x",
    "https://\u0435hr.example/x",
    "Slot\r\nX: y",
    "Slot?a=b c",
    "\thttps://ehr.example/",
    "https://ehr.example/" + "a" * 20000,
]


@pytest.mark.parametrize("link", ELSEWHERE)
def test_links_that_lead_elsewhere(link: str) -> None:
    with pytest.raises(BadResponse):
        resolve(BASE, link)


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("Slot", f"{BASE}/Slot"),
        ("", BASE),
        ("Slot?a=b|c", f"{BASE}/Slot?a=b|c"),
        ("/other/Slot", "https://ehr.example/other/Slot"),
        (f"{BASE}/Slot?page=2#x", f"{BASE}/Slot?page=2"),
        ("https://EHR.example:443/x", "https://EHR.example:443/x"),
        ("HTTPS://ehr.example/x", "https://ehr.example/x"),
    ],
)
def test_links_that_stay(link: str, url: str) -> None:
    assert resolve(BASE, link) == url


@given(st.text(max_size=60) | st.text("htps:/\\@.ehrxampl?#[]%0123456789 \t", max_size=60))
def test_whatever_is_resolved_is_at_the_origin_for_the_client_too(link: str) -> None:
    import httpx  # the client's own parser is what the promise is about

    try:
        url = resolve(BASE, link)
    except BadResponse:
        return
    seen = httpx.URL(url)
    assert (seen.scheme, seen.host, seen.port, seen.userinfo) == ("https", "ehr.example", None, b"")


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3))
def test_an_id_stays_one_segment(ids: list[str]) -> None:
    try:
        made = path(*ids)
    except NotFound:
        assert any(i in {".", ".."} for i in ids)
        return
    except UnicodeEncodeError:
        return
    assert made.count("/") == len(ids) - 1
    url = resolve(BASE, made)
    assert url.startswith(BASE + "/")
    assert "?" not in url


@pytest.mark.parametrize("segment", ["", ".", ".."])
def test_names_that_no_record_has(segment: str) -> None:
    with pytest.raises(NotFound):
        path("Appointment", segment)


def test_the_query_of_a_link_is_all_that_is_taken() -> None:
    link = "http://internal:8080/x?_getpages=a&_count=5&tag=1&tag=2"
    assert query(link) == {"_getpages": ("a",), "_count": ("5",), "tag": ("1", "2")}
    with pytest.raises(BadResponse):
        query("?" + "&".join("a=1" for _ in range(1000)))


@pytest.mark.parametrize(
    "url",
    [
        "https://ehr.example",
        "http://127.0.0.1:8080/x",
        "http://[::1]:80/",
        "http://10.1.2.3",
        "http://ehr.local",
    ],
)
def test_addresses_that_may_be_configured(url: str) -> None:
    assert RestSettings(base_url=url).base_url == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://ehr.example", "write https"),
        ("ehr.example", "absolute"),
        ("https://me:CANARY@ehr.example", "absolute"),
        ("https://ehr.example/?CANARY=1", "before any"),
        ("ftp://ehr.example", "absolute"),
    ],
)
def test_addresses_that_may_not(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says) as caught:
        RestSettings(base_url=url)
    assert "CANARY" not in str(caught.value)
    assert RestSettings(base_url="http://ehr.example", allow_http=True).allow_http


def test_origins_compare_with_their_default_port() -> None:
    assert Origin.of("https://a.example") == Origin.of("https://A.example:443/x")
    assert str(Origin.of("http://[::1]/")) == "http://[::1]:80"


async def test_the_environment_sends_nothing_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with serving([reply()]) as other, serving([reply()]) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, other.url)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        async with vendor(server.url) as connector:
            await connector.read("x")
    assert other.got == []
    assert "authorization" not in server.got[0].headers


async def test_a_redirect_at_home_is_followed_with_the_credential() -> None:
    answers = [reply(302, Location="/there?x=1"), reply(body="there")]
    async with (
        serving(answers) as server,
        vendor(server.url, auth=StaticKey(SecretStr("k"))) as connector,
    ):
        assert (await connector.read("here/a")).json() == "there"
    assert [g.target for g in server.got] == ["/here/a", "/there?x=1"]
    assert server.got[1].headers["authorization"] == "Bearer k"


async def test_a_relative_redirect_is_relative_to_what_was_asked() -> None:
    async with (
        serving([reply(302, Location="b"), reply()]) as server,
        vendor(server.url) as connector,
    ):
        await connector.read("here/a")
    assert server.got[1].target == "/here/b"


async def test_a_redirect_to_another_host_is_one_error_and_gets_nothing() -> None:
    async with (
        serving([reply()]) as other,
        serving([reply(302, Location=other.url)]) as server,
        vendor(server.url, auth=StaticKey(SecretStr("k"))) as connector,
    ):
        with pytest.raises(BadResponse, match=r"does not belong.*set base_url"):
            await connector.read("x")
    assert other.got == []


async def test_a_redirect_for_ever_ends() -> None:
    async with serving([reply(302, Location="/x")]) as server, vendor(server.url) as connector:
        with pytest.raises(BadResponse, match="again and again"):
            await connector.read("x")
    assert len(server.got) == 6


def _pages(*links: str | None) -> list[bytes]:
    return [reply(body={"page": n, "next": link}) for n, link in enumerate(links)]


async def _read_all(url: str, **more: object) -> tuple[list[int], BadResponse | None]:
    got: list[int] = []
    connector = vendor(url, auth=StaticKey(SecretStr("k")), **more)
    try:
        async with connector:
            pages = connector.pages("Slot", params={"a": "1"}, next_page=lambda r: r.json()["next"])
            async for page in pages:
                got.append(page.json()["page"])
    except BadResponse as error:
        return got, error
    return got, None


async def test_pages_follow_links_of_every_kind() -> None:
    links = ["/Slot?p=1", "Slot?p=2", "?p=3", {"a": "1", "p": ["4", "5"]}, None]
    async with serving(_pages(*links)) as server:  # type: ignore[arg-type]
        got, error = await _read_all(server.url)
    assert error is None
    assert got == [0, 1, 2, 3, 4]
    assert [g.target for g in server.got] == [
        "/Slot?a=1",
        "/Slot?p=1",
        "/Slot?p=2",
        "/Slot?p=3",
        "/Slot?a=1&p=4&p=5",
    ]


async def test_a_next_link_to_another_host_keeps_what_was_read() -> None:
    async with serving([reply()]) as other, serving(_pages(other.url + "/Slot")) as server:
        got, error = await _read_all(server.url)
    assert got == [0]
    assert error is not None
    assert "a next link" in str(error)
    assert other.got == []


async def test_a_loop_of_pages_ends() -> None:
    async with serving(_pages("/Slot?p=1", "/Slot?p=2", "/Slot?p=1")) as server:
        got, error = await _read_all(server.url)
    assert got == [0, 1, 2]
    assert "read already" in str(error)


async def test_pages_without_end_end() -> None:
    async def answer(got: Got, writer: object) -> bytes:
        return reply(body={"page": 0, "next": f"/Slot?p={len(server.got)}"})

    async with serving(answer) as server:
        got, error = await _read_all(server.url, max_pages=7)
    assert len(got) == 7
    assert "more than 7 pages" in str(error)


async def test_a_list_without_end_ends() -> None:
    async def answer(got: Got, writer: object) -> bytes:
        body = {"page": 0, "next": f"/Slot?p={len(server.got)}", "fill": "x" * 1000}
        return reply(raw=json.dumps(body).encode())

    async with serving(answer) as server:
        got, error = await _read_all(server.url, max_total=5000)
    assert len(got) == 4
    assert "larger than 5000 bytes" in str(error)
