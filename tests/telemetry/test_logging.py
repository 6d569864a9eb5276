"""What the agent's own log promises: one line for one event, and no secret in it."""

import json
import logging
from collections.abc import Iterator
from html import escape
from io import StringIO
from urllib.parse import quote
from uuid import uuid4

import pytest
import structlog
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from agent.telemetry import logging as ours
from agent.telemetry.logging import configure, redact, register_secret
from agent.telemetry.redaction import Redactor


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The log is the process's own: other tests find it, and its secrets, as they were."""
    monkeypatch.setattr(ours, "_redactor", Redactor())
    root = logging.getLogger()
    handlers, level, settings_before = list(root.handlers), root.level, structlog.get_config()
    yield
    root.handlers, root.level = handlers, level
    structlog.configure(**settings_before)


def lines(stream: StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_with_its_time_level_and_trace() -> None:
    out = StringIO()
    configure("info", stream=out)
    structlog.get_logger().warning("check_slow", check="http", seconds=1.5, trace_id="ab" * 16)
    (line,) = lines(out)
    assert str(line.pop("time")).endswith("Z")
    assert line == {"event": "check_slow", "level": "warning", "check": "http", "seconds": 1.5, "trace_id": "ab" * 16}


def test_what_is_below_the_level_is_not_written() -> None:
    out = StringIO()
    configure("warning", stream=out)
    structlog.get_logger().info("quiet")
    structlog.get_logger().error("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_an_unknown_level_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown log level 'loud': expected one of debug, info, warning"):
        configure("loud")


def test_a_terminal_gets_readable_lines_in_colour() -> None:
    out = Terminal()
    configure(stream=out)
    structlog.get_logger().info("started", port=9797)
    assert "started" in out.getvalue()
    assert "\x1b[" in out.getvalue()


def test_on_a_terminal_the_keys_stand_as_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    configure(stream=out)
    structlog.get_logger().info("opened", service="web", check="http", text="refused", incident="web-1")
    assert out.getvalue().rstrip().endswith("service=web check=http text=refused incident=web-1")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    configure(stream=out)
    structlog.get_logger().info("started", port=9797)
    assert "port=9797" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def test_other_peoples_loggers_come_through_from_warning_up() -> None:
    out = StringIO()
    configure("info", stream=out)
    logging.getLogger("urllib3.pool").info("connection made")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request %s", "received")
    logging.getLogger("apscheduler").log(35, "own level")
    assert [(line["logger"], line["event"], line["level"]) for line in lines(out)] == [
        ("uvicorn.error", "Invalid HTTP request received", "warning"),
        ("apscheduler", "own level", "warning"),
    ]


def test_configuring_again_does_not_write_lines_twice() -> None:
    first, out = StringIO(), StringIO()
    configure(stream=first)
    configure(stream=out)
    logging.getLogger("x").warning("once")
    assert len(lines(out)) == 1
    assert first.getvalue() == ""


def test_an_exception_is_written_with_its_traceback_on_the_same_line() -> None:
    out = StringIO()
    configure(stream=out)
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    (line,) = lines(out)
    assert "RuntimeError: broken" in str(line["exception"])
    assert "test_logging.py" in str(line["exception"])


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("half \ud800 a pair", id="text that is no UTF-8"),
        pytest.param(2**80, id="a number beyond 64 bits"),
        pytest.param(float("nan"), id="not a number"),
        pytest.param({1: {2: (object(), b"\xff")}}, id="what JSON does not know"),
        pytest.param([[[[[[[[[["deep"]]]]]]]]]], id="nested without end"),
    ],
)
def test_any_value_gives_a_line_of_json(value: object) -> None:
    out = StringIO()
    configure(stream=out)
    structlog.get_logger().info("odd", value=value)
    assert lines(out)[0]["event"] == "odd"


def test_a_closed_stream_does_not_stop_the_agent() -> None:
    out = StringIO()
    configure(stream=out)
    out.close()
    structlog.get_logger().error("nobody listens")


@pytest.mark.parametrize("key", ["token", "api_key", "Authorization", "db_password", "client_secret", "Set-Cookie"])
def test_what_stands_under_a_secret_sounding_key_is_hidden(key: str) -> None:
    out = StringIO()
    configure(stream=out)
    structlog.get_logger().info("request", headers={key: "hunter2"}, **{key: "hunter2"})
    assert "hunter2" not in out.getvalue()
    assert lines(out)[0][key] == "***"


def test_a_key_that_only_says_whether_there_is_a_secret_is_left_alone() -> None:
    out = StringIO()
    configure(stream=out)
    structlog.get_logger().info("config", token=None, has_password=True)
    assert lines(out)[0]["has_password"] is True
    assert lines(out)[0]["token"] is None


class Client:
    def __init__(self, secret: str) -> None:
        self.secret = secret

    def __repr__(self) -> str:
        return f"<Client {self.secret}>"


def log_everywhere(secret: str, *, as_json: bool) -> str:
    out = StringIO()
    configure("debug", json=as_json, stream=out)
    log = structlog.get_logger()
    log.info(
        f"login with {secret} done", url=f"https://h/{secret}/x", nested={"a": [secret, {"b": (secret,)}], secret: 1}
    )
    log.warning(
        "odd",
        body=secret.encode("utf-8", "replace"),
        client=Client(secret),
        said=f"{[secret]}",
        error=ValueError(secret),
    )
    try:
        raise ConnectionError(f"POST https://hooks/{secret} failed")
    except ConnectionError:
        log.exception("failed")
    logging.getLogger("urllib3").warning("retrying %s", secret, exc_info=ValueError(secret))
    return out.getvalue()


SECRETS = st.text(st.characters(exclude_characters="*"), min_size=6, max_size=40).filter(lambda s: len(s.strip()) >= 4)


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "console"])
@given(secret=SECRETS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_registered_secret_never_appears_in_output(secret: str, as_json: bool) -> None:
    assume(secret not in log_everywhere("PLACE-HOLDER", as_json=as_json))
    assert register_secret(secret)
    written = log_everywhere(secret, as_json=as_json)
    assert secret not in written
    assert json.dumps(secret)[1:-1] not in written


def test_redact_hides_the_same_in_any_other_text() -> None:
    secret = f"xoxb/{uuid4()}&<x>"
    register_secret(secret)
    for form in (secret, escape(secret), quote(secret), quote(secret, safe="")):
        assert redact(f"a {form} b") == "a *** b"


@pytest.mark.parametrize("value", ["", "abc", "   a   "], ids=["empty", "three letters", "mostly blanks"])
def test_a_very_short_secret_is_not_hidden_because_it_would_blank_out_words(value: str) -> None:
    redactor = Redactor()
    assert redactor.register(value) is False
    assert redactor.text("abc   a   ") == "abc   a   "


def test_the_longer_of_two_overlapping_secrets_goes_first() -> None:
    redactor = Redactor()
    redactor.register("hunter")
    redactor.register("hunter2222")
    assert redactor.text("x hunter2222 y") == "x *** y"
