"""A stand-in for Jira's REST API version 2 that behaves as its documentation says, on Cloud or on Data Center.

In a test:            async with JiraStandIn(cloud=True) as jira: … jira.url, jira.issues, jira.fail_next(…)
For other processes:  python -m tests.jira_standin
                      GET /standin/issues lists everything; how to make it fail is in `tests.failures`.
Sources: developer.atlassian.com/cloud/jira/platform/rest/v2 and /server/jira/platform/rest (issue, comment,
transitions, search, createmeta, myself, mypermissions, project, serverInfo), CHANGE-2046 (search on Cloud).
"""

import asyncio
import contextlib
import json
import re
import time
from base64 import b64encode
from typing import Any

from aiohttp import web

from tests.failures import Failures
from tests.jira_projects import LONGEST, Issue, Project, Refusal, checked_fields

MAIL, TOKEN = "codeblue@example.com", "jira-token-1111"
PERMISSIONS = {"BROWSE_PROJECTS", "CREATE_ISSUES", "ADD_COMMENTS", "TRANSITION_ISSUES"}
_JQL = re.compile(r'labels = "([^"\s]+)"(?: ORDER BY created (?:ASC|DESC))?')
GONE = "The requested API has been removed. Please migrate to the /rest/api/3/search/jql API."


class JiraStandIn:
    """`lag` is by how many seconds the search of Cloud is behind what was written."""

    def __init__(self, *, cloud: bool = True, lag: float = 0.0) -> None:
        self.cloud = cloud
        self.lag = lag if cloud else 0.0
        self.projects = {key: Project(key) for key in ("OPS", "DB")}
        self.priorities = {"Highest", "High", "Medium"}
        self.users = {"acc-alice", "acc-bob"}
        self.permissions = set(PERMISSIONS)
        self.issues: list[Issue] = []
        self.calls: list[tuple[str, str]] = []
        self.url = ""
        self.failures = Failures(lambda error: {"errorMessages": [error] if error else [], "errors": {}})
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> "JiraStandIn":
        app = web.Application(client_max_size=8_388_608)
        app.router.add_get("/standin/issues", self._list)
        self.failures.routes(app.router)
        app.router.add_route("*", "/rest/api/2/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def fail_next(self, method: str = "", **how: Any) -> None:
        """See `Failure`; `method` is the beginning of "POST issue/OPS-1/comment"."""
        self.failures.add(method, **how)

    def count(self, beginning: str) -> int:
        return sum(f"{method} {path}".startswith(beginning) for method, path in self.calls)

    def issue(self, key: str) -> Issue:
        found = next((issue for issue in self.issues if issue.key == key), None)
        if found is None:
            raise Refusal(404, "Issue does not exist or you do not have permission to see it.")
        return found

    # ------------------------------------------------------------------------------------------ requests

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method, path = request.method, request.match_info["path"]
        body = await request.json() if request.can_read_body else {}
        self.calls.append((method, path))
        failure = self.failures.due(f"{method} {path}")
        if failure is None:
            return self._respond(request, path, body)
        return await self.failures.answer(failure, request, lambda: self._respond(request, path, body))

    def _respond(self, request: web.Request, path: str, body: dict[str, Any]) -> web.Response:
        try:
            if path != "serverInfo":
                self._authorise(request)
            status, said = self._route(request.method, path.split("/"), dict(request.query), body)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
        return web.Response(status=204) if said is None else web.json_response(said, status=status)

    def _authorise(self, request: web.Request) -> None:
        basic = f"Basic {b64encode(f'{MAIL}:{TOKEN}'.encode()).decode()}"
        if request.headers.get("Authorization") != (basic if self.cloud else f"Bearer {TOKEN}"):
            raise Refusal(401, "Client must be authenticated to access this resource.")

    def _route(self, method: str, path: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        match method, *path:
            case "GET", "serverInfo":
                return 200, {"deploymentType": "Cloud" if self.cloud else "Server", "version": "9.12.0"}
            case "GET", "myself":
                return 200, {"accountId": "me"} if self.cloud else {"name": "codeblue"}
            case "GET", "mypermissions":
                if self.cloud and not query.get("permissions"):
                    raise Refusal(400, "The 'permissions' query parameter is required.")
                self._project(query.get("projectKey", ""))
                return 200, {"permissions": {p: {"havePermission": p in self.permissions} for p in PERMISSIONS}}
            case "GET", "project", key:
                types = [{"id": id, "name": name} for name, id in self._project(key).types.items()]
                return 200, {"key": key, "issueTypes": types}
            case "GET", "issue", "createmeta", key, "issuetypes", id:
                project = self._project(key)
                if id not in project.types.values():
                    raise Refusal(404, "Issue type not found.")
                return 200, {"fields" if self.cloud else "values": [f.public() for f in project.fields.values()]}
            case "GET", "search", *more:
                return 200, self._search(more, query)
            case "POST", "issue":
                return 201, self._create(body)
            case _, "issue", key, *rest:
                return self._on_issue(method, self.issue(key), rest, query, body)
        raise Refusal(404, "null for uri")

    def _project(self, key: str) -> Project:
        if key not in self.projects or "BROWSE_PROJECTS" not in self.permissions:
            raise Refusal(404, f"No project could be found with key '{key}'.")
        return self.projects[key]

    # ------------------------------------------------------------------------------------------ issues

    def _search(self, more: list[str], query: dict[str, str]) -> dict[str, Any]:
        if self.cloud and more != ["jql"]:
            raise Refusal(410, GONE)
        if not self.cloud and more:
            raise Refusal(404, "null for uri")
        asked = _JQL.fullmatch(query.get("jql", ""))
        if asked is None:
            raise Refusal(400, f"Error in the JQL Query: {query.get('jql', '')}")
        old_enough = time.monotonic() - self.lag
        found = [issue for issue in self.issues if asked[1] in issue.labels and issue.made <= old_enough]
        shown = [issue.public(query.get("fields", "")) for issue in found[: int(query.get("maxResults", "50"))]]
        return {"issues": shown, "isLast": True} if self.cloud else {"issues": shown, "total": len(found)}

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        given = body.get("fields")
        if not isinstance(given, dict):
            raise Refusal(400, "Field fields is required")
        key = (given.get("project") or {}).get("key", "")
        if key not in self.projects:
            raise Refusal(400, project="valid project is required")
        if "CREATE_ISSUES" not in self.permissions:
            raise Refusal(403, "You do not have permission to create issues in this project.")
        project = self.projects[key]
        checked_fields(project, given, priorities=self.priorities, users=self.users, cloud=self.cloud)
        issue = Issue(project, f"{key}-{next(project.numbers)}", given)
        self.issues.append(issue)
        return {"id": issue.key, "key": issue.key, "self": f"{self.url}/rest/api/2/issue/{issue.key}"}

    def _on_issue(
        self, method: str, issue: Issue, rest: list[str], query: dict[str, str], body: dict[str, Any]
    ) -> tuple[int, Any]:
        match method, *rest:
            case "GET", *nothing if not nothing:
                return 200, issue.public(query.get("fields", ""))
            case "GET", "comment":
                newest = issue.comments[::-1] if query.get("orderBy") == "-created" else issue.comments
                return 200, {"comments": newest[: int(query.get("maxResults", "100"))], "total": len(issue.comments)}
            case "POST", "comment":
                return 201, self._comment(issue, body)
            case "PUT", "assignee":
                who = body.get("accountId" if self.cloud else "name")
                if who not in self.users:
                    raise Refusal(400, assignee=f"User '{who}' cannot be assigned issues.")
                issue.fields["assignee"] = body
                return 204, None
            case "GET", "transitions":
                return 200, {"transitions": [self._offered(issue, each) for each in self._ways(issue)]}
            case "POST", "transitions":
                self._move(issue, body)
                return 204, None
        raise Refusal(405)

    def _comment(self, issue: Issue, body: dict[str, Any]) -> dict[str, Any]:
        if "ADD_COMMENTS" not in self.permissions:
            raise Refusal(403, "You do not have the permission to comment on this issue.")
        text = body.get("body")
        if not isinstance(text, str) or not text.strip():
            raise Refusal(400, comment="Comment body can not be empty!")
        if len(text) > LONGEST:
            raise Refusal(400, comment=f"The entered text is too long. It exceeds the allowed limit of {LONGEST:,}.")
        made = {"id": str(len(issue.comments) + 1), "body": text}
        issue.comments.append(made)
        return made

    def _ways(self, issue: Issue) -> list[Any]:
        return issue.project.workflow.get(issue.status, []) if "TRANSITION_ISSUES" in self.permissions else []

    def _offered(self, issue: Issue, each: Any) -> dict[str, Any]:
        fields = {"resolution": {"required": True}} if each.resolution else {}
        return {"id": each.id, "name": each.name, "to": issue.project.status(each.to), "fields": fields}

    def _move(self, issue: Issue, body: dict[str, Any]) -> None:
        wanted = str((body.get("transition") or {}).get("id"))
        way = next((each for each in self._ways(issue) if each.id == wanted), None)
        if way is None:
            raise Refusal(
                400, f"It seems that you have tried to perform a workflow operation ({wanted}) that is not valid."
            )
        resolution = ((body.get("fields") or {}).get("resolution") or {}).get("name", "")
        if way.resolution and resolution not in ("Done", "Fixed"):
            raise Refusal(400, resolution="Resolution is required." if not resolution else "Specify a valid value.")
        if resolution and not way.resolution:
            raise Refusal(400, resolution="Field 'resolution' cannot be set. It is not on the appropriate screen.")
        issue.status, issue.resolution = way.to, resolution

    # ------------------------------------------------------------------------------------------ for other processes

    async def _list(self, _: web.Request) -> web.Response:
        found = [
            {"key": i.key, "status": i.status, "comments": [c["body"] for c in i.comments], **i.fields}
            for i in self.issues
        ]
        return web.json_response(found)


async def _main() -> None:
    async with JiraStandIn() as jira:
        print(json.dumps({"url": jira.url, "user": MAIL, "token": TOKEN}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
