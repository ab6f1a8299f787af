"""What a practice says about its own clinic file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LocalSettings"]


class LocalSettings(BaseModel):
    """Settings of the `local` connector."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    database: Literal[":memory:"] | Path = ":memory:"
    """Path of the clinic's SQLite file, created if there is none; ":memory:" forgets at exit."""
    synthetic: int | None = None
    """Fill an empty clinic with invented people from this seed (demonstrations and tests)."""
    hold_seconds: int = Field(default=300, ge=1, le=86_400)
    """How long a held time is kept."""
