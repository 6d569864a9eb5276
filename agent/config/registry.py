"""Names over all files: each once, each well formed."""

from agent.config.report import Place, Report
from agent.config.tree import Entry
from agent.config.types import check_name


def unique(entries: list[Entry], what: str, report: Report) -> list[Entry]:
    """The first entry of each name. Later ones and names that cannot be names are reported."""
    first: dict[str, Entry] = {}
    for entry in entries:
        try:
            check_name(entry.name)
        except ValueError as error:
            report.add(entry.place, str(error))
        if entry.name in first:
            report.add(entry.place, f"there is already a {what} {entry.name!r}", first=first[entry.name].place)
        else:
            first[entry.name] = entry
    return list(first.values())


def named_services(entries: list[Entry], report: Report) -> dict[str, Place]:
    """The names of all services with the place of each; a second one of a name is reported."""
    first: dict[str, Place] = {}
    for entry in entries:
        name = entry.value.get("name") if isinstance(entry.value, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            report.add(entry.place.at("name"), f"there is already a service {name!r}", first=first[name].at("name"))
        else:
            first[name] = entry.place
    return first
