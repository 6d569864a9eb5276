"""Jira's REST API, version 2, as far as pages need it: one request at a time, and what its answers mean.

Sources: developer.atlassian.com/cloud/jira/platform/rest/v2 (Cloud) and /server/jira/platform/rest (Data Center). Both
take version 2; only Cloud has version 3. They differ in the search (Cloud has removed /search for /search/jql, whose
index lags a little behind) and in how a user is named.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from agent import __version__
from agent.core.plain_text import one_line
from agent.outgoing import Answer, NotSent, request, web_address
from agent.ports import DeliveryError
from agent.threads import Busy, OwnThreads
from alerts.retry_after import seconds_to_wait
from alerts.text import clip

LARGEST = 8 * 1024 * 1024  # bytes of an answer
_HANGING = 8  # requests that may be left behind, hanging, before new ones are put off
_REASONS = {401: "auth", 403: "auth", 404: "not_found", 410: "not_found", 408: "timeout", 429: "rate_limited"}
_LATER = frozenset({408, 409, 425, 429})


class JiraRefused(Exception):
    """Jira answered, but did not do it. `fields` are its complaints by the field that each is about."""

    def __init__(self, host: str, status: int, messages: Sequence[str], fields: Mapping[str, str], wait: float | None):
        self.status, self.fields, self.wait = status, dict(fields), wait
        said = "; ".join([*messages, *(f"{field}: {text}" for field, text in fields.items())])
        self.said = clip(one_line(said), 400)
        super().__init__(f"{host} answered {status}" + (f": {self.said}" if self.said else ""))

    @property
    def retryable(self) -> bool:
        return self.status in _LATER or self.status >= 500

    def delivery_error(self) -> DeliveryError:
        """The same in the channel contract's terms."""
        if self.retryable:
            reason = _REASONS.get(self.status, "server")
            return DeliveryError(reason, str(self), retryable=True, retry_after=self.wait)
        if 300 <= self.status < 400:
            return DeliveryError("redirect", f"{self}: redirects are not followed: check url", retryable=False)
        return DeliveryError(_REASONS.get(self.status, "invalid"), str(self), retryable=False)


class JiraApi:
    """One Jira, as one user. No text of an exception ever holds the token."""

    def __init__(self, name: str, url: str, user: str, token: str, timeout: float) -> None:
        self._url = url
        self._host = web_address(url).netloc
        self._token = token
        self._timeout = timeout
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        scheme = f"Basic {b64encode(f'{user}:{token}'.encode()).decode()}" if user else f"Bearer {token}"
        self._headers = {"Accept": "application/json", "Authorization": scheme, "User-Agent": f"codeblue/{__version__}"}
        self._cloud: bool | None = None

    async def get(self, *path: str, **query: str) -> Any:
        """Raises JiraRefused, or DeliveryError (retryable) where there is no answer."""
        return await self._ask("GET", path, query, None)

    async def post(self, *path: str, body: object) -> Any:
        return await self._ask("POST", path, {}, body)

    async def put(self, *path: str, body: object) -> Any:
        return await self._ask("PUT", path, {}, body)

    async def is_cloud(self) -> bool:
        """Whether this is Jira Cloud; asked once."""
        if self._cloud is None:
            said = await self.get("serverInfo")
            self._cloud = str(said.get("deploymentType", "")).lower() == "cloud"
        return self._cloud

    async def found(self, label: str) -> str:
        """The key of the oldest issue with that label, empty where there is none."""
        query = {"jql": f'labels = "{label}" ORDER BY created ASC', "maxResults": "1", "fields": "status"}
        path = ("search", "jql") if await self.is_cloud() else ("search",)
        issues = (await self.get(*path, **query)).get("issues") or [{}]
        return str(issues[0].get("key", ""))

    async def user(self, to: str) -> dict[str, str]:
        """A user as fields name him."""
        return {"accountId": to} if await self.is_cloud() else {"name": to}

    async def _ask(self, method: str, path: Sequence[str], query: Mapping[str, str], body: object) -> Any:
        where = "/".join(quote(part, safe="") for part in path)
        url = f"{self._url}/rest/api/2/{where}" + (f"?{urlencode(query)}" if query else "")
        payload = None if body is None else json.dumps(body).encode()
        headers = self._headers if payload is None else {**self._headers, "Content-Type": "application/json"}

        def call() -> Answer:
            return request(method, url, headers=headers, timeout=self._timeout, body=payload, limit=LARGEST)

        try:
            answer = await self._threads.run(call, self._timeout)
        except TimeoutError:
            raise DeliveryError("timeout", f"{self._host} took more than {self._timeout:g} s", retryable=True) from None
        except Busy as busy:
            raise DeliveryError("timeout", f"{self._host} hangs: {busy}", retryable=True) from None
        except NotSent as trouble:
            reason = "network" if trouble.reason == "tls" else trouble.reason
            text = f"{self._host} {trouble}"
            raise DeliveryError(reason, text, retryable=trouble.reason != "invalid") from None
        return self._understood(answer)

    def _understood(self, answer: Answer) -> Any:
        try:
            said = json.loads(answer.body) if answer.body.strip() else {}
        except ValueError:
            said = None
        if 200 <= answer.status < 300:
            if isinstance(said, dict):
                return said
            text = f"{self._host} answered with something that is not Jira's"
            raise DeliveryError("server", text, retryable=True)
        messages, fields = _complaints(said)
        if denied := answer.headers.get("x-authentication-denied-reason"):
            messages.append(f"log in once in a browser ({denied.partition(';')[0]})")  # CAPTCHA_CHALLENGE
        wait = seconds_to_wait(answer.headers.get("retry-after"), datetime.now(UTC))
        hidden = [message.replace(self._token, "***") for message in messages]
        raise JiraRefused(self._host, answer.status, hidden, fields, wait)


def _complaints(said: object) -> tuple[list[str], dict[str, str]]:
    """`errorMessages` and `errors` of an answer."""
    if not isinstance(said, dict):
        return [], {}
    messages, fields = said.get("errorMessages"), said.get("errors")
    found = [str(text) for text in messages] if isinstance(messages, list) else []
    if isinstance(said.get("message"), str):
        found.append(said["message"])
    return found, {str(name): str(text) for name, text in fields.items()} if isinstance(fields, dict) else {}
