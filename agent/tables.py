"""Every type of check, restart, channel and drain that a configuration may name."""

from agent.actions import ACTIONS
from agent.actions.drains import DRAINS
from agent.config.model import Tables
from alerts.channels import CHANNELS
from checks import CHECKS

TABLES = Tables(checks=CHECKS, actions=ACTIONS, channels=CHANNELS, drains=DRAINS)
