"""Slack's Web API, as far as pages need it: slack-sdk's client with our own retries, deadlines and errors."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from agent.ports import DeliveryError
from alerts.retry_after import seconds_to_wait
from alerts.slack_errors import SlackRefused


class SlackApi:
    """One workspace's API under one token. Its client and connections are made by the first call."""

    def __init__(self, token: str, api_url: str, timeout: float) -> None:
        self._token = token
        self._url = api_url
        self._timeout = timeout
        self._session: Any = None
        self._client: Any = None

    async def call(self, method: str, *, read: bool = False, **arguments: Any) -> tuple[Mapping[str, Any], Any]:
        """The answer and its headers. `read` sends the arguments in the query, as Slack's reading methods want it.

        Raises SlackRefused for every answer that is not `ok`, DeliveryError (retryable, "timeout" or "network") where
        there is none. No text of an exception ever holds the token.
        """
        from slack_sdk.errors import SlackApiError

        client = self._open()
        send: Callable[..., Awaitable[Any]] = client.api_call
        sent = {"http_verb": "GET", "params": arguments} if read else {"json": arguments}
        try:
            async with asyncio.timeout(self._timeout):
                answer = await send(method, **sent)
        except TimeoutError:
            raise DeliveryError("timeout", f"Slack did not answer within {self._timeout:g} s", retryable=True) from None
        except SlackApiError as error:
            raise _refusal(error.response) from None
        except _Redirected as error:
            raise SlackRefused("redirect", error.status) from None
        except Exception as error:  # noqa: BLE001 - whatever a network or a broken server makes the client raise
            what = f"Slack can't be reached at {urlsplit(self._url).hostname} ({type(error).__name__})"
            raise DeliveryError("network", what, retryable=True) from None
        return answer.data, answer.headers

    async def respond(self, url: str, text: str) -> bool:
        """Answer whoever pressed or typed, by the address that came with it. False where that is no longer taken.
        Raises DeliveryError."""
        self._open()
        try:
            async with asyncio.timeout(self._timeout):
                message = {"response_type": "ephemeral", "replace_original": False, "text": text}
                async with self._session.post(url, json=message, proxy=self._client.proxy) as answer:
                    return bool(answer.status == 200)
        except Exception as error:  # noqa: BLE001 - as above; the address itself opens something, so it is not named
            raise DeliveryError("network", f"the answer is lost ({type(error).__name__})", retryable=True) from None

    async def websocket(self, url: str, heartbeat: float) -> Any:
        """A connection to the address that `apps.connections.open` has named, pinged every `heartbeat` seconds. Raises
        DeliveryError."""
        self._open()
        try:
            async with asyncio.timeout(self._timeout):
                return await self._session.ws_connect(url, heartbeat=heartbeat, proxy=self._client.proxy)
        except Exception as error:  # noqa: BLE001 - as above; the address holds a ticket, so it is not named
            what = f"Slack's socket can't be opened ({type(error).__name__})"
            raise DeliveryError("network", what, retryable=True) from None

    async def close(self) -> None:
        session, self._session, self._client = self._session, None, None
        if session is not None:
            await session.close()

    def _open(self) -> Any:
        if self._client is not None:
            return self._client
        import aiohttp
        from slack_sdk.web.async_client import AsyncWebClient

        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(_refuse_redirect)
        logger = logging.getLogger("codeblue.slack")
        logger.setLevel(logging.WARNING)  # below that the client logs whole messages
        self._session = aiohttp.ClientSession(trace_configs=[trace])
        self._client = AsyncWebClient(
            token=self._token,
            base_url=self._url,
            timeout=max(1, round(self._timeout)),
            session=self._session,
            logger=logger,
            retry_handlers=[],  # retries are the outbox's, which remembers them and counts them
        )
        if proxy_bypass(urlsplit(self._url).hostname or ""):
            self._client.proxy = None  # slack-sdk reads HTTPS_PROXY, but not NO_PROXY
        return self._client


class _Redirected(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"redirected ({status})")
        self.status = status


async def _refuse_redirect(_session: Any, _context: Any, redirect: Any) -> None:
    raise _Redirected(redirect.response.status)


def _refusal(response: Any) -> SlackRefused:
    """From slack-sdk's response, or from aiohttp's where the body was no JSON."""
    status: int = response.status_code if hasattr(response, "status_code") else response.status
    data = getattr(response, "data", None)
    code = data.get("error") if isinstance(data, dict) else None
    wait = seconds_to_wait(response.headers.get("Retry-After"), datetime.now(UTC))
    return SlackRefused(code, status, wait)
