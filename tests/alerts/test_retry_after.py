from datetime import UTC, datetime

import pytest

from alerts.retry_after import seconds_to_wait

NOW = datetime(2026, 3, 1, 3, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("30", 30.0, id="seconds"),
        pytest.param(" 1.5 ", 1.5, id="a fraction, which some servers send"),
        pytest.param("Sun, 01 Mar 2026 03:13:05 GMT", 60.0, id="a date"),
        pytest.param("Sun, 01 Mar 2026 03:00:00 GMT", 0.0, id="a date that has passed"),
        pytest.param("Sun, 01 Mar 2026 03:13:05", 60.0, id="a date without its zone"),
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("-5", None, id="negative"),
        pytest.param("inf", None, id="infinite"),
        pytest.param("soon", None, id="a word"),
        pytest.param("²", None, id="digits that are none"),
        pytest.param("Sun, 99 Mar 99999 03:13:05 GMT", None, id="no such date"),
    ],
)
def test_retry_after(value: str | None, expected: float | None) -> None:
    assert seconds_to_wait(value, NOW) == expected
