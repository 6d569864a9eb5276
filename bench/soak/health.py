"""Judges the agent's own health over a soak: its log, what it costs, and what it says of itself."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from statistics import median

from bench.soak.agent import Sample
from bench.soak.evidence import Line, Seen
from bench.soak.oracle import STORE, _t

CHANNELS = ("oncall", "team", "hook")
QUIET = 20.0  # seconds without any trouble before the agent has to call itself ready
LATER = 600.0  # seconds after a trouble with a channel in which its messages may be given up
YOUNG = 60.0  # seconds after its start in which an agent still grows
GROWTH_RSS = 20 * 1024  # KiB that one life may grow by: the last thousand messages and facts stay in memory
GROWTH_COUNT = 25  # descriptors and threads

# Errors that are said where there is one, by the troubles that explain them, and how long after.
ERRORS: dict[str, tuple[tuple[str, ...], float]] = {
    **dict.fromkeys(("store_trouble", "store_unavailable", "restart_not_started"), (STORE, 30.0)),
    **dict.fromkeys(("journal_unreadable", "journal_not_cleared", "log_lines_refused"), (STORE, 30.0)),
    **dict.fromkeys(("notice_dead", "channel_broken", "channel_unverified"), (CHANNELS, LATER)),
    "config_refused": (("config",), 10.0),
    "last_good_in_force": (("config",), 10.0),
}
ORDINARY = ("codeblue watches ", "  status page ", "  metrics ", "  readiness ", "codeblue: ")


def judge_health(seen: Seen) -> dict[str, list[str]]:
    return {
        "the log has no error that nothing explains": sorted(unexplained(seen)),
        "memory, descriptors and threads level off": sorted(growing(seen)),
        "a check costs the same at the end": sorted(dearer(seen)),
        "/readyz tells the truth": sorted(untrue(seen)),
        "in the end everything is well": list(seen.left),
    }


def unexplained(seen: Seen) -> Iterator[str]:
    for line in seen.lines:
        if line.level == "warning" or (not line.event and _plain(seen, line)):
            continue
        troubles, after = ERRORS.get(line.event, ((), 0.0))
        if line.level == "exception" or not troubles or not seen.journal.during(troubles, line.at - after, line.at + 1):
            yield f"{_t(line.at)} {line.text[:400]}"


def _plain(seen: Seen, line: Line) -> bool:
    """What is printed for people: the greeting, and why a configuration was refused."""
    if not line.text.strip() or line.text.startswith(ORDINARY):
        return True
    return "config.yaml" in line.text and seen.journal.during("config", line.at - 60.0, line.at + 60.0)


def growing(seen: Seen) -> Iterator[str]:
    for pid, found in groupby(seen.watch.samples, key=lambda sample: sample.pid):
        life = list(found)
        grown = [sample for sample in life if sample.at >= life[0].at + YOUNG]
        if len(grown) < 12:
            continue
        third = len(grown) // 3
        early, late = grown[:third], grown[-third:]
        yield from _grew(pid, early, late)


def _grew(pid: int, early: Sequence[Sample], late: Sequence[Sample]) -> Iterator[str]:
    rss = [median(sample.rss for sample in samples) for samples in (early, late)]
    if rss[1] - rss[0] > GROWTH_RSS:
        yield f"{pid}: memory went from {rss[0] / 1024:.0f} to {rss[1] / 1024:.0f} MiB"
    for what in ("descriptors", "threads"):
        count = [median(getattr(sample, what) for sample in samples) for samples in (early, late)]
        if count[1] - count[0] > GROWTH_COUNT:
            yield f"{pid}: {what} went from {count[0]:.0f} to {count[1]:.0f}"


def costs(seen: Seen) -> list[float]:
    """CPU milliseconds of each check that ran, between two looks at one life."""
    found = []
    for (_, pid, runs, ticks), (_, same, more, then) in zip(seen.watch.runs, seen.watch.runs[1:], strict=False):
        if pid == same and more > runs + 100:
            found.append((then - ticks) * 10.0 / (more - runs))
    return found


def dearer(seen: Seen) -> Iterator[str]:
    found = costs(seen)
    third = len(found) // 3
    if third >= 10 and median(found[-third:]) > 1.6 * median(found[:third]):
        yield f"a check cost {median(found[:third]):.2f} ms of CPU at first, {median(found[-third:]):.2f} at the end"


def untrue(seen: Seen) -> Iterator[str]:
    for said in seen.watch.ready:
        if said.status == 0 or seen.away(said.at - QUIET, said.at + 1.0):
            continue
        since = said.at - QUIET
        wrong = {
            "store: ": STORE,
            "a page has waited": CHANNELS,
            "checks are late": ("lag", "suspended"),
            "configuration: ": ("config",),
        }
        for reason in (*said.reasons, *said.degraded):
            for begins, troubles in wrong.items():
                back = 240.0 if troubles == CHANNELS else since - said.at + 2 * QUIET
                if reason.startswith(begins) and not seen.journal.during(troubles, said.at - max(QUIET, back), said.at):
                    yield f"{_t(said.at)}: {reason!r}, but there was no such trouble"
    for span in seen.journal.spans("store", "full"):
        during = [said for said in seen.watch.ready if span.start + 9.0 <= said.at <= span.end]
        if len(during) >= 5 and all(said.status == 200 for said in during) and span.target != "deleted":
            yield f"{_t(span.start)}: the store was away until {_t(span.end)}, and it always called itself ready"
