"""`codeblue drill`: prove that a page gets out, now."""

from contextlib import nullcontext
from pathlib import Path
from time import monotonic, sleep
from typing import Annotated, Any
from urllib.parse import quote

import typer
from typer.core import TyperGroup

from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.terminal import asked, duration, fail, login_name, out, show

POLL = 0.2  # seconds
HOLD = "hold"
ByOption = Annotated[str, typer.Option(help="Who asks, for the message. Default: the login name.")]


class HoldsByDefault(TyperGroup):
    """`codeblue drill web` is `codeblue drill hold web`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [HOLD, *args]
        return super().parse_args(ctx, args)


drill = typer.Typer(
    cls=HoldsByDefault,
    help="Fire drills: prove that pages get out. `codeblue drill [SERVICE]` holds one, marked as what it is.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@drill.command(HOLD)
def hold(
    service: Annotated[
        str, typer.Argument(help="Whoever would be paged for it is paged. Without it: the channels of `drill:`.")
    ] = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end, and show each leg.")] = True,
    within: Annotated[
        str, typer.Option(help="How long to wait for it here, such as 5m. Default: until it has ended.")
    ] = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Hold a drill. Exit code 0 if every leg of it went well, 1 if one failed; nothing is ever restarted by it."""
    from agent.commands.drill_show import legs

    limit = _seconds(within) if within else None
    report = asked(config, "/api/drills", body={"service": service, "by": by or login_name()})
    if not wait:
        show(report, as_json, lambda found: f"begun: {found['id']}")
        return
    report = _followed(config, report, limit, live=out.is_terminal and not as_json)
    show(report, as_json, legs)
    if report["outcome"] != "passed":
        raise typer.Exit(1)


@drill.command()
def seen(
    which: Annotated[str, typer.Argument(help="The drill's service or id, where several wait.")] = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Say that the message of a drill has been seen. As its button in Slack does."""
    out.print(asked(config, "/api/drills/seen", body={"drill": which, "by": by or login_name()})["said"], markup=False)


@drill.command("list")
def listed(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """The last drills, and those that are being held. Exit code 1 if the last of any kind failed."""
    from agent.commands.drill_show import drills

    found = asked(config, "/api/drills")
    if not found and not as_json:
        out.print("no drill was ever held: codeblue drill")
        return
    show(found, as_json, drills)
    if any(one["outcome"] == "failed" for one in found):
        raise typer.Exit(1)


def _followed(config: Path, report: dict[str, Any], limit: float | None, *, live: bool) -> dict[str, Any]:
    """The report once the drill has ended, shown while it goes on where somebody looks."""
    from rich.live import Live

    from agent.commands.ask import AgentUnreachable, ask
    from agent.commands.drill_show import legs
    from agent.commands.terminal import read_to_ask

    found, path, end = read_to_ask(config), f"/api/drills/{quote(report['id'])}", limit and monotonic() + limit
    with Live(legs(report), console=out, transient=True) if live else nullcontext() as shown:
        while report["outcome"] == "running":
            if end and monotonic() > end:
                raise fail(f"the drill goes on, and nobody waits for it any more: {report['id']}")
            sleep(POLL)
            try:
                report = ask(found, path)
            except AgentUnreachable as error:
                raise fail(f"the drill can't be followed any more: {error}") from None
            if shown is not None:
                shown.update(legs(report))
    return report


def _seconds(text: str) -> float:
    from agent.core.durations import parse_duration

    return parse_duration(duration(text)).total_seconds()
