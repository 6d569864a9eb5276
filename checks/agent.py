"""The agent's check of itself: whether pages get out, checks run, and what it depends on is there."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from agent.core.durations import format_duration
from agent.core.result import CheckResult, Verdict
from agent.durations import Duration
from agent.ports import CheckContext, CheckType, Options, Vitals


class AgentOptions(Options):
    """From where on the agent is in trouble."""

    oldest_page: Duration = Field(
        timedelta(minutes=1), description="FAIL when a page waits longer than this for a channel that takes it."
    )
    dead_letters: Annotated[int, Field(ge=0)] = Field(
        0, description="FAIL when there are more notices than this that no channel would take."
    )
    loop_lag: Duration = Field(
        timedelta(seconds=1), description="WARN when the agent itself was held up for longer than this."
    )


Trouble = tuple[Verdict, str, str]


def troubles(options: AgentOptions, vitals: Vitals) -> Iterator[Trouble]:
    """What is wrong, the most serious first: verdict, reason and text."""
    if vitals.oldest_page > options.oldest_page.total_seconds():
        yield Verdict.FAIL, "undelivered", f"a page has been waiting for {_length(vitals.oldest_page)}"
    if vitals.dead_letters > options.dead_letters:
        letters = "1 notice" if vitals.dead_letters == 1 else f"{vitals.dead_letters} notices"
        yield Verdict.FAIL, "dead_letters", f"{letters} could not be delivered: see codeblue dead-letters list"
    if vitals.channel_trouble:
        said = ", ".join(f"{name} ({what})" for name, what in sorted(vitals.channel_trouble.items()))
        yield Verdict.FAIL, "channel", f"channels do not work: {said}"
    if vitals.oncall_trouble:
        said = ", ".join(f"{name} ({what})" for name, what in sorted(vitals.oncall_trouble.items()))
        yield Verdict.WARN, "oncall", f"nobody may be on call: {said}"
    if vitals.scheduler_stalled > 0:
        yield Verdict.FAIL, "stalled", f"a check is overdue by {_length(vitals.scheduler_stalled)}"
    if vitals.blind:
        yield Verdict.FAIL, "blind", f"the agent cannot trust its own eyes: {vitals.blind}"
    if vitals.drain_trouble:
        yield Verdict.FAIL, "drained", f"out of the balance, and can't be put back: {vitals.drain_trouble}"
    if vitals.store_trouble:
        yield Verdict.WARN, "store", f"the store is away, work goes on from memory: {vitals.store_trouble}"
    if vitals.config_trouble:
        yield Verdict.WARN, "config", f"the last configuration was not taken: {vitals.config_trouble}"
    if vitals.loop_lag > options.loop_lag.total_seconds():
        yield Verdict.WARN, "lag", f"the agent was held up for {_length(vitals.loop_lag)}"


async def run(options: AgentOptions, ctx: CheckContext) -> CheckResult:
    vitals = ctx.tools.vitals
    values = {
        "loop_lag_seconds": vitals.loop_lag,
        "oldest_page_seconds": vitals.oldest_page,
        "dead_letters": float(vitals.dead_letters),
        "uptime_seconds": max(0.0, (ctx.started - vitals.started).total_seconds()),
    }
    found = list(troubles(options, vitals))
    if not found:
        return ctx.passed(f"up for {_length(values['uptime_seconds'])}, nothing waits", values=values)
    verdict, reason, _ = found[0]
    tell = ctx.failed if verdict is Verdict.FAIL else ctx.warned
    return tell(reason, "; ".join(text for _, _, text in found), values=values)


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(seconds, 1 if seconds < 10 else 0)))


AGENT = CheckType(
    name="agent",
    options=AgentOptions,
    run=run,
    about="The agent itself is well: pages get out, checks run in time, its store and configuration are in order.",
    keeps_time=True,
    local=True,
)
