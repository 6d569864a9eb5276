"""Where the `codeblue` script begins. `codeblue run` goes on from here without the command line and its libraries.

A daemon that runs for months shall not carry what only a person at a terminal needs: typer, rich and pygments are 6 MiB
of every agent. So a run that is written plainly is understood here; everything else, every slip of the hand and every
question for help is for `agent.cli`, which knows the same options and answers with hints.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

FLAGS: dict[str, dict[str, Any]] = {
    "--allow-unverified": {"allow_unverified": True},
    "--no-allow-unverified": {"allow_unverified": False},
    "--last-good": {"last_good": True},
    "--no-last-good": {"last_good": False},
    "--log-json": {"log_json": True},
    "--log-console": {"log_json": False},
}


@dataclass(frozen=True, slots=True)
class Run:
    """The options of `codeblue run`."""

    config: Path = Path("config.yaml")
    allow_unverified: bool = False
    last_good: bool = True
    log_level: str = "info"
    log_json: bool | None = None


def plain_run(arguments: Sequence[str]) -> Run | None:
    """What a command line without the program's name asks for; None where it is no run or not written plainly."""
    if not arguments or arguments[0] != "run":
        return None
    run = Run(config=Path(os.environ.get("CODEBLUE_CONFIG") or "config.yaml"))
    rest = list(arguments[1:])
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option in FLAGS and not equals:
            run = replace(run, **FLAGS[option])
            continue
        if not equals:
            value = rest.pop(0) if rest else ""
        if not value or value.startswith("-"):
            return None
        if option == "--config" or (option == "-c" and not equals):
            run = replace(run, config=Path(value))
        elif option == "--log-level":
            run = replace(run, log_level=value)
        else:
            return None
    return run


def heed_signals() -> None:
    """Until the daemon's own handlers are there: TERM and INT end it as they do later, with exit code 0, and HUP, which
    ends a process by default, is nothing; what it asks for is about to be read."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # an exception may be lost in whatever is being done
    signal.signal(signal.SIGHUP, lambda *_: None)  # children would inherit SIG_IGN


def main() -> None:
    """The script's entry point."""
    if sys.argv[1:2] == ["run"]:
        heed_signals()
    run = plain_run(sys.argv[1:])
    if run is None:
        from agent.cli import main as command_line

        command_line()
        return
    from agent.left_out import load_libraries

    load_libraries()
    from agent.commands.run import run_to_end

    sys.exit(run_to_end(**asdict(run)))


if __name__ == "__main__":
    main()
