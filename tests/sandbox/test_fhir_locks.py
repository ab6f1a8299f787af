"""Requests that write and requests that search wait for each other, never in a circle."""

from __future__ import annotations

import threading

from openslot_connectors.fhir.sandbox import Sandbox

PATIENCE = 10.0


def test_a_writer_may_ask_for_the_zone_that_a_search_is_asking_for() -> None:
    """The first search after a start works the zone out, while a write has the clinic."""
    sandbox = Sandbox()
    done, inside, asking = threading.Event(), threading.Event(), threading.Event()

    def write() -> None:
        with sandbox.clinic.transaction():
            inside.set()
            asking.wait(PATIENCE)
            _ = sandbox.server.context.zone
        done.set()

    def search() -> None:
        inside.wait(PATIENCE)
        threading.Timer(0.1, asking.set).start()
        _ = sandbox.server.context.zone  # waits for the clinic, which the writer has

    for work in (write, search):
        threading.Thread(target=work, daemon=True).start()
    assert done.wait(PATIENCE), "writer and search wait for each other"
    sandbox.close()
