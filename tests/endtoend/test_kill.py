"""kill -9 of the agent at random moments, during restarts and pages: no page lost or under a second key, no restart
repeated. CODEBLUE_KILLS says how often, CODEBLUE_SEED repeats a run's dice."""

import os
import random
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import sleep

import pytest

from tests.endtoend.agent import FAST, Agent, wait_for
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import Row, asked_keys, most_within, open_incidents, outbox, unsettled
from tests.processes import executable

KILLS = int(os.environ.get("CODEBLUE_KILLS", "20"))
RESTARTED, PAGED = ("a", "b", "c"), ("d", "e", "f", "g")
AT_MOST, PER = 2, 5.0  # restarts of one service


def config(web: Service, hook: Receiver, slack: Slack, script: Path) -> dict[str, object]:
    fragile = {"checks": [{"http": web.url}], "page": ["hook", "oncall"]}
    restart = {"command": [str(script)], "at_most": f"{AT_MOST} per {PER:g}s", "verify": "2s", "backoff": "0s"}
    return {
        "agent": {"restarts": "10000 per 1h"},
        "defaults": {**FAST, "calm": "3s"},  # after so many kills those that are paged flap
        "services": [
            *({"name": name, **fragile, "restart": restart, "flapping": "0 per 1h"} for name in RESTARTED),
            *({"name": name, **fragile} for name in PAGED),
        ],
        "channels": {"hook": {**hook.channel, "per_second": 50}, "oncall": slack.channel},
    }


def fitful(dice: random.Random) -> tuple[int, float]:
    """A receiver on a bad day: often well, sometimes slow, sometimes broken."""
    return dice.choice([(200, 0.0)] * 6 + [(200, 0.4), (500, 0.0), (503, 0.2), (429, 0.0)])


@contextmanager
def bad_day(web: Service, slack: Slack, dice: random.Random) -> Iterator[None]:
    """The service breaks and mends by turns, and Slack fails now and then."""
    over = Event()

    def go_on() -> None:
        while not over.wait(dice.uniform(0.7, 2.5)):
            web.status = dice.choice([200, 503, 503])
            trouble: dict[str, object] = dice.choice([{"status": 500}, {"delay": 0.5}, {"delay": 0.3, "done": True}])
            slack.fail_next(**trouble)

    thread = Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def die_at_a_bad_moment(agent: Agent, performed: Path, hook: Receiver, dice: random.Random) -> None:
    """Kill it at any moment of a start, or (every other time) just after a restart or a page has begun."""
    agent.start()
    if dice.random() < 0.5:
        sleep(dice.uniform(0.0, 2.5))
    else:
        before = (size(performed), len(hook.got))
        for _ in range(150):
            if (size(performed), len(hook.got)) != before:
                break
            sleep(0.02)
        sleep(dice.uniform(0.0, 0.25))
    agent.kill()


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@pytest.mark.slow
def test_kills_at_random_moments_lose_no_page_double_none_and_repeat_no_restart(
    make_agent: MakeAgent, web: Service, hook: Receiver, slack: Slack, tmp_path: Path
) -> None:
    seed = int(os.environ.get("CODEBLUE_SEED") or secrets.randbelow(1_000_000))
    print(f"CODEBLUE_SEED={seed} CODEBLUE_KILLS={KILLS}")  # shown when the test fails
    dice = random.Random(seed)
    performed = tmp_path / "performed"
    text = f'#!/bin/sh\necho "$CODEBLUE_ORDER" >> {performed}\nsleep 0.2\n'
    agent = make_agent(config(web, hook, slack, executable(tmp_path / "restart.sh", text)))
    others = random.Random(seed + 1)
    hook.rule = lambda _: fitful(others)
    web.status = 503
    agent.start()
    wait_for(lambda: size(performed) and hook.got, 15, "no restart or no page was ever tried: nothing to prove")
    agent.kill()
    with bad_day(web, slack, random.Random(seed + 2)):
        for _ in range(KILLS - 1):
            die_at_a_bad_moment(agent, performed, hook, dice)

    web.status, hook.rule = 200, lambda _: (200, 0.0)
    with agent.running():
        wait_for(lambda: all(row["health"] == "up" for row in agent.get("/api/services")), 20)
        wait_for(lambda: not open_incidents(agent.database), 20, "incidents stay open")
        wait_for(lambda: not unsettled(agent.database), 60, "commands stay unsettled")
    rows = outbox(agent.database)
    restarts_were_not_repeated(rows, performed.read_text().split())
    notices_were_settled(rows, asked_keys(agent.database))
    channel_got_its_pages(rows, "hook", [(got.incident, got.kind, got.key) for got in hook.taken()])
    told = [(each["incident"], each["kind"], each["key"]) for each in slack.told()]
    channel_got_its_pages(rows, "oncall", told)
    print(summary(rows, performed.read_text().split()))


def test_a_page_that_was_being_sent_at_the_kill_is_sent_by_the_next_life(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    agent = make_agent(
        {
            "services": [{"name": "web", "checks": [{"http": web.url}], "page": ["hook"]}],
            "channels": {"hook": hook.channel},
        }
    )
    web.status, hook.rule = 503, lambda number: (200, 2.0 if number == 0 else 0.0)
    agent.start()
    wait_for(lambda: hook.begun, 15)
    agent.kill()
    with agent.running():
        wait_for(lambda: hook.taken("opened"), 10)
        web.status = 200
        wait_for(lambda: hook.taken("resolved"), 10)
        wait_for(lambda: not unsettled(agent.database), 5)
    assert len({got.key for got in hook.taken("opened")}) == 1
    assert len(hook.taken("resolved")) == 1


def restarts_were_not_repeated(rows: list[Row], performed: list[str]) -> None:
    orders = {row.key: row for row in rows if row.kind == "restart"}
    assert [key for key, count in Counter(performed).items() if count > 1] == []
    assert set(performed) <= orders.keys()
    assert {key for key, row in orders.items() if row.outcome == "done"} <= set(performed)
    for service in RESTARTED:
        moments = [row.created_at for row in orders.values() if row.service == service]
        assert most_within(moments, PER) <= AT_MOST


def notices_were_settled(rows: list[Row], asked: list[str]) -> None:
    notices = [row for row in rows if row.kind != "restart"]
    assert set(asked) == {row.key for row in notices if row.kind == "opened"}
    assert {row.status for row in notices} <= {"done", "dead", "cancelled"}
    for opened in (row for row in notices if row.kind == "opened"):
        mine = [row for row in notices if (row.incident, row.channel) == (opened.incident, opened.channel)]
        assert [row.key for row in mine if row.kind == "opened"] == [opened.key]
        closing = [row.status for row in mine if row.kind == "resolved"]
        assert closing == ["done"], f"{opened.key} was closed by {closing}"


def channel_got_its_pages(rows: list[Row], channel: str, taken: list[tuple[str, str, str]]) -> None:
    """What the receiver itself saw: everything that was settled as sent, and nothing under a second key."""
    mine = [row for row in rows if row.channel == channel]
    keys = {key for _, _, key in taken}
    assert {row.key for row in mine if row.status == "done"} <= keys
    assert keys <= {row.key for row in mine}
    for kind in ("opened", "resolved"):
        per_incident = Counter(incident for incident, what, _ in set(taken) if what == kind)
        assert [incident for incident, count in per_incident.items() if count > 1] == []
    resolved = {incident for incident, kind, _ in taken if kind == "resolved"}
    assert {row.incident for row in mine if row.kind == "opened"} == resolved


def summary(rows: list[Row], performed: list[str]) -> str:
    statuses = Counter(f"{row.kind} {row.status} {row.outcome}".strip() for row in rows)
    return f"{KILLS} kills, {len(performed)} restarts, {dict(sorted(statuses.items()))}"
