"""What a heartbeat check expects: its options, and the beat that is due next."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from agent.durations import Duration
from agent.ports import Options
from checks.heartbeat_slots import last_slot, next_slot, require_cron, zone_named

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def _positive(length: timedelta) -> timedelta:
    if length <= timedelta(0):
        raise ValueError("expected a duration longer than zero")
    return length


Positive = Annotated[Duration, AfterValidator(_positive)]


def _known_zone(name: str) -> str:
    zone_named(name)
    return name


class HeartbeatOptions(Options):
    """When beats are expected: either `every` so often, or by `cron`."""

    every: Positive | None = Field(
        None, description="The longest time between two beats of a healthy service. Either this or `cron`."
    )
    cron: Annotated[str, AfterValidator(require_cron)] | None = Field(
        None,
        description="Five cron fields: a beat is expected at each slot. A slot that a clock change skips moves to the "
        "jump, one that comes twice counts once (only for fixed times of day; wildcards follow the wall clock).",
    )
    zone: Annotated[str, AfterValidator(_known_zone)] | None = Field(
        None, description="The IANA time zone of `cron`, UTC by default; times are shown in it beside UTC."
    )
    grace: Duration | None = Field(
        None,
        description="How late a beat may be. By default half of the time between two beats, at least 1s, at most 1h.",
    )
    max_run: Positive | None = Field(
        None,
        description="How long a run may take between its start and its end. By default until the deadline of the beat "
        "that is due after it.",
    )
    early: Duration = Field(
        timedelta(minutes=1),
        description="With `cron`: how long before its slot a beat already stands for it, at most a quarter of the time "
        "between two slots.",
    )

    @model_validator(mode="after")
    def _one_expectation(self) -> Self:
        if (self.every is None) == (self.cron is None):
            raise ValueError("expected either every (such as 1m) or cron (such as '30 2 * * *')")
        return self


@dataclass(frozen=True, slots=True)
class Due:
    """One expected beat: from `opens` on it can come, at `at` it should be there, after `deadline` it is missing."""

    opens: datetime
    at: datetime
    grace: timedelta

    @property
    def deadline(self) -> datetime:
        return self.at + self.grace


def expect(options: HeartbeatOptions, after: datetime) -> Due:
    """The beat that is due next when the last one came at that moment."""
    if options.every is not None:
        at, gap = after + options.every, options.every
        grace = _grace(options, gap)
        return Due(at - grace, at, grace)
    cron, zone = options.cron or "", options.zone or "UTC"
    at = next_slot(cron, zone, after)
    gap = at - last_slot(cron, zone, after)
    early = min(options.early, gap / 4)
    if after >= at - early:
        at = next_slot(cron, zone, at)
    return Due(at - early, at, _grace(options, gap))


def _grace(options: HeartbeatOptions, gap: timedelta) -> timedelta:
    return min(max(gap / 2, SECOND), HOUR) if options.grace is None else options.grace
