"""`openslot sandbox`: a vendor-shaped server on this machine."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import click

from openslot.cli.options import Chosen, common, emit, pass_chosen
from openslot.errors import ConfigError, OpenSlotError

__all__ = ["sandbox"]

SERVERS = frozenset({"uvicorn", "starlette", "h11"})


class Unlistened(OpenSlotError):
    """The address cannot be listened on."""

    code = "cannot_listen"


@click.command()
@click.argument("name", required=False)
@click.option("--proxy", metavar="URL", help="Put the faults before the server at this address.")
@click.option("--list", "listing", is_flag=True, help="List the sandboxes and the faults.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 takes a free one.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which synthetic clinic.")
@click.option(
    "--database",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The clinic's SQLite file, kept if it exists; in memory without one.",
)
@click.option("--fault", multiple=True, metavar="NAME:KEY=VALUE,...", help="May be repeated.")
@click.option("--manner", multiple=True, metavar="NAME=VALUE", help="May be repeated.")
@click.option("--webhooks", metavar="URL", help="Post the sandbox's webhooks to this address.")
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Authorities (PEM) of the server behind the proxy.",
)
@common
@pass_chosen
def sandbox(
    chosen: Chosen,
    name: str | None,
    proxy: str | None,
    listing: bool,
    port: int,
    seed: int,
    database: Path | None,
    fault: tuple[str, ...],
    manner: tuple[str, ...],
    webhooks: str | None,
    ca_file: Path | None,
) -> None:
    """Serve the sandbox of connector NAME, or a proxy with faults, on 127.0.0.1.

    Until it is interrupted. --fault and --manner are described in docs/sandboxes.md.
    """
    try:
        if listing:
            _list(chosen)
            return
        if (name is None) is (proxy is None):
            raise click.UsageError("name a sandbox or a --proxy, or --list what there is")
        if proxy is not None:
            if database or manner or webhooks:
                raise click.UsageError(
                    "a proxy has no clinic: --database, --manner and --webhooks are a sandbox's"
                )
            _front(chosen, proxy, port, fault, ca_file)
        elif name is not None:
            if ca_file is not None:
                raise click.UsageError("--ca-file goes with --proxy")
            _serve(chosen, name, port, seed, database, fault, manner, webhooks)
    except ModuleNotFoundError as error:
        if error.name not in SERVERS:
            raise
        raise ConfigError(
            f"a sandbox needs the package {error.name!r}; "
            f"install it with: pip install 'openslot[testing]'"
        ) from error


def _serve(
    chosen: Chosen,
    name: str,
    port: int,
    seed: int,
    database: Path | None,
    faults: tuple[str, ...],
    manners: tuple[str, ...],
    webhooks: str | None,
) -> None:
    from openslot.testing.sandbox import main_run

    def announce(url: str) -> None:
        if chosen.json:
            emit({"name": name, "url": url})
        else:
            click.echo(f"{name} sandbox at {url} (seed {seed}); interrupt to stop")

    try:
        main_run(
            name,
            port=port,
            seed=seed,
            database=database,
            faults=faults,
            manners=manners,
            webhooks=webhooks,
            announce=announce,
        )
    except OSError as error:
        raise Unlistened(f"cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error


def _front(
    chosen: Chosen, upstream: str, port: int, faults: tuple[str, ...], ca_file: Path | None
) -> None:
    from openslot.testing.proxy import proxy_run

    def announce(url: str) -> None:
        if chosen.json:
            emit({"proxy": upstream, "url": url})
        else:
            click.echo(f"proxy at {url} before {upstream}; interrupt to stop")

    try:
        proxy_run(upstream, port=port, faults=faults, ca_file=ca_file, announce=announce)
    except OSError as error:
        raise Unlistened(f"cannot listen on 127.0.0.1 port {port}: {error.strerror}") from error


def _list(chosen: Chosen) -> None:
    from openslot.registry import SANDBOXES
    from openslot.testing.faults import KINDS

    names = sorted({e.name for e in entry_points(group=SANDBOXES)})
    faults = {kind.name: kind.what for kind in KINDS.values()}
    if chosen.json:
        emit({"sandboxes": names, "faults": faults})
        return
    from openslot.cli.show import console, table

    console().print(f"Sandboxes: {', '.join(names) or 'none is installed'}")
    table(("fault", "what it does"), list(faults.items()))
