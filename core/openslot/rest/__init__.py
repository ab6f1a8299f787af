"""RestConnector and its parts: what a connector for an HTTP API stands on."""

from openslot.rest.auth import Auth, Wire
from openslot.rest.connector import Params, RestConnector
from openslot.rest.origin import path, query
from openslot.rest.reply import Headers, Reply
from openslot.rest.rules import ErrorRule, Refused
from openslot.rest.settings import RestSettings

__all__ = [
    "Auth",
    "ErrorRule",
    "Headers",
    "Params",
    "Refused",
    "Reply",
    "RestConnector",
    "RestSettings",
    "Wire",
    "path",
    "query",
]
