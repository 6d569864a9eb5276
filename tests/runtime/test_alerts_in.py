"""Alerts of Alertmanager: paged like services, over kills too, once each, a bounded number of them."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind
from agent.core.policy import Flapping, Gather, Policy
from agent.core.result import Verdict
from agent.core.state import Health
from agent.core.storm import StormRule
from agent.ports import AlertGroup, ForeignAlert, ServiceRow, Taken
from agent.runtime.alert_words import told as words
from agent.runtime.alerts_in import AlertsIn
from agent.runtime.known_alerts import About, AlertRule
from agent.runtime.recorder import Recorder
from agent.runtime.signals import Signals
from agent.runtime.together import Together
from agent.stores.memory import MemoryStore
from tests.virtual_time import in_virtual_time
from tests.world import FakeChannel, World

OPENED, UPDATE, RESOLVED, REMINDER = NoticeKind.OPENED, NoticeKind.UPDATE, NoticeKind.RESOLVED, NoticeKind.REMINDER


def policy_of(about: About) -> Policy:
    return Policy(
        service=about.name,
        page=("oncall",),
        severity=about.labels.get("severity", "critical"),
        labels=about.labels,
        runbook=about.runbook,
        links=about.links,
        unknown_after=timedelta(0),
        remind=timedelta(0),
    )


RULE = AlertRule(policy_of=policy_of, agent="web-1")


class Fed(World):
    """A world that gets alerts from outside, looked after once a minute."""

    def __init__(self, rule: AlertRule | None = RULE, store: MemoryStore | None = None) -> None:
        super().__init__(store=store)
        self.rule = rule
        self.channels["oncall"] = FakeChannel()

    async def boot(self) -> None:
        await super().boot()
        self.rows: dict[str, ServiceRow] = {}
        self.signals = Signals(self.engine, self.clock, self.rows, Recorder(self.store).record)
        self.alerts = AlertsIn(self.signals, self.store, self.clock, self.engine.tell)
        self.together = Together(self.engine, self.clock, self.signals, None)
        self.engine.contexts.quiet = self.together.quiet
        await self.alerts.load(self.rule)
        self.signals.restore(await self.store.load())
        self.together.restore()
        await self.outbox.recover({name: watched.row.state for name, watched in self.engine.table.items()})

    async def live(self, seconds: float) -> None:
        for _ in range(int(seconds // 10)):
            await super().live(10)
            self.together.look()
            await self.alerts.look()
        await super().live(seconds % 10)

    def last(self) -> Notice:
        return self.channels["oncall"].sent[-1]

    def sent(self) -> list[NoticeKind]:
        return [notice.kind for notice in self.channels["oncall"].sent]


def an_alert(name: str = "HighLatency", *, firing: bool = True, **labels: str) -> ForeignAlert:
    return ForeignAlert(
        fingerprint=f"{name}-{sorted(labels.items())}",
        firing=firing,
        labels={"alertname": name, **labels},
        annotations={"summary": "p99 is 2 s", "runbook_url": "https://wiki.internal/latency"},
        link="http://prometheus/graph?g0",
    )


def told(*alerts: ForeignAlert, key: str = "{}:{}", firing: bool = True) -> AlertGroup:
    return AlertGroup(key=key, firing=firing, alerts=alerts, labels={"team": "web"})


def lived(story: Callable[[Fed], Coroutine[Any, Any, None]], rule: AlertRule | None = RULE) -> None:
    async def run() -> None:
        world = Fed(rule)
        await world.boot()
        await story(world)
        await world.die()

    in_virtual_time(run())


class TestOnePerAlert:
    def test_an_alert_pages_once_however_often_it_is_repeated_and_is_closed_once(self) -> None:
        async def story(world: Fed) -> None:
            for _ in range(3):
                assert await world.alerts.take(told(an_alert())) == Taken(firing=1)
                await world.live(3600)
            (page,) = world.channels["oncall"].sent
            assert page.title.startswith("alert:highlatency-")
            assert page.title.endswith(" is firing")
            assert page.summary == "alert: HighLatency: p99 is 2 s"
            assert page.runbook == "https://wiki.internal/latency"
            assert page.facts["Source"] == "http://prometheus/graph?g0"
            for _ in range(2):
                assert await world.alerts.take(told(an_alert(firing=False), firing=False)) == Taken(over=1)
                await world.live(60)
            assert world.sent() == [OPENED, RESOLVED]

        lived(story)

    def test_its_answer_means_that_it_is_stored(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert(), an_alert("Other")))
            stored = await world.store.load()
            assert [one.state.health for one in stored.values()] == [Health.DOWN, Health.DOWN]
            assert set(json.loads(await world.store.get_note("alerts_in") or "")) == set(stored)

        lived(story)

    def test_severity_and_labels_choose_who_is_asked(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert(severity="warning", team="db")))
            (watched,) = world.engine.table.values()
            assert (watched.policy.severity, watched.policy.labels["team"]) == ("warning", "db")

        lived(story)

    def test_after_a_kill_it_goes_on_with_its_labels_and_pages_nobody_twice(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert(team="db")))
            await world.live(1)
            await world.die()
            await world.boot()
            (watched,) = world.engine.table.values()
            assert watched.policy.labels["team"] == "db"
            await world.alerts.take(told(an_alert(team="db")))
            await world.live(60)
            await world.alerts.take(told(an_alert(team="db", firing=False)))
            await world.live(60)
            assert world.sent() == [OPENED, RESOLVED]

        lived(story)

    def test_one_whose_labels_were_lost_in_a_kill_is_taken_up_all_the_same(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert(team="db")))
            await world.live(1)
            await world.die()
            await world.store.set_note("alerts_in", "{")
            await world.boot()
            await world.alerts.take(told(an_alert(team="db", firing=False)))
            await world.live(60)
            assert world.sent() == [OPENED, RESOLVED]

        lived(story)

    def test_one_that_flaps_is_the_same_service_and_an_old_one_is_forgotten(self) -> None:
        async def story(world: Fed) -> None:
            for _ in range(3):
                await world.alerts.take(told(an_alert()))
                await world.live(60)
                await world.alerts.take(told(an_alert(firing=False)))
                await world.live(60)
            assert len(world.engine.table) == 1
            await world.live(2 * 3600)
            assert (world.engine.table, world.rows, dict(await world.store.load())) == ({}, {}, {})
            assert world.sent() == [OPENED, RESOLVED] * 3

        lived(story)

    def test_our_own_alerts_that_come_back_through_alertmanager_are_not_taken(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            (name,) = world.engine.table
            assert await world.alerts.take(told(an_alert("ServiceDown", service=name))) == Taken(own=1)
            assert list(world.engine.table) == [name]

        lived(story)


class TestOneThatIsNotRepeated:
    def test_stays_open_as_nobody_can_tell_and_people_hear_of_that_once(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(11.9 * 3600)
            assert world.sent() == [OPENED]
            await world.live(24 * 3600)
            assert world.sent() == [OPENED, UPDATE]
            assert "may still fire, or be over: nobody has said anything of it for 12h" in world.last().title
            ((row),) = world.rows.values()
            assert row.checks["alert"].verdict is Verdict.UNKNOWN
            assert row.state.incident is not None
            await world.alerts.take(told(an_alert(firing=False)))
            await world.live(60)
            assert world.sent() == [OPENED, UPDATE, RESOLVED]

        lived(story)

    def test_is_closed_much_later_with_a_message_that_does_not_call_it_over(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(15 * 3600)
            assert world.sent() == [OPENED, UPDATE, RESOLVED]
            assert "is closed, although it may still fire: nobody has said anything of it for 14h" in world.last().title
            assert world.engine.table == {}

        lived(story, replace(RULE, close_after=timedelta(hours=2)))

    def test_is_never_closed_where_config_says_so(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(20 * 3600)
            assert world.sent() == [OPENED, UPDATE]

        lived(story, replace(RULE, unheard_after=timedelta(minutes=10), close_after=timedelta(0)))

    def test_is_told_of_again_when_it_turns_up_after_all(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(13 * 3600)
            await world.alerts.take(told(an_alert()))
            await world.live(3600)
            assert world.sent() == [OPENED, UPDATE, UPDATE]
            assert world.last().title.endswith("HighLatency: p99 is 2 s")
            ((row),) = world.rows.values()
            assert row.checks["alert"].verdict is Verdict.FAIL

        lived(story)

    def test_has_the_time_that_its_sender_gives_it(self) -> None:
        async def story(world: Fed) -> None:
            ends = world.clock.now() + timedelta(minutes=5)
            await world.alerts.take(told(replace(an_alert(), ends=ends)))
            await world.live(240)
            assert world.sent() == [OPENED]
            await world.live(120)
            assert world.sent() == [OPENED, UPDATE]

        lived(story)

    def test_a_time_without_agent_does_not_count(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(1)
            await world.die()
            await World.live(world, 20 * 3600)
            await world.boot()
            await world.live(3600)
            assert world.sent() == [OPENED]

        lived(story)


class TestOnePerGroup:
    RULE = replace(RULE, per="group")

    def test_a_group_pages_once_and_says_loudly_when_more_joins_and_quietly_when_less(self) -> None:
        async def story(world: Fed) -> None:
            one, two = an_alert("One"), an_alert("Two")
            await world.alerts.take(told(one))
            await world.live(60)
            await world.alerts.take(told(one, two))
            await world.live(60)
            await world.alerts.take(told(one, two))
            await world.live(60)
            await world.alerts.take(told(one, replace(two, firing=False)))
            await world.live(60)
            await world.alerts.take(told(replace(one, firing=False), firing=False))
            await world.live(60)
            assert world.sent() == [OPENED, REMINDER, UPDATE, RESOLVED]
            titles = [notice.title for notice in world.channels["oncall"].sent]
            assert "2 alerts: One: p99 is 2 s, Two: p99 is 2 s" in titles[1]
            assert titles[2].endswith(": One: p99 is 2 s")

        lived(story, self.RULE)

    def test_two_groups_are_two_services(self) -> None:
        async def story(world: Fed) -> None:
            for key in ("a", "b"):
                await world.alerts.take(told(an_alert(), key=key))
            assert len(world.engine.table) == 2

        lived(story, self.RULE)


class TestOnePerLabels:
    RULE = replace(RULE, per=("alertname", "cluster"))

    def test_alerts_of_several_messages_that_agree_in_them_are_one_until_the_last_is_over(self) -> None:
        async def story(world: Fed) -> None:
            one, two = (an_alert("Disk", cluster="eu", instance=name) for name in ("a", "b"))
            await world.alerts.take(told(one, key="g1"))
            await world.live(60)
            await world.alerts.take(told(two, key="g2"))
            await world.live(60)
            await world.alerts.take(told(replace(one, firing=False), key="g1", firing=False))
            await world.live(60)
            assert world.sent() == [OPENED, REMINDER, UPDATE]
            await world.alerts.take(told(replace(two, firing=False), key="g2", firing=False))
            await world.live(60)
            assert world.sent() == [OPENED, REMINDER, UPDATE, RESOLVED]
            (name,) = world.engine.table
            assert name.startswith("alert:disk-eu-")
            assert world.engine.table[name].policy.labels == {"alertname": "Disk", "cluster": "eu"}

        lived(story, self.RULE)

    def test_its_alerts_are_remembered_over_a_kill(self) -> None:
        async def story(world: Fed) -> None:
            one, two = (an_alert("Disk", cluster="eu", instance=name) for name in ("a", "b"))
            await world.alerts.take(told(one, two))
            await world.live(1)
            await world.die()
            await world.boot()
            await world.alerts.take(told(replace(one, firing=False)))
            await world.live(60)
            assert world.sent() == [OPENED, UPDATE]

        lived(story, self.RULE)


class TestAllThatServicesHave:
    def test_many_at_once_are_a_storm_and_what_is_left_of_it_is_paged_without_being_told_again(self) -> None:
        async def story(world: Fed) -> None:
            world.together.use(StormRule(services=3, calm=timedelta(minutes=2), page=("oncall",)))
            many = [an_alert(f"A{number}") for number in range(6)]
            await world.alerts.take(told(*many))
            await world.live(60)
            assert len([n for n in world.channels["oncall"].sent if n.service.startswith("alert:")]) == 4
            page = world.last()
            assert page.service == "storm:services"
            assert "6 of 6 services went down" in page.summary
            await world.alerts.take(told(*(replace(one, firing=False) for one in many[:4])))
            await world.live(3600)
            told_of = [(n.service.partition(":")[0], n.kind) for n in world.channels["oncall"].sent[1:]]
            assert told_of.count(("storm", RESOLVED)) == 1
            late = [n for n in world.channels["oncall"].sent if n.kind is OPENED][5:]
            assert len(late) == 2, "held by the storm, and resolved by nobody"
            assert all(n.service.startswith("alert:") for n in late)

        lived(story)

    def test_pages_are_gathered(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert("One", team="db"), an_alert("Two", team="db")))
            await world.live(120)
            (page,) = world.channels["oncall"].sent
            assert page.service.startswith("group:db/")

        gather = Gather(by=("team",), wait=timedelta(seconds=30))
        lived(story, replace(RULE, policy_of=lambda about: replace(policy_of(about), gather=gather)))

    def test_one_that_comes_and_goes_is_one_incident(self) -> None:
        async def story(world: Fed) -> None:
            for _ in range(6):
                await world.alerts.take(told(an_alert()))
                await world.live(60)
                await world.alerts.take(told(an_alert(firing=False)))
                await world.live(60)
            await world.live(3600)
            assert world.sent().count(OPENED) == world.sent().count(RESOLVED) == 2
            assert "stopped flapping" in world.last().title

        flapping = Flapping(at_most=2, per=timedelta(hours=1), calm=timedelta(minutes=10))
        lived(story, replace(RULE, policy_of=lambda about: replace(policy_of(about), flapping=flapping)))


class TestTheLimit:
    def test_more_than_that_are_refused_and_what_is_open_goes_on(self) -> None:
        async def story(world: Fed) -> None:
            many = [an_alert(f"A{number}") for number in range(5)]
            assert await world.alerts.take(told(*many)) == Taken(firing=3, refused=2)
            assert await world.alerts.take(told(*many[:3])) == Taken(firing=3)
            assert len(world.engine.table) == 3

        lived(story, replace(RULE, at_most=3))

    def test_alerts_of_one_service_count_each(self) -> None:
        async def story(world: Fed) -> None:
            many = [an_alert(f"A{number}") for number in range(4)]
            assert await world.alerts.take(told(*many)) == Taken(refused=4)
            assert await world.alerts.take(told(*many[:3])) == Taken(firing=3)
            assert await world.alerts.take(told(many[3], key="b")) == Taken(refused=1)

        lived(story, replace(RULE, at_most=3, per="group"))

    def test_what_is_over_makes_room(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert("A0")))
            await world.alerts.take(told(an_alert("A0", firing=False)))
            assert await world.alerts.take(told(an_alert("A1"))) == Taken(firing=1)
            (name,) = world.engine.table
            assert name.startswith("alert:a1-")

        lived(story, replace(RULE, at_most=1))


class TestConfiguration:
    def test_without_a_rule_nothing_is_taken(self) -> None:
        async def story(world: Fed) -> None:
            assert not world.alerts.open
            assert await world.alerts.take(told(an_alert())) == Taken(refused=1)

        lived(story, None)

    def test_a_reload_that_takes_the_rule_away_closes_what_is_open(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.live(1)
            await world.alerts.use(None)
            await world.live(1)
            assert world.sent() == [OPENED, RESOLVED]

        lived(story)

    def test_a_reload_that_changes_the_rule_changes_who_is_asked(self) -> None:
        async def story(world: Fed) -> None:
            await world.alerts.take(told(an_alert()))
            await world.alerts.use(replace(RULE, policy_of=lambda about: Policy(service=about.name, severity="low")))
            (watched,) = world.engine.table.values()
            assert watched.policy.severity == "low"

        lived(story)

    @pytest.mark.parametrize(
        ("own", "given", "known"),
        [("s3cr3t", "s3cr3t", True), ("s3cr3t", "wrong", False), ("s3cr3t", None, False), ("", None, None)],
        ids=["the token", "another", "none", "there is no token"],
    )
    def test_its_own_token(self, own: str, given: str | None, known: bool | None) -> None:
        async def story(world: Fed) -> None:
            assert world.alerts.admits(given) is known

        lived(story, replace(RULE, token=own))


ALERTS = [an_alert("Disk", cluster="eu", instance=name) for name in "abc"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("told"), st.lists(st.tuples(st.sampled_from(ALERTS), st.booleans()), min_size=1, max_size=4)),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 30.0])),
        st.tuples(st.just("kill"), st.none()),
    ),
    max_size=12,
)


@pytest.mark.parametrize("per", ["alert", "group", ("alertname", "cluster")], ids=str)
@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_whatever_is_told_and_whenever_the_agent_is_killed_every_page_is_closed_exactly_once(
    per: str | tuple[str, ...], steps: list[tuple[str, Any]]
) -> None:
    async def story(world: Fed) -> None:
        for what, of in steps:
            await world.live(0.01)  # an incident is named after its millisecond
            if what == "told":
                last = {alert.fingerprint: replace(alert, firing=firing) for alert, firing in of}
                firing = any(alert.firing for alert in last.values())
                await world.alerts.take(told(*last.values(), firing=firing))
            elif what == "wait":
                await world.live(of)
            else:
                await world.die()
                await world.boot()
        await world.live(0.01)
        await world.alerts.take(told(*(replace(alert, firing=False) for alert in ALERTS), firing=False))
        await world.live(120)
        sent = world.channels["oncall"].sent
        opened = {notice.incident for notice in sent if notice.kind is OPENED}
        closed = [notice.key for notice in sent if notice.kind is RESOLVED]
        assert len(closed) == len(set(closed))
        ended = [notice.incident for notice in sent if notice.kind is RESOLVED]
        assert len(ended) == len(set(ended))
        assert set(ended) >= opened
        assert not any(watched.row.state.incident for watched in world.engine.table.values())

    lived(story, replace(RULE, per=per))


@given(st.text(), st.text())
def test_every_name_is_safe_and_tells_different_alerts_apart(title: str, fingerprint: str) -> None:
    name = named(title, fingerprint)
    assert len(name) <= 64
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-:")
    assert named(title, f"{fingerprint}x") != name


def named(title: str, fingerprint: str) -> str:
    alert = ForeignAlert(fingerprint=fingerprint, firing=True, labels={"alertname": title})
    return words(AlertGroup(key="", firing=True, alerts=(alert,)), [alert], "alert")[0].name
