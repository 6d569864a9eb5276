"""Proving at the start that pages can become issues: who we are, what we may, and that project and type are there."""

from collections.abc import Collection, Mapping
from typing import Any

from agent.ports import DeliveryError
from alerts.jira_api import JiraApi, JiraRefused
from alerts.jira_options import OURS, JiraOptions

NEEDED = {
    "BROWSE_PROJECTS": "see its issues",
    "CREATE_ISSUES": "create issues",
    "ADD_COMMENTS": "add comments",
    "TRANSITION_ISSUES": "transition issues",
}


async def prove(api: JiraApi, options: JiraOptions) -> None:
    """Nothing is changed. Raises DeliveryError, saying what to do."""
    try:
        await api.get("myself")
    except JiraRefused as refused:
        if refused.retryable:
            raise refused.delivery_error() from None
        raise DeliveryError("auth", f"{refused}: check url, user and token", retryable=False) from None
    for project, issue_type in sorted(options.places()):
        try:
            await _prove_place(api, project, issue_type, options.fields)
        except JiraRefused as refused:
            raise refused.delivery_error() from None


async def _prove_place(api: JiraApi, project: str, issue_type: str, more: Collection[str]) -> None:
    try:
        found = await api.get("project", project)
    except JiraRefused as refused:
        if refused.status != 404:
            raise
        text = f"there is no project {project} that this user sees: check project, and who may browse it"
        raise DeliveryError("not_found", text, retryable=False) from None
    types = {str(kind.get("name")): str(kind.get("id")) for kind in found.get("issueTypes") or ()}
    if issue_type not in types:
        text = f"project {project} has no issue type {issue_type!r}: it has {', '.join(sorted(types))}"
        raise DeliveryError("not_found", text, retryable=False)
    said = await api.get("mypermissions", projectKey=project, permissions=",".join(NEEDED))
    known = said.get("permissions") or {}
    lacking = [what for name, what in NEEDED.items() if known.get(name, {}).get("havePermission") is False]
    if lacking:
        raise DeliveryError("auth", f"in project {project} this user may not {' or '.join(lacking)}", retryable=False)
    await _prove_fields(api, project, types[issue_type], issue_type, more)


async def _prove_fields(api: JiraApi, project: str, type_id: str, issue_type: str, more: Collection[str]) -> None:
    """What the type asks for is said; an old Jira that does not tell is believed."""
    try:
        said = await api.get("issue", "createmeta", project, "issuetypes", type_id, maxResults="200")
    except JiraRefused as refused:
        if refused.status == 404:
            return
        raise
    fields: list[Mapping[str, Any]] = said.get("fields") or said.get("values") or []
    missing = [
        f"{field.get('name')} ({field.get('fieldId')})"
        for field in fields
        if field.get("required")
        and not field.get("hasDefaultValue")
        and field.get("fieldId") not in {*OURS, *more}
        and field.get("fieldId") != "reporter"
    ]
    if missing:
        text = f"{issue_type} in {project} needs {', '.join(missing)}: say what under `fields`"
        raise DeliveryError("invalid", text, retryable=False)
    if fields and "labels" not in {field.get("fieldId") for field in fields}:
        text = f"{issue_type} in {project} has no field Labels on its screen, by which an issue is found again: add it"
        raise DeliveryError("invalid", text, retryable=False)
