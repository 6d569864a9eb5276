"""`codeblue dead-letters`: messages that no channel took."""

from typing import Annotated

import typer

from agent.commands.counted import counted
from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.terminal import asked, fail, out, show

letters = typer.Typer(no_args_is_help=True, help="Messages that were given up: look at them, send them again.")


@letters.command("list")
def list_letters(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Messages that no channel took."""
    from agent.commands.show import dead_letters as render

    found = asked(config, "/api/dead-letters")
    if not found and not as_json:
        out.print("no dead letters")
        return
    show(found, as_json, render)


@letters.command("replay")
def replay(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys from `dead-letters list`.")] = None,
    all_letters: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    config: ConfigOption = DEFAULT,
) -> None:
    """Send dead letters again, under their own keys. Pages whose incident is over are dropped instead."""
    if not keys and not all_letters:
        raise fail("name the keys, or say --all", 2)
    known = [letter["command"]["key"] for letter in asked(config, "/api/dead-letters")]
    if unknown := [key for key in keys or () if key not in known]:
        raise fail(f"no dead letter has the key {unknown[0]!r}: see codeblue dead-letters list")
    found = asked(config, "/api/dead-letters/replay", body={"all": True} if all_letters else {"keys": keys})
    over = f"; {counted(found['over'], 'page')} dropped: the incident is over" if found["over"] else ""
    out.print(f"{found['replayed']} sent again{over}")
