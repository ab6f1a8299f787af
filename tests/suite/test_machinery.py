"""The suite's own promises: no quiet skips, versions, gates, words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

from openslot.connector import VERBS, Capabilities, Claim, Traits
from openslot.testing.suite import SUITE_VERSION, Bench, ConnectorSuite, base, check, xfail
from openslot.testing.suite.base import Check, checks_of
from openslot.testing.suite.report import LAWS, Verdict, matrix, run_suite
from suite.mutants import AcmeConnector, AcmeSandbox

pytest_plugins = ["pytester"]

CHECKS: dict[str, Check] = {
    name: made.__dict__["openslot_check"] for name, made in checks_of(ConnectorSuite)
}
HEAD = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
import pytest
from suite.mutants import AcmeConnector, AcmeSandbox, NoCancel
from openslot.testing.suite import ConnectorSuite, xfail

class Acme(ConnectorSuite):
    suite_version = "1"
    connector = AcmeConnector
    def make_sandbox(self, **options): return AcmeSandbox(**options)
    def make_connector(self, settings, **options):
        return self.connector(self.connector.Settings(**settings), **options)
"""
KEEPER = "test_nothing_is_left_out"


def run(pytester: pytest.Pytester, text: str, *names: str, ini: str = "") -> pytest.RunResult:
    pytester.makeini(f"[pytest]\n{ini}")
    path = pytester.makepyfile(HEAD + text)
    nodes = [f"{path}::TestAcme::{name}" for name in names]
    return pytester.runpytest_inprocess("--disable-plugin-autoload", "-pno:cacheprovider", *nodes)


@pytest.mark.parametrize("spec", CHECKS.values(), ids=lambda c: c.name)
def test_every_check_says_what_it_means_and_what_to_look_at(spec: Check) -> None:
    first, _, rest = spec.doc.partition("\n")
    assert first.endswith((".", "?"))
    assert "If it fails:" in rest
    assert set(spec.verbs) <= set(VERBS)
    assert spec.law in LAWS
    assert all(hasattr(Traits(), t) for t in (*spec.claims, *spec.unclaimed))
    assert int(spec.since) <= int(SUITE_VERSION)


def test_every_law_is_checked() -> None:
    assert {c.law for c in CHECKS.values()} == set(LAWS)


def test_a_suite_as_it_is_leaves_nothing_out(pytester: pytest.Pytester) -> None:
    run(pytester, "class TestAcme(Acme): pass", KEEPER).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "body",
    [
        "def test_cancel_cancels(self): pass",
        "test_cancel_cancels = None",
        "@pytest.mark.xfail(reason='no')\n    def test_cancel_cancels(self): assert 0",
        "suite_version = None",
        "suite_version = '99'",
    ],
)
def test_what_is_left_out_is_told(pytester: pytest.Pytester, body: str) -> None:
    run(pytester, f"class TestAcme(Acme):\n    {body}\n", KEEPER).assert_outcomes(failed=1)


def test_the_keeper_itself_cannot_be_overridden(pytester: pytest.Pytester) -> None:
    text = f"class TestAcme(Acme):\n    suite_version = None\n    def {KEEPER}(self): pass\n"
    run(pytester, text, KEEPER).assert_outcomes(failed=1)


def test_a_mixin_cannot_leave_out_either(pytester: pytest.Pytester) -> None:
    text = (
        "class Quiet:\n    def test_cancel_cancels(self): pass\nclass TestAcme(Quiet, Acme): pass\n"
    )
    run(pytester, text, KEEPER).assert_outcomes(failed=1)


def test_a_skip_from_outside_is_told(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if 'cancel_cancels' in item.name: item.add_marker(pytest.mark.skip)\n"
    )
    result = run(pytester, "class TestAcme(Acme): pass", KEEPER, "test_cancel_cancels")
    result.assert_outcomes(failed=1, skipped=1)


def test_an_expected_failure_is_expected_and_its_end_is_told(pytester: pytest.Pytester) -> None:
    text = (
        "class TestAcme(Acme):\n    connector = NoCancel\n"
        "    test_cancel_cancels = xfail(reason='Acme keeps everything')\n"
        "    test_closing_twice_is_fine = xfail(reason='not true')\n"
    )
    result = run(
        pytester, text, KEEPER, "test_cancel_cancels", "test_closing_twice_is_fine", ini=""
    )
    result.assert_outcomes(passed=1, xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*"])


def test_an_xfail_says_why() -> None:
    with pytest.raises(ValueError, match="says why"):
        xfail(reason=" ")


def test_the_suite_runs_beside_other_asyncio_plugins(pytester: pytest.Pytester) -> None:
    """The checks are plain functions to pytest, whatever plugin would take coroutines."""
    pytester.makeini("[pytest]\nanyio_mode = auto\n")
    path = pytester.makepyfile(HEAD + "class TestAcme(Acme): pass\n")
    result = pytester.runpytest_inprocess(f"{path}::TestAcme::test_closing_twice_is_fine")
    result.assert_outcomes(passed=1)


class Newer(ConnectorSuite):
    """A suite with a check that came in a later version."""

    __module__ = "openslot.testing.suite.later"
    connector: ClassVar[Any] = AcmeConnector

    def make_sandbox(self, **options: Any) -> Any:
        return AcmeSandbox(**options)

    def make_connector(self, settings: dict[str, Any], **options: Any) -> Any:
        return self.connector(self.connector.Settings(**settings), **options)

    @check(1, "find_slots", since="2")
    async def test_what_came_later(self, bench: Bench) -> None:
        """Nobody keeps this.

        If it fails: raise the version when you are ready.
        """
        raise AssertionError("nobody keeps this")


def test_a_newer_check_is_reported_and_breaks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "SUITE_VERSION", "2")

    class TestOld(Newer):
        suite_version = "1"

    class TestNew(Newer):
        suite_version = "2"

    (old,) = run_suite(TestOld, ["test_what_came_later"])
    (new,) = run_suite(TestNew, ["test_what_came_later"])
    assert old.verdict is Verdict.EXPECTED
    assert "new in suite version 2" in old.reason
    assert new.verdict is Verdict.BROKEN


@pytest.mark.parametrize("claim", list(Claim))
def test_a_trait_gates_a_check_and_unproven_counts_as_the_worse(claim: Claim) -> None:
    can = Capabilities(frozenset(VERBS), Traits(conflict_enforcement=claim))
    promised = Check("x", 7, ("book",), claims=("conflict_enforcement",))
    worse = Check("y", 7, ("book",), unclaimed=("conflict_enforcement",))
    assert (promised.inapplicable(can, wired=True) is None) is (claim is Claim.YES)
    assert (worse.inapplicable(can, wired=True) is None) is (claim is not Claim.YES)


def test_a_verb_and_a_wire_gate_a_check() -> None:
    can = Capabilities(frozenset({"book"}), Traits())
    assert Check("x", 1, ("hold",)).inapplicable(can, wired=True) == "it cannot hold"
    assert Check("x", 1, ("book",), wire=True).inapplicable(can, wired=False)
    assert Check("x", 1, ("book",), wire=True).inapplicable(can, wired=True) is None


def test_the_matrix_shows_the_worst_of_a_law_and_verb() -> None:
    from openslot.testing.suite.report import Result

    one, two = Check("a", 1, ("book", "cancel")), Check("b", 1, ("book",))
    found = matrix([Result(one, Verdict.KEPT), Result(two, Verdict.BROKEN, "no")])
    assert found == [(1, "book", "broken"), (1, "cancel", "kept")]


def test_the_page_shows_the_test_as_it_is() -> None:
    tests = Path(__file__).parents[1]
    page = (tests.parent / "docs" / "conformance.md").read_text()
    shown = page.partition("```python\n")[2].partition("```")[0]
    package = tests / "third_party" / "openslot_acme"
    assert shown == (package / "tests" / "test_acme.py").read_text()


def test_every_room_is_on_the_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
    rooms = {made.__module__.rpartition(".")[2] for _, made in checks_of(ConnectorSuite)}
    assert all(f"\n| {room} |" in page for room in rooms)
