"""For every test: the agent's own log only where a test asks for it, and no skips on CI."""

import structlog
from hypothesis import settings

from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory()
)
settings.register_profile("default", deadline=None)
settings.load_profile("default")
