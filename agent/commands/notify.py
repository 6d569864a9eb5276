"""`codeblue notify`: whether the channels bring what they are given."""

from typing import Annotated, Any

import typer

from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.silence import ByOption
from agent.commands.terminal import asked, login_name, out, show

notify = typer.Typer(no_args_is_help=True, help="Whether the channels bring what they are given.")

PATIENCE = 45.0  # seconds; the agent itself answers within 30


@notify.command("test")
def send_test(
    channel: Annotated[str, typer.Argument(help="A channel of the configuration.")],
    person: Annotated[str, typer.Option(help="Send it to this person's address there.")] = "",
    by: ByOption = "",
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Send one message that says it is a test. Through the running agent; exit code 1 if it does not arrive."""
    from urllib.parse import quote

    from agent.commands.show_notify import outcome as render

    body = {"person": person, "by": by or login_name()}
    found = asked(config, f"/api/notify/{quote(channel, safe='')}", body=body, timeout=PATIENCE)
    show(found, as_json, render)
    if found["outcome"] != "delivered":
        raise typer.Exit(1)


@notify.command("list")
def list_channels(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """The channels, and what became of the last message of each. Exit code 1 if one is in trouble or gave that up."""
    from agent.commands.show_notify import channels

    found: list[dict[str, Any]] = asked(config, "/api/notify")
    if not found and not as_json:
        out.print("no channels: nobody is ever asked")
        return
    show(found, as_json, channels)
    if any(one["trouble"] or (one["last"] and one["last"]["outcome"] == "dead") for one in found):
        raise typer.Exit(1)
