"""The row of the overview that tells of checks: verdicts, misses, latency, age, certificates, logs."""

from dashboards.panels import GREEN, ORANGE, PURPLE, RED, YELLOW, Panel, Query, lines, ranking
from dashboards.promql import EACH_CHECK, EACH_SERVICE, SERVICES

BY_VERDICT = {".*pass.*": GREEN, ".*warn.*": YELLOW, ".*fail.*": RED, ".*unknown.*": PURPLE}


def check_panels() -> list[Panel]:
    return [
        _runs(),
        _misses(),
        _phases(),
        _slowest(),
        _passing(),
        _oldest_runs(),
        _certificates(),
        _log_errors(),
    ]


def _runs() -> Panel:
    return lines(
        "Runs by verdict",
        "Runs of checks per second. A drop to nothing: the agent does not check; see “codeblue: the agent”.",
        Query(f"sum by (verdict) (rate(codeblue_check_runs_total{{{SERVICES}}}[$__rate_interval]))", "{{verdict}}"),
        unit="ops",
        stacked=True,
        colors=BY_VERDICT,
    )


def _misses() -> Panel:
    return lines(
        "Misses in a row",
        "The ten checks that have missed most often in a row. A saw-tooth: the check flaps around its limit; raise "
        "`misses` or the time-out, or look for a slow dependency.",
        Query(f"topk(10, max by ({EACH_CHECK}) (codeblue_check_misses{{{SERVICES}}}))", "{{service}}/{{check}}"),
    )


def _phases() -> Panel:
    return lines(
        "Latency by phase",
        "Mean duration of the last runs by phase. dns grows: the resolver. connect: network or a full accept queue. "
        "tls: CPU of the target. first_byte: the service itself. transfer: size of the answer.",
        Query(
            f'avg by (phase) (codeblue_check_duration_seconds{{{SERVICES}, phase!="total"}})',
            "{{phase}}",
        ),
        unit="s",
        stacked=True,
    )


def _slowest() -> Panel:
    total = f'codeblue_check_duration_seconds{{{SERVICES}, phase="total"}}'
    return lines(
        "Slowest checks",
        "The ten checks that took longest. One that comes near its time-out will miss soon.",
        Query(f"topk(10, max by ({EACH_CHECK}) ({total}))", "{{service}}/{{check}}"),
        unit="s",
    )


def _passing() -> Panel:
    return ranking(
        "Passing time, worst services",
        "The part of the time shown in which the service's checks passed; time in which nobody could tell is left out.",
        Query(
            f"bottomk(10, avg by ({EACH_SERVICE}) (avg_over_time(codeblue_check_up{{{SERVICES}}}[$__range])))",
            "{{service}}",
        ),
        unit="percentunit",
        red_from=[(0.99, ORANGE), (0.999, GREEN)],
        well=RED,
        most=1,
        span=6,
    )


def _oldest_runs() -> Panel:
    return ranking(
        "Longest without a run",
        "Age of the oldest last runs. A check that runs every 10 s and is minutes old does not run: see lateness on "
        "“codeblue: the agent”. Checks by cron are old by nature.",
        Query(
            f"topk(10, time() - max by ({EACH_CHECK}) (codeblue_check_last_run_timestamp_seconds{{{SERVICES}}}))",
            "{{service}}/{{check}}",
        ),
        unit="s",
        red_from=[(300, ORANGE), (3600, RED)],
        span=6,
    )


def _certificates() -> Panel:
    return ranking(
        "Certificates: days left",
        "The ten certificates that run out first. Red: renew it now, and find out why the automatic renewal did not.",
        Query(
            f'bottomk(10, min by ({EACH_CHECK}) (codeblue_check_value{{{SERVICES}, name="certificate_days"}}))',
            "{{service}}/{{check}}",
        ),
        unit="d",
        red_from=[(7, ORANGE), (21, GREEN)],
        well=RED,
        none="No check looks at a certificate.",
        span=6,
    )


def _log_errors() -> Panel:
    errors = f'codeblue_log_lines_total{{{SERVICES}, level=~"error|critical"}}'
    return lines(
        "Error lines in logs",
        "Lines per second of level error and worse. A rise that begins before a miss tells the cause: `codeblue logs "
        "search`.",
        Query(f"sum by (service, level) (rate({errors}[$__rate_interval]))", "{{service}} {{level}}"),
        unit="cps",
        span=6,
    )
