"""`openslot demo`: a booking from end to end in a FHIR R4 server, every claim looked at."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen, run
from openslot.errors import OpenSlotError

if TYPE_CHECKING:
    from openslot.cli.scenario import Step

__all__ = ["demo"]


@click.command()
@click.option("--seed", type=int, default=1, show_default=True, help="Which synthetic clinic.")
@click.option(
    "--fault",
    multiple=True,
    metavar="NAME:KEY=VALUE,...",
    help="Let the server misbehave (`openslot sandbox --list`); may be repeated.",
)
@click.option("--manner", multiple=True, metavar="NAME=VALUE", help="How it behaves at all times.")
@common
@pass_chosen
def demo(chosen: Chosen, seed: int, fault: tuple[str, ...], manner: tuple[str, ...]) -> int:
    """Book, move and cancel a patient in a FHIR R4 server on this machine.

    The server is another process, spoken to over HTTP; all people in it are invented. The exit
    code is 0 only if everything that is printed was found to hold.
    """
    server = ["--seed", str(seed)]
    for name, values in (("--fault", fault), ("--manner", manner)):
        for value in values:
            server += [name, value]
    return run(_demo(chosen, tuple(server)))


async def _demo(chosen: Chosen, server: tuple[str, ...]) -> int:
    from openslot.cli.scenario import scenario

    begun = time.perf_counter()
    steps: list[Step] = []
    failed: OpenSlotError | None = None
    try:
        async for step in scenario(server):
            steps.append(step)
            if not chosen.json:
                _show(len(steps), step)
    except OpenSlotError as error:
        failed = error
    seconds = time.perf_counter() - begun
    if chosen.json:
        emit(_shape(steps, seconds, failed))
    else:
        _conclude(len(steps), seconds, failed)
    return failed.exit_code if failed else 0


def _show(number: int, step: Step) -> None:
    from openslot.cli.show import console
    from openslot.model import Exclusive

    out = console()
    out.print(f"{number:>2} ", end="")
    out.print(f"{step.name:<13}", style="bold", end="")
    out.print(f"{step.milliseconds:>6.0f} ms  ", style="dim", end="")
    out.print(step.said)
    indent = " " * 26
    if step.proof is not None:
        proof = step.proof
        said = proof.level.value.upper()
        if proof.exclusive is not Exclusive.UNKNOWN:
            said += f", exclusive: {proof.exclusive.value}"
        out.print(f"{indent}{said}", style="bold green", end="")
        out.print(f"; compared {', '.join(proof.compared)}")
    for line in step.details:
        out.print(f"{indent}{line}")


def _conclude(done: int, seconds: float, failed: OpenSlotError | None) -> None:
    from openslot.cli.show import console

    if failed is None:
        console().print(f"All {done} steps held, in {seconds:.1f} s.", style="bold green")
        return
    said = f"IT DID NOT HOLD, after {done} steps that did" if done else "The demo could not start"
    console(stderr=True).print(f"{said}: {failed}", style="bold red")


def _shape(steps: list[Step], seconds: float, failed: OpenSlotError | None) -> dict[str, Any]:
    from openslot.cli.shapes import error_shape

    return {
        "ok": failed is None,
        "seconds": round(seconds, 3),
        "steps": [s.shape() for s in steps],
        "error": error_shape(failed) if failed else None,
    }
