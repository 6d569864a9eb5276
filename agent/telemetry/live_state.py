"""Metrics that are read from the live state of the agent when somebody scrapes, and counted nowhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from agent.ports import DrillOutcome, DrillReport, ServiceRow, Vitals
from agent.telemetry.catalogue import STATE


class LiveState:
    """A collector that prometheus_client asks. `silences` says how many there are by state, `quiet` how many services
    are, by what keeps them so."""

    def __init__(self, table: Mapping[str, ServiceRow], vitals: Vitals) -> None:
        self.silences: Callable[[], Mapping[str, float]] = dict
        self.quiet: Callable[[], Mapping[str, float]] = dict
        self._table = table
        self._vitals = vitals

    def collect(self) -> Iterator[Family]:
        """All of it, as it is now."""
        vitals = self._vitals
        values = {
            "codeblue_incidents_open": sum(row.state.incident is not None for row in self._table.values()),
            "codeblue_incidents_acknowledged": sum(map(_acknowledged, self._table.values())),
            "codeblue_outbox_oldest_seconds": vitals.oldest_page,
            "codeblue_dead_letters": vitals.dead_letters,
            "codeblue_loop_lag_seconds": vitals.loop_lag,
            "codeblue_store_up": not vitals.store_trouble,
            "codeblue_blind": bool(vitals.blind),
            "codeblue_ready": vitals.ready,
            "codeblue_scheduler_stalled_seconds": vitals.scheduler_stalled,
        }
        labelled: Mapping[str, Mapping[str, float]] = {
            "codeblue_channel_trouble": dict.fromkeys(vitals.channel_trouble, 1.0),
            "codeblue_oncall_trouble": dict.fromkeys(vitals.oncall_trouble, 1.0),
            "codeblue_calendar_age_seconds": vitals.calendar_ages,
            "codeblue_silences": self.silences(),
            "codeblue_quiet_services": self.quiet(),
        }
        if vitals.ping_at is not None:
            values["codeblue_ping_last_success_timestamp_seconds"] = vitals.ping_at.timestamp()
        drills = drill_series(vitals.drills.values())
        for metric in STATE:
            family = GaugeMetricFamily(metric.name, metric.about, labels=metric.labels)
            if metric.name in values:
                family.add_metric([], float(values[metric.name]))
            elif metric.name in drills:
                for labels, value in drills[metric.name]:
                    family.add_metric(labels, value)
            else:
                for label, value in labelled.get(metric.name, {}).items():
                    family.add_metric([label], value)
            yield family


def drill_series(reports: Iterable[DrillReport]) -> Mapping[str, list[tuple[list[str], float]]]:
    """The samples of the last drills, by metric: labels and value."""
    found: dict[str, list[tuple[list[str], float]]] = {
        "codeblue_drill_success": [],
        "codeblue_drill_duration_seconds": [],
        "codeblue_drill_last_timestamp_seconds": [],
    }
    for one in reports:
        found["codeblue_drill_success"].append(([one.of], float(one.outcome is DrillOutcome.PASSED)))
        found["codeblue_drill_last_timestamp_seconds"].append(([one.of], one.at.timestamp()))
        spent = [(leg.name, leg.seconds) for leg in one.legs] + [("total", one.seconds)]
        found["codeblue_drill_duration_seconds"] += [([one.of, leg], seconds) for leg, seconds in spent]
    return found


def _acknowledged(row: ServiceRow) -> bool:
    incident = row.state.incident
    return incident is not None and incident.ack is not None
