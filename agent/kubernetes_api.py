"""Talking to the Kubernetes API as a service account does, with a timeout."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from agent.outgoing import Answer, NotSent, request, web_address
from agent.ports import Options
from agent.threads import Busy, OwnThreads

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"  # where Kubernetes mounts a pod's own account
_LARGEST = 4_194_304  # bytes of an answer: a hundred pods are half a megabyte
_HANGING = 4  # requests that may be left behind, hanging
_REASONS = {401: "auth", 403: "forbidden", 404: "not_found", 409: "conflict", 422: "invalid", 429: "busy"}


def _api_url(text: str) -> str:
    if text:
        parts = web_address(text)
        if parts.username or parts.query or parts.fragment:
            raise ValueError("expected an address such as https://10.0.0.1:6443")
    return text.rstrip("/")


class ApiServer(Options):
    """Where the API is, and who asks it."""

    api_url: Annotated[str, AfterValidator(_api_url)] = Field(
        default="", description="The API server; the cluster's own if unset, where the agent runs in a pod"
    )
    token_file: str = Field(
        default=f"{ACCOUNT}/token", description="The service account's token, read anew for each restart"
    )
    ca_file: str = Field(
        default=f"{ACCOUNT}/ca.crt", description="Whom to trust as the API server; the system's if empty"
    )


class NotAnswered(Exception):
    """The API gave no answer, or said no. `reason` is a bounded slug: "setup" (no address, token or certificate),
    "auth", "forbidden", "not_found", "conflict", "invalid", "busy", "api" (any other refusal), "timeout", "tls",
    "network"."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class KubernetesApi:
    """One account's way to one API server."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._threads = OwnThreads("kubernetes", at_most=_HANGING)

    async def get(self, path: str, timeout: float) -> Any:
        """The object at a path. Raises NotAnswered."""
        return _object(await self._ask("GET", path, timeout))

    async def text(self, path: str, timeout: float) -> str:
        """The text at a path, such as a log. Raises NotAnswered."""
        return (await self._ask("GET", path, timeout)).body.decode("utf-8", "replace")

    async def merge(self, path: str, change: Mapping[str, Any], timeout: float) -> Any:
        """Change the object at a path by a strategic merge patch; gives the changed one. Raises NotAnswered. After a
        timeout it may have been changed all the same."""
        body = json.dumps(change).encode()
        return _object(await self._ask("PATCH", path, timeout, body))

    async def _ask(self, method: str, path: str, timeout: float, body: bytes | None = None) -> Answer:
        try:
            answer = await self._threads.run(lambda: self._request(method, path, timeout, body), timeout)
        except TimeoutError:
            raise NotAnswered("timeout", f"the Kubernetes API did not answer within {timeout:.3g} s") from None
        except Busy as busy:
            raise NotAnswered("timeout", f"the Kubernetes API hangs: {busy}") from None
        except NotSent as trouble:
            raise NotAnswered(trouble.reason, f"the Kubernetes API {trouble}") from None
        if answer.status < 300:
            return answer
        raise NotAnswered(
            _REASONS.get(answer.status, "api"), f"the Kubernetes API says {answer.status}: {_why(answer)}"
        )

    def _request(self, method: str, path: str, timeout: float, body: bytes | None) -> Answer:
        server = self._server
        headers = {"Accept": "application/json", "Authorization": f"Bearer {_token(server.token_file)}"}
        if body is not None:
            headers["Content-Type"] = "application/strategic-merge-patch+json"
        url = server.api_url or _own_cluster()
        if server.ca_file and url.startswith("https:") and not Path(server.ca_file).is_file():
            raise NotAnswered("setup", f"there is no certificate at ca_file {server.ca_file}")
        ca_file = server.ca_file or None
        return request(
            method, f"{url}{path}", headers=headers, timeout=timeout, body=body, ca_file=ca_file, limit=_LARGEST
        )


def _token(file: str) -> str:
    try:
        token = Path(file).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise NotAnswered("setup", f"token_file {file} can't be read: {why}") from None
    if not token or not token.isascii() or not token.isprintable():
        raise NotAnswered("setup", f"token_file {file} holds no token")
    return token


def _own_cluster() -> str:
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise NotAnswered("setup", "the agent runs in no pod (KUBERNETES_SERVICE_HOST is not set): set api_url")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _object(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        raise NotAnswered("api", f"the Kubernetes API's answer is no JSON, or too long: {answer.body[:60]!r}") from None


def _why(answer: Answer) -> str:
    """What the API says of its refusal: the message of a Status object, on one line."""
    try:
        text = str(json.loads(answer.body)["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.body[:200].decode("utf-8", "replace")
    return " ".join(text.split())[:400]
