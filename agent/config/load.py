"""A configuration file becomes a Config, or a list of everything that is wrong with it."""

import os
from collections.abc import Mapping
from pathlib import Path

from agent.config.alerts_in import read_alerts_in
from agent.config.allowed import read_allowed
from agent.config.around import Around
from agent.config.channels import read_channels
from agent.config.drill import read_drill
from agent.config.escalation import Targets, read_escalations
from agent.config.forms import Reading
from agent.config.groups import read_groups
from agent.config.last_good import Copy
from agent.config.maintenance import read_maintenance
from agent.config.model import Config, ConfigError, Tables
from agent.config.named_people import check_named_people
from agent.config.oncall import read_oncall
from agent.config.people import read_people
from agent.config.report import Report
from agent.config.routes import read_routing
from agent.config.services import read_services
from agent.config.surroundings import read_agent, read_defaults, read_logs, read_processes
from agent.config.together import read_storm
from agent.config.tree import Tree, read_tree


def load(path: Path, tables: Tables, env: Mapping[str, str] | None = None, copy: Copy | None = None) -> Config:
    """Read, check and resolve a configuration and all that it includes.

    `env` is what ${NAME} stands for, the process's environment by default. With `copy` the files are not read: what
    they said when it was made is. Raises ConfigError with every problem in
    them, and nothing else whatever the files hold. Nothing is contacted and no name is looked up.
    """
    report = Report()
    tree = read_tree(path, os.environ if env is None else env, report, copy)
    reading = Reading(report, [])
    config = _resolve(tree, tables, reading) if tree.complete else None
    problems = report.problems()
    if problems or not config:
        raise ConfigError(problems, _files(tree, reading))
    return config


def readable_part(path: Path, tables: Tables, env: Mapping[str, str] | None = None) -> Config | None:
    """What can be read of a configuration that is refused: enough to ask the agent, which runs on an earlier one, or
    has the secrets in its environment. None where the main file or the agent's own settings cannot be read."""
    report = Report()
    tree = read_tree(path, os.environ if env is None else env, report)
    return _resolve(tree, tables, Reading(report, [])) if tree.main.document.value else None


def _files(tree: Tree, reading: Reading) -> tuple[Path, ...]:
    """All that were read, or looked for, each once."""
    return tuple(dict.fromkeys([*tree.files, *reading.secret_files]))


def _resolve(tree: Tree, tables: Tables, reading: Reading) -> Config | None:
    names = [entry.name for entry in tree.channels]
    channels = read_channels(tree.channels, tables, reading)
    agent = read_agent(tree.agent, tree.main.at("agent"), names, reading)
    defaults = read_defaults(tree.defaults, tree.main.at("defaults"), names, reading)
    processes = read_processes(tree.processes, reading)
    people = read_people(tree.people, names, reading)
    check_named_people(channels, tree.channels, people, reading)
    oncall = read_oncall(tree.oncall, [entry.name for entry in tree.people], reading)
    named = Targets(
        oncall=[entry.name for entry in tree.oncall], person=[entry.name for entry in tree.people], channel=names
    )
    escalations = read_escalations(tree.escalation, named, reading)
    routing = read_routing(tree.routes, escalations, people, (defaults, tree.main.at("defaults")), reading)
    around = Around(tables, defaults, channels, names, [entry.name for entry in tree.processes], routing)
    allow = agent.allow if agent else None
    around.allowed = read_allowed(allow, tables, tree.main.at("agent", "allow"), reading.report)
    services = read_services(tree.services, around, reading)
    if not tree.services and reading.report.clean:
        reading.report.add(tree.main, "expected at least one service, under services: or in an included file")
    written = {entry.value.get("name") for entry in tree.services if isinstance(entry.value, dict)}
    logs = read_logs(tree.logs, {name for name in written if isinstance(name, str)}, reading)
    groups = read_groups(tree.groups, sorted({spec.policy.group for spec in services.values()} - {""}), reading)
    storm = read_storm(tree.storm, tree.main.at("storm"), around, reading)
    alerts_in = read_alerts_in(tree.alerts_in, tree.main.at("alerts_in"), around, reading)
    maintenance = read_maintenance(tree.maintenance, [spec.policy for spec in services.values()], reading)
    drill = read_drill(tree.drill, tree.main.at("drill"), services, around, reading)
    if not agent:
        return None
    return Config(
        agent=agent,
        services=services,
        processes=processes,
        channels=channels,
        people=people,
        schedules=oncall.schedules,
        calendars=oncall.calendars,
        escalations=escalations,
        logs=logs,
        files=_files(tree, reading),
        sources=tuple(tree.sources),
        groups=groups,
        storm=storm,
        maintenance=maintenance,
        alerts_in=alerts_in,
        drill=drill,
    )
