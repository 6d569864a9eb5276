"""The heartbeat check: a service pushes beats, and this finds the ones that did not come.

Expectation. With `every`, a beat is due that long after the one before. With `cron`, one is due at the first slot that
the one before does not already stand for; a beat stands for a slot also when it comes a little early (`early`).
A beat that is not there `grace` after it was due is overdue. A fail is a beat too: it says "failed", and it restarts
the deadline.

Runs. A start that comes in time keeps the check well until the run ends, for at most `max_run`. A start that comes
when the beat is already overdue does not: else a job that dies again and again after its start would look well.

Blindness. While the agent is down it takes no beats in. Where a beat could have been due in that span (from `grace`,
or `early`, before it was due until the deadline) it may have been lost: it is excused, and the next one counts from
the agent's return. That excuses one beat, never two: what had been overdue for less than `grace` when the agent went
down is UNKNOWN until `grace` after its return, as the beat may have come late; what had been overdue for longer is
FAIL, so that no number of restarts hides it.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from agent.core.durations import format_duration
from agent.core.result import CheckResult, Verdict
from agent.ports import Beat, BeatState, CheckContext, CheckType
from checks.heartbeat_due import Due, HeartbeatOptions, expect
from checks.heartbeat_texts import failed_text, newest, overdue_text, rounded, running_text, unended_text, well_text

AHEAD = timedelta(minutes=1)  # further than this in the future is a wrong clock

Span = tuple[datetime, datetime]


@dataclass(frozen=True, slots=True)
class Wait:
    """Until when something is waited for. Past `deadline` it did not come; up to `doubtful` that may be our own
    fault, because we were away. `excused`: one may have been lost before, for the same reason."""

    deadline: datetime
    doubtful: datetime | None = None
    excused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    verdict: Verdict
    reason: str
    summary: str
    values: dict[str, float] = field(default_factory=dict)
    evidence: dict[str, str] = field(default_factory=dict)


def judge(options: HeartbeatOptions, state: BeatState, now: datetime, blind: Span) -> Judgement:
    """What is to be said now of the beats that came. `blind` is the last span in which none could be taken in, empty
    when both ends are the same."""
    said = _from_the_future(state, now) or _judged(options, state, now, blind)
    values = {}
    if state.success is not None:
        values["success_age_seconds"] = max(0.0, (now - state.success.at).total_seconds())
    if state.took is not None:
        values["run_seconds"] = state.took.total_seconds()
    return replace(said, values=values, evidence=_evidence(said, state))


def _judged(options: HeartbeatOptions, state: BeatState, now: datetime, blind: Span) -> Judgement:
    end = newest(state.success, state.fail)
    reference = end.at if end else state.first_at
    due, wait = _awaited(options, expect(options, reference), reference, blind)
    failed = end if end is not None and end is state.fail else None
    run = state.start
    if run is not None and run.at <= wait.deadline:
        until = _run_limit(options, run, blind)
        if now > until.deadline:
            text = unended_text(options, run, until.deadline, now)
            return _missing("unended", text, until, now, blind)
        if failed is None:
            return _said(Verdict.PASS, "ok", running_text(options, run, until.deadline, now))
    elif now > wait.deadline and not (failed and _in_doubt(wait, now)):
        return _missing("overdue", overdue_text(options, state, due, now), wait, now, blind)
    if failed:
        return _said(Verdict.FAIL, "failed", failed_text(options, failed, run, now))
    lost = blind[1] - blind[0] if wait.excused else None
    return _said(Verdict.PASS, "ok", well_text(options, state, due, now, lost))


# ---------------------------------------------------------------------------------------------------- deadlines


def _awaited(options: HeartbeatOptions, due: Due, since: datetime, blind: Span) -> tuple[Due, Wait]:
    gone, back = blind
    if back <= gone or back <= since or back < due.opens:
        return due, Wait(due.deadline)
    if due.deadline <= gone:
        return due, _already_late(due.deadline, due.grace, blind)
    excused = expect(options, back)
    return excused, Wait(excused.deadline, excused=True)


def _run_limit(options: HeartbeatOptions, run: Beat, blind: Span) -> Wait:
    """When the run should have ended. An end that may have been lost while we were away is excused like a beat."""
    following = expect(options, run.at)
    limit = following.deadline if options.max_run is None else run.at + options.max_run
    gone, back = blind
    if back <= gone or back <= run.at:
        return Wait(limit)
    if limit <= gone:
        return _already_late(limit, following.grace, blind)
    return Wait(max(limit, expect(options, back).deadline))


def _already_late(deadline: datetime, grace: timedelta, blind: Span) -> Wait:
    gone, back = blind
    return Wait(deadline, doubtful=back + grace if gone < deadline + grace else None)


def _in_doubt(wait: Wait, now: datetime) -> bool:
    return wait.doubtful is not None and now <= wait.doubtful


# ---------------------------------------------------------------------------------------------------- verdicts


def _said(verdict: Verdict, reason: str, summary: str) -> Judgement:
    return Judgement(verdict=verdict, reason=reason, summary=summary)


def _missing(reason: str, text: str, wait: Wait, now: datetime, blind: Span) -> Judgement:
    if wait.doubtful is None or now > wait.doubtful:
        return _said(Verdict.FAIL, reason, text)
    away = format_duration(rounded(blind[1] - blind[0]))
    wait_on = format_duration(rounded(wait.doubtful - now))
    return _said(
        Verdict.UNKNOWN, "blind", f"{text}; the agent was away for {away}, so a beat has {wait_on} more to come"
    )


def _from_the_future(state: BeatState, now: datetime) -> Judgement | None:
    beats = [beat.at for beat in (state.success, state.fail, state.start) if beat is not None]
    newest = max(beats, default=state.first_at)
    if newest <= now + AHEAD:
        return None
    ahead = format_duration(rounded(newest - now))
    what = "the last beat is" if beats else "these beats are expected since a time that is"
    text = f"{what} stamped {ahead} in the future: a clock was wrong, and nothing can be told until the next beat"
    return _said(Verdict.UNKNOWN, "future", text)


def _evidence(said: Judgement, state: BeatState) -> dict[str, str]:
    shown = state.fail if said.reason == "failed" else state.last
    evidence = {"last beat": shown.body} if shown is not None and shown.body else {}
    if state.log is not None and state.log.body and state.log is not shown:
        evidence["last log beat"] = state.log.body
    return evidence


async def run(options: HeartbeatOptions, ctx: CheckContext) -> CheckResult:
    book = ctx.tools.beats
    found = judge(options, book.state(ctx.service, ctx.check), ctx.started, book.blind_since())
    more = {"values": found.values, "evidence": found.evidence}
    if found.verdict is Verdict.PASS:
        return ctx.passed(found.summary, **more)
    tell = ctx.failed if found.verdict is Verdict.FAIL else ctx.unknown
    return tell(found.reason, found.summary, **more)


HEARTBEAT = CheckType(
    name="heartbeat",
    options=HeartbeatOptions,
    run=run,
    about="Beats that the service pushes over HTTP come when they should, and say that all is well.",
    short="every",
    keeps_time=True,
    local=True,
    pushed=True,
)
