"""What is down as a tree of text, each below what it depends on. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from agent.core.place import Place, upstream

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
    for parent in upstream(places, name) if name in places else ():
        if parent in down and (name not in upstream(places, parent) if parent in places else True):
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
