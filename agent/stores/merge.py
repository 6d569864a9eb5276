"""What to believe when an agent began without its database, worked from memory, and then the database came back."""

from dataclasses import replace

from agent.core.state import Incident, ServiceState
from agent.ports import Beat, BeatState


def merge_states(disk: ServiceState, memory: ServiceState) -> ServiceState:
    """One state out of what the database held and what this agent has made since it began.

    - Restarts are added up: a budget is never forgotten.
    - Where the database has an open incident it stands, as if it had been read at the start: its closing messages are
      owed, and the next runs of the checks will close it in the ordinary way. An incident that memory opened for the
      same service in the meantime is folded into it, so that whoever was asked hears of the end too.
    - Otherwise memory is newer.
    """
    restarts = tuple(sorted(set(disk.restarts) | set(memory.restarts)))
    if disk.incident is None:
        return replace(memory, restarts=restarts)
    incident = disk.incident if memory.incident is None else _fold(disk.incident, memory.incident)
    if memory.incident is None:
        return replace(disk, restarts=restarts)
    return replace(memory, incident=incident, restarts=restarts)


def _fold(old: Incident, new: Incident) -> Incident:
    """The older incident goes on where the newer one stands, with the debts and attempts of both."""
    asked = {debt.channel: debt for debt in (*new.asked, *old.asked)}
    tried = {attempt.key: attempt for attempt in (*old.tried, *new.tried)}
    return replace(
        new,
        id=old.id,
        opened_at=old.opened_at,
        first_miss_at=old.first_miss_at,
        asked=tuple(sorted(asked.values(), key=lambda debt: debt.at)),
        tried=tuple(sorted(tried.values(), key=lambda attempt: attempt.at)),
        notices=old.notices + new.notices,
    )


def merge_beats(disk: BeatState, memory: BeatState) -> BeatState:
    """Beats of both lives: the newest of each kind, expected since the earliest, counted together."""
    newer_took = memory.took if memory.took is not None else disk.took
    return BeatState(
        first_at=min(disk.first_at, memory.first_at),
        success=_newest(disk.success, memory.success),
        fail=_newest(disk.fail, memory.fail),
        start=_newest(disk.start, memory.start),
        log=_newest(disk.log, memory.log),
        last=_newest(disk.last, memory.last),
        took=newer_took,
        total=disk.total + memory.total,
    )


def _newest(one: Beat | None, other: Beat | None) -> Beat | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda beat: beat.at)
