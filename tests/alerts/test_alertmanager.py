"""The alertmanager channel against Debian's Alertmanager, whose own API is read back; and what a refusal means."""

import asyncio
import base64
import json
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.core.commands import Notice, NoticeKind
from agent.ports import DeliveryError, Receipt
from alerts.channels.alertmanager import AlertmanagerChannel, AlertmanagerOptions
from alerts.prometheus_alert import alert, is_label_name, label_name
from tests.alertmanager import Alertmanager, alertmanager
from tests.alerts.builders import NOTE, OPENED, RESOLVED, UPDATE, hostile
from tests.hooks import Hook, hook_server

Make = Callable[..., AlertmanagerChannel]


def now_a_days(notice: Notice) -> Notice:
    """The notice as of today: a real Alertmanager goes by the real clock."""
    now = datetime.now(UTC)
    return replace(notice, at=now, opened_at=now - timedelta(minutes=5))


PAGE = replace(now_a_days(OPENED), severity="critical", labels={"team": "photos", "cost-center": "7"})
END = replace(PAGE, key=RESOLVED.key, kind=RESOLVED.kind, title=RESOLVED.title)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Alertmanager]:
    async with alertmanager(tmp_path) as made:
        yield made


@pytest.fixture
def hook() -> Iterator[Hook]:
    with hook_server() as made:
        yield made


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[AlertmanagerChannel] = []

    def build(*urls: str, **options: Any) -> AlertmanagerChannel:
        made.append(AlertmanagerChannel("am", AlertmanagerOptions(urls=urls, **options)))
        return made[-1]

    yield build
    for channel in made:
        await channel.close()


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


class TestWithARealAlertmanager:
    async def test_an_incident_fires_with_its_labels_and_is_over_when_it_is_closed(
        self, server: Alertmanager, make: Make
    ) -> None:
        channel = make(server.url, labels={"env": "prod"}, link="https://status.internal/services/{service}")
        await channel.verify()
        assert await server.alerts() == []
        opening = await channel.send(PAGE, None)
        (fires,) = await server.alerts()
        assert fires["labels"] == {
            "alertname": "ServiceDown",
            "service": "photos-api",
            "severity": "critical",
            "check": "http",
            "agent": "web-1",
            "team": "photos",
            "cost_center": "7",
            "env": "prod",
        }
        assert fires["annotations"]["summary"] == "photos-api is down"
        assert "exit 74" in fires["annotations"]["description"]
        assert fires["annotations"]["runbook_url"] == "https://wiki.internal/photos?a=1&b=2"
        assert fires["generatorURL"] == "https://status.internal/services/photos-api"
        assert datetime.fromisoformat(fires["startsAt"]) == PAGE.opened_at.replace(
            microsecond=PAGE.opened_at.microsecond // 1000 * 1000
        )
        assert datetime.fromisoformat(fires["endsAt"]) > datetime.now(UTC) + timedelta(hours=23), "and no 5 minutes"
        await channel.send(END, opening)
        await until(lambda: _none(server))

    async def test_an_update_changes_what_it_says_and_not_which_alert_it_is(
        self, server: Alertmanager, make: Make
    ) -> None:
        channel = make(server.url)
        opening = await channel.send(PAGE, None)
        update = replace(PAGE, kind=UPDATE.kind, title=UPDATE.title, facts={"Failing": "port"}, severity="warning")
        await channel.send(update, opening)
        (fires,) = await server.alerts()
        assert (fires["labels"]["check"], fires["labels"]["severity"]) == ("http", "critical")
        assert fires["annotations"]["summary"] == "photos-api: the second restart failed too"

    async def test_a_restart_of_alertmanager_forgets_nothing_for_longer_than_a_repetition(
        self, server: Alertmanager, make: Make
    ) -> None:
        channel = make(server.url, repeat="1s")
        await channel.send(PAGE, None)
        await server.stop()
        await server.start()
        assert await server.alerts() == [], "it keeps no alerts on disk"
        await until(lambda: _some(server))

    async def test_a_later_life_of_the_agent_repeats_and_closes_what_is_open(
        self, server: Alertmanager, make: Make
    ) -> None:
        first = make(server.url, repeat="1s")
        opening = await first.send(PAGE, None)
        await first.close()
        await server.stop()
        await server.start()
        later = make(server.url, repeat="1s")
        later.resume({f"{PAGE.incident}/{PAGE.channel}": opening})
        await until(lambda: _some(server))
        await later.send(END, opening)
        await until(lambda: _none(server))
        await asyncio.sleep(2.5)
        assert await server.alerts() == [], "and no repetition opens it again"

    async def test_a_member_that_was_away_when_it_ended_hears_of_it_later(
        self, server: Alertmanager, make: Make, tmp_path: Path
    ) -> None:
        (tmp_path / "other").mkdir()
        async with alertmanager(tmp_path / "other") as other:
            channel = make(server.url, other.url, repeat="1s")
            opening = await channel.send(PAGE, None)
            await until(lambda: _some(other))
            await other.stop()
            await channel.send(END, opening)
            await other.start()
            await other.ask("/api/v2/alerts", [{"labels": alert(PAGE, None, "ServiceDown", {}, "")["labels"]}])
            await until(lambda: _none(other))

    async def test_a_service_that_fails_again_soon_fires_again(self, server: Alertmanager, make: Make) -> None:
        channel = make(server.url, repeat="1s")
        await channel.send(END, await channel.send(PAGE, None))
        await until(lambda: _none(server))
        again = replace(now_a_days(PAGE), incident="photos-api-2", key="photos-api-2/am/opened/1")
        again = replace(again, opened_at=again.at)
        await channel.send(again, None)
        await until(lambda: _some(server))
        await asyncio.sleep(2.5)
        assert len(await server.alerts()) == 1, "the end of the first is not said again over it"

    async def test_a_note_fires_for_some_minutes(self, server: Alertmanager, make: Make) -> None:
        await make(server.url).send(now_a_days(NOTE), None)
        (fires,) = await server.alerts()
        assert (fires["labels"]["alertname"], fires["labels"]["severity"]) == ("CodeblueNote", "info")
        assert datetime.fromisoformat(fires["endsAt"]) < datetime.now(UTC) + timedelta(minutes=6)

    async def test_whatever_is_in_it_alertmanager_takes_it(self, server: Alertmanager, make: Make) -> None:
        notice = now_a_days(hostile(labels={"a b": "x\n", "9": "<b>", "ü": "ü"}, service="photos-api"))
        await make(server.url).send(notice, None)
        assert len(await server.alerts()) == 1


async def _none(server: Alertmanager) -> bool:
    return await server.alerts() == []


async def _some(server: Alertmanager) -> bool:
    return await server.alerts() != []


class TestWhatItIsTold:
    async def test_one_member_that_takes_it_is_enough(self, hook: Hook, make: Make) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            dead = f"http://127.0.0.1:{gone.getsockname()[1]}"
        channel = make(dead, hook.url)
        await channel.send(PAGE, None)
        ((_, path, _, payload),) = hook.got
        assert path == "/api/v2/alerts"
        assert json.loads(payload)[0]["labels"]["service"] == "photos-api"

    @pytest.mark.parametrize(
        ("status", "reason", "retryable"),
        [
            pytest.param(400, "invalid", False, id="a bad alert"),
            pytest.param(401, "auth", False, id="a wrong password"),
            pytest.param(404, "not_found", False, id="no Alertmanager there"),
            pytest.param(429, "rate_limited", True, id="too many"),
            pytest.param(503, "server", True, id="starting"),
        ],
    )
    async def test_what_an_answer_means(
        self, hook: Hook, make: Make, status: int, reason: str, retryable: bool
    ) -> None:
        hook.answers = [(status, {"Retry-After": "7"})]
        channel = make(hook.url, user="u", password="s3cr3t")
        with pytest.raises(DeliveryError) as raised:
            await channel.send(PAGE, None)
        error = raised.value
        assert (error.reason, error.retryable) == (reason, retryable)
        assert error.retry_after == (7 if retryable else None)
        assert "s3cr3t" not in "".join(traceback.format_exception(error))

    @pytest.mark.parametrize(
        ("options", "header"),
        [
            pytest.param(
                {"user": "u", "password": "p"}, f"Basic {base64.b64encode(b'u:p').decode()}", id="a user and a password"
            ),
            pytest.param({"token": "t"}, "Bearer t", id="a token"),
            pytest.param({}, None, id="nothing"),
        ],
    )
    async def test_who_we_say_we_are(self, hook: Hook, make: Make, options: dict[str, Any], header: str | None) -> None:
        await make(hook.url, **options).send(PAGE, None)
        assert hook.got[0][2].get("Authorization") == header

    async def test_a_channel_object_that_replaces_another_goes_on_where_it_was(self, hook: Hook, make: Make) -> None:
        old, new = make(hook.url, repeat="100ms"), make(hook.url, repeat="100ms")
        await old.send(PAGE, None)
        new.resume(old.release())
        hook.got.clear()
        await until(lambda: _told(hook, 2))
        assert all(json.loads(payload)[0]["labels"]["service"] == "photos-api" for *_, payload in hook.got)

    async def test_a_receipt_of_another_type_of_channel_is_no_alert(self, hook: Hook, make: Make) -> None:
        channel = make(hook.url, repeat="50ms")
        channel.resume({"a": Receipt(data={"ts": "1"}), "b": Receipt(data={"alert": "{"})})
        await channel.send(END, Receipt(data={"ts": "1"}))
        assert json.loads(hook.got[0][3])[0]["labels"]["service"] == "photos-api"

    @given(st.text(), st.sampled_from(list(NoticeKind)))
    def test_its_labels_have_names_and_values_that_prometheus_takes(self, text: str, kind: NoticeKind) -> None:
        labels = alert(hostile(kind, labels={text: text}, service=text), None, "ServiceDown", {}, "")["labels"]
        assert all(is_label_name(name) and value for name, value in labels.items())
        assert is_label_name(label_name(text))
        assert json.loads(json.dumps(labels).encode("utf-8")) == labels


async def _told(hook: Hook, times: int) -> bool:
    return len(hook.got) >= times


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"urls": []}, "at least 1 item", id="nowhere"),
        pytest.param({"urls": ["am:9093"]}, "https://hooks.internal/x", id="no address"),
        pytest.param({"urls": ["http://u:s3cr3t@am:9093"]}, "without a query or a user", id="a password in it"),
        pytest.param({"user": "u"}, "user and password together", id="no password"),
        pytest.param({"user": "u", "password": "p", "token": "t"}, "either a token", id="two ways in"),
        pytest.param({"hold": "1s"}, "longer than repeat", id="forgotten before it is repeated"),
        pytest.param({"labels": {"a b": "c"}}, "no name of a label", id="no label"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError) as raised:
        AlertmanagerOptions(**{"urls": ["http://am:9093"]} | options)
    (error,) = raised.value.errors()
    assert expected in error["msg"]
    assert "s3cr3t" not in error["msg"]
