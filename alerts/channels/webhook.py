"""The webhook channel: every notice as a signed JSON request to a URL. Body and signature: `alerts.webhook_body`."""

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from annotated_types import Gt
from pydantic import Field

from agent.core.commands import Notice
from agent.durations import Duration
from agent.outgoing import NotSent, SecretHeaders, SecretUrl, SigningSecret, request, web_address
from agent.ports import ChannelType, DeliveryError, Options, Receipt
from agent.threads import Busy, OwnThreads
from alerts.rendering import as_seen_here
from alerts.retry_after import seconds_to_wait
from alerts.webhook_body import CLOUD_EVENT, body, cloud_event, headers

_LATER = frozenset({408, 425, 429})
_HANGING = 8  # requests that may be left behind, hanging, before new ones are put off
_REASONS = {401: "auth", 403: "auth", 404: "not_found", 410: "not_found", 429: "rate_limited", 408: "timeout"}


class WebhookOptions(Options):
    """`url` is kept secret as a whole, because many services put their key in its path or query; only its host is ever
    shown. `secret` signs the requests. A proxy is taken from the environment (HTTPS_PROXY, NO_PROXY), and private
    certificate authorities from REQUESTS_CA_BUNDLE."""

    url: SecretUrl = Field(description="Where notices are sent to; only its host is ever shown")
    secret: SigningSecret | None = Field(default=None, description="Signs the requests: X-Codeblue-Signature")
    headers: SecretHeaders = Field(default_factory=dict, description="Sent with every request; never shown")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=10), description="How long one request may take"
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="The HTTP method of the requests")
    format: Literal["codeblue", "cloudevents"] = Field(
        default="codeblue", description="cloudevents: each notice is a CloudEvent 1.0 in structured mode"
    )


class WebhookChannel:
    """Delivered is what was answered with 2xx. Redirects are not followed: they are errors, because they would take
    the page, and its signature, to an address that nobody configured."""

    def __init__(
        self, name: str, options: WebhookOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._options = options
        self._url = options.url.get_secret_value()
        self._host = web_address(self._url).hostname or ""
        self._timeout = options.timeout.total_seconds()
        self._threads = OwnThreads(f"channel-{name}", at_most=_HANGING)
        self._now = now

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        notice = as_seen_here(notice, opening)
        events = self._options.format == "cloudevents"
        payload = cloud_event(notice) if events else body(notice)
        secret = self._options.secret.get_secret_value() if self._options.secret else ""
        sent = {name: value.get_secret_value() for name, value in self._options.headers.items()}
        sent |= headers(notice, payload, secret, self._now(), CLOUD_EVENT if events else "application/json")
        try:
            status, retry_after = await self._threads.run(lambda: self._request(payload, sent), self._timeout)
        except TimeoutError:
            raise self._error("timeout", f"took more than {self._timeout:g} s", retryable=True) from None
        except Busy as busy:
            raise self._error("timeout", f"hangs: {busy}", retryable=True) from None
        if error := self._judge(status, retry_after):
            raise error
        return Receipt(data={"status": str(status)})

    async def verify(self) -> None:
        """Resolve the host and connect to it, with TLS where the URL says so; no request is made, so that nobody is
        paged. Through a proxy this proves only that the proxy is there."""
        parts = urlsplit(_proxy_for(self._url) or self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            context = await asyncio.to_thread(_tls_context) if parts.scheme == "https" else None
            async with asyncio.timeout(self._timeout):
                _, writer = await asyncio.open_connection(parts.hostname, port, ssl=context)
            writer.transport.abort()
        except TimeoutError:
            raise self._error("timeout", f"can't be connected to within {self._timeout:g} s", retryable=True) from None
        except ssl.SSLError as error:
            raise self._error("network", f"has no TLS that can be trusted: {error.reason}", retryable=True) from None
        except (OSError, UnicodeError) as error:
            raise self._error("network", f"can't be connected to: {_cause(error)}", retryable=True) from None

    async def close(self) -> None:
        """Nothing is kept open between requests."""

    def _request(self, payload: bytes, sent: Mapping[str, str]) -> tuple[int, str | None]:
        """One request; returns the status and Retry-After. Blocks."""
        try:
            answer = request(self._options.method, self._url, headers=sent, timeout=self._timeout, body=payload)
        except NotSent as trouble:
            reason = "network" if trouble.reason == "tls" else trouble.reason
            raise self._error(reason, str(trouble), retryable=trouble.reason != "invalid") from None
        return answer.status, answer.headers.get("retry-after")

    def _judge(self, status: int, retry_after: str | None) -> DeliveryError | None:
        if 200 <= status < 300:
            return None
        wait = seconds_to_wait(retry_after, self._now())
        if status in _LATER or status >= 500:
            reason = _REASONS.get(status, "server")
            return self._error(reason, f"answered {status}", retryable=True, retry_after=wait)
        if 300 <= status < 400:
            return self._error("redirect", f"answered {status}: redirects are not followed", retryable=False)
        return self._error(_REASONS.get(status, "invalid"), f"answered {status}", retryable=False)

    def _error(self, reason: str, what: str, *, retryable: bool, retry_after: float | None = None) -> DeliveryError:
        return DeliveryError(reason, f"{self._host} {what}", retryable=retryable, retry_after=retry_after)


def _proxy_for(url: str) -> str | None:
    import requests

    return requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))


def _tls_context() -> ssl.SSLContext:
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or DEFAULT_CA_BUNDLE_PATH
    folder = os.path.isdir(bundle)
    return ssl.create_default_context(cafile=None if folder else bundle, capath=bundle if folder else None)


def _cause(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__


WEBHOOK = ChannelType(
    name="webhook",
    options=WebhookOptions,
    build=WebhookChannel,
    about="Sends notices as signed JSON requests to a URL.",
    per_second=25.0,
)
