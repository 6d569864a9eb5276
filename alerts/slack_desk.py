"""Doing what people ask from Slack, and telling them what came of it: only them."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from urllib.parse import urlsplit

import structlog

from agent.operations import Operations, Refused
from agent.ports import DeliveryError, Desk
from alerts.slack_api import SlackApi
from alerts.slack_blocks import escape, escaped_cost
from alerts.slack_buttons import Carried
from alerts.slack_command import NotUnderstood, Order, help_text, understand_command
from alerts.slack_errors import SlackRefused
from alerts.slack_heard import Command, Press, Speaker
from alerts.slack_may import Gatekeeper, person_of
from alerts.text import clip, first_lines

log = structlog.get_logger()

HOUR = timedelta(hours=1)
WITHIN = 20.0  # seconds for one operation
ANSWER = 3_500  # characters
_CALLBACKS = ("hooks.slack.com", "hooks.slack-gov.com")
_WANTED = {
    "ack": "acknowledge it",
    "silence": "silence it",
    "restart": "restart it",
    "approve": "approve a restart",
    "seen": "confirm the drill",
}


class SlackDesk:
    """Answers for one channel. Every press and every command that would change something leaves a line in the timeline:
    what was done is noted by who does it, what was refused or went wrong is noted here."""

    def __init__(self, name: str, api: SlackApi, api_url: str, gate: Gatekeeper, desk: Desk) -> None:
        self._name = name
        self._api = api
        self._hosts = {*_CALLBACKS, urlsplit(api_url).hostname}
        self._gate = gate
        self._desk = desk

    async def press(self, press: Press) -> None:
        button, speaker = press.button, press.speaker
        by = self._name_of(speaker)
        if why := await self._gate.refusal(button.action, speaker, here=True):
            self._refused(button.action, button.service, by, why)
            await self._say(speaker, f"🚫 {escape(why)}")
            return
        await self._do(button.action, button.service, speaker, _operation(self._desk.operations, button, by), by)

    async def command(self, command: Command, *, here: bool) -> None:
        speaker = command.speaker
        try:
            order = understand_command(command.text, command.command)
        except NotUnderstood as error:
            self._desk.count(self._name, "command", "not_understood")
            await self._say(speaker, escape(str(error)))
            return
        if order.what == "help":
            self._desk.count(self._name, "help", "done")
            await self._say(speaker, help_text(command.command))
            return
        changes = order.what in ("ack", "silence")
        action, by = order.what if changes else "status", self._name_of(speaker)
        if why := await self._gate.refusal(action, speaker, here=here):
            self._refused(action, order.subject if changes else "", by, why)
            await self._say(speaker, f"🚫 {escape(why)}")
            return
        operation = _ordered(self._desk.operations, order, by)
        await self._do(order.what, order.subject if changes else "", speaker, operation, by)

    async def _do(self, what: str, service: str, speaker: Speaker, operation: Awaitable[str], by: str) -> None:
        try:
            async with asyncio.timeout(WITHIN):
                said = await operation
        except Refused as refused:
            self._refused(what, service, by, str(refused))
            await self._say(speaker, f"⚠ {escape(clip(str(refused), 1_000, escaped_cost))}")
        except TimeoutError:
            self._failed(what, service, by, f"there was no answer within {WITHIN:g} s")
            await self._say(speaker, f"⚠ No answer within {WITHIN:g} s: look at the timeline before you ask again.")
        except Exception:
            log.exception("slack_operation_failed", channel=self._name, what=what, service=service)
            self._failed(what, service, by, "it went wrong inside codeblue")
            await self._say(speaker, "⚠ That went wrong inside codeblue: its log says how. Use its command line.")
        else:
            self._desk.count(self._name, what, "done")
            text = escape(first_lines(said, ANSWER, escaped_cost))
            await self._say(speaker, f"```\n{text}\n```" if what in ("status", "oncall") else text)

    def _refused(self, what: str, service: str, by: str, why: str) -> None:
        log.info("slack_refused", channel=self._name, what=what, service=service, by=by, why=why)
        self._desk.count(self._name, what, "refused")
        self._note(what, service, by, f"was refused: {why}")

    def _failed(self, what: str, service: str, by: str, why: str) -> None:
        self._desk.count(self._name, what, "failed")
        self._note(what, service, by, why)

    def _note(self, what: str, service: str, by: str, outcome: str) -> None:
        if service and what in _WANTED:
            self._desk.note(service, f"{by} wanted to {_WANTED[what]} from Slack, and {outcome}", by)

    def _name_of(self, speaker: Speaker) -> str:
        """As the timeline shall name him: the name that config knows him by, or Slack's, and always his id."""
        name = person_of(speaker.user, self._desk.contacts()) or speaker.name
        return f"{name} ({speaker.user})" if name else speaker.user

    async def _say(self, speaker: Speaker, text: str) -> None:
        """Show it to that person alone. What can't be shown was done all the same, and stands in the timeline."""
        try:
            parts = urlsplit(speaker.response_url)
            if parts.hostname in self._hosts and await self._api.respond(speaker.response_url, text):
                return
            await self._api.call("chat.postEphemeral", channel=speaker.channel, user=speaker.user, text=text)
        except (SlackRefused, DeliveryError) as error:
            log.warning("slack_answer_lost", channel=self._name, user=speaker.user, error=str(error))


def _operation(operations: Operations, button: Carried, by: str) -> Awaitable[str]:
    service, incident = button.service, button.incident
    match button.action:
        case "ack":
            return operations.acknowledge(service, by, incident=incident)
        case "silence":
            return operations.silence(f"service={service}", by, span=HOUR, comment="from Slack", incident=incident)
        case "restart":
            return operations.restart(service, by, incident=incident)
        case "approve":
            return operations.approve(button.key, by)
        case _:
            return operations.seen(button.key, by)


def _ordered(operations: Operations, order: Order, by: str) -> Awaitable[str]:
    match order.what:
        case "ack":
            return operations.acknowledge(order.subject, by, span=order.span)
        case "silence":
            return operations.silence(order.subject, by, span=order.span, comment=order.comment)
        case "oncall":
            return operations.on_call()
        case _:
            return operations.status(order.subject)
