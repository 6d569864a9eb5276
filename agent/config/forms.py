"""The short and the long form of "one thing of a type": `- host`, `- http: URL`, `- {http: {...}, every: 10s}`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from agent.config.fields import allowed, keys
from agent.config.messages import explain, shown_value
from agent.config.nearest import did_you_mean
from agent.config.report import Place, Report
from agent.config.secret_files import fill_secrets
from agent.ports import Options

M = TypeVar("M", bound=BaseModel)


class Kind(Protocol):
    """What check types and action types have in common."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> type[Options]: ...
    @property
    def about(self) -> str: ...
    @property
    def short(self) -> str | None: ...


K = TypeVar("K", bound=Kind)


@dataclass(slots=True)
class Reading:
    """What every step of reading shares: where problems go, and the secret files that were read."""

    report: Report
    secret_files: list[Path]

    def model(self, model: type[M], value: object, place: Place) -> M | None:
        """The value as that model; None, and everything that is wrong reported, when it is not one."""
        filled = fill_secrets(model, value, place, self.report, self.secret_files)
        try:
            return model.model_validate(filled)
        except ValidationError as error:
            for steps, message in explain(error, model, filled):
                self.report.add(place.at(*steps), message)
            return None


def split(
    value: object, kinds: Mapping[str, K], envelope: type[BaseModel], what: str, place: Place, report: Report
) -> tuple[K, object, dict[str, object]] | None:
    """The type that is named, its options as written, and the other keys. None, and reported, when there is not
    exactly one type. Unknown keys beside it are left for the envelope to refuse."""
    if isinstance(value, str):
        if value in kinds:
            return kinds[value], None, {}
        report.add(place, f"unknown {what} type {value!r}{did_you_mean(value, kinds)}")
        return None
    if not isinstance(value, dict):
        report.add(place, f"expected a {what} such as {{{next(iter(kinds), 'type')}: …}}, got {shown_value(value)}")
        return None
    named = [key for key in value if key in kinds]
    if len(named) == 1:
        kind = kinds[named[0]]
        rest = {key: item for key, item in value.items() if key != kind.name}
        for key in [key for key in rest if key not in keys(envelope) and key in keys(kind.options)]:
            first = f"{kind.short}: …, " if kind.short else ""
            report.add(place.at(key), f"is an option of {kind.name}: {{{kind.name}: {{{first}{key}: …}}}}")
            del rest[key]
        return kind, value[kind.name], rest
    if named:
        report.add(place, f"expected one {what} type, got {' and '.join(named)}")
    else:
        _no_type(value, kinds, allowed(envelope), what, place, report)
    return None


def _no_type(
    value: Mapping[str, object],
    kinds: Collection[str],
    known: Collection[str],
    what: str,
    place: Place,
    report: Report,
) -> None:
    strangers = [key for key in value if key not in known]
    for key in strangers:
        report.add(place.at(key), f"unknown {what} type {key!r}{did_you_mean(key, kinds)}")
    if not strangers:
        report.add(place, f"names no {what} type{did_you_mean('', kinds)}")


def options(kind: Kind, value: object, place: Place, reading: Reading) -> Options | None:
    """The options of a type, from a mapping or from the short form. None, and reported, when they are wrong."""
    at = place.at(kind.name)
    if value is None:
        value = {}
    elif not isinstance(value, dict):
        if kind.short is None:
            reading.report.add(
                at, f"expected a mapping of options: {', '.join(allowed(kind.options)) or 'there is none'}"
            )
            return None
        value = {kind.short: value}
    return reading.model(kind.options, value, at)
