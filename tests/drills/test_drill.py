"""A fire drill over a whole agent: what people see of it, what is looked at, and what happens when a leg fails."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from agent.app import App
from agent.config.load import load
from agent.operations import Refused
from agent.ports import DrillOutcome
from agent.reload import Reloader
from agent.tables import TABLES
from tests.drills.site import Site, legs, site


def real_pages(here: Site) -> list[str]:
    return [title for title in here.hook.titles() if "DRILL" not in title]


async def test_a_drill_goes_the_whole_way_and_is_read_back_from_slack(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        report = await here.drill()
        assert legs(report) == dict.fromkeys(("decision", "delivery/oncall", "read back/oncall", "closing"), "passed")
        assert (report.outcome, report.why, report.remedy) == (DrillOutcome.PASSED, "", "")
        assert here.people.slack.count("conversations.history") == 1
        assert len(here.messages()) == 1
        assert here.hook.taken == []
        assert here.app.deciding.engine.table.keys() == {"web", "db"}
        assert dict(await here.app.store.load()).keys() <= {"web", "db"}


async def test_a_channel_and_the_person_on_call_get_one_closing_message_each(tmp_path: Path) -> None:
    config = {
        "people": {"alice": {"contacts": {"oncall": "U0ALICE"}}},
        "escalation": {"default": {"steps": [{"notify": ["alice"]}]}},
    }
    async with site(tmp_path, **config) as here:
        report = await here.drill()
        asked = ("oncall/alice", "oncall")
        assert {name for name in legs(report) if name.startswith("delivery/")} == {f"delivery/{who}" for who in asked}
        assert [(leg.outcome.value, leg.detail) for leg in report.legs if leg.name == "closing"] == [
            ("passed", "one to each")
        ]
        assert (report.outcome, here.hook.taken) == (DrillOutcome.PASSED, [])


async def test_every_word_of_it_says_first_that_it_is_a_drill(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.drill()
        (message,) = here.messages()
        texts = [message.text, message.shown, *(reply.text for reply in here.people.slack.thread(message.ts))]
        assert len(texts) == 3
        assert all(text.startswith("🔵 DRILL, not a real incident") for text in texts), texts
        assert "web is down" not in message.shown


async def test_a_drill_restarts_nothing_and_is_in_no_statistics_of_incidents(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.drill()
        assert not (tmp_path / "restarted").exists()
        _, metrics = await here.ask("/metrics")
        assert "codeblue_incidents_total{" not in metrics
        assert "codeblue_page_delivery_seconds_count 0.0" in metrics
        assert "drill:web" not in metrics
        _, found = await here.ask("/api/incidents")
        assert json.loads(found) == {"open": [], "recent": []}


async def test_its_outcome_and_the_seconds_of_each_leg_are_metrics(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        report = await here.drill()
        _, metrics = await here.ask("/metrics")
        assert 'codeblue_drill_success{of="web"} 1.0' in metrics
        (line,) = [line for line in metrics.splitlines() if line.startswith("codeblue_drill_last_timestamp_seconds{")]
        assert float(line.split()[1]) == pytest.approx(report.at.timestamp(), abs=0.001)
        for leg in ("decision", "delivery/oncall", "read back/oncall", "closing", "total"):
            assert f'codeblue_drill_duration_seconds{{leg="{leg}",of="web"}}' in metrics
        assert 'codeblue_drills_total{outcome="passed"} 1.0' in metrics


async def test_what_slack_says_it_took_and_is_not_there_fails_and_is_paged_by_another_way(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.people.slack.swallow = 1
        report = await here.drill()
        assert legs(report)["delivery/oncall"] == "passed"
        assert legs(report)["read back/oncall"] == "failed"
        assert report.failed == ("oncall",)
        await here.until(lambda: real_pages(here))
        assert real_pages(here) == ["paging:web is down"]
        (page,) = [body for body in here.hook.taken if body["title"] == "paging:web is down"]
        assert "read back/oncall: Slack has taken the message, and it does not stand in the channel" in page["summary"]
        assert "Look into the channel itself" in page["evidence"]["What to do"]
        assert page["drill"] is False
        _, ready = await here.ask("/readyz")
        assert "the fire drill for web failed" in ready


async def test_the_next_drill_that_passes_ends_what_the_failed_one_has_paged(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.people.slack.swallow = 1
        await here.drill()
        await here.until(lambda: real_pages(here))
        assert (await here.drill()).outcome is DrillOutcome.PASSED
        await here.until(lambda: len(real_pages(here)) == 2)
        assert [body["kind"] for body in here.hook.taken] == ["opened", "resolved"]
        assert "paging:web" not in here.app.deciding.engine.table


async def test_a_channel_that_refuses_is_named_with_what_to_do(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.people.slack.fail_next("chat.postMessage", error="is_archived")
        report = await here.drill()
        assert legs(report) == {"decision": "passed", "delivery/oncall": "failed"}
        assert report.remedy == "Choose another channel, or unarchive this one. Then prove it: codeblue drill web."
        await here.until(lambda: real_pages(here))
        status, letters = await here.ask("/api/dead-letters")
        assert (status, json.loads(letters)) == (200, [])


async def test_a_person_presses_the_button(tmp_path: Path) -> None:
    async with site(tmp_path, drill={"seen": "15s"}) as here:
        drill = here.app.drills.hold("web", "alice")
        await here.until(here.messages)
        assert set(here.messages()[0].buttons) == {"I have seen it"}
        await here.people.press(here.messages()[0], "I have seen it")
        report = await here.ended(drill)
        assert (report.outcome, legs(report)["seen"]) == (DrillOutcome.PASSED, "passed")
        assert "U0ALICE" in next(leg.detail for leg in report.legs if leg.name == "seen")
        assert here.messages()[0].buttons == {}
        events = await here.app.store.history("drill:web", since=here.app.vitals.started)
        assert [event.text for event in events if "seen" in event.text] == ["alice (U0ALICE) has seen the drill"]


async def test_nobody_presses_it(tmp_path: Path) -> None:
    async with site(tmp_path, drill={"seen": "1s"}) as here:
        report = await here.drill()
        assert legs(report)["seen"] == "failed"
        assert legs(report)["closing"] == "passed"
        await here.until(lambda: real_pages(here))
        assert "nobody has confirmed it within 1 s" in here.hook.taken[-1]["summary"]


async def test_whoever_has_no_slack_says_so_by_the_api(tmp_path: Path) -> None:
    async with site(tmp_path, drill={"seen": "15s"}) as here:
        status, begun = await here.ask("/api/drills", {"service": "web", "by": "bob"})
        drill = json.loads(begun)["id"]
        assert (status, json.loads(begun)["outcome"]) == (202, "running")
        await here.until(here.messages)
        status, said = await here.ask("/api/drills/seen", {"by": "bob"})
        assert (status, "bob has seen the drill for web after" in said) == (200, True)
        assert (await here.ended(drill)).outcome is DrillOutcome.PASSED
        status, said = await here.ask("/api/drills/seen", {"drill": drill, "by": "bob"})
        assert (status, "waits to be seen" in said) == (409, True)
        status, found = await here.ask(f"/api/drills/{drill}")
        assert (status, json.loads(found)["outcome"]) == (200, "passed")


async def test_silences_do_not_withhold_it(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.app.people.operator.silence("team=photos", "alice", span=timedelta(hours=1))
        web = here.app.deciding.engine.table["web"]
        assert here.app.deciding.engine.contexts.quiet(web.row, web.policy, here.app.clock.now()) is not None
        assert (await here.drill()).outcome is DrillOutcome.PASSED


async def test_without_a_service_every_channel_that_is_paged_is_drilled(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        report = await here.drill("")
        assert report.of == "@channels"
        assert legs(report)["read back/oncall"] == "passed"
        assert here.messages()[0].text.startswith("🔵 DRILL, not a real incident: the test for the channels")


async def test_a_service_that_is_not_there_or_pages_nobody_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        with pytest.raises(Refused, match="did you mean 'web'"):
            here.app.drills.hold("wbe", "alice")
        with pytest.raises(Refused, match="db pages nobody"):
            here.app.drills.hold("db", "alice")
        here.app.drills.hold("web", "alice")
        with pytest.raises(Refused, match="is being held"):
            here.app.drills.hold("web", "bob")


async def test_an_agent_that_is_stopped_in_the_middle_closes_it_as_not_finished(tmp_path: Path) -> None:
    async with site(tmp_path, drill={"seen": "10m"}) as here:
        here.app.drills.hold("web", "alice")
        await here.until(here.messages)
        await here.until(lambda: here.app.deciding.engine.table["drill:web"].row.state.incident.asked[0].delivered)
        await here.app.stop()
        here.app = App(load(tmp_path / "config.yaml", TABLES))
        await here.app.start()
        (message,) = here.messages()
        await here.until(lambda: len(here.people.slack.thread(message.ts)) == 1)
        assert "Not finished: the agent was stopped during the drill" in message.shown
        assert message.buttons == {}
        assert "drill:web" not in here.app.deciding.engine.table
        (report,) = here.app.drills.reports()
        assert (report.outcome, report.why) == (
            DrillOutcome.UNFINISHED,
            "not finished: the agent was stopped during the drill",
        )
        _, metrics = await here.ask("/metrics")
        assert 'codeblue_drills_total{outcome="unfinished"} 1.0' in metrics
        assert "codeblue_drill_success{" not in metrics  # it says nothing about paging


async def test_a_drill_by_the_schedule(tmp_path: Path) -> None:
    async with site(tmp_path, drill={"every": "2s", "services": ["web"]}) as here:
        await here.until(lambda: any(one.outcome is DrillOutcome.PASSED for one in here.app.drills.reports()))
        assert here.app.drills.reports()[-1].by == "the schedule"


async def test_a_failed_drill_is_told_outside_until_one_passes(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        await here.until(lambda: here.outside.asked)
        assert here.outside.asked[-1] == "/5f2a"
        assert here.outside.taken[-1]["status"] == "ok"
        here.people.slack.swallow = 1
        await here.drill()
        await here.until(lambda: here.outside.asked[-1] == "/5f2a/fail")
        (told,) = here.outside.taken[-1]["drills"]
        assert (told["of"], told["outcome"]) == ("web", "failed")
        assert "the fire drill for web failed" in here.outside.taken[-1]["reasons"][0]
        await here.drill()
        await here.until(lambda: here.outside.asked[-1] == "/5f2a")
        _, metrics = await here.ask("/metrics")
        assert 'codeblue_pings_total{kind="success",outcome="ok"}' in metrics
        assert 'codeblue_pings_total{kind="fail",outcome="ok"}' in metrics


async def test_a_ping_that_is_not_taken_is_named_and_touches_nothing_else(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.outside.status = 500
        await here.until(lambda: here.app.vitals.ping_trouble)
        status, ready = await here.ask("/readyz")
        assert (status, json.loads(ready)["degraded"]) == (200, ["ping: 127.0.0.1 answered 500"])
        assert (await here.drill()).outcome is DrillOutcome.PASSED


async def test_the_status_page_shows_the_last_drill(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        _, before = await here.ask("/")
        assert "Last drill" not in before
        report = await here.drill()
        _, page = await here.ask("/")
        assert f"Last drill: for web, passed in {report.seconds:.1f} s" in page


async def test_a_drill_of_what_config_no_longer_names_leaves_nothing_open(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        here.people.slack.swallow = 1
        await here.drill()
        await here.until(lambda: real_pages(here))
        path = tmp_path / "config.yaml"
        config = yaml.safe_load(path.read_text())
        config["services"][0]["name"] = "api"
        path.write_text(yaml.safe_dump(config))
        assert await Reloader(here.app, path).reload()
        await here.until(lambda: "paging:web" not in here.app.deciding.engine.table)
        await here.until(lambda: [body["kind"] for body in here.hook.taken] == ["opened", "resolved"])
        assert here.app.vitals.drills == {}


async def test_a_storm_neither_holds_it_nor_counts_it(tmp_path: Path) -> None:
    check = {"file": str(tmp_path / "sign"), "name": "there"}
    services = [{"name": name, "checks": [check], "page": ["oncall"]} for name in ("a", "b", "c")]
    rule = {"services": 2, "within": "30s", "page": ["hook"]}
    async with site(tmp_path, services=services, storm=rule) as here:
        (tmp_path / "sign").unlink()
        await here.until(lambda: [body for body in here.hook.taken if body["service"] == "storm:services"])
        assert (await here.drill("a")).outcome is DrillOutcome.PASSED
        storms = [body for body in here.hook.taken if body["service"] == "storm:services"]
        assert "of 3 services went down" in storms[0]["summary"]
        assert "drill" not in json.dumps([body["evidence"] for body in storms])
        assert here.app.deciding.engine.table["storm:services"].row.state.incident is not None
