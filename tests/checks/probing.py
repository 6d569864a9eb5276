"""What the tests of the network checks share: real tools, and one run of a check."""

from typing import Any

from agent.core.result import CheckResult
from agent.ports import CheckContext, CheckType
from agent.runtime.curl import CurlClient
from agent.runtime.resolver import ThreadResolver


class Tools:
    """The real engine and the real resolver; the network checks use nothing else."""

    def __init__(self) -> None:
        self.resolver = ThreadResolver()
        self.http = CurlClient(self.resolver)


async def run(
    type_: CheckType[Any], options: dict[str, Any], *, timeout: float = 2.0, traceparent: str = ""
) -> CheckResult:
    """Run a check once, as config would write its options."""
    tools = Tools()
    try:
        ctx = CheckContext("photos", "pulse", timeout, tools, traceparent)  # type: ignore[arg-type]
        return await type_.run(type_.options.model_validate(options), ctx)
    finally:
        await tools.http.close()
