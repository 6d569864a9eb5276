"""Where services stand among each other, out of the live table, and what a message says of it."""

from collections.abc import Iterable, Mapping

from agent.core.likely_root import Root, likely_root
from agent.core.place import Place
from agent.core.tree import listed
from agent.runtime.probe import Watched


def place(watched: Watched) -> Place:
    """What may explain its failure together with others."""
    policy = watched.policy
    return Place(
        depends_on=policy.depends_on,
        group=policy.group,
        hosts=tuple(dict.fromkeys(probe.host for probe in watched.probes.values() if probe.host)),
        labels=policy.labels,
    )


def probably_root(table: Mapping[str, Watched], down: Iterable[str]) -> str:
    """The end of a sentence that says what is probably behind it, empty where nobody can say."""
    return in_words(likely_root({name: place(watched) for name, watched in table.items() if watched.probes}, down))


def in_words(root: Root | None) -> str:
    """The end of a sentence that names it."""
    return f"; the likely root is {root}" if root else ""


def news(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """The end of a sentence that says who went down and who is well again since then."""
    came, went = sorted(now.keys() - before.keys()), sorted(before.keys() - now.keys())
    parts = [f"; {len(came)} more: {listed(came)}"] if came else []
    return "".join(parts + ([f"; {len(went)} well again: {listed(went)}"] if went else []))
