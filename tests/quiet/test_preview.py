"""A preview names exactly the pages that a silence or a window then withholds: over any story of two services."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind, Outcome
from agent.core.contact import Contact
from agent.core.events import Acknowledged, Approved, Decision, Event, EventKind
from agent.core.matchers import parse
from agent.core.policy import CheckPolicy, Escalation, EscalationStep, Mode, Policy, RestartPolicy
from agent.core.silence import Silence
from agent.core.state import ServiceState
from agent.core.windows import Once, Span, Window
from agent.quiet.book import Subject
from agent.quiet.preview import LOOKED_BACK, covered, hidden, preview
from agent.quiet.register import Register
from agent.stores.memory import MemoryStore
from tests.core.story import FAIL, PASS, UNKNOWN, Story, at

PAGES = (NoticeKind.OPENED, NoticeKind.REMINDER)
MATCH = parse("team=shop")
ALICE, BOB = (Contact(channel="sms", to=number, person=name) for name, number in (("alice", "+1"), ("bob", "+2")))
STEPS = Escalation(
    name="default",
    steps=(
        EscalationStep(notify=("person:alice",), wait=timedelta(minutes=2)),
        EscalationStep(notify=("person:bob", "channel:boss"), wait=timedelta(minutes=3)),
    ),
    repeat=1,
)
REACH = {"person:alice": (ALICE,), "person:bob": (BOB,), "channel:boss": (Contact(channel="boss"),)}
PLAIN = Policy(
    service="shop",
    checks={"http": CheckPolicy()},
    page=("oncall",),
    fallback={"oncall": ("hook",), "hook": ("mail",), "sms": ("hook",)},
    remind=timedelta(minutes=4),
    page_deadline=timedelta(minutes=1),
    labels={"team": "shop"},
)
RESTART = RestartPolicy(action="process", at_most=2, backoff=timedelta(0), jitter=0, verify=timedelta(seconds=20))
POLICIES = {
    "channels and reminders": PLAIN,
    "an escalation": replace(PLAIN, escalation=STEPS),
    "restarts first": replace(PLAIN, restart=RESTART),
    "restarts that are asked for": replace(PLAIN, restart=replace(RESTART, mode=Mode.ASK), escalation=STEPS),
    "restarts that are only said": replace(PLAIN, restart=replace(RESTART, mode=Mode.SHADOW)),
}

KINDS = ("fail", "fail", "fail", "pass", "unknown", "wait", "delivered", "refused", "ack", "approve", "done", "failed")
HAPPENINGS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 200)), min_size=3, max_size=30)


@dataclass
class Told:
    """One service's story as it was told, with what was silenced. `sent` are the pages: address, kind, moment."""

    policy: Policy
    register: Register
    story: Story = field(init=False)
    now: int = 0

    def __post_init__(self) -> None:
        state = ServiceState(service=self.policy.service)
        self.story = Story(policy=self.policy, state=state, reach=REACH)

    def at(self, seconds: int, happening: str) -> None:
        """The engine asks the book at each input, as it does here."""
        self.now = seconds
        incident = self.story.state.incident
        self.story.quiet = self.register.quiet(self.policy, incident.id if incident else "", at(seconds))
        match happening:
            case "fail" | "pass" | "unknown":
                self.story.sees({"fail": FAIL, "pass": PASS, "unknown": UNKNOWN}[happening], seconds)
            case "delivered" | "refused":
                self._becomes_of_the_last_page(happening, seconds)
            case "ack" if incident:
                self.story.tell(Acknowledged(at=at(seconds), by="ann", until=at(seconds + 300)))
            case "approve" if incident and incident.approval:
                self.story.tell(Approved(at=at(seconds), key=incident.approval.key, by="ann"))
            case "done" | "failed" if incident and incident.tried and incident.tried[-1].outcome is None:
                self.story.restart_ends(Outcome.DONE if happening == "done" else Outcome.FAILED, seconds)
            case _:
                self.story.time_is(seconds)

    def _becomes_of_the_last_page(self, happening: str, seconds: int) -> None:
        incident = self.story.state.incident
        open_ones = [one for one in incident.asked if not one.delivered and not one.failed] if incident else []
        if not open_ones:
            self.story.time_is(seconds)
        elif happening == "delivered":
            self.story.delivered(open_ones[-1].channel, seconds)
        else:
            self.story.refused(open_ones[-1].channel, seconds)

    @property
    def sent(self) -> Counter[tuple[str, NoticeKind, datetime]]:
        pages = (one for one in self.story.commands if isinstance(one, Notice) and one.kind in PAGES)
        return Counter((page.channel, page.kind, page.at) for page in pages)

    def events(self) -> list[Event]:
        return [event for decision in self.story.decisions for event in decision.events]


def a_register(*things: Silence | Window) -> Register:
    register = Register()
    silences = [one for one in things if isinstance(one, Silence)]
    register.fill(silences, [one for one in things if isinstance(one, Window)], {})
    return register


def told(policy: Policy, happenings: Sequence[tuple[str, int]], register: Register, edges: Sequence[int]) -> Told:
    """The story from its beginning: every ten seconds the engine looks, and at the edges of what is quiet, too."""
    made, now = Told(policy, register), 0
    moments: list[tuple[int, str]] = [(edge, "wait") for edge in edges]
    for happening, gap in happenings:
        moments += [(later, "wait") for later in range(now + 10, now + gap, 10)]
        now += gap
        moments.append((now, happening))
    for moment, happening in sorted(moments, key=lambda one: one[0]):
        made.at(moment, happening)
    return made


def in_words(pages: Sequence[Event]) -> Counter[tuple[str, NoticeKind, datetime]]:
    kinds = {EventKind.PAGED: NoticeKind.OPENED, EventKind.REMINDED: NoticeKind.REMINDER}
    return Counter((one.data["channel"], kinds[one.kind], one.at) for one in pages)


def previewed(one: Told, other: Told, now: int, within: Callable[[datetime], bool] = lambda _: True) -> Any:
    """What the agent's preview says of the stories, which are in its store."""

    async def asked() -> Any:
        store = MemoryStore()
        for story in (one, other):
            decision = Decision(state=ServiceState(service=story.policy.service), events=tuple(story.events()))
            await store.commit(story.policy.service, 0, decision)
        meant = [Subject(story.policy, "") for story in (one, other) if MATCH.hold(dict(story.policy.labels))]
        return await preview(MATCH, meant, store, at(now), within)

    return asyncio.run(asked())


def a_silence(start: int, end: int) -> Silence:
    return Silence(id="s-1", matchers=MATCH, starts=at(start), ends=at(end), by="bob", created=at(start))


def a_window(start: int, end: int) -> Window:
    return Window(id="m-1", matchers=MATCH, recurrence=Once(at=at(start)), length=timedelta(seconds=end - start))


ELSEWHERE = replace(PLAIN, service="db", labels={"team": "storage"})


@settings(max_examples=150, deadline=None)
@given(policy=st.sampled_from(sorted(POLICIES)), happenings=HAPPENINGS)
def test_a_preview_names_every_page_that_a_silence_over_the_whole_story_holds_back_and_no_other(
    policy: str, happenings: list[tuple[str, int]]
) -> None:
    loud, end = a_register(), sum(gap for _, gap in happenings) + 1
    silent = a_register(a_silence(-10, end + 10))
    one, other = told(POLICIES[policy], happenings, loud, ()), told(ELSEWHERE, happenings, loud, ())
    found = previewed(one, other, end)
    assert found.services == ("shop",)
    assert in_words(found.pages) == one.sent
    assert told(POLICIES[policy], happenings, silent, ()).sent == Counter(), "a page got through the silence"
    assert told(ELSEWHERE, happenings, silent, ()).sent == other.sent, "it hid what was not meant"


@settings(max_examples=300, deadline=None)
@given(
    policy=st.sampled_from(sorted(POLICIES)),
    happenings=HAPPENINGS,
    span=st.tuples(st.integers(0, 2000), st.integers(1, 1500)),
    kind=st.sampled_from([a_silence, a_window]),
)
def test_a_preview_of_a_span_names_exactly_the_pages_of_it_that_are_held_back(
    policy: str, happenings: list[tuple[str, int]], span: tuple[int, int], kind: Callable[[int, int], Silence | Window]
) -> None:
    start, end = span[0], span[0] + span[1]
    last = max(sum(gap for _, gap in happenings), end) + 1
    inside = covered([Span(at(start), at(end))])
    one = told(POLICIES[policy], happenings, a_register(), (start, end))
    quiet = told(POLICIES[policy], happenings, a_register(kind(start, end)), (start, end))
    before = Counter({page: count for page, count in one.sent.items() if page[2] < at(start)})
    assert Counter({page: count for page, count in quiet.sent.items() if page[2] < at(start)}) == before
    loud_inside = Counter({page: count for page, count in one.sent.items() if inside(page[2])})
    quiet_inside = Counter({page: count for page, count in quiet.sent.items() if inside(page[2])})
    found = previewed(one, told(ELSEWHERE, happenings, a_register(), ()), last, inside)
    assert in_words(found.pages) == loud_inside - quiet_inside
    assert quiet_inside - loud_inside == Counter(), "it asked somebody whom nobody would have asked"


def page_event(seconds: float, channel: str, kind: EventKind = EventKind.PAGED, **data: str) -> Event:
    return Event(kind=kind, service="shop", at=at(seconds), text="", incident="i1", data={"channel": channel, **data})


@pytest.mark.parametrize(
    ("asked", "instead", "named"),
    [
        pytest.param(10, 20, ["oncall", "hook"], id="both within: neither would have been sent"),
        pytest.param(-10, 20, [], id="asked before it: the channel in its place is owed"),
        pytest.param(10, 200, ["oncall"], id="after it"),
    ],
)
def test_a_page_in_the_place_of_another_is_held_back_with_that_one(
    asked: float, instead: float, named: list[str]
) -> None:
    events = [page_event(instead, "hook", instead_of="oncall"), page_event(asked, "oncall")]
    found = hidden(events, covered([Span(at(0), at(100))]))
    assert [event.data["channel"] for event in found] == named


def test_a_step_of_an_escalation_is_no_page_of_its_own() -> None:
    events = [
        page_event(1, "sms/bob"),
        page_event(1, "", EventKind.ESCALATED),
        page_event(2, "sms/bob", EventKind.OPENED),
    ]
    assert [event.data["channel"] for event in hidden(events, lambda _: True)] == ["sms/bob"]


@pytest.mark.parametrize("count", [pytest.param(3, id="one by one"), pytest.param(30, id="all at once")])
async def test_however_many_services_are_meant_only_their_pages_are_named(count: int) -> None:
    store, names = MemoryStore(), [f"shop-{number}" for number in range(count)]
    for name in (*names, "db"):
        event = replace(page_event(1, "oncall"), service=name)
        await store.commit(name, 0, Decision(state=ServiceState(service=name), events=(event,)))
    meant = [Subject(replace(PLAIN, service=name), "") for name in names]
    found = await preview(MATCH, meant, store, at(10))
    assert sorted(page.service for page in found.pages) == sorted(names)
    assert found.complete


def test_the_story_fits_into_what_a_preview_looks_back_on() -> None:
    assert timedelta(seconds=30 * 200 + 2000 + 1500) < LOOKED_BACK
