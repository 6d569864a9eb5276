"""The whole configuration file as a JSON Schema (draft 2020-12), for the YAML plug-ins of editors."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ByteSize
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticUndefined

from agent.config.alerts_in import AlertsInKeys
from agent.config.drill import DrillKeys
from agent.config.envelope import (
    AgentKeys,
    ChannelKeys,
    CheckKeys,
    Defaults,
    DrainKeys,
    LogKeys,
    ProcessKeys,
    RestartOverrides,
    ServiceKeys,
    StepKeys,
)
from agent.config.fields import Model, keys, nested, secrets
from agent.config.forms import Kind
from agent.config.groups import GroupKeys
from agent.config.maintenance import WindowKeys
from agent.config.model import Tables
from agent.config.rota_keys import EscalationKeys, PersonKeys, RouteKeys, ScheduleKeys
from agent.config.together import OFF, StormKeys
from agent.config.tree import FREE
from agent.config.types import NAME_SCHEMA, ONE_OR_MORE
from agent.core.durations import format_duration

Schema = dict[str, Any]

VARIABLE = {"$ref": "#/$defs/variable"}


def json_schema(tables: Tables) -> Schema:
    """What a file may hold, short forms and secret files included. It refuses nothing that `load` takes, but for text
    that merely looks like a number; what refers to other parts of the file only `load` can check."""
    envelopes: list[Model] = [
        *(StormKeys, DrillKeys),
        *(AgentKeys, Defaults, ServiceKeys, ProcessKeys, LogKeys),
        *(GroupKeys, PersonKeys, ScheduleKeys, EscalationKeys, RouteKeys, WindowKeys, AlertsInKeys),
    ]
    kinds = (tables.checks, tables.actions, tables.channels, tables.drains)
    options = [kind.options for table in kinds for kind in table.values()]
    names, defs = definitions([*envelopes, *options])
    defs["variable"] = {"type": "string", "pattern": r"\$\{", "description": "A variable of the environment."}
    defs["check"] = _typed(tables.checks, _properties(CheckKeys), names, defs)
    overrides = _properties(RestartOverrides)
    if tables.drains:
        drain = _typed(tables.drains, _properties(DrainKeys), names, defs)
        overrides["drain"] |= {"anyOf": [drain, {"type": "null"}]}
    defs["restart"] = _typed(tables.actions, overrides, names, defs)
    defs["step"] = _typed(tables.actions, _properties(StepKeys), names, defs)
    steps = {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/step"}}
    defs["ladder"] = {
        "type": "object",
        "properties": {**overrides, "steps": steps},
        "required": ["steps"],
        "additionalProperties": False,
    }
    calendar = defs[names[ScheduleKeys]]["properties"]["ical"]
    calendar["anyOf"] = [*calendar["anyOf"], {"type": "string"}]
    service = defs[names[ServiceKeys]]["properties"]
    service["checks"] |= {"items": {"$ref": "#/$defs/check"}}
    service["restart"] |= {"anyOf": [{"$ref": f"#/$defs/{one}"} for one in ("restart", "ladder")] + [{"type": "null"}]}
    for name, channel in tables.channels.items():
        defs[f"channel_{name}"] = _channel(name, channel.about, defs[names[channel.options]])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "codeblue",
        "type": "object",
        "properties": _sections(tables, {model: {"$ref": f"#/$defs/{names[model]}"} for model in envelopes}),
        "patternProperties": {f"^{FREE}": {"description": "Anything: a place for anchors."}},
        "additionalProperties": False,
        "$defs": defs,
    }


def definitions(models: Iterable[Model]) -> tuple[dict[Model, str], dict[str, Schema]]:
    """The schemas of these models and of all within them by name, and the name of each."""
    every = list(dict.fromkeys(inner for model in models for inner in _all(model)))
    refs, schema = models_json_schema([(model, "validation") for model in every], ref_template="#/$defs/{model}")
    names = {model: refs[model, "validation"]["$ref"].rsplit("/", 1)[1] for model in every}
    defs: dict[str, Schema] = schema.get("$defs", {})
    for model, name in names.items():
        defs[name] = _object(model, defs[name])
    return names, defs


def _all(model: Model) -> Iterator[Model]:
    yield model
    for models in nested(model).values():
        for inner in models:
            if inner is not model:
                yield from _all(inner)


def _properties(model: Model) -> dict[str, Schema]:
    names, defs = definitions([model])
    properties: dict[str, Schema] = defs[names[model]]["properties"]
    return properties


def _object(model: Model, schema: Schema) -> Schema:
    """One model, without the noise, with variables, and with NAME_file beside every secret NAME."""
    properties = {key: _or_variable(_plain(value)) for key, value in schema.get("properties", {}).items()}
    for key, field in keys(model).items():
        properties[key].pop("default", None)
        if field.default not in (None, PydanticUndefined):
            properties[key]["default"] = plain_default(field.default)
    required = [key for key in schema.get("required", []) if key not in secrets(model)]
    either = [key for key in schema.get("required", []) if key in secrets(model)]
    for key in secrets(model):
        if f"{key}_file" not in keys(model):
            properties[f"{key}_file"] = {"type": "string", "description": f"A file that holds the {key}."}
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    if required:
        found["required"] = required
    if either:
        found["allOf"] = [{"anyOf": [{"required": [key]}, {"required": [f"{key}_file"]}]} for key in either]
    return found


def _plain(value: Any) -> Any:
    """Without the titles that repeat the names, and without marks that no YAML plug-in reads."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    noise = {"title": str, "writeOnly": bool, "format": str}
    return {k: _plain(v) for k, v in value.items() if not isinstance(v, noise.get(k, ()))}


def _or_variable(schema: Schema) -> Schema:
    """Where something narrower than any text is expected, ${NAME} may stand for it."""
    if isinstance(schema.get("items"), dict):
        return {**schema, "items": _or_variable(schema["items"])}
    if "anyOf" in schema:
        takes_it = any(one.get("type") == "string" and not _narrow(one) for one in schema["anyOf"])
        needs_it = any(_narrow(one) for one in schema["anyOf"]) and not takes_it
        return {**schema, "anyOf": [*schema["anyOf"], VARIABLE]} if needs_it else schema
    if not _narrow(schema):
        return schema
    kept = {key: value for key, value in schema.items() if key in ("description", "default", "examples")}
    return {**kept, "anyOf": [{k: v for k, v in schema.items() if k not in kept}, VARIABLE]}


def _narrow(schema: Schema) -> bool:
    return schema.get("type") in ("integer", "number", "boolean") or bool({"enum", "const", "pattern"} & schema.keys())


def plain_default(value: object) -> Any:
    """A default as it would be written in a file."""
    if isinstance(value, BaseModel):
        return {key: plain_default(getattr(value, key)) for key in type(value).model_fields}
    if isinstance(value, ByteSize):
        return value.human_readable()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple | list | frozenset | set):
        return [plain_default(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_default(item) for key, item in value.items()}
    return value if isinstance(value, bool | int | float) or value is None else str(value)


def _typed(
    kinds: Mapping[str, Kind], envelope: dict[str, Schema], names: dict[Model, str], defs: dict[str, Schema]
) -> Schema:
    """`- host`, `- http: URL` and `- {http: {...}, every: 10s}`."""
    bare = [name for name, kind in kinds.items() if not needed(defs[names[kind.options]])]
    options = {name: _options(kind, names[kind.options], name in bare) for name, kind in kinds.items()}
    mapping = {
        "type": "object",
        "properties": {**options, **envelope},
        "additionalProperties": False,
        "oneOf": [{"required": [name]} for name in kinds],
    }
    return {"anyOf": [{"enum": bare}, mapping]} if bare else mapping


def needed(schema: Schema) -> list[str]:
    """The options without which there is nothing to do; a secret stands for its file too."""
    return [*schema.get("required", []), *(either["anyOf"][0]["required"][0] for either in schema.get("allOf", []))]


def _options(kind: Kind, name: str, bare: bool) -> Schema:
    forms: list[Schema] = [{"$ref": f"#/$defs/{name}"}]
    if kind.short:
        forms.append({"$ref": f"#/$defs/{name}/properties/{kind.short}"})
    if bare:
        forms.append({"type": "null"})
    return {"description": kind.about, "anyOf": forms}


def _channel(name: str, about: str, options: Schema) -> Schema:
    properties = {"type": {"const": name, "description": about}, **options["properties"]}
    envelope = {key: value for key, value in _properties(ChannelKeys).items() if key != "type"}
    return {
        **options,
        "properties": {**properties, **envelope},
        "required": ["type", *options.get("required", [])],
    }


def _sections(tables: Tables, of: Mapping[Model, Schema]) -> dict[str, Schema]:
    def named(item: Schema, description: str) -> Schema:
        # names are checked by their pattern here, so that an editor marks the name itself
        return {
            "type": ["object", "null"],
            "description": description,
            "propertyNames": NAME_SCHEMA,
            "additionalProperties": item,
        }

    def listed(item: Schema, description: str) -> Schema:
        return {"type": ["array", "null"], "description": description, "items": item}

    def block(model: Model, description: str) -> Schema:
        return {"description": description, "anyOf": [of[model], {"type": "null"}]}

    channel = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(tables.channels)}},
        "oneOf": [{"$ref": f"#/$defs/channel_{name}"} for name in tables.channels],
    }
    return {
        "agent": block(AgentKeys, "The agent's own settings."),
        "defaults": block(Defaults, "What holds where a service or a check says nothing else."),
        "services": listed(of[ServiceKeys], "What is looked after."),
        "processes": named(of[ProcessKeys], "Processes that the agent starts, supervises and stops with itself."),
        "channels": named(channel, "Ways to people."),
        "groups": named({"anyOf": [of[GroupKeys], {"type": "null"}]}, "What replicas of one thing share."),
        "people": named({"anyOf": [of[PersonKeys], {"type": "null"}]}, "Who can be asked, and how."),
        "oncall": named(of[ScheduleKeys], "Who is on call, and when."),
        "escalation": named(of[EscalationKeys], "Who is asked, one step after the other."),
        "storm": {
            "description": "When services that go down together are one incident.",
            "anyOf": [of[StormKeys], {"enum": [OFF, None]}],
        },
        "drill": block(DrillKeys, "Proof that paging works: fire drills."),
        "routes": listed(of[RouteKeys], "Which escalation policy a service has: the first that matches."),
        "alerts_in": {
            "description": "Alerts of Prometheus Alertmanager that are paged like our own.",
            "anyOf": [of[AlertsInKeys], {"type": "null"}],
        },
        "maintenance": listed(of[WindowKeys], "Planned times in which nobody is asked and nothing restarted."),
        "logs": listed(of[LogKeys], "Where log lines come from."),
        "include": {**ONE_OR_MORE, "description": "Folders and patterns of files to read as well."},
    }
