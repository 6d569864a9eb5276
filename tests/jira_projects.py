"""What stands in the stand-in for Jira: projects with their types, fields and workflow, and the issues in them."""

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

LONGEST = 32_767
CATEGORIES = {"To Do": "new", "In Progress": "indeterminate", "Done": "done", "Won't Do": "done"}


class Refusal(Exception):
    """An answer that is an error, as Jira writes one."""

    def __init__(self, status: int, *messages: str, **fields: str) -> None:
        super().__init__(status)
        self.status, self.messages, self.fields = status, list(messages), fields

    @property
    def body(self) -> dict[str, Any]:
        return {"errorMessages": self.messages, "errors": self.fields}


@dataclass
class Field:
    """One field on the screen by which issues are made."""

    id: str
    name: str
    required: bool = False
    default: bool = False

    def public(self) -> dict[str, Any]:
        return {"fieldId": self.id, "name": self.name, "required": self.required, "hasDefaultValue": self.default}


def screen() -> dict[str, Field]:
    names = ("Project", "Issuetype", "Summary", "Description", "Priority", "Assignee", "Labels", "Reporter")
    fields = {name.lower(): Field(name.lower(), name) for name in names}
    for name in ("project", "issuetype", "summary", "reporter"):
        fields[name].required = True
    fields["reporter"].default = True
    return fields


@dataclass
class Transition:
    id: str
    name: str
    to: str
    resolution: bool = False  # its screen asks for one, and insists


@dataclass
class Project:
    key: str
    types: dict[str, str] = field(default_factory=lambda: {"Task": "10001", "Incident": "10002"})
    fields: dict[str, Field] = field(default_factory=screen)
    statuses: dict[str, str] = field(default_factory=lambda: dict(CATEGORIES))  # with their categories
    workflow: dict[str, list[Transition]] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        if not self.workflow:
            start, done = Transition("11", "Start", "In Progress"), Transition("31", "Done", "Done")
            self.workflow = {
                "To Do": [start, done],
                "In Progress": [done],
                "Done": [Transition("41", "Reopen", "To Do")],
            }

    def status(self, name: str) -> dict[str, Any]:
        return {"name": name, "statusCategory": {"key": self.statuses[name]}}


@dataclass
class Issue:
    project: Project
    key: str
    fields: dict[str, Any]
    status: str = "To Do"
    resolution: str = ""
    comments: list[dict[str, Any]] = field(default_factory=list)
    made: float = field(default_factory=time.monotonic)

    @property
    def labels(self) -> list[str]:
        return list(self.fields.get("labels", []))

    def public(self, wanted: str) -> dict[str, Any]:
        every = {**self.fields, "status": self.project.status(self.status)}
        names = {name.strip() for name in wanted.split(",")} - {""}
        return {"id": self.key, "key": self.key, "fields": {k: v for k, v in every.items() if not names or k in names}}


def checked_fields(
    project: Project, given: dict[str, Any], *, priorities: set[str], users: set[str], cloud: bool
) -> None:
    """Raises Refusal for what Jira would refuse, all of it at once."""
    wrong = {
        name: f"Field '{name}' cannot be set. It is not on the appropriate screen, or unknown."
        for name in given
        if name not in project.fields
    }
    for name, one in project.fields.items():
        if one.required and not one.default and not given.get(name):
            wrong[name] = f"{one.name} is required."
    wrong |= _texts(given)
    if (given.get("issuetype") or {}).get("name") not in project.types:
        wrong["issuetype"] = "Specify a valid issue type"
    if "priority" in given and given["priority"].get("name") not in priorities:
        wrong.setdefault("priority", "The priority selected is invalid.")
    who = given["assignee"].get("accountId" if cloud else "name") if "assignee" in given else None
    if "assignee" in given and who not in users:
        wrong.setdefault("assignee", f"User '{who}' cannot be assigned issues.")
    for label in given.get("labels", []):
        if not isinstance(label, str) or " " in label:
            wrong["labels"] = f"The label '{label}' contains spaces which is invalid."
    if wrong:
        raise Refusal(400, **wrong)


def _texts(given: dict[str, Any]) -> dict[str, str]:
    wrong: dict[str, str] = {}
    summary, description = given.get("summary"), given.get("description", "")
    if not isinstance(summary, str) or not summary.strip():
        wrong["summary"] = "You must specify a summary of the issue."
    elif "\n" in summary or "\r" in summary:
        wrong["summary"] = "The summary is invalid because it contains newline characters."
    elif len(summary) > 255:
        wrong["summary"] = "Summary can't exceed 255 characters."
    if not isinstance(description, str):
        wrong["description"] = "Operation value must be a string"
    elif len(description) > LONGEST:
        wrong["description"] = f"The entered text is too long. It exceeds the allowed limit of {LONGEST:,} characters."
    return wrong
