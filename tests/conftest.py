"""For every test: the agent's own log only where a test asks for it."""

import structlog
from hypothesis import settings

structlog.configure(
    wrapper_class=structlog.make_filtering_bound_logger(50), logger_factory=structlog.ReturnLoggerFactory()
)
settings.register_profile("default", deadline=None)
settings.load_profile("default")
