"""What the HTTP side says, over real connections."""

import asyncio
import gzip
import json
from asyncio.subprocess import PIPE
from datetime import timedelta
from typing import Any

import orjson
import pytest

from agent.core.commands import Notice, NoticeKind
from agent.core.events import Decision, Event, EventKind
from agent.core.result import Verdict
from agent.core.state import Health, ServiceState
from agent.ports import Run, StoreUnavailable
from agent.stores.memory import MemoryStore
from agent.web.answers import accepts_gzip, json_list, to_json
from agent.web.gate import is_loopback_name
from tests.web.site import NOW, Site, a_check, a_service, ago, serving


class AwayStore(MemoryStore):
    """A store whose disk is full."""

    async def history(self, *_: Any, **__: Any) -> Any:
        raise StoreUnavailable("disk full")

    runs = dead_letters = history


async def asked(site: Site, path: str, **more: Any) -> Any:
    async with serving(site) as browser:
        answer = await browser.ask(path, **more)
    return answer.status, json.loads(answer.body)


async def test_healthz_answers_while_the_loop_runs() -> None:
    assert await asked(Site(), "/healthz") == (200, {"alive": True, "agent": "web-1", "version": "0.1.0"})


@pytest.mark.parametrize(
    ("trouble", "status", "reason"),
    [
        pytest.param({}, 200, None, id="all is well"),
        pytest.param({"ready": False}, 503, "not started yet", id="starting"),
        pytest.param({"oldest_page": 60.0}, 200, None, id="a page that is not overdue yet"),
        pytest.param({"oldest_page": 75.0}, 503, "a page has waited for 1 min 15 s", id="an overdue page"),
        pytest.param({"store_trouble": "database is locked"}, 503, "store: database is locked", id="store"),
        pytest.param({"scheduler_stalled": 12.0}, 503, "checks are late by 12 s", id="a stalled scheduler"),
    ],
)
async def test_readyz_says_why_the_agent_cannot_do_its_job(
    trouble: dict[str, Any], status: int, reason: str | None
) -> None:
    site = Site()
    for name, value in trouble.items():
        setattr(site.vitals, name, value)
    assert await asked(site, "/readyz") == (
        status,
        {"ready": status == 200, "reasons": [reason] if reason else [], "degraded": []},
    )


async def test_what_somebody_should_look_at_does_not_make_the_agent_unready() -> None:
    site = Site()
    site.vitals.dead_letters = 2
    site.vitals.config_trouble = "config.yaml:3: bad"
    site.vitals.channel_trouble = {"oncall": "invalid_auth"}
    site.vitals.oncall_trouble = {"primary": "the calendar its server answered 500"}
    status, answer = await asked(site, "/readyz")
    assert status == 200
    assert len(answer["degraded"]) == 4


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text;version=1.0.0"])
@pytest.mark.parametrize("encoding", ["identity", "gzip, deflate"])
async def test_metrics_are_served_in_both_formats_plain_and_compressed(accept: str, encoding: str) -> None:
    async with serving(Site()) as browser:
        answer = await browser.ask("/metrics", headers={"Accept": accept, "Accept-Encoding": encoding})
    body = gzip.decompress(answer.body) if encoding.startswith("gzip") else answer.body
    assert answer.headers["content-type"].startswith(accept.split(";")[0] or "text/plain; version=0.0.4")
    assert b'codeblue_check_up{service="photos-api",check="http",type="http"} 0' in body
    assert body.endswith(b"# EOF\n") is bool(accept)


async def test_promtool_is_content_with_what_is_really_served() -> None:
    async with serving(Site()) as browser:
        answer = await browser.ask("/metrics")
    pipes = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
    process = await asyncio.create_subprocess_exec("promtool", "check", "metrics", **pipes)
    said = await asyncio.wait_for(process.communicate(answer.body), 20)
    assert (process.returncode, *said) == (0, b"", b"")


async def test_services_are_listed_worst_first() -> None:
    _, answer = await asked(Site(), "/api/services")
    assert [service["health"] for service in answer][:6] == ["down", "suspect", "unknown", "degraded", "pending", "up"]
    assert answer[0] == {
        "name": "photos-api",
        "health": "down",
        "since": "2026-11-21T03:05:47Z",
        "checks": 2,
        "failing": ["http"],
        "summary": "http: connection refused by 10.1.2.3:8080",
        "incident": "i1",
        "stage": "paged",
        "held_by": [],
        "quiet": "",
    }


async def test_one_health_can_be_asked_for() -> None:
    _, answer = await asked(Site(), "/api/services?health=degraded")
    assert [service["name"] for service in answer] == ["mail"]


async def test_ten_thousand_services_are_a_valid_answer() -> None:
    site = Site(services=[a_service(f"s{number}", Health.UP, a_check()) for number in range(10_000)])
    _, answer = await asked(site, "/api/services")
    assert len({service["name"] for service in answer}) == 10_000


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5], ids=str)
def test_a_long_list_is_one_json_array_wherever_its_parts_end(count: int) -> None:
    assert orjson.loads(b"".join(json_list(range(count), str, size=2))) == list(range(count))


async def test_one_service_is_told_with_its_checks_and_its_incident() -> None:
    _, answer = await asked(Site(), "/api/services/photos-api")
    assert answer["incident"]["asked"][0]["channel"] == "oncall"
    assert [(c["name"], c["verdict"], c["misses"]) for c in answer["checks"]] == [
        ("http", "fail", 9),
        ("disk", "warn", 0),
    ]


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/api/services/nope", 404, "there is no service 'nope'"),
        ("/api/explain/nope", 404, "there is no service 'nope'"),
        ("/services/nope", 404, "there is no service 'nope'"),
        ("/api/nope", 404, "there is no /api/nope"),
        ("/api/incidents?since=yesterday", 400, "since: "),
        ("/api/dead-letters/replay", 405, "Method Not Allowed"),
    ],
)
async def test_what_is_not_there_is_said_so(path: str, status: int, error: str) -> None:
    found, answer = await asked(Site(), path)
    assert found == status
    assert answer["error"].startswith(error)


async def filled_store() -> MemoryStore:
    store = MemoryStore()
    events = [
        Event(kind=kind, service="photos-api", at=ago(80), text=text, incident="i1", data={"reason": "refused"})
        for kind, text in [(EventKind.MISSED, "missed beat 1 of 2"), (EventKind.OPENED, "incident opened")]
    ]
    letter = Notice(
        key="dead1", incident="i1", service="photos-api", channel="oncall", kind=NoticeKind.OPENED,
        title="t", summary="s", at=ago(70), opened_at=ago(75),
    )  # fmt: skip
    state = ServiceState(service="photos-api")
    await store.commit("photos-api", 0, Decision(state=state, events=tuple(events), commands=(letter,)))
    await store.claim(["dead1"], ago(69))
    await store.bury("dead1", ago(60), "auth: invalid_auth")
    first_at = ago(900)
    run = Run(
        service="photos-api", check="http", verdict=Verdict.PASS, reason="ok", first_at=first_at, last_at=NOW, count=3
    )
    await store.save_runs([run])
    return store


async def test_explain_tells_results_thresholds_budgets_and_the_timeline() -> None:
    _, answer = await asked(Site(store=await filled_store()), "/api/explain/photos-api?since=1h")
    assert answer["policy"]["checks"]["http"] == {"misses": 2, "recover": 2, "retry": 2.0}
    own = {"spent": ["2026-11-21T03:06:02Z"], "left": 2, "next_free_at": None}
    assert answer["restarts"] == {**own, "shared": {"host": 7}}
    assert [event["text"] for event in answer["timeline"]] == ["missed beat 1 of 2", "incident opened"]
    assert answer["runs"][0]["count"] == 3
    assert answer["service"]["checks"][0]["down"] is True


async def test_incidents_are_told_open_and_recent() -> None:
    _, answer = await asked(Site(store=await filled_store()), "/api/incidents")
    assert [incident["id"] for incident in answer["open"]] == ["i1"]
    assert [event["kind"] for event in answer["recent"]] == ["opened"]


async def test_dead_letters_are_listed_and_replayed() -> None:
    site = Site(store=await filled_store())
    _, letters = await asked(site, "/api/dead-letters")
    assert [(letter["command"]["key"], letter["error"]) for letter in letters] == [("dead1", "auth: invalid_auth")]
    for body, count in ((b'{"keys": ["a", "b"]}', 2), (b'{"all": true}', 1)):
        answered = await asked(site, "/api/dead-letters/replay", method="POST", body=body)
        assert answered == (200, {"replayed": count, "over": 0})
    assert site.replayed == ["a", "b", "dead1"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param(b"", 400, id="nothing"),
        pytest.param(b"{", 400, id="no JSON"),
        pytest.param(b'["a"]', 400, id="no object"),
        pytest.param(b'{"keys": "a"}', 400, id="no list"),
        pytest.param(b'{"keys": [1]}', 400, id="no texts"),
        pytest.param(b'{"keys": []}', 400, id="none"),
        pytest.param(b'{"all": "yes"}', 400, id="all must be true"),
        pytest.param(b" " * 300_000, 413, id="too long"),
        pytest.param(b" " * 1_200_000, 413, id="far too long, and heard to its end"),
    ],
)
async def test_a_bad_replay_is_refused(body: bytes, status: int) -> None:
    site = Site()
    found, answer = await asked(site, "/api/dead-letters/replay", method="POST", body=body)
    assert found == status
    assert answer["error"]
    assert site.replayed == []


@pytest.mark.parametrize("path", ["/api/incidents", "/api/explain/photos-api", "/api/dead-letters"])
async def test_a_store_that_is_away_is_said_so(path: str) -> None:
    status, answer = await asked(Site(store=AwayStore()), path)
    assert (status, answer) == (503, {"error": "the store cannot answer now: disk full"})


# ---------------------------------------------------------------------------------------------------- who may ask


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/services", "/services/photos-api", "/api/dead-letters"])
async def test_with_tokens_every_page_needs_one(path: str) -> None:
    async with serving(Site(tokens=("t0ken-one", "t0ken-two"))) as browser:
        refused = await browser.ask(path)
        wrong = await browser.ask(path, headers={"Authorization": "Bearer nope"})
        right = await browser.ask(path, headers={"Authorization": "Bearer t0ken-two"})
        by_password = await browser.ask(path, headers={"Authorization": "Basic YW5hOnQwa2VuLW9uZQ=="})
    assert [refused.status, wrong.status, right.status, by_password.status] == [401, 401, 200, 200]
    assert refused.headers["www-authenticate"].startswith("Basic")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_the_agents_own_health_needs_no_token(path: str) -> None:
    async with serving(Site(tokens=("t0ken",))) as browser:
        assert (await browser.ask(path)).status == 200


async def test_a_foreign_name_that_resolves_to_this_machine_is_refused() -> None:
    async with serving(Site()) as browser:
        assert (await browser.ask("/api/services", headers={"Host": "rebound.example"})).status == 403
        assert (await browser.ask("/metrics", headers={"Host": "127.0.0.1.evil.example:9797"})).status == 403
    async with serving(Site(tokens=("t0ken",))) as browser:
        headers = {"Host": "agent.internal", "Authorization": "Bearer t0ken"}
        assert (await browser.ask("/api/services", headers=headers)).status == 200


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        *((ours, True) for ours in ("127.0.0.1", "127.8.9.1:80", "localhost:9797", "LOCALHOST", "[::1]:9797")),
        *((other, False) for other in ("", "0.0.0.0", "localhost.evil.example", "[::2]", "10.0.0.1")),
    ],
)
def test_which_names_mean_this_machine_for_everybody(host: str, ours: bool) -> None:
    assert is_loopback_name(host) is ours


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}], ids=["newer browser", "older"]
)
async def test_a_page_elsewhere_cannot_replay_through_a_visitors_browser(headers: dict[str, str]) -> None:
    site = Site(tokens=("t0ken",))
    headers = {**headers, "Authorization": "Basic YTp0MGtlbg=="}
    status, _ = await asked(site, "/api/dead-letters/replay", method="POST", body=b'{"all": true}', headers=headers)
    assert status == 403
    assert site.replayed == []


async def test_no_answer_holds_a_registered_secret() -> None:
    leak = a_service("leak", Health.DOWN, a_check(summary="POST https://hooks/s3cret failed", verdict=None))
    site = Site(services=[leak], secret="s3cret")
    async with serving(site) as browser:
        for path in ("/", "/services/leak", "/api/services", "/api/services/leak", "/api/explain/leak"):
            answer = await browser.ask(path)
            assert answer.status == 200
            assert "s3cret" not in answer.text, path


async def test_a_crash_is_one_clear_answer() -> None:
    broken = AwayStore()
    broken.history = None  # type: ignore[method-assign,assignment]
    site = Site(store=broken)
    status, answer = await asked(site, "/api/incidents")
    assert (status, answer) == (500, {"error": "internal error: see the agent's log"})


# ---------------------------------------------------------------------------------------------------- form of answers


def test_json_takes_whatever_the_core_is_made_of() -> None:
    value = {"span": timedelta(seconds=1.5), "set": {"b", "a"}, "odd": "half \ud800", "list": [timedelta(0)]}
    assert orjson.loads(to_json(value)) == {"span": 1.5, "set": ["a", "b"], "odd": "half ?", "list": [0.0]}
    assert b'"service":"?"' in to_json(ServiceState(service="\ud800"))
    with pytest.raises(TypeError):
        to_json(object())


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", False), ("gzip", True), ("deflate, GZIP;q=0.5", True), ("gzip;q=0", False), ("*", True), ("br", False)],
)
def test_gzip_is_used_for_who_takes_it(header: str, expected: bool) -> None:
    assert accepts_gzip(header) is expected


async def test_a_scrape_lets_other_work_pass() -> None:
    site = Site(services=[a_service(f"s{number}", Health.UP, a_check()) for number in range(5_000)])
    turns = 0

    async def other_work() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with serving(site) as browser:
        task = asyncio.create_task(other_work())
        await asyncio.sleep(0)
        before = turns
        answer = await browser.ask("/metrics")
        task.cancel()
    assert len(answer.body) > 3_000_000
    assert turns - before > 60
