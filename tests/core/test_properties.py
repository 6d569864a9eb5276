"""Promises over any history: random inputs in any order, and the invariants that must hold whatever comes."""

from collections import Counter
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import UNDONE, NoticeKind, Outcome
from agent.core.draft import shifted
from agent.core.events import ClockStepped, EventKind, PolicyChanged, ServiceRemoved
from agent.core.health import steady
from agent.core.policy import CheckPolicy, RestartPolicy
from agent.core.result import Verdict
from agent.core.schedule import MAX_TRIES, delay_before_try, phase
from agent.core.state import CheckState, Health
from tests.core.story import PASS, Story, at, policy

VERDICTS = st.sampled_from(list(Verdict))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("sees"), st.sampled_from(["http", "tcp"]), VERDICTS),
        st.tuples(st.just("restart"), st.sampled_from(list(Outcome)), st.none()),
        st.tuples(st.just("wait"), st.integers(1, 4000), st.none()),
        st.tuples(st.just("delivered"), st.integers(0, 9), st.none()),
        st.tuples(st.just("refused"), st.integers(0, 9), st.none()),
        st.tuples(st.just("parent"), st.sampled_from(list(Health)), st.none()),
        st.tuples(st.just("blind"), st.booleans(), st.none()),
        st.tuples(st.just("reload"), st.none(), st.none()),
    ),
    max_size=80,
)
TWO_CHECKS = {"http": CheckPolicy(misses=2, recover=2), "tcp": CheckPolicy(misses=3, recover=1)}
BUDGET = RestartPolicy(action="process", at_most=2, per=timedelta(minutes=30), backoff=timedelta(seconds=5))


def lived(steps: list[tuple[str, object, object]]) -> Story:
    """A story made of these steps, one second apart, with due ticks delivered as the engine would."""
    story = Story(
        policy(
            checks=TWO_CHECKS,
            restart=BUDGET,
            depends_on=("db",),
            page=("oncall", "ops"),
            fallback={"oncall": ("hook",), "hook": ("mail",)},
        )
    )
    now = 0.0
    for step, what, more in steps:
        now += float(what) if step == "wait" else 1.0  # type: ignore[arg-type]
        if story.state.wake_at is not None and story.state.wake_at <= at(now):
            story.time_is(now)
        if step == "sees":
            story.sees(more, now, check=str(what))  # type: ignore[arg-type]
        elif step == "restart" and story.restarts:
            story.restart_ends(what, now)  # type: ignore[arg-type]
        elif step in ("delivered", "refused"):
            open_ones = story.state.incident.asked if story.state.incident else ()
            if open_ones:
                channel = open_ones[int(what) % len(open_ones)].channel  # type: ignore[call-overload]
                getattr(story, step)(channel, now)
        elif step == "parent":
            story.parent_is(what, now)  # type: ignore[arg-type]
            story.time_is(now)
        elif step == "blind":
            story.blind = "no network" if what else ""
        elif step == "reload":
            story.tell(PolicyChanged(at=at(now)))
    return story


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_window_ever_holds_more_restarts_than_the_budget(steps: list[tuple[str, object, object]]) -> None:
    story = lived(steps)
    expired = {
        event.data["key"]
        for decision in story.decisions
        for event in decision.events
        if event.kind is EventKind.RESTART_FINISHED and event.data["outcome"] in {str(outcome) for outcome in UNDONE}
    }
    times = [order.at for order in story.restarts if order.key not in expired]
    for moment in times:
        assert sum(moment <= other < moment + BUDGET.per for other in times) <= BUDGET.at_most


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_every_incident_that_asked_a_channel_closes_there_exactly_once(
    steps: list[tuple[str, object, object]],
) -> None:
    story = lived(steps)
    story.tell(ServiceRemoved(at=at(10**7)))
    asked = Counter((notice.incident, notice.channel) for notice in story.notices(NoticeKind.OPENED))
    closed = Counter((notice.incident, notice.channel) for notice in story.notices(NoticeKind.RESOLVED))
    assert asked == closed
    assert set(asked.values()) <= {1}


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_key_is_ever_used_for_two_commands(steps: list[tuple[str, object, object]]) -> None:
    keys = Counter(command.key for command in lived(steps).commands)
    assert set(keys.values()) <= {1}


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_while_blind_or_upstream_sick_nothing_is_restarted(steps: list[tuple[str, object, object]]) -> None:
    story = lived(steps[:0])
    now = 0.0
    for step in steps:
        now += 5.0
        before = len(story.restarts)
        sick = any(parent.health in (Health.DOWN, Health.SUSPECT) for parent in story.parents.values())
        if step[0] == "sees":
            story.sees(step[2], now, check=str(step[1]))  # type: ignore[arg-type]
        elif step[0] == "wait":
            story.time_is(now)
        elif step[0] == "parent":
            story.parent_is(step[1], now)  # type: ignore[arg-type]
            continue
        elif step[0] == "blind":
            story.blind = "no network" if step[1] else ""
            continue
        assert len(story.restarts) == before or not (sick or story.blind)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_a_settled_check_that_passes_again_changes_nothing(steps: list[tuple[str, object, object]]) -> None:
    """What the runtime relies on when it leaves the core out of a passing check's path."""
    story = lived(steps)
    if any(check.verdict is Verdict.UNKNOWN for check in story.state.checks.values()):
        return  # since when the agent cannot tell is noted by any run, once it is no longer blind
    for name in TWO_CHECKS:
        if steady(story.state.checks.get(name, CheckState())) and story.state.incident is None:
            before = story.state
            decision = story.sees(PASS, 10**7, check=name)
            assert decision.state is before
            assert not (decision.commands)
            assert not (decision.events)
            assert not (decision.confirm)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(-(10**6), 10**6))
def test_a_clock_step_moves_the_state_and_decides_nothing(
    steps: list[tuple[str, object, object]], seconds: int
) -> None:
    story = lived(steps)
    before, by = story.state, timedelta(seconds=seconds)
    decision = story.tell(ClockStepped(at=at(10**7), by=by))
    assert not (decision.commands)
    assert not (decision.events)
    assert story.state == shifted(before, by)


@given(st.text(min_size=1, max_size=60), st.integers(1, 864_000))
def test_a_phase_is_stable_and_within_its_interval(name: str, tenths: int) -> None:
    every = timedelta(milliseconds=100) * tenths
    first = phase(name, every)
    assert timedelta(0) <= first < every
    assert first == phase(name, every)


def test_phases_of_many_checks_spread_evenly() -> None:
    slots = Counter(phase(f"service-{number}/http", timedelta(seconds=10)) for number in range(10_000))
    assert len(slots) == 100
    assert max(slots.values()) < 150


def test_deliveries_back_off_by_doubling_from_one_second() -> None:
    waits = [delay_before_try(tries).total_seconds() for tries in range(MAX_TRIES)]
    assert waits == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]


@given(st.integers(0, 50), st.floats(0, 86_400))
def test_a_delivery_never_comes_sooner_than_it_was_asked_to(tries: int, retry_after: float) -> None:
    assert delay_before_try(tries, retry_after) >= timedelta(seconds=retry_after)
