"""Who may do what from Slack."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

import structlog

from agent.ports import DeliveryError
from alerts.slack_api import SlackApi
from alerts.slack_errors import SlackRefused
from alerts.slack_heard import Speaker
from alerts.slack_options import EVERYONE, May

log = structlog.get_logger()

Contacts = Mapping[str, Mapping[str, str]]

_USER = re.compile(r"[UW][A-Z0-9]{2,}")
_GROUP = re.compile(r"S[A-Z0-9]{6,}|@\S+")
_DOING = {
    "ack": "acknowledge",
    "silence": "silence",
    "restart": "order a restart",
    "approve": "approve a restart",
    "status": "ask about services",
    "seen": "confirm a drill",
}


@dataclass(frozen=True, slots=True)
class Home:
    """The workspace that the app is installed in, and its organisation; empty as long as they are not known."""

    team: str = ""
    enterprise: str = ""

    def knows(self, speaker: Speaker) -> bool:
        """Whether somebody is one of ours: shared channels have readers from elsewhere."""
        if self.enterprise and speaker.enterprise:
            return self.enterprise == speaker.enterprise
        return not self.team or not speaker.team or self.team == speaker.team


def useful_actions(may: May) -> frozenset[str]:
    """What somebody at all may do: the buttons that are of any use."""
    listed = {name for name in ("ack", "silence", "restart", "approve") if getattr(may, name)}
    return frozenset(listed | {"seen", "runbook"})


def user_groups(may: May) -> bool:
    """Whether any entry is a user group, which Slack has to be asked about."""
    lists: tuple[Sequence[str], ...] = (may.ack, may.silence, may.restart, may.approve, may.status)
    return any(_GROUP.fullmatch(entry) for entries in lists for entry in entries)


def person_of(user: str, contacts: Contacts) -> str:
    """The name of whose Slack address that is, empty where nobody's."""
    return next((name for name, addresses in contacts.items() if user in addresses.values()), "")


class Gatekeeper:
    """Decides for one channel. `contacts` are the addresses of people, `home` the app's own workspace."""

    def __init__(
        self,
        name: str,
        may: May,
        groups: "UserGroups",
        contacts: Callable[[], Contacts],
        home: Callable[[], Home],
    ) -> None:
        self._name = name
        self._may = may
        self._groups = groups
        self._contacts = contacts
        self._home = home

    async def refusal(self, action: str, speaker: Speaker, *, here: bool) -> str:
        """Why that person may not do it, one sentence; empty when he may. `here`: said in this channel, or under one of
        its messages."""
        entries: Sequence[str] = getattr(self._may, action, [EVERYONE])
        person = person_of(speaker.user, self._contacts())
        ours = self._home().knows(speaker)
        if speaker.user in entries or (person and person in entries):
            return ""
        if EVERYONE in entries and ours and (here or person):
            return ""
        unknown = ""
        for entry in entries:
            if _GROUP.fullmatch(entry):
                try:
                    if speaker.user in await self._groups.members(entry):
                        return ""
                except GroupsUnknown as error:
                    unknown = f" ({error})"
        doing, option = _DOING.get(action, action), f"channels.{self._name}.may.{action}"
        if not entries:
            return f"Nobody may {doing} from here: {option} names no one."
        if EVERYONE in entries and ours:
            return f"You may {doing} in the channel of {self._name}, but not from here, as {option} doesn't name you."
        return f"You may not {doing} from here: {option} doesn't name you{unknown}."


class GroupsUnknown(Exception):
    """Slack did not say who is in the user groups; the text says why."""


class UserGroups:
    """The members of the workspace's user groups, as of five minutes ago at most; older ones are no ground to let
    anybody do anything. Needs the scope usergroups:read."""

    FRESH = 300.0  # seconds

    def __init__(self, api: SlackApi, now: Callable[[], float] = monotonic) -> None:
        self._api = api
        self._now = now
        self._read_at = -self.FRESH - 1
        self._members: dict[str, frozenset[str]] = {}

    async def members(self, group: str) -> frozenset[str]:
        """The ids of the users in the group with that id or @handle. Raises GroupsUnknown."""
        if self._now() - self._read_at > self.FRESH:
            await self._read()
        return self._members.get(group, frozenset())

    async def _read(self) -> None:
        try:
            answer, _ = await self._api.call("usergroups.list", read=True, include_users="true")
        except (SlackRefused, DeliveryError) as error:
            code = error.code if isinstance(error, SlackRefused) else error.reason
            log.warning("slack_user_groups_unknown", error=code)
            raise GroupsUnknown(f"Slack didn't say who is in which user group: {code}") from None
        found: dict[str, frozenset[str]] = {}
        for group in answer.get("usergroups") or ():
            users = frozenset(group.get("users") or ())
            found |= {str(group.get("id")): users, f"@{group.get('handle')}": users}
        self._members, self._read_at = found, self._now()
