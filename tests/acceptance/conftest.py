"""The targets, each started once, and children that can be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from acceptance.children import Nursery
from acceptance.targets import NAMES, Target, started
from peers.medplum import require_node

from openslot import Desk
from openslot.practice import Rules

MakeDesk = Callable[..., Desk]

EVERY = [
    pytest.param(name, marks=pytest.mark.peer if name == "medplum" else (), id=name)
    for name in NAMES
]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Target]]:
    """Starts a target by name, once in a session; `together_ms` makes a second Medplum."""
    with ExitStack() as stack:
        known: dict[tuple[str, int], Target] = {}

        def find(name: str, *, together_ms: int = 0) -> Target:
            together_ms = together_ms if name == "medplum" else 0
            if name == "medplum":
                require_node()
            if (name, together_ms) not in known:
                directory = tmp_path_factory.mktemp(name)
                known[name, together_ms] = stack.enter_context(
                    started(name, directory, together_ms=together_ms)
                )
            return known[name, together_ms]

        yield find


@pytest.fixture(params=EVERY)
def target(request: pytest.FixtureRequest, running: Callable[..., Target]) -> Target:
    """Each of the three in turn; the test seeds it."""
    return running(request.param)


@pytest.fixture
def make_desk(tmp_path: Path) -> MakeDesk:
    """Opens desks on a target, on journals of the test's own."""

    def make(
        target: Target,
        *,
        journal: str = "journal.db",
        page_size: int | None = None,
        rules: Rules | None = None,
    ) -> Desk:
        return Desk(
            target.practice(page_size=page_size, rules=rules),
            journal=tmp_path / journal,
            clock=target.clock,
            recover_every=None,
        )

    return make


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where child processes come from."""
    with Nursery(tmp_path_factory.mktemp("nursery")) as found:
        yield found
