"""The apprise channel, with the real library against real servers: what arrives, and why something did not."""

import io
import json
import logging
import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from agent.core.commands import Notice
from agent.ports import DeliveryError
from alerts.apprise_errors import why_not
from alerts.channels.apprise import AppriseChannel, AppriseOptions, wording
from tests.alerts.builders import OPENED, REMINDER, RESOLVED, UPDATE
from tests.hooks import Hook, hook_server
from tests.smtp_server import smtp_server

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # imported by apprise

PATH = "/s3cr3t-path"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as made:
        yield made


@pytest.fixture
def second() -> Iterator[Hook]:
    with hook_server() as made:
        yield made


def json_url(hook: Hook, path: str = PATH) -> str:
    return hook.url.replace("http://", "json://u:s3cr3t-password@") + path


def make(**options: Any) -> AppriseChannel:
    return AppriseChannel("phone", AppriseOptions(**options))


async def refused(channel: AppriseChannel, notice: Notice = OPENED) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await channel.send(notice, None)
    assert "s3cr3t" not in "".join(traceback.format_exception(raised.value))
    return raised.value


async def test_a_page_and_its_end_arrive(hook: Hook) -> None:
    channel = make(url=json_url(hook))
    await channel.verify()
    assert hook.got == [], "verifying sends nothing"
    opening = await channel.send(OPENED, None)
    await channel.send(REMINDER, opening)
    await channel.send(RESOLVED, opening)
    bodies = [json.loads(payload) for *_, payload in hook.got]
    assert [body["title"] for body in bodies] == [
        "🔴 photos-api is down",
        "🔴 photos-api is still down (4h)",
        "✅ photos-api is up again after 5m12s",
    ]
    assert [body["type"] for body in bodies] == ["failure", "failure", "success"]
    assert "exit 74" in bodies[0]["message"]
    assert "https://wiki.internal/photos?a=1&b=2" in bodies[0]["message"]
    assert hook.got[0][1].startswith(PATH)


async def test_an_update_is_noise_unless_it_is_asked_for(hook: Hook) -> None:
    receipt = await make(url=json_url(hook)).send(UPDATE, None)
    assert (receipt.data, hook.got) == ({"left_out": "updates: false"}, [])
    await make(url=json_url(hook), updates=True).send(UPDATE, None)
    assert len(hook.got) == 1


async def test_the_address_of_a_person_takes_its_place_in_the_url(hook: Hook) -> None:
    channel = make(url=json_url(hook, "/{to}"), to="nobody in particular")
    await channel.send(replace(OPENED, channel="sms/alice", to="+49 30/1234", person="alice"), None)
    await channel.send(replace(OPENED, key="other"), None)
    assert [path.rstrip("/") for _, path, *_ in hook.got] == ["/+49%2030%2F1234", "/nobody%20in%20particular"]


@pytest.mark.parametrize(
    ("url", "to", "said"),
    [
        pytest.param("json://localhost/x", "+49301234", "no {to} for the address of alice", id="no place for it"),
        pytest.param("json://localhost/{to}", "", "no address: say `to:`", id="no address"),
    ],
)
async def test_an_address_and_its_place_go_together(url: str, to: str, said: str) -> None:
    error = await refused(make(url=url), replace(OPENED, to=to, person="alice"))
    assert said in str(error)
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        pytest.param(401, "auth", False, id="a revoked token"),
        pytest.param(403, "auth", False, id="not allowed"),
        pytest.param(404, "not_found", False, id="no such place"),
        pytest.param(400, "invalid", False, id="a bad request"),
        pytest.param(408, "timeout", True, id="their timeout"),
        pytest.param(429, "rate_limited", True, id="too many"),
        pytest.param(500, "server", True, id="their bug"),
        pytest.param(503, "server", True, id="their overload"),
    ],
)
async def test_why_it_failed_is_found_though_apprise_only_says_no(
    hook: Hook, status: int, reason: str, retryable: bool
) -> None:
    hook.answers = [(status, {})]
    error = await refused(make(url=json_url(hook)))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert str(error).startswith(f"JSON answered {status}")


async def test_a_service_that_is_away_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = await refused(make(url=f"json://127.0.0.1:{port}/s3cr3t"))
    assert (error.reason, error.retryable, str(error)) == ("network", True, "JSON can't be reached")


async def test_one_that_never_answers_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"json://127.0.0.1:{silent.getsockname()[1]}/?rto=3"
        error = await refused(make(url=url, timeout="1s"))
    assert (error.reason, error.retryable) == ("timeout", True)


async def test_of_several_urls_a_retry_asks_only_those_that_did_not_take_it(hook: Hook, second: Hook) -> None:
    channel = make(urls=[json_url(hook), json_url(second)])
    second.answers = [(500, {}), (200, {})]
    assert (await refused(channel)).reason == "server"
    await channel.send(OPENED, None)
    assert (len(hook.got), len(second.got)) == (1, 2)


async def test_no_address_and_no_text_gets_into_the_log(hook: Hook) -> None:
    """Beside a handler on the root logger, as every program has one; pytest's own listens past `propagate`."""
    hook.answers = [(500, {})]
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        await refused(make(url=json_url(hook)))
        logging.getLogger("other").debug("still listening")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    assert text.getvalue().endswith("still listening\n")
    assert "s3cr3t" not in text.getvalue()
    assert "photos-api" not in text.getvalue()


@pytest.mark.parametrize(
    "url",
    ["nosuch://s3cr3t", "twilio://s3cr3t", "json://:s3cr3t@"],
    ids=["an unknown service", "parts missing", "no host"],
)
async def test_a_url_that_apprise_does_not_understand_is_found_before_the_first_page(url: str) -> None:
    with pytest.raises(DeliveryError, match="does not understand") as raised:
        await make(url=url).verify()
    assert not raised.value.retryable
    assert "s3cr3t" not in str(raised.value)


async def test_a_url_for_the_addresses_of_people_is_verified_with_one_that_it_takes() -> None:
    account = "AC" + "a" * 32
    await make(url=f"twilio://{account}:{'b' * 32}@+15555550100/{{to}}").verify()


class TestMail:
    async def test_a_login_is_tried_before_the_first_page(self) -> None:
        with smtp_server() as box:
            url = f"mailto://{box.user}:{{}}@localhost:{box.port}/?to={{to}}&from=c@example.com&mode=insecure"
            await make(url=url.replace("{}", box.password), to="oncall@example.com").verify()
            with pytest.raises(DeliveryError) as raised:
                await make(url=url.replace("{}", "s3cr3t-wrong")).verify()
            assert (raised.value.reason, raised.value.retryable) == ("auth", False)
            assert box.got == []

    async def test_a_mail_arrives_and_a_refusal_is_understood(self) -> None:
        with smtp_server() as box:
            url = f"mailto://{box.user}:{box.password}@localhost:{box.port}/?to={{to}}&from=c@example.com&mode=insecure"
            channel = make(url=url, to="oncall@example.com")
            await channel.send(OPENED, None)
            assert box.got[0][0] == ["oncall@example.com"]
            box.data = ["554 5.7.1 you are spam"]
            error = await refused(channel, REMINDER)
            assert (error.reason, error.retryable) == ("invalid", False)
            box.data = ["451 4.3.0 later"]
            error = await refused(channel, RESOLVED)
            assert (error.reason, error.retryable) == ("server", True)


class TestWording:
    @pytest.mark.parametrize(
        ("style", "title_room", "body_room", "longest"),
        [
            pytest.param("auto", 0, 160, 160, id="a text message"),
            pytest.param("auto", 0, 480, 320, id="a long text message"),
            pytest.param("short", 250, 32_768, 320, id="short because it is asked for"),
        ],
    )
    def test_one_line_for_a_telephone(self, style: Any, title_room: int, body_room: int, longest: int) -> None:
        title, body = wording(OPENED, AppriseOptions(url="json://x", style=style), title_room, body_room)
        assert title == ""
        assert body.startswith("DOWN: photos-api is down since 03:12 UTC; http: connection refused")
        assert len(body) <= longest
        assert "\n" not in body

    def test_the_whole_story_fits_into_whatever_room_there_is(self) -> None:
        options = AppriseOptions(url="json://x")
        long = replace(OPENED, evidence={"log": "line\n" * 5_000})
        for title_room, body_room in ((0, 1_024), (0, 4_096), (250, 32_768)):
            title, body = wording(long, options, title_room, body_room)
            assert title == "🔴 photos-api is down"
            assert len(body) + (0 if title_room else len(title)) <= min(body_room, 8_000)


@pytest.mark.parametrize(
    ("said", "reason", "retryable"),
    [
        pytest.param(["Failed to send Slack: Unauthorized, error=401."], "auth", False, id="a status"),
        pytest.param(["error=500.", "retrying", "error=404."], "not_found", False, id="the newest status"),
        pytest.param(["Socket Exception: {'a@b.c': (550, b'5.1.1 no')}"], "invalid", False, id="a mail server's no"),
        pytest.param(["Socket Exception: (421, b'busy')"], "server", True, id="a mail server's not now"),
        pytest.param(["Socket Exception: (535, b'5.7.8')"], "auth", False, id="a mail server's login"),
        pytest.param(["A Connection error occurred sending"], "network", True, id="no connection"),
        pytest.param([], "server", True, id="not a word"),
    ],
)
def test_what_the_log_lines_of_a_failure_mean(said: list[str], reason: str, retryable: bool) -> None:
    error = why_not("Slack", said)
    assert (error.reason, error.retryable) == (reason, retryable)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({}, "either url or urls", id="nowhere"),
        pytest.param({"url": "json://a", "urls": ["json://b"]}, "either url or urls", id="both"),
        pytest.param({"url": "s3cr3t"}, "expected a URL of apprise's", id="no URL"),
        pytest.param({"url": "json://a", "length": 10}, "greater than or equal to 40", id="no room for a word"),
    ],
)
def test_bad_options_are_refused_without_showing_a_secret(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        AppriseOptions(**options)
    (error,) = raised.value.errors()
    assert expected in error["msg"]
    assert "s3cr3t" not in error["msg"]
