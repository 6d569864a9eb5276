"""How late checks begin, counted without a lock or an object for each run."""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family

from agent.telemetry.catalogue import BY_NAME, LATENESS_BUCKETS


class Lateness:
    """A histogram, which prometheus_client asks when somebody scrapes."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENESS_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float, count: int = 1) -> None:
        """`count` runs were started this much after their due time. Costs well under a microsecond."""
        self._counts[bisect_left(LATENESS_BUCKETS, seconds)] += count
        self._sum += seconds * count

    def collect(self) -> Iterator[Family]:
        metric = BY_NAME["codeblue_schedule_lateness_seconds"]
        bounds = (*(str(float(bound)) for bound in LATENESS_BUCKETS), "+Inf")
        buckets = list(zip(bounds, accumulate(self._counts), strict=True))
        family = HistogramMetricFamily(metric.name, metric.about)
        family.add_metric([], buckets, self._sum)
        yield family
