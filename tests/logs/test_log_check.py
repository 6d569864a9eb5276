"""The log check on the real book: what is fed in is what it judges."""

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from agent.core.result import CheckResult, Verdict
from agent.logs.book import Logs
from agent.logs.store import LogStore
from agent.ports import CheckContext
from checks.log import LOG, LogOptions


async def look(book: Logs, **options: object) -> CheckResult:
    tools: Any = SimpleNamespace(logs=book)
    return await LOG.run(LogOptions.model_validate(options), CheckContext("shop", "log", 3.0, tools))


def feed(book: Logs, *texts: str) -> None:
    for text in texts:
        stamp = datetime.now(UTC).isoformat()
        book.feed_text("process:shop", "shop", f"{stamp} {text}")


async def test_lines_of_a_level_and_pattern_are_counted_from_the_first_question_on(tmp_path: Path) -> None:
    book = Logs(LogStore(tmp_path / "logs.db"))
    options = {"match": "payment", "level": "error", "at_most": "2 per 5m"}
    assert (await look(book, **options)).verdict is Verdict.PASS
    feed(book, "ERROR payment failed", "ERROR payment failed", "INFO payment done", "ERROR something else")
    assert (await look(book, **options)).verdict is Verdict.PASS
    feed(book, "CRITICAL payment failed")
    result = await look(book, **options)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "frequent")
    assert "3 lines" in result.summary


async def test_the_same_pattern_at_two_levels_is_two_counts(tmp_path: Path) -> None:
    book = Logs(LogStore(tmp_path / "logs.db"))
    await look(book, match="x", level="error", at_most="0 per 5m")
    await look(book, match="x", at_most="0 per 5m")
    feed(book, "INFO x")
    assert (await look(book, match="x", level="error", at_most="0 per 5m")).verdict is Verdict.PASS
    assert (await look(book, match="x", at_most="0 per 5m")).verdict is Verdict.FAIL


async def test_absence_is_unknown_until_a_whole_window_was_watched(tmp_path: Path) -> None:
    book = Logs(LogStore(tmp_path / "logs.db"))
    result = await look(book, match="tick", at_least="1 per 10m")
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "too_early")
    feed(book, "INFO tick")
    assert (await look(book, match="tick", at_least="1 per 10m")).verdict is Verdict.PASS


async def test_a_pattern_that_is_far_too_slow_is_unknown_and_says_so(tmp_path: Path) -> None:
    book = Logs(LogStore(tmp_path / "logs.db"))
    options = {"match": "(a|aa)+$", "at_most": "0 per 5m"}
    await look(book, **options)
    feed(book, "a" * 4000 + "!")
    result = await look(book, **options)
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "pattern")
    assert "given up" in result.summary
