"""Paths into a JSON document: the part of RFC 9535 that names one place, `$.a.b[0]['c d']`, without wildcards,
slices and filters. An index below zero counts from the end."""

import re
from functools import lru_cache
from typing import Any

MISSING = object()

_STEP = re.compile(
    r"\.(?P<name>[A-Za-z_À-￿][\w-]*)"
    r"|\[(?P<index>-?\d{1,9})\]"
    r"|\['(?P<single>(?:[^'\\]|\\.)*)'\]"
    r'|\["(?P<double>(?:[^"\\]|\\.)*)"\]'
)


@lru_cache(maxsize=4096)
def parse_path(text: str) -> tuple[str | int, ...]:
    """The steps of a path, from the root. Raises ValueError with the place that was not understood."""
    if not text.startswith("$"):
        raise ValueError(f"{text!r} is not a JSON path: it starts with $, as in $.status or $.items[0]['name']")
    steps: list[str | int] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            raise ValueError(f"{text!r} is not a JSON path that is understood from {text[at:]!r} on")
        if match["index"] is not None:
            steps.append(int(match["index"]))
        else:
            quoted = match["single"] if match["single"] is not None else match["double"]
            steps.append(match["name"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
    return tuple(steps)


def find(document: Any, path: str) -> Any:
    """What is at that place, or MISSING."""
    here = document
    for step in parse_path(path):
        if isinstance(step, str):
            if not isinstance(here, dict) or step not in here:
                return MISSING
        elif not isinstance(here, list) or not -len(here) <= step < len(here):
            return MISSING
        here = here[step]
    return here
