"""The log check: how often lines of a kind come in a service's log, too often or too seldom."""

import re
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from agent.core.durations import format_duration
from agent.core.rates import Rate, parse_rate
from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType, LogLine, Options
from checks.match import PatternText, TooSlow, pattern, searched

LONGEST = timedelta(days=1)  # the log book counts no further back
RECALLED = 1000  # stored lines that are looked through while lines are not yet counted for long enough
EVIDENCE = 2000  # characters of a line
LEVELS = ("debug", "info", "warning", "error", "critical")


def _rate(value: object) -> Rate:
    if isinstance(value, Rate):
        return value
    if not isinstance(value, str):
        raise ValueError(f'expected a rate such as "5 per 1m", got {value!r}')
    rate = parse_rate(value)
    if rate.per > LONGEST:
        raise ValueError(f"expected a window of at most {format_duration(LONGEST)}, got {format_duration(rate.per)}")
    return rate


_RATE_SCHEMA: dict[str, Any] = {"type": "string", "examples": ["5 per 1m", "1 per 10m"]}
RateText = Annotated[Rate, BeforeValidator(_rate), PlainSerializer(str, return_type=str), WithJsonSchema(_RATE_SCHEMA)]


class LogOptions(Options):
    """Which lines of the service are counted, and how many there may or must be."""

    match: PatternText = Field("", description="A regular expression, searched for in the text of each line.")
    level: Literal["debug", "info", "warning", "error", "critical"] | None = Field(
        None, description="Count only lines of this level or a more serious one."
    )
    at_most: RateText | None = Field(
        None, description='FAIL when there are more: "10 per 5m". With neither rate, one line in 5m is too many.'
    )
    at_least: RateText | None = Field(None, description='FAIL when there are fewer: "1 per 10m".')

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if not self.match and self.level is None and self.at_least is None:
            raise ValueError("expected match or level: else any line at all would be too many")
        if self.at_least is not None and self.at_least.count == 0:
            raise ValueError("at_least 0 is always so: expected 1 or more")
        return self

    @property
    def limit(self) -> Rate | None:
        """What there may be at most, also where nothing was said."""
        return self.at_most or (Rate(0, timedelta(minutes=5)) if self.at_least is None else None)

    @property
    def said(self) -> str:
        lines = f"of level {self.level} or worse" if self.level else ""
        return " ".join(part for part in (lines, f"matching /{self.match}/" if self.match else "") if part)


async def run(options: LogOptions, ctx: CheckContext) -> CheckResult:
    logs, now = ctx.tools.logs, ctx.started
    level = options.level or ""
    watched = now - logs.watched_since(ctx.service, options.match, level)
    if trouble := logs.pattern_trouble(ctx.service, options.match, level):
        return ctx.unknown("pattern", f"/{options.match}/ is not counted: {trouble}")
    most, least = options.limit, options.at_least
    texts, values = [], {}
    if most is not None:
        count = logs.count(ctx.service, options.match, now - most.per, level)
        values["lines"] = float(count)
        texts.append(_counted(count, options, most.per))
        if count > most.count:
            last = logs.last_match(ctx.service, options.match, level)
            summary = f"{texts[0]}, at most {most.count} allowed{_last(last, now)}"
            return ctx.failed("frequent", summary, values=values, evidence=_evidence(last))
    if least is not None:
        count = logs.count(ctx.service, options.match, now - least.per, level)
        if count < least.count and watched < least.per:
            count = max(count, await _recalled(options, ctx, now - least.per))
        values.setdefault("lines", float(count))
        texts.append(_counted(count, options, least.per))
        if count < least.count:
            return _too_few(options, ctx, least, texts[-1], watched, values)
    return ctx.passed("; ".join(dict.fromkeys(texts)), values=values)


def _too_few(
    options: LogOptions, ctx: CheckContext, least: Rate, text: str, watched: timedelta, values: dict[str, float]
) -> CheckResult:
    last = ctx.tools.logs.last_match(ctx.service, options.match, options.level or "")
    summary = f"{text}, at least {least.count} expected"
    if watched < least.per:
        seen = format_duration(timedelta(seconds=round(max(watched.total_seconds(), 0.0))))
        return ctx.unknown("too_early", f"{summary}, but they are only counted for {seen}", values=values)
    return ctx.failed("silent", f"{summary}{_last(last, ctx.started)}", values=values, evidence=_evidence(last))


async def _recalled(options: LogOptions, ctx: CheckContext, since: datetime) -> int:
    """How many of the service's last stored lines count: what came before this agent's start. Given up, as the log
    book does, at a line on which the expression takes too long."""
    lines = await ctx.tools.logs.tail(ctx.service, before=ctx.started, lines=RECALLED)
    expression, count = pattern(options.match), 0
    serious = LEVELS[LEVELS.index(options.level) :] if options.level else ("", *LEVELS)
    with suppress(TooSlow):
        for line in lines:
            count += line.at >= since and line.level in serious and searched(expression, line.text)
    return count


def _counted(count: int, options: LogOptions, per: timedelta) -> str:
    lines = "1 line" if count == 1 else f"{count or 'no'} lines"
    return " ".join(part for part in (lines, options.said, f"in {format_duration(per)}") if part)


def _last(line: LogLine | None, now: datetime) -> str:
    if line is None:
        return ""
    age = timedelta(seconds=round(max((now - line.at).total_seconds(), 0.0)))
    return f"; the last one {format_duration(age)} ago"


def _evidence(line: LogLine | None) -> dict[str, str]:
    if line is None:
        return {}
    text = re.sub(r"\s+\Z", "", line.text)
    cut = text if len(text) <= EVIDENCE else text[:EVIDENCE] + "…"
    return {"last matching line": f"{line.at:%Y-%m-%d %H:%M:%S} UTC {line.source}\n{cut}"}


LOG = CheckType(
    name="log",
    options=LogOptions,
    run=run,
    about="Lines of a kind come in the service's log, not more often and not more seldom than they should.",
    short="match",
    local=True,
)
