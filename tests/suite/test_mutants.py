"""The suite tested: every broken connector is seen by the check that is meant for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from openslot.testing.suite import ConnectorSuite
from openslot.testing.suite.base import checks_of
from openslot.testing.suite.report import Verdict, run_suite
from openslot.testing.suite.wire import Stage
from suite.mutants import MUTANTS, Modest, Mutant

PLAIN = (
    "test_verbs_are_coroutines",
    "test_closing_twice_is_fine",
    "test_cancelling_nothing_is_not_found",
    "test_practitioners_are_all_there",
    "test_locations_are_all_there",
    "test_none_is_said_where_nothing_is_free",
    "test_cancel_cancels",
)
"""Checks of which a connector with one defect keeps most."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.connector.__name__)
def test_a_mutant_is_caught_by_the_check_meant_for_it(mutant: Mutant, stage: Stage) -> None:
    (meant,) = run_suite(mutant.suite(stage), [mutant.check])
    assert meant.verdict is Verdict.BROKEN, f"{mutant.defect}: alive ({meant.reason})"
    assert mutant.says in meant.reason, f"{mutant.defect}: seen for another reason: {meant.reason}"


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.connector.__name__)
def test_a_mutant_is_broken_in_one_way_only(mutant: Mutant, stage: Stage) -> None:
    results = run_suite(mutant.suite(stage), PLAIN)
    kept = sum(r.verdict is Verdict.KEPT for r in results)
    assert kept > len(PLAIN) / 2, [(r.check.name, r.reason) for r in results]


def test_knowing_less_of_a_vendor_is_no_defect(stage: Stage) -> None:
    modest = Mutant("none", "test_desk_checks_what_the_vendor_does_not_enforce", "", Modest)
    (result,) = run_suite(modest.suite(stage), [modest.check])
    assert result.verdict is Verdict.KEPT, result.reason


def test_the_mutants_are_many_and_each_is_another() -> None:
    assert len(MUTANTS) >= 25
    assert len({m.defect for m in MUTANTS}) == len(MUTANTS)
    assert {m.check for m in MUTANTS} <= {name for name, _ in checks_of(ConnectorSuite)}
