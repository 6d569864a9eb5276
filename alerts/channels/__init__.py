"""Every way to people, by the name that config gives its type. A new channel is its module and a line here."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from agent.ports import ChannelType
from alerts.channels.alertmanager import ALERTMANAGER
from alerts.channels.apprise import APPRISE
from alerts.channels.console import CONSOLE
from alerts.channels.jira import JIRA
from alerts.channels.mail import MAIL
from alerts.channels.slack import SLACK
from alerts.channels.webhook import WEBHOOK

CHANNELS: Mapping[str, ChannelType[Any]] = MappingProxyType(
    {
        "slack": SLACK,
        "mail": MAIL,
        "apprise": APPRISE,
        "alertmanager": ALERTMANAGER,
        "jira": JIRA,
        "webhook": WEBHOOK,
        "console": CONSOLE,
    }
)
