"""What the status pages show to people."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from agent.core.events import Event, EventKind
from agent.core.result import Verdict
from agent.core.state import Acknowledgement, Asked, Health, Stage
from agent.ports import Run
from agent.web.pages import MOST_UNWELL, MOST_WELL, headline, in_full
from agent.web.strip import spoken, strip
from tests.web.site import NOW, Answer, Site, a_check, a_service, ago, an_incident, serving
from tests.web.test_api import AwayStore, filled_store


async def page(site: Site, path: str = "/") -> Answer:
    async with serving(site) as browser:
        return await browser.ask(path)


def a_run(first: float, last: float, verdict: Verdict = Verdict.PASS, check: str = "http") -> Run:
    return Run(
        service="photos-api", check=check, verdict=verdict, reason="x", first_at=ago(first), last_at=ago(last), count=2
    )


async def test_the_first_line_says_what_is_wrong_and_the_worst_service_comes_first() -> None:
    text = (await page(Site())).text
    assert "<h1>1 of 9 services is down</h1>" in text
    assert "<title>1 of 9 services is down · web-1</title>" in text
    listing = text[text.index("<h2>Services") :]
    places = [
        listing.index(f'/services/{name}"') for name in ("photos-api", "shop", "edge", "mail", "new", "photos-db")
    ]
    assert places == sorted(places)


async def test_an_open_incident_is_told_with_what_was_tried_and_who_was_asked() -> None:
    text = (await page(Site())).text
    for said in (
        "connection refused by 10.1.2.3:8080",
        "restart by systemd: done",
        "paged oncall: delivered",
        "1 min 15 s",
    ):
        assert said in text


async def test_the_agents_own_trouble_stands_above_everything() -> None:
    site = Site()
    site.vitals.store_trouble = "database is locked"
    text = (await page(site)).text
    assert (
        text.index("This agent itself is in trouble")
        < text.index("store: database is locked")
        < text.index("Open incid")
    )


async def test_what_comes_from_outside_is_escaped() -> None:
    nasty = a_service("x", Health.DOWN, a_check(summary="<script>alert(1)</script>", verdict=Verdict.FAIL))
    nasty.state = a_service("x", Health.DOWN, incident=an_incident("x", summary="<b>bold</b>")).state
    for path in ("/", "/services/x"):
        text = (await page(Site(services=[nasty]), path)).text
        assert "<script>alert" not in text
        assert "<b>bold" not in text
        assert "&lt;b&gt;bold" in text


async def test_a_page_may_load_and_run_nothing_but_its_own() -> None:
    answer = await page(Site())
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert answer.text.count(f'nonce="{nonce}"') == answer.text.count("<style") + answer.text.count("<script") == 2
    assert (await page(Site())).headers["content-security-policy"] != policy


async def test_ten_thousand_services_make_a_small_page() -> None:
    up = [a_service(f"up-{number}", Health.UP, a_check()) for number in range(9_000)]
    down = [a_service(f"down-{number}", Health.DOWN, a_check(verdict=Verdict.FAIL)) for number in range(1_000)]
    answer = await page(Site(services=[*up, *down]))
    assert "1000 of 10000 services are down" in answer.text
    assert answer.text.count('class="line ') == MOST_UNWELL + MOST_WELL
    assert f"{10_000 - MOST_UNWELL - MOST_WELL} more services are not shown" in answer.text
    assert len(answer.body) < 600_000


async def test_the_last_hour_of_a_service_in_trouble_is_a_strip() -> None:
    site = Site()
    await site.store.save_runs([a_run(1800, 120), a_run(110, 0, Verdict.FAIL)])
    text = (await page(site)).text
    assert 'aria-label="Last hour: 30 × no run, 28 × pass, 2 × fail"' in text


async def test_a_strip_goes_on_to_now_while_a_check_says_the_same_for_long() -> None:
    failing = a_check(verdict=Verdict.FAIL, at=ago(4).timestamp(), run_since=ago(600).timestamp(), run_count=300)
    site = Site(services=[a_service("photos-api", Health.DOWN, failing)])
    await site.store.save_runs([a_run(1800, 610)])
    for path in ("/", "/services/photos-api"):
        assert 'aria-label="Last hour: 30 × no run, 20 × pass, 10 × fail"' in (await page(site, path)).text


@pytest.mark.parametrize("stage", Stage)
async def test_whatever_an_incident_waits_for_the_pages_come_and_say_it(stage: Stage) -> None:
    waiting = a_service("shop", Health.DOWN, a_check(verdict=Verdict.FAIL))
    waiting.state = replace(waiting.state, incident=replace(an_incident("shop"), stage=stage))
    for path in ("/", "/services/shop"):
        answer = await page(Site(services=[waiting]), path)
        assert answer.status == 200
        assert ("codeblue approve shop" in answer.text) == (stage is Stage.ASKING)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param({"delivered": True}, "paged oncall: delivered", id="arrived"),
        pytest.param({"failed": "invalid_auth"}, "paged oncall: not delivered: invalid_auth", id="given up"),
        pytest.param({"instead_of": "chat"}, "paged oncall instead of chat: on its way", id="a fallback, not yet"),
    ],
)
async def test_an_incident_says_what_became_of_its_page(asked: dict[str, Any], said: str) -> None:
    told = an_incident("shop", asked=(Asked(channel="oncall", key="k", at=ago(30), **asked),))
    assert said in (await page(Site(services=[a_service("shop", Health.DOWN, a_check(), incident=told)]))).text


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param(
            {"ack": Acknowledgement(by="alice", at=ago(30), until=ago(-3600))},
            "acknowledged by alice until",
            id="taken",
        ),
        pytest.param({"quiet": "silenced by bob"}, "nobody is asked: silenced by bob", id="silenced"),
        pytest.param({"escalate_at": ago(-60)}, "next step of the escalation, unless", id="escalates"),
    ],
)
async def test_an_incident_says_what_keeps_people_from_being_asked_or_when_the_next_are(
    state: dict[str, Any], said: str
) -> None:
    told = replace(an_incident("shop"), stage=Stage.PAGED, **state)
    site = Site(services=[a_service("shop", Health.DOWN, a_check(), incident=told)])
    assert said in (await page(site)).text


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        pytest.param(EventKind.MISSED, "missed beat 1 of 2", "port: missed beat 1 of 2", id="one result of one check"),
        pytest.param(EventKind.OPENED, "incident opened: port: x", "incident opened: port: x", id="names it itself"),
        pytest.param(EventKind.CHECK_RECOVERED, "port passes again", "port passes again", id="begins with it"),
    ],
)
def test_a_timeline_names_the_check_of_every_result(kind: EventKind, text: str, said: str) -> None:
    assert in_full(Event(kind=kind, service="shop", at=NOW, text=text, check="port")) == said


async def test_a_service_page_has_checks_evidence_budget_timeline_and_runbook() -> None:
    site = Site(store=await filled_store())
    text = (await page(site, "/services/photos-api")).text
    for said in (
        "ERROR pool exhausted",
        "9 missed beats in a row; it is down from 2 on",
        "2 of 3 left",
        "Left to it and others together: 7 of the host.",
        "missed beat 1 of 2",
        'href="https://wiki.internal/photos"',
        'href="/services/photos-db"',
        "ab" * 16,
    ):
        assert said in text


@pytest.mark.parametrize("path", ["/", "/services/photos-api"])
async def test_the_pages_come_without_a_store(path: str) -> None:
    answer = await page(Site(store=AwayStore()), path)
    assert answer.status == 200
    assert "connection refused" in answer.text
    assert ("history is missing: disk full" in answer.text) is (path != "/")


async def test_a_runbook_that_is_no_web_address_is_no_link() -> None:
    site = Site()
    site.policies["photos-api"] = type(site.policies["photos-api"])(service="photos-api", runbook="javascript:alert(1)")
    text = (await page(site, "/services/photos-api")).text
    assert "runbook: javascript:alert(1)" in text
    assert 'href="javascript' not in text


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({}, "Nothing is watched yet"),
        ({Health.UP: 1}, "The one service is up"),
        ({Health.UP: 12}, "All 12 services are up"),
        ({Health.DOWN: 1}, "The one service is down"),
        ({Health.DOWN: 2, Health.UP: 3}, "2 of 5 services are down"),
        ({Health.PENDING: 1, Health.UP: 3}, "1 of 4 services is pending"),
    ],
)
def test_the_headline_is_a_sentence(found: dict[Health, int], said: str) -> None:
    assert headline(found) == said


async def test_a_page_without_services_says_so() -> None:
    assert "Nothing is watched yet" in (await page(Site(services=[]))).text


def test_a_strip_shows_the_worst_of_each_span_and_ignores_what_is_too_old() -> None:
    runs = [
        a_run(9_000, 8_000, Verdict.FAIL),
        a_run(290, 1),
        a_run(110, 100, Verdict.WARN),
        a_run(105, 104, Verdict.FAIL),
    ]
    assert strip(runs, NOW, cells=6) == ["none", "pass", "pass", "pass", "fail", "pass"]
    assert strip([], NOW, cells=2) == ["none", "none"]
    assert strip([a_run(-5, -9)], NOW, cells=2, cell=timedelta(minutes=1)) == ["none", "pass"]


def test_a_strip_can_be_heard() -> None:
    assert spoken(["none", "pass", "pass", "fail"]) == "1 × no run, 2 × pass, 1 × fail"
