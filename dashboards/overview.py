"""The dashboard of the services: what somebody who was woken wants to see first."""

from grafana_foundation_sdk.models import dashboard as model

from dashboards.frame import OVERVIEW_UID, frame
from dashboards.overview_checks import check_panels
from dashboards.overview_people import how_quickly, quiet_now, quiet_over_time
from dashboards.panels import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    YELLOW,
    Column,
    Panel,
    Query,
    bars,
    figure,
    listing,
    timeline,
)
from dashboards.promql import AGENTS, EACH_CHECK, EACH_SERVICE, SERVICES, counted, or_zero

ABOUT = "What is down and since when, what was tried, who was told. The agent itself has a dashboard of its own."

HEALTH = {
    "pending": (1, BLUE),
    "up": (2, GREEN),
    "degraded": (3, YELLOW),
    "suspect": (4, ORANGE),
    "down": (5, RED),
    "unknown": (6, PURPLE),
}
VERDICTS = {"0": ("pass", GREEN), "1": ("warn", YELLOW), "2": ("FAIL", RED), "3": ("unknown", PURPLE)}
BY_OUTCOME = {
    ".*: (done|delivered).*": GREEN,
    ".*: (failed|dead).*": RED,
    ".*: (timeout|retried).*": ORANGE,
    ".*: (interrupted|expired|retracted).*": GREY,
}
ONLY_THIS = f"/d/{OVERVIEW_UID}?${{__url_time_range}}&${{datasource:queryparam}}&var-service=${{__value.raw}}"
NOT_UP = f'(codeblue_service_health{{{SERVICES}, health="up"}} == 0)'
NOT_PASSING = f"(codeblue_check_verdict{{{SERVICES}}} > 0)"


def build() -> model.Dashboard:
    rows = {
        "Now": [*_services_now(), *_pages_now(), quiet_now()],
        "What is wrong": [_services_that_are_not_up(), _checks_that_do_not_pass(), _health_over_time()],
        "Incidents, restarts, pages": [_incidents(), _restarts(), _messages(), *how_quickly(), quiet_over_time()],
        "Checks": check_panels(),
    }
    return frame(OVERVIEW_UID, ABOUT, rows, with_services=True, since="now-3h")


def _how_many(health: str) -> Query:
    return Query(or_zero(f'sum(codeblue_service_health{{{SERVICES}, health=~"{health}"}})'))


def _services_now() -> list[Panel]:
    return [
        figure(
            "Services down",
            "Services whose checks missed often enough to be sure. Red: see the table below for which, since when and "
            "what was tried; `codeblue explain SERVICE` tells why.",
            _how_many("down"),
            red_from=[(1, RED)],
        ),
        figure(
            "Suspect or degraded",
            "Suspect: a first miss that is being confirmed. Degraded: a check warns. Orange: nobody was paged for "
            "these; look at the checks below before they become worse.",
            _how_many("suspect|degraded"),
            red_from=[(1, ORANGE)],
        ),
        figure(
            "Cannot tell",
            "Services of which the agent can't say how they are (its own network, a plugin that breaks). Nothing is "
            "restarted for that. Orange: read the check's summary on the status page.",
            _how_many("unknown"),
            red_from=[(1, ORANGE)],
        ),
        figure(
            "Open incidents",
            "Incidents that are open now, on all services of the chosen agents. Red: `codeblue incidents` lists them "
            "with their timelines.",
            Query(or_zero(f"sum(codeblue_incidents_open{{{AGENTS}}})")),
            red_from=[(1, RED)],
        ),
    ]


def _pages_now() -> list[Panel]:
    return [
        figure(
            "Oldest page not delivered",
            "Age of the oldest page that no channel took. Red: people may not know what they should. Look at the "
            "incidents here, then mend the channel (see “codeblue: the agent”).",
            Query(or_zero(f"max(codeblue_outbox_oldest_seconds{{{AGENTS}}})")),
            unit="s",
            red_from=[(15, ORANGE), (60, RED)],
        ),
        figure(
            "Dead letters",
            "Messages that were given up on. Red: `codeblue dead-letters list` shows them and why; mend the channel, "
            "then `codeblue dead-letters replay`.",
            Query(or_zero(f"sum(codeblue_dead_letters{{{AGENTS}}})")),
            red_from=[(1, RED)],
        ),
        figure(
            "Agents that don't answer",
            "Agents that Prometheus cannot scrape. Red: what you see of their services is old. Look at the host, then "
            "`systemctl status codeblue` on it.",
            Query(or_zero(f"count(up{{{AGENTS}}} == 0)")),
            red_from=[(1, RED)],
        ),
        figure(
            "Blind agents",
            "Agents that have reason not to trust their own eyes, because their own network or clock is in trouble. "
            "Red: believe nothing that they say of remote services; look at the agent's host first.",
            Query(or_zero(f"sum(codeblue_blind{{{AGENTS}}})")),
            red_from=[(1, RED)],
        ),
    ]


def _services_that_are_not_up() -> Panel:
    up = f'codeblue_service_health{{{SERVICES}, health="up"}}'
    last_up = f"1000 * max by ({EACH_SERVICE}) (max_over_time(timestamp({up} == 1)[6h:15s]))"
    failing = f"count by ({EACH_SERVICE}) (codeblue_check_misses{{{SERVICES}}} > 0)"
    restarts = f"sum by ({EACH_SERVICE}) ({counted(f'codeblue_restarts_total{{{SERVICES}}}', '1h')})"
    return listing(
        "Services that are not up",
        "Down: decided after enough misses, and acted upon. Last up is empty when that is more than six hours ago. A "
        "service that is down and was restarted to no avail waits for a person: open its runbook.",
        [
            Query(f'max by ({EACH_SERVICE}, health) (codeblue_service_health{{{SERVICES}, health!="up"}} == 1)'),
            Query(f"{last_up} and on ({EACH_SERVICE}) {NOT_UP}"),
            Query(f"{failing} and on ({EACH_SERVICE}) {NOT_UP}"),
            Query(f"{restarts} and on ({EACH_SERVICE}) {NOT_UP}"),
        ],
        [
            Column("service", "Service", link=ONLY_THIS),
            Column("health", "Health", shown={name: (name, color) for name, (_, color) in HEALTH.items()}),
            Column("Value #B", "Last up", "dateTimeFromNow"),
            Column("Value #C", "Checks that miss"),
            Column("Value #D", "Restarts in 1 h"),
            Column("instance", "Agent"),
        ],
        none="Every service is up.",
    )


def _checks_that_do_not_pass() -> Panel:
    def of(metric: str) -> str:
        return f"max by ({EACH_CHECK}) ({metric}{{{SERVICES}}} and on ({EACH_CHECK}) {NOT_PASSING})"

    return listing(
        "Checks that do not pass",
        "Misses: failed runs in a row. Verdict unknown: the check could not tell. Red: `codeblue check NAME` runs it "
        "once now and says what it sees.",
        [
            Query(of("codeblue_check_verdict")),
            Query(of("codeblue_check_misses")),
            Query(f"1000 * {of('codeblue_check_last_run_timestamp_seconds')}"),
        ],
        [
            Column("service", "Service", link=ONLY_THIS),
            Column("check", "Check"),
            Column("type", "Type"),
            Column("Value #A", "Verdict", shown=VERDICTS),
            Column("Value #B", "Misses"),
            Column("Value #C", "Last run", "dateTimeFromNow"),
            Column("instance", "Agent"),
        ],
        none="Every check passes.",
    )


def _health_over_time() -> Panel:
    states = " or ".join(
        f'{number} * (codeblue_service_health{{{SERVICES}, health="{name}"}} == 1)'
        for name, (number, _) in HEALTH.items()
    )
    was_not_up = f'(min_over_time(codeblue_service_health{{{SERVICES}, health="up"}}[$__range] @ end()) == 0)'
    return timeline(
        "Services that were not up all the time",
        "One row for each service that had trouble in the time shown. Rows that turn red together have one cause: "
        "look for the service that turned red first.",
        Query(f"max by ({EACH_SERVICE}) ({states}) and on ({EACH_SERVICE}) {was_not_up}", "{{service}} ({{instance}})"),
        {str(number): (name, color) for name, (number, color) in HEALTH.items()},
        none="Every service was up all the time.",
    )


def _events(metric: str, labels: str, by: str, legend: str) -> Query:
    return Query(f"sum by ({by}) ({counted(f'{metric}{{{labels}}}', '$__interval')}) > 0", legend)


def _incidents() -> Panel:
    return bars(
        "Incidents opened",
        "When incidents began, and the reason of the first miss. Many of one reason at one time: the network or a "
        "shared dependency, not the services.",
        _events("codeblue_incidents_total", SERVICES, "service, reason", "{{service}}: {{reason}}"),
    )


def _restarts() -> Panel:
    return bars(
        "Restarts",
        "Restarts that ended. Done says only that the action worked; whether the service is well again, its checks "
        "say. Red: the action itself fails; try it by hand on the host.",
        _events(
            "codeblue_restarts_total", SERVICES, "service, action, outcome", "{{service}} by {{action}}: {{outcome}}"
        ),
        colors=BY_OUTCOME,
    )


def _messages() -> Panel:
    return bars(
        "Messages",
        "Tries to send a message. Retried: put off, it goes again. Red: given up on, see dead letters.",
        _events("codeblue_notices_total", AGENTS, "channel, kind, outcome", "{{channel}} {{kind}}: {{outcome}}"),
        colors=BY_OUTCOME,
    )
