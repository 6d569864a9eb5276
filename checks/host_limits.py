"""The options of the host check: what is looked at, and from where on it is too much or too little."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from agent.durations import Duration
from agent.ports import Options

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d+)?)\s*%", re.ASCII)


def _share(value: object) -> float:
    if isinstance(value, float) and 0 <= value <= 1:
        return value
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or float(found[1]) > 100:
        raise ValueError(f"expected a share such as 90%, got {value!r}")
    return float(found[1]) / 100


def percent(share: float) -> str:
    """A share for people, exact to a tenth of a percent."""
    return f"{share * 100:.1f}".removesuffix(".0") + "%"


_SHARE_SCHEMA: dict[str, Any] = {"type": "string", "pattern": r"^\d{1,3}(\.\d+)?\s*%$", "examples": ["90%"]}
Share = Annotated[
    float, BeforeValidator(_share), PlainSerializer(percent, return_type=str), WithJsonSchema(_SHARE_SCHEMA)
]


class Limits(Options):
    """Two limits, of which one is enough. A bare value stands for `fail`."""

    warn: float | None
    fail: float | None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return value if isinstance(value, Mapping | Limits) else {"fail": value}

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        if self.warn is None and self.fail is None:
            raise ValueError("expected a limit: warn, fail, or both")
        return self

    def _in_order(self, low: float | None, high: float | None, order: str) -> Self:
        if low is not None and high is not None and low > high:
            raise ValueError(f"these limits never warn: warn must be {order} than fail")
        return self


class Used(Limits):
    """Limits of the share that is in use."""

    warn: Share | None = Field(None, description="WARN from this share in use on.")
    fail: Share | None = Field(None, description="FAIL from this share in use on.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        return self._in_order(self.warn, self.fail, "less")


class Free(Limits):
    """Limits of the share that is left."""

    warn: Share | None = Field(None, description="WARN when less than this share is left.")
    fail: Share | None = Field(None, description="FAIL when less than this share is left.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        return self._in_order(self.fail, self.warn, "more")


class Load(Limits):
    """Limits of the load."""

    warn: Annotated[float, Field(gt=0)] | None = Field(None, description="WARN from this load per core on.")
    fail: Annotated[float, Field(gt=0)] | None = Field(None, description="FAIL from this load per core on.")

    @model_validator(mode="after")
    def _order(self) -> Self:
        return self._in_order(self.warn, self.fail, "less")


class Clock(Options):
    """What is asked of the host's clock. A bare duration stands for `max_offset`."""

    max_offset: Duration = Field(timedelta(seconds=1), description="FAIL when the clock may be further off than this.")
    synchronised: bool = Field(False, description="WARN when nothing keeps the clock right (no NTP).")
    optional: bool = Field(
        False, description="Say nothing, instead of UNKNOWN, when the kernel does not let us ask (some containers)."
    )

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return value if isinstance(value, Mapping | Clock) else {"max_offset": value}


DISK = Used(warn=0.85, fail=0.95)
MEMORY = Free(warn=0.10, fail=0.05)
SWAP = Used(warn=0.80, fail=0.95)
LOAD = Load(warn=4.0, fail=8.0)
DESCRIPTORS = Used(warn=0.80, fail=0.90)
CLOCK = Clock.model_validate({})


def _switch(default: Options) -> BeforeValidator:
    """`on` stands for the default limits."""
    return BeforeValidator(lambda value: default if value is True or value == "on" else value)


def _by_path(value: object) -> object:
    """Limits by path, from any of the forms: `90%`, `{warn: …, fail: …}`, `[/, /data]`, `{/: 90%, /data: on}`."""
    if isinstance(value, list):
        value = dict.fromkeys(value, True)
    if not isinstance(value, Mapping) or not value.keys().isdisjoint(Used.model_fields):
        value = {"/": value}
    relative = [path for path in value if not str(path).startswith("/")]
    if relative:
        raise ValueError(f"expected an absolute path such as /data, got {relative[0]!r}")
    if not value:
        raise ValueError("expected at least one path, or a limit for /")
    return {path: DISK if limit is True or limit == "on" else limit for path, limit in value.items()}


def _or_bare(model: type[Options], bare: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model that also takes a bare value, or `on`."""
    return {"anyOf": [bare, {"const": True}, {"const": "on"}, model.model_json_schema()]}


_USED_SCHEMA = _or_bare(Used, _SHARE_SCHEMA)
_PATHS_SCHEMA = {
    "anyOf": [
        *_USED_SCHEMA["anyOf"],
        {"type": "array", "items": {"type": "string", "pattern": "^/"}, "minItems": 1},
        {"type": "object", "patternProperties": {"^/": _USED_SCHEMA}, "additionalProperties": False},
    ]
}
Mounts = Annotated[dict[str, Used], BeforeValidator(_by_path), WithJsonSchema(_PATHS_SCHEMA)]


class HostOptions(Options):
    """What is looked at on this host. Only what is named is; with nothing named, all but swap by its default limits."""

    disk: Mounts | None = Field(
        None,
        description="Space in use, as df shows it: `90%` for /, `[/, /data]` for the default limits (warn 85%, fail "
        '95%), or limits by path: `{"/": 90%, /data: {warn: 80%, fail: 95%}}`.',
    )
    inodes: Mounts | None = Field(None, description="Inodes in use, in the same forms and with the same defaults.")
    memory: Annotated[Free, _switch(MEMORY), WithJsonSchema(_or_bare(Free, _SHARE_SCHEMA))] | None = Field(
        None, description="Memory that is still available to programs; `on`: warn below 10%, fail below 5%."
    )
    swap: Annotated[Used, _switch(SWAP), WithJsonSchema(_USED_SCHEMA)] | None = Field(
        None, description="Swap in use; `on`: warn from 80%, fail from 95% on. A host without swap passes."
    )
    load: Annotated[Load, _switch(LOAD), WithJsonSchema(_or_bare(Load, {"type": "number"}))] | None = Field(
        None, description="The load average of 5 minutes, per core; `on`: warn from 4, fail from 8 on."
    )
    descriptors: Annotated[Used, _switch(DESCRIPTORS), WithJsonSchema(_USED_SCHEMA)] | None = Field(
        None,
        description="Open files of the whole host against the kernel's limit; `on`: warn from 80%, fail from 90% on.",
    )
    clock: Annotated[Clock, _switch(CLOCK), WithJsonSchema(_or_bare(Clock, {"type": "string"}))] | None = Field(
        None, description="How far the clock may be off by the kernel's own estimate; `on`: fail above 1s."
    )

    @model_validator(mode="before")
    @classmethod
    def _nothing_named(cls, value: object) -> object:
        if value is None or value == {}:
            root = {"/": DISK}
            parts = {"disk": root, "inodes": root, "memory": MEMORY, "load": LOAD, "descriptors": DESCRIPTORS}
            return {**parts, "clock": CLOCK.model_copy(update={"optional": True})}
        return value
