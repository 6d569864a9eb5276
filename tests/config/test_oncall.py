"""What people, schedules, escalation policies and routes of a file become."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.config.diff import changes
from agent.core.hours import Hours, parse_window
from agent.core.policy import Escalation, EscalationStep
from agent.core.rota import Layer, Person
from tests.config.reading import complaints, read
from tests.config.refusals import refusals

AROUND = """
channels:
  slack: {type: console, fallback: [sms]}
  sms: {type: console}
  ops: {type: console}
people:
  alice: {name: Alice Miller, contacts: {slack: U1, sms: "+49 170 1"}, zone: Europe/Berlin, aliases: alice@example.org}
  bob: {contacts: {sms: "+49 170 2"}}
oncall:
  primary:
    zone: Europe/Berlin
    layers:
      - {people: [alice, bob], handover: Mon 09:00, start: 2026-01-05}
      - {people: [[alice, bob]], every: 12h, handover: 08:00, start: 2026-01-06, zone: UTC, only: [Sat, "22:00-06:00"]}
"""
SERVICE = "services: [{name: web, checks: [host]}]\n"


def test_a_person_has_contacts_by_channel(tmp_path: Path) -> None:
    assert read(tmp_path, AROUND + SERVICE).people["alice"] == Person(
        name="alice",
        full_name="Alice Miller",
        contacts={"slack": "U1", "sms": "+49 170 1"},
        zone="Europe/Berlin",
        aliases=("alice@example.org",),
    )


def test_layers_begin_at_their_first_hand_over_on_the_wall_of_their_zone(tmp_path: Path) -> None:
    first, second = read(tmp_path, AROUND + SERVICE).schedules["primary"].layers
    assert first == Layer(
        turns=(("alice",), ("bob",)),
        every=timedelta(weeks=1),
        start=datetime(2026, 1, 5, 9),  # noqa: DTZ001 - on the wall
        zone="Europe/Berlin",
    )
    assert second == Layer(
        turns=(("alice", "bob"),),
        every=timedelta(hours=12),
        start=datetime(2026, 1, 6, 8),  # noqa: DTZ001
        zone="UTC",
        only=Hours((parse_window("Sat"), parse_window("22:00-06:00")), "UTC"),
    )


def test_without_a_start_turns_are_counted_from_a_monday_long_ago(tmp_path: Path) -> None:
    text = "people: {a: {}}\noncall: {p: {zone: UTC, layers: [{people: [a], handover: Wed 10:00}]}}\n"
    (layer,) = read(tmp_path, text + SERVICE).schedules["p"].layers
    assert layer.start == datetime(2024, 1, 3, 10)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("written", "url", "file"),
    [
        pytest.param("rota.ics", None, "rota.ics", id="a file beside this one"),
        pytest.param("https://calendar.internal/x.ics", "https://calendar.internal/x.ics", None, id="an address"),
        pytest.param(
            "webcal://calendar.internal/x.ics", "https://calendar.internal/x.ics", None, id="as calendars say it"
        ),
        pytest.param("{file: parts/rota.ics, every: 1h}", None, "parts/rota.ics", id="the long form"),
    ],
)
def test_a_calendar_is_a_file_or_an_address(tmp_path: Path, written: str, url: str | None, file: str | None) -> None:
    text = f"oncall: {{cal: {{ical: {written if written.startswith('{') else repr(written)}}}}}\n"
    spec = read(tmp_path, text + SERVICE).calendars["cal"]
    assert (spec.url.get_secret_value() if spec.url else None) == url
    assert spec.file == (tmp_path / file if file else None)


def test_the_address_of_a_calendar_is_a_secret_and_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "calendar.url").write_text("https://calendar.internal/private-abc/basic.ics\n")
    config = read(tmp_path, "oncall: {cal: {ical: {url_file: calendar.url}}}\n" + SERVICE)
    url = config.calendars["cal"].url
    assert url
    assert url.get_secret_value() == "https://calendar.internal/private-abc/basic.ics"
    assert "private-abc" not in repr(config)


STEPS = (
    "escalation: {default: {steps: [{notify: [primary, 'alice/sms', bob, ops], wait: 5m}], repeat: 2, ack_for: 30m}}\n"
)


def test_what_a_step_notifies_is_found_among_schedules_people_and_channels(tmp_path: Path) -> None:
    policy = read(tmp_path, AROUND + STEPS + SERVICE).services["web"].policy
    notify = ("oncall:primary", "person:alice/sms", "person:bob", "channel:ops")
    assert policy.escalation == Escalation(
        name="default",
        steps=(EscalationStep(notify=notify, wait=timedelta(minutes=5)),),
        repeat=2,
        ack_for=timedelta(minutes=30),
    )
    assert policy.pages
    assert policy.fallback == {"slack": ("sms",)}, "whoever may be asked by slack is asked by its fallback"


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        pytest.param("ops", "'ops' is a person and a channel: write person:ops or channel:ops", id="two things"),
        pytest.param(
            "primry", "there is no schedule, person or channel 'primry': did you mean 'primary'?", id="nothing"
        ),
        pytest.param("person:primary", "there is no person 'primary'", id="something else"),
        pytest.param("persn:bob", "'persn' is no kind of target: did you mean 'person'?", id="no kind"),
        pytest.param(
            "slack/sms", "'slack' is a channel: only a person is asked by one channel of several", id="a channel"
        ),
        pytest.param("bob/smss", "there is no channel 'smss': did you mean 'sms'?", id="by no channel"),
    ],
)
def test_a_name_that_is_several_things_or_none_is_an_error_with_its_place(
    tmp_path: Path, notify: str, said: str
) -> None:
    around = AROUND.replace("  bob: {", "  ops: {}\n  bob: {")
    text = around + f"escalation: {{default: {{steps: [{{notify: [alice, '{notify}']}}]}}}}\n" + SERVICE
    (found,) = complaints(tmp_path, text)
    assert found.startswith(f"escalation.default.steps[0].notify[1]: {said}")


def test_a_prefix_says_which_of_several_is_meant(tmp_path: Path) -> None:
    around = AROUND.replace("  bob: {", "  ops: {}\n  bob: {")
    text = around + "escalation: {default: {steps: [{notify: ['channel:ops', 'person:ops']}]}}\n" + SERVICE
    escalation = read(tmp_path, text).services["web"].policy.escalation
    assert escalation
    assert escalation.steps[0].notify == ("channel:ops", "person:ops")


ROUTING = """
escalation:
  default: {steps: [{notify: ops}]}
  daytime: {steps: [{notify: ops}], hours: Mon-Fri 09:00-17:00, zone: UTC}
  databases: {steps: [{notify: ops}]}
routes:
  - {match: {severity: [warning, info]}, escalate: daytime}
  - {match: {team: "db*", group: main}, escalate: databases}
  - {match: {service: "test-*"}, escalate: none}
"""


@pytest.mark.parametrize(
    ("service", "name"),
    [
        pytest.param("{}", "default", id="the policy called default is everybody's"),
        pytest.param("{severity: warning}", "daytime", id="by severity"),
        pytest.param(
            "{severity: warning, labels: {team: db-core}, group: main}", "daytime", id="the first that matches"
        ),
        pytest.param("{labels: {team: db-core}, group: main}", "databases", id="by label and group"),
        pytest.param("{labels: {team: db-core}}", "default", id="every key must match"),
        pytest.param("{labels: {team: web}, group: main}", "default", id="another value"),
        pytest.param("{name: test-7}", None, id="by name, to none"),
        pytest.param("{name: test-7, escalate: databases}", "databases", id="its own word goes first"),
        pytest.param("{escalate: none}", None, id="none by its own word"),
    ],
)
def test_a_service_has_the_policy_of_the_first_route_that_takes_it(
    tmp_path: Path, service: str, name: str | None
) -> None:
    one = service.replace("{", "{checks: [host], ", 1).replace(", }", "}")
    one = one if "name:" in one else one.replace("{", "{name: web, ", 1)
    (spec,) = read(tmp_path, AROUND + ROUTING + f"services: [{one}]\n").services.values()
    assert (spec.policy.escalation and spec.policy.escalation.name) == name


def test_defaults_hold_severity_labels_and_a_policy(tmp_path: Path) -> None:
    defaults = "defaults: {severity: error, labels: {env: prod, team: web}, escalate: databases}\n"
    services = "services: [{name: a, checks: [host]}, {name: b, checks: [host], severity: info, labels: {team: db}}]\n"
    found = read(tmp_path, AROUND + ROUTING + defaults + services).services
    a, b = found["a"].policy, found["b"].policy
    assert (a.severity, dict(a.labels), a.escalation and a.escalation.name) == (
        "error",
        {"env": "prod", "team": "web"},
        "databases",
    )
    assert (b.severity, dict(b.labels), b.escalation and b.escalation.name) == (
        "info",
        {"env": "prod", "team": "db"},
        "daytime",
    )


def test_included_files_may_bring_people_schedules_and_policies(tmp_path: Path) -> None:
    (tmp_path / "team.yaml").write_text(AROUND + STEPS)
    found = read(tmp_path, "include: [team.yaml]\n" + SERVICE)
    assert found.services["web"].policy.escalation
    assert set(found.people) == {"alice", "bob"}


def test_a_person_who_moves_is_a_change_of_who_is_on_call_and_of_no_service(tmp_path: Path) -> None:
    old = read(tmp_path, AROUND + STEPS + SERVICE)
    new = read(tmp_path, AROUND.replace("+49 170 2", "+49 170 3") + STEPS + SERVICE)
    difference = changes(old, new)
    assert difference
    assert difference.oncall
    assert not difference.services
    assert not changes(old, read(tmp_path, AROUND.replace("+49 170 2", "+49 170 2") + STEPS + SERVICE))


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        pytest.param(AROUND, True, id="people and layers"),
        pytest.param(ROUTING, True, id="policies and routes"),
        pytest.param("oncall: {a: {ical: rota.ics}}", True, id="a calendar in short"),
        pytest.param("oncall: {a: {ical: {url_file: x}}}", True, id="a calendar in a secret file"),
        pytest.param("oncall: {a: {zone: UTC, layers: [{peple: [a]}]}}", False, id="an unknown key of a layer"),
        pytest.param("escalation: {a: {steps: []}}", False, id="no steps"),
        pytest.param("escalation: {a: {steps: [{notify: a, wait: 5}]}}", False, id="a wait without a unit"),
        pytest.param("routes: [{match: {team: [a, b]}}]", False, id="a route to nowhere"),
        pytest.param("services: [{name: a, checks: [host], severity: bad}]", False, id="no severity"),
    ],
)
def test_an_editor_marks_what_cannot_be(text: str, fine: bool) -> None:
    assert (refusals(text) == []) == fine
