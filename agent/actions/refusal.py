"""Why something is not restarted, though an order says so: the same words for every way of restarting."""

from dataclasses import dataclass
from datetime import timedelta

from agent.core.commands import Outcome
from agent.core.durations import format_duration


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why it is left alone. `passing`: it ends by itself, as a start does, so that it is waited for; what is not
    passing is somebody's will."""

    why: str
    passing: bool = False

    @property
    def outcome(self) -> Outcome:
        return Outcome.LATER if self.passing else Outcome.REFUSED


def too_young(age: timedelta | None, grace: timedelta) -> Refusal | None:
    """What was started, by whomever, less than `grace` ago is given the rest of it; None for an age that is not
    known."""
    if age is None or age >= grace:
        return None
    since = format_duration(timedelta(seconds=round(max(age, timedelta(0)).total_seconds())))
    return Refusal(f"started {since} ago: it is given {format_duration(grace)}", passing=True)
