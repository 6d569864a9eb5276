"""Asks the running agent over its own HTTP API."""

from collections.abc import Mapping
from typing import Any

from agent import SERVER
from agent.assembly import host_and_port
from agent.config.model import Config


class AgentUnreachable(Exception):
    """No agent answers there, or it refused; the text says which, and what to do."""


class NotThere(AgentUnreachable):
    """It answers, and has nothing of that name."""


class NotUnderstood(AgentUnreachable):
    """It answers that what it was asked makes no sense."""


def ask(
    config: Config, path: str, *, body: Mapping[str, Any] | None = None, method: str = "", timeout: float = 10.0
) -> Any:
    """The answer's JSON. With a body it is a POST, or what `method` says. Raises AgentUnreachable, NotThere,
    NotUnderstood."""
    import requests  # only where it is used: a daemon without webhooks never needs it

    host, port = host_and_port(config.agent.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
    headers = {"Accept": "application/json"}
    if config.agent.tokens:
        headers["Authorization"] = f"Bearer {config.agent.tokens[0].get_secret_value()}"
    with requests.Session() as session:
        session.trust_env = False
        try:
            verb = method or ("GET" if body is None else "POST")
            answer = session.request(verb, url, headers=headers, json=body, timeout=timeout)
        except requests.RequestException:
            where = f"{host}:{port}"
            raise AgentUnreachable(f"no agent answers at {where}: is it running? (codeblue run)") from None
    if answer.headers.get("server") != SERVER:
        raise AgentUnreachable(f"{host}:{port} is not a codeblue agent: something else answers there")
    try:
        found = answer.json()
    except requests.JSONDecodeError:  # too many connections, or it was ended in the middle of its answer
        raise AgentUnreachable(f"the agent at {host}:{port} answered {answer.status_code}, and not in full") from None
    if answer.status_code == 401:
        ours = "does not take the first of agent.tokens" if config.agent.tokens else "wants one of its tokens"
        raise AgentUnreachable(f"the agent at {host}:{port} {ours}: is this the configuration that it runs on?")
    if answer.status_code == 404:
        raise NotThere(found.get("error", f"the agent has no {path}"))
    if answer.status_code == 400:
        raise NotUnderstood(found.get("error", f"the agent does not understand {path}"))
    if answer.status_code >= 400:
        raise AgentUnreachable(found.get("error", f"the agent answered {answer.status_code}"))
    return found
