"""`codeblue oncall`: who is on call, what is changed about it, and the proof that somebody always is."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.terminal import asked, err, fail, login_name, out, read

oncall = typer.Typer(no_args_is_help=True, help="Who is on call, and whether somebody always is.")

ZoneOption = Annotated[str, typer.Option(help="IANA time zone to read and write times in. Default: this terminal's.")]
AgentOption = Annotated[bool, typer.Option("--agent/--no-agent", help="Ask the running agent for overrides.")]
ByOption = Annotated[str, typer.Option(help="Who changes it. Default: the login name.")]
From = Annotated[str, typer.Option("--from", help="now, +2h, 18:00, Mon 09:00, 2026-01-05 09:00.")]
Until = Annotated[str, typer.Option("--until", help="The same forms.")]
Days = Annotated[int, typer.Option(min=1, max=366, help="How many days to look ahead.")]


@oncall.command("show")
def show_schedules(
    schedule: Annotated[str, typer.Option(help="Only this one.")] = "",
    days: Days = 30,
    zone: ZoneOption = "",
    agent: AgentOption = True,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """The shifts of the next weeks. From the configuration, with the overrides of the running agent if it answers."""
    from agent.commands.oncall_show import Reader, rows_of
    from agent.commands.oncall_sources import known

    found, now, here = read(config), datetime.now(UTC), _zone(zone)
    names = _schedules(found, schedule)
    told = known(found, now, agent=agent)
    rows = rows_of(told.book, names, now, now + timedelta(days=days))
    if as_json:
        _print({"zone": here, "schedules": rows, "trouble": told.book.trouble, "overrides": told.book.overrides})
        return
    out.print(Reader(here, found.people, now).schedules(rows))
    _say_what_is_missing(told)


@oncall.command("now")
def show_now(
    zone: ZoneOption = "", agent: AgentOption = True, config: ConfigOption = DEFAULT, as_json: JsonOption = False
) -> None:
    """Who is on call now, until when, and who is next."""
    from agent.commands.oncall_show import Reader
    from agent.commands.oncall_sources import known

    found, now, here = read(config), datetime.now(UTC), _zone(zone)
    _schedules(found, "")
    told = known(found, now, agent=agent)
    if as_json:
        _print(told.book.now())
        return
    out.print(Reader(here, found.people, now).now(told.book.now()))
    _say_what_is_missing(told)


@oncall.command("override")
def override(
    schedule: str,
    person: str,
    start: From = "now",
    until: Until = "",
    instead_of: Annotated[str, typer.Option("--for", help="Only in the place of this person.")] = "",
    by: ByOption = "",
    zone: ZoneOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Put somebody on call for a while, in the place of whoever would be."""
    _change(config, schedule, person, instead_of, (start, until), zone, by, swap=False)


@oncall.command("swap")
def swap(
    schedule: str,
    person: str,
    other: str,
    start: From = "now",
    until: Until = "",
    by: ByOption = "",
    zone: ZoneOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Let two people swap. Whatever is one's in that time is the other's."""
    _change(config, schedule, person, other, (start, until), zone, by, swap=True)


def _change(
    config: Path, schedule: str, person: str, other: str, span: tuple[str, str], zone: str, by: str, *, swap: bool
) -> None:
    from agent.commands.moments import parse_moment
    from agent.commands.oncall_show import Reader
    from agent.commands.oncall_sources import override_of

    found, now, here = read(config), datetime.now(UTC), _zone(zone)
    _schedules(found, schedule)
    for name in (person, other):
        if name and name not in found.people:
            raise fail(f"{config} has no person {name!r}{_meant(name, found.people)}", 2)
    if not span[1]:
        raise fail("say --until when: +8h, Mon 09:00, 2026-01-05 09:00", 2)
    try:
        start, end = parse_moment(span[0], here, now), parse_moment(span[1], here, now)
    except ValueError as error:
        raise fail(str(error), 2) from None
    body = {
        "schedule": schedule,
        "person": person,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "by": by or login_name(),
    }
    answer = asked(config, "/api/oncall/overrides", body={**body, "instead_of": other, "swap": swap})
    made = override_of(answer["override"])
    reader = Reader(here, found.people, now)
    out.print(
        f"{made.id}: {schedule}: {reader.what(made)} from {reader.at(made.start)} until {reader.at(made.end)} ({here})"
    )


@oncall.command("overrides")
def overrides(zone: ZoneOption = "", config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """What was changed. Overrides and swaps that count, and those that did lately."""
    from agent.commands.oncall_show import Reader
    from agent.commands.oncall_sources import override_of

    found = asked(config, "/api/oncall")["overrides"]
    if as_json:
        _print(found)
    elif not found:
        out.print("no overrides")
    else:
        out.print(Reader(_zone(zone), read(config).people, datetime.now(UTC)).overrides(map(override_of, found)))


@oncall.command("remove")
def remove(
    override: Annotated[str, typer.Argument(help="Its id, from `codeblue oncall overrides`.")],
    config: ConfigOption = DEFAULT,
) -> None:
    """Take an override or a swap back."""
    asked(config, "/api/oncall/overrides/remove", body={"id": override})
    out.print(f"{override}: removed")


@oncall.command("coverage")
def coverage(
    days: Days = 30,
    verify: Annotated[
        bool, typer.Option("--verify", help="Ask every channel whether it works; sends nothing.")
    ] = False,
    zone: ZoneOption = "",
    agent: AgentOption = True,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Prove that somebody would be paged at any hour. Exit code 1 on a gap, or for somebody who cannot be reached."""
    from agent.commands.oncall_coverage import prove
    from agent.commands.oncall_show import Reader
    from agent.commands.oncall_sources import known

    found, now, here = read(config), datetime.now(UTC), _zone(zone)
    told = known(found, now, agent=agent)
    proof = prove(found, told, now, now + timedelta(days=days), verify=verify)
    if as_json:
        _print({"from": now, "until": now + timedelta(days=days), "holes": proof.holes, "routes": proof.routes})
    else:
        out.print(Reader(here, found.people, now).coverage(proof.routes, proof.holes, days * 24))
        _say_what_is_missing(told)
    if proof.holes:
        raise typer.Exit(1)


def _zone(asked_for: str) -> str:
    from agent.commands.reader_zone import reader_zone

    try:
        return reader_zone(asked_for)
    except ValueError as error:
        raise fail(f"--zone: {error}", 2) from None


def _schedules(config: Any, only: str) -> Sequence[str]:
    if not config.schedules:
        raise fail("the configuration has no on-call schedule (oncall:)", 2)
    if only and only not in config.schedules:
        raise fail(f"there is no schedule {only!r}{_meant(only, config.schedules)}", 2)
    return [only] if only else [*config.schedules]


def _meant(word: str, names: Any) -> str:
    from agent.config.nearest import did_you_mean

    return did_you_mean(word, names)


def _say_what_is_missing(told: Any) -> None:
    if told.why_not:
        err.print(f"without overrides: {told.why_not}", markup=False, soft_wrap=True)
    for name, text in told.book.trouble.items():
        err.print(f"{name}: {text}", markup=False, soft_wrap=True)


def _print(found: Any) -> None:
    from agent.web.answers import to_json

    typer.echo(to_json(found).decode())
