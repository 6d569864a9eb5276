"""Many services at once: when that is one incident and no more many, and what they have in common. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from agent.core.few import no_text
from agent.core.policy import Escalation

FEW, SHARE = 10, 100  # without a number of its own: more than ten at once, or more than one in a hundred of many
FRESH = timedelta(seconds=15)  # a first miss that was neither confirmed nor taken back by then raises no doubt any more
PATIENCE = timedelta(seconds=30)  # the longest that mere doubt may hold anything
LULL = timedelta(seconds=30)  # how long few must be left before a storm is over: the others may be coming back, too


@dataclass(frozen=True, slots=True, kw_only=True)
class StormRule:
    """More than `services` that go down within `within` are a storm, which takes in others until nothing new has
    gone down for `calm`. Zero services: more than 10, or than 1 % where that is more. It is paged to `page` and
    `escalation`; where neither says anything, to all whom its members would have paged."""

    services: int = 0
    within: timedelta = timedelta(seconds=60)
    calm: timedelta = timedelta(minutes=5)
    page: tuple[str, ...] = ()
    escalation: Escalation | None = None
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # of the channels in `page`

    def limit(self, watched: int) -> int:
        """How many may go down together without being a storm, of so many that are watched."""
        return self.services or max(FEW, watched // SHARE)


class Phase(StrEnum):
    """How a storm goes."""

    CLEAR = "clear"
    DOUBT = "doubt"  # so many have missed a beat that nothing is done before it is known what that is
    RAGING = "raging"  # everything that goes down belongs to it: nothing is restarted, nobody is paged one by one
    SETTLED = "settled"  # nothing new: restarts go on, its members are still paged together


@dataclass(frozen=True, slots=True)
class Sick:
    """A service that missed beats: since when; `down` once that was decided on, and then that is the time;
    `explained` where a service that it depends on is sick, too."""

    since: datetime
    down: bool
    explained: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Where a storm stands. `since` is when its phase began, `began` the time from which on what goes down is part
    of it, `few_since` since when few were left, `tired` that a doubt was given up and must pass before there is
    another one."""

    phase: Phase = Phase.CLEAR
    since: datetime | None = None
    began: datetime | None = None
    few_since: datetime | None = None
    tired: bool = False

    @property
    def on(self) -> bool:
        return self.phase in (Phase.RAGING, Phase.SETTLED)

    def takes(self, since: datetime) -> bool:
        """Whether what went down at that time is part of it."""
        if not self.on or self.began is None or since < self.began:
            return False
        return self.phase is Phase.RAGING or self.since is None or since <= self.since


def step(storm: Storm, sick: Iterable[Sick], rule: StormRule, watched: int, at: datetime) -> Storm:
    """Where it stands now. The same object when nothing has changed. Never holds anything by doubt for longer than
    `PATIENCE`. It is over `LULL` after few of its members are left, or at once when none is; those that a sick service
    upstream explains don't count, since they are that one's business."""
    ill = list(sick)
    limit = rule.limit(watched)
    fresh = [one for one in ill if not one.explained and one.since > at - rule.within]
    down = sum(one.down for one in fresh)
    if storm.on:
        storm = _goes_on(storm, ill, rule, limit, at)
        if storm.on:
            return storm
    if down > limit:
        return Storm(phase=Phase.RAGING, since=at, began=min(one.since for one in fresh))
    doubtful = down + sum(not one.down and one.since > at - FRESH for one in fresh)
    if doubtful <= limit:
        return storm if storm == Storm() else Storm()
    if storm.tired:
        return storm
    if storm.phase is Phase.CLEAR:
        return Storm(phase=Phase.DOUBT, since=at)
    if storm.since is not None and at - storm.since > PATIENCE:
        return Storm(tired=True)
    return storm


def _goes_on(storm: Storm, ill: Sequence[Sick], rule: StormRule, limit: int, at: datetime) -> Storm:
    members = [one.since for one in ill if one.down and not one.explained and storm.takes(one.since)]
    if not members:
        return Storm()
    if len(members) > limit:
        few_since = None
    else:
        few_since = storm.few_since or at
        if at - few_since >= LULL:
            return Storm()
    storm = storm if few_since == storm.few_since else replace(storm, few_since=few_since)
    if storm.phase is Phase.RAGING:
        quiet = at - max(*members, storm.since or at) >= rule.calm
        return replace(storm, phase=Phase.SETTLED, since=at) if quiet else storm
    settled = storm.since or at
    new = sum(not one.explained and one.down and one.since > max(settled, at - rule.within) for one in ill)
    return replace(storm, phase=Phase.RAGING, since=at) if new > limit else storm


def resumed(at: datetime, rule: StormRule, began: datetime | None = None) -> Storm:
    """The storm that was recognised then, as an agent that was restarted goes on with it."""
    return Storm(phase=Phase.RAGING, since=at, began=began or at - rule.within)


# ---------------------------------------------------------------------------------------- what they have in common


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a service stands among the others. `hosts` are those that its checks ask."""

    depends_on: tuple[str, ...] = ()
    group: str = ""
    hosts: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=no_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """What is probably behind it: `name` of that `kind` ("service", "dependency", "group", "host" or a label's name)
    explains `covers` of `of` services that are down."""

    kind: str
    name: str
    covers: int
    of: int

    def __str__(self) -> str:
        share = f"{self.covers} of {self.of}"
        if self.kind == "service":
            return f"{self.name}, on which {share} depend"
        if self.kind == "dependency":
            return f"{self.name}, which passes its own checks, but on which {share} depend"
        return f"{self.kind} {self.name}, which {share} share"


def likely_root(places: Mapping[str, Place], down: Iterable[str]) -> Root | None:
    """The topmost of those that are down with the most below it, where that is a quarter of them at least;
    otherwise what half of them at least have in common and the others do not. None where they seem to have nothing
    in common."""
    sick = {name for name in down if name in places}
    if len(sick) < 2:
        return None
    above = {name: set(_upstream(places, name)) for name in sick}
    topmost = {name for name in sick if above[name].isdisjoint(sick)}
    below = Counter(parent for name in sick for parent in above[name] & topmost)
    if below:
        name, count = min(below.items(), key=lambda item: (-item[1], item[0]))
        if (count + 1) * 4 >= len(sick):
            return Root(kind="service", name=name, covers=count, of=len(sick))
    return _in_common(places, sick, above)


def _in_common(places: Mapping[str, Place], sick: set[str], above: Mapping[str, set[str]]) -> Root | None:
    """Of what half of the sick share, that which the fewest others have too; where that is the same, what more
    share."""
    ill, everywhere = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for name in sick:
        ill.update({*_traits(places[name]), *(("dependency", parent) for parent in above[name])})
    common = {trait: count for trait, count in ill.items() if count * 2 >= len(sick) and count >= 2}
    if not common:
        return None
    for name, place in places.items():
        up = _upstream(places, name) if any(kind == "dependency" for kind, _ in common) else ()
        everywhere.update(trait for trait in {*_traits(place), *(("dependency", p) for p in up)} if trait in common)
    usual = len(sick) / len(places)
    telling = {trait: count for trait, count in common.items() if count / everywhere[trait] >= min(1.0, 1.5 * usual)}
    if not telling:
        return None
    kind, name = min(telling, key=lambda trait: (-telling[trait] / everywhere[trait], -telling[trait], trait))
    return Root(kind=kind, name=name, covers=telling[kind, name], of=len(sick))


def _traits(place: Place) -> Iterator[tuple[str, str]]:
    if place.group:
        yield "group", place.group
    yield from (("host", host) for host in place.hosts)
    yield from place.labels.items()


def _upstream(places: Mapping[str, Place], name: str) -> Iterator[str]:
    """Everything that it depends on, near things first."""
    seen, todo = {name}, deque(places[name].depends_on)
    while todo:
        parent = todo.popleft()
        if parent not in seen:
            seen.add(parent)
            yield parent
            todo.extend(places[parent].depends_on if parent in places else ())


# ---------------------------------------------------------------------------------------- as a tree

SHOWN = 40  # lines of a tree
NAMED = 12  # services on one line
DEEPEST = 20  # levels

Line = tuple[str, int]
"""A line, and the number of services that it stands for."""


def tree(places: Mapping[str, Place], down: Mapping[str, str], lines: int = SHOWN) -> str:
    """What is down (with what each says) as a tree of text: each below the nearest sick service that it depends
    on; what is below none and above none by group, then by host, where several share it. Every service once; at
    most `lines` lines, the last of which says how many services are left out."""
    nearest = {name: _nearest(places, name, down) for name in sorted(down)}
    below: dict[str, list[str]] = {}
    for name, parent in nearest.items():
        below.setdefault(parent, []).append(name)
    tops = [name for name in below.get("", ()) if name in below]
    sizes = _sizes(nearest)
    tops.sort(key=lambda name: (-sizes[name], name))
    text = [line for top in tops for line in _branch(top, down, below, sizes)]
    text += _together(places, [name for name in below.get("", ()) if name not in below], down)
    if len(text) <= lines:
        return "\n".join(line for line, _ in text)
    kept, left = text[: lines - 1], sum(count for _, count in text[lines - 1 :])
    return "\n".join([*(line for line, _ in kept), f"… {left} more"])


def _nearest(places: Mapping[str, Place], name: str, down: Mapping[str, str]) -> str:
    """The sick service that it is shown below; in a ring the first by name is the top."""
    for parent in _upstream(places, name) if name in places else ():
        if parent in down and (name not in _upstream(places, parent) if parent in places else True):
            return parent
    return ""


def _sizes(nearest: Mapping[str, str]) -> Counter[str]:
    """How many are below each, itself included."""
    sizes = Counter[str]()
    for name in nearest:
        while name:
            sizes[name] += 1
            name = nearest[name]
    return sizes


def _branch(name: str, down: Mapping[str, str], below: Mapping[str, list[str]], sizes: Counter[str]) -> Iterator[Line]:
    """A top and all below it; so deep that it could not be read, only their number."""
    todo = [(name, "", "", 0)]
    while todo:
        name, first, rest, depth = todo.pop()
        children = below.get(name, [])
        if depth == DEEPEST and children:
            yield f"{first}{_said(name, down)}, and {sizes[name] - 1} below it", sizes[name]
            continue
        yield f"{first}{_said(name, down)}", 1
        children = sorted(children, key=lambda child: (-sizes[child], child))
        branches = [("├─ ", "│  ")] * (len(children) - 1) + [("└─ ", "   ")]
        todo += [
            (child, f"{rest}{mark}", f"{rest}{bar}", depth + 1)
            for child, (mark, bar) in zip(children, branches, strict=False)
        ][::-1]


def _together(places: Mapping[str, Place], names: list[str], down: Mapping[str, str]) -> list[Line]:
    groups: dict[str, list[str]] = {}
    for name in names:
        group = places[name].group if name in places else ""
        if group:
            groups.setdefault(f"group {group}", []).append(name)
    hosts: dict[str, list[str]] = {}
    grouped = {name for members in groups.values() if len(members) > 1 for name in members}
    for name in names:
        if name not in grouped and name in places and places[name].hosts:
            hosts.setdefault(f"host {places[name].hosts[0]}", []).append(name)
    lots = [(what, members) for what, members in (*groups.items(), *hosts.items()) if len(members) > 1]
    lots.sort(key=lambda lot: (-len(lot[1]), lot[0]))
    text = [(f"{what} ({len(members)}): {listed(members)}", len(members)) for what, members in lots]
    together = {name for _, members in lots for name in members}
    return text + [(_said(name, down), 1) for name in names if name not in together]


def _said(name: str, down: Mapping[str, str]) -> str:
    said = " ".join(down[name].split())
    said = said if len(said) <= 100 else f"{said[:99]}…"
    return f"{name}: {said}" if said else name


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """Names on one line, so many at most: "a, b, c and 4 more"."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
