"""The RESTful interactions of FHIR R4 (http.html), over the clinic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from openslot.clinic import Clinic
from openslot.errors import OpenSlotError
from openslot_connectors.fhir.sandbox import bundle, patch, search
from openslot_connectors.fhir.sandbox.appointments import Appointments
from openslot_connectors.fhir.sandbox.catalogue import (
    Locations,
    Practitioners,
    Schedules,
    Services,
)
from openslot_connectors.fhir.sandbox.manners import FhirManners
from openslot_connectors.fhir.sandbox.people import Patients
from openslot_connectors.fhir.sandbox.records import Records
from openslot_connectors.fhir.sandbox.resources import Context, Resource, refs
from openslot_connectors.fhir.sandbox.slots import Slots
from openslot_connectors.fhir.sandbox.wire import (
    Doc,
    Problem,
    instant,
    outcome,
    problem_of,
    tag_version,
)

__all__ = ["Call", "FhirServer", "Result"]

SOFTWARE = "OpenSlot FHIR sandbox"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True, slots=True)
class Call:
    """One interaction, whether it came by itself or in a Bundle.

    `path` is below the base, without a leading slash; `allowed` says whether a type may be read
    or written by whoever calls.
    """

    method: str
    path: str
    url: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    document: Any = None
    allowed: Callable[[str, str], bool] = lambda type, how: True


@dataclass(frozen=True, slots=True)
class Result:
    """What an interaction led to; `resource` is what was read or written."""

    status: int
    resource: Doc | None = None
    location: str | None = None
    written: bool = False

    @property
    def version(self) -> str | None:
        """The version of the resource."""
        meta = (self.resource or {}).get("meta") or {}
        return meta.get("versionId")

    @property
    def updated(self) -> str | None:
        """When the resource was last updated, as an instant."""
        meta = (self.resource or {}).get("meta") or {}
        return meta.get("lastUpdated")


class FhirServer:
    """A FHIR R4 server over one clinic."""

    def __init__(self, clinic: Clinic, manners: FhirManners) -> None:
        self.clinic = clinic
        self.manners = manners
        context = Context(clinic, Records(clinic), manners)
        self.context = context
        self.patients = Patients(context)
        slots = Slots(context)
        every: Sequence[Resource] = (
            self.patients,
            Practitioners(context),
            Locations(context),
            Services(context),
            Schedules(context),
            slots,
            Appointments(context, slots),
        )
        self.resources = {r.type: r for r in every}

    def interact(self, call: Call) -> Result:
        """Carry out one interaction, all or nothing. Raises Problem."""
        try:
            return self._interact(call)
        except OpenSlotError as error:
            problem = problem_of(error, taken_status=self.manners.taken_status)
            raise problem from error

    def _interact(self, call: Call) -> Result:
        parts = [p for p in call.path.split("/") if p]
        match (call.method, *parts):
            case ("GET" | "HEAD", "metadata"):
                return Result(200, self.capabilities(call.url))
            case ("POST",):
                return Result(200, bundle.carry_out(self, call))
            case ("POST", "Patient", "$match"):
                self._allow(call, "Patient", "s")
                return Result(200, self._match(call))
            case ("GET" | "HEAD", type_) | ("POST", type_, "_search"):
                self._allow(call, type_, "s")
                return Result(200, self.search(self._resource(type_), call))
            case ("GET" | "HEAD", type_, id_):
                self._allow(call, type_, "r")
                return self._read(self._resource(type_), id_, call)
            case ("POST", type_):
                self._allow(call, type_, "c")
                with self.clinic.transaction():
                    return self._create(self._resource(type_), call)
            case ("PUT" | "PATCH", type_, id_):
                self._allow(call, type_, "u")
                with self.clinic.transaction():
                    return self._update(self._resource(type_), id_, call)
            case (("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"), *_) if parts:
                self._resource(parts[0])
                raise Problem(405, "not-supported", "this server does not do that")
        raise Problem(404, "not-found", "there is nothing here")

    def _resource(self, type: str) -> Resource:
        if type not in self.resources:
            raise Problem(404, "not-supported", "this server does not know that type of resource")
        return self.resources[type]

    def _allow(self, call: Call, type: str, how: str) -> None:
        if not call.allowed(type, how):
            raise Problem(403, "forbidden", "the granted scope does not cover this")

    def _read(self, resource: Resource, id: str, call: Call) -> Result:
        document = resource.read(id)
        known = call.headers.get("if-none-match")
        if known and tag_version(known) == document["meta"]["versionId"]:
            return replace(Result(304, document), resource=document)
        return Result(200, document)

    def _create(self, resource: Resource, call: Call) -> Result:
        if "create" not in resource.interactions:
            raise Problem(405, "not-supported", f"{resource.type} cannot be created here")
        document = self._body(resource, call)
        condition = call.headers.get("if-none-exist")
        if condition is not None:
            pairs = tuple(parse_qsl(condition.lstrip("?"), keep_blank_values=True))
            matching, _, unknown = self._matches(resource, pairs)
            found = list(islice(matching, 2))
            if not pairs or unknown:
                raise Problem(400, "not-supported", "If-None-Exist asks what this server cannot")
            if len(found) > 1:
                raise Problem(412, "multiple-matches", "If-None-Exist matches several")
            if found:
                return Result(200, found[0], self._location(call, found[0]), written=True)
        document = {k: v for k, v in document.items() if k not in {"id", "meta"}}
        made = resource.read(resource.create(document))
        return Result(201, made, self._location(call, made), written=True)

    def _update(self, resource: Resource, id: str, call: Call) -> Result:
        if "update" not in resource.interactions:
            raise Problem(405, "not-supported", f"{resource.type} cannot be changed here")
        current = resource.read(id)
        condition = call.headers.get("if-match")
        if condition is not None and tag_version(condition) != current["meta"]["versionId"]:
            raise Problem(
                self.manners.stale_status, "conflict", "the resource changed since it was read"
            )
        if call.method == "PATCH":
            document = patch.apply(current, call.document)
            if document.get("resourceType") != resource.type or document.get("id") != id:
                raise Problem(422, "invariant", "a patch cannot change type or id")
        else:
            document = self._body(resource, call)
            if document.get("id") != id:
                raise Problem(400, "invalid", "the id in the body is not the one in the address")
        meta = {
            k: v
            for k, v in (document.get("meta") or {}).items()
            if k not in {"versionId", "lastUpdated"}
        }
        resource.update(
            id, {**document, "meta": meta} if meta else _without_meta(document), current
        )
        return Result(200, resource.read(id), written=True)

    def _body(self, resource: Resource, call: Call) -> Doc:
        document = call.document
        if not isinstance(document, dict):
            raise Problem(400, "structure", "the body is not a resource")
        if document.get("resourceType") != resource.type:
            raise Problem(400, "invalid", f"the body is not a {resource.type}")
        return document

    def _location(self, call: Call, document: Doc) -> str | None:
        path = f"{document['resourceType']}/{document['id']}"
        path += f"/_history/{document['meta']['versionId']}"
        match self.manners.location:
            case "absolute":
                return f"{call.url}/{path}"
            case "relative":
                return path
        return None

    def _matches(
        self, resource: Resource, query: Sequence[tuple[str, str]], since: int | None = None
    ) -> tuple[Iterator[Doc], list[tuple[str, str]], list[str]]:
        criteria, understood, unknown = search.criteria(query, resource.params)
        tests = [search.predicate(c, self.context.zone) for c in criteria]
        found = (d for d in resource.find(criteria, since) if all(fits(d) for fits in tests))
        return found, understood, unknown

    def search(self, resource: Resource, call: Call) -> Doc:
        """The searchset that the query, and a posted form, ask for."""
        query = call.query
        if call.method == "POST" and isinstance(call.document, tuple):
            query = (*query, *call.document)
        asked = search.paging(query, resource.sort_key, self.manners.page_size)
        since = asked.after[0] if asked.after and asked.key and not asked.reverse else None
        found, understood, unknown = self._matches(resource, query, since)
        strict = "handling=strict" in call.headers.get("prefer", "")
        if unknown and (strict or self.manners.unknown_parameters == "refuse"):
            raise Problem(400, "not-supported", "a search parameter is not known here")
        if unknown and self.manners.unknown_parameters == "empty":
            found = iter(())
        page = search.page(found, asked, ordered=resource.ordered)
        kept = [
            *understood,
            *((k, v) for k, v in query if k in {"_include", "_sort", "_total"}),
            ("_count", str(asked.count)),
        ]
        here = [*kept, *((k, v) for k, v in query if k == "_page")]
        links = [{"relation": "self", "url": search.link(call.url, resource.type, here)}]
        if page.following:
            following = [*kept, ("_page", page.following)]
            links.append(
                {"relation": "next", "url": search.link(call.url, resource.type, following)}
            )
        entries = [_entry(call.url, d, "match") for d in page.items]
        entries += [_entry(call.url, d, "include") for d in self._included(page.items, query)]
        if unknown:
            hint = outcome("warning", "not-supported", "a search parameter was not understood")
            entries.append({"resource": hint, "search": {"mode": "outcome"}})
        document: Doc = {
            "resourceType": "Bundle",
            "type": "searchset",
            "timestamp": instant(self.clinic.clock.now()),
            "link": links,
        }
        if self.manners.total:
            document["total"] = page.total
        if entries:
            document["entry"] = entries
        return document

    def _included(self, found: Sequence[Doc], query: Sequence[tuple[str, str]]) -> list[Doc]:
        included: dict[str, Doc] = {}
        level = list(found)
        asked = [
            (k.endswith(":iterate"), v.split(":"))
            for k, v in query
            if k in {"_include", "_include:iterate"} and len(v.split(":")) in {2, 3}
        ]
        # Slot, its Schedule, and the Schedule's actors: nothing here refers any further.
        for _ in range(3):
            reached: dict[str, Doc] = {}
            for document in level:
                for _iterate, (type_, name, *target) in asked:
                    if type_ != document["resourceType"]:
                        continue
                    member = self.resources[type_].includes.get(name)
                    for reference in _references(document, member):
                        kind, _, id_ = reference.partition("/")
                        if target and kind != target[0]:
                            continue
                        if name in {"patient", "practitioner", "location"} and (
                            kind.lower() != name
                        ):
                            continue
                        if reference not in included and kind in self.resources:
                            reached[reference] = self.resources[kind].read(id_)
            included |= reached
            level = list(reached.values())
        return list(included.values())

    def _match(self, call: Call) -> Doc:
        if not isinstance(call.document, dict) or (
            call.document.get("resourceType") != "Parameters"
        ):
            raise Problem(400, "structure", "$match takes Parameters")
        entries = []
        for document, score, grade in self.patients.match(call.document):
            entry = _entry(call.url, document, "match")
            entry["search"] |= {
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/match-grade",
                        "valueCode": grade,
                    }
                ],
                "score": score,
            }
            entries.append(entry)
        found: Doc = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
        return found | ({"entry": entries} if entries else {})

    def capabilities(self, url: str) -> Doc:
        """The CapabilityStatement."""
        return {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": instant(self.clinic.clock.now()),
            "kind": "instance",
            "software": {"name": SOFTWARE},
            "implementation": {"description": "A made-up practice", "url": url},
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "patchFormat": [JSON_PATCH],
            "rest": [
                {
                    "mode": "server",
                    "resource": [self._capability(r) for r in self.resources.values()],
                    "interaction": [{"code": "transaction"}, {"code": "batch"}],
                }
            ],
        }

    def _capability(self, resource: Resource) -> Doc:
        document: Doc = {
            "type": resource.type,
            "interaction": [{"code": c} for c in resource.interactions],
            "versioning": "versioned-update" if "update" in resource.interactions else "versioned",
            "conditionalCreate": "create" in resource.interactions,
            "searchInclude": [f"{resource.type}:{name}" for name in resource.includes],
            "searchParam": [
                {"name": name, "type": "date" if p.kind.value == "instant" else p.kind.value}
                for name, p in resource.params.items()
                if "." not in name
            ],
        }
        if resource is self.patients:
            document["operation"] = [
                {
                    "name": "match",
                    "definition": "http://hl7.org/fhir/OperationDefinition/Patient-match",
                }
            ]
        return {k: v for k, v in document.items() if v != []}


def _entry(url: str, document: Doc, mode: str) -> Doc:
    return {
        "fullUrl": f"{url}/{document['resourceType']}/{document['id']}",
        "resource": document,
        "search": {"mode": mode},
    }


def _without_meta(document: Doc) -> Doc:
    return {k: v for k, v in document.items() if k != "meta"}


def _references(document: Doc, member: str | None) -> list[str]:
    if member is None:
        return []
    if member == "participant.actor":
        return [r for p in document.get("participant", ()) for r in refs(p.get("actor"))]
    return list(refs(document.get(member)))
