"""What the shell offers when somebody presses TAB: nothing here prints, or complains."""

import os
from pathlib import Path
from typing import Annotated

import typer


def service_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The services of the configuration whose names begin so; none where it cannot be read."""
    from agent.config.load import readable_part
    from agent.tables import TABLES

    path = ctx.params.get("config") or os.environ.get("CODEBLUE_CONFIG") or "config.yaml"
    found = readable_part(Path(path), TABLES)
    return sorted(name for name in (found.services if found else ()) if name.startswith(incomplete))


ServiceArgument = Annotated[str, typer.Argument(autocompletion=service_names)]
NamesArgument = Annotated[
    list[str] | None, typer.Argument(help="service, or service/check", autocompletion=service_names)
]
ONLY = "Only lines of this service."
OnlyOption = Annotated[str | None, typer.Option(help=ONLY, autocompletion=service_names)]
OnlyArgument = Annotated[str | None, typer.Argument(help=ONLY, autocompletion=service_names)]
