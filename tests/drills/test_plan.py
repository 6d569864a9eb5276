"""Whom a drill asks, who is asked when it failed, when it is due, and what it is called wherever it is read."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from agent.config.model import AgentSpec, ChannelSpec, Config, Cron, DrillSpec, ServiceSpec
from agent.core.commands import Notice, NoticeKind
from agent.core.contact import Contact
from agent.core.drills import MARK
from agent.core.policy import Escalation, EscalationStep, Policy
from agent.drills import notes
from agent.drills.plan import CHANNELS, drilled, first_asked, other_way, wanted
from agent.drills.timetable import first_due, is_due
from agent.ports import DrillLeg, DrillOutcome, DrillReport
from agent.runtime.queue import Item, Queue
from alerts.mail_message import mail
from alerts.prometheus_alert import alert
from alerts.rendering import plain_text
from alerts.short_text import short_text
from alerts.slack_blocks import full_message
from alerts.webhook_body import cloud_event

MINUTE = timedelta(minutes=1)
WEB = Policy(service="web", page=("oncall", "ops"), fallback={"oncall": ("spare",)})
NOW = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)


def config(*policies: Policy, drill: DrillSpec | None = None, channels: tuple[str, ...] = ()) -> Config:
    services = {one.service: ServiceSpec(name=one.service, policy=one, checks=()) for one in policies}
    nothing = cast(Any, None)
    named = {name: ChannelSpec(name=name, type=nothing, options=nothing) for name in channels}
    return Config(agent=AgentSpec(name="x"), services=services, channels=named, drill=drill or DrillSpec())


ALL = ("oncall", "ops", "spare", "mail")
OTHER_WAYS = {
    "the fallback and what else it pages": (("oncall",), ("spare", "ops")),
    "another of its channels": (("ops",), ("oncall",)),
    "nothing has failed that could be avoided": ((), ("oncall", "ops")),
    "all of its own and the fallback: any other": (("oncall", "ops", "spare"), ("mail",)),
    "everything: what failed is better than nobody": (ALL, ALL),
}


@pytest.mark.parametrize(("failed", "page"), OTHER_WAYS.values(), ids=OTHER_WAYS.keys())
def test_a_drill_that_failed_is_paged_by_what_did_not(failed: tuple[str, ...], page: tuple[str, ...]) -> None:
    found = other_way(config(WEB, channels=ALL), WEB, failed)
    assert found.page == page
    assert found.drill is None
    assert found.restart is None


def test_whoever_is_asked_by_escalation_has_the_other_way_as_fallback() -> None:
    escalation = Escalation(name="e", steps=(EscalationStep(notify=("person:a",), wait=MINUTE),))
    policy = Policy(service="web", escalation=escalation)
    found = other_way(config(policy, channels=("sms", "mail")), policy, ("sms",))
    assert (found.page, found.escalation, found.fallback) == (("mail",), escalation, {"sms": ("mail",)})


STEPS = tuple(EscalationStep(notify=(f"person:{name}",), wait=wait) for name, wait in (("a", MINUTE), ("b", MINUTE)))
AT_ONCE = (EscalationStep(notify=("person:a",), wait=timedelta(0)), *STEPS[1:])
HERE = (Contact(channel="sms", to="1"),)
FIRST = {
    "the first that is reached": (STEPS, {"person:a": HERE, "person:b": HERE}, 1),
    "the first reaches nobody": (STEPS, {"person:b": HERE}, 2),
    "two that are asked at once": (AT_ONCE, {"person:a": HERE, "person:b": HERE}, 2),
    "nobody at all": (STEPS, {}, 2),
}


@pytest.mark.parametrize(("steps", "reach", "asked"), FIRST.values(), ids=FIRST.keys())
def test_a_drill_goes_no_further_than_to_whom_is_asked_first(
    steps: tuple[EscalationStep, ...], reach: dict[str, tuple[Contact, ...]], asked: int
) -> None:
    found = first_asked(Escalation(name="e", steps=steps, repeat=5), lambda _: reach)
    assert (found.steps, found.repeat) == (steps[:asked], 0)


def test_a_drill_is_paged_as_its_service_and_never_restarted_or_repeated() -> None:
    policy = replace(WEB, severity="warning", labels={"team": "db"}, group="web")
    found = drilled(config(policy), "web", policy, lambda _: {})
    assert (found.page, found.severity, found.labels) == (policy.page, "warning", {"team": "db"})
    assert (found.restart, found.group, found.gather, found.fallback) == (None, "", None, {})
    assert (found.remind, found.page_deadline) == (timedelta(0), timedelta(0))


def test_the_channels_alone_are_all_that_any_service_pages_or_what_config_says() -> None:
    two = (WEB, replace(WEB, service="db", page=("ops", "mail")))
    assert (found := wanted(config(*two), CHANNELS)) is not None
    assert found.page == ("oncall", "ops", "mail")
    assert (found := wanted(config(*two, drill=DrillSpec(page=("mail",))), CHANNELS)) is not None
    assert found.page == ("mail",)
    assert wanted(config(*two), "nothing") is None


MONDAYS = DrillSpec(cron=Cron(expression="0 10 * * mon", zone="Europe/Berlin"))
WEEKLY = DrillSpec(every=timedelta(days=7))
DUE = {
    "no schedule": (DrillSpec(), None, None),
    "Monday at ten in its own zone": (MONDAYS, None, datetime(2026, 3, 2, 9, tzinfo=UTC)),
    "every week, from now on": (WEEKLY, None, NOW + timedelta(days=7)),
    "every week, from the last": (WEEKLY, NOW - timedelta(days=3), NOW + timedelta(days=4)),
    "one that was missed": (WEEKLY, NOW - timedelta(days=9), NOW + timedelta(minutes=1)),
}


@pytest.mark.parametrize(("spec", "last", "due"), DUE.values(), ids=DUE.keys())
def test_when_the_next_is_due(spec: DrillSpec, last: datetime | None, due: datetime | None) -> None:
    assert first_due(spec, last, NOW) == due


def test_one_of_the_calendar_is_not_made_up_for_hours_later() -> None:
    assert is_due(MONDAYS, NOW, NOW + timedelta(seconds=3))
    assert not is_due(MONDAYS, NOW, NOW + timedelta(hours=1))
    assert is_due(WEEKLY, NOW, NOW + timedelta(hours=1))


def test_what_is_kept_is_read_back_and_what_was_running_is_cut_off() -> None:
    leg = DrillLeg(name="decision", outcome=DrillOutcome.PASSED, seconds=0.5, detail="asked oncall")
    passed = DrillReport(id="1", of="web", by="a", at=NOW, outcome=DrillOutcome.PASSED, legs=(leg,), failed=("x",))
    running = DrillReport(id="2", of="db", by="a", at=NOW, outcome=DrillOutcome.RUNNING)
    found = notes.read(notes.write(notes.Kept(ended={"web": passed}, scheduled_at=NOW), [running]))
    assert (found.ended, found.scheduled_at) == ({"web": passed}, NOW)
    assert (found.cut_off["db"].outcome, found.cut_off["db"].id) == (DrillOutcome.UNFINISHED, "2")


# --------------------------------------------------------------------------------------------- what it looks like

DRILL = Notice(
    key="drill:web-1/oncall/opened/1",
    incident="drill:web-1",
    service="drill:web",
    channel="oncall",
    kind=NoticeKind.OPENED,
    title=f"{MARK}: a test page for web",
    summary="drill: a made-up failure",
    at=NOW,
    opened_at=NOW,
    severity="critical",
    drill=True,
)
CLOSED = replace(DRILL, key="drill:web-1/oncall/resolved/2", kind=NoticeKind.RESOLVED, title=f"{MARK}: it is over")


@pytest.mark.parametrize("notice", [DRILL, CLOSED], ids=["the page", "its end"])
def test_the_first_line_of_every_channel_says_that_it_is_a_drill(notice: Notice) -> None:
    blocks = full_message(notice)
    message = mail(notice, None, "codeblue@example.com", "oncall@example.com")
    firsts = {
        "plain": plain_text(notice).splitlines()[0].removeprefix("🔵 "),
        "sms": short_text(notice),
        "slack, pushed": blocks.text.removeprefix("🔵 "),
        "slack, read": blocks.blocks[0]["text"]["text"].removeprefix("🔵 "),
        "mail": str(message["Subject"]),
        "alertmanager": alert(notice, None, "Codeblue", {}, "")["annotations"]["summary"],
    }
    assert {name: text.startswith(MARK) for name, text in firsts.items()} == dict.fromkeys(firsts, True), firsts
    assert "codeblue DRILL" in str(message["From"])
    assert alert(notice, None, "Codeblue", {}, "")["labels"]["drill"] == "true"
    assert b'"type":"codeblue.drill.' in cloud_event(notice)
    assert b'"drill":true' in cloud_event(notice)


def test_a_real_page_has_no_word_of_drills() -> None:
    real = replace(DRILL, service="web", title="web is down", drill=False)
    assert "drill" not in alert(real, None, "Codeblue", {}, "")["labels"]
    assert plain_text(real).startswith("🔴 web is down")


# --------------------------------------------------------------------------------------------- in the queue


def test_a_drill_stands_behind_whatever_wakes_people_and_before_the_rest() -> None:
    queue = Queue()
    real = [replace(DRILL, key=str(kind), incident=str(kind), kind=kind, drill=False) for kind in NoticeKind]
    for notice in (DRILL, replace(CLOSED, incident="drill:db-1"), *reversed(real)):
        queue.put(Item(notice, 0.0, 0.0), 0.0)
    order = []
    while (item := queue.head(0.0)) is not None:
        queue.take()
        order.append(item.notice.key)
        queue.drop(item)
    assert order == ["opened", "reminder", DRILL.key, "resolved", CLOSED.key, "update", "note"]


def test_a_drill_that_waits_is_no_overdue_page() -> None:
    queue = Queue()
    queue.put(Item(DRILL, 0.0, 0.0), 0.0)
    assert queue.urgent() == []
