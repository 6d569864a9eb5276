"""The parts that PromQL expressions of several panels are made of."""

AGENTS = 'job=~"$job", instance=~"$instance"'  # the agents that the dashboard's variables choose
SERVICES = f'{AGENTS}, service=~"$service"'  # and the services on them

RATE = "$__rate_interval"
RUNS = f"sum by (instance) (rate(codeblue_check_runs_total{{{AGENTS}}}[{RATE}]))"

EACH_AGENT = "{{instance}}"  # a legend
EACH_SERVICE = "instance, service"
EACH_CHECK = "instance, service, check, type"


def counted(series: str, window: str) -> str:
    """By how much each counter grew in the window, exactly and in whole numbers.

    `increase` misses the first event of a series that begins with that event, as the rare ones do (a restart, a
    page), and stretches the rest. Here a series that is younger than the window counts in full, and so does one that
    an agent's restart has set back.
    """
    return f"((({series}) - ({series} offset {window})) >= 0 or {series})"


def quantile(q: float, histogram: str, window: str, by: str = "") -> str:
    """A quantile of what a histogram saw in the window; NaN when that was nothing. `by` are labels to keep."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({q:g}, sum by ({labels}) (rate({histogram}[{window}])))"


def or_zero(expression: str) -> str:
    """0 where an expression finds nothing, for a figure that must not vanish when all is well."""
    return f"{expression} or vector(0)"
