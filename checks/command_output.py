"""What a Nagios plugin prints, taken apart: https://www.monitoring-plugins.org/doc/guidelines.html

    SUMMARY | performance data
    long text
    more long text | more performance data
    still more performance data

Each datum is `'label'=value[unit];[warn];[crit];[min];[max]`, separated by blanks; a quoted label may hold blanks and
`=`, and a doubled quote is a quote.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from agent.core.plain_text import clean

MOST_VALUES = 64
LONGEST_LABEL = 64

# In the official plugins a kB is 1024 bytes (check_disk --help: "still calculated as their respective binary units").
_BYTES = {prefix: 1024.0**power for power, prefix in enumerate(("", "k", "m", "g", "t", "p", "e"))}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}

_DATUM = re.compile(
    r"""\s*(?: '(?P<quoted>(?:[^']|'')*)' | (?P<plain>[^\s='][^\s=]*) )
        = (?P<value> U | [-+]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][-+]?\d+)? )
        (?P<unit> [^\s;\d'=|]* )
        (?P<rest> (?:;[^\s;]*){0,5} ) (?=\s|$)""",
    re.VERBOSE,
)
_BLANK = re.compile(r"\s+|$")
_UNSAFE = re.compile(r"[^\w./:%@+-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Datum:
    """One figure. `value` is in base units (seconds, bytes, ratio), None where the plugin said U for "unknown".
    The thresholds are as the plugin wrote them, in its own unit."""

    label: str
    value: float | None
    unit: str = ""
    warn: str = ""
    crit: str = ""
    least: str = ""
    most: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginOutput:
    """`summary` is the first line for people, `details` the long text."""

    summary: str
    details: str
    data: tuple[Datum, ...]


def parse_output(text: str) -> PluginOutput:
    """Any text at all gives an answer: what is no performance data is left out of it, never an error."""
    lines = clean(text.replace("\r", "")).strip("\n").split("\n")
    summary, _, figures = lines[0].partition("|")
    details: list[str] = []
    for number, line in enumerate(lines[1:], start=1):
        before, bar, after = line.partition("|")
        details.append(before.rstrip())
        if bar:
            figures = " ".join([figures, after, *lines[number + 1 :]])
            break
    return PluginOutput(summary=summary.strip(), details="\n".join(details).strip(), data=tuple(parse_data(figures)))


def parse_data(text: str) -> Iterable[Datum]:
    """The well-formed data in it, in order. What is malformed is skipped up to the next blank."""
    position = 0
    while position < len(text):
        if found := _DATUM.match(text, position):
            yield _datum(found)
            position = found.end()
        else:
            blank = _BLANK.search(text, position + 1)
            position = blank.end() if blank else len(text)


def _datum(found: re.Match[str]) -> Datum:
    label = found["plain"] if found["quoted"] is None else found["quoted"].replace("''", "'")
    limits: list[str] = [*str(found["rest"]).split(";"), "", "", "", ""]
    value = float("nan" if found["value"] == "U" else found["value"].replace(",", ".")) * _factor(found["unit"])
    return Datum(
        label=label,
        value=value if isfinite(value) else None,
        unit=found["unit"],
        warn=limits[1],
        crit=limits[2],
        least=limits[3],
        most=limits[4],
    )


def _factor(unit: str) -> float:
    """What a value in this unit is multiplied with to be in base units; an unknown unit is left as it is."""
    if unit == "%":
        return 0.01
    if unit in _SECONDS:
        return _SECONDS[unit]
    if unit[-1:] == "B":
        return _BYTES.get(unit[:-1].removesuffix("i").lower(), 1.0)
    return 1.0


def values_of(data: Iterable[Datum]) -> Mapping[str, float]:
    """The first 64 known values by label; labels are made safe to show, and unique."""
    values: dict[str, float] = {}
    for datum in data:
        if len(values) == MOST_VALUES:
            break
        if datum.value is not None:
            values[_unique(_UNSAFE.sub("_", datum.label)[:LONGEST_LABEL] or "_", values)] = datum.value
    return values


def _unique(label: str, taken: Mapping[str, float]) -> str:
    name, number = label, 2
    while name in taken:
        name, number = f"{label}_{number}", number + 1
    return name
