"""What a reload would change."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from agent.config.model import AgentSpec, CheckSpec, Config

# the agent's own settings that a running agent cannot take up
NEEDS_RESTART = ("name", "listen", "store", "fleet_store", "log_retention", "log_size", "traces")

CheckKey = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """The names that came, went, and mean something else now; each sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The difference of two configurations.

    `checks_*` name checks as (service, check), those of added and removed services too; a check whose only news is
    its policy is a changed one. A changed service is one of which anything differs. `agent` are the settings that
    differ, `needs_restart` those of them that only a restart of the agent puts in force.
    """

    services: Changed = Changed()
    checks_added: tuple[CheckKey, ...] = ()
    checks_removed: tuple[CheckKey, ...] = ()
    checks_changed: tuple[CheckKey, ...] = ()
    channels: Changed = Changed()
    processes: Changed = Changed()
    oncall: bool = False  # people, schedules, calendars
    logs: bool = False
    groups: bool = False
    paging: bool = False  # storms, fire drills
    maintenance: bool = False
    alerts_in: bool = False
    agent: tuple[str, ...] = ()

    @property
    def needs_restart(self) -> tuple[str, ...]:
        return tuple(name for name in self.agent if name in NEEDS_RESTART)

    def __bool__(self) -> bool:
        checks = self.checks_added or self.checks_removed or self.checks_changed
        parts = (
            *(self.services, checks, self.channels, self.processes),
            *(self.oncall, self.logs, self.groups, self.paging, self.agent),
        )
        return self.maintenance or self.alerts_in or any(map(bool, parts))


def changes(old: Config, new: Config) -> Changes:
    """What differs between two configurations. Pure; two that were read from the same text do not differ."""
    before, after = _checks(old), _checks(new)
    return Changes(
        services=_changed(old.services, new.services),
        checks_added=tuple(sorted(after.keys() - before.keys())),
        checks_removed=tuple(sorted(before.keys() - after.keys())),
        checks_changed=tuple(sorted(key for key in before.keys() & after.keys() if before[key] != after[key])),
        channels=_changed(old.channels, new.channels),
        processes=_changed(old.processes, new.processes),
        oncall=_who(old) != _who(new),
        logs=old.logs != new.logs,
        groups=old.groups != new.groups,
        paging=(old.storm, old.drill) != (new.storm, new.drill),
        maintenance=old.maintenance != new.maintenance,
        alerts_in=old.alerts_in != new.alerts_in,
        agent=tuple(_differing(old.agent, new.agent)),
    )


def _who(config: Config) -> tuple[object, ...]:
    return config.people, config.schedules, config.calendars, config.escalations


def _checks(config: Config) -> dict[CheckKey, CheckSpec]:
    return {(service.name, check.name): check for service in config.services.values() for check in service.checks}


def _changed(old: Mapping[str, object], new: Mapping[str, object]) -> Changed:
    return Changed(
        added=tuple(sorted(new.keys() - old.keys())),
        removed=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(sorted(name for name in old.keys() & new.keys() if old[name] != new[name])),
    )


def _differing(old: AgentSpec, new: AgentSpec) -> Iterable[str]:
    return (field.name for field in fields(AgentSpec) if getattr(old, field.name) != getattr(new, field.name))
