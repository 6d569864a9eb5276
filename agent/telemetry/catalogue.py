"""Every metric of the agent, in one table: name, type, labels, meaning. Nothing is exported that is not in it,
but for the `process_*` and `python_*` series, which prometheus_client defines."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. A counter's name ends in `_total`; durations are seconds, times are seconds since the epoch."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    labels: tuple[str, ...]
    about: str


_CHECK = ("service", "check", "type")

CHECKS = (
    Metric(
        "codeblue_check_up",
        "gauge",
        _CHECK,
        "1 while the last run passed (a warning passes), 0 while it failed; no sample before the first run and "
        "while the agent cannot tell, so that neither alerts nor averages over time take that for an answer.",
    ),
    Metric(
        "codeblue_check_verdict",
        "gauge",
        _CHECK,
        "Verdict of the last run, numbered like the exit codes of Nagios plugins: 0 pass, 1 warn, 2 fail, 3 unknown.",
    ),
    Metric(
        "codeblue_check_duration_seconds",
        "gauge",
        (*_CHECK, "phase"),
        'Duration of the last run by phase; phase="total" is the whole run.',
    ),
    Metric("codeblue_check_runs_total", "counter", (*_CHECK, "verdict"), "Runs by verdict."),
    Metric("codeblue_check_misses", "gauge", _CHECK, "Failed runs in a row, up to now."),
    Metric("codeblue_check_last_run_timestamp_seconds", "gauge", _CHECK, "When the last run began."),
    Metric(
        "codeblue_check_value",
        "gauge",
        (*_CHECK, "name"),
        "Figures that the last run brought along (days left on a certificate, bytes, performance data of a plugin).",
    ),
)

SERVICE_HEALTH = Metric(
    "codeblue_service_health",
    "gauge",
    ("service", "health"),
    "1 for the health that the service has now, 0 for every other.",
)

STATE = (
    Metric("codeblue_incidents_open", "gauge", (), "Incidents that are open now."),
    Metric("codeblue_incidents_acknowledged", "gauge", (), "Open incidents that somebody has taken on."),
    Metric("codeblue_outbox_oldest_seconds", "gauge", (), "Age of the oldest page that no channel has taken yet."),
    Metric("codeblue_dead_letters", "gauge", (), "Messages that were given up on and wait for a person to replay."),
    Metric("codeblue_loop_lag_seconds", "gauge", (), "Worst delay of the agent's event loop in the last ten seconds."),
    Metric("codeblue_store_up", "gauge", (), "1 while the store takes what it is given, 0 while it is in trouble."),
    Metric("codeblue_blind", "gauge", (), "1 while the agent has reason not to trust its own eyes."),
    Metric("codeblue_ready", "gauge", (), "1 once the agent has started and every check is scheduled."),
    Metric(
        "codeblue_scheduler_stalled_seconds",
        "gauge",
        (),
        "By how much the most overdue check exceeds two of its intervals.",
    ),
    Metric("codeblue_channel_trouble", "gauge", ("channel",), "1 for every channel that does not take messages now."),
    Metric(
        "codeblue_drill_success",
        "gauge",
        ("of",),
        "1 if the last fire drill of that (a service, or @channels) went well, 0 if any leg of it failed.",
    ),
    Metric(
        "codeblue_drill_duration_seconds",
        "gauge",
        ("of", "leg"),
        'How long each leg of the last fire drill took; leg="total" is the whole of it.',
    ),
    Metric("codeblue_drill_last_timestamp_seconds", "gauge", ("of",), "When the last fire drill that ended began."),
    Metric(
        "codeblue_ping_last_success_timestamp_seconds",
        "gauge",
        (),
        "When the ping address last took that the agent is well; no sample before that.",
    ),
    Metric("codeblue_oncall_trouble", "gauge", ("schedule",), "1 for every on-call schedule that has trouble now."),
    Metric(
        "codeblue_calendar_age_seconds",
        "gauge",
        ("schedule",),
        "How long ago the calendar of an on-call schedule was last read.",
    ),
    Metric("codeblue_silences", "gauge", ("state",), "Silences by state: pending, active, expired but still listed."),
    Metric(
        "codeblue_quiet_services",
        "gauge",
        ("kind",),
        "Services that nobody is asked about now, by what keeps it so: silence, maintenance, hours (closed ones).",
    ),
)

EVENTS = (
    Metric("codeblue_incidents_total", "counter", ("service", "reason"), "Incidents opened, by reason of the first."),
    Metric("codeblue_restarts_total", "counter", ("service", "action", "outcome"), "Restarts that ended, by outcome."),
    Metric(
        "codeblue_notices_total",
        "counter",
        ("channel", "kind", "outcome"),
        "Ends of tries to send a message: taken by its channel, put off for another try, or given up on.",
    ),
    Metric(
        "codeblue_beats_total",
        "counter",
        ("kind", "outcome"),
        "Heartbeats that services pushed: taken, or refused for a wrong token, an unknown check, a bad request.",
    ),
    Metric(
        "codeblue_answers_total",
        "counter",
        ("channel", "what", "outcome"),
        "What people pressed or typed where they were told: done, or refused.",
    ),
    Metric(
        "codeblue_drills_total",
        "counter",
        ("outcome",),
        "Fire drills that ended: passed, failed, or unfinished because the agent was stopped.",
    ),
    Metric(
        "codeblue_pings_total",
        "counter",
        ("kind", "outcome"),
        "Pings of the dead man's switch outwards: success or fail, and whether they were taken; withheld ones too.",
    ),
    Metric(
        "codeblue_alerts_received_total",
        "counter",
        ("outcome",),
        "Alerts of Alertmanager that came in: firing, over, refused (no room), own (this agent's, coming back).",
    ),
    Metric("codeblue_log_lines_total", "counter", ("service", "source", "level"), "Log lines read, by level."),
    Metric(
        "codeblue_detection_seconds",
        "histogram",
        (),
        "From the first missed beat to the decision that the service is down.",
    ),
    Metric(
        "codeblue_page_delivery_seconds",
        "histogram",
        (),
        "From the decision to page somebody until the channel had taken it.",
    ),
    Metric(
        "codeblue_acknowledge_seconds",
        "histogram",
        (),
        "From the opening of an incident until a person acknowledged it.",
    ),
    Metric(
        "codeblue_escalations_total",
        "counter",
        ("service",),
        "Steps of an escalation that were taken because nobody had acknowledged, or that reached nobody.",
    ),
    Metric(
        "codeblue_schedule_lateness_seconds",
        "histogram",
        (),
        "By how much runs of checks started after their due time. One that had to wait for agent.concurrency or "
        "per_host is told once more, with that.",
    ),
    Metric(
        "codeblue_runs_skipped_total",
        "counter",
        (),
        "Runs that were due while the last run of the same check still went, and were not begun: a limit is too small.",
    ),
    Metric("codeblue_config_reload_success", "gauge", (), "1 if the last reading of the configuration succeeded."),
    Metric(
        "codeblue_config_reload_success_timestamp_seconds",
        "gauge",
        (),
        "When a configuration was last read successfully.",
    ),
    Metric("codeblue_build_info", "gauge", ("version", "python"), "Always 1; the labels tell what is running."),
)

METRICS = (*CHECKS, SERVICE_HEALTH, *STATE, *EVENTS)
BY_NAME = {metric.name: metric for metric in METRICS}

DETECTION_BUCKETS = (0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 120, 300, 600, 1800, 3600)
DELIVERY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)
LATENESS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
