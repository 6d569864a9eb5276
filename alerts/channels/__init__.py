"""Every way to people, by the name that config gives its type. A new channel is its module and a line here."""

from typing import Any

from agent.ports import ChannelType, OnDemand

CHANNELS: OnDemand[ChannelType[Any]] = OnDemand(
    {
        "slack": "alerts.channels.slack:SLACK",
        "mail": "alerts.channels.mail:MAIL",
        "apprise": "alerts.channels.apprise:APPRISE",
        "alertmanager": "alerts.channels.alertmanager:ALERTMANAGER",
        "jira": "alerts.channels.jira:JIRA",
        "webhook": "alerts.channels.webhook:WEBHOOK",
        "console": "alerts.channels.console:CONSOLE",
    }
)
