"""`codeblue silence`: nobody is asked about some services for a while."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.terminal import asked, duration, err, fail, login_name, out, show

silence = typer.Typer(no_args_is_help=True, help="Ask nobody about some services for a while.")

ByOption = Annotated[str, typer.Option(help="Who asks, for pages and the timeline. Default: the login name.")]
Matchers = Annotated[
    list[str] | None,
    typer.Argument(help="service=api, severity!=critical, team=~'db|cache', group=web; several must all hold."),
]
AllOption = Annotated[bool, typer.Option("--all", help="Mean every service there is.")]
ZoneOption = Annotated[str, typer.Option(help="IANA time zone to read and write times in. Default: this terminal's.")]
CommentOption = Annotated[str, typer.Option(help="Why; it stands in every message.")]


@silence.command("add")
def add(
    match: Matchers = None,
    span: Annotated[str, typer.Option("--for", help="For how long, such as 2h.")] = "",
    end: Annotated[str, typer.Option("--until", help="Until when, in place of --for; the forms of --from.")] = "",
    until_resolved: Annotated[
        bool, typer.Option("--until-resolved", help="Only what is open now, until that is over; --for is the longest.")
    ] = False,
    start: Annotated[str, typer.Option("--from", help="Not now but at: +2h, 18:00, Mon 09:00, 2026-01-05 09:00.")] = "",
    comment: CommentOption = "",
    by: ByOption = "",
    everything: AllOption = False,
    zone: ZoneOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Silence services. What they do goes on being watched, restarted and written down."""
    from agent.commands.show_quiet import silenced

    if not span and not end and not until_resolved:
        raise fail("say for how long (--for 2h, --until 18:00), or --until-resolved", 2)
    begins, ends = limits(start, end, zone)
    body = {
        "match": matchers(match, everything=everything),
        "for": length(span),
        "until_resolved": until_resolved,
        "from": begins,
        "until": ends,
        "comment": comment,
        "by": by or login_name(),
        "all": everything,
    }
    made = asked(config, "/api/silences", body=body)
    show(made, as_json, lambda one: silenced(one, clock_here(zone)))
    say_hint(made)


@silence.command("list")
def list_silences(
    expired: Annotated[bool, typer.Option("--expired", help="Those that ended lately, too.")] = False,
    zone: ZoneOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Silences in force and to come."""
    from agent.commands.show_quiet import silences

    clock = clock_here(zone)
    found = asked(config, f"/api/silences{'?expired=1' if expired else ''}")
    if not found and not as_json:
        out.print("no silences")
        return
    show(found, as_json, lambda rows: silences(rows, clock))


@silence.command("expire")
def expire(
    ids: Annotated[list[str], typer.Argument(help="Ids from `silence list`.")],
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """End silences now. What is still down pages at once."""
    worst = 0
    for name in dict.fromkeys(ids):
        try:
            ended = asked(config, path("/api/silences", name, by), method="DELETE")
        except typer.Exit as exit_:  # said already; the others shall end all the same
            worst = max(worst, exit_.exit_code)
            continue
        out.print(f"{name}: {ended['match']} is not silenced by it any more", markup=False)
    raise typer.Exit(worst)


@silence.command("preview")
def preview(
    match: Matchers = None,
    everything: AllOption = False,
    zone: ZoneOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """What a silence would hide, and would have hidden."""
    from agent.commands.show_quiet import preview as render

    clock = clock_here(zone)
    found = asked(config, "/api/silences/preview", body={"match": matchers(match, everything=everything)})
    show(found, as_json, lambda one: render(one, clock))
    say_hint(found)


# ---------------------------------------------------------------------------------- what `maintenance` shares


def matchers(written: list[str] | None, *, everything: bool) -> list[str]:
    """What was written, or exit code 2 where nothing was meant."""
    if not written and not everything:
        raise fail("say which services: service=api, team=db, severity=warning; or --all", 2)
    return written or ["all"]


def length(text: str) -> str:
    """A duration as it was written, or exit code 2."""
    return duration(text, "--for") if text else ""


def limits(start: str, end: str, zone: str) -> tuple[str, str]:
    """Both times as the agent's API takes them, empty where none is written; an end is the next such time after the
    start. Exit code 2 for what is no time."""
    from agent.commands.moments import parse_moment

    here, now = zone_here(zone), datetime.now(UTC)
    found = []
    for option, text in (("--from", start), ("--until", end)):
        try:
            at = parse_moment(text, here, now) if text else None
        except ValueError as error:
            raise fail(f"{option}: {error}", 2) from None
        found.append(at.isoformat() if at else "")
        now = at or now
    return found[0], found[1]


def zone_here(zone: str) -> str:
    """The zone that was asked for, or this terminal's; exit code 2 for what is none."""
    from agent.commands.reader_zone import reader_zone

    try:
        return reader_zone(zone)
    except ValueError as error:
        raise fail(f"--zone: {error}", 2) from None


def clock_here(zone: str) -> Any:
    from agent.commands.show_quiet import Clock

    return Clock(zone_here(zone), datetime.now(UTC))


def say_hint(found: dict[str, Any]) -> None:
    """What the agent thinks was meant instead, beside the output proper."""
    if found["hint"]:
        err.print(f"codeblue: {found['hint']}", markup=False, soft_wrap=True)


def path(collection: str, name: str, by: str) -> str:
    from urllib.parse import quote

    return f"{collection}/{quote(name, safe='')}?by={quote(by or login_name(), safe='')}"
