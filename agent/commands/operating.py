"""The commands of whoever deals with an incident: ack, approve, restart, deployed."""

from typing import Annotated

import typer

from agent.commands.completion import ServiceArgument
from agent.commands.options import DEFAULT, ConfigOption
from agent.commands.terminal import asked, cleaned, fail, login_name, out

ByOption = Annotated[str, typer.Option(help="Who says so, for the timeline. Default: the login name.")]


def add_to(app: typer.Typer) -> None:
    for command in (ack, approve, restart, deployed):
        app.command()(command)


def ack(
    service: ServiceArgument,
    span: Annotated[str, typer.Option("--for", help="For how long, such as 1h. Default: as its policy says.")] = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Take an incident on. Nobody else is asked until that expires, and nobody is reminded."""
    body = {"service": service, "for": span, "by": by or login_name()}
    out.print(cleaned(asked(config, "/api/ack", body=body)["said"]), markup=False)


def approve(
    what: Annotated[str, typer.Argument(help="The service, or the key that the page shows.")],
    by: ByOption = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not show the evidence and ask first.")] = False,
    config: ConfigOption = DEFAULT,
) -> None:
    """Approve the restart that a page asks for (mode: ask). Good once, and only for the failure that is shown."""
    from agent.commands.show import question

    if not yes:
        found = asked(config, "/api/incidents")["open"]
        incident = next(
            (one for one in found if one["approval"] and what in (one["service"], one["approval"]["key"])), None
        )
        if incident is None:
            raise fail(f"nothing waits for an approval of {what!r}: it was answered, expired, or ended")
        out.print(question(cleaned(incident)))
        typer.confirm("Restart it?", abort=True)
        what = incident["approval"]["key"]
    answer = asked(config, "/api/approve", body={"key": what, "by": by or login_name()})
    out.print(f"{answer['service']}: approved")


def deployed(
    service: ServiceArgument,
    span: Annotated[str, typer.Option("--for", help="For how long nothing is restarted, such as 2m.")] = "2m",
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Say that a service is being deployed. Or restarted by hand: its misses restart nothing for a while."""
    from agent.commands.silence import clock_here

    body = {"service": service, "for": span, "by": by or login_name()}
    answer = asked(config, "/api/deployed", body=body, service=service)
    clock, until = clock_here(""), answer["until"]
    out.print(f"{service}: nothing is restarted until {clock.at(until)} {clock.zone} ({clock.left(until)} left)")


def restart(
    service: ServiceArgument,
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
) -> None:
    """Restart a service that is down, now. Neither budget nor mode stands in the way; what is under way does."""
    body = {"service": service, "by": by or login_name()}
    out.print(cleaned(asked(config, "/api/restart", body=body)["said"]), markup=False)
