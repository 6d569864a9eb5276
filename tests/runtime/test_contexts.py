"""What is left of the budgets that services share, for whoever asks why nothing is restarted."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from agent.core.events import Group
from agent.runtime.contexts import Contexts
from agent.runtime.host_budget import UNLIMITED, HostBudget

NOW = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SPENT = Group(name="web", size=2, failing=1, restarts_left=-1)


class Groups:
    """What a service sees of its group."""

    def __init__(self, group: Group | None) -> None:
        self.group = group

    def view(self, _watched: object, _now: datetime) -> Group | None:
        return self.group


@pytest.mark.parametrize(
    ("group", "fleet", "left"),
    [
        pytest.param(None, None, {"host": 2}, id="its host's alone"),
        pytest.param(Group(name="web", size=2, failing=1), None, {"host": 2}, id="a group without a budget"),
        pytest.param(SPENT, 5, {"host": 2, "fleet": 4, "group web": 0}, id="all three, one of them lowered meanwhile"),
        pytest.param(None, UNLIMITED, {"host": 2}, id="a fleet without a budget"),
    ],
)
def test_budgets_that_are_shared_are_told_by_their_names(
    group: Group | None, fleet: int | None, left: dict[str, int]
) -> None:
    host = HostBudget(3, HOUR, HostBudget(fleet, HOUR) if fleet else None)
    host.spend("web-1", [NOW - HOUR / 2])
    contexts = Contexts(cast("Any", None), host, cast("Any", Groups(group)), agent="a", trace_link="")
    assert contexts.shared_budgets(cast("Any", None), NOW) == left
