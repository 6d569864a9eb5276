"""The webhook channel against real servers: what arrives, what counts as delivered, and what never gets out."""

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme

from agent.ports import DeliveryError, Receipt
from agent.signing import signature
from alerts.channels.webhook import WebhookChannel, WebhookOptions
from alerts.webhook_body import body, cloud_event
from tests.alerts.builders import OPENED, RESOLVED
from tests.hooks import Hook, hook_server

NOW = datetime(2026, 3, 1, 3, 12, 5, tzinfo=UTC)
SECRET_PATH = "/services/T000/s3cr3t-path?key=s3cr3t-query"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as made:
        yield made


@pytest.fixture
def black_hole() -> Any:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
async def dripper() -> AsyncIterator[str]:
    """Sends a header, byte by byte, for ever: no single read times out."""

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


def make(url: str, **options: Any) -> WebhookChannel:
    return WebhookChannel("hook", WebhookOptions(url=url, **({"timeout": "5s"} | options)), now=lambda: NOW)


async def test_a_cloud_event_is_signed_over_the_bytes_that_are_sent(hook: Hook) -> None:
    await make(hook.url, secret="hush", format="cloudevents").send(OPENED, None)
    ((_, _, headers, payload),) = hook.got
    assert payload == cloud_event(OPENED)
    assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["X-Codeblue-Signature"] == signature(payload, "hush", NOW)
    assert headers["Idempotency-Key"] == json.loads(payload)["id"]


async def refused(channel: WebhookChannel) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await channel.send(OPENED, None)
    return raised.value


async def test_a_notice_arrives_as_signed_json(hook: Hook) -> None:
    receipt = await make(hook.url + SECRET_PATH, secret="hush", headers={"Authorization": "Bearer b"}).send(
        OPENED, None
    )
    ((method, path, headers, payload),) = hook.got
    assert receipt == Receipt(data={"status": "200"})
    assert (method, path) == ("POST", SECRET_PATH)
    assert payload == body(OPENED)
    assert headers["X-Codeblue-Signature"] == signature(payload, "hush", NOW)
    assert headers["Idempotency-Key"] == OPENED.key
    assert headers["Authorization"] == "Bearer b"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"].startswith("codeblue/")


async def test_a_retry_has_the_same_key_and_the_same_body(hook: Hook) -> None:
    hook.answers = [(500, {}), (204, {})]
    channel = make(hook.url)
    assert (await refused(channel)).retryable
    await channel.send(OPENED, None)
    assert hook.got[0][3] == hook.got[1][3]
    assert hook.got[0][2]["Idempotency-Key"] == hook.got[1][2]["Idempotency-Key"]


async def test_config_chooses_the_method(hook: Hook) -> None:
    await make(hook.url, method="PUT").send(OPENED, None)
    assert hook.got[0][0] == "PUT"


async def test_a_closing_notice_without_its_opening_says_so(hook: Hook) -> None:
    await make(hook.url).send(RESOLVED, None)
    assert json.loads(hook.got[0][3])["note"] == "The page that opened this incident never arrived here."


async def test_netrc_adds_nobodys_password(hook: Hook, tmp_path, monkeypatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password private\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    await make(hook.url).send(OPENED, None)
    assert "Authorization" not in hook.got[0][2]


@pytest.mark.parametrize(
    ("status", "headers", "reason", "retryable", "wait"),
    [
        pytest.param(429, {"Retry-After": "30"}, "rate_limited", True, 30.0, id="429 with seconds"),
        pytest.param(503, {"Retry-After": "Sun, 01 Mar 2026 03:13:05 GMT"}, "server", True, 60.0, id="503 with a date"),
        pytest.param(500, {}, "server", True, None, id="500"),
        pytest.param(408, {}, "timeout", True, None, id="408"),
        pytest.param(425, {}, "server", True, None, id="425"),
        pytest.param(400, {}, "invalid", False, None, id="400"),
        pytest.param(401, {}, "auth", False, None, id="401"),
        pytest.param(403, {}, "auth", False, None, id="403"),
        pytest.param(404, {}, "not_found", False, None, id="404"),
        pytest.param(410, {}, "not_found", False, None, id="410"),
        pytest.param(304, {}, "redirect", False, None, id="304"),
    ],
)
async def test_what_is_not_2xx_is_not_delivered(
    hook: Hook, status: int, headers: dict[str, str], reason: str, retryable: bool, wait: float | None
) -> None:
    hook.answers = [(status, headers)]
    failed = await refused(make(hook.url))
    assert (failed.reason, failed.retryable, failed.retry_after) == (reason, retryable, wait)
    assert str(status) in str(failed)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(hook: Hook, status: int) -> None:
    hook.answers = [(status, {"Location": f"{hook.url}/elsewhere"}), (200, {})]
    failed = await refused(make(hook.url))
    assert (failed.reason, failed.retryable) == ("redirect", False)
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    ("url", "reason", "retryable"),
    [
        pytest.param("http://127.0.0.1:1/s3cr3t", "network", True, id="nobody listens"),
        pytest.param("http://a..b/s3cr3t", "invalid", False, id="a host that no name server can know"),
    ],
)
async def test_a_host_that_can_not_be_asked(url: str, reason: str, retryable: bool) -> None:
    failed = await refused(make(url))
    assert (failed.reason, failed.retryable) == (reason, retryable)
    assert "s3cr3t" not in str(failed)


async def test_a_server_that_never_answers_is_given_up_in_time(black_hole: str) -> None:
    failed = await refused(make(black_hole, timeout="100ms"))
    assert (failed.reason, failed.retryable) == ("timeout", True)


async def test_a_server_that_drips_its_answer_is_given_up_in_time(dripper: str) -> None:
    async with asyncio.timeout(3):
        failed = await refused(make(dripper, timeout="200ms"))
    assert (failed.reason, failed.retryable) == ("timeout", True)


async def test_a_black_hole_delays_no_other_channel_and_no_other_page_of_its_own(hook: Hook, black_hole: str) -> None:
    hole = make(black_hole, timeout="1s")
    stuck = [asyncio.create_task(refused(hole)) for _ in range(12)]
    async with asyncio.timeout(0.9):
        await asyncio.sleep(0)
        await make(hook.url).send(OPENED, None)
    failures = await asyncio.gather(*stuck)
    assert {(failed.reason, failed.retryable) for failed in failures} == {("timeout", True)}
    assert sum("hangs" in str(failed) for failed in failures) == 4


async def test_verification_connects_and_asks_nothing(hook: Hook) -> None:
    await make(hook.url).verify()
    assert hook.got == []


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:1/s3cr3t", id="nobody listens"),
        pytest.param("http://a..b/s3cr3t", id="a host that no name server can know"),
    ],
)
async def test_verification_refuses_a_host_that_is_not_there(url: str) -> None:
    with pytest.raises(DeliveryError) as failed:
        await make(url).verify()
    assert failed.value.reason == "network"
    assert "s3cr3t" not in str(failed.value)


@pytest.mark.parametrize("trusted", [True, False])
async def test_tls_is_verified_with_the_bundle_of_the_environment(trusted: bool, tmp_path, monkeypatch) -> None:
    import ssl

    ca = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65_536)
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    channel = make(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/x")
    if trusted:
        ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        await channel.verify()
        assert (await channel.send(OPENED, None)).data["status"] == "204"
    else:
        with pytest.raises(DeliveryError, match="no TLS that can be trusted"):
            await channel.verify()
        failed = await refused(channel)
        assert (failed.reason, failed.retryable) == ("network", True)
    server.close()


async def test_a_proxy_of_the_environment_is_used(hook: Hook, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", hook.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    channel = make("http://hooks.example/x")
    await channel.verify()
    await channel.send(OPENED, None)
    assert [path for _, path, _, _ in hook.got] == ["http://hooks.example/x"]


@pytest.mark.parametrize("status", [200, 302, 404, 500])
async def test_what_is_secret_in_the_url_is_in_no_error_and_in_no_log(
    hook: Hook, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [(status, {})]
    channel = make(hook.url + SECRET_PATH, secret="s3cr3t-key", headers={"X-Key": "s3cr3t-header"})
    said = ""
    with caplog.at_level(logging.DEBUG):
        try:
            await channel.send(OPENED, None)
        except DeliveryError as failed:
            said = "".join(traceback.format_exception(failed))
    assert "s3cr3t" not in said + caplog.text
    options = WebhookOptions(url=hook.url + SECRET_PATH, secret="s3cr3t-key", headers={"X-Key": "s3cr3t-header"})
    assert "s3cr3t" not in repr(options) + options.model_dump_json()
