"""The sandbox of `fhir-r4`: the clinic served as a FHIR R4 server over HTTP."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, ClassVar

from openslot.clinic import Clinic
from openslot.testing import sandbox as kit
from openslot.testing.auth import ApiKey, ClientCredentials, Refusal, SmartBackend
from openslot_connectors.fhir.sandbox.manners import FhirManners
from openslot_connectors.fhir.sandbox.render import TYPE_SYSTEM
from openslot_connectors.fhir.sandbox.server import JSON_PATCH, Call, FhirServer, Result
from openslot_connectors.fhir.sandbox.wire import Problem, http_date, outcome

__all__ = ["FhirManners", "Sandbox"]

FHIR_JSON = "application/fhir+json"
FORM = "application/x-www-form-urlencoded"
SCOPE = re.compile(r"system/(?P<type>\*|[A-Za-z]+)\.(?P<how>\*|read|write|[cruds]{1,5})(?:\?.*)?")


class Sandbox(kit.Sandbox):
    """A FHIR R4 server (4.0.1, JSON) with the plain manners of a generic one."""

    name: ClassVar[str] = "fhir-r4"
    base_path: ClassVar[str] = "/fhir"
    manners_type: ClassVar[type[kit.Manners]] = FhirManners
    public_paths: ClassVar[frozenset[str]] = frozenset({"/metadata"})

    def opened(self, clinic: Clinic) -> None:
        """Put a FHIR server over the clinic."""
        assert isinstance(self.manners, FhirManners)
        self.server = FhirServer(clinic, self.manners)

    def settings(self, url: str) -> dict[str, Any]:
        """The connector's settings: address and, where asked, credentials."""
        settings: dict[str, Any] = {
            "base_url": url,
            "refuses_overlaps": self.manners.enforce_conflicts,
        }
        match self.auth:
            case ApiKey(key=key):
                settings["auth"] = {"kind": "key", "key": key}
            case ClientCredentials(client_id=client, client_secret=secret):
                origin = url.removesuffix(self.base_path)
                settings["auth"] = {
                    "kind": "client_credentials",
                    "client_id": client,
                    "client_secret": secret,
                    "token_url": origin + kit.TOKEN_PATH,
                }
            case SmartBackend(client_id=client, client_key=key) if key is not None:
                settings["auth"] = {
                    "kind": "smart",
                    "client_id": client,
                    "private_key": key.pem,
                    "kid": key.kid,
                }
        return settings

    def vendor_id(self, kind: str, id: str) -> str:
        """Types are codes of a system; all else has the clinic's id."""
        return f"{TYPE_SYSTEM}|{id}" if kind == "type" else id

    def refused(self, refusal: Refusal) -> kit.Answer:
        """401 with an OperationOutcome."""
        document = outcome("error", "login", refusal.description)
        headers = {"www-authenticate": refusal.challenge}
        return kit.Answer(refusal.status, document, headers, FHIR_JSON)

    def answer(self, request: kit.Request) -> kit.Answer:
        """Carry out one interaction."""
        try:
            call = self._call(request)
            result = self._interact(call)
        except Problem as problem:
            return kit.Answer(problem.status, problem.outcome, {}, FHIR_JSON)
        return self._answer(result, call.headers.get("prefer", ""))

    def _interact(self, call: Call) -> Result:
        reads = call.method in {"GET", "HEAD"} or call.path.endswith(("/_search", "/$match"))
        if not reads:
            return self.server.interact(call)
        assert isinstance(self.manners, FhirManners)
        manners, (*_, record) = self.manners, call.path.split("/")
        return self.as_seen(lambda clinic: FhirServer(clinic, manners).interact(call), record)

    def _call(self, request: kit.Request) -> Call:
        accept = request.headers.get("accept", "*/*")
        if "json" not in accept and "*" not in accept:
            raise Problem(406, "not-supported", "this server answers JSON")
        return Call(
            method=request.method,
            path=request.path,
            url=request.url,
            query=request.query,
            headers=request.headers,
            document=self._document(request),
            allowed=_allowed(request.access.scopes),
        )

    def _document(self, request: kit.Request) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if request.method not in {"POST", "PUT", "PATCH"}:
            return None
        if request.path.endswith("/_search"):
            if request.body and kind != FORM:
                raise Problem(415, "not-supported", "a search is posted as a form")
            return request.form
        expected = {JSON_PATCH} if request.method == "PATCH" else {FHIR_JSON, "application/json"}
        if kind not in expected:
            raise Problem(415, "not-supported", f"the body is sent as {sorted(expected)[0]}")
        try:
            return request.json()
        except (ValueError, RecursionError):
            raise Problem(400, "structure", "the body is no JSON") from None

    def _answer(self, result: Result, prefer: str) -> kit.Answer:
        assert isinstance(self.manners, FhirManners)
        headers = {}
        if result.version:
            tag = f'"{result.version}"'
            headers["etag"] = {"weak": f"W/{tag}", "strong": tag}.get(
                self.manners.etag, result.version
            )
        if result.updated:
            headers["last-modified"] = http_date(datetime.fromisoformat(result.updated))
        if result.location:
            headers["location"] = result.location
        document = result.resource
        if result.status == 304:
            document = None
        elif result.written:
            if "return=OperationOutcome" in prefer:
                document = outcome("information", "informational", "done")
            elif "return=minimal" in prefer or (
                not self.manners.returns_body and "return=representation" not in prefer
            ):
                document = None
        return kit.Answer(result.status, document, headers, FHIR_JSON)


def _allowed(scopes: frozenset[str] | None) -> Any:
    """Whether scopes, of SMART's first or second version, let a type be created, read, ..."""

    def allowed(type: str, how: str) -> bool:
        if scopes is None:
            return True
        for scope in scopes:
            found = SCOPE.fullmatch(scope)
            if found is None or found["type"] not in {"*", type}:
                continue
            granted = {"read": "rs", "write": "cud", "*": "cruds"}.get(found["how"], found["how"])
            if how in granted:
                return True
        return False

    return allowed
