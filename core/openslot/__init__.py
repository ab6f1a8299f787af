"""OpenSlot: check availability, book, reschedule and cancel in a practice's own schedule.

Everything a front end or a connector imports is exported here; names load on first use, so that
`import openslot` costs a few milliseconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from openslot import sync as sync
    from openslot.call import Call as Call
    from openslot.call import Lane as Lane
    from openslot.clock import Clock as Clock
    from openslot.clock import SystemClock as SystemClock
    from openslot.connector import VERBS as VERBS
    from openslot.connector import Capabilities as Capabilities
    from openslot.connector import Claim as Claim
    from openslot.connector import Connector as Connector
    from openslot.connector import ConnectorInfo as ConnectorInfo
    from openslot.connector import Evidence as Evidence
    from openslot.connector import ProbeReport as ProbeReport
    from openslot.connector import Traits as Traits
    from openslot.desk import Desk as Desk
    from openslot.desk import Match as Match
    from openslot.desk import MatchLevel as MatchLevel
    from openslot.desk import Offer as Offer
    from openslot.desk import OldSlot as OldSlot
    from openslot.desk import Outcome as Outcome
    from openslot.desk import OutcomeState as OutcomeState
    from openslot.errors import AuthFailed as AuthFailed
    from openslot.errors import BadResponse as BadResponse
    from openslot.errors import ConfigError as ConfigError
    from openslot.errors import DeadlineExceeded as DeadlineExceeded
    from openslot.errors import KeyReused as KeyReused
    from openslot.errors import NotFound as NotFound
    from openslot.errors import OpenSlotError as OpenSlotError
    from openslot.errors import OutcomeUnknown as OutcomeUnknown
    from openslot.errors import PlaceLost as PlaceLost
    from openslot.errors import RateLimited as RateLimited
    from openslot.errors import Rejected as Rejected
    from openslot.errors import RejectedReason as RejectedReason
    from openslot.errors import SlotTaken as SlotTaken
    from openslot.errors import Stale as Stale
    from openslot.errors import Unavailable as Unavailable
    from openslot.errors import Unsupported as Unsupported
    from openslot.model import Address as Address
    from openslot.model import Answer as Answer
    from openslot.model import Appointment as Appointment
    from openslot.model import AppointmentQuery as AppointmentQuery
    from openslot.model import AppointmentStatus as AppointmentStatus
    from openslot.model import AppointmentType as AppointmentType
    from openslot.model import AppointmentUpdate as AppointmentUpdate
    from openslot.model import BookingQuery as BookingQuery
    from openslot.model import BookingRequest as BookingRequest
    from openslot.model import CancelRequest as CancelRequest
    from openslot.model import Change as Change
    from openslot.model import ChangeKind as ChangeKind
    from openslot.model import Changes as Changes
    from openslot.model import ConflictQuery as ConflictQuery
    from openslot.model import ContactPoint as ContactPoint
    from openslot.model import ContactSystem as ContactSystem
    from openslot.model import Exclusive as Exclusive
    from openslot.model import Gender as Gender
    from openslot.model import Hold as Hold
    from openslot.model import HoldRequest as HoldRequest
    from openslot.model import HumanName as HumanName
    from openslot.model import Identifier as Identifier
    from openslot.model import Listing as Listing
    from openslot.model import Location as Location
    from openslot.model import Missing as Missing
    from openslot.model import MissingWhat as MissingWhat
    from openslot.model import Patient as Patient
    from openslot.model import PatientQuery as PatientQuery
    from openslot.model import Practitioner as Practitioner
    from openslot.model import Proof as Proof
    from openslot.model import ProofLevel as ProofLevel
    from openslot.model import Question as Question
    from openslot.model import QuestionType as QuestionType
    from openslot.model import Reason as Reason
    from openslot.model import RescheduleRequest as RescheduleRequest
    from openslot.model import Resource as Resource
    from openslot.model import ResourceKind as ResourceKind
    from openslot.model import Segment as Segment
    from openslot.model import Slot as Slot
    from openslot.model import SlotQuery as SlotQuery
    from openslot.model import SlotStatus as SlotStatus
    from openslot.model import VisitMode as VisitMode
    from openslot.model import Window as Window
    from openslot.model import Written as Written
    from openslot.model import from_json as from_json
    from openslot.model import json_schema as json_schema
    from openslot.model import to_json as to_json
    from openslot.practice import Practice as Practice
    from openslot.practice import load_practices as load_practices
    from openslot.registry import connector_names as connector_names
    from openslot.registry import load_connector as load_connector

_HOMES: dict[str, tuple[str, ...]] = {
    "openslot.call": ("Call", "Lane"),
    "openslot.clock": ("Clock", "SystemClock"),
    "openslot.connector": (
        "VERBS",
        "Capabilities",
        "Claim",
        "Connector",
        "ConnectorInfo",
        "Evidence",
        "ProbeReport",
        "Traits",
    ),
    "openslot.desk": (
        "Desk",
        "Match",
        "MatchLevel",
        "Offer",
        "OldSlot",
        "Outcome",
        "OutcomeState",
    ),
    "openslot.errors": (
        "AuthFailed",
        "BadResponse",
        "ConfigError",
        "DeadlineExceeded",
        "KeyReused",
        "NotFound",
        "OpenSlotError",
        "OutcomeUnknown",
        "PlaceLost",
        "RateLimited",
        "Rejected",
        "RejectedReason",
        "SlotTaken",
        "Stale",
        "Unavailable",
        "Unsupported",
    ),
    "openslot.model": (
        "Address",
        "Answer",
        "Appointment",
        "AppointmentQuery",
        "AppointmentStatus",
        "AppointmentType",
        "AppointmentUpdate",
        "BookingQuery",
        "BookingRequest",
        "CancelRequest",
        "Change",
        "ChangeKind",
        "Changes",
        "ConflictQuery",
        "ContactPoint",
        "ContactSystem",
        "Exclusive",
        "Gender",
        "Hold",
        "HoldRequest",
        "HumanName",
        "Identifier",
        "Listing",
        "Location",
        "Missing",
        "MissingWhat",
        "Patient",
        "PatientQuery",
        "Practitioner",
        "Proof",
        "ProofLevel",
        "Question",
        "QuestionType",
        "Reason",
        "RescheduleRequest",
        "Resource",
        "ResourceKind",
        "Segment",
        "Slot",
        "SlotQuery",
        "SlotStatus",
        "VisitMode",
        "Window",
        "Written",
        "from_json",
        "json_schema",
        "to_json",
    ),
    "openslot.practice": ("Practice", "load_practices"),
    "openslot.registry": ("connector_names", "load_connector"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "sync", *sorted(_HOME)]


def __getattr__(name: str) -> Any:
    if name == "sync":
        return importlib.import_module("openslot.sync")
    module = _HOME.get(name)
    if module is None:
        raise AttributeError(f"module 'openslot' has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
