"""On CI (the environment variable CI is set) a skipped test is a failed one: what it lacks is there, or CI is red.

`tests/conftest.py` takes the two hooks over. A reason to skip that is no lack of CI stands in `MAY_BE_SKIPPED`.
"""

import os
from collections.abc import Generator, Mapping

import pytest

MAY_BE_SKIPPED: Mapping[str, str] = {  # how the reason begins -> why it does not make CI red
    "systemd runs here": "what happens without systemd can only be seen where there is none",
    "no IPv6 loopback here": "containers often have none",
    "needs a JDK": "half a gigabyte for one test",
    "needs the kernel's log": "most containers hide it, from root too",
    "not let:": "some sandboxes forbid to read the kernel's clock",
    "no memory limits here": "containers within containers often have none",
    "needs Debian's monit": "a package of `make bench`, which CI doesn't run",
}


def on_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def why_red(reason: str) -> str:
    """What a skip for this reason fails with on CI; empty where it may be skipped."""
    if reason.startswith(tuple(MAY_BE_SKIPPED)):
        return ""
    remedy = "as root tests/install-debian-packages installs what tests need"
    return f"CI skips nothing, but this test was skipped: {reason}\n({remedy})"


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail") or not on_ci():
        return
    where = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    if text := why_red(reason.removeprefix("Skipped: ")):
        report.outcome = "failed"
        report.longrepr = text


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _judge(report)
    return report
