"""Finds connectors by name and loads only the one that was asked for.

In-tree connectors register through the same entry-point group as anyone else's. The entry point's
name is the public address; module paths are not.
"""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from openslot.errors import ConfigError

if TYPE_CHECKING:
    from openslot.connector import Connector

__all__ = ["CONNECTORS", "SANDBOXES", "connector_names", "load_connector", "load_entry", "nearest"]

CONNECTORS = "openslot.connectors"
SANDBOXES = "openslot.sandboxes"


def connector_names() -> tuple[str, ...]:
    """The names of the installed connectors, sorted; none of them is imported."""
    return tuple(sorted({e.name for e in entry_points(group=CONNECTORS)}))


def load_connector(name: str) -> type[Connector]:
    """The connector class called `name`.

    Raises ConfigError where none is installed under that name, where its extra is missing, or
    where the entry point leads to something that is no connector.
    """
    from openslot.connector import Connector

    loaded = load_entry(CONNECTORS, name)
    if not (isinstance(loaded, type) and issubclass(loaded, Connector)):
        raise ConfigError(f"the entry point {name!r} does not lead to a Connector")
    return loaded


def load_entry(group: str, name: str) -> Any:
    """The object behind one entry point of the group. Raises ConfigError as `load_connector`."""
    found: dict[str, EntryPoint] = {e.name: e for e in entry_points(group=group)}
    kind = {CONNECTORS: "connector", SANDBOXES: "sandbox"}.get(group, "entry point")
    if name not in found:
        raise ConfigError(
            f"no {kind} is called {name!r}{nearest(name, found)}; "
            f"`openslot connectors` lists what is installed"
        )
    try:
        return found[name].load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the {kind} {name!r} needs the package {error.name!r}; "
            f"install it with: pip install 'openslot[all]'"
        ) from error
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"the {kind} {name!r} is installed but cannot be loaded ({type(error).__name__}); "
            f"is it made for this version of openslot?"
        ) from error


def nearest(name: str, known: Any) -> str:
    """A suggestion to put behind an unknown name: "; did you mean 'x'?", or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""
