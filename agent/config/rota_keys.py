"""The keys of people, on-call schedules, escalation policies and routes.

The descriptions here are the reference documentation and what an editor shows.
"""

from datetime import date, timedelta
from typing import Annotated

from pydantic import Field, SecretStr

from agent.config.envelope import Envelope
from agent.config.rota_types import Addresses, DateText, Handover, HoursText, Patterns, Severity, TurnLength, Turns
from agent.config.types import Length, Name, Names, Zone
from agent.durations import Duration

ANCHOR = date(2024, 1, 1)  # a Monday


class PersonKeys(Envelope):
    name: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="How messages call this person. Default: the key."
    )
    contacts: Addresses = Field(
        default_factory=dict,
        description="Addresses by channel: a Slack user, a mail address, a number in quotes. All of them are used.",
    )
    zone: Zone | None = Field(None, description="IANA time zone in which this person reads times.")
    aliases: Names = Field((), description="What calendars call this person: other names, mail addresses.")


class LayerKeys(Envelope):
    people: Turns = Field(
        min_length=1, description="Who has a turn, in this order; a list within the list are several at once."
    )
    every: TurnLength = Field(
        timedelta(weeks=1), description="How long a turn is: `weekly`, `daily`, `2w`, `3d`, `12h`."
    )
    handover: Handover | None = Field(
        None, description="When turns change: `09:00`, or `Mon 09:00` for those of whole weeks. Default: 00:00."
    )
    start: DateText = Field(
        ANCHOR, description="The day of the first hand-over, to the first of `people`; before it nobody is on call."
    )
    zone: Zone | None = Field(None, description="IANA time zone of this layer. Default: the schedule's.")
    only: HoursText | None = Field(
        None, description="Only at these hours: `Mon-Fri 09:00-17:00`, `Sat,Sun`, `22:00-07:00`; one or a list."
    )


class CalendarKeys(Envelope):
    url: SecretStr | None = Field(None, description="Web address of an iCalendar, such as Google's secret address.")
    file: str | None = Field(None, description="An iCalendar file; a relative path starts from this file's folder.")
    every: Length = Field(timedelta(minutes=5), description="How often it is read again.")


class ScheduleKeys(Envelope):
    zone: Zone | None = Field(None, description="IANA time zone. Needed for layers; of a calendar, its whole days.")
    layers: tuple[LayerKeys, ...] = Field(
        (), description="Rotations. A later one goes before the earlier ones wherever it has somebody."
    )
    ical: CalendarKeys | None = Field(
        None, description="A calendar instead: who is on call stands in SUMMARY or ATTENDEE of its events."
    )


class EscalationStepKeys(Envelope):
    notify: Names = Field(
        min_length=1,
        description="Schedules, people, channels; `primary/sms` asks by that channel only. `person:NAME`, "
        "`oncall:NAME`, `channel:NAME` where a name is several of them.",
    )
    wait: Length = Field(
        timedelta(minutes=5), description="How long they have to acknowledge before the next step is taken."
    )


class QuietKeys(Envelope):
    hours: HoursText = Field(description="When nobody is asked: `22:00-07:00`, `Sat,Sun`; one or a list.")
    severity: tuple[Severity, ...] = Field(
        ("warning", "info"), min_length=1, description="What can wait until these hours are over."
    )


class EscalationKeys(Envelope):
    steps: tuple[EscalationStepKeys, ...] = Field(min_length=1, description="Whom to ask, one step after the other.")
    repeat: Annotated[int, Field(ge=0, le=100)] = Field(0, description="How often it begins again after the last step.")
    ack_for: Duration = Field(
        timedelta(hours=1), description="How long an acknowledgement holds; 0s until the incident is over."
    )
    hours: HoursText | None = Field(
        None, description="People are asked only at these hours: `Mon-Fri 09:00-17:00`; what is left over waits."
    )
    quiet: QuietKeys | None = Field(None, description="Hours at which what can wait does.")
    zone: Zone | None = Field(None, description="IANA time zone of `hours` and `quiet`, which need it.")


class RouteKeys(Envelope):
    match: Patterns = Field(
        default_factory=dict,
        description="What a service must have, each key: `severity`, `service`, `group` or a label; a text with * or a "
        "list of such. Without any, every service.",
    )
    escalate: Name = Field(description="The escalation policy of those services; `none` for none.")
