"""What every part of the command shares: its options, the practice they choose, and its desk."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from openslot.errors import ConfigError
from openslot.journal.store import FILE_NAME

if TYPE_CHECKING:
    from openslot.desk import Desk
    from openslot.practice import Practice

__all__ = ["PARTIAL", "Chosen", "common", "emit", "given", "pass_chosen", "run"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PARTIAL = 3
"""Exit code of an answer that is good as far as it goes, and does not go all the way: something
could not be read, or what was asked for is not (yet) confirmed."""

CONFIG = "openslot.toml"


@dataclass(slots=True)
class Chosen:
    """The options that stand before or behind any part's name."""

    config: str | None = None
    practice: str | None = None
    journal: str | None = None
    json: bool = False

    def the_practice(self) -> Practice:
        """The practice that is meant. Raises ConfigError with what to write instead."""
        from openslot.practice import load_practices
        from openslot.registry import nearest

        path = Path(self.config or CONFIG)
        if not os.path.exists(path):  # False also where a folder may not be entered
            raise ConfigError(
                f"there is no file {path}; write one with a table [practices.NAME], or name yours "
                f"with --config or $OPENSLOT_CONFIG"
            )
        practices = load_practices(path)
        if self.practice is None:
            if len(practices) > 1:
                raise ConfigError(
                    f"{path} describes several practices: {', '.join(sorted(practices))}; "
                    f"choose one with --practice NAME"
                )
            return next(iter(practices.values()))
        if self.practice not in practices:
            hint = nearest(self.practice, practices) or f"; it has: {', '.join(sorted(practices))}"
            raise ConfigError(f"{path} describes no practice {self.practice!r}{hint}")
        return practices[self.practice]

    def the_journal(self, practice: Practice) -> str | Path:
        """Where the journal is: as told, else beside the practice's settings."""
        return self.journal or practice.directory / FILE_NAME

    def desk(self, practice: Practice) -> Desk:
        """The practice's desk, which settles nothing by itself: `recover` is a command."""
        from openslot.desk import Desk

        return Desk(practice, journal=self.the_journal(practice), recover_every=None)


pass_chosen = click.make_pass_decorator(Chosen, ensure=True)


def _keep(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    chosen = ctx.ensure_object(Chosen)
    if value and param.name:
        setattr(chosen, param.name, value)


def _kept(name: str, **attributes: Any) -> Callable[[F], F]:
    return click.option(name, callback=_keep, expose_value=False, is_eager=True, **attributes)


def common(command: F) -> F:
    """Give a command the options that all have; `pass_chosen` hands them over."""
    for option in _COMMON:
        command = option(command)
    return command


_COMMON = (
    _kept("--json", is_flag=True, help="Print one JSON document on stdout."),
    _kept("--journal", metavar="PATH", help=f"Default: {FILE_NAME} beside the settings file."),
    _kept("--practice", metavar="NAME", help="Needed where the file describes several."),
    _kept(
        "--config",
        metavar="FILE",
        envvar="OPENSLOT_CONFIG",
        help=f"The settings file. Default: $OPENSLOT_CONFIG, else ./{CONFIG}.",
    ),
)


def emit(document: Any) -> None:
    """Print the one JSON document of a call."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def given(text: str, what: str) -> str:
    """An argument, read from stdin where it is `-`. Raises BadParameter where it is empty."""
    if text == "-":
        text = sys.stdin.read()
    if not (text := text.strip()):
        raise click.BadParameter("it is empty", param_hint=what)
    return text


def run(work: Coroutine[Any, Any, T]) -> T:
    """Do the asynchronous part of a command."""
    return asyncio.run(work)
