"""Any story of misses, recoveries, acknowledgements, silences, windows, channels in trouble and kills at any await,
over the real engine, outbox, lanes, database and book: what must be true of its pages. CODEBLUE_STORIES says how many.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind
from agent.core.contact import Contact
from agent.core.events import Event, EventKind
from agent.core.policy import CheckPolicy, Escalation, EscalationStep, Flapping, Gather, Policy, RestartPolicy
from agent.core.state import Stage
from agent.core.storm import StormRule
from tests.core.story import START
from tests.night import Night, Place
from tests.virtual_time import in_virtual_time

STORIES = int(os.environ.get("CODEBLUE_STORIES", "20"))
WAIT = timedelta(seconds=30)
ACK_FOR = timedelta(seconds=60)
ALICE = Contact(channel="sms", to="+1", person="alice")
BOB = Contact(channel="sms", to="+2", person="bob")
LADDER = Escalation(
    name="night",
    steps=(
        EscalationStep(notify=("oncall:primary",), wait=WAIT),
        EscalationStep(notify=("person:bob", "channel:hook"), wait=WAIT),
    ),
    repeat=1,
    ack_for=ACK_FOR,
)
WEB = Policy(
    service="web",
    checks={"http": CheckPolicy()},
    page=("oncall",),
    fallback={"oncall": ("mail",), "sms": ("mail",)},
    remind=timedelta(seconds=40),
    page_deadline=timedelta(seconds=20),
    escalation=LADDER,
)
API = replace(WEB, service="api", escalation=None, page=("oncall", "hook"), flapping=Flapping(at_most=3))
DB = replace(
    WEB,
    service="db",
    restart=RestartPolicy(action="process", at_most=1, backoff=timedelta(0), jitter=0, verify=timedelta(seconds=15)),
)
SERVICES = ("web", "api", "db")
PLACES = {"oncall": True, "sms": True, "hook": False, "mail": False}  # whether it reads back
GATHER = Gather(by=("severity",), wait=timedelta(seconds=5), interval=timedelta(seconds=20))
STORM = StormRule(services=1, within=timedelta(seconds=40), calm=timedelta(seconds=30), page=("oncall",))

service = st.sampled_from(SERVICES)
channel = st.sampled_from(sorted(PLACES))
trouble = st.sampled_from(["temporary", "permanent", "limited", "lost", "silent"])
ACTION = st.one_of(
    st.tuples(st.just("down"), service),
    st.tuples(st.just("down"), service),
    st.tuples(st.just("up"), service),
    st.tuples(st.just("ack"), service),
    st.tuples(st.just("ack"), service),
    st.tuples(st.just("silence"), service, st.sampled_from([20.0, 90.0, None])),
    st.tuples(st.just("window"), service, st.sampled_from([15.0, 60.0])),
    st.tuples(st.just("loud")),
    st.tuples(st.just("trouble"), channel, trouble, st.integers(1, 3)),
    st.tuples(st.just("broken"), channel, st.sampled_from(["temporary", "permanent", "silent"])),
    st.tuples(st.just("mended"), channel),
    st.tuples(st.just("dies in"), st.integers(1, 25)),
    st.tuples(st.just("kill")),
    st.tuples(st.just("on call"), st.sampled_from(["alice", "nobody"])),
)
PAUSE = st.sampled_from([0.01, 0.3, 2.0, 6.0, 11.0, 25.0, 45.0])
Story = Sequence[tuple[tuple[Any, ...], float]]
BEGIN = st.tuples(st.tuples(st.just("down"), service), PAUSE)
STORY = st.builds(
    lambda first, rest: [first, *rest], BEGIN, st.lists(st.tuples(ACTION, PAUSE), min_size=5, max_size=18)
)


@dataclass(frozen=True)
class Setting:
    """What the configuration says beside the services, and how soon the agent dies once all is well again (0: not)."""

    gather: bool = False
    storm: bool = False
    last_points: int = 0


SETTING = st.builds(Setting, gather=st.booleans(), storm=st.booleans(), last_points=st.integers(0, 60))


def night(setting: Setting, folder: Path) -> Night:
    policies = [replace(one, gather=GATHER) if setting.gather else one for one in (WEB, API, DB)]
    places = {name: Place(reads_back=reads_back) for name, reads_back in PLACES.items()}
    rule = STORM if setting.storm else None
    here = Night(*policies, path=folder / "state.db", rule=rule, places=places)
    here.reach_now = {
        "oncall:primary": (ALICE,),
        "person:bob": (BOB,),
        "channel:hook": (Contact(channel="hook"),),
    }
    return here


async def act(here: Night, action: tuple[Any, ...]) -> None:
    match action:
        case ("down", name):
            here.down.add(name)
        case ("up", name):
            here.down.discard(name)
        case ("ack", name):
            here.acknowledge(name)
        case ("silence", name, seconds):
            await here.do(here.silence(name, seconds))
        case ("window", name, seconds):
            await here.do(here.maintain(name, seconds))
        case ("loud",):
            await here.do(here.loud_again())
        case ("dies in", points):
            here.fate.left = points
        case ("kill",):
            await here.die_and_begin()
        case ("on call", who):
            here.reach_now["oncall:primary"] = (ALICE,) if who == "alice" else ()
        case _:
            around(here.places, action)


def around(places: Mapping[str, Place], action: tuple[Any, ...]) -> None:
    """What happens to channels."""
    match action:
        case ("trouble", name, what, times):
            places[name].troubles.extend([what] * times)
        case ("broken", name, what):
            places[name].broken = what
        case ("mended", name):
            places[name].broken = ""


async def told(here: Night, story: Story) -> None:
    for action, pause in story:
        await act(here, action)
        await here.live(pause)


async def morning(here: Night, last_points: int) -> None:
    """Channels work, nothing is silenced; then everything is up, and dead letters of closings are replayed by hand."""
    here.fate.left = None
    here.reach_now["oncall:primary"] = (ALICE,)
    for place in here.places.values():
        place.broken = ""
        place.troubles.clear()
    await here.do(here.loud_again())
    await here.live(5 * 60 + 20)
    everybody_was_asked(here)
    await here.live(15 * 60)
    every_page_arrived(here)
    here.down.clear()
    here.fate.left = last_points or None
    await here.live(20 * 60)
    here.fate.left = None
    dead = [letter.command for letter in await here.store.dead_letters()]
    owed = [one.key for one in dead if isinstance(one, Notice) and one.kind is NoticeKind.RESOLVED]
    await here.store.replay(owed, here.clock.now())
    await here.outbox.replayed(owed)
    await here.live(60)


def lived(setting: Setting, story: Story, folder: Path) -> tuple[Night, list[Event]]:
    here = night(setting, folder)

    async def whole() -> list[Event]:
        await here.begin()
        await told(here, story)
        await morning(here, setting.last_points)
        assert here.outbox.lanes.waiting() == 0, "something is still waiting"
        events = await here.store.history(None, since=START, limit=100_000)
        open_ones = [name for name, watched in here.engine.table.items() if watched.row.state.incident is not None]
        assert open_ones == [], "an incident is open in the morning"
        await here.end()
        return sorted(events, key=lambda event: event.at)

    return here, in_virtual_time(whole(), lambda: here.busy[0] > 0)


# -------------------------------------------------------------------------------------------------- what must be true


def everybody_was_asked(here: Night) -> None:
    """Five minutes after the last silence whatever is down has people at it, and its steps were all taken."""
    for name in SERVICES:
        incident = here.state(name).incident
        if incident is None or not incident.failing:
            continue
        assert incident.asked or incident.quiet, f"nobody was asked about {name}: {incident}"
        if incident.stage is Stage.PAGED and incident.ack is None and not incident.quiet and name != "api":
            taken = (incident.step, incident.round)
            assert taken == (len(LADDER.steps), LADDER.repeat), f"{name}: steps are missing: {incident}"


def every_page_arrived(here: Night) -> None:
    for name, watched in here.engine.table.items():
        incident = watched.row.state.incident
        lost = [asked for asked in incident.asked if not asked.delivered and not asked.failed] if incident else []
        assert lost == [], f"a page about {name} was neither delivered nor given up"


def each_asked_was_closed_once(places: dict[str, Place], events: Iterable[Event]) -> None:
    asked = {(event.incident, event.data["channel"]): event.data["key"] for event in events if event.kind is PAGED}
    assert len(asked) == sum(event.kind is PAGED for event in events), "asked twice to page"
    sent = [(place, notice) for place in places.values() for notice in place.posted]
    closings: dict[tuple[str, str], set[str]] = {}
    for _, notice in sent:
        if notice.kind is NoticeKind.RESOLVED:
            closings.setdefault((notice.incident, notice.channel), set()).add(notice.key)
    assert closings.keys() == asked.keys(), "who was asked and who was told that it is over differ"
    assert all(len(keys) == 1 for keys in closings.values()), "closed under two keys"
    pages = {(n.incident, n.channel, n.key) for _, n in sent if n.kind is NoticeKind.OPENED}
    assert pages <= {(*who, key) for who, key in asked.items()}, "a page that nobody asked for, or under another key"


def no_key_came_twice(places: dict[str, Place]) -> None:
    for name, place in places.items():
        twice = [key for key, count in Counter(one.key for one in place.posted).items() if count > 1]
        assert not place.reads_back or twice == [], f"{name} shows a message twice"
        bodies = {one.key: one for one in place.posted}
        assert all(bodies[one.key] in (one, replace(one, note=bodies[one.key].note)) for one in place.posted)


def each_story_is_told_in_order(places: dict[str, Place]) -> None:
    for place in places.values():
        begun: set[tuple[str, str]] = set()
        seen: set[str] = set()  # one that is sent again under its key is the same
        for notice in place.posted:
            who = (notice.incident, notice.channel)
            first = notice.key not in seen
            assert notice.kind is not NoticeKind.OPENED or who not in begun or not first, f"{notice.key} came too late"
            begun.add(who)
            seen.add(notice.key)


def steps_come_one_after_the_other(events: Sequence[Event]) -> None:
    for name in ("web", "db"):
        for incident in {event.incident for event in events if event.service == name and event.incident}:
            told = [event for event in events if event.incident == incident and event.kind is EventKind.ESCALATED]
            steps = "".join(event.data.get("step", "") for event in told)
            skipped = any("reaches nobody" in event.text for event in told)
            assert steps in ("", "2", "21", "212", *(("22",) if skipped else ())), f"{incident}: {steps}"


def an_acknowledged_incident_is_left_alone(events: Sequence[Event]) -> None:
    for number, event in enumerate(events):
        if event.kind is not EventKind.ACKNOWLEDGED or event.service not in SERVICES:
            continue
        for later in events[number + 1 :]:
            if later.incident != event.incident or later.at >= event.at + ACK_FOR:
                continue
            loud = later.kind is EventKind.REMINDED or (later.kind is EventKind.ESCALATED and "step" in later.data)
            assert not loud, f"{later.kind} {later.at} after {event.text} at {event.at}"


PAGED = EventKind.PAGED


def all_is_well(setting: Setting, story: Story, folder: Path) -> None:
    here, events = lived(setting, story, folder)
    each_asked_was_closed_once(here.places, events)
    no_key_came_twice(here.places)
    each_story_is_told_in_order(here.places)
    steps_come_one_after_the_other(events)
    an_acknowledged_incident_is_left_alone(events)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nights")


@settings(max_examples=STORIES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setting=SETTING, story=STORY)
def test_whatever_happens_each_page_is_closed_once_and_nobody_is_asked_twice(
    setting: Setting, story: Story, folder: Path
) -> None:
    all_is_well(setting, story, Path(mkdtemp(dir=folder)))


# -------------------------------------------------------------------------------------------- what stops the sending

HUSH = ("silence", "window", "loud")
STATES = frozenset(
    {EventKind.MISSED, EventKind.OPENED, EventKind.CHECK_RECOVERED, EventKind.CLOSED, EventKind.FLAPPING}
)


def states_of(setting: Setting, story: Story, folder: Path) -> list[Any]:
    """What is known of the services after each action, and what the timeline says of their state."""
    here = night(setting, folder)
    seen: list[Any] = []

    async def whole() -> None:
        await here.begin()
        for action, pause in story:
            await act(here, action)
            await here.live(pause)
            for name in ("web", "api"):
                state, incident = here.state(name), here.state(name).incident
                known = incident and (incident.id, incident.failing, incident.first_miss_at, incident.flapping)
                seen.append((name, state.health, dict(state.checks), known))
        events = await here.store.history(None, since=START, limit=100_000)
        seen.extend((e.service, e.kind, e.at) for e in events if e.service in ("web", "api") and e.kind in STATES)
        await here.end()

    in_virtual_time(whole(), lambda: here.busy[0] > 0)
    return seen


@settings(max_examples=max(1, STORIES // 3), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(setting=SETTING, story=STORY)
def test_silences_and_windows_stop_the_sending_and_nothing_else(setting: Setting, story: Story, folder: Path) -> None:
    at_set_times = [step for step in story if step[0][0] != "dies in"]
    loud = [((("nothing",) if action[0] in HUSH else action), pause) for action, pause in at_set_times]
    quiet_one = states_of(setting, at_set_times, Path(mkdtemp(dir=folder)))
    assert quiet_one == states_of(setting, loud, Path(mkdtemp(dir=folder)))
