"""Holding an answer against what was expected of it."""

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import orjson

from agent.ports import HttpAnswer
from checks.http_options import Expect
from checks.json_path import MISSING, find
from checks.match import QUICK, pattern, searched, text_matches, value_matches

Finding = tuple[str, str]
"""A reason slug and a line for people."""

_CHARSET = re.compile(r"charset=\"?([\w.:-]+)", re.IGNORECASE)


def status_text(status: int) -> str:
    """The number with its usual phrase: "503 Service Unavailable"."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def status_expected(statuses: tuple[str, ...], status: int) -> bool:
    text = str(status)
    return any(text == wanted or (wanted[1:] == "xx" and wanted[0] == text[0]) for wanted in statuses)


def body_text(answer: HttpAnswer) -> str:
    """The body as text in its own character set, UTF-8 when it names none; what is not text becomes �."""
    match = _CHARSET.search(answer.headers.get("content-type", ""))
    try:
        return answer.body.decode(match[1] if match else "utf-8", errors="replace")
    except (LookupError, UnicodeError):
        return answer.body.decode("utf-8", errors="replace")


def findings(expect: Expect, answer: HttpAnswer, patience: float = QUICK) -> Iterator[Finding]:
    """What is wrong with an answer, the most telling first; nothing when all is as expected. Raises TooSlow where an
    expression takes more than `patience` seconds of CPU time."""
    if not status_expected(expect.status, answer.status):
        yield "status", f"{status_text(answer.status)}, expected {' or '.join(expect.status)}"
    for name, wanted in (expect.headers or {}).items():
        found = answer.headers.get(name.lower())
        if found is None:
            yield "header", f"no {name} header, expected {wanted!r}"
        elif not text_matches(wanted, found, patience):
            yield "header", f"{name} is {_short(found)}, expected {wanted!r}"
    if expect.max_size is not None and len(answer.body) > expect.max_size:
        more = "more than " if answer.truncated else ""
        yield "size", f"the body has {more}{len(answer.body)} bytes, at most {expect.max_size} expected"
    if expect.text or expect.not_text or expect.regex:
        yield from _text_findings(expect, answer, patience)
    if expect.json_:
        yield from _json_findings(expect.json_, answer, patience)


def _text_findings(expect: Expect, answer: HttpAnswer, patience: float) -> Iterator[Finding]:
    text = body_text(answer)
    where = f"in the first {len(answer.body)} bytes of the body" if answer.truncated else "in the body"
    for wanted in expect.text or ():
        if wanted not in text:
            yield "text", f"{_short(wanted)} is not {where}"
    for unwanted in expect.not_text or ():
        if unwanted in text:
            yield "text", f"{_short(unwanted)} is {where}, and must not be"
    if expect.regex and not searched(pattern(expect.regex), text, patience):
        yield "text", f"nothing matches /{expect.regex}/ {where}"


def _json_findings(expected: dict[str, Any], answer: HttpAnswer, patience: float) -> Iterator[Finding]:
    if answer.truncated:
        yield "truncated", f"the JSON cannot be read: the body goes on after body_limit ({len(answer.body)} bytes)"
        return
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        yield "json", f"the body is not JSON: {error}"
        return
    for path, wanted in expected.items():
        found = find(document, path)
        if found is MISSING:
            yield "json", f"{path} is not there, expected {_short(wanted)}"
        elif not value_matches(wanted, found, patience):
            yield "json", f"{path} is {_short(found)}, expected {_short(wanted)}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else orjson.dumps(value, default=str).decode()
    return text if len(text) <= 80 else text[:77] + "…"
