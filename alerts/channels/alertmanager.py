"""The alertmanager channel: incidents as alerts of Prometheus Alertmanager, which routes them as it does all others.

Alertmanager forgets what it is not told again: at its own restart at once, else when `endsAt` has come. So every open
alert is repeated each minute, as Prometheus does it, and `endsAt` lies far ahead, so that an agent that is away for a
while does not look like a recovery. A closing notice ends its alert at once.
"""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

import structlog
from annotated_types import Gt
from pydantic import AfterValidator, ConfigDict, Field, SecretStr, model_validator

from agent import __version__
from agent.core.commands import Notice, NoticeKind
from agent.durations import Duration
from agent.outgoing import Answer, NotSent, request, web_address
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from agent.threads import Busy, OwnThreads
from alerts.prometheus_alert import Alert, alert, ends, is_label_name, of_receipt, receipt, rfc3339
from alerts.rendering import as_seen_here
from alerts.retry_after import seconds_to_wait

log = structlog.get_logger()

SAID_AGAIN = timedelta(minutes=15)  # that an alert is over, as Prometheus does it
_HANGING = 8
_REASONS = {401: "auth", 403: "auth", 404: "not_found", 408: "timeout", 429: "rate_limited"}
_LATER = frozenset({408, 425, 429})


def _addresses(urls: tuple[str, ...]) -> tuple[str, ...]:
    for url in urls:
        if web_address(url).query or web_address(url).username:
            raise ValueError("expected an address such as http://alertmanager:9093, without a query or a user")
    return tuple(url.rstrip("/") for url in urls)


def _label_names(labels: Mapping[str, str]) -> Mapping[str, str]:
    for name in labels:
        if not is_label_name(name):
            raise ValueError(f"{name!r} is no name of a label")
    return labels


class AlertmanagerOptions(Options):
    """All members of a cluster are told; one that takes an alert is enough."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"urls": ["http://alertmanager:9093"], "labels": {"team": "photos"}}]}
    )

    urls: Annotated[tuple[str, ...], AfterValidator(_addresses)] = Field(
        min_length=1, description="Every Alertmanager of the cluster, e.g. [http://alertmanager:9093]"
    )
    alertname: str = Field(default="ServiceDown", min_length=1, description="The label alertname of every alert")
    labels: Annotated[Mapping[str, str], AfterValidator(_label_names)] = Field(
        default_factory=dict, description="Labels that are added to those of the service"
    )
    link: str = Field(default="", description="generatorURL of the alerts; {service} in it is the service's name")
    user: str = Field(default="", description="For basic authentication")
    password: SecretStr | None = Field(default=None, description="For basic authentication")
    token: SecretStr | None = Field(default=None, description="A bearer token instead of user and password")
    repeat: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(minutes=1), description="How often every open alert is sent again"
    )
    hold: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(hours=24), description="How long an open alert outlives an agent that has gone away"
    )
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=10), description="How long one request may take"
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> "AlertmanagerOptions":
        if bool(self.user) != bool(self.password):
            raise ValueError("expected user and password together")
        if self.token and self.user:
            raise ValueError("expected either a token or user and password")
        if self.hold <= self.repeat:
            raise ValueError("expected hold to be longer than repeat")
        return self


class AlertmanagerChannel:
    """Delivered is what one of the members took. A receipt holds the alert, so that it can be repeated, and ended under
    its own labels, by a later life of the agent."""

    def __init__(
        self, name: str, options: AlertmanagerOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._name = name
        self._options = options
        self._timeout = options.timeout.total_seconds()
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        self._now = now
        self._open: dict[str, Alert] = {}  # by incident and address
        self._over: dict[str, tuple[Alert, datetime]] = {}  # by labels, and until when that is said again
        self._repeating = asyncio.Lock()
        self._repeater: asyncio.Task[None] | None = None

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        notice = as_seen_here(notice, opening)
        made = alert(notice, opening, self._options.alertname, self._options.labels, self._options.link)
        sent = ends(notice, made, self._options.hold, self._now())
        story = f"{notice.incident}/{notice.channel}"
        if notice.kind is NoticeKind.RESOLVED:
            async with self._repeating:  # one that is on its way would open it again
                self._open.pop(story, None)
                await self._post([sent])
            self._over[_labels(made)] = (sent, self._now() + SAID_AGAIN)
        else:
            await self._post([sent])
            self._over.pop(_labels(made), None)
            if notice.incident and notice.kind is not NoticeKind.NOTE:
                self._open[story] = made
        self._start()
        return receipt(made)

    async def verify(self) -> None:
        """Every member that answers lets us ask for its status; one has to answer."""
        await self._ask_all(lambda url: partial(self._request, "GET", f"{url}/api/v2/status", None))

    async def close(self) -> None:
        self.release()

    # ------------------------------------------------------------------------------------------ again and again

    def resume(self, openings: Mapping[str, Receipt]) -> None:
        """These incidents ("INCIDENT/CHANNEL") are open: go on repeating their alerts."""
        found = {story: of_receipt(opening) for story, opening in openings.items()}
        for story, made in found.items():
            if made is not None and story not in self._open:
                self._open[story] = made
        if self._open:
            self._start()

    def release(self) -> Mapping[str, Receipt]:
        """Repeat nothing any more: another channel object goes on. Returns what that needs for `resume`."""
        held = {story: receipt(made) for story, made in self._open.items()}
        self._open.clear()
        if self._repeater is not None:
            self._repeater.cancel()
            self._repeater = None
        return held

    def _start(self) -> None:
        if self._repeater is None:
            self._repeater = asyncio.get_running_loop().create_task(self._repeat(), name=f"repeat {self._name}")

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._options.repeat.total_seconds())
            async with self._repeating:
                again = self._again(self._now())
                if not again:
                    continue
                try:
                    await self._post(again)
                except DeliveryError as error:
                    log.warning("alerts_not_repeated", channel=self._name, count=len(again), error=str(error))

    def _again(self, now: datetime) -> list[Alert]:
        """The open ones, and for a while those that are over: a member may have been away when they ended."""
        until = rfc3339(now + self._options.hold)
        self._over = {labels: (made, end) for labels, (made, end) in self._over.items() if end > now}
        return [{**made, "endsAt": until} for made in self._open.values()] + [made for made, _ in self._over.values()]

    # ------------------------------------------------------------------------------------------ one request

    async def _post(self, alerts: Sequence[Alert]) -> None:
        payload = json.dumps(alerts).encode()
        await self._ask_all(lambda url: partial(self._request, "POST", f"{url}/api/v2/alerts", payload))

    async def _ask_all(self, ask: Callable[[str], Callable[[], None]]) -> None:
        """Raises DeliveryError when none of the members takes it."""
        errors = [
            error for error in await asyncio.gather(*(self._try(ask(url)) for url in self._options.urls)) if error
        ]
        if len(errors) == len(self._options.urls):
            raise next((error for error in errors if error.retryable), errors[0])

    async def _try(self, call: Callable[[], None]) -> DeliveryError | None:
        try:
            await self._threads.run(call, self._timeout)
        except DeliveryError as error:
            return error
        except TimeoutError:
            return DeliveryError("timeout", f"took more than {self._timeout:g} s", retryable=True)
        except Busy as busy:
            return DeliveryError("timeout", f"hangs: {busy}", retryable=True)
        return None

    def _request(self, method: str, url: str, payload: bytes | None) -> None:
        """Raises DeliveryError. Blocks."""
        host = web_address(url).netloc
        headers = {"Content-Type": "application/json", "User-Agent": f"codeblue/{__version__}", **self._authority()}
        try:
            answer = request(method, url, headers=headers, timeout=self._timeout, body=payload)
        except NotSent as trouble:
            reason = "network" if trouble.reason == "tls" else trouble.reason
            retryable = trouble.reason != "invalid"
            raise DeliveryError(reason, f"{host} {trouble}", retryable=retryable) from None
        if error := self._judge(host, answer):
            raise error

    def _authority(self) -> dict[str, str]:
        options = self._options
        if options.token:
            return {"Authorization": f"Bearer {options.token.get_secret_value()}"}
        if options.password:
            pair = f"{options.user}:{options.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {b64encode(pair).decode()}"}
        return {}

    def _judge(self, host: str, answer: Answer) -> DeliveryError | None:
        status = answer.status
        if 200 <= status < 300:
            return None
        retryable = status in _LATER or status >= 500
        reason = _REASONS.get(status, "server" if retryable else "invalid")
        wait = seconds_to_wait(answer.headers.get("retry-after"), self._now()) if retryable else None
        return DeliveryError(reason, f"{host} answered {status}", retryable=retryable, retry_after=wait)


def _labels(made: Alert) -> str:
    return json.dumps(made["labels"], sort_keys=True)


ALERTMANAGER = ChannelType(
    name="alertmanager",
    options=AlertmanagerOptions,
    build=AlertmanagerChannel,
    about="Posts incidents as alerts to Prometheus Alertmanager, so that its routes and receivers are used.",
    per_second=25.0,
)
