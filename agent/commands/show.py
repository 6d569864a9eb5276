"""How answers look on a terminal: tables and timelines. Pure: data in, renderables out."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.core.budget import in_words

COLORS = {
    "pass": "green",
    "up": "green",
    "warn": "yellow",
    "degraded": "yellow",
    "suspect": "yellow",
    "fail": "bold red",
    "down": "bold red",
    "unknown": "magenta",
    "pending": "dim",
}
MARKS = {
    "acknowledged": "☞",
    "opened": "✗",
    "closed": "✓",
    "restart_ordered": "↻",
    "restart_finished": "↻",
    "paged": "☎",
    "delivered": "☎",
}

OF_ONE_CHECK: Final = ("missed", "recovered_early", "warned", "unknown", "known")
"""Events about one result, whose texts do not name the check."""


def colored(word: str | None) -> Text:
    return Text(word or "-", style=COLORS.get(word or "", ""))


def table(*columns: str) -> Table:
    """A plain table that survives a narrow terminal and a copy into a chat."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def since(moment: str | None, now: datetime | None = None) -> str:
    """How long ago an ISO time was."""
    if not moment:
        return "-"
    return in_words((now or datetime.now(UTC)) - datetime.fromisoformat(moment))


def checks(rows: Iterable[Mapping[str, Any]]) -> Table:
    """One line for each result of a check."""
    made = table("CHECK", "VERDICT", "TOOK", "WHAT IT SAW")
    for row in rows:
        took = f"{row['took'] * 1000:.1f} ms" if row.get("took") is not None else "-"
        made.add_row(f"{row['service']}/{row['check']}", colored(row["verdict"]), took, Text(row["summary"]))
    return made


def services(found: Iterable[Mapping[str, Any]]) -> Table:
    made = table("SERVICE", "HEALTH", "SINCE", "CHECKS", "WHAT IS WRONG")
    for row in found:
        held_by = f" by {', '.join(row['held_by'])}" if row.get("held_by") else ""
        stage = f" ({row['stage']}{held_by})" if row.get("stage") else ""
        quiet = f" [{row['quiet']}]" if row.get("quiet") else ""
        text = Text(f"{row.get('summary', '')}{stage}{quiet}".strip())
        made.add_row(row["name"], colored(row["health"]), since(row["since"]), str(row["checks"]), text)
    return made


def incidents(found: Mapping[str, Any]) -> RenderableType:
    """Open incidents, then what was opened and closed lately."""
    opened = table("OPEN", "SINCE", "STAGE", "WHAT", "TRIED", "ASKED")
    for one in found["open"]:
        tried = _tried(one["tried"])
        asked = ", ".join(a["channel"] + ("" if a["delivered"] else " (not delivered)") for a in one["asked"]) or "-"
        what = Text(f"{one['check']}: {one['summary']}")
        if one["ack"]:
            asked += f"; {one['ack']['by']} has taken it on"
        elif one["quiet"]:
            asked = f"{asked}; {one['quiet']}" if one["asked"] else one["quiet"]
        opened.add_row(one["service"], since(one["first_miss_at"]), one["stage"], what, tried, Text(asked))
    parts: list[RenderableType] = [opened] if found["open"] else [Text("no open incident", style="green")]
    if found["recent"]:
        parts += [Text(), timeline(found["recent"], with_service=True)]
    return Group(*parts)


def _tried(tried: Iterable[Mapping[str, Any]]) -> str:
    """The restarts in order, with those that went alike as one."""
    alike = groupby(f"{one['action']} {one['outcome'] or 'running'}" for one in tried)
    times = ((what, len(list(those))) for what, those in alike)
    return ", ".join(what if count == 1 else f"{what} {count} times" for what, count in times) or "-"


def timeline(events: Iterable[Mapping[str, Any]], *, with_service: bool = False) -> Table:
    made = Table(box=None, pad_edge=False, show_header=False)
    for event in events:
        at = datetime.fromisoformat(event["at"])
        check = f"{event['check']}: " if event.get("check") and event["kind"] in OF_ONE_CHECK else ""
        what = f"{MARKS.get(event['kind'], '·')} {check}{event['text']}"
        start = [f"{at:%m-%d %H:%M:%S}"] + ([event["service"]] if with_service else [])
        made.add_row(*start, Text(what, style="red" if event["kind"] == "opened" else ""))
    return made


def explanation(found: Mapping[str, Any]) -> RenderableType:
    """Why a service is in its present state: results, thresholds, budget, and its timeline."""
    service, policy = found["service"], found["policy"] or {}
    for_so_long = f" for {since(service['since'])}" if service["since"] else ""
    head = Text.assemble((service["name"], "bold"), " is ", colored(service["health"]), for_so_long)
    made = table("CHECK", "VERDICT", "MISSES", "WHAT IT SAW")
    for check in service["checks"]:
        rule = policy.get("checks", {}).get(check["name"], {})
        misses = f"{check['misses']} (decides at {rule.get('misses', '?')})"
        made.add_row(check["name"], colored(check["verdict"]), misses, Text(check["summary"]))
    parts: list[RenderableType] = [head, Text(), made, Text(), Text(_rules(found))]
    if found["timeline"]:
        parts += [Text(), Text("Timeline (UTC)", style="bold"), timeline(found["timeline"])]
    return Group(*parts)


def _rules(found: Mapping[str, Any]) -> str:
    policy, restarts = found["policy"] or {}, found["restarts"]
    lines = []
    rule = policy.get("restart")
    if rule and restarts:
        at = restarts["next_free_at"]
        free = f"; the next is free at {datetime.fromisoformat(at):%H:%M:%S} UTC" if at else ""
        lines.append(f"Restart by {rule['action']}: {restarts['left']} of {rule['at_most']} left{free}")
        if shared := ", ".join(f"{left} of the {name}" for name, left in restarts.get("shared", {}).items()):
            lines.append(f"Left to it and others together: {shared}")
    else:
        lines.append("Restart: none is configured")
    lines.append(f"Pages: {', '.join(policy.get('page') or ()) or 'nobody'}{_steps(policy.get('escalation'))}")
    if found["service"]["depends_on"]:
        lines.append(f"Depends on: {', '.join(found['service']['depends_on'])}")
    return "\n".join(lines)


def _steps(escalation: Mapping[str, Any] | None) -> str:
    """What follows the channels: "; then by night: primary, 5 min, bob"."""
    if not escalation:
        return ""
    parts = []
    for step in escalation["steps"]:
        parts.append(" and ".join(target.partition(":")[2] for target in step["notify"]))
        parts.append(in_words(timedelta(seconds=step["wait"])))
    again = f", {escalation['repeat']} times more" if escalation["repeat"] else ""
    return f"; by {escalation['name']}: {' → '.join(parts[:-1])}{again}"


def question(incident: Mapping[str, Any]) -> RenderableType:
    """What a person should see before approving a restart."""
    head = Text.assemble((incident["service"], "bold"), " is down: ", f"{incident['check']}: {incident['summary']}")
    parts: list[RenderableType] = [head, Text(f"for {since(incident['first_miss_at'])}")]
    for name, text in incident["evidence"].items():
        parts += [Text(f"{name}:", style="bold"), Text(text)]
    return Group(*parts)


def dead_letters(found: Iterable[Mapping[str, Any]]) -> Table:
    made = table("KEY", "WHAT", "TRIES", "WHY IT WAS GIVEN UP")
    for letter in found:
        command = letter["command"]
        what = f"{command['kind']} to {command['channel']}: {command['title']}" if "kind" in command else "restart"
        made.add_row(command["key"], Text(what), str(letter["tries"]), Text(letter["error"]))
    return made
