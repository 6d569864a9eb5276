"""Writes the dashboards as Grafana's JSON: `python -m dashboards.build`; with `--check` it only compares."""

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import agent, overview

FOLDER = Path(__file__).parent
DASHBOARDS: Mapping[str, Callable[[], Dashboard]] = {"overview.json": overview.build, "agent.json": agent.build}


def rendered() -> dict[str, str]:
    """The text of each file by its name. The same source always gives the same text."""
    encoder = JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False)
    return {name: encoder.encode(build()) + "\n" for name, build in DASHBOARDS.items()}


def stale(folder: Path) -> list[str]:
    """Names of the files in the folder that are missing or not what the source gives."""
    return [name for name, text in rendered().items() if _text(folder / name) != text]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """0 when the files are written, or with --check are up to date; 1 when --check finds that they are not."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is out of date")
    if parser.parse_args(arguments).check:
        old = stale(folder)
        for name in old:
            print(f"{folder / name} is out of date: run python -m dashboards.build", file=sys.stderr)
        return 1 if old else 0
    for name, text in rendered().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
