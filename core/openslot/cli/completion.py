"""`openslot completion`: what a shell reads to complete this command."""

from __future__ import annotations

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen

__all__ = ["completion"]

NAME = "openslot"
VARIABLE = "_OPENSLOT_COMPLETE"
"""What the shell sets to ask for completions; click derives the same from the command's name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@pass_chosen
@click.pass_context
def completion(ctx: click.Context, chosen: Chosen, shell: str) -> None:
    """Print the completion of SHELL: eval "$(openslot completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, NAME, VARIABLE).source()
    if chosen.json:
        emit({"shell": shell, "script": script})
    else:
        click.echo(script)
