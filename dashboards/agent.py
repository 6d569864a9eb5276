"""The dashboard of the agent itself: whether the one who watches is well, and what it costs."""

from grafana_foundation_sdk.models import dashboard as model

from dashboards.agent_costs import cost_panels
from dashboards.frame import AGENT_UID, frame
from dashboards.panels import (
    BLUE,
    GREEN,
    ORANGE,
    RED,
    YELLOW,
    Column,
    Panel,
    Query,
    bars,
    density,
    figure,
    lines,
    listing,
)
from dashboards.promql import AGENTS, EACH_AGENT, RATE, RUNS, counted, or_zero, quantile

ABOUT = "Whether the watcher is well: punctual, able to tell people, able to remember; and what it costs."

YES_OR_NO = {"0": ("NO", RED), "1": ("yes", GREEN)}


def build() -> model.Dashboard:
    rows = {
        "Now": [*_identity(), *_trouble(), _versions()],
        "Alerts": [_alerts(), _channels()],
        "Scheduler": [_lateness(), _lateness_density(), _runs(), _in_flight(), _overdue(), _loop_lag()],
        "Messages": [_oldest_page(), _dead_letters(), _tries()],
        "Fire drills": [_drills()],
        "Heartbeats and logs": [_beats(), _log_lines()],
        "What it costs": cost_panels(),
    }
    return frame(AGENT_UID, ABOUT, rows, with_services=False, since="now-3h")


def _worst(metric: str) -> Query:
    return Query(f"min({metric}{{{AGENTS}}})")


def _identity() -> list[Panel]:
    return [
        figure(
            "Answering",
            "Whether Prometheus can scrape every chosen agent. NO: nobody watches those hosts. `systemctl status "
            "codeblue` there, then its journal.",
            _worst("up"),
            shown=YES_OR_NO,
        ),
        figure(
            "Ready",
            "Whether every agent has started and scheduled its checks. NO for more than a minute: its journal says "
            "what it waits for; `/readyz` says it too.",
            _worst("codeblue_ready"),
            shown=YES_OR_NO,
        ),
        figure(
            "Configuration in force is the newest",
            "NO: the last reload failed and the configuration before it is still in force. `codeblue validate` prints "
            "every error with file and line.",
            _worst("codeblue_config_reload_success"),
            shown=YES_OR_NO,
        ),
        figure(
            "Store takes what it is given",
            "NO: the database is missing, locked or full. Checks, restarts and pages go on from memory, but a restart "
            "of the agent now would forget what was decided meanwhile. Free space or mend the database.",
            _worst("codeblue_store_up"),
            shown=YES_OR_NO,
        ),
        figure(
            "Blind",
            "yes: the agent's own network or clock is in trouble and it does not believe its own failures. Look at "
            "its host.",
            Query(f"max(codeblue_blind{{{AGENTS}}})"),
            shown={"0": ("no", GREEN), "1": ("YES", RED)},
        ),
        figure(
            "Youngest agent started",
            "A start that nobody ordered was a crash or a watchdog: see the journal.",
            Query(f"1000 * max(process_start_time_seconds{{{AGENTS}}})"),
            unit="dateTimeFromNow",
            well=BLUE,
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        figure(
            "Channels in trouble",
            "Channels that do not take messages now. Red: pages go to their fallbacks; mend token, address or network.",
            Query(or_zero(f"sum(codeblue_channel_trouble{{{AGENTS}}})")),
            red_from=[(1, RED)],
        ),
        figure(
            "Checks",
            "How many checks the chosen agents run, all together. A sudden change: somebody changed the configuration.",
            Query(or_zero(f"count(codeblue_check_misses{{{AGENTS}}})")),
            well=BLUE,
        ),
    ]


def _versions() -> Panel:
    versions = f"count by (version, python) (codeblue_build_info{{{AGENTS}}})"
    return figure(
        "Versions",
        "What is running. More than one: an upgrade is under way, or forgot a host.",
        Query(versions, "codeblue {{version}} on Python {{python}}"),
        well=BLUE,
        names=True,
        span=24,
        height=3,
    )


def _alerts() -> Panel:
    return listing(
        "Alerts about agents",
        "What the rules in alerts/rules/codeblue.yaml say now. Each alert's description says what to do.",
        [Query('max by (alertname, severity, alertstate, instance, service) (ALERTS{alertname=~"Codeblue.*"})')],
        [
            Column("alertname", "Alert"),
            Column("severity", "Severity", shown={"critical": ("critical", RED), "warning": ("warning", ORANGE)}),
            Column("alertstate", "State", shown={"firing": ("firing", RED), "pending": ("pending", YELLOW)}),
            Column("service", "Service"),
            Column("instance", "Agent"),
        ],
        none="Nothing is wrong with the agents, or Prometheus has not loaded the rules.",
        span=16,
    )


def _channels() -> Panel:
    return listing(
        "Channels in trouble",
        "Channels that do not take messages. Their pages go to the fallback that config names.",
        [Query(f"max by (instance, channel) (codeblue_channel_trouble{{{AGENTS}}} == 1)")],
        [Column("channel", "Channel"), Column("instance", "Agent")],
        none="Every channel takes messages.",
        span=8,
    )


def _lateness() -> Panel:
    histogram = f"codeblue_schedule_lateness_seconds_bucket{{{AGENTS}}}"
    return lines(
        "Lateness of runs",
        "By how much runs start after their due time. Late runs never count as failures, but detection takes longer. "
        "Red: the host is overloaded; see CPU and loop lag below.",
        *(Query(quantile(q, histogram, RATE, "instance"), f"{q:.0%} {EACH_AGENT}") for q in (0.5, 0.9, 0.99)),
        unit="s",
        red_from=[(0.1, ORANGE), (0.5, RED)],
    )


def _lateness_density() -> Panel:
    return density(
        "Lateness, all runs",
        "How many runs were late by how much. A second band: one slot or one blocking check is to blame.",
        Query(f"sum by (le) (rate(codeblue_schedule_lateness_seconds_bucket{{{AGENTS}}}[{RATE}]))", "{{le}}"),
        unit="s",
    )


def _runs() -> Panel:
    return lines(
        "Runs per second",
        "Runs of checks. Nothing: the agent does not check; restart it and keep its journal. Skipped: the last run of "
        "the same check still went; raise agent.concurrency or per_host, or look for what hangs.",
        Query(RUNS, EACH_AGENT),
        Query(f"rate(codeblue_runs_skipped_total{{{AGENTS}}}[{RATE}])", f"skipped {EACH_AGENT}"),
        unit="ops",
    )


def _in_flight() -> Panel:
    durations = f'codeblue_check_duration_seconds{{{AGENTS}, phase="total"}}'
    runs = f"sum without (verdict) (rate(codeblue_check_runs_total{{{AGENTS}}}[{RATE}]))"
    return lines(
        "Checks in flight",
        "How many checks are under way at a time, on average: runs per second times their duration (Little's law). "
        "Near `agent.concurrency` (1,000 by default): many targets hang until their time-out; find out what they have "
        "in common.",
        Query(f"sum by (instance) ({runs} * ignoring (phase) {durations})", EACH_AGENT),
    )


def _overdue() -> Panel:
    return lines(
        "Overdue checks",
        "By how much the most overdue check exceeds two of its intervals. Above zero: that check does not run; the "
        "journal says why, a restart of the agent brings it back.",
        Query(f"max by (instance) (codeblue_scheduler_stalled_seconds{{{AGENTS}}})", EACH_AGENT),
        unit="s",
        red_from=[(1, RED)],
    )


def _loop_lag() -> Panel:
    return lines(
        "Event loop lag",
        "Worst delay of the agent's event loop in the last ten seconds. Red: the host has no CPU left, swaps, or the "
        "agent has a bug: look at the host's load first.",
        Query(f"max by (instance) (codeblue_loop_lag_seconds{{{AGENTS}}})", EACH_AGENT),
        unit="s",
        red_from=[(0.3, ORANGE), (1, RED)],
    )


def _oldest_page() -> Panel:
    return lines(
        "Oldest page not delivered",
        "Age of the oldest page that no channel took. Red: nobody was told yet. Mend the channel; pages in the outbox "
        "go by themselves.",
        Query(f"max by (instance) (codeblue_outbox_oldest_seconds{{{AGENTS}}})", EACH_AGENT),
        unit="s",
        red_from=[(15, ORANGE), (60, RED)],
        span=8,
    )


def _dead_letters() -> Panel:
    return lines(
        "Dead letters",
        "Messages given up on. Red: `codeblue dead-letters list`, mend the channel, `codeblue dead-letters replay`.",
        Query(f"max by (instance) (codeblue_dead_letters{{{AGENTS}}})", EACH_AGENT),
        red_from=[(1, RED)],
        span=8,
    )


def _tries() -> Panel:
    tries = counted(f"codeblue_notices_total{{{AGENTS}}}", "$__interval")
    return bars(
        "Tries to send, by outcome",
        "Delivered, put off for another try (retried), given up on (dead), overtaken by the recovery (retracted). "
        "Much retried: the channel's rate limit or its network.",
        Query(f"sum by (channel, outcome) ({tries}) > 0", "{{channel}}: {{outcome}}"),
        colors={".*: delivered": GREEN, ".*: retried": ORANGE, ".*: dead": RED},
    )


def _drills() -> Panel:
    return listing(
        "Fire drills",
        "The last drill of each service, or of all channels (@channels). FAILED: pages of that service may not get "
        "out; `codeblue drill list` says which leg failed and why.",
        [
            Query(f"max by (instance, of) (codeblue_drill_success{{{AGENTS}}})"),
            Query(f"1000 * max by (instance, of) (codeblue_drill_last_timestamp_seconds{{{AGENTS}}})"),
            Query(f'max by (instance, of) (codeblue_drill_duration_seconds{{{AGENTS}, leg="total"}})'),
        ],
        [
            Column("of", "Of"),
            Column("Value #A", "Outcome", shown={"0": ("FAILED", RED), "1": ("passed", GREEN)}),
            Column("Value #B", "Held", "dateTimeFromNow"),
            Column("Value #C", "Took", "s"),
            Column("instance", "Agent"),
        ],
        none="No drill was held. `codeblue drill` holds one, `drill:` in the configuration by the calendar.",
        span=24,
    )


def _beats() -> Panel:
    return lines(
        "Heartbeats",
        "Beats that services pushed, per second. Refused: a wrong token. Unknown: no such check; somebody's "
        "configuration is old.",
        Query(
            f"sum by (kind, outcome) (rate(codeblue_beats_total{{{AGENTS}}}[{RATE}]))",
            "{{kind}}: {{outcome}}",
        ),
        unit="ops",
        colors={".*: refused": RED, ".*: (unknown|invalid|aborted)": ORANGE},
    )


def _log_lines() -> Panel:
    return lines(
        "Log lines by level",
        "Lines that the agent reads and keeps, per second. A flood costs CPU and pushes older lines out of the store.",
        Query(f"sum by (level) (rate(codeblue_log_lines_total{{{AGENTS}}}[{RATE}]))", "{{level}}"),
        unit="cps",
        stacked=True,
        colors={"critical|error": RED, "warning": YELLOW, "info": GREEN},
    )
