"""What the log lines in a page are."""

from datetime import UTC, datetime, timedelta

from agent.checking import last_words
from agent.ports import LogLine
from agent.runtime.curl_options import USER_AGENT

BEGIN = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)


def lines(*texts: str) -> list[LogLine]:
    return [
        LogLine(at=BEGIN + timedelta(seconds=number), source="file:/x", service="web", level="error", text=text)
        for number, text in enumerate(texts)
    ]


def test_the_last_lines_are_told_with_time_and_level_oldest_first() -> None:
    assert last_words(lines("a", "b", "c"), most=2) == "03:00:01 error    b\n03:00:02 error    c"


def test_what_an_access_log_says_of_our_own_probes_takes_nobodys_place() -> None:
    probe = f'127.0.0.1 - - "GET /health HTTP/1.1" 503 85 "-" "{USER_AGENT}"'
    assert last_words(lines("disk full", probe, probe, probe), most=2) == "03:00:00 error    disk full"
    assert last_words(lines(probe, probe)) == ""
