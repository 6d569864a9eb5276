"""For every test: the agent's own log only where a test asks for it, no skips on CI, and an order for many at once."""

import structlog
from hypothesis import settings

from tests.no_skips import pytest_make_collect_report, pytest_runtest_makereport
from tests.side_by_side import pytest_collection_modifyitems, pytest_xdist_make_scheduler

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "pytest_xdist_make_scheduler",
]

structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory()
)
settings.register_profile("default", deadline=None)
settings.load_profile("default")
