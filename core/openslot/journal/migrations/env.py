"""Alembic's entry: it migrates over the connection that the journal already holds."""

from __future__ import annotations

from alembic import context

from openslot.journal.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
