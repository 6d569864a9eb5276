"""Orders to another system, on real servers: what arrives, what counts as done, and what never gets out."""

import asyncio
import hashlib
import hmac
import json
import logging
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from pydantic import ValidationError

from agent.actions.hook import HOOK, HookOptions, HookRestart
from agent.core.commands import Outcome
from agent.ports import ActionOutcome
from tests.actions.orders import ORDER, NoChildren
from tests.servers import (
    Authority,
    Handler,
    answering,
    closing,
    drip,
    drip_header,
    free_port,
    read_request,
    redirecting,
    resetting,
    serve,
    silent,
)

SECRET = "/hooks/s3cr3t-path?key=s3cr3t-query"
DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nstarted"


class Seen:
    """A server that keeps what it got."""

    def __init__(self, answer: bytes = DONE) -> None:
        self.answer = answer
        self.heads: list[dict[str, str]] = []
        self.targets: list[str] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await read_request(reader)).decode().strip().split("\r\n")
        self.targets.append(first)
        self.heads.append(dict(line.split(": ", 1) for line in lines))
        self.bodies.append(await reader.readexactly(int(self.heads[-1]["Content-Length"])))
        writer.write(self.answer)
        await writer.drain()
        writer.close()


async def order(url: str, **options: Any) -> ActionOutcome:
    made = HookOptions.model_validate({"url": url, "timeout": "5s", **options})
    return await HookRestart(made, NoChildren(), now=lambda: ORDER.at).perform(ORDER)


async def test_an_order_arrives_as_signed_json_under_its_own_key() -> None:
    seen = Seen()
    async with serve(seen) as port:
        outcome = await order(f"http://127.0.0.1:{port}{SECRET}", secret="hush", headers={"Authorization": "Bearer b"})
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "127.0.0.1 answered 200")
    assert outcome.evidence == {"hook answer": "started"}
    assert seen.targets == [f"POST {SECRET} HTTP/1.1"]
    assert json.loads(seen.bodies[0]) == {
        "version": 1,
        "kind": "restart",
        "key": "restart:photos:17:1",
        "service": "photos",
        "incident": "photos-17",
        "attempt": 2,
        "at": "2026-01-02T03:04:05.000Z",
        "trace_id": "",
    }
    head = seen.heads[0]
    assert head["Idempotency-Key"] == "restart:photos:17:1"
    assert head["Authorization"] == "Bearer b"
    assert head["Content-Type"] == "application/json"
    signed = hmac.new(b"hush", b"1767323045." + seen.bodies[0], hashlib.sha256).hexdigest()
    assert head["X-Codeblue-Signature"] == f"t=1767323045,v1={signed}"


async def test_without_a_secret_nothing_is_signed() -> None:
    seen = Seen()
    async with serve(seen) as port:
        await order(f"http://127.0.0.1:{port}")
    assert "X-Codeblue-Signature" not in seen.heads[0]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_any_2xx_is_done(status: int) -> None:
    async with serve(Seen(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as port:
        assert (await order(f"http://127.0.0.1:{port}")).outcome is Outcome.DONE


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500, 503])
async def test_anything_else_has_failed_and_is_not_asked_again(status: int) -> None:
    seen = Seen(b"HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nbusy" % status)
    async with serve(seen) as port:
        outcome = await order(f"http://127.0.0.1:{port}")
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, f"127.0.0.1 answered {status}")
    assert outcome.evidence == {"hook answer": "busy"}
    assert len(seen.bodies) == 1


async def test_a_redirect_is_not_followed() -> None:
    other = Seen()
    async with serve(other) as elsewhere, serve(redirecting(f"http://127.0.0.1:{elsewhere}/", 307)) as port:
        outcome = await order(f"http://127.0.0.1:{port}")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.FAILED,
        "127.0.0.1 answered 307: redirects are not followed",
    )
    assert other.bodies == []


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(silent, id="silent"),
        pytest.param(drip, id="drips its body"),
        pytest.param(drip_header, id="drips its header"),
    ],
)
async def test_a_hook_that_hangs_is_a_timeout(handler: Handler) -> None:
    began = monotonic()
    async with serve(handler) as port:
        outcome = await order(f"http://127.0.0.1:{port}{SECRET}", timeout="500ms")
    assert (outcome.outcome, outcome.detail) == (
        Outcome.TIMEOUT,
        "127.0.0.1 did not answer within 500ms; it may go on with it",
    )
    assert monotonic() - began < 2


async def test_a_hook_that_keeps_hanging_is_not_asked_without_an_end() -> None:
    async with serve(drip) as port:
        made = HookOptions.model_validate({"url": f"http://127.0.0.1:{port}", "timeout": "200ms"})
        action = HookRestart(made, NoChildren())
        outcomes = [await action.perform(ORDER) for _ in range(3)]
    assert [outcome.outcome for outcome in outcomes] == [Outcome.TIMEOUT, Outcome.TIMEOUT, Outcome.FAILED]
    assert outcomes[2].detail == "127.0.0.1 hangs, so it is not asked again: 2 calls hang"


@pytest.mark.parametrize(
    "handler",
    [pytest.param(closing, id="closes"), pytest.param(resetting, id="resets"),
     pytest.param(answering(b"220 smtp\r\n"), id="is no HTTP")],
)  # fmt: skip
async def test_a_hook_that_breaks_off_has_failed(handler: Handler) -> None:
    async with serve(handler) as port:
        outcome = await order(f"http://127.0.0.1:{port}{SECRET}")
    assert outcome.outcome is Outcome.FAILED
    assert outcome.detail.startswith("127.0.0.1 can't be ")


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("localhost")
    async with serve(Seen(), tls=pair.context()) as port:
        outcome = await order(f"https://localhost:{port}{SECRET}")
    assert (outcome.outcome, outcome.detail) == (Outcome.FAILED, "localhost has no TLS that can be trusted")


async def test_no_secret_gets_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"http://user:s3cr3t-password@127.0.0.1:%d{SECRET}"
    echo = f"you said {SECRET} s3cr3t-header s3cr3t-signing user:s3cr3t-password".encode()
    answer = b"HTTP/1.1 500 X\r\nContent-Length: %d\r\n\r\n%s" % (len(echo), echo)
    options = {"secret": "s3cr3t-signing", "headers": {"X-Key": "s3cr3t-header"}}
    async with serve(Seen(answer)) as port:
        outcomes = [await order(url % port, **options), await order(url % free_port(), **options)]
    assert "you said" in outcomes[0].evidence["hook answer"]
    assert "s3cr3t" not in repr(outcomes)
    assert "s3cr3t" not in caplog.text
    assert "s3cr3t" not in repr(HookOptions.model_validate({"url": url % 1, **options}))


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        pytest.param({"url": "hooks.internal/s3cr3t"}, "expected an address", id="no scheme"),
        pytest.param({"url": "file:///s3cr3t"}, "expected an address", id="a file"),
        pytest.param({"url": "http://h/", "secret": ""}, "the secret is empty", id="an empty secret"),
        pytest.param({"url": "http://h/", "headers": {"Idempotency-Key": "1"}}, "set by codeblue", id="ours"),
        pytest.param({"url": "http://h/", "headers": {"X": "a\nb"}}, "can't hold", id="a header with a line break"),
    ],
)
def test_options_that_can_not_work_are_refused_without_showing_them(written: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint) as refused:
        HOOK.options.model_validate(written)
    assert all("s3cr3t" not in error["msg"] for error in refused.value.errors())
