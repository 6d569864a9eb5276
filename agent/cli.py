"""The command line. Thin: it parses, calls, prints, and turns errors into exit codes (0 fine, 1 bad news, 2 misuse)."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agent import __version__
from agent.commands import operating
from agent.commands.completion import NamesArgument, ServiceArgument
from agent.commands.counted import counted
from agent.commands.dead_letters import letters
from agent.commands.drill import drill
from agent.commands.logs import logs
from agent.commands.maintenance import maintenance
from agent.commands.notify import notify
from agent.commands.oncall import oncall
from agent.commands.options import DEFAULT, ConfigOption, JsonOption
from agent.commands.silence import silence
from agent.commands.terminal import asked, duration, err, fail, out, read, refused, show

app = typer.Typer(
    name="codeblue",
    help="Takes the pulse of services, restarts them within limits, and pages with evidence.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(letters, name="dead-letters")
app.add_typer(logs, name="logs")
app.add_typer(oncall, name="oncall")
app.add_typer(silence, name="silence")
app.add_typer(maintenance, name="maintenance")
app.add_typer(notify, name="notify")
app.add_typer(drill, name="drill")

THIS = Path(sys.executable).with_name("codeblue")


def main() -> None:
    """The script's entry point."""
    from agent.telemetry.logging import configure

    configure("warning", json=False)  # to standard error: what is printed may be read by a script
    app()


@app.callback(invoke_without_command=True)
def top(version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and exit.")] = False) -> None:
    if version:
        print(f"codeblue {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigOption = DEFAULT,
    allow_unverified: Annotated[
        bool, typer.Option(help="Start even if a channel's credentials do not work; it is paged about instead.")
    ] = False,
    last_good: Annotated[
        bool, typer.Option(help="Where the files are bad, start on the last ones that were good, and say so loudly.")
    ] = True,
    log_level: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "info",
    log_json: Annotated[
        bool | None, typer.Option("--log-json/--log-console", help="Default: JSON unless on a terminal.")
    ] = None,
) -> None:
    """Run the agent until TERM or INT. HUP reloads the configuration."""
    from agent.commands.run import run_to_end

    code = run_to_end(
        config, allow_unverified=allow_unverified, last_good=last_good, log_level=log_level, log_json=log_json
    )
    raise typer.Exit(code)


@app.command()
def validate(config: ConfigOption = DEFAULT) -> None:
    """Check the configuration. Prints every problem with its file, line and path; exit code 2 if there is one."""
    found = read(config)
    checks = sum(len(service.checks) for service in found.services.values())
    amounts = {"service": len(found.services), "check": checks, "channel": len(found.channels)}
    out.print(f"{config}: fine: {', '.join(counted(count, what) for what, count in amounts.items())}")


@app.command()
def schema(
    reference: Annotated[bool, typer.Option("--reference", help="The reference pages as Markdown instead.")] = False,
) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    from agent.config import reference as pages
    from agent.config.schema import json_schema
    from agent.tables import TABLES

    if reference:
        print(pages.file_reference() + pages.reference(TABLES), end="")
    else:
        print(json.dumps(json_schema(TABLES), indent=2))


@app.command()
def check(
    names: NamesArgument = None,
    all_checks: Annotated[bool, typer.Option("--all", help="Every check of the configuration.")] = False,
    config: ConfigOption = DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Run checks once, now, from here. Nothing is decided and nobody is told; exit code 1 if one fails."""
    from agent.commands.check import results_of
    from agent.commands.once import select
    from agent.commands.show import checks as render

    found = read(config)
    if not names and not all_checks:
        raise fail("name a service or service/check, or say --all", 2)
    try:
        chosen = select(found, [] if all_checks else names or [])
    except LookupError as error:
        from agent.config.nearest import did_you_mean

        known = [name for service in found.services.values() for name in (service.name, *_full(service))]
        name = str(error.args[0])
        raise fail(f"{config} has no check {name!r}{did_you_mean(name, known)}", 2) from None
    rows = results_of(found, chosen, progress=err if err.is_terminal and not as_json else None)
    show(rows, as_json, render)
    if any(row["verdict"] == "fail" for row in rows):
        raise typer.Exit(1)


def _full(service: Any) -> list[str]:
    return [f"{service.name}/{check.name}" for check in service.checks]


@app.command()
def status(config: ConfigOption = DEFAULT, as_json: JsonOption = False) -> None:
    """Every service as the agent sees it, worst first. Exit code 1 if one is down."""
    from agent.commands.drill_show import last_drill
    from agent.commands.show import services as render

    found = asked(config, "/api/services")
    show(found, as_json, render)
    if not as_json and (line := last_drill(asked(config, "/api/drills"))):
        out.print(line, markup=False)
    if any(row["health"] == "down" for row in found):
        raise typer.Exit(1)


@app.command()
def incidents(
    config: ConfigOption = DEFAULT,
    since: Annotated[str, typer.Option(help="How far back to look, such as 12h or 7d.")] = "7d",
    as_json: JsonOption = False,
) -> None:
    """Open incidents, and what was opened and closed lately."""
    from agent.commands.show import incidents as render

    show(asked(config, f"/api/incidents?since={duration(since)}"), as_json, render)


@app.command()
def explain(
    service: ServiceArgument,
    config: ConfigOption = DEFAULT,
    since: Annotated[str, typer.Option(help="How far back to look, such as 12h or 7d.")] = "24h",
    as_json: JsonOption = False,
) -> None:
    """Why a service is in its present state. Its results, thresholds, budget and timeline."""
    from urllib.parse import quote

    from agent.commands.show import explanation as render

    path = f"/api/explain/{quote(service, safe='')}?since={duration(since)}"
    show(asked(config, path, service=service), as_json, render)


operating.add_to(app)


@app.command()
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's folder (store, logs).")] = False,
    picture: Annotated[Path | None, typer.Option(help="Save what was printed as an SVG picture.")] = None,
) -> None:
    """The whole story in under a minute. With real processes; exit code 1 if any of it did not happen."""
    from agent.commands.demo import tell

    if not tell(keep=keep, picture=picture):
        raise typer.Exit(1)


@app.command()
def install(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="Installed where there is none yet; a first one otherwise.")
    ] = None,
    root: Annotated[Path, typer.Option(help="Install below this folder instead, for images and packages.")] = Path("/"),
    program: Annotated[
        Path, typer.Option(help="The codeblue script that the unit starts; this one, if none is named.")
    ] = THIS,
    sudo: Annotated[
        bool,
        typer.Option("--sudo", help="Write sudoers lines for the restarts that say sudo: hosts without polkit."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Make the agent a service of this host. With leave to restart exactly the units that its configuration names."""
    from agent.commands.install import CannotInstall, told
    from agent.commands.install import install as put_in_place
    from agent.config.model import ConfigError
    from agent.tables import TABLES

    try:
        steps, grants = put_in_place(
            config, root.absolute(), str(program.absolute()), TABLES, dry_run=dry_run, sudo=sudo
        )
    except ConfigError as error:
        raise refused(error) from None
    except CannotInstall as error:
        raise fail(str(error)) from None
    for line in told(steps, grants, dry_run=dry_run):
        out.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def doctor(
    config: ConfigOption = DEFAULT,
    user: Annotated[
        str, typer.Option(help="With whose eyes to look; for root: the installed agent's user, if there is one.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """What the agent can and cannot do on this host. And how to mend it; exit code 1 if something needed is missing."""
    from agent.commands.doctor import default_user, diagnose
    from agent.commands.findings import rows, table
    from agent.config.model import ConfigError
    from agent.tables import TABLES

    user = user or default_user()
    try:
        found = rows(diagnose(config, user, TABLES))
    except ConfigError as error:
        raise refused(error) from None
    except LookupError:
        raise fail(f"there is no user {user!r}: codeblue install makes codeblue", 2) from None
    except PermissionError as error:
        raise fail(str(error), 2) from None
    show(found, as_json, table)
    if any(row["state"] == "missing" for row in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
