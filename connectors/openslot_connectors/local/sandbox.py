"""The sandbox of `local`: a clinic's file. There is nothing to serve: the connector opens it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from openslot.testing import sandbox as kit

__all__ = ["Sandbox"]


class Sandbox(kit.Sandbox):
    """A clinic in a file, in a folder that goes with the sandbox unless one is given."""

    name: ClassVar[str] = "local"
    served: ClassVar[bool] = False

    def __init__(self, *, database: Path | str | None = None, **options: Any) -> None:
        self._folder: str | None = None
        if database is None:
            self._folder = tempfile.mkdtemp(prefix="openslot-clinic-")
            database = Path(self._folder) / "clinic.db"
        super().__init__(database=database, **options)

    def settings(self, url: str) -> dict[str, Any]:
        """The file."""
        return {"database": self._database}

    def close(self) -> None:
        """Let go of the file, and of the folder if it was made for it."""
        super().close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
