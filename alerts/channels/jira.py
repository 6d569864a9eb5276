"""The jira channel: an issue per incident, commented as it goes on, closed at its end.

Jira has no idempotency keys. Each issue carries a label of its incident, and each text a mark; before anything is
written that may have been written before, it is looked for: an issue by its label, a comment among the newest. Cloud's
search lags a few seconds behind what was written, so after a try whose answer is lost the next one waits that long.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import structlog

from agent.core.commands import Notice, NoticeKind
from agent.ports import ChannelType, DeliveryError, Receipt
from alerts.jira_api import JiraApi, JiraRefused
from alerts.jira_options import JiraOptions, place_of
from alerts.jira_proof import prove
from alerts.jira_text import mark, story, story_label, summary_of, text_of
from alerts.rendering import as_seen_here

log = structlog.get_logger()

LAG = timedelta(seconds=10)  # by which Cloud's search is taken to be behind
DISPENSABLE = frozenset({"assignee", "priority", "labels"})  # a page is not lost over one of these
_REMEMBERED = 2_000  # issues
_NEWEST = 50  # comments that are looked through
_GONE = "The issue that was opened for this incident is gone."


class JiraChannel:
    """A receipt holds `issue`, the key. Everybody whom one channel asks about an incident has one issue together; who
    was asked last has it assigned."""

    def __init__(
        self, name: str, options: JiraOptions, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._name = name
        self._options = options
        self._now = now
        self._made = now()
        token, timeout = options.token.get_secret_value(), options.timeout.total_seconds()
        self._api = JiraApi(name, options.url, options.user, token, timeout)
        self._issues: OrderedDict[str, str] = OrderedDict()  # by story
        self._uncertain: OrderedDict[str, datetime] = OrderedDict()  # stories whose issue may be there, since when
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        if notice.kind is NoticeKind.UPDATE and not self._options.updates:
            return Receipt(data={"left_out": "updates: false"})
        turn = self._turns.setdefault(story(notice), asyncio.Lock())
        try:
            async with turn:
                return await self._send(as_seen_here(notice, opening), opening)
        except JiraRefused as refused:
            raise refused.delivery_error() from None

    async def verify(self) -> None:
        """That the token works, that it may do what is needed, and that every project and issue type is there."""
        await prove(self._api, self._options)

    async def close(self) -> None:
        """Nothing is kept open between requests."""

    # ------------------------------------------------------------------------------------------ one notice

    async def _send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        known = (opening.data.get("issue", "") if opening else "") or self._issues.get(story(notice), "")
        issue = known or await self._look_for(notice)
        if issue:
            try:
                await self._tell(notice, issue)
                return self._receipt(notice, issue)
            except JiraRefused as refused:
                if refused.status != 404:
                    raise
            self._issues.pop(story(notice), None)
            instead = await self._look_for(notice) if known else ""  # which an earlier try may have made
            if instead and instead != known:
                await self._tell(notice, instead)
                return self._receipt(notice, instead)
        issue = await self._create(notice, _GONE if known else "")
        if notice.kind is NoticeKind.RESOLVED:
            await self._close(issue, await self._way_out(issue))
        return self._receipt(notice, issue)

    def _receipt(self, notice: Notice, issue: str) -> Receipt:
        self._issues[story(notice)] = issue
        self._issues.move_to_end(story(notice))
        while len(self._issues) > _REMEMBERED:
            self._issues.popitem(last=False)
        return Receipt(data={"issue": issue, "url": f"{self._options.url}/browse/{issue}"})

    async def _tell(self, notice: Notice, issue: str) -> None:
        """Say it in the issue that is there, unless it stands there already."""
        if notice.kind is NoticeKind.RESOLVED:
            way = await self._way_out(issue)
            none = (
                ()
                if way is not None
                else (f"{self._options.project} offers no transition that closes it: close it by hand.",)
            )
            await self._comment(notice, issue, *none)
            await self._close(issue, way)
            return
        if notice.kind is not NoticeKind.OPENED or not await self._describes(notice, issue):
            await self._comment(notice, issue)
        if notice.kind is NoticeKind.OPENED and notice.to:
            await self._assign(notice, issue)

    # ------------------------------------------------------------------------------------------ the issue

    async def _look_for(self, notice: Notice) -> str:
        """The key of the issue that an earlier try has made. Raises DeliveryError where it is too early to know."""
        about = story(notice)
        since = self._uncertain.get(about) or (self._made if notice.at < self._made else None)
        if since is None and notice.kind is NoticeKind.OPENED:
            return ""
        found = await self._api.found(story_label(notice))
        if not found and since is not None and await self._api.is_cloud():
            left = (since + LAG - self._now()).total_seconds()
            if left > 0:
                text = "whether the issue is there already can't be known yet"
                raise DeliveryError("server", text, retryable=True, retry_after=left)
        return found

    async def _create(self, notice: Notice, *more: str) -> str:
        about, options, place = story(notice), self._options, place_of(self._options, notice)
        fields: dict[str, Any] = {
            **options.fields,
            "project": {"key": place.project},
            "issuetype": {"name": place.issue_type},
            "summary": summary_of(notice),
            "description": text_of(notice, *filter(None, more)),
            "labels": [*options.labels, story_label(notice)],
        }
        if place.priority:
            fields["priority"] = {"name": place.priority}
        if place.assignee:
            fields["assignee"] = await self._api.user(place.assignee)
        try:
            made = await self._post_issue(fields, notice)
        except DeliveryError as error:
            if error.retryable:
                self._doubt(about)
            raise
        except JiraRefused as refused:
            if refused.retryable and refused.status != 429:
                self._doubt(about)
            raise
        except asyncio.CancelledError:  # whoever called us has run out of patience
            self._doubt(about)
            raise
        self._uncertain.pop(about, None)
        return str(made["key"])

    async def _post_issue(self, fields: dict[str, Any], notice: Notice) -> Any:
        """Without what Jira does not take of it, where a page can do without that."""
        while True:
            try:
                return await self._api.post("issue", body={"fields": fields})
            except JiraRefused as refused:
                disliked = {name for name in refused.fields if name in fields}
                needed = refused.fields.keys() - DISPENSABLE - (fields.keys() & self._options.fields.keys())
                if refused.status != 400 or not disliked or needed:
                    raise
                for name in disliked:
                    del fields[name]
                fields["description"] = text_of(notice, f"{{noformat}}Jira did not take {refused.said}{{noformat}}")
                log.warning("jira_issue_simplified", channel=self._name, without=sorted(disliked), why=refused.said)

    def _doubt(self, about: str) -> None:
        """It may have been made, and only the answer was lost."""
        self._uncertain[about] = self._now()
        while len(self._uncertain) > _REMEMBERED:
            self._uncertain.popitem(last=False)

    async def _describes(self, notice: Notice, issue: str) -> bool:
        """Whether the issue was opened by this very notice."""
        said = await self._api.get("issue", issue, fields="description")
        return mark(notice) in str((said.get("fields") or {}).get("description") or "")

    # ------------------------------------------------------------------------------------------ in the issue

    async def _comment(self, notice: Notice, issue: str, *more: str) -> None:
        said = await self._api.get("issue", issue, "comment", orderBy="-created", maxResults=str(_NEWEST))
        if not any(mark(notice) in str(comment.get("body")) for comment in said.get("comments") or ()):
            await self._api.post("issue", issue, "comment", body={"body": text_of(notice, *more)})

    async def _assign(self, notice: Notice, issue: str) -> None:
        """Whoever is asked has it; that Jira does not want that is no reason not to ask."""
        try:
            await self._api.put("issue", issue, "assignee", body=await self._api.user(notice.to))
        except JiraRefused as refused:
            if refused.retryable:
                raise
            log.warning("jira_issue_not_assigned", channel=self._name, issue=issue, why=refused.said)

    async def _way_out(self, issue: str) -> dict[str, Any] | None:
        """The transition that closes it; empty where it is closed already, None where there is none."""
        said = await self._api.get("issue", issue, fields="status")
        if _is_done((said.get("fields") or {}).get("status")):
            return {}
        said = await self._api.get("issue", issue, "transitions", expand="transitions.fields")
        found: list[dict[str, Any]] = said.get("transitions") or []
        wanted = self._options.close.casefold()
        for each in found:
            names = (each.get("name", ""), (each.get("to") or {}).get("name", ""))
            if wanted and wanted in (str(name).casefold() for name in names):
                return each
        return next((each for each in found if _is_done(each.get("to"))), None) if not wanted else None

    async def _close(self, issue: str, way: dict[str, Any] | None) -> None:
        if not way:
            return
        body: dict[str, Any] = {"transition": {"id": str(way["id"])}}
        if "resolution" in (way.get("fields") or {}) and self._options.resolution:
            body["fields"] = {"resolution": {"name": self._options.resolution}}
        await self._api.post("issue", issue, "transitions", body=body)


def _is_done(status: Any) -> bool:
    return bool(((status or {}).get("statusCategory") or {}).get("key") == "done")


JIRA = ChannelType(
    name="jira",
    options=JiraOptions,
    build=JiraChannel,
    about="Opens an issue in Jira for each incident, comments it as the incident goes on, and closes it at the end.",
    per_second=5.0,
)
