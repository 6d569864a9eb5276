"""Judges a soak: what the agent did, against what was truly so. Every function names what was wrong, a line for each.

The allowances are those of physics and of promises: two misses and the runs that make them, time without an agent, a
machine that was late itself, a channel that takes nothing, a store that was taken away together with the process.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import inf

from bench.soak.evidence import Incident, Seen, union
from bench.soak.journal import Span, common, without
from bench.soak.receivers import MUTE
from bench.soak.services import GROUP_BUDGET, HOST_BUDGET, MISSES, STORM, VAGUE, WINDOW, Service

NOTICED = 6.0  # seconds until a new configuration is in force
SLOWEST = 2.0  # seconds between two checks, at most
PATIENCE = 8.0  # seconds that a database which does not answer may hold up a decision
ARRIVES = 5.0  # seconds from the decision to page to the message
TRIES = 70.0  # seconds for which a channel that works again may still be waited for
SETTLED = ("restart_ordered", "paged", "held", "quieted", "restart_shadowed", "approval_asked", "deployed")
STORE = ("store", "full")


def judge(seen: Seen) -> dict[str, list[str]]:
    """Every rule with what broke it."""
    rules = {
        "an outage that lasts is an incident": unseen_outages,
        "an incident has a cause": causeless,
        "an incident is dealt with at once": undecided,
        "what restarts don't cure is paged": unpaged,
        "a page arrives": lost_pages,
        "a key is told once in each channel": doubled,
        "an incident is closed once in each channel that was asked": closings,
        "no budget is exceeded": overspent,
        "an order is carried out once, and for an incident": unordered,
        "no decision on fewer misses than configured": hasty,
    }
    return {text: sorted(rule(seen)) for text, rule in rules.items()}


# ---------------------------------------------------------------------------------------------------- detection


def able(seen: Seen, name: str) -> list[Span]:
    """When the agent surely watched it, with nothing in its way: running, told of it, and not late."""
    first = min((span.start for span in seen.journal.agent), default=0.0)
    told = [
        Span(span.start if span.start <= first else span.start + NOTICED, span.end, target=span.target)
        for span in seen.journal.watched.get(name, ())
    ]
    late = union(seen.journal.spans("lag"), 1.0)
    return [part for span in common(told, seen.journal.agent) for part in without(span, late)]


def _due(seen: Seen, service: Service, mode: str, start: float) -> float:
    """Seconds within which an outage that is seen from `start` on has to be an incident."""
    due = service.detection(mode) + SLOWEST - service.every
    if service.kind in ("beat", "log") and seen.away(start - 10.0, start):
        due += 2 * WINDOW + 3.0  # what came while nobody could take it is excused once
    return due + (PATIENCE if seen.journal.during(STORE, start - 15.0, start + due) else 0.0)


def unseen_outages(seen: Seen) -> Iterator[str]:
    for name, service in seen.services.items():
        open_ones = [(one.opened, one.closed) for one in seen.of(name)]
        for span in common(_certain(seen, service.target), able(seen, name)):
            due = span.start + _due(seen, service, span.what, span.start)
            if due > min(span.end, seen.ended) or seen.forgot(span.start, due):
                continue
            if not any(opened <= due and closed >= span.start for opened, closed in open_ones):
                yield f"{name}: {span.what} from {_t(span.start)} to {_t(span.end)}: no incident by {_t(due)}"


def _certain(seen: Seen, target: str) -> list[Span]:
    return [span for span in seen.journal.outages.get(target, ()) if span.what not in VAGUE]


def causeless(seen: Seen) -> Iterator[str]:
    for one in seen.incidents.values():
        service = seen.services.get(one.service)
        if one.opened == inf:
            continue
        if service is None:
            if not _signalled(seen, one):
                yield f"{one.id}: nothing was wrong with {one.service}"
            continue
        outages = [span for target in seen.targets(one.service) for span in seen.journal.outages.get(target, ())]
        wait = SLOWEST - service.every + (PATIENCE if seen.journal.during(STORE, one.opened - 20, one.opened) else 0)
        explained = any(
            span.touches(
                one.opened - service.afterglow(span.what) - wait - _unread(seen, service, span), one.opened + 0.1
            )
            for span in outages
        )
        if not explained and not seen.journal.during("lag", one.opened - 8.0, one.opened):
            yield f"{one.id}: {one.facts[0].text!r}, but nothing was wrong with {one.service}"


def _unread(seen: Seen, service: Service, outage: Span) -> float:
    """Seconds for which nobody read on after the end of an outage: lines of a log wait for their reader."""
    if service.kind != "log" or any(span.start <= outage.end <= span.end for span in seen.journal.agent):
        return 0.0
    return min((span.start - outage.end for span in seen.journal.agent if span.start > outage.end), default=0.0)


def _signalled(seen: Seen, one: Incident) -> bool:
    """Whether there was a reason for an incident of what has no checks: a channel, a storm, a group."""
    kind, _, what = one.service.partition(":")
    if kind == "channel":
        return seen.journal.during(what.partition(":")[0], one.opened - 900, one.opened)
    touched = {
        target
        for target, spans in seen.journal.outages.items()
        if any(span.touches(one.opened - 30, one.opened) for span in spans)
    }
    grouped = {service.target for service in seen.services.values() if service.group}
    return len(touched) > STORM - 5 if kind == "storm" else bool(touched & grouped)


# ---------------------------------------------------------------------------------------------------- decisions


def undecided(seen: Seen) -> Iterator[str]:
    """From its opening on it is restarted, paged, held or silenced, as soon as the rules for it allow anything."""
    for one in seen.incidents.values():
        service = seen.services.get(one.service)
        if service is None or one.opened == inf:
            continue
        due = one.opened + (9.0 if service.restart else 3.0) + (service.verify * 3 if service.group else 0.0)
        disturbed = seen.away(one.opened - 1.0, due) or seen.journal.during((*STORE, "lag"), one.opened - 15.0, due)
        told = any(
            span.target == one.service and span.touches(one.opened, due) for span in seen.journal.spans("deployed")
        )
        if disturbed or told or min(one.closed, seen.ended) <= due:
            continue
        if not any(fact.at <= due for fact in one.of(*SETTLED)):
            yield f"{one.id}: nothing was done by {_t(due)}: {[fact.kind for fact in one.facts]}"


def unpaged(seen: Seen) -> Iterator[str]:
    """Whatever outlives every restart that its budget allows, with nobody having said that it may, is paged."""
    for name, service in seen.services.items():
        for span in common(_certain(seen, service.target), able(seen, name)):
            ladder = service.at_most * (2.0 + 5.0 + 4 * service.backoff + 2.0) + 5.0 if service.restart else 2.0
            ladder *= 2 if service.group else 1
            due = span.start + _due(seen, service, span.what, span.start) + ladder
            if due > min(span.end, seen.ended) or _excused(seen, service, span.start, due):
                continue
            ones = [*seen.of(name), *(_gathered(seen) if service.group else ())]
            if not any(at <= due for one in ones if one.closed >= span.start for at in one.asked.values()):
                yield f"{name}: {span.what} from {_t(span.start)} to {_t(span.end)}: not paged by {_t(due)}"


def _gathered(seen: Seen) -> list[Incident]:
    return [one for one in seen.incidents.values() if one.service.startswith("group:")]


def _excused(seen: Seen, service: Service, start: float, due: float) -> bool:
    said = (span for span in seen.journal.spans("silence", "deployed") if span.target == service.name)
    parents = (span for parent in service.depends_on for span in seen.journal.outages.get(parent, ()))
    grandparents = (span for span in seen.journal.outages.get("db", ()) if service.depends_on)
    storms = (Span(one.opened, one.closed) for one in seen.of("storm:services"))
    held = any(span.touches(start - 8.0, due) for spans in (said, parents, grandparents, storms) for span in spans)
    return held or seen.journal.during(STORE, start - 15.0, due) or seen.forgot(start, due)


# ---------------------------------------------------------------------------------------------------- messages


def lost_pages(seen: Seen) -> Iterator[str]:
    first: dict[tuple[str, str], float] = {}
    for message in seen.messages:
        if message.kind in ("opened", "resolved"):
            place = (message.incident, message.channel)
            first[place] = min(first.get(place, inf), message.at)
    for one in seen.incidents.values():
        for channel, asked_at in one.asked.items():
            if channel == "terminal":
                continue
            at, due = first.get((one.id, channel), inf), asked_at + ARRIVES
            if at == inf and (one.id, channel) not in seen.dead and not seen.forgot(asked_at, one.closed):
                yield f"{one.id}: asked {channel} at {_t(asked_at)}, and nothing has ever arrived there"
            elif at > due and not _hindered(seen, channel, asked_at, due):
                yield f"{one.id}: asked {channel} at {_t(asked_at)}, arrived at {_t(at)}"


def _hindered(seen: Seen, channel: str, start: float, due: float) -> bool:
    troubled = any(span.touches(start - TRIES, due) for span in seen.journal.spans(lane_of(channel)))
    return troubled or seen.away(start - 5.0, due) or seen.journal.during((*STORE, "lag"), start - 15.0, due)


def doubled(seen: Seen) -> Iterator[str]:
    told: dict[tuple[str, str], list[float]] = defaultdict(list)
    unsure: set[tuple[str, str]] = set()
    for message in seen.messages:
        place = (message.channel, message.key)
        told[place].append(message.at)
        if not message.sure:
            unsure.add(place)
    ends = [at for at, what, _ in seen.journal.moments if what in ("killed", "stopped")]
    for (channel, key), moments in told.items():
        for before, again in zip(sorted(moments), sorted(moments)[1:], strict=False):
            blind = any(span.touches(again - MUTE - 1.0, again) for span in seen.journal.spans(lane_of(channel)))
            cut = any(before - 4.0 <= at <= before + 4.0 for at in ends) or seen.journal.during(
                STORE, before - 15.0, again
            )
            allowed = blind or ((channel, key) in unsure or cut if channel == "hook" else False)
            if not allowed and not seen.forgot(before, again):
                yield f"{key} in {channel} at {_t(before)} and again at {_t(again)}"


def closings(seen: Seen) -> Iterator[str]:
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for message in seen.messages:
        if message.kind == "resolved":
            keys[message.incident, message.channel].add(message.key)
    for one in seen.incidents.values():
        for channel in one.asked:
            found = keys.get((one.id, channel), set())
            forgot = seen.forgot(one.opened, min(one.closed + 60.0, seen.ended))
            if len(found) > 1 and not forgot:
                yield f"{one.id}: closed {len(found)} times in {channel}: {sorted(found)}"
            if not found and channel != "terminal" and (one.id, channel) not in seen.dead and not forgot:
                yield f"{one.id}: {channel} was asked, and never told that it is over"


# ---------------------------------------------------------------------------------------------------- restarts


def overspent(seen: Seen) -> Iterator[str]:
    """Counted by the moments of the orders that were begun, but for those that a person gave."""
    ordered = _ordered(seen)
    by_service: dict[str, list[float]] = defaultdict(list)
    for key, at in ordered.items():
        by_service[key.partition("/restart/")[0].rpartition("-")[0]].append(at)
    for name, moments in by_service.items():
        service = seen.services.get(name)
        if service is not None:
            yield from _over(seen, name, moments, service.at_most, service.per)
    grouped = [at for name, moments in by_service.items() if _grouped(seen, name) for at in moments]
    yield from _over(seen, "the group", grouped, *GROUP_BUDGET)
    yield from _over(seen, "the host", list(ordered.values()), *HOST_BUDGET)


def _grouped(seen: Seen, name: str) -> bool:
    return name in seen.services and bool(seen.services[name].group)


def _ordered(seen: Seen) -> dict[str, float]:
    """When each order that was begun was given, by its key."""
    begun = {key for _, _, key in seen.begun} | {key for _, key, _, _ in seen.stamps}
    found: dict[str, float] = {}
    for one in seen.incidents.values():
        by_hand = [fact.at for fact in one.of("restart_asked")]
        for fact in one.of("restart_ordered"):
            key = f"{one.id}/restart/{fact.text.split()[1]}"
            if key in begun and not any(abs(at - fact.at) < 0.05 for at in by_hand):
                found[key] = fact.at
    return found


def _over(seen: Seen, whose: str, moments: Sequence[float], at_most: int, per: float) -> Iterator[str]:
    ordered = sorted(moments)
    for number, at in enumerate(ordered):
        count = bisect_left(ordered, at + per) - number
        if count > at_most and not seen.forgot(at, at + per):
            yield f"{whose}: {count} restarts within {per:g} s from {_t(at)}, {at_most} allowed"
            return


def unordered(seen: Seen) -> Iterator[str]:
    for key, count in Counter(order for _, order, _, _ in seen.stamps).items():
        moments = [at for _, order, _, at in seen.stamps if order == key]
        if count > 1 and not seen.forgot(min(moments), max(moments)):
            yield f"{key} was carried out {count} times"
    for _, order, service, at in seen.stamps:
        one = seen.incidents.get(order.partition("/restart/")[0])
        if one is None or one.opened > at:
            if not seen.forgot(at - 60.0, at + 60.0):
                yield f"{order}: restarted {service} at {_t(at)} without an incident"
        elif at > one.closed + 3.0:
            yield f"{order}: restarted {service} at {_t(at)}, the incident was closed at {_t(one.closed)}"


def hasty(seen: Seen) -> Iterator[str]:
    """Each incident but those of UNKNOWN and of channels follows that many missed beats of one check."""
    missed: dict[tuple[str, str], list[float]] = defaultdict(list)
    for fact in seen.facts:
        if fact.kind == "missed":
            missed[fact.service, fact.check].append(fact.at)
    for one in seen.incidents.values():
        if one.service not in seen.services or one.opened == inf or _unknown(one):
            continue
        check = one.of("opened")[0].check
        before = [at for at in missed[one.service, check] if at <= one.opened + 0.5]
        if len(before) < MISSES and not seen.forgot(one.opened - 60.0, one.opened + 60.0):
            yield f"{one.id}: opened on {len(before)} missed beats of {check}"


def _unknown(one: Incident) -> bool:
    return any("cannot tell" in fact.text for fact in one.facts)


def lane_of(channel: str) -> str:
    """The channel of an address on it."""
    return channel.partition("/")[0]


def _t(at: float) -> str:
    """Seconds of the day, as the log has them."""
    if at == inf:
        return "the end"
    seconds = at % 86_400
    return f"{int(seconds // 3600):02d}:{int(seconds % 3600 // 60):02d}:{seconds % 60:06.3f}"
