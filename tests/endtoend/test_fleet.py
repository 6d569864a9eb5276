"""Two real agents on one database: what a fleet may restart is one budget."""

from pathlib import Path

import pytest

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import open_incidents, outbox, unsettled
from tests.processes import executable


@pytest.mark.parametrize("apart", [pytest.param(False, id="at the same moment"), pytest.param(True, id="in turn")])
def test_of_two_agents_with_one_restart_between_them_one_restarts_and_the_other_pages_and_says_why(
    make_agent: MakeAgent, hook: Receiver, tmp_path: Path, apart: bool
) -> None:
    performed = tmp_path / "performed"
    performed.touch()
    with Service().serving() as east, Service().serving() as west:
        services = {"east": east, "west": west}
        agents = {}
        for name, service in services.items():
            (tmp_path / name).mkdir()
            script = executable(tmp_path / name / "restart", f"#!/bin/sh\necho {name} >> {performed}\n")
            config = {
                "agent": {
                    "name": name,
                    "store": f"sqlite:///{tmp_path}/fleet.db",
                    "fleet_restarts": "1 per 1h",
                },
                "services": [
                    {
                        "name": name,
                        "checks": [{"http": service.url}],
                        "restart": {"command": [str(script)], "at_most": "5 per 1h", "verify": "1m", "backoff": "0s"},
                        "page": ["hook"],
                    }
                ],
                "channels": {"hook": hook.channel},
            }
            agents[name] = make_agent(config, folder=tmp_path / name)
        with agents["east"].running(), agents["west"].running():
            east.status = 503
            if apart:
                wait_for(lambda: performed.read_text(), 20, "nothing was restarted")
            west.status = 503
            wait_for(lambda: performed.read_text() and hook.taken("opened"), 30, "one restarted, the other paged")
            (restarted,) = performed.read_text().split()
            (page,) = hook.taken("opened")
            assert {restarted, page.service} == {"east", "west"}
            assert "the restart budget of the fleet is used up" in page.body["note"]
            if apart:
                assert restarted == "east"
            east.status = west.status = 200
            wait_for(lambda: hook.taken("resolved", page.service), 20)
            wait_for(lambda: not open_incidents(tmp_path / "fleet.db"), 20)
            wait_for(lambda: not unsettled(tmp_path / "fleet.db"), 20)
        assert performed.read_text().split() == [restarted]
        assert [got.kind for got in hook.taken(service=page.service) if got.kind != "update"] == ["opened", "resolved"]
        done = [row.service for row in outbox(tmp_path / "fleet.db") if (row.kind, row.outcome) == ("restart", "done")]
        assert done == [restarted]
