"""The contracts between the core and the world. Each says what is promised and what may be raised.

Whatever implements one of these may import this module and `agent.core`, and nothing of its siblings; `agent.app`
is the only place that knows every concrete class.
"""

from agent.ports.actions import (
    ActionOutcome,
    ActionType,
    ChildProcesses,
    ProcessSpec,
    Reach,
    Reaching,
    Remediator,
)
from agent.ports.alerts_in import AlertGroup, AlertIntake, ForeignAlert, Taken
from agent.ports.beats import Beat, BeatBook, BeatIntake, BeatState
from agent.ports.channels import Channel, ChannelType, DeliveryError, ReadingBack, Receipt, Repeating
from agent.ports.checks import CheckContext, CheckType, Tools, Vitals
from agent.ports.drains import Drain, DrainType, NotDrained
from agent.ports.drills import DrillBook, DrillLeg, DrillOutcome, DrillReport
from agent.ports.http import HttpAnswer, HttpClient, HttpRequest, ResolveError, Resolver
from agent.ports.listening import Desk, Listening, Said
from agent.ports.logs import LogBook, LogLine, LogSpec
from agent.ports.notifying import ChannelState, Delivery, Notifying, TriedOut
from agent.ports.on_demand import OnDemand
from agent.ports.oncall import CalendarSpec, OnCall
from agent.ports.options import O, Options
from agent.ports.store import Outgoing, Run, Store, Stored, StoreUnavailable, VersionConflict
from agent.ports.table import CheckRow, ServiceRow

__all__ = [
    "ActionOutcome",
    "ActionType",
    "AlertGroup",
    "AlertIntake",
    "Beat",
    "BeatBook",
    "BeatIntake",
    "BeatState",
    "CalendarSpec",
    "Channel",
    "ChannelState",
    "ChannelType",
    "CheckContext",
    "CheckRow",
    "CheckType",
    "ChildProcesses",
    "Delivery",
    "DeliveryError",
    "Desk",
    "Drain",
    "DrainType",
    "DrillBook",
    "DrillLeg",
    "DrillOutcome",
    "DrillReport",
    "ForeignAlert",
    "HttpAnswer",
    "HttpClient",
    "HttpRequest",
    "Listening",
    "LogBook",
    "LogLine",
    "LogSpec",
    "NotDrained",
    "Notifying",
    "O",
    "OnCall",
    "OnDemand",
    "Options",
    "Outgoing",
    "ProcessSpec",
    "Reach",
    "Reaching",
    "ReadingBack",
    "Receipt",
    "Remediator",
    "Repeating",
    "ResolveError",
    "Resolver",
    "Run",
    "Said",
    "ServiceRow",
    "Store",
    "StoreUnavailable",
    "Stored",
    "Taken",
    "Tools",
    "TriedOut",
    "VersionConflict",
    "Vitals",
]
