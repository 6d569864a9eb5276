"""The hook action: asks another system to restart the service, by a signed HTTP request."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from annotated_types import Gt
from pydantic import Field

from agent.core.commands import Outcome, Restart
from agent.core.durations import format_duration
from agent.durations import Duration
from agent.outgoing import Answer, NotSent, SecretHeaders, SecretUrl, SigningSecret, request, web_address
from agent.ports import ActionOutcome, ActionType, ChildProcesses, Options
from agent.signing import signed_headers
from agent.threads import Busy, OwnThreads

VERSION = 1
_HANGING = 2  # requests that may be left behind, hanging
_SHOWN = 4096  # characters of an answer that are evidence
_SHORTEST = 4  # characters of a secret that is looked for in answers: shorter ones would blot out everything


class HookOptions(Options):
    """A server that restarts the service. A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), and private
    certificate authorities from REQUESTS_CA_BUNDLE."""

    url: SecretUrl = Field(description="Where the order is sent to by POST; only its host is ever shown")
    secret: SigningSecret | None = Field(
        default=None, description="Signs the order as webhooks are signed: X-Codeblue-Signature"
    )
    headers: SecretHeaders = Field(default_factory=dict, description="Sent with the order")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=30), description="How long it may take to answer that the restart is done, or begun"
    )


class HookRestart:
    """Done is what was answered with 2xx. It is asked once; redirects are not followed, because they would take the
    order, and its signature, to an address that nobody configured."""

    def __init__(
        self,
        options: HookOptions,
        children: ChildProcesses,  # noqa: ARG002 - ActionType.build
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._options = options
        self._url = options.url.get_secret_value()
        self._host = web_address(self._url).hostname or ""
        self._threads = OwnThreads("restart-hook", at_most=_HANGING)
        self._now = now

    async def perform(self, order: Restart) -> ActionOutcome:
        options, timeout = self._options, self._options.timeout.total_seconds()
        payload = body(order)
        secret = options.secret.get_secret_value() if options.secret else ""
        sent = {name: value.get_secret_value() for name, value in options.headers.items()}
        sent |= signed_headers(order.key, payload, secret, self._now())
        try:
            answer = await self._threads.run(
                lambda: request("POST", self._url, headers=sent, timeout=timeout, body=payload), timeout
            )
        except TimeoutError:
            return self._timeout()
        except Busy as busy:
            return self._failed(f"hangs, so it is not asked again: {busy}")
        except NotSent as trouble:
            return self._timeout() if trouble.reason == "timeout" else self._failed(str(trouble))
        evidence = self._evidence(answer)
        if 200 <= answer.status < 300:
            return ActionOutcome(
                outcome=Outcome.DONE, detail=f"{self._host} answered {answer.status}", evidence=evidence
            )
        why = ": redirects are not followed" if 300 <= answer.status < 400 else ""
        return self._failed(f"answered {answer.status}{why}", evidence)

    def _failed(self, what: str, evidence: Mapping[str, str] | None = None) -> ActionOutcome:
        return ActionOutcome(outcome=Outcome.FAILED, detail=f"{self._host} {what}", evidence=evidence or {})

    def _timeout(self) -> ActionOutcome:
        waited = format_duration(self._options.timeout)
        return ActionOutcome(
            outcome=Outcome.TIMEOUT, detail=f"{self._host} did not answer within {waited}; it may go on with it"
        )

    def _evidence(self, answer: Answer) -> Mapping[str, str]:
        """What it said, without what it may have repeated of our secrets."""
        text = answer.body.decode("utf-8", "replace").strip()
        parts = web_address(self._url)
        secrets = [self._url, parts.path, parts.query, parts.username or "", parts.password or ""]
        secrets += [value.get_secret_value() for value in self._options.headers.values()]
        secrets += [self._options.secret.get_secret_value()] if self._options.secret else []
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, "•••")
        return {"hook answer": text[:_SHOWN]} if text else {}


def body(order: Restart) -> bytes:
    """What the hook receives: UTF-8 JSON, the same bytes for the same order.

    `version` 1; `kind` "restart"; `key` names this order, whoever sees it twice may drop the second (it is also the
    Idempotency-Key); `service`; `incident` groups the orders of one incident, `attempt` counts them from 1; `at`
    (decided): RFC 3339 in UTC; `trace_id`: empty where there is none. Fields may be added under the same version,
    never removed or given another meaning.
    """
    fields = {
        "version": VERSION,
        "kind": "restart",
        "key": order.key,
        "service": order.service,
        "incident": order.incident,
        "attempt": order.attempt,
        "at": order.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "trace_id": order.trace_id,
    }
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode("ascii")


HOOK = ActionType(
    name="hook",
    options=HookOptions,
    build=HookRestart,
    short="url",
    about="Asks another system to restart the service, by a signed HTTP request.",
)
