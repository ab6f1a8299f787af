"""The suite tested: every broken connector is seen by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openslot.testing.suite import ConnectorSuite
from openslot.testing.suite.base import checks_of
from openslot.testing.suite.report import Verdict, run_suite
from openslot.testing.suite.wire import Stage
from suite.mutants import MUTANTS, Modest, Mutant

PLAIN = ("test_practitioners_are_all_there", "test_cancelling_nothing_is_not_found")
"""Checks that hardly a mutant is about: who fails both is broken in more than one way."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.connector.__name__)
def test_a_mutant_is_caught_by_the_check_meant_for_it(mutant: Mutant, stage: Stage) -> None:
    results = {r.check.name: r for r in run_suite(mutant.suite(stage), [mutant.check, *PLAIN])}
    meant = results[mutant.check]
    assert meant.verdict is Verdict.BROKEN, f"{mutant.defect}: alive ({meant.reason})"
    assert mutant.says in meant.reason, f"{mutant.defect}: seen for another reason: {meant.reason}"
    others = [r for r in results.values() if r.check.name in PLAIN]
    kept = sum(r.verdict is Verdict.KEPT for r in others)
    assert kept >= len(PLAIN) - 1, [(r.check.name, r.reason) for r in others]


def test_knowing_less_of_a_vendor_is_no_defect(stage: Stage) -> None:
    modest = Mutant("none", "test_desk_checks_what_the_vendor_does_not_enforce", "", Modest)
    (result,) = run_suite(modest.suite(stage), [modest.check])
    assert result.verdict is Verdict.KEPT, result.reason


def test_the_mutants_are_many_and_each_is_another() -> None:
    assert len(MUTANTS) >= 25
    assert len({m.defect for m in MUTANTS}) == len(MUTANTS)
    assert {m.check for m in MUTANTS} <= {name for name, _ in checks_of(ConnectorSuite)}
