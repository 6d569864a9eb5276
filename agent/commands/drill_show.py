"""How drills look on a terminal. Pure: data in, renderables out."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from agent.commands.show import since, table

STYLES = {"passed": "green", "failed": "bold red", "unfinished": "yellow", "running": "cyan", "skipped": "yellow"}
MARKS = {"passed": "✓", "failed": "✗", "skipped": "-"}
CHANNELS = "@channels"


def called(report: Mapping[str, Any]) -> str:
    return "the channels" if report["of"] == CHANNELS else str(report["of"])


def legs(report: Mapping[str, Any]) -> RenderableType:
    """One drill, leg by leg with its seconds, and what to do where one failed."""
    made = table("", "LEG", "SECONDS", "WHAT WAS SEEN")
    for leg in report["legs"]:
        style = STYLES[leg["outcome"]]
        made.add_row(
            Text(MARKS[leg["outcome"]], style=style), leg["name"], f"{leg['seconds']:.2f}", Text(leg["detail"])
        )
    head = Text.assemble(
        f"Fire drill for {called(report)}: ", _outcome(report), f" after {report['seconds']:.2f} s ({report['id']})"
    )
    parts: list[RenderableType] = [made, head] if report["legs"] else [head]
    if report["outcome"] == "running" and report["seen"] and report["legs"]:
        parts.append(Text("somebody has to confirm it: the button in Slack, or codeblue drill seen", style="dim"))
    if report["outcome"] == "failed":
        parts += [Text(f"{report['why']}."), Text(report["remedy"], style="bold")]
    return Group(*parts)


def drills(found: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line for each."""
    made = table("DRILL OF", "OUTCOME", "AGO", "SECONDS", "BY", "WHAT FAILED")
    for one in found:
        made.add_row(called(one), _outcome(one), since(one["at"]), f"{one['seconds']:.2f}", one["by"], Text(one["why"]))
    return made


def last_drill(found: Sequence[Mapping[str, Any]]) -> str:
    """The newest of them in one line, empty where there is none."""
    if not found:
        return ""
    one = max(found, key=lambda each: str(each["at"]))
    why = f": {one['why']}" if one["outcome"] == "failed" else ""
    return f"Last drill: for {called(one)}, {one['outcome']} in {one['seconds']:.1f} s, {since(one['at'])} ago{why}"


def _outcome(report: Mapping[str, Any]) -> Text:
    return Text(report["outcome"], style=STYLES[report["outcome"]])
