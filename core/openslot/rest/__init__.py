"""RestConnector and its parts: what a connector for an HTTP API stands on."""

from openslot.rest.auth import Auth, Basic, StaticKey, Wire
from openslot.rest.connector import Params, RestConnector
from openslot.rest.oauth import OAuth2, OAuth2ClientCredentials, OAuth2RefreshToken
from openslot.rest.origin import path, query
from openslot.rest.reply import Headers, Reply
from openslot.rest.rules import ErrorRule, Refused
from openslot.rest.settings import RestSettings
from openslot.rest.smart import SmartBackend
from openslot.rest.tokens import FileTokenStore, MemoryTokenStore, Token, TokenStore

__all__ = [
    "Auth",
    "Basic",
    "ErrorRule",
    "FileTokenStore",
    "Headers",
    "MemoryTokenStore",
    "OAuth2",
    "OAuth2ClientCredentials",
    "OAuth2RefreshToken",
    "Params",
    "Refused",
    "Reply",
    "RestConnector",
    "RestSettings",
    "SmartBackend",
    "StaticKey",
    "Token",
    "TokenStore",
    "Wire",
    "path",
    "query",
]
