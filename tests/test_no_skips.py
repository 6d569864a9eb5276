"""On CI nothing that the tests need may be missing unnoticed."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

HOOKS = "from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport"
LACK = "needs root: it boots systemd in namespaces of its own"
SKIPS = {
    "by a mark": f"@pytest.mark.skipif(True, reason={LACK!r})\ndef test_it(): ...",
    "by a fixture": f"@pytest.fixture\ndef machine(): pytest.skip({LACK!r})\ndef test_it(machine): ...",
    "in the test": f"def test_it(): pytest.skip({LACK!r})",
    "of a whole module": f"pytest.skip({LACK!r}, allow_module_level=True)",
}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> "Run":
    return Run(pytester, monkeypatch)


class Run:
    """One module of tests, run by a pytest with the hooks; the summary's counts and the output."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        self._monkeypatch = monkeypatch
        pytester.makeconftest(HOOKS)

    def __call__(self, module: str, ci: str | None) -> tuple[dict[str, int], str]:
        if ci is None:
            self._monkeypatch.delenv("CI", raising=False)
        else:
            self._monkeypatch.setenv("CI", ci)
        self._pytester.makepyfile(f"import pytest\n{module}")
        result = self._pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:asyncio")
        return result.parseoutcomes(), result.stdout.str()


@pytest.mark.parametrize("module", SKIPS.values(), ids=SKIPS)
def test_on_ci_a_skip_is_a_failure_with_the_reason(run: Run, module: str) -> None:
    counts, said = run(module, "true")
    assert "skipped" not in counts
    assert counts.get("failed", 0) + counts.get("errors", 0) == 1, said
    assert LACK in said


@pytest.mark.parametrize("ci", [None, "", "false", "0"], ids=["not set", "empty", "false", "0"])
@pytest.mark.parametrize("module", SKIPS.values(), ids=SKIPS)
def test_elsewhere_a_skip_stays_one(run: Run, module: str, ci: str | None) -> None:
    assert run(module, ci)[0] == {"skipped": 1}


def test_a_reason_that_is_no_lack_of_ci_may_be_skipped_there_too(run: Run) -> None:
    assert run("def test_it(): pytest.skip('systemd runs here')", "true")[0] == {"skipped": 1}


def test_an_expected_failure_and_a_pass_are_what_they_are(run: Run) -> None:
    module = "@pytest.mark.xfail\ndef test_it(): assert False\ndef test_that(): ..."
    assert run(module, "true")[0] == {"xfailed": 1, "passed": 1}


def test_these_hooks_are_those_of_every_test_here(request: pytest.FixtureRequest) -> None:
    hooks = request.config.pluginmanager.hook
    for hook in (hooks.pytest_runtest_makereport, hooks.pytest_make_collect_report):
        assert "tests.no_skips" in {call.function.__module__ for call in hook.get_hookimpls()}


def test_ci_says_that_it_is_ci() -> None:
    lines = (Path(__file__).parents[1] / ".ci/run").read_text().splitlines()
    assert "export CI=true" in lines
