"""What the intake of heartbeats promises to those who push them, over real connections."""

import asyncio
import resource
from datetime import timedelta

import pytest

from agent.ports import BeatState
from agent.web.beats import KEPT, LONGEST, Refused, parse_path
from agent.web.gate import Gate
from tests.web.site import NOW, Browser, Site, serving

TOKEN = {"X-Codeblue-Token": "s3cret-beat"}
TO_BEAT = b"POST /beat/worker/beat HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALF_SENT = TO_BEAT + b"X-Codeblue-Token: s3cret-beat\r\nContent-Length: 9\r\n\r\nhalf"


def beat_site(**more: object) -> Site:
    tokens = {("worker", "beat"): "s3cret-beat", ("worker", "open"): None}
    return Site(beat_tokens=tokens, **more)  # type: ignore[arg-type]


def state(site: Site, check: str = "beat") -> BeatState:
    return site.beats.state("worker", check)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_every_method_that_people_have_at_hand_beats(method: str) -> None:
    site = beat_site()
    async with serving(site) as browser:
        answer = await browser.ask("/beat/worker/beat", method, TOKEN)
    assert answer.status == 200
    assert answer.body == (b"" if method == "HEAD" else b'{"taken":true}\n')
    assert state(site).total == 1


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Authorization": "Bearer s3cret-beat"}, id="bearer"),
        pytest.param({"Authorization": "Basic OnMzY3JldC1iZWF0"}, id="password of basic"),
        pytest.param({"X-Codeblue-Token": "s3cret-beat"}, id="header of our own"),
    ],
)
async def test_a_token_may_come_in_any_usual_header(headers: dict[str, str]) -> None:
    async with serving(beat_site()) as browser:
        assert (await browser.ask("/beat/worker/beat", headers=headers)).status == 200


async def test_a_token_may_come_in_the_path() -> None:
    site = beat_site()
    async with serving(site) as browser:
        assert (await browser.ask("/beat/~s3cret-beat/worker/beat/start")).status == 200
    assert state(site).start is not None


@pytest.mark.parametrize(
    ("path", "headers", "status", "says"),
    [
        pytest.param("/beat/worker/beat", {}, 403, "wrong or missing token for worker/beat", id="no token"),
        pytest.param("/beat/~nope/worker/beat", {}, 403, "wrong or missing token", id="wrong token in the path"),
        pytest.param("/beat/worker/beat", {"Authorization": "Bearer nope"}, 403, "wrong or missing", id="wrong bearer"),
        pytest.param("/beat/worker/beat", {"Authorization": "Basic !!"}, 403, "wrong or missing", id="no base64"),
        pytest.param("/beat/worker/nope", TOKEN, 404, "there is no heartbeat check worker/nope", id="unknown check"),
        pytest.param("/beat/worker", TOKEN, 404, "expected /beat/", id="no check"),
        pytest.param("/beat/", TOKEN, 404, "expected /beat/", id="nothing"),
        pytest.param("/beat/worker/beat/start/now", TOKEN, 404, "expected /beat/", id="too long a path"),
        pytest.param("/beat/worker/beat/stop", TOKEN, 404, "'stop' is neither a signal", id="no signal"),
        pytest.param("/beat/worker/beat/256", TOKEN, 404, "neither a signal nor an exit code", id="no exit code"),
        pytest.param("/beat/worker/beat?rid=" + "x" * 65, TOKEN, 400, "rid is longer than 64", id="long run id"),
    ],
)
async def test_a_beat_that_is_not_taken_says_why(path: str, headers: dict[str, str], status: int, says: str) -> None:
    site = beat_site()
    async with serving(site) as browser:
        answer = await browser.ask(path, headers=headers)
    assert answer.status == status
    assert says in answer.text
    assert '"taken":false' in answer.text
    assert "s3cret" not in answer.text
    assert state(site).total == 0


async def test_another_method_is_told_which_ones_beat() -> None:
    async with serving(beat_site()) as browser:
        answer = await browser.ask("/beat/worker/beat", "DELETE", TOKEN)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST, PUT")


@pytest.mark.parametrize(
    ("signal", "kind", "exit_code"),
    [
        ("", "success", None),
        ("/", "success", None),
        ("/success", "success", None),
        ("/start", "start", None),
        ("/fail", "fail", None),
        ("/log", "log", None),
        ("/0", "success", 0),
        ("/1", "fail", 1),
        ("/255", "fail", 255),
    ],
)
async def test_the_end_of_the_path_says_what_the_beat_means(signal: str, kind: str, exit_code: int | None) -> None:
    site = beat_site()
    async with serving(site) as browser:
        assert (await browser.ask(f"/beat/worker/beat{signal}?rid=run-7", "POST", TOKEN, b"done")).status == 200
    last = state(site).last
    assert last is not None
    assert (last.kind, last.exit_code, last.run_id, last.body, last.at) == (kind, exit_code, "run-7", "done", NOW)


def test_names_are_decoded_after_the_path_is_split() -> None:
    assert parse_path(b"/beat/a%2Fb/c%20d/start") == (None, "a/b", "c d", "start", None)
    assert parse_path(b"/beat/~a%2Fb/svc/check") == ("a/b", "svc", "check", "success", None)
    with pytest.raises(Refused):
        parse_path(b"/beat//check")


async def test_start_and_success_of_one_run_give_its_duration() -> None:
    site = beat_site()
    async with serving(site) as browser:
        await browser.ask("/beat/worker/beat/start?rid=a", headers=TOKEN)
        site.now += timedelta(seconds=90)
        await browser.ask("/beat/worker/beat?rid=a", headers=TOKEN)
    assert state(site).took == timedelta(seconds=90)


async def test_ten_kib_of_a_body_are_kept_and_the_beat_is_taken_whole() -> None:
    site = beat_site()
    async with serving(site) as browser:
        answer = await browser.ask("/beat/worker/beat", "POST", TOKEN, b"x" * 500_000)
    assert answer.status == 200
    last = state(site).last
    assert last is not None
    assert last.body.startswith("x" * KEPT)
    assert len(last.body) < KEPT + 100


async def send_without_end(browser: Browser, headers: bytes, limit: int = 1 << 30) -> bytes:
    """Sends a body until somebody answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
    writer.write(TO_BEAT + headers + b"\r\n")
    answer = asyncio.create_task(reader.readuntil(b"}\n"))
    block, sent = b"x" * 65_536, 0
    while not answer.done() and sent < limit:
        writer.write(block)
        sent += len(block)
        await writer.drain()
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        data = await answer
    writer.close()
    return data


@pytest.mark.parametrize(
    ("token", "status", "taken"),
    [
        pytest.param(b"X-Codeblue-Token: s3cret-beat\r\n", b"413", b'"taken":true', id="right token"),
        pytest.param(b"X-Codeblue-Token: wrong\r\n", b"403", b'"taken":false', id="wrong token"),
    ],
)
async def test_a_gigabyte_is_answered_early_and_never_held_in_memory(token: bytes, status: bytes, taken: bytes) -> None:
    site = beat_site()
    async with serving(site) as browser:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        data = await send_without_end(browser, token + b"Content-Length: 1000000000\r\n")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert data.startswith(b"HTTP/1.1 " + status)
    assert taken in data
    assert grown < 8 * 1024  # KiB
    last = state(site).last
    assert (last is not None and last.body.startswith("x" * KEPT)) is (status == b"413")


async def test_an_endless_chunked_body_is_cut_as_well() -> None:
    site = beat_site()
    async with serving(site) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(b"POST /beat/worker/beat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Codeblue-Token: s3cret-beat\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        for _ in range(LONGEST // 65_536 + 2):
            writer.write(chunk)
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert state(site).total == 1


async def test_a_sender_that_asks_first_is_not_asked_for_a_body_that_is_too_long() -> None:
    async with serving(beat_site()) as browser:
        reader, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(b"PUT /beat/worker/beat HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Codeblue-Token: s3cret-beat\r\n")
        writer.write(b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n")
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_that_never_ends_is_no_beat_and_does_not_keep_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.web.beats.PATIENCE", 0.2)
    monkeypatch.setattr("agent.web.beats.LINGER", 0.1)
    site = beat_site()
    async with serving(site) as browser:
        answer = await browser.send(HALF_SENT)
    assert answer.status == 408
    assert "did not arrive" in answer.text
    assert state(site).total == 0


async def test_a_sender_that_goes_away_before_the_end_has_not_beaten() -> None:
    site = beat_site()
    async with serving(site) as browser:
        _, writer = await asyncio.open_connection("127.0.0.1", browser.port)
        writer.write(
            b"POST /beat/worker/beat HTTP/1.1\r\nHost: x\r\nX-Codeblue-Token: s3cret-beat\r\nContent-Length: 9\r\n\r\nh"
        )
        await writer.drain()
        writer.close()
        for _ in range(100):
            if b"aborted" in b"".join(site.metrics.render()[1]):
                break
            await asyncio.sleep(0.02)
    assert 'codeblue_beats_total{kind="success",outcome="aborted"} 1.0' in b"".join(site.metrics.render()[1]).decode()
    assert state(site).total == 0


async def test_beats_are_counted_by_what_became_of_them() -> None:
    site = beat_site()
    async with serving(site) as browser:
        await browser.ask("/beat/worker/beat/fail", headers=TOKEN)
        await browser.ask("/beat/worker/beat")
        await browser.ask("/beat/worker/nope", headers=TOKEN)
    text = b"".join(site.metrics.render()[1]).decode()
    for labels in (
        'kind="fail",outcome="taken"',
        'kind="success",outcome="refused"',
        'kind="success",outcome="unknown"',
    ):
        assert f"codeblue_beats_total{{{labels}}} 1.0" in text


async def test_a_check_without_a_token_is_open_on_this_machine_only_by_this_machines_names() -> None:
    async with serving(beat_site()) as browser:
        assert (await browser.ask("/beat/worker/open")).status == 200
        assert (await browser.ask("/beat/worker/open", headers={"Host": "localhost:9797"})).status == 200
        assert (await browser.ask("/beat/worker/open", headers={"Host": "rebound.example:9797"})).status == 403


async def test_with_agent_tokens_a_check_without_its_own_needs_one_of_them() -> None:
    async with serving(beat_site(tokens=("first-token", "agent-token"))) as browser:
        assert (await browser.ask("/beat/worker/open")).status == 403
        assert (await browser.ask("/beat/worker/open", headers={"Authorization": "Bearer agent-token"})).status == 200
        assert (await browser.ask("/beat/worker/beat", headers={"Authorization": "Bearer agent-token"})).status == 200
        assert (await browser.ask("/beat/worker/beat", headers=TOKEN)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="an image on a page elsewhere"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="a page of a neighbour"),
        pytest.param({"Origin": "https://evil.example"}, id="a form, in an older browser"),
        pytest.param({"Origin": "null"}, id="a sandboxed frame"),
    ],
)
async def test_a_browser_cannot_be_talked_into_beating(headers: dict[str, str]) -> None:
    site = beat_site()
    async with serving(site) as browser:
        answer = await browser.ask("/beat/worker/open/fail", headers=headers)
    assert answer.status == 403
    assert state(site, "open").total == 0


def test_a_gate_without_tokens_knows_none() -> None:
    assert Gate().knows("") is False
    assert Gate(("one", "two")).knows("two") is True
    assert Gate(("one", "two")).knows("") is False
    assert Gate(("one",)).knows("ö\ud800") is False
