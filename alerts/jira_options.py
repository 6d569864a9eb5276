"""What a configuration says of a Jira, and which project, type, priority and assignee an issue gets by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

from annotated_types import Gt
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, WithJsonSchema

from agent.core.commands import Notice
from agent.durations import Duration
from agent.outgoing import web_address
from agent.ports import Options

OURS = frozenset({"project", "issuetype", "summary", "description", "priority", "assignee", "labels"})


def _base(url: str) -> str:
    parts = web_address(url)
    if parts.query or parts.fragment or parts.username:
        raise ValueError("expected an address such as https://example.atlassian.net, without a query or a user")
    return url.rstrip("/")


def _label(text: str) -> str:
    if not text or any(char.isspace() for char in text) or len(text) > 255:
        raise ValueError(f"{text!r} is no label of Jira's: at most 255 characters without blanks")
    return text


def _own_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in fields:
        if name in OURS:
            raise ValueError(f"{name} is set by codeblue itself: there is an option for it")
    return fields


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_Patterns = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class JiraRoute(BaseModel):
    """For which notices something else holds than for the rest of the channel."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: Mapping[str, _Patterns] = Field(
        min_length=1, description="Labels, `severity` or `service`, each with patterns: `{team: db}`"
    )
    project: str | None = Field(default=None, min_length=1, description="The project's key")
    issue_type: str | None = Field(default=None, min_length=1, description="The issue type's name")
    priority: str | None = Field(default=None, description="The priority's name; empty for none")
    assignee: str | None = Field(default=None, description="As for the channel")


class JiraOptions(Options):
    """One issue per incident. With `user` the token is sent as that user's password (Jira Cloud: mail and API token),
    without as a bearer token (Data Center: personal access token)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://example.atlassian.net",
                    "user": "codeblue@example.com",
                    "token_file": "/etc/codeblue/jira.token",
                    "project": "OPS",
                    "issue_type": "Incident",
                    "priority": {"critical": "Highest", "warning": "Medium"},
                }
            ]
        }
    )

    url: Annotated[str, AfterValidator(_base)] = Field(
        description="Jira's own address, e.g. https://example.atlassian.net"
    )
    user: str = Field(default="", description="The mail address (Cloud) or name that the token belongs to")
    token: Annotated[SecretStr, Field(min_length=1)] = Field(
        description="An API token of `user`, or a personal access token"
    )
    project: str = Field(min_length=1, description="The key of the project, e.g. OPS")
    issue_type: str = Field(default="Task", min_length=1, description="The name of the issue type")
    priority: Mapping[str, str] = Field(
        default_factory=dict, description="Jira's priority by severity: `{critical: Highest}`. Default: Jira's own"
    )
    assignee: str = Field(
        default="", description="Who gets issues that are for no person: an account id (Cloud) or a user name"
    )
    labels: tuple[Annotated[str, AfterValidator(_label)], ...] = Field(
        default=("codeblue",), description="Labels of every issue; one that tells the incident is added"
    )
    fields: Annotated[Mapping[str, Any], AfterValidator(_own_fields)] = Field(
        default_factory=dict, description="More fields of every issue, as Jira's API takes them"
    )
    routes: tuple[JiraRoute, ...] = Field(
        default=(), description="By labels, severity or service another project, type, priority or assignee"
    )
    close: str = Field(
        default="", description="The transition that closes an issue, or the status it leads to. Default: any to done"
    )
    resolution: str = Field(default="Done", description="The resolution, where that transition asks for one")
    updates: bool = Field(default=True, description="Also comment what changes while an incident is open")
    timeout: Annotated[Duration, Gt(timedelta(0))] = Field(
        default=timedelta(seconds=8), description="How long one request may take"
    )

    def places(self) -> set[tuple[str, str]]:
        """Every project with every issue type that a notice may go to."""
        found = {(self.project, self.issue_type)}
        return found | {(route.project or self.project, route.issue_type or self.issue_type) for route in self.routes}


@dataclass(frozen=True, slots=True)
class Place:
    """Where an issue is opened, and with what."""

    project: str
    issue_type: str
    priority: str
    assignee: str


def place_of(options: JiraOptions, notice: Notice) -> Place:
    """By the first route that takes the notice, else by the channel; a page to a person is that person's."""
    facts = {**notice.labels, "severity": notice.severity, "service": notice.service}
    route = next((route for route in options.routes if _takes(route, facts)), None)
    priority = options.priority.get(notice.severity, "")
    if route is None:
        return Place(options.project, options.issue_type, priority, notice.to or options.assignee)
    return Place(
        route.project or options.project,
        route.issue_type or options.issue_type,
        priority if route.priority is None else route.priority,
        notice.to or (options.assignee if route.assignee is None else route.assignee),
    )


def _takes(route: JiraRoute, facts: Mapping[str, str]) -> bool:
    return all(
        key in facts and any(fnmatchcase(facts[key], pattern) for pattern in patterns)
        for key, patterns in route.match.items()
    )
