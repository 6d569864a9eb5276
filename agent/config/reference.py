"""The reference documentation, written from the models themselves: it cannot say anything else than the code does."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from agent.config.alerts_in import AlertsInKeys
from agent.config.drill import DrillKeys
from agent.config.envelope import (
    AgentKeys,
    ChannelKeys,
    CheckKeys,
    Defaults,
    GatherKeys,
    LogKeys,
    PingKeys,
    ProcessKeys,
    RestartOverrides,
    ServiceKeys,
)
from agent.config.fields import Model, keys, nested, secrets
from agent.config.groups import GroupKeys
from agent.config.maintenance import WindowKeys
from agent.config.model import Tables
from agent.config.rota_keys import EscalationKeys, LayerKeys, PersonKeys, RouteKeys, ScheduleKeys
from agent.config.schema import Schema, definitions, needed
from agent.config.together import StormKeys
from agent.ports import ActionType, ChannelType, CheckType, DrainType

_HEAD = "| key | what it takes | default | meaning |\n|---|---|---|---|\n"
_GENERATED = "<!-- Written from the code's own models: UPDATE_EXPECTED=1 pytest tests/config writes it anew. -->\n\n"

_SECTIONS: tuple[tuple[str, Model, str], ...] = (
    ("agent", AgentKeys, "The agent's own settings: `agent: {name: web-1}`."),
    ("defaults", Defaults, "What holds where a service or a check says nothing else: `defaults: {every: 30s}`."),
    ("services", ServiceKeys, "A list. Each is restarted and paged as one: `- {name: photos-api, checks: [...]}`."),
    ("a check", CheckKeys, "Beside its type, a check may say: `- {http: URL, every: 5s, misses: 3}`."),
    ("a restart", RestartOverrides, "Beside its type: `restart: {systemd: photos-api.service, at_most: 3 per 1h}`."),
    ("processes", ProcessKeys, "By name. The agent starts them, restarts them on order and stops them with itself."),
    ("channels", ChannelKeys, "By name. Beside the options of its type, a channel may say:"),
    ("groups", GroupKeys, "By name, where services say `group: web`: `web: {restarts: 5 per 1h, share: 34%}`."),
    ("people", PersonKeys, "By name: `alice: {contacts: {slack: U024BE7LH, sms: '+49 170 1234567'}}`."),
    (
        "oncall",
        ScheduleKeys,
        "By name. Who is on call and when, either by layers or by a calendar: [oncall.md](oncall.md).",
    ),
    ("a layer", LayerKeys, "`{people: [alice, bob], every: weekly, handover: Mon 09:00, start: 2026-01-05}`."),
    ("escalation", EscalationKeys, "By name: `default: {steps: [{notify: [primary], wait: 5m}, {notify: [boss]}]}`."),
    (
        "routes",
        RouteKeys,
        "A list; the first that matches: `- {match: {severity: warning, team: db}, escalate: daytime}`.",
    ),
    (
        "storm",
        StormKeys,
        "Services that go down together are one incident, in which nothing is restarted: `storm: {services: 20}`; "
        "`storm: off` pages each by itself.",
    ),
    ("gather", GatherKeys, "In `defaults` or of a service: `gather: {by: [group], wait: 30s, interval: 5m}`."),
    (
        "maintenance",
        WindowKeys,
        "A list of planned times in which nobody is asked about some services and nothing of them is restarted: "
        '`- {match: "service=db", cron: "0 2 * * sun", for: 2h, zone: Europe/Berlin, comment: backup}`. By `cron`, by '
        "`rrule` with `at`, or once by `from` and `until`: [silences.md](silences.md).",
    ),
    (
        "alerts_in",
        AlertsInKeys,
        "Alerts of Prometheus Alertmanager that are paged like services: `alerts_in: {page: [oncall]}`. Its "
        "webhook receiver posts them to `/alerts/alertmanager`: [alerts-in.md](alerts-in.md).",
    ),
    (
        "drill",
        DrillKeys,
        "Proof that paging works: `drill: {cron: '0 10 * * mon', zone: Europe/Berlin}`. See [drills.md](drills.md).",
    ),
    (
        "agent.ping",
        PingKeys,
        "A dead man's switch outwards, `agent: {ping: {url_file: /etc/codeblue/ping.url}}`: [drills.md](drills.md).",
    ),
    ("logs", LogKeys, "A list. Each is either `files` or `units`: `- {files: [/var/log/nginx/*.log], service: web}`."),
)

_INTRODUCTION = """# The configuration file

`codeblue validate --config FILE` reads a file as the agent would and prints everything that is wrong with it, each
with file, line and path. `codeblue schema` prints a JSON Schema for the YAML plug-in of an editor. What the types of
checks, restarts and channels take is in [checks.md](checks.md).

- **Durations** are texts such as `10s`, `500ms`, `5m`, `1h30m`; **rates** such as `3 per 1h`. A number without a unit
  is refused.
- **Variables**: `${NAME}` is the value of an environment variable, `${NAME:-text}` has a default for one that is unset
  or empty, `$${` is a plain `${`. They work in every value, not in keys, and what they give is a text. One that is not
  set and has no default is a problem.
- **Secrets**: beside every secret option NAME there is `NAME_file`, a file that holds it. Blanks around the content
  are removed; for a list of secrets each line is one. No secret is ever printed.
- **Paths** of the database, of `cwd`, of log files, of included and of secret files start from the folder of the file
  in which they are written. Those in the options of checks and restarts should be absolute.
- **`include`** names folders (every `*.yaml` and `*.yml` in them), patterns or files: `include: [conf.d/*.yaml]`.
  Included files may hold services, processes, channels, people, oncall, escalation, maintenance and logs. Nothing may
  be defined twice.
- **Words**: only `true` and `false` are booleans; `on`, `yes` and `08:00` are texts. Anchors, aliases and `<<` merges
  work; top-level keys that begin with `x-` are ignored, as a place for anchors.
- **Names** are small letters, digits, dot, underscore and dash, at most 63 characters.

"""


_DRAINS = """A restart may take its replica out of the balance first: `drain: {haproxy: web/web-1}` beside its type. It
is put back when its checks pass again, and also when no restart has healed it, unless it says `when_given_up: leave`
beside `haproxy`. What is out is noted in the store: an agent that is killed in between leaves it to the next one.

"""


def file_reference() -> str:
    """Markdown of every key of the file itself (docs/configuration.md)."""
    parts = [_GENERATED, _INTRODUCTION]
    for title, model, about in _SECTIONS:
        parts.append(f"## {title}\n\n{about}\n\n{_table(model)}\n")
    return "".join(parts).rstrip() + "\n"


def reference(tables: Tables) -> str:
    """Markdown of every check, restart and channel type with its options (docs/checks.md)."""
    parts = [_GENERATED, "# The types of checks, restarts and channels\n\n"]
    parts.append("What goes around them is in [configuration.md](configuration.md).\n\n")
    for title, kinds in (
        ("Checks", tables.checks),
        ("Restarts", tables.actions),
        ("Drains", tables.drains),
        ("Channels", tables.channels),
    ):
        parts.append(f"## {title}\n\n" + (_DRAINS if kinds is tables.drains else ""))
        parts.extend(_kind(kind) for kind in kinds.values())
    return "".join(parts).rstrip() + "\n"


def _kind(kind: CheckType[Any] | ActionType[Any] | DrainType[Any] | ChannelType[Any]) -> str:
    model: Model = kind.options
    text = f"### {kind.name}\n\n{kind.about}\n\n"
    if isinstance(kind, CheckType) and kind.pushed:
        text += "Its beats are pushed: it may have a `token`.\n\n"
    if not isinstance(kind, ChannelType) and kind.short:
        text += f"Short form: `{kind.name}: …` is `{kind.name}: {{{kind.short}: …}}`.\n\n"
    if keys(model):
        text += _table(model)
    else:
        text += "It has no options.\n"
    return text + "".join(f"\n```yaml\n{example}```\n" for example in _examples(kind)) + "\n"


def _examples(kind: CheckType[Any] | ActionType[Any] | DrainType[Any] | ChannelType[Any]) -> Iterator[str]:
    extra = kind.options.model_config.get("json_schema_extra")
    given = extra.get("examples") if isinstance(extra, dict) else None
    for example in given if isinstance(given, list) else []:
        value: object = {kind.name: example}
        if isinstance(kind, CheckType):
            value = [value]
        elif isinstance(kind, ChannelType):
            value = {"name": {"type": kind.name, **(example if isinstance(example, dict) else {})}}
        else:
            value = {"restart": value}
        yield yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def _table(model: Model) -> str:
    names, defs = definitions([model])
    return _HEAD + "".join(_rows(model, names, defs, ""))


def _rows(model: Model, names: dict[Model, str], defs: dict[str, Schema], prefix: str) -> Iterator[str]:
    """One row per option; those of an option within an option follow it, as `expect.status`."""
    schema = defs[names[model]]
    for key, value in schema["properties"].items():
        if key.endswith("_file") and key not in keys(model):
            continue
        default = "" if key not in needed(schema) else "**required**"
        if value.get("default") not in (None, "", [], {}) and not _is_block(value["default"]):
            default = f"`{_written(value['default'])}`"
        takes = "secret" if secrets(model).get(key) is False else _takes(value)
        cells = [f"`{prefix}{key}`", takes, default, value.get("description", "")]
        yield "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |\n"
        for inner in nested(model).get(key, ()):
            if inner is not model:
                yield from _rows(inner, names, defs, f"{prefix}{key}.")


def _is_block(default: object) -> bool:
    return isinstance(default, dict)


def _written(default: object) -> str:
    return default if isinstance(default, str) else json.dumps(default)


_WORDS: dict[str, str] = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "",
}


def _takes(schema: Schema) -> str:
    """What may be written there, in words."""
    if "anyOf" in schema:
        return _either(_takes(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return "" if schema["$ref"].endswith("/variable") else "options"
    if "enum" in schema:
        return _either(f"`{_written(value)}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{_written(schema['const'])}`"
    kind = schema.get("type")
    if kind == "array":
        inner = _takes(schema.get("items", {}))
        return f"list of {inner}" if inner else "list"
    if kind == "object":
        return "mapping"
    if isinstance(kind, list):
        return _either(_WORDS.get(str(one), "") for one in kind)
    pattern = schema.get("pattern", "")
    return "duration" if "ms)?" in pattern else "rate" if "per" in pattern else str(_WORDS.get(str(kind), "anything"))


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(word for word in words if word))
