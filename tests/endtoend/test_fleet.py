"""Two real agents of one fleet: what they may restart is one budget, and nothing else of theirs is shared."""

from pathlib import Path

import pytest

from tests.endtoend.agent import Agent, wait_for
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
                    "store": f"sqlite:///{tmp_path}/{name}.db",
                    "fleet_restarts": "1 per 1h",
                    "fleet_store": f"sqlite:///{tmp_path}/fleet.db",
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
            for name in agents:
                wait_for(lambda name=name: not open_incidents(tmp_path / f"{name}.db"), 20)
                wait_for(lambda name=name: not unsettled(tmp_path / f"{name}.db"), 20)
        assert performed.read_text().split() == [restarted]
        assert [got.kind for got in hook.taken(service=page.service) if got.kind != "update"] == ["opened", "resolved"]
        rows = [row for name in agents for row in outbox(tmp_path / f"{name}.db")]
        done = [row.service for row in rows if (row.kind, row.outcome) == ("restart", "done")]
        assert done == [restarted]


def test_an_agent_does_not_start_on_the_database_of_another_and_says_what_to_share_instead(
    make_agent: MakeAgent, hook: Receiver, tmp_path: Path
) -> None:
    def agent(name: str, folder: str) -> Agent:
        (tmp_path / folder).mkdir()
        config = {
            "agent": {"name": name, "store": f"sqlite:///{tmp_path}/one.db"},
            "services": [{"name": name, "checks": [{"http": service.url}], "page": ["hook"]}],
            "channels": {"hook": hook.channel},
        }
        return make_agent(config, folder=tmp_path / folder)

    with Service().serving() as service:
        east, west, later = agent("east", "east"), agent("west", "west"), agent("west", "later")
        with east.running():
            service.status = 503
            wait_for(lambda: hook.taken("opened", "east"), 20)
            with (
                pytest.raises(AssertionError, match=r"the agent east \(process \d+\) runs on this database"),
                west.running(),
            ):
                pass
            assert not hook.taken("resolved"), "the other's incident stays open"
            assert open_incidents(tmp_path / "one.db")
            service.status = 200
            wait_for(lambda: hook.taken("resolved", "east"), 20)
        with later.running():  # it has been left in good order
            pass
