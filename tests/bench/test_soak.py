"""The soak itself: its plan, its world's configuration, and twenty seconds of it with the real agent."""

import json
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError
from agent.tables import TABLES
from bench.__main__ import arguments
from bench.soak.configuring import bad
from bench.soak.plan import BEGIN, EXTRA, plan
from bench.soak.programs import install
from bench.soak.run import Soak, soak
from bench.soak.services import SOME, Places, configuration, make_services, renamed


def places(folder: Path) -> Places:
    return Places(
        folder=folder,
        port=7001,
        listen=7002,
        oncall="http://127.0.0.1:7003/api/",
        team="http://127.0.0.1:7004/api/",
        hook="http://127.0.0.1:7005/hook",
        token="xoxb-1",
    )


def test_a_soak_is_only_run_when_it_is_asked_for() -> None:
    assert "soak" not in arguments([]).systems
    chosen = arguments(["soak", "--minutes", "3", "--seed", "7"])
    assert (chosen.systems, chosen.minutes, chosen.seed) == (["soak"], 3.0, 7)


def test_a_seed_makes_one_plan_and_another_seed_another() -> None:
    services = make_services()
    first = plan(5, 600.0, services)
    assert first == plan(5, 600.0, services)
    assert first != plan(6, 600.0, services)
    assert [act.at for act in first] == sorted(act.at for act in first)
    assert all(BEGIN <= act.at < 600.0 for act in first)
    assert {service.target for service in services} >= {act.target for act in first if act.what == "break"}


def test_an_hour_holds_every_disturbance_and_thousands_of_outages() -> None:
    acts = plan(1, 3600.0, make_services())
    assert sum(act.what == "break" for act in acts) > 2000
    assert len({act.what for act in acts}) == 21


def test_the_agent_takes_the_configuration_with_names_that_changed_and_none_of_the_bad_ones(tmp_path: Path) -> None:
    where = places(tmp_path)
    install(where)
    services = make_services()
    assert len(services) == 60
    path = tmp_path / "config.yaml"
    path.write_text(json.dumps(configuration([renamed(services[0]), *services[1:]], where)))
    config = load(path, TABLES)
    assert {renamed(services[0]).name, "db", "web"} < config.services.keys()
    assert renamed(renamed(services[0])) == services[0]
    good = path.read_text()
    for how in EXTRA["reload bad"]:
        path.write_text(bad(good, how))
        with pytest.raises(ConfigError):
            load(path, TABLES)


IN_TIME = {  # on a machine that others keep busy these say nothing about the agent
    "an outage that lasts is an incident",
    "an incident has a cause",
    "an incident is dealt with at once",
    "what restarts don't cure is paged",
    "a page arrives",
    "/readyz tells the truth",
}


@pytest.mark.slow
async def test_a_short_soak_keeps_every_rule_that_needs_no_punctual_machine(tmp_path: Path) -> None:
    report = await soak(Soak(seed=4, seconds=10.0, kinds=SOME, gap=0.7, lull=4.0), tmp_path, print)
    assert report.trouble == []
    assert len(report.seen.facts) > 10
    assert report.found.keys() > IN_TIME
    assert {rule: wrong for rule, wrong in report.found.items() if wrong and rule not in IN_TIME} == {}, str(report)
