import io
import os
import re
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.commands import NoticeKind
from agent.ports import DeliveryError, Receipt
from alerts.channels.console import ConsoleChannel, ConsoleOptions, console_text, wants_colour
from tests.alerts.builders import FALLBACK, OPENED, RESOLVED, hostile


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_a_notice_is_printed_with_its_time_and_kind() -> None:
    out = io.StringIO()
    receipt = await ConsoleChannel("terminal", ConsoleOptions(), out).send(OPENED, None)
    assert receipt == Receipt()
    assert out.getvalue().startswith(
        "2026-03-01 03:13:09 UTC  OPENED  🔴 photos-api is down\n  http: connection refused"
    )
    assert out.getvalue().endswith("\n\n")


async def test_it_prints_to_the_stream_of_the_process_that_config_names(capsys: pytest.CaptureFixture[str]) -> None:
    await ConsoleChannel("terminal", ConsoleOptions()).send(OPENED, None)
    await ConsoleChannel("terminal", ConsoleOptions(stream="stdout")).send(RESOLVED, Receipt())
    captured = capsys.readouterr()
    assert "OPENED" in captured.err
    assert "RESOLVED" in captured.out


async def test_a_closing_notice_without_its_opening_says_so() -> None:
    out = io.StringIO()
    await ConsoleChannel("terminal", ConsoleOptions(), out).send(RESOLVED, None)
    assert "⚠ The page that opened this incident never arrived here." in out.getvalue()


@pytest.mark.parametrize(
    ("choice", "terminal", "environment", "expected"),
    [
        pytest.param("auto", True, {}, True, id="a terminal"),
        pytest.param("auto", False, {}, False, id="a pipe or a journal"),
        pytest.param("auto", True, {"NO_COLOR": "1"}, False, id="NO_COLOR"),
        pytest.param("auto", True, {"NO_COLOR": ""}, True, id="an empty NO_COLOR does not count"),
        pytest.param("auto", True, {"TERM": "dumb"}, False, id="a dumb terminal"),
        pytest.param("always", False, {"NO_COLOR": "1"}, True, id="config says always"),
        pytest.param("never", True, {}, False, id="config says never"),
    ],
)
def test_colour(choice: str, terminal: bool, environment: Mapping[str, str], expected: bool) -> None:
    assert wants_colour(choice, Terminal() if terminal else io.StringIO(), environment) is expected


def test_colours_are_added_around_the_same_text() -> None:
    coloured = console_text(FALLBACK, coloured=True)
    assert coloured.startswith("\x1b[1;31m")
    assert re.sub("\x1b\\[[0-9;]*m", "", coloured) == console_text(FALLBACK, coloured=False)


@pytest.mark.parametrize("coloured", [True, False])
def test_an_attack_from_outside_reaches_no_terminal(coloured: bool) -> None:
    text = console_text(hostile(), coloured=coloured)
    assert re.findall("\x1b(?!\\[(?:[0-9;]*)m)|[\x00-\x08\x0b-\x1a\x7f-\x9f\u202e]", text) == []
    assert "\x1b]" not in text


@given(st.text(), st.sampled_from(NoticeKind))
def test_no_text_makes_the_rendering_raise(text: str, kind: NoticeKind) -> None:
    assert console_text(hostile(kind, title=text, evidence={text: text}), coloured=True).endswith("\n\n")


async def test_an_output_that_knows_only_ascii_gets_question_marks() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    await ConsoleChannel("terminal", ConsoleOptions(), out).send(OPENED, None)
    assert b"OPENED  ? photos-api is down" in raw.getvalue()


async def test_a_closed_output_is_a_failed_delivery_and_not_a_delivered_page() -> None:
    out = io.StringIO()
    out.close()
    with pytest.raises(DeliveryError) as failed:
        await ConsoleChannel("terminal", ConsoleOptions(), out).send(OPENED, None)
    assert (failed.value.reason, failed.value.retryable) == ("closed", False)


async def test_a_pipe_that_lost_its_reader_is_a_failed_delivery() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    out = os.fdopen(writing, "w", encoding="utf-8")
    try:
        with pytest.raises(DeliveryError, match="Broken pipe"):
            await ConsoleChannel("terminal", ConsoleOptions(), out).send(OPENED, None)
    finally:
        with pytest.raises(BrokenPipeError):
            out.close()
