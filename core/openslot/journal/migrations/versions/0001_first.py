"""The first tables: intents, their steps, offers and claims."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "intents",
        sa.Column("practice", sa.String(200), nullable=False),
        sa.Column("marker", sa.String(64), nullable=False),
        sa.Column("verb", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("parent", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("final", sa.Boolean, nullable=False),
        sa.Column("facts", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("target", sa.String(512)),
        sa.Column("appointment", sa.String(512)),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("sent", sa.Float),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("owner", sa.String(200)),
        sa.Column("lease", sa.Float),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("practice", "marker", name="intents_pk"),
    )
    op.create_index("intents_open", "intents", ["practice", "final"])
    op.create_index("intents_target", "intents", ["practice", "target"])
    op.create_index("intents_appointment", "intents", ["practice", "appointment"])
    op.create_table(
        "steps",
        sa.Column("practice", sa.String(200), nullable=False),
        sa.Column("marker", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("step", sa.String(100), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("practice", "marker", "number", name="steps_pk"),
        sa.ForeignKeyConstraint(
            ["practice", "marker"],
            ["intents.practice", "intents.marker"],
            name="steps_intent_fk",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "offers",
        sa.Column("practice", sa.String(200), nullable=False),
        sa.Column("conversation", sa.String(64), nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("practice", "conversation", "code", name="offers_pk"),
    )
    op.create_index("offers_expires", "offers", ["expires"])
    op.create_table(
        "claims",
        sa.Column("practice", sa.String(200), nullable=False),
        sa.Column("resource", sa.String(512), nullable=False),
        sa.Column("start", sa.Float, nullable=False),
        sa.Column("end", sa.Float, nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("expires", sa.Float, nullable=False),
        sa.PrimaryKeyConstraint("practice", "resource", "start", "owner", name="claims_pk"),
    )
    op.create_index("claims_span", "claims", ["practice", "resource", "start"])


def downgrade() -> None:
    """Drop the tables."""
    for table in ("claims", "offers", "steps", "intents"):
        op.drop_table(table)
