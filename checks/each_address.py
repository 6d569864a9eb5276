"""A name with several addresses (DNS round robin), all of which must be well: one run, each address asked by itself."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from math import floor
from time import monotonic
from typing import Any, Literal

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, ResolveError

MOST = 32  # addresses, all asked at the same time: none may use up the time of another
Addresses = Literal["any", "each"]
ABOUT = "each: every address of the name is asked, and all of them must be well; any: the first that answers will do"

_WORST_FIRST = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WARN)


async def ask_each(
    host: str, family: int, ctx: CheckContext, ask: Callable[[str, CheckContext], Awaitable[CheckResult]]
) -> CheckResult:
    """Ask every address of the name, all at the same time and within the time of the check: FAIL if one of them fails,
    and the result says which, and what the others said."""
    try:
        addresses = await ctx.tools.resolver.resolve(host, family=family, timeout=ctx.timeout)
    except ResolveError as error:
        return (ctx.unknown if error.reason == "local" else ctx.failed)(error.reason, str(error), target=host)
    if len(addresses) > MOST:
        return ctx.unknown("addresses", f"{host} has {len(addresses)} addresses: at most {MOST} are asked", target=host)
    rest = [_rest(ctx) for _ in addresses]
    results = await asyncio.gather(*map(ask, addresses, rest))
    return _summed_up(ctx, addresses, results)


def _rest(ctx: CheckContext) -> CheckContext:
    """The same run with the time that is left of it."""
    left = max(floor((ctx.timeout - (monotonic() - ctx.began)) * 100) / 100, 0.01)  # as people read it
    return CheckContext(ctx.service, ctx.check, left, ctx.tools, ctx.traceparent)


def _summed_up(ctx: CheckContext, addresses: Sequence[str], results: Sequence[CheckResult]) -> CheckResult:
    pairs = list(zip(addresses, results, strict=True))
    bad = [(address, result) for verdict in _WORST_FIRST for address, result in pairs if result.verdict is verdict]
    slowest = max(results, key=lambda result: result.took)
    values = {**slowest.values, "addresses": float(len(results)), "addresses_not_well": float(len(bad))}
    more: dict[str, Any] = {"phases": slowest.phases, "values": values}
    if not bad:
        what = slowest.summary if len(results) == 1 else f"{slowest.summary} (each of {len(results)} addresses)"
        return ctx.passed(what, target=slowest.target, **more)
    address, worst = bad[0]
    listing = "\n".join(f"{address}  {result.verdict}: {result.summary}" for address, result in pairs)
    more["evidence"] = {**worst.evidence, "addresses": listing}
    tell = {Verdict.FAIL: ctx.failed, Verdict.UNKNOWN: ctx.unknown, Verdict.WARN: ctx.warned}[worst.verdict]
    return tell(worst.reason, _line(len(results), bad), target=worst.target or address, **more)


def _line(count: int, bad: Sequence[tuple[str, CheckResult]]) -> str:
    """ "2 of 5 addresses: 10.0.0.3, 10.0.0.7: connection refused": those that say the worst thing, by name."""
    worst = bad[0][1]
    if count == 1:
        return worst.summary
    alike = [other for other, result in bad if (result.verdict, result.reason) == (worst.verdict, worst.reason)]
    named = ", ".join(alike[:4]) + (f" and {len(alike) - 4} more" if len(alike) > 4 else "")
    return f"{len(bad)} of {count} addresses: {named}: {worst.summary}"


__all__ = ["ABOUT", "Addresses", "ask_each"]
