from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Vitals
from checks.agent import AGENT, AgentOptions


async def look(given: dict[str, Any] | None = None, **vitals: Any) -> CheckResult:
    own = Vitals(started=datetime.now(UTC) - timedelta(hours=2), **vitals)
    tools: Any = SimpleNamespace(vitals=own)
    return await AGENT.run(AgentOptions.model_validate(given or {}), CheckContext("codeblue", "agent", 3.0, tools))


async def test_an_agent_without_trouble_passes() -> None:
    result = await look()
    assert (result.verdict, result.summary) == (Verdict.PASS, "up for 2h, nothing waits")
    assert result.values["uptime_seconds"] == pytest.approx(7200, abs=5)


@pytest.mark.parametrize(
    ("vitals", "verdict", "reason", "text"),
    [
        pytest.param({"oldest_page": 60.0}, Verdict.PASS, "ok", "nothing waits", id="a page may wait a minute"),
        pytest.param({"oldest_page": 61.0}, Verdict.FAIL, "undelivered", "waiting for 1m1s", id="and not longer"),
        pytest.param({"dead_letters": 1}, Verdict.FAIL, "dead_letters", "1 notice could not", id="a dead letter"),
        pytest.param({"dead_letters": 3}, Verdict.FAIL, "dead_letters", "3 notices could not", id="dead letters"),
        pytest.param(
            {"channel_trouble": {"oncall": "invalid_auth", "hook": "timeout"}}, Verdict.FAIL, "channel",
            "channels do not work: hook (timeout), oncall (invalid_auth)",
            id="channels that do not work are named",
        ),
        pytest.param(
            {"oncall_trouble": {"primary": "the calendar cannot be read"}}, Verdict.WARN, "oncall",
            "nobody may be on call: primary (the calendar cannot be read)",
            id="a schedule whose calendar cannot be read",
        ),
        pytest.param({"scheduler_stalled": 0.5}, Verdict.FAIL, "stalled", "overdue by 500ms", id="checks do not run"),
        pytest.param({"blind": "no route"}, Verdict.FAIL, "blind", "own eyes: no route", id="its own network is down"),
        pytest.param({"store_trouble": "locked"}, Verdict.WARN, "store", "from memory: locked", id="the store is away"),
        pytest.param({"config_trouble": "x.yaml:3"}, Verdict.WARN, "config", "not taken: x.yaml:3", id="a bad reload"),
        pytest.param({"loop_lag": 1.0}, Verdict.PASS, "ok", "nothing waits", id="held up for a second"),
        pytest.param({"loop_lag": 1.5}, Verdict.WARN, "lag", "held up for 1s500ms", id="for longer"),
        pytest.param(
            {"store_trouble": "full", "oldest_page": 90.0, "loop_lag": 12.3}, Verdict.FAIL, "undelivered",
            "a page has been waiting for 1m30s; the store is away, work goes on from memory: full; "
            "the agent was held up for 12s",
            id="everything is said, the most serious first",
        ),
    ],
)  # fmt: skip
async def test_what_the_agent_says_of_itself(vitals: dict[str, Any], verdict: Verdict, reason: str, text: str) -> None:
    result = await look(**vitals)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert text in result.summary


async def test_the_limits_are_options() -> None:
    given = {"oldest_page": "5m", "dead_letters": 2, "loop_lag": "10s"}
    assert (await look(given, oldest_page=299.0, dead_letters=2, loop_lag=9.0)).verdict is Verdict.PASS
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        AgentOptions.model_validate({"dead_letters": -1})


def test_every_option_is_described_for_the_reference_page() -> None:
    assert all(field.get("description") for field in AgentOptions.model_json_schema()["properties"].values())
    assert AGENT.local
