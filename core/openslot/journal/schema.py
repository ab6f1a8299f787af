"""The journal's tables. Alembic's migrations make them; this is what the code speaks to.

Instants are epoch seconds. Nothing here is a patient's, except `payload`: a request that is not
settled yet, sealed, erased on settling.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

__all__ = ["HEAD", "claims", "intents", "metadata", "offers", "steps"]

HEAD = "0001"
"""The migration that this code expects."""

metadata = MetaData()

intents = Table(
    "intents",
    metadata,
    Column("practice", String(200), nullable=False),
    Column("marker", String(64), nullable=False),
    Column("verb", String(32), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("parent", String(64)),
    Column("state", String(16), nullable=False),
    Column("final", Boolean, nullable=False),
    Column("facts", Text, nullable=False),
    Column("payload", Text),
    Column("result", Text),
    Column("target", String(512)),
    Column("appointment", String(512)),
    Column("created", Float, nullable=False),
    Column("sent", Float),
    Column("updated", Float, nullable=False),
    Column("owner", String(200)),
    Column("lease", Float),
    Column("fence", Integer, nullable=False),
    PrimaryKeyConstraint("practice", "marker", name="intents_pk"),
    Index("intents_open", "practice", "final"),
    Index("intents_target", "practice", "target"),
    Index("intents_appointment", "practice", "appointment"),
)

steps = Table(
    "steps",
    metadata,
    Column("practice", String(200), nullable=False),
    Column("marker", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("step", String(100), nullable=False),
    Column("at", Float, nullable=False),
    PrimaryKeyConstraint("practice", "marker", "number", name="steps_pk"),
    ForeignKeyConstraint(
        ["practice", "marker"],
        ["intents.practice", "intents.marker"],
        name="steps_intent_fk",
        ondelete="CASCADE",
    ),
)

offers = Table(
    "offers",
    metadata,
    Column("practice", String(200), nullable=False),
    Column("conversation", String(64), nullable=False),
    Column("code", String(16), nullable=False),
    Column("slot", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=False),
    PrimaryKeyConstraint("practice", "conversation", "code", name="offers_pk"),
    Index("offers_expires", "expires"),
)

claims = Table(
    "claims",
    metadata,
    Column("practice", String(200), nullable=False),
    Column("resource", String(512), nullable=False),
    Column("start", Float, nullable=False),
    Column("end", Float, nullable=False),
    Column("owner", String(64), nullable=False),
    Column("expires", Float, nullable=False),
    PrimaryKeyConstraint("practice", "resource", "start", "owner", name="claims_pk"),
    Index("claims_span", "practice", "resource", "start"),
)
