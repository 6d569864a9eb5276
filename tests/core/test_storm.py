"""When many services that go down are one storm, how it ends, and what they have in common."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.likely_root import Root, likely_root
from agent.core.place import Place
from agent.core.storm import LULL, PATIENCE, Phase, Sick, Storm, StormRule, resumed, step
from agent.core.tree import listed, tree
from tests.core.story import at

RULE = StormRule(services=3, within=timedelta(seconds=60), calm=timedelta(minutes=5))


def down(*seconds: float, explained: bool = False) -> list[Sick]:
    return [Sick(at(moment), down=True, explained=explained) for moment in seconds]


def missed(*seconds: float, explained: bool = False) -> list[Sick]:
    return [Sick(at(moment), down=False, explained=explained) for moment in seconds]


def now(sick: list[Sick], seconds: float, storm: Storm | None = None) -> Storm:
    return step(storm or Storm(), sick, RULE, 100, at(seconds))


@pytest.mark.parametrize(
    ("sick", "phase"),
    [
        pytest.param(down(0, 1, 2), Phase.CLEAR, id="as many as are allowed"),
        pytest.param(down(0, 1, 2, 3), Phase.RAGING, id="one more than is allowed"),
        pytest.param(down(-50, -40, 2, 3), Phase.RAGING, id="spread over the whole minute"),
        pytest.param(down(-70, 1, 2, 3), Phase.CLEAR, id="one of them has been down for longer"),
        pytest.param(down(0, 1, 2) + down(3, 4, 5, explained=True), Phase.CLEAR, id="the rest depends on one of them"),
        pytest.param(down(0, 1) + missed(2, 3), Phase.DOUBT, id="with those that missed a beat it may be one"),
        pytest.param(missed(0, 1, 2, 3), Phase.DOUBT, id="nothing is decided yet"),
        pytest.param(missed(-20, 1, 2, 3), Phase.CLEAR, id="an old first miss raises no doubt"),
        pytest.param(missed(0, 1, 2) + missed(3, explained=True), Phase.CLEAR, id="a miss that is explained"),
        pytest.param([], Phase.CLEAR, id="all is well"),
    ],
)
def test_more_than_so_many_within_so_long_are_a_storm(sick: list[Sick], phase: Phase) -> None:
    assert now(sick, 5).phase is phase


@pytest.mark.parametrize(
    ("services", "watched", "limit"),
    [
        pytest.param(0, 5, 10, id="five services never make a storm"),
        pytest.param(0, 1000, 10, id="ten are many for a person, however many there are"),
        pytest.param(0, 5000, 50, id="of thousands, one in a hundred"),
        pytest.param(25, 5000, 25, id="a number in the configuration is that number"),
    ],
)
def test_how_many_may_go_down_together(services: int, watched: int, limit: int) -> None:
    assert StormRule(services=services).limit(watched) == limit


def test_doubt_passes_at_once_when_the_misses_are_taken_back() -> None:
    doubt = now(missed(0, 1, 2, 3), 4)
    assert now(missed(0, 1), 5, doubt) == Storm()


def test_doubt_that_goes_on_is_given_up_until_it_has_passed() -> None:
    doubt = now(missed(0, 1, 2, 3), 4)
    later = PATIENCE.total_seconds() + 5
    fresh = missed(*(later - number for number in range(4)))
    tired = now(fresh, later, doubt)
    assert tired.phase is Phase.CLEAR
    assert now(fresh, later + 1, tired).phase is Phase.CLEAR
    over = now([], later + 2, tired)
    assert now(missed(*[later + 3] * 4), later + 4, over).phase is Phase.DOUBT


def test_a_storm_goes_on_while_more_than_few_are_down_and_something_new_goes_down() -> None:
    storm = now(down(0, 1, 2, 3), 5)
    for minute in range(1, 60):
        storm = now(down(0, 1, 2, 3, 60 * minute), 60 * minute, storm)
        assert storm.phase is Phase.RAGING


def test_it_is_over_when_few_have_been_left_for_a_while() -> None:
    storm = now(down(0, 1, 2, 3), 5)
    few = now(down(0, 1, 2), 10, storm)
    assert few.phase is Phase.RAGING
    assert now(down(0, 1, 2), 10 + LULL.total_seconds() - 1, few).phase is Phase.RAGING
    assert now(down(0, 1, 2), 10 + LULL.total_seconds(), few) == Storm()


def test_that_more_are_down_again_begins_the_wait_anew() -> None:
    storm = now(down(0, 1, 2), 10, now(down(0, 1, 2, 3), 5))
    storm = now(down(0, 1, 2, 20), 20, storm)
    storm = now(down(0, 1, 2), 30, storm)
    assert now(down(0, 1, 2), 45, storm).phase is Phase.RAGING


def test_it_is_over_at_once_when_none_is_left_or_a_sick_parent_explains_the_rest() -> None:
    storm = now(down(0, 1, 2, 3), 5)
    assert now([], 6, storm) == Storm()
    assert now(down(0, 1, 2, 3, explained=True), 6, storm) == Storm()


def test_what_was_down_before_it_is_no_part_of_it() -> None:
    storm = now(down(0, 1, 2, 3), 5)
    assert now(down(-3600, -3500, -3400, -3300), 6, storm) == Storm()
    assert not storm.takes(at(-3600))
    assert storm.takes(at(4))


def test_it_settles_when_nothing_new_goes_down_and_takes_in_nothing_more() -> None:
    storm = now(down(0, 1, 2, 3), 305, now(down(0, 1, 2, 3), 5))
    assert storm.phase is Phase.SETTLED
    assert storm.takes(at(3))
    assert not storm.takes(at(306))
    assert now(down(0, 1, 2, 3, 310, 311, 312), 315, storm).phase is Phase.SETTLED
    again = now(down(0, 1, 2, 3, 310, 311, 312, 313), 315, storm)
    assert again.phase is Phase.RAGING
    assert again.takes(at(3))


def test_an_agent_that_was_restarted_goes_on_with_it() -> None:
    storm = resumed(at(5), RULE)
    assert now(down(0, 1, 2, 3), 100, storm).phase is Phase.RAGING
    assert now(down(0, 1, 2, 3), 3600, storm).phase is Phase.SETTLED
    assert now([], 3600, storm) == Storm()


def test_a_storm_that_ends_while_as_many_miss_beats_is_a_doubt_at_once() -> None:
    storm = now(down(0, 1, 2, 3), 5)
    assert storm.phase is Phase.RAGING
    assert now([Sick(at(6), down=False) for _ in range(4)], 7, storm).phase is Phase.DOUBT


moments = st.floats(min_value=0, max_value=900, allow_nan=False)
sick_ones = st.builds(lambda moment, *flags: Sick(at(moment), *flags), moments, st.booleans(), st.booleans())


@given(st.lists(st.tuples(moments, st.lists(sick_ones, max_size=12)), max_size=25))
def test_whatever_happens_few_that_are_down_are_never_held_for_long(story: list[tuple[float, list[Sick]]]) -> None:
    """Held means RAGING or DOUBT: neither outlives its reason by more than its patience."""
    storm = Storm()
    few_since = doubt_since = None
    for moment, sick in sorted(story, key=lambda entry: entry[0]):
        storm = step(storm, sick, RULE, 100, at(moment))
        members = [one for one in sick if one.down and not one.explained]
        few_since = None if len(members) > 3 else few_since if few_since is not None else moment
        doubt_since = None if storm.phase is not Phase.DOUBT else moment if doubt_since is None else doubt_since
        if few_since is not None and moment - few_since >= LULL.total_seconds():
            assert storm.phase is not Phase.RAGING or storm.few_since is None or at(moment) - storm.few_since < LULL
        assert doubt_since is None or moment - doubt_since <= PATIENCE.total_seconds()
        if not members:
            assert not storm.on
        again = step(storm, sick, RULE, 100, at(moment))
        assert again.phase is storm.phase or again.phase is Phase.SETTLED  # the same look twice changes nothing


# ------------------------------------------------------------------------------------------ the root


def place(*depends_on: str, group: str = "", host: str = "", **labels: str) -> Place:
    return Place(depends_on=depends_on, group=group, hosts=(host,) if host else (), labels=labels)


CHAIN = {"db": place(), "api": place("db"), "web": place("api"), "job": place("db"), "mail": place()}
REPLICAS = {f"web-{n}": place(group="web") for n in range(4)} | {f"job-{n}": place(group="job") for n in range(4)}
HOSTS = {f"a{n}": place(host="10.0.0.1") for n in range(3)} | {f"b{n}": place(host="10.0.0.2") for n in range(3)}
ZONES = {f"s{n}": place(env="prod", zone="a" if n < 4 else "b") for n in range(8)}
SILENT = {"bus": place()} | {f"c{n}": place("bus") for n in range(3)} | {f"d{n}": place() for n in range(5)}


@pytest.mark.parametrize(
    ("places", "sick", "root"),
    [
        pytest.param(CHAIN, "db api web job", Root(kind="service", name="db", covers=3, of=4), id="the topmost parent"),
        pytest.param(CHAIN, "api web mail", Root(kind="service", name="api", covers=1, of=3), id="db is well"),
        pytest.param(CHAIN, "web db", Root(kind="service", name="db", covers=1, of=2), id="through one that is well"),
        pytest.param(
            REPLICAS, "web-0 web-1 web-2 job-0", Root(kind="group", name="web", covers=3, of=4), id="a common group"
        ),
        pytest.param(HOSTS, "a0 a1 a2 b0", Root(kind="host", name="10.0.0.1", covers=3, of=4), id="a common host"),
        pytest.param(
            ZONES, "s0 s1 s2 s3", Root(kind="zone", name="a", covers=4, of=4), id="the label that others don't have"
        ),
        pytest.param(
            SILENT, "c0 c1 c2", Root(kind="dependency", name="bus", covers=3, of=3), id="what passes its own checks"
        ),
        pytest.param(ZONES, "s0 s4", None, id="what they share, everything shares"),
        pytest.param(REPLICAS, "web-0 job-0", None, id="nothing in common"),
        pytest.param(CHAIN, "db", None, id="one is no storm"),
        pytest.param(CHAIN, "gone lost", None, id="unknown names"),
        pytest.param({}, "", None, id="nothing"),
    ],
)
def test_the_likely_root(places: dict[str, Place], sick: str, root: Root | None) -> None:
    assert likely_root(places, sick.split()) == root


def test_a_parent_with_few_below_it_does_not_explain_a_large_storm() -> None:
    places = {f"web-{n}": place(group="web") for n in range(20)} | {"db": place(), "api": place("db"), "x": place()}
    sick = [name for name in places if name != "x"]
    assert likely_root(places, sick) == Root(kind="group", name="web", covers=20, of=22)


@pytest.mark.parametrize(
    ("root", "text"),
    [
        (Root(kind="service", name="db", covers=3, of=4), "db, on which 3 of 4 depend"),
        (
            Root(kind="dependency", name="bus", covers=3, of=4),
            "bus, which passes its own checks, but on which 3 of 4 depend",
        ),
        (Root(kind="zone", name="a", covers=3, of=4), "zone a, which 3 of 4 share"),
    ],
    ids=lambda value: value.kind if isinstance(value, Root) else "",
)
def test_a_root_in_words(root: Root, text: str) -> None:
    assert str(root) == text


# ------------------------------------------------------------------------------------------ the tree


def test_the_tree_shows_parents_with_what_is_below_them_then_groups_then_hosts_then_the_rest() -> None:
    places = {
        **CHAIN,
        "web-0": place(group="web"),
        "web-1": place(group="web"),
        "h1": place(host="10.0.0.1"),
        "h2": place(host="10.0.0.1"),
    }
    said = {**dict.fromkeys(places, "timeout"), "db": "connection refused\non port 5432", "mail": ""}
    assert tree(places, said).splitlines() == [
        "db: connection refused on port 5432",
        "├─ api: timeout",
        "│  └─ web: timeout",
        "└─ job: timeout",
        "group web (2): web-0, web-1",
        "host 10.0.0.1 (2): h1, h2",
        "mail",
    ]


def test_a_tree_says_how_many_it_leaves_out() -> None:
    places = {f"s{n:03}": place() for n in range(200)}
    lines = tree(places, dict.fromkeys(places, "refused"), lines=10).splitlines()
    assert len(lines) == 10
    assert lines[-1] == "… 191 more"


def test_a_tree_of_any_depth_is_cut_off_where_nobody_reads_on() -> None:
    places = {f"s{n:04}": place(f"s{n - 1:04}") if n else place() for n in range(3000)}
    lines = tree(places, dict.fromkeys(places, "")).splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("└─ s0020, and 2979 below it")
    assert likely_root(places, places) == Root(kind="service", name="s0000", covers=2999, of=3000)


names = st.sampled_from([f"s{n}" for n in range(12)])
graphs = st.dictionaries(
    names,
    st.builds(
        lambda up, group, host: place(*up, group=group, host=host),
        st.lists(names, max_size=3, unique=True),
        st.sampled_from(["", "g1", "g2"]),
        st.sampled_from(["", "h1", "h2"]),
    ),
)


@given(graphs, st.sets(names))
def test_every_service_is_in_the_tree_once_whatever_depends_on_what(places: dict[str, Place], sick: set[str]) -> None:
    text = tree(places, dict.fromkeys(sick, ""), lines=1000)
    words = text.replace(",", " ").replace("├─", " ").replace("└─", " ").replace("│", " ").split()
    shown = [word for word in words if word.startswith("s")]
    assert sorted(shown) == sorted(sick)


@given(graphs, st.sets(names))
def test_the_root_is_real_and_counts_are_right(places: dict[str, Place], sick: set[str]) -> None:
    root = likely_root(places, sick)
    if root is None:
        return
    assert 1 <= root.covers <= root.of <= len(sick)
    if root.kind == "service":
        assert root.name in sick


@pytest.mark.parametrize(
    ("count", "text"), [(0, ""), (2, "a0, a1"), (3, "a0, a1, a2"), (5, "a0, a1 and 3 more")], ids=str
)
def test_a_list_of_names_ends_with_how_many_are_left_out(count: int, text: str) -> None:
    assert listed([f"a{number}" for number in range(count)], most=3) == text
