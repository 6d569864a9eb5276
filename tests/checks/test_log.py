import re
from collections.abc import Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from agent.core.durations import parse_duration
from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, LogBook, LogLine
from checks.log import LEVELS, LOG, LogOptions

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Book:
    """Counts the lines that came since it was first asked; it remembers all of them."""

    def __init__(self, lines: Sequence[LogLine], watched: str) -> None:
        self.lines = lines
        self.trouble = ""
        self.since = NOW - parse_duration(watched)

    def _found(self, service: str, pattern: str, level: str) -> list[LogLine]:
        wanted = LEVELS[LEVELS.index(level) :] if level else ("", *LEVELS)
        return [
            line
            for line in self.lines
            if line.service == service and line.level in wanted and re.search(pattern, line.text)
            if line.at >= self.since
        ]

    async def tail(self, service: str, *, before: datetime, lines: int = 20) -> list[LogLine]:
        return [line for line in self.lines if line.service == service and line.at <= before][-lines:]

    def count(self, service: str, pattern: str, since: datetime, level: str = "") -> int:
        return sum(line.at >= since for line in self._found(service, pattern, level))

    def watched_since(self, service: str, pattern: str, level: str = "") -> datetime:
        return self.since

    def pattern_trouble(self, service: str, pattern: str, level: str = "") -> str:
        return self.trouble

    def last_match(self, service: str, pattern: str, level: str = "") -> LogLine | None:
        return max(self._found(service, pattern, level), key=lambda line: line.at, default=None)


def line(ago: str, text: str = "timeout talking to db", level: str = "error", service: str = "photos") -> LogLine:
    return LogLine(
        at=NOW - parse_duration(ago), source="file:/var/log/app.log", service=service, level=level, text=text
    )


async def look(lines: Sequence[LogLine], given: Any, *, watched: str = "1d") -> CheckResult:
    book: LogBook = Book(lines, watched)
    tools: Any = SimpleNamespace(logs=book)
    ctx = CheckContext("photos", "log", 3.0, tools)
    ctx.started = NOW
    return await LOG.run(LogOptions.model_validate(given), ctx)


@pytest.mark.parametrize(
    ("lines", "given", "verdict", "reason", "summary"),
    [
        pytest.param(
            [], {"match": "panic"}, Verdict.PASS, "ok", "no lines matching /panic/ in 5m", id="nothing came"
        ),
        pytest.param(
            [line("1m", "panic: nil")], {"match": "panic"}, Verdict.FAIL, "frequent",
            "1 line matching /panic/ in 5m, at most 0 allowed; the last one 1m ago",
            id="without a rate one line is too many",
        ),
        pytest.param(
            [line("6m", "panic: nil")], {"match": "panic"}, Verdict.PASS, "ok", "no lines matching /panic/ in 5m",
            id="it is over after the window",
        ),
        pytest.param(
            [line("10s"), line("20s"), line("30s")], {"match": "time.?out", "at_most": "3 per 1m"}, Verdict.PASS, "ok",
            "3 lines matching /time.?out/ in 1m",
            id="as many as allowed",
        ),
        pytest.param(
            [line("10s"), line("20s"), line("30s")], {"match": "time.?out", "at_most": "2 per 1m"}, Verdict.FAIL,
            "frequent", "3 lines matching /time.?out/ in 1m, at most 2 allowed; the last one 10s ago",
            id="more than allowed",
        ),
        pytest.param(
            [line("10s"), line("20s", level="info"), line("30s", level="critical"), line("40s", level="")],
            {"level": "error", "at_most": "1 per 1m"}, Verdict.FAIL, "frequent",
            "2 lines of level error or worse in 1m, at most 1 allowed; the last one 10s ago",
            id="lines of a level or worse",
        ),
        pytest.param(
            [line("10s"), line("20s", "timeout", level="info")],
            {"level": "error", "match": "timeout", "at_most": "1 per 1m"}, Verdict.PASS, "ok",
            "1 line of level error or worse matching /timeout/ in 1m",
            id="both level and text",
        ),
        pytest.param(
            [line("10s", service="billing")], {"match": "timeout"}, Verdict.PASS, "ok",
            "no lines matching /timeout/ in 5m",
            id="another service's lines",
        ),
        pytest.param(
            [line("8m", "job done")], {"match": "job done", "at_least": "1 per 10m"}, Verdict.PASS, "ok",
            "1 line matching /job done/ in 10m",
            id="as often as expected",
        ),
        pytest.param(
            [line("11m", "job done")], {"match": "job done", "at_least": "1 per 10m"}, Verdict.FAIL, "silent",
            "no lines matching /job done/ in 10m, at least 1 expected; the last one 11m ago",
            id="too seldom",
        ),
        pytest.param(
            [], {"at_least": "1 per 10m"}, Verdict.FAIL, "silent", "no lines in 10m, at least 1 expected",
            id="no line at all: the log itself has stopped",
        ),
        pytest.param(
            [line("1m"), line("2m"), line("8m")], {"match": "t", "at_least": "1 per 5m", "at_most": "4 per 10m"},
            Verdict.PASS, "ok", "3 lines matching /t/ in 10m; 2 lines matching /t/ in 5m",
            id="between two rates",
        ),
    ],
)  # fmt: skip
async def test_what_is_said_of_a_log(
    lines: list[LogLine], given: Any, verdict: Verdict, reason: str, summary: str
) -> None:
    result = await look(lines, given)
    assert (result.verdict, result.reason, result.summary) == (verdict, reason, summary)


@pytest.mark.parametrize(
    ("lines", "watched", "verdict", "reason"),
    [
        pytest.param([line("5m", "done")], "2m", Verdict.PASS, "ok", id="the stored lines of before the start count"),
        pytest.param([], "2m", Verdict.UNKNOWN, "too_early", id="nothing stored, and too early to tell"),
        pytest.param([line("1m", "done")], "2m", Verdict.PASS, "ok", id="enough has already come"),
        pytest.param([line("5m", "other")], "2m", Verdict.UNKNOWN, "too_early", id="stored lines must match too"),
        pytest.param([line("15m", "done")], "2m", Verdict.UNKNOWN, "too_early", id="and lie in the window"),
        pytest.param([], "10m", Verdict.FAIL, "silent", id="counted for a whole window"),
    ],
)
async def test_absence_is_not_believed_before_lines_were_counted_for_a_whole_window(
    lines: list[LogLine], watched: str, verdict: Verdict, reason: str
) -> None:
    result = await look(lines, {"match": "done", "at_least": "1 per 10m"}, watched=watched)
    assert (result.verdict, result.reason) == (verdict, reason)


async def test_too_many_are_believed_at_once() -> None:
    assert (await look([line("1s")], {"match": "timeout"}, watched="2s")).reason == "frequent"


async def test_the_last_matching_line_is_evidence_and_bounded() -> None:
    result = await look([line("1m", "boom 1"), line("5s", "boom " + "x" * 9000 + "\n")], {"match": "boom"})
    evidence = result.evidence["last matching line"]
    assert evidence.startswith("2026-11-20 11:59:55 UTC file:/var/log/app.log\nboom xxx")
    assert evidence.endswith("x…")
    assert len(evidence) < 2100
    assert result.values == {"lines": 2.0}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({}, "expected match or level", id="any line is too many"),
        pytest.param({"match": "("}, "is not a regular expression", id="no regular expression"),
        pytest.param({"match": "x", "at_most": "many"}, "expected a rate such as", id="no rate"),
        pytest.param({"match": "x", "at_most": 5}, "expected a rate such as", id="a number without a window"),
        pytest.param(
            {"match": "x", "at_most": "5 per 2d"}, "a window of at most 1d", id="a window that is not counted"
        ),
        pytest.param({"match": "x", "at_least": "0 per 1m"}, "expected 1 or more", id="at least none"),
        pytest.param({"level": "eror"}, "Input should be", id="no level"),
        pytest.param({"match": "x", "atmost": "5 per 1m"}, "Extra inputs", id="a typo"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LogOptions.model_validate(given)


def test_options_survive_being_written_and_read() -> None:
    options = LogOptions.model_validate({"match": "x", "at_most": "10 per 5m", "at_least": "1 per hour"})
    assert LogOptions.model_validate_json(options.model_dump_json()) == options


def test_every_option_is_described_for_the_reference_page() -> None:
    assert all(field.get("description") for field in LogOptions.model_json_schema()["properties"].values())
    assert LOG.short == "match"
