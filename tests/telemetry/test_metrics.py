"""What a scrape of the agent promises."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from agent.core.events import Event, EventKind
from agent.core.result import Verdict
from agent.core.state import Health, Incident, ServiceState, Stage
from agent.ports import CheckRow, DrillLeg, DrillOutcome, DrillReport, ServiceRow, Vitals
from agent.telemetry.catalogue import METRICS
from agent.telemetry.metrics import Metrics
from agent.telemetry.negotiation import wants_openmetrics

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
OPENMETRICS = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
LABELS = {metric.name: metric.labels for metric in METRICS}
NASTY = 'quote " backslash \\ line\nfeed percent %s %d brace {} comma , equals = snow ☃ half \ud800'

DRILL = DrillReport(
    id="drill:photos-1",
    of="photos",
    by="alice",
    at=NOW,
    outcome=DrillOutcome.FAILED,
    seconds=2.5,
    legs=(DrillLeg(name="decision", outcome=DrillOutcome.PASSED, seconds=0.25),),
)


def check(
    service: str = "photos", name: str = "http", verdict: Verdict | None = Verdict.PASS, **more: object
) -> CheckRow:
    row = CheckRow(service=service, check=name, type="http", verdict=verdict, at=1795230000.25, took=0.012)
    for key, value in more.items():
        setattr(row, key, value)
    return row


def service(*checks: CheckRow, name: str = "photos", **state: object) -> ServiceRow:
    empty = ServiceState(service=name)
    return ServiceRow(name=name, state=replace(empty, **state), checks={row.check: row for row in checks})


def metrics_of(*services: ServiceRow, vitals: Vitals | None = None) -> Metrics:
    return Metrics({row.name: row for row in services}, vitals or Vitals(started=NOW))


def text_of(metrics: Metrics, accept: str = "") -> str:
    return b"".join(metrics.render(accept)[1]).decode()


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values by their label values, in the order of the catalogue."""
    order = LABELS.get(name, ("le",) if name.endswith("_bucket") else ())
    families: Iterator[Metric] = parse_text(text_of(metrics))
    found = [sample for family in families for sample in family.samples if sample.name == name]
    return {tuple(sample.labels[label] for label in order): sample.value for sample in found}


def event(what: EventKind, **data: str) -> Event:
    return Event(kind=what, service="photos", at=NOW, text="", data=data, trace_id="ab" * 16)


@pytest.mark.parametrize(
    ("verdict", "up", "number"),
    [
        pytest.param(Verdict.PASS, 1, 0, id="a pass is up"),
        pytest.param(Verdict.WARN, 1, 1, id="a warning is up: only its number tells"),
        pytest.param(Verdict.FAIL, 0, 2, id="a failure is down"),
        pytest.param(Verdict.UNKNOWN, None, 3, id="not being able to tell is neither: no sample of up"),
        pytest.param(None, None, None, id="before the first run there is nothing to say"),
    ],
)
def test_up_says_what_is_known_of_the_target(verdict: Verdict | None, up: int | None, number: int | None) -> None:
    metrics = metrics_of(service(check(verdict=verdict)))
    labels = ("photos", "http", "http")
    assert samples(metrics, "codeblue_check_up").get(labels) == up
    assert samples(metrics, "codeblue_check_verdict").get(labels) == number


def test_the_last_run_is_exported_with_its_phases_its_time_and_its_figures() -> None:
    row = check(
        phases={"dns": 0.001, "connect": 0.002},
        values={"days": 29.5},
        misses=3,
        runs=[7, 1, 2, 5],
        verdict=Verdict.FAIL,
    )
    metrics = metrics_of(service(row))
    who = ("photos", "http", "http")
    assert samples(metrics, "codeblue_check_duration_seconds") == {
        (*who, "dns"): 0.001,
        (*who, "connect"): 0.002,
        (*who, "total"): 0.012,
    }
    assert samples(metrics, "codeblue_check_last_run_timestamp_seconds") == {who: 1795230000.25}
    assert samples(metrics, "codeblue_check_value") == {(*who, "days"): 29.5}
    assert samples(metrics, "codeblue_check_misses") == {who: 3}
    assert samples(metrics, "codeblue_check_runs_total") == {
        (*who, "pass"): 7,
        (*who, "warn"): 1,
        (*who, "fail"): 2,
        (*who, "unknown"): 5,
    }


def test_a_service_has_exactly_one_health() -> None:
    metrics = metrics_of(service(health=Health.DOWN))
    healths = {labels[1]: value for labels, value in samples(metrics, "codeblue_service_health").items()}
    assert healths == {health.value: float(health is Health.DOWN) for health in Health}


def test_a_drill_is_in_its_own_series_and_in_no_other() -> None:
    metrics = metrics_of(service(check()), vitals=Vitals(started=NOW, drills={"photos": DRILL}))
    opened = event(EventKind.OPENED, reason="drill", seconds="0.0")
    metrics.on_event(replace(opened, service="drill:photos"))
    assert samples(metrics, "codeblue_incidents_total") == {}
    assert samples(metrics, "codeblue_detection_seconds_count") == {(): 0}
    assert samples(metrics, "codeblue_drill_success") == {("photos",): 0}
    assert samples(metrics, "codeblue_drill_last_timestamp_seconds") == {("photos",): NOW.timestamp()}
    assert samples(metrics, "codeblue_drill_duration_seconds") == {
        ("photos", "decision"): 0.25,
        ("photos", "total"): 2.5,
    }


def test_a_removed_check_drops_its_series_at_once() -> None:
    row = service(check(name="http"), check(name="port"))
    metrics = metrics_of(row)
    assert "port" in text_of(metrics)
    del row.checks["port"]
    assert "port" not in text_of(metrics)


def test_a_removed_service_takes_its_counters_along() -> None:
    table = {"photos": service(check())}
    metrics = Metrics(table, Vitals(started=NOW))
    metrics.on_event(event(EventKind.OPENED, reason="refused"))
    metrics.on_event(event(EventKind.RESTART_FINISHED, action="systemd", outcome="done"))
    assert text_of(metrics).count('service="photos"') > 2
    del table["photos"]
    assert "photos" not in text_of(metrics)


def test_events_are_counted() -> None:
    metrics = metrics_of(service())
    metrics.on_event(event(EventKind.OPENED, reason="refused", seconds="6.5"))
    metrics.on_event(event(EventKind.RESTART_FINISHED, action="systemd", outcome="timeout"))
    metrics.on_event(event(EventKind.MISSED))
    metrics.on_event(event(EventKind.DELIVERED, seconds="0.4"))
    metrics.on_event(event(EventKind.ACKNOWLEDGED, seconds="90"))
    metrics.on_event(event(EventKind.ESCALATED))
    metrics.notice("oncall", "opened", "delivered")
    metrics.notice("oncall", "resolved", "given_up")
    assert samples(metrics, "codeblue_incidents_total") == {("photos", "refused"): 1}
    assert samples(metrics, "codeblue_restarts_total") == {("photos", "systemd", "timeout"): 1}
    assert samples(metrics, "codeblue_notices_total") == {
        ("oncall", "opened", "delivered"): 1,
        ("oncall", "resolved", "given_up"): 1,
    }
    assert samples(metrics, "codeblue_detection_seconds_sum") == {(): 6.5}
    assert samples(metrics, "codeblue_page_delivery_seconds_sum") == {(): 0.4}
    assert samples(metrics, "codeblue_acknowledge_seconds_sum") == {(): 90}
    assert samples(metrics, "codeblue_escalations_total") == {("photos",): 1}


def test_an_event_without_its_data_is_still_counted() -> None:
    metrics = metrics_of(service())
    for kind in EventKind:
        metrics.on_event(event(kind))
    assert samples(metrics, "codeblue_incidents_total") == {("photos", "unknown"): 1}
    assert samples(metrics, "codeblue_restarts_total") == {("photos", "unknown", "unknown"): 1}
    assert samples(metrics, "codeblue_detection_seconds_count") == {(): 0}


def test_a_detection_carries_its_trace_as_exemplar_in_openmetrics() -> None:
    metrics = metrics_of(service())
    metrics.on_event(event(EventKind.OPENED, reason="refused", seconds="6.5"))
    families = {family.name: family for family in parse_openmetrics(text_of(metrics, OPENMETRICS))}
    exemplars = [s.exemplar for s in families["codeblue_detection_seconds"].samples if s.exemplar]
    assert [(e.labels, e.value) for e in exemplars] == [({"trace_id": "ab" * 16}, 6.5)]


def test_lateness_is_counted_once_for_every_run_of_a_slot() -> None:
    metrics = metrics_of()
    metrics.lateness.observe(0.003, 40)
    metrics.lateness.observe(0.001, 1)
    metrics.lateness.observe(100.0)
    buckets = samples(metrics, "codeblue_schedule_lateness_seconds_bucket")
    assert buckets["0.001",] == 1  # a bound belongs to its bucket
    assert buckets["0.0025",] == 1
    assert buckets["0.005",] == 41
    assert buckets["60.0",] == 41
    assert buckets["+Inf",] == 42
    assert samples(metrics, "codeblue_schedule_lateness_seconds_sum")[()] == pytest.approx(100.121)


def test_the_agents_own_pulse_is_exported() -> None:
    vitals = Vitals(started=NOW, loop_lag=0.5, oldest_page=61.0, dead_letters=2, store_trouble="locked", ready=True)
    vitals.channel_trouble = {"oncall": "invalid_auth"}
    vitals.oncall_trouble, vitals.calendar_ages = {"primary": "the calendar is no iCalendar"}, {"primary": 61.0}
    incident = Incident(
        id="i1",
        service="photos",
        opened_at=NOW,
        first_miss_at=NOW,
        check="http",
        reason="r",
        summary="s",
        stage=Stage.PAGED,
    )
    metrics = metrics_of(service(incident=incident), service(name="other"), vitals=vitals)
    metrics.config_read(False)
    for name, value in {
        "codeblue_incidents_open": 1,
        "codeblue_outbox_oldest_seconds": 61,
        "codeblue_dead_letters": 2,
        "codeblue_loop_lag_seconds": 0.5,
        "codeblue_store_up": 0,
        "codeblue_ready": 1,
        "codeblue_config_reload_success": 0,
        "codeblue_config_reload_success_timestamp_seconds": 0,
    }.items():
        assert samples(metrics, name) == {(): value}, name
    assert samples(metrics, "codeblue_channel_trouble") == {("oncall",): 1}
    assert samples(metrics, "codeblue_oncall_trouble") == {("primary",): 1}
    assert samples(metrics, "codeblue_calendar_age_seconds") == {("primary",): 61}
    metrics.config_read(True)
    assert samples(metrics, "codeblue_config_reload_success_timestamp_seconds")[()] > NOW.timestamp() - 10**9


def busy() -> Metrics:
    """One of everything, with the worst label values that can come in."""
    row = check(
        NASTY, NASTY, values={NASTY: 1.0, "inf": inf, "-inf": -inf, "nan": nan, "big": 1e300}, phases={NASTY: 0.5}
    )
    nasty = ServiceRow(name=NASTY, state=ServiceState(service=NASTY), checks={NASTY: row})
    nasty_name = NASTY.replace("\ud800", "")
    vitals = Vitals(
        started=NOW,
        channel_trouble={nasty_name: "x"},
        oncall_trouble={nasty_name: "x"},
        calendar_ages={nasty_name: 1.0},
        drills={nasty_name: DRILL},
        ping_at=NOW,
    )
    metrics = metrics_of(nasty, service(check(), check(name="port", verdict=None)), vitals=vitals)
    metrics.on_event(event(EventKind.OPENED, reason="refused", seconds="6.5"))
    metrics.on_event(event(EventKind.RESTART_FINISHED, action="systemd", outcome="done"))
    metrics.on_event(event(EventKind.ESCALATED))
    metrics.notice("oncall", "opened", "delivered")
    metrics.count_beat("success", "taken")
    metrics.count_answer("oncall", "ack", "done")
    metrics.count_alerts("firing", 3)
    metrics.count_log("photos", "file:/var/log/x.log", "")
    metrics.lateness.observe(0.2, 3)
    metrics.drill("passed")
    metrics.count_ping("success", "ok")
    metrics.config_read(True)
    metrics.state.silences = lambda: {"pending": 0.0, "active": 2.0, "expired": 1.0}
    metrics.state.quiet = lambda: {"silence": 3.0, "maintenance": 0.0, "hours": 0.0}
    return metrics


def test_promtool_finds_nothing_to_complain_about() -> None:
    ran = subprocess.run(
        ["promtool", "check", "metrics"], input=text_of(busy()).encode(), capture_output=True, timeout=20
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")


def test_openmetrics_is_read_by_a_strict_parser_and_carries_the_same_values() -> None:
    metrics = busy()
    families = {family.name: family for family in parse_openmetrics(text_of(metrics, OPENMETRICS))}
    assert families["codeblue_check_runs"].type == "counter"
    values = {s.labels["name"]: s.value for s in families["codeblue_check_value"].samples}
    assert isnan(values.pop("nan"))
    assert values == {NASTY.replace("\ud800", "?"): 1.0, "inf": inf, "-inf": -inf, "big": 1e300}


def test_every_metric_of_the_catalogue_is_exported_and_nothing_else() -> None:
    names = {family.name for family in parse_openmetrics(text_of(busy(), OPENMETRICS))}
    ours = {name for name in names if name.startswith("codeblue_")}
    assert ours == {metric.name.removesuffix("_total") for metric in METRICS}
    assert {name.split("_")[0] for name in names - ours} == {"process", "python"}


def test_labels_of_every_series_are_those_of_the_catalogue() -> None:
    exported: dict[str, set[str]] = {}
    for family in parse_openmetrics(text_of(busy(), OPENMETRICS)):
        for sample in family.samples:
            exported.setdefault(family.name, set()).update(sample.labels)
    for metric in METRICS:
        labels = exported[metric.name.removesuffix("_total")] - {"le"}
        assert labels == set(metric.labels), metric.name


@given(st.text(), st.floats())
def test_any_text_and_any_number_survive_the_way_through_a_scrape(name: str, value: float) -> None:
    metrics = metrics_of(service(check(values={name: value})))
    ((labels, back),) = samples(metrics, "codeblue_check_value").items()
    assert labels[-1].encode() == name.encode("utf-8", "replace")
    assert back == value or (isnan(back) and isnan(value))


def test_ten_thousand_checks_leave_in_small_chunks() -> None:
    rows = [service(check(f"s{i}"), name=f"s{i}") for i in range(10_000)]
    sizes = [len(chunk) for chunk in metrics_of(*rows).render()[1]]
    assert sum(sizes) > 5_000_000
    assert max(sizes) < 600_000


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param("", False, id="nothing said"),
        pytest.param("*/*", False, id="anything will do"),
        pytest.param("text/plain;version=0.0.4", False, id="text only"),
        pytest.param(OPENMETRICS, True, id="what Prometheus sends"),
        pytest.param("application/openmetrics-text; version=0.0.1", True, id="an older one"),
        pytest.param("text/plain, application/openmetrics-text;q=0.2", False, id="text preferred"),
        pytest.param("application/openmetrics-text;q=0", False, id="openmetrics refused"),
        pytest.param("application/openmetrics-text;q=x, ;;,", False, id="rubbish"),
    ],
)
def test_the_format_is_what_the_scraper_prefers(accept: str, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected
    content_type, _ = metrics_of().render(accept)
    assert content_type.startswith(
        "application/openmetrics-text; version=1.0.0" if expected else "text/plain; version=0.0.4"
    )
