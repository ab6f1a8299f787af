"""What a practice with a FHIR server writes into its settings, and where it finds each value."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from openslot.rest import (
    Auth,
    Basic,
    FileTokenStore,
    OAuth2ClientCredentials,
    OAuth2RefreshToken,
    RestSettings,
    SmartBackend,
    StaticKey,
)
from openslot_connectors.fhir.profile import PatientSearch

__all__ = ["AuthSettings", "FhirSettings", "auth_for"]


class _Auth(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class NoCredential(_Auth):
    """The server asks for none: a sandbox, or one reachable only from inside."""

    kind: Literal["none"] = "none"


class KeyCredential(_Auth):
    """A fixed key; the server's administrator gives it out."""

    kind: Literal["key"]
    key: SecretStr
    """The key itself."""
    header: str = "Authorization"
    """The header that carries it, as the server's documentation says."""
    prefix: str = "Bearer "
    """What stands before the key in the header; empty for a bare key."""


class BasicCredential(_Auth):
    """A user name and password of a technical user on the server."""

    kind: Literal["basic"]
    user: str
    """The technical user's name."""
    password: SecretStr
    """The technical user's password."""


class ClientCredential(_Auth):
    """OAuth2 client credentials: id and secret from the server's page for registered clients."""

    kind: Literal["client_credentials"]
    token_url: str
    """`token_endpoint` in the server's `.well-known/smart-configuration`."""
    client_id: str
    """The client id shown when the application was registered."""
    client_secret: SecretStr
    """The client secret, shown once when the application was registered."""
    scope: tuple[str, ...] = ()
    """Scopes to ask for, such as `system/Slot.read`; none where the server assigns them."""
    authentication: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    """Where the secret travels; `token_endpoint_auth_methods_supported` names what is possible."""


class RefreshCredential(_Auth):
    """A refresh token that a person's sign-in to the server left us."""

    kind: Literal["refresh_token"]
    token_url: str
    """`token_endpoint` in the server's `.well-known/smart-configuration`."""
    client_id: str
    """The client id shown when the application was registered."""
    client_secret: SecretStr | None = None
    """The client secret, where the application is a confidential one."""
    refresh_token: SecretStr
    """The refresh token of the sign-in; later ones are kept in `token_dir`."""
    token_dir: Path
    """A directory of this machine in which rotated tokens outlive the process."""
    scope: tuple[str, ...] = ()
    """Scopes to ask for; none keeps those of the sign-in."""


class SmartCredential(_Auth):
    """SMART Backend Services: a key pair, its public half registered with the server."""

    kind: Literal["smart"]
    client_id: str
    """The client id shown when the backend application was registered."""
    private_key: SecretStr
    """The private key as PEM or JWK, RSA of 2048 bits or more, or P-384."""
    kid: str | None = None
    """The key's id in the key set that was registered."""
    algorithm: Literal["RS384", "ES384"] | None = None
    """How assertions are signed; what fits the key where it is not said."""
    scope: tuple[str, ...] = (
        "system/Slot.read",
        "system/Slot.write",
        "system/Schedule.read",
        "system/Appointment.read",
        "system/Appointment.write",
        "system/Patient.read",
        "system/Patient.write",
        "system/Practitioner.read",
        "system/Location.read",
        "system/HealthcareService.read",
    )
    """Scopes to ask for."""
    token_url: str | None = None
    """The token endpoint, where the server has no `.well-known/smart-configuration`."""
    jwks_url: str | None = None
    """The address of the registered key set, for servers that want it named."""


AuthSettings = Annotated[
    NoCredential
    | KeyCredential
    | BasicCredential
    | ClientCredential
    | RefreshCredential
    | SmartCredential,
    Field(discriminator="kind"),
]
"""How the practice's server is told who we are, by `kind`."""


class FhirSettings(RestSettings):
    """A practice with a FHIR R4 server. `base_url` is the server's FHIR base, such as
    `https://ehr.example/fhir/R4`: the address under which `/metadata` answers."""

    auth: AuthSettings = NoCredential()
    """The credential; see each kind for where its values are found."""
    page_size: int | None = Field(default=None, ge=1, le=1000)
    """Entries asked for on one page; the profile's number where it is not said."""
    enforces_if_match: bool = True
    """Whether the server refuses a PUT under an old version; `openslot doctor --write-probe` on a
    test practice shows it."""
    refuses_overlaps: bool = False
    """Whether overlapping appointments of one practitioner are impossible here: the server refuses
    them, or offers no Slots that overlap. Where nobody knows, the desk looks after each booking."""
    rolls_back: bool = False
    """Whether the server undoes a failed transaction Bundle; not all that take one do."""
    holds: bool = False
    """Whether slots may be held as `busy-tentative`, which all users of the server must respect."""
    hold_seconds: int = Field(default=300, ge=10, le=3600)
    """How long a hold is meant to last; we give it back, the server knows no expiry."""
    patient_search: PatientSearch | None = None
    """How people are searched for: `post`, `match`, or `get` where nothing else works, which puts
    names and dates of birth into URLs."""
    longest_appointment_hours: float = Field(default=24, gt=0, le=24 * 14)
    """R4 finds appointments by their start only: how far before a window one that reaches into it
    may start."""
    schedule_cache_seconds: float = Field(default=60, ge=0, le=3600)
    """How long whose time a Schedule is may be remembered."""
    settle_seconds: float = Field(default=10, gt=0, le=600)
    """After how long a request that was sent has landed, or never will."""

    @property
    def longest_appointment(self) -> timedelta:
        """`longest_appointment_hours` as a duration."""
        return timedelta(hours=self.longest_appointment_hours)


def auth_for(settings: FhirSettings) -> Auth | None:
    """The credential that the settings describe."""
    match settings.auth:
        case KeyCredential() as a:
            return StaticKey(a.key, header=a.header, prefix=a.prefix)
        case BasicCredential() as a:
            return Basic(a.user, a.password)
        case ClientCredential() as a:
            return OAuth2ClientCredentials(
                a.token_url,
                a.client_id,
                a.client_secret,
                scope=a.scope,
                authentication=a.authentication,
            )
        case RefreshCredential() as a:
            return OAuth2RefreshToken(
                a.token_url,
                a.client_id,
                a.client_secret,
                a.refresh_token,
                store=FileTokenStore(a.token_dir),
                scope=a.scope,
            )
        case SmartCredential() as a:
            return SmartBackend(
                a.client_id,
                a.private_key,
                kid=a.kid,
                algorithm=a.algorithm,
                scope=a.scope,
                base_url=settings.base_url,
                token_url=a.token_url,
                jwks_url=a.jwks_url,
            )
        case NoCredential():
            return None
