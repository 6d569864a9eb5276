"""The files that make the agent a service of the host, as text: its systemd unit, its user, what polkit lets it do.

`deploy/` shows them as they are written for the usual places; a test keeps it equal to this.
"""

import json
from collections.abc import Mapping, Sequence

from agent.config.model import Config

USER = "codeblue"
CONFIG = "/etc/codeblue/config.yaml"
ENVIRONMENT = "/etc/codeblue/environment"
STATE = "/var/lib/codeblue"
PROGRAM = "/opt/codeblue/bin/codeblue"

UNIT_FILE = "etc/systemd/system/codeblue.service"
USER_FILE = "etc/sysusers.d/codeblue.conf"
RULE_FILE = "etc/polkit-1/rules.d/50-codeblue.rules"
SUDOERS_FILE = "etc/sudoers.d/codeblue"

Grants = Mapping[str, Sequence[str]]
"""What the agent may do: systemd's verbs by the full name of the unit."""

_UNIT = """\
# codeblue as a service of the host. Written by `codeblue install`; changes belong into `systemctl edit codeblue`.
[Unit]
Description=codeblue: takes the pulse of services, restarts them within limits, pages with evidence
Wants=network-online.target
After=network-online.target nss-lookup.target time-sync.target dbus.socket
# Whoever watches the others is started again for ever.
StartLimitIntervalSec=0

[Service]
Type=notify
User={user}
Group={user}
# Secrets for ${{NAME}} in the configuration; keep it root's own, mode 0600.
EnvironmentFile=-{environment}
ExecStart={program} run --config {config}
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory={state}
ConfigurationDirectory=codeblue
StateDirectory=codeblue
StateDirectoryMode=0750
RuntimeDirectory=codeblue
RuntimeDirectoryMode=0750
UMask=0027
LimitNOFILE=65536

# The decision loop feeds the watchdog; one that hangs is killed and started again, and goes on from its store.
WatchdogSec=30
TimeoutAbortSec=5
Restart=always
RestartSec=2
TimeoutStartSec=90
TimeoutStopSec=30
# Its children are stopped by the agent itself; what is left after TimeoutStopSec is killed.
KillMode=mixed
# Under memory pressure the pager goes last.
OOMScoreAdjust=-500

{sandbox}
[Install]
WantedBy=multi-user.target
"""

_SANDBOX = """\
# Everything may be looked at, and nothing written but its own state. It has no privilege: units are restarted by
# systemd, asked over D-Bus, where polkit knows which ones (50-codeblue.rules). Not used, as checks would go blind:
# ProtectProc= and ProcSubset= (processes, memory), ProtectClock= (the clock's offset), ProtectHome=yes (disks).
# A check or action that needs more (check_icmp, say) gets it by `systemctl edit codeblue`.
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
PrivateDevices=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service adjtimex clock_adjtime
SystemCallErrorNumber=EPERM
"""

_SUDO_SANDBOX = """\
# The configuration says sudo, which gains privileges: what it needs of them is left, and what would forbid it again
# (everything that filters system calls) is missing here. polkit is the better way.
CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_AUDIT_WRITE CAP_SYS_RESOURCE
AmbientCapabilities=
NoNewPrivileges=no
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectControlGroups=yes
RemoveIPC=yes
"""


def unit_file(program: str = PROGRAM, *, sudo: bool = False) -> str:
    """The agent's own unit. `program` is the absolute path of the `codeblue` script; with `sudo` it can use that."""
    return _UNIT.format(
        user=USER,
        environment=ENVIRONMENT,
        program=program,
        config=CONFIG,
        state=STATE,
        sandbox=_SUDO_SANDBOX if sudo else _SANDBOX,
    )


def user_file() -> str:
    """The user, for systemd-sysusers(8), and the groups that may read the journal and the logs of the host."""
    return f"""\
# The user that codeblue runs as. Written by `codeblue install`.
u {USER} - "codeblue agent" {STATE}
m {USER} systemd-journal
m {USER} adm
"""


def polkit_rule(grants: Grants) -> str:
    """The rule that lets the agent's user do these verbs to these units, and nothing to any other. Whatever it does
    not name is left to the other rules, and to polkit's own answer, which is to ask for root's password."""
    table = ",\n".join(f"        {json.dumps(unit)}: {json.dumps(list(grants[unit]))}" for unit in sorted(grants))
    allowed = f"{{\n{table}\n    }}" if grants else "{}"
    return f"""\
// What codeblue may do to which units: those that its configuration names under restart: systemd.
// Written by `codeblue install`; run it again after the configuration has changed.
polkit.addRule(function(action, subject) {{
    var allowed = {allowed};
    if (action.id !== "org.freedesktop.systemd1.manage-units" || subject.user !== "{USER}") {{
        return polkit.Result.NOT_HANDLED;
    }}
    var unit = action.lookup("unit");
    var verbs = Object.prototype.hasOwnProperty.call(allowed, unit) ? allowed[unit] : [];
    return verbs.indexOf(action.lookup("verb")) >= 0 ? polkit.Result.YES : polkit.Result.NOT_HANDLED;
}});
"""


def starter_config() -> str:
    """A configuration for a host that has none yet: it watches the host and the agent, and pages the journal."""
    return f"""\
# codeblue's configuration. `codeblue validate --config {CONFIG}` checks it, `systemctl reload codeblue` takes it
# over, `codeblue install` renews what the agent may restart, `codeblue doctor --config {CONFIG}` says what is missing.
agent:
  listen: "127.0.0.1:9797"
  store: "sqlite:///{STATE}/codeblue.db"

services:
  - name: host
    checks:
      - {{host: {{}}, every: 30s, timeout: 10s}}
    page: [journal]
  - name: codeblue
    checks: [agent]
    page: [journal]
  #- name: nginx
  #  checks: ["http: http://127.0.0.1/"]
  #  restart: {{systemd: nginx.service, at_most: 3 per 1h, verify: 30s}}
  #  page: [journal]

channels:
  journal: {{type: console}}
"""


def grants_of(config: Config) -> dict[str, tuple[str, ...]]:
    """The units of the system's manager that the configuration may act on over D-Bus, with the verbs that it may use.
    A user's own units need no leave, and what goes through sudo has its own (`agent.commands.sudoers`)."""
    found: dict[str, set[str]] = {}
    for service in config.services.values():
        for action in service.actions:
            if action.type.name != "systemd":
                continue
            options = action.options.model_dump()
            if options["scope"] == "system" and not options["sudo"]:
                found.setdefault(options["unit"], set()).add(options["verb"])
    return {unit: tuple(sorted(verbs)) for unit, verbs in found.items()}
