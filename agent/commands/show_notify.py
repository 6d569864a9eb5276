"""How channels and tests of them look on a terminal. Pure: data in, renderables out."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from agent.commands.show import since, table

STYLES = {"delivered": "green", "retried": "yellow", "dead": "bold red"}
SPOKEN = {"delivered": "delivered", "retried": "put off", "dead": "given up"}


def outcome(found: Mapping[str, Any]) -> RenderableType:
    """What became of a test, and what to do."""
    to = f"{found['channel']}/{found['person']}" if found["person"] else found["channel"]
    head = Text(f"{to} ({found['type']}): ")
    if found["outcome"] == "delivered":
        head.append("delivered", style="green").append(f" in {found['took']:.1f} s")
    elif found["outcome"] == "failed":
        head.append("not delivered", style="bold red")
    else:
        head.append("not sent", style="yellow")
    lines = [head]
    if found["where"]:
        lines.append(
            Text("  " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in found["where"].items()))
        )
    if found["error"]:
        tries = f" ({found['tries']} tries)" if found["tries"] > 1 else ""
        reason = f"{found['reason']}: " if found["reason"] else ""
        lines += [Text(f"  {reason}{found['error']}{tries}"), Text(f"  What to do: {found['advice']}")]
    return Text("\n").join(lines)


def channels(found: Iterable[Mapping[str, Any]], now: datetime | None = None) -> RenderableType:
    made = table("CHANNEL", "TYPE", "STATE", "WAITING", "LAST MESSAGE", "PEOPLE")
    for one in found:
        trouble = one["trouble"]
        state = Text(trouble, style="bold red") if trouble else Text("ok", style="green")
        people = Text(", ".join(one["people"]) or "-")
        made.add_row(one["name"], one["type"], state, str(one["waiting"]), _last(one["last"], now), people)
    return made


def _last(last: Mapping[str, Any] | None, now: datetime | None) -> Text:
    if last is None:
        return Text("none since the agent's start", style="dim")
    text = Text(SPOKEN[last["outcome"]], style=STYLES[last["outcome"]])
    text.append(f" {since(last['at'], now or datetime.now(UTC))} ago ({last['kind']})")
    return text.append(f": {last['error']}") if last["error"] else text
