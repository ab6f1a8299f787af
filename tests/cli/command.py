"""The command, run in this process or in another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from openslot.cli.app import cli

OPENSLOT = (sys.executable, "-c", "from openslot.cli import main; main()")


@dataclass
class Command:
    """The command in a folder of its own, with an openslot.toml."""

    folder: Path

    def toml(self, connector: str, settings: dict[str, Any], *, test: bool = False) -> None:
        lines = [
            "[practices.riverside]",
            f'connector = "{connector}"',
            'zone = "America/New_York"',
            f"test = {str(test).lower()}",
            "[practices.riverside.settings]",
            *(f"{name} = {json.dumps(value)}" for name, value in settings.items()),
        ]
        (self.folder / "openslot.toml").write_text("\n".join(lines))

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """In this process. stdout and stderr are kept apart."""
        given = ("--config", str(self.folder / "openslot.toml"), *arguments)
        return CliRunner().invoke(cli, given, input=stdin, prog_name="openslot")

    def json(self, *arguments: str, code: int = 0) -> Any:
        """In this process; the document on stdout, which must be all that is there."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        return json.loads(result.stdout)

    def spawn(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """In another process."""
        return subprocess.run(
            [*OPENSLOT, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            **options,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """In another process, which goes on."""
        return subprocess.Popen(
            [*OPENSLOT, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
