"""POST /alerts/alertmanager: what Prometheus Alertmanager's webhook receiver sends (its format, version 4).

In Alertmanager: `receivers: [{name: codeblue, webhook_configs: [{url: http://agent:9797/alerts/alertmanager}]}]` with
`http_config: {authorization: {credentials: TOKEN}}`, the token of `alerts_in` or one of the agent's.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.ports import AlertGroup, ForeignAlert
from agent.web.answers import json_answer
from agent.web.bodies import body_of
from agent.web.deps import WebDeps
from agent.web.gate import Gate, from_another_site, token_in

PREFIX = "/alerts/"
LARGEST = 8 * 1024 * 1024  # bytes
MOST = 10_000  # alerts in one message
LABELS, ANNOTATIONS = 64, 32
NAME, VALUE, TEXT = 200, 500, 4_000  # characters of a label's name, its value, and of an annotation


def _bounded(value: object, count: int, longest: int) -> object:
    """So many, and so long, that they can be kept and shown: the rest is cut off, and says so."""
    if not isinstance(value, dict):
        return value
    kept = list(value.items())[:count]
    found = {str(name)[:NAME]: _cut(str(text), longest) for name, text in kept}
    return found if len(value) <= count else {**found, "…": f"{len(value) - count} more"}


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


Labels = Annotated[dict[str, str], BeforeValidator(lambda value: _bounded(value, LABELS, VALUE))]
Texts = Annotated[dict[str, str], BeforeValidator(lambda value: _bounded(value, ANNOTATIONS, TEXT))]


Link = Annotated[str, AfterValidator(lambda link: link if len(link) <= TEXT else "")]  # half of one leads nowhere


class _Alert(BaseModel):
    status: Literal["firing", "resolved"]
    labels: Labels = Field(default_factory=dict)
    annotations: Texts = Field(default_factory=dict)
    generatorURL: Link = ""  # noqa: N815 - its name in the format
    endsAt: str = Field("", max_length=100)  # noqa: N815
    fingerprint: str = Field("", max_length=200)


class _Message(BaseModel):
    version: Literal["4"]
    groupKey: str = Field(max_length=100_000)  # noqa: N815
    truncatedAlerts: int = 0  # noqa: N815
    status: Literal["firing", "resolved"]
    groupLabels: Labels = Field(default_factory=dict)  # noqa: N815
    commonLabels: Labels = Field(default_factory=dict)  # noqa: N815
    commonAnnotations: Texts = Field(default_factory=dict)  # noqa: N815
    externalURL: Link = ""  # noqa: N815
    alerts: list[_Alert] = Field(min_length=1, max_length=MOST)


class AlertsInApi:
    """The intake has a token of its own, which opens nothing else; any of the agent's opens it, too."""

    def __init__(self, deps: WebDeps) -> None:
        self._deps = deps

    @property
    def _gate(self) -> Gate:
        return Gate(self._deps.tokens())

    def routes(self) -> list[Route]:
        return [Route(f"{PREFIX}alertmanager", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """200 once everything is stored; 503, so that Alertmanager tries again, where there is no room for some."""
        intake = self._deps.alerts_in
        if intake is None or not intake.open:
            raise HTTPException(404, "no alerts are taken in: the configuration has no alerts_in")
        self._admit(dict(request.scope["headers"]), intake.admits)
        taken = await intake.take(_group(await body_of(request, LARGEST), self._deps.redact))
        if taken.refused:
            error = f"no room for {taken.refused} alerts: as many as alerts_in.at_most are open"
            return json_answer({"error": error, "taken": taken}, 503)
        return json_answer({"taken": taken})

    def _admit(self, headers: Mapping[bytes, bytes], admits: Callable[[str | None], bool | None]) -> None:
        """Raises HTTPException for whom it is not open."""
        if from_another_site(headers):
            raise HTTPException(403, "refused: this request was sent by a page of another site")
        token = token_in(headers)
        known = admits(token)
        if known or self._gate.knows(token):
            return
        if known is None and not self._gate.tokens:  # there are no tokens at all: this machine only
            if refusal := self._gate.refuse_name(headers):
                raise HTTPException(refusal.status, refusal.error)
            return
        raise HTTPException(401, "a token is needed: alerts_in.token, or one of agent.tokens, as bearer token")


def _group(body: bytes, redact: Callable[[str], str]) -> AlertGroup:
    """Raises HTTPException for what is no message of version 4."""
    try:
        message = _Message.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the body"
        raise HTTPException(400, f"no message of Alertmanager's webhook, version 4: {place}: {first['msg']}") from None

    def shown(texts: Mapping[str, str]) -> dict[str, str]:
        return {name: redact(text) for name, text in texts.items()}

    return AlertGroup(
        key=message.groupKey,
        firing=message.status == "firing",
        labels=shown({**message.groupLabels, **message.commonLabels}),
        annotations=shown(message.commonAnnotations),
        link=redact(message.externalURL),
        whole=not message.truncatedAlerts,
        alerts=tuple(
            ForeignAlert(
                fingerprint=alert.fingerprint,
                firing=alert.status == "firing",
                labels=shown(alert.labels),
                annotations=shown(alert.annotations),
                link=redact(alert.generatorURL),
                ends=_moment(alert.endsAt) if alert.status == "firing" else None,
            )
            for alert in message.alerts
        ),
    )


def _moment(text: str) -> datetime | None:
    """Alertmanager says 0001-01-01T00:00:00Z of an alert whose end it does not know."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None and found.year > 1 else None
