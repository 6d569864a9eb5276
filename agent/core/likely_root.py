"""What is probably behind it when many services are down: what they have in common. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agent.core.place import Place, upstream


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
    above = {name: set(upstream(places, name)) for name in sick}
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
        up = upstream(places, name) if any(kind == "dependency" for kind, _ in common) else ()
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
