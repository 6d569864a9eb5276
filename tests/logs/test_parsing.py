"""What a raw line becomes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logs.levels import LEVELS
from agent.logs.parsing import CUT, FIELD_LIMIT, FIELDS, RAW_LIMIT, TEXT_LIMIT, parse
from agent.ports import LogLine

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def read(raw: str | bytes) -> LogLine:
    return parse(raw, source="file:/x.log", service="photos", received=NOW)


AT_NINE = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param('{"time":"2026-11-21T09:00:00Z","msg":"x"}', id="JSON, ISO with Z"),
        pytest.param('{"timestamp":"2026-11-21T10:00:00+01:00","msg":"x"}', id="JSON, ISO with an offset"),
        pytest.param('{"ts":1795251600,"msg":"x"}', id="JSON, seconds"),
        pytest.param('{"time":1795251600000,"msg":"x"}', id="JSON, milliseconds as pino has them"),
        pytest.param('{"ts":"1795251600.0","msg":"x"}', id="JSON, seconds in quotes"),
        pytest.param('{"@timestamp":1795251600000000000,"msg":"x"}', id="JSON, nanoseconds"),
        pytest.param('{"log":"it broke\\n","stream":"stderr","time":"2026-11-21T09:00:00Z"}', id="Docker json-file"),
        pytest.param("ts=2026-11-21T09:00:00Z level=info msg=x", id="logfmt"),
        pytest.param("2026-11-21T09:00:00.000Z it broke", id="plain ISO"),
        pytest.param("2026-11-21 09:00:00,000 - root - it broke", id="Python logging, taken as UTC"),
        pytest.param("[2026-11-21 10:00:00 +0100] [42] [INFO] it broke", id="gunicorn, its time in brackets"),
        pytest.param("2026/11/21 09:00:00 [error] 12#12: *4 connect() failed", id="nginx error log"),
        pytest.param('::1 - - [21/Nov/2026:10:00:00 +0100] "GET / HTTP/1.1" 200 1 "-" "-"', id="nginx access log"),
        pytest.param("[Sat Nov 21 09:00:00.000000 2026] [core:error] [pid 1] x", id="Apache error log"),
        pytest.param("\x1b[2m2026-11-21T09:00:00Z\x1b[0m \x1b[32mINFO\x1b[0m x", id="in colours"),
        pytest.param("Nov 21 09:00:00 web-1 sshd[4]: Failed password", id="syslog RFC 3164"),
        pytest.param("<11>Nov 21 09:00:00 web-1 app: it broke", id="syslog RFC 3164 with a priority"),
        pytest.param("<11>1 2026-11-21T09:00:00Z web-1 app 4 - - it broke", id="syslog RFC 5424"),
        pytest.param("E1121 09:00:00.000000    1 server.go:12] it broke", id="klog"),
        pytest.param("2026-11-21T09:00:00.000000000Z stderr F it broke", id="CRI of containers"),
    ],
)
def test_every_format_tells_when_the_line_was_written(raw: str) -> None:
    assert read(raw).at == AT_NINE


@pytest.mark.parametrize(
    ("raw", "level"),
    [
        pytest.param('{"level":"WARN","msg":"x"}', "warning", id="JSON word"),
        pytest.param('{"severity":"ERROR","message":"x"}', "error", id="Google's severity"),
        pytest.param('{"lvl":"crit","msg":"x"}', "critical", id="log15"),
        pytest.param('{"levelname":"INFO","message":"x"}', "info", id="python-json-logger"),
        pytest.param('{"levelno":50,"message":"x"}', "critical", id="Python's number 50 is critical"),
        pytest.param('{"level":50,"msg":"x"}', "error", id="pino's number 50 is error"),
        pytest.param('{"level":60,"msg":"x"}', "critical", id="bunyan's 60 is fatal"),
        pytest.param('{"level":3,"short_message":"x"}', "error", id="GELF's syslog severity"),
        pytest.param('{"level":true,"msg":"x"}', "", id="not a level at all"),
        pytest.param("level=warn msg=x", "warning", id="logfmt"),
        pytest.param("<10>Nov 21 09:00:00 web-1 app: x", "critical", id="syslog priority 10 is user.crit"),
        pytest.param("<7>starting", "debug", id="systemd's prefix on stdout"),
        pytest.param("2026-11-21 09:00:00 ERROR it broke", "error", id="capitals"),
        pytest.param("2026/11/21 09:00:00 [warn] 1#1: x", "warning", id="nginx brackets"),
        pytest.param("[Sat Nov 21 09:00:00 2026] [core:error] [pid 1] x", "error", id="Apache"),
        pytest.param("2026-11-21 09:00:00 \x1b[31mERROR\x1b[0m it broke", "error", id="in colours"),
        pytest.param("\x1b[33mlevel=warn\x1b[0m msg=x", "warning", id="logfmt in colours"),
        pytest.param("error: cannot open file", "error", id="a word and a colon at the start"),
        pytest.param("FATAL:  role does not exist", "critical", id="PostgreSQL"),
        pytest.param("finished without an error", "", id="a sentence that speaks of an error has no level"),
        pytest.param("no warnings, all alerts silenced", "", id="words in small letters in the text"),
        pytest.param("W1121 09:00:00.000000 1 a.go:1] x", "warning", id="klog letter"),
        pytest.param("    at Foo.bar(Foo.java:1)", "", id="a traceback's line"),
        pytest.param('::1 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 502 1 "-" "-"', "error", id="5xx"),
        pytest.param('::1 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 404 1 "-" "-"', "warning", id="4xx"),
        pytest.param('::1 - - [21/Nov/2026:09:00:00 +0000] "GET / HTTP/1.1" 302 1 "-" "-"', "info", id="3xx"),
        pytest.param('{"log":"ERROR it broke","stream":"stdout","time":"2026-11-21T09:00:00Z"}', "error", id="Docker"),
    ],
)
def test_levels_of_all_scales_become_five(raw: str, level: str) -> None:
    assert read(raw).level == level


def test_a_json_line_gives_text_trace_and_fields() -> None:
    line = read('{"level":"error","msg":"it broke","trace_id":"4bf92f3577b34da6","user":42,"tags":["a"],"at":null}')
    assert (line.text, line.trace_id) == ("it broke", "4bf92f3577b34da6")
    assert dict(line.fields) == {"user": "42", "tags": '["a"]', "at": "null"}


def test_a_logfmt_line_gives_text_and_fields_with_quotes_undone() -> None:
    line = read(r'level=info msg="said \"no\"" took=12ms empty= traceID=abc')
    assert (line.text, line.trace_id, dict(line.fields)) == ('said "no"', "abc", {"took": "12ms", "empty": ""})


def test_a_plain_line_keeps_its_whole_text_and_its_trace_is_found() -> None:
    raw = "2026-11-21 09:00:00 ERROR trace_id=4bf92f3577b34da6a3ce929d0e0e4736 it broke"
    line = read(raw)
    assert (line.text, line.trace_id) == (raw, "4bf92f3577b34da6a3ce929d0e0e4736")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        pytest.param("\x1b[1;31mit broke\x1b[0m", "it broke", id="colours"),
        pytest.param('{"level":"error","msg":"\\u001b[31mit\\u001b[0m broke"}', "it broke", id="colours in JSON"),
        pytest.param("it\x1b]0;a title\x07 broke", "it broke", id="the title of a terminal's window"),
    ],
)
def test_terminal_escapes_are_left_out(raw: str, text: str) -> None:
    assert read(raw).text == text


def test_a_stack_under_the_key_trace_is_a_field_and_no_trace_id() -> None:
    line = read('{"msg":"it broke","trace":"at Foo.bar(Foo.java:1)"}')
    assert (line.trace_id, dict(line.fields)) == ("", {"trace": "at Foo.bar(Foo.java:1)"})


def test_an_access_line_gives_who_asked_for_what() -> None:
    line = read('10.0.0.9 - bob [21/Nov/2026:09:00:00 +0000] "POST /photos?a=1 HTTP/1.1" 500 12 "-" "curl"')
    assert dict(line.fields) == {"client": "10.0.0.9", "method": "POST", "path": "/photos?a=1", "status": "500"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("no time in it", id="clock-less"),
        pytest.param("2026-11-21T09:31:01Z x", id="more than a minute ahead"),
        pytest.param("1999-12-31T23:59:59Z x", id="before clocks were set"),
        pytest.param('{"time":0,"msg":"x"}', id="epoch zero"),
        pytest.param('{"time":1e300,"msg":"x"}', id="no such time"),
        pytest.param("2026-13-45 09:00:00 x", id="no such day"),
        pytest.param("Feb 30 09:00:00 web-1 x", id="no such syslog day"),
        pytest.param("9999-12-31T23:59:59-14:00 x", id="beyond the calendar"),
    ],
)
def test_a_line_without_a_credible_time_gets_the_time_of_receipt(raw: str) -> None:
    assert read(raw).at == NOW


def test_a_clock_that_is_a_little_ahead_is_believed() -> None:
    assert read("2026-11-21T09:30:30Z x").at == NOW + timedelta(seconds=30)


def test_a_syslog_line_of_december_read_in_january_is_of_the_old_year() -> None:
    january = datetime(2027, 1, 1, 0, 5, tzinfo=UTC)
    line = parse("Dec 31 23:59:00 web-1 x", source="s", service="x", received=january)
    assert line.at == datetime(2026, 12, 31, 23, 59, tzinfo=UTC)


def test_a_time_without_a_zone_is_in_the_zone_that_was_given() -> None:
    line = parse("2026-11-21 10:00:00 x", source="s", service="x", received=NOW, zone=ZoneInfo("Europe/Berlin"))
    assert line.at == AT_NINE


def test_bad_bytes_and_nuls_leave_a_readable_line() -> None:
    assert read(b"caf\xe9 \x00\x00broke\r\n").text == "caf� broke"


def test_a_long_line_is_cut_and_says_so() -> None:
    text = read(b"x" * (RAW_LIMIT + 1)).text
    assert len(text) == TEXT_LIMIT
    assert text.endswith(CUT)


def test_fields_are_bounded_in_number_and_length() -> None:
    line = read(orjson.dumps({f"k{n}": "v" * 5000 for n in range(50)} | {"msg": "x"})[:RAW_LIMIT])
    assert len(line.fields) <= FIELDS
    line = read(orjson.dumps({"msg": "x", "k": "v" * 5000, **{f"k{n}": n for n in range(50)}}))
    assert len(line.fields) == FIELDS
    assert len(line.fields["k"]) == FIELD_LIMIT


@pytest.mark.parametrize("raw", ['{"a":', "[1,2]", "{}", '{"msg":null}', "=", "a=b", "<>", "<999>", "[", '{"log":{}}'])
def test_half_formats_are_plain_text_and_nothing_is_lost(raw: str) -> None:
    assert read(raw).text == raw


KEYS = st.sampled_from(["time", "ts", "level", "levelno", "msg", "trace", "log", "stream", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda value: st.lists(value, max_size=3)
)
LINES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=400),
    st.from_regex(r"(\{.*\}|\w+=.*|<\d+>.*|\d{4}-\d\d-\d\d.*|[A-Z][a-z]{2} +\d+ .*|E\d{4} .*)"),
    st.dictionaries(KEYS, VALUES).map(lambda values: orjson.dumps(values) if _small(values) else b"{}"),
)


def _small(values: object) -> bool:
    try:
        orjson.dumps(values)
    except orjson.JSONEncodeError:
        return False
    return True


@given(LINES)
def test_whatever_comes_is_a_bounded_line_and_never_an_error(raw: str | bytes) -> None:
    line = read(raw)
    assert line.level in LEVELS
    assert len(line.text) <= TEXT_LIMIT
    assert "\0" not in line.text
    assert line.at.tzinfo is not None
    assert line.at <= NOW + timedelta(minutes=1)
    orjson.dumps([line.text, line.trace_id, dict(line.fields)])  # what the store does with it
