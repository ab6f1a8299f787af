"""The command as a whole: its parts, and how every error leaves it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

import openslot
from openslot.cli.cassettes import cassettes
from openslot.cli.completion import completion
from openslot.cli.conformance import conformance
from openslot.cli.demo import demo
from openslot.cli.doctor import doctor
from openslot.cli.holding import hold, release
from openslot.cli.later import outcome, recover, unsettled
from openslot.cli.look import connectors, find
from openslot.cli.options import common, emit
from openslot.cli.reading import appointments, patients
from openslot.cli.sandbox import sandbox
from openslot.cli.writing import book, cancel, reschedule
from openslot.errors import OpenSlotError

__all__ = ["cli"]

INTERRUPTED = 130


class App(click.Group):
    """A group whose errors are one sentence on stderr, or one JSON document on stdout."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run with `args`, and exit with the code of what happened."""
        arguments = list(sys.argv[1:] if args is None else args)
        as_json = "--json" in arguments
        try:
            code = super().main(arguments, prog_name, complete_var, False, **extra)
            sys.stdout.flush()
        except OpenSlotError as error:
            code = _failed(error, as_json)
        except click.ClickException as error:
            code = _misused(error, as_json)
        except click.Abort:
            code = _ended("interrupted", "interrupted", INTERRUPTED, as_json)
        except BrokenPipeError:
            # Whoever read us has left, and python must not complain at exit; rich does the same.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 1
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code


def _failed(error: OpenSlotError, as_json: bool) -> int:
    if as_json:
        from openslot.cli.shapes import error_shape

        emit({"error": error_shape(error)})
    else:
        from openslot.cli.show import show_error

        show_error(error)
    return error.exit_code


def _misused(error: click.ClickException, as_json: bool) -> int:
    if not as_json:
        error.show()
        return error.exit_code
    return _ended("usage", error.format_message(), error.exit_code, as_json)


def _ended(code: str, message: str, exit_code: int, as_json: bool) -> int:
    if as_json:
        emit({"error": {"code": code, "message": message}})
    else:
        click.echo(f"openslot: {message}", err=True)
    return exit_code


@click.group(cls=App, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(openslot.__version__, prog_name="openslot")
@common
def cli() -> None:
    """Find, book, move and cancel appointments in the system a practice already runs."""


for _command in (
    demo,
    connectors,
    doctor,
    find,
    hold,
    release,
    book,
    reschedule,
    cancel,
    appointments,
    patients,
    outcome,
    unsettled,
    recover,
    sandbox,
    cassettes,
    conformance,
    completion,
):
    cli.add_command(_command)
