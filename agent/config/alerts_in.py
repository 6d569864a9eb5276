"""Alerts of Prometheus Alertmanager that come in: who is asked about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema

from agent.config.around import Around
from agent.config.channels import check_channels, fallbacks
from agent.config.envelope import Envelope, GatherKeys
from agent.config.escalation import NONE, named_escalation
from agent.config.forms import Reading
from agent.config.report import Place
from agent.config.rota_types import SEVERITIES, Severity
from agent.config.routes import OWN_KEYS, Routing
from agent.config.types import Length, Names
from agent.core.policy import Escalation, Flapping, Gather, Policy
from agent.durations import Duration

PER = ("alert", "group")


def _per(value: object) -> object:
    if isinstance(value, str) and value in PER:
        return value
    if isinstance(value, list | tuple) and value and all(isinstance(one, str) and one for one in value):
        return tuple(dict.fromkeys(value))
    raise ValueError(f"expected alert, group, or a list of labels such as [alertname, cluster]; got {value!r}")


Per = Annotated[
    Any,
    BeforeValidator(_per),
    WithJsonSchema({"anyOf": [{"enum": list(PER)}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class AlertsInKeys(Envelope):
    page: Names | None = Field(None, description="Channels that are asked about every alert. Default: as for services.")
    escalate: str | None = Field(
        None,
        description="The escalation policy of every alert; `none` for none. Default: by the routes.",
    )
    token: SecretStr | None = Field(
        None, description="What Alertmanager must send as bearer token. Any of `agent.tokens` does it, too."
    )
    per: Per = Field(
        "alert",
        description="What is one incident: each `alert`, each `group` of Alertmanager's, or, as a list of labels, all "
        "alerts that agree in these.",
    )
    severity_from: str = Field("severity", min_length=1, description="The label that holds the severity.")
    severities: Mapping[str, Severity] = Field(
        default_factory=dict, description="What other words of that label mean: `{page: critical, ticket: warning}`."
    )
    severity: Severity = Field("critical", description="The severity of alerts whose label is missing or unknown.")
    unheard_after: Length = Field(
        timedelta(hours=12),
        description="When nobody can tell any more of an alert that is not repeated: some times Alertmanager's "
        "`repeat_interval`.",
    )
    close_after: Duration = Field(
        timedelta(days=7), description="How long after that it is closed, saying why; 0s never."
    )
    at_most: Annotated[int, Field(ge=1, le=10_000)] = Field(
        1000, description="Alerts that are open or were lately; more are refused with status 503."
    )
    remind: Duration | None = Field(None, description="An unresolved page is repeated this often; 0s never.")
    gather: GatherKeys | None = Field(None, description="Pages that are gathered into one message.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsInSpec:
    """What holds for alerts that come in. `fixed` says that the escalation is this one, whatever the routes say."""

    page: tuple[str, ...] = ()
    escalation: Escalation | None = None
    fixed: bool = False
    routing: Routing = field(default_factory=Routing)
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    token: SecretStr | None = None
    per: str | tuple[str, ...] = "alert"
    severity_from: str = "severity"
    severities: Mapping[str, str] = field(default_factory=dict)
    severity: str = "critical"
    unheard_after: timedelta = timedelta(hours=12)
    close_after: timedelta = timedelta(days=7)
    at_most: int = 1000
    remind: timedelta = timedelta(hours=4)
    page_deadline: timedelta = timedelta(minutes=1)
    flapping: Flapping | None = None
    gather: Gather | None = None

    def policy_of(self, name: str, labels: Mapping[str, str], runbook: str, links: Mapping[str, str]) -> Policy:
        """Who is asked about an alert of this name, with these labels. A label that is called like something that every
        service has goes on as `exported_NAME`, as Prometheus itself does it."""
        said = labels.get(self.severity_from, "")
        severity = self.severities.get(said, said if said in SEVERITIES else self.severity)
        known = {
            f"exported_{label}" if label in OWN_KEYS else label: text
            for label, text in labels.items()
            if (label, text) != ("severity", severity)
        }
        facts = {**known, "service": name, "group": "", "severity": severity}
        return Policy(
            service=name,
            page=self.page,
            fallback=self.fallback,
            escalation=self.escalation if self.fixed else self.routing.choose(facts),
            severity=severity,
            labels=known,
            remind=self.remind,
            page_deadline=self.page_deadline,
            unknown_after=timedelta(0),  # what is not repeated is dealt with by the intake
            runbook=runbook,
            links=links,
            flapping=self.flapping,
            gather=self.gather,
        )


def read_alerts_in(value: object, place: Place, around: Around, reading: Reading) -> AlertsInSpec | None:
    """None where the section is missing: nothing is taken in. What is wrong is reported."""
    if value is None:
        return None
    keys = reading.model(AlertsInKeys, value, place)
    if not keys:
        return None
    defaults, routing, escalation = around.defaults, around.routing, None
    page = defaults.page if keys.page is None else keys.page
    check_channels(keys.page or (), around.channel_names, place.at("page"), reading.report)
    if keys.escalate is not None:
        escalation = named_escalation(keys.escalate, routing.escalations, place.at("escalate"), reading)
    by_routes = keys.escalate is None and (routing.default is not None or bool(routing.routes))
    if not page and not by_routes and keys.escalate in (None, NONE):
        reading.report.add(place, "expected page or escalate: nobody would be asked about any alert")
    gather = keys.gather or defaults.gather
    return AlertsInSpec(
        page=page,
        escalation=escalation,
        fixed=keys.escalate is not None,
        routing=routing,
        fallback=fallbacks(around.channel_names, around.channels),
        token=keys.token,
        per=keys.per,
        severity_from=keys.severity_from,
        severities=keys.severities,
        severity=keys.severity,
        unheard_after=keys.unheard_after,
        close_after=keys.close_after,
        at_most=keys.at_most,
        remind=defaults.remind if keys.remind is None else keys.remind,
        page_deadline=defaults.page_deadline,
        flapping=_flapping(around),
        gather=Gather(by=gather.by, wait=gather.wait, interval=gather.interval) if gather else None,
    )


def _flapping(around: Around) -> Flapping | None:
    rate, calm = around.defaults.flapping, around.defaults.calm
    return Flapping(at_most=rate.count, per=rate.per, calm=calm) if rate.count else None
