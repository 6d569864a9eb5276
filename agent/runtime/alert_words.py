"""What a message of Prometheus Alertmanager says of our services without probes. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from agent.ports import AlertGroup, ForeignAlert

KIND = "alert"
PER_ALERT, PER_GROUP = "alert", "group"
READABLE = ("alertname", "instance")  # what an alert's name begins with, so that people know it again
NAMED = 5  # alerts that are named in one line
LONGEST_SUMMARY = 300  # characters
_UNSAFE = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one message says of one service: which alerts of it fire (with what each says), and which are over. `whole`:
    no others of it fire. `until` is when all of them are over unless told again, where their sender says so."""

    name: str
    firing: Mapping[str, str]
    over: frozenset[str]
    labels: Mapping[str, str]
    runbook: str
    links: Mapping[str, str]
    evidence: Mapping[str, str]
    whole: bool = False
    until: datetime | None = None


def told(group: AlertGroup, alerts: Sequence[ForeignAlert], per: str | tuple[str, ...]) -> list[Told]:
    """One service for every alert, for the whole group, or for all alerts that agree in these labels."""
    if per == PER_ALERT:
        return [_one(_named(_readable(alert), identity(alert)), [alert], alert.labels) for alert in alerts]
    if per == PER_GROUP:
        return [_group(group, alerts)] if alerts else []
    found: dict[tuple[str, ...], list[ForeignAlert]] = {}
    for alert in alerts:
        found.setdefault(tuple(alert.labels.get(label, "") for label in per), []).append(alert)
    return [
        _one(_named(values, repr((per, values))), members, {k: v for k, v in zip(per, values, strict=True) if v})
        for values, members in found.items()
    ]


def in_words(firing: Mapping[str, str]) -> str:
    """What the alerts of one service say, on one line."""
    texts = list(dict.fromkeys(firing.values()))
    if len(firing) < 2:
        return "".join(texts)
    more = f", and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return f"{len(firing)} alerts: {', '.join(texts[:NAMED])}{more}"


def identity(alert: ForeignAlert) -> str:
    """The same for as long as it is the same alert."""
    return alert.fingerprint or hashlib.sha256(repr(sorted(alert.labels.items())).encode()).hexdigest()[:16]


def ours(labels: Mapping[str, str], agent: str) -> bool:
    """An alert that our own channel has sent, and that came back through Alertmanager: taking it in would never end."""
    own = {"service", "check"} <= labels.keys() and labels.get("agent") == agent
    return own or labels.get("service", "").startswith(f"{KIND}:")


def _one(name: str, alerts: Sequence[ForeignAlert], labels: Mapping[str, str]) -> Told:
    firing = [alert for alert in alerts if alert.firing]
    first = (firing or alerts)[0]
    ends = [alert.ends for alert in firing]
    return Told(
        name=name,
        firing={identity(alert): _summary(alert) for alert in firing},
        over=frozenset(identity(alert) for alert in alerts if not alert.firing),
        labels=labels,
        runbook=first.annotations.get("runbook_url", ""),
        links=_links(first.annotations, first.link),
        evidence=_evidence(first.labels, first.annotations),
        until=max((end for end in ends if end is not None), default=None) if None not in ends else None,
    )


def _group(group: AlertGroup, alerts: Sequence[ForeignAlert]) -> Told:
    values = (group.labels.get("alertname", ""),) if "alertname" in group.labels else tuple(group.labels.values())
    one = _one(_named(values, group.key), alerts, group.labels)
    return Told(
        name=one.name,
        firing=one.firing if group.firing else {},
        over=one.over,
        labels=group.labels,
        runbook=group.annotations.get("runbook_url", ""),
        links=_links(group.annotations, alerts[0].link if len(alerts) == 1 else group.link),
        evidence=_evidence(group.labels, group.annotations),
        whole=group.whole or not group.firing,
        until=one.until,
    )


def _summary(alert: ForeignAlert) -> str:
    title, notes = alert.labels.get("alertname", "") or "alert", alert.annotations
    text = notes.get("summary") or notes.get("message") or notes.get("description", "")
    first = text.strip().partition("\n")[0]
    whole = f"{title}: {first}" if first and first != title else title
    return whole if len(whole) <= LONGEST_SUMMARY else f"{whole[: LONGEST_SUMMARY - 1]}…"


def _links(annotations: Mapping[str, str], source: str) -> dict[str, str]:
    dashboard = annotations.get("dashboard_url", "") or annotations.get("dashboard", "")
    return {label: link for label, link in (("Dashboard", dashboard), ("Source", source)) if link}


def _evidence(labels: Mapping[str, str], annotations: Mapping[str, str]) -> dict[str, str]:
    found = {
        "Labels": "\n".join(f"{name}={value}" for name, value in sorted(labels.items())),
        "Description": annotations.get("description", ""),
    }
    return {name: text for name, text in found.items() if text}


def _readable(alert: ForeignAlert) -> tuple[str, ...]:
    return tuple(alert.labels.get(label, "") for label in READABLE)


def _named(values: Iterable[str], whole: str) -> str:
    """ "alert:high-latency-web-1-1f3a5c7e9b2d": readable, safe in a URL, and always the same for the same `whole`."""
    slug = _UNSAFE.sub("-", "-".join(values).lower()).strip("-")[:40].strip("-") or "alert"
    return f"{KIND}:{slug}-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:12]}"
