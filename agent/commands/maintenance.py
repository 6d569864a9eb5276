"""`codeblue maintenance`: planned times in which nobody is asked and nothing is restarted."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.silence import (
    AllOption,
    ByOption,
    CommentOption,
    Matchers,
    clock_here,
    length,
    limits,
    matchers,
    path,
    say_hint,
    zone_here,
)
from agent.commands.terminal import asked, fail, login_name, out, show

maintenance = typer.Typer(no_args_is_help=True, help="Planned times without pages and restarts.")

Span = Annotated[str, typer.Option("--for", help="How long it lasts, such as 2h.")]
Start = Annotated[str, typer.Option("--from", help="When it begins: now, +2h, 18:00, Mon 09:00, 2026-01-05 09:00.")]
End = Annotated[
    str, typer.Option("--until", help="When it ends, in place of --for; of a repeated one, the last start.")
]
CronOption = Annotated[str, typer.Option(help="When it begins: five cron fields, in --zone.")]
Rule = Annotated[str, typer.Option(help="The days on which it begins, such as FREQ=MONTHLY;BYDAY=1SU; with --at.")]
At = Annotated[str, typer.Option(help="With --rrule: the time of day, in --zone.")]
Zone = Annotated[str, typer.Option(help="IANA time zone of the window. Default: this terminal's.")]


@maintenance.command("list")
def list_windows(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """All windows, planned and by hand, with their next times."""
    from agent.commands.show_quiet import windows

    found = asked(config, "/api/maintenance")
    if not found and not as_json:
        out.print("no maintenance windows")
        return
    show(found, as_json, lambda rows: windows(rows, datetime.now(UTC)))


@maintenance.command("add")
def add(
    match: Matchers = None,
    span: Span = "",
    start: Start = "",
    end: End = "",
    cron: CronOption = "",
    rrule: Rule = "",
    at: At = "",
    zone: Zone = "",
    comment: CommentOption = "",
    by: ByOption = "",
    everything: AllOption = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Begin maintenance now, or plan it. Nobody is asked and nothing restarted."""
    from agent.commands.show_quiet import window_made

    body = _body(match, span, (start, end), (cron, rrule, at), zone, everything=everything)
    body |= {"comment": comment, "by": by or login_name()}
    made = asked(config, "/api/maintenance", body=body)
    show(made, as_json, lambda one: window_made(one, datetime.now(UTC)))
    say_hint(made)


@maintenance.command("end")
def end_window(
    window: Annotated[str, typer.Argument(help="Its name from `maintenance list`.")],
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """End a window now. A planned one comes again the next time."""
    from agent.commands.show_quiet import window_ended

    ended = asked(config, path("/api/maintenance", window, by), method="DELETE")
    show(ended, as_json, lambda one: window_ended(one, datetime.now(UTC)))


@maintenance.command("preview")
def preview(
    match: Annotated[list[str] | None, typer.Argument(help="Matchers, or the name of a window that there is.")] = None,
    span: Span = "",
    start: Start = "",
    end: End = "",
    cron: CronOption = "",
    rrule: Rule = "",
    at: At = "",
    zone: Zone = "",
    everything: AllOption = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """When a window would be open, and what it would hide."""
    from agent.commands.show_quiet import preview as render

    if match and len(match) == 1 and not set("=~") & set(match[0]) and match != ["all"]:
        body: dict[str, Any] = {"id": match[0]}
    else:
        body = _body(match, span, (start, end), (cron, rrule, at), zone, everything=everything)
        body.pop("all")
    found = asked(config, "/api/maintenance/preview", body=body)
    clock = clock_here(zone)
    show(found, as_json, lambda one: render(one, clock))
    say_hint(found)


def _body(
    match: list[str] | None,
    span: str,
    both: tuple[str, str],
    repeated: tuple[str, str, str],
    zone: str,
    *,
    everything: bool,
) -> dict[str, Any]:
    if not span and not both[1]:
        raise fail("say how long it lasts: --for 2h, or --until when", 2)
    begins, ends = limits(*both, zone)
    return {
        "match": matchers(match, everything=everything),
        "for": length(span),
        "from": begins,
        "until": ends,
        **dict(zip(("cron", "rrule", "at"), repeated, strict=True)),
        "zone": zone_here(zone),
        "all": everything,
    }
