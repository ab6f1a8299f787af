"""The command `openslot`: `docs/cli.md` says what each part of it prints and how it exits."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command with this process's arguments, and exit as it ends."""
    from openslot.cli.app import cli

    cli.main(prog_name="openslot")
