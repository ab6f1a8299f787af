"""The journal's history, for Alembic."""
