"""`codeblue logs`: the lines that the agent has gathered."""

from typing import Annotated

import typer

from agent.commands.completion import OnlyArgument, OnlyOption
from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.terminal import fail, read_to_ask

logs = typer.Typer(no_args_is_help=True, help="The log lines that the agent has gathered.")


@logs.command("search")
def search(
    query: Annotated[str, typer.Argument(help="Words that must all be there; a phrase in quotes.")] = "",
    service: OnlyOption = None,
    level: Annotated[str, typer.Option(help="At least this level.")] = "",
    since: Annotated[str, typer.Option(help="How far back, such as 2h.")] = "24h",
    limit: Annotated[int, typer.Option(help="At most so many lines.", min=1)] = 100,
    regex: Annotated[bool, typer.Option("--regex", help="The query is a regular expression.")] = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Search the gathered log lines, newest last."""
    from agent.commands.lines import search as find

    find(read_to_ask(config), query, service, level, since, limit, regex, as_json, fail)


@logs.command("tail")
def tail(
    service: OnlyArgument = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many.", min=0)] = 20,
    level: Annotated[str, typer.Option(help="At least this level.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines.")] = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """The last log lines of a service, or of all."""
    from agent.commands.lines import tail as last

    last(read_to_ask(config), service, lines, level, follow, as_json, fail)
