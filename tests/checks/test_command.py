"""Programs that are checks: real plugins, and scripts with bad manners."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext, Tools
from checks.command import COMMAND, CommandOptions
from checks.command_output import Datum, parse_data, parse_output, values_of
from tests.processes import eventually, marked, nothing_left, script

PLUGINS = Path("/usr/lib/nagios/plugins")
needs_plugins = pytest.mark.skipif(not PLUGINS.exists(), reason="needs Debian's monitoring-plugins-basic")


@pytest.fixture
def mark() -> Iterator[str]:
    text = f"mark-{uuid4().hex}"
    with nothing_left(text):
        yield text


async def run(*argv: str, timeout: float = 10, **options: Any) -> CheckResult:
    ctx = CheckContext("web", "plugin", timeout, cast(Tools, SimpleNamespace()))
    return await COMMAND.run(CommandOptions(argv=argv, **options), ctx)


# ------------------------------------------------------------------------------------------ what a plugin prints


@pytest.mark.parametrize(
    ("text", "datum"),
    [
        pytest.param("users=3", Datum(label="users", value=3), id="a plain number"),
        pytest.param(
            "a=12.5ms;1;5;0",
            Datum(label="a", value=0.0125, unit="ms", warn="1", crit="5", least="0"),
            id="milliseconds",
        ),
        pytest.param("t=250us", Datum(label="t", value=0.00025, unit="us"), id="microseconds"),
        pytest.param(
            "a=1.5s;;;0.0;9", Datum(label="a", value=1.5, unit="s", least="0.0", most="9"), id="empty thresholds"
        ),
        pytest.param(
            "a=50%;60;80;;", Datum(label="a", value=0.5, unit="%", warn="60", crit="80"), id="percent is a ratio"
        ),
        pytest.param("/=2KB", Datum(label="/", value=2048, unit="KB"), id="a KB of the plugins is 1024 bytes"),
        pytest.param("m=1MB", Datum(label="m", value=1024**2, unit="MB"), id="MB"),
        pytest.param("m=1GiB", Datum(label="m", value=1024**3, unit="GiB"), id="GiB"),
        pytest.param("m=1TB", Datum(label="m", value=1024**4, unit="TB"), id="TB"),
        pytest.param("in=17c", Datum(label="in", value=17, unit="c"), id="a counter"),
        pytest.param("temp=-4.5", Datum(label="temp", value=-4.5), id="negative"),
        pytest.param("x=1e-3s", Datum(label="x", value=0.001, unit="s"), id="exponent"),
        pytest.param("x=1,5s", Datum(label="x", value=1.5, unit="s"), id="a decimal comma of a careless locale"),
        pytest.param("x=U;5;10", Datum(label="x", value=None, warn="5", crit="10"), id="U: the plugin could not tell"),
        pytest.param("'free space'=5B", Datum(label="free space", value=5, unit="B"), id="a blank in a quoted label"),
        pytest.param("'a=b'=5", Datum(label="a=b", value=5), id="an equals sign in a quoted label"),
        pytest.param("'it''s'=1", Datum(label="it's", value=1), id="a doubled quote in a quoted label"),
        pytest.param("a=1;@1:2;~:3", Datum(label="a", value=1, warn="@1:2", crit="~:3"), id="ranges"),
        pytest.param("a=1e999", Datum(label="a", value=None), id="no finite number"),
        pytest.param("power=3W", Datum(label="power", value=3, unit="W"), id="an unknown unit stays as it is"),
    ],
)
def test_a_performance_datum_is_read_completely_and_in_base_units(text: str, datum: Datum) -> None:
    assert list(parse_data(text)) == [datum]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param("a=1 b=2;;;; 'c d'=3", ["a", "b", "c d"], id="blanks separate"),
        pytest.param("a=1 nonsense b=2", ["a", "b"], id="what is no datum is skipped"),
        pytest.param("a=x b=1", ["b"], id="no number"),
        pytest.param("'open=1 b=2", ["b"], id="a quote that never closes"),
        pytest.param("=1 b=2", ["b"], id="no label"),
        pytest.param("a=1;2;3;4;5;6;7;8 b=2", ["b"], id="too many thresholds"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_malformed_data_cost_only_themselves(text: str, labels: list[str]) -> None:
    assert [datum.label for datum in parse_data(text)] == labels


def test_long_text_and_more_performance_data_follow_the_first_line() -> None:
    text = (
        "DISK OK - free: / 3326 MB | /=2643MB;5948\n/ 15272 MB (77%)\n/boot 68 MB | /boot=68MB;88\n/home=69357MB;25\n"
    )
    output = parse_output(text)
    assert output.summary == "DISK OK - free: / 3326 MB"
    assert output.details == "/ 15272 MB (77%)\n/boot 68 MB"
    assert [datum.label for datum in output.data] == ["/", "/boot", "/home"]


def test_colours_of_a_plugin_are_left_out_whole() -> None:
    output = parse_output("\x1b[31mCRITICAL\x1b[0m - \x1b]0;title\x07disk\r\nmore\x08")
    assert (output.summary, output.details) == ("CRITICAL - disk", "more")


def test_at_most_64_values_are_kept_with_labels_that_are_safe_and_unique() -> None:
    assert len(values_of(parse_data(" ".join(f"v{number}=1" for number in range(100))))) == 64
    values = values_of([Datum(label="a b", value=1), Datum(label="a;b", value=2), Datum(label="x" * 500, value=3)])
    assert dict(values) == {"a_b": 1, "a_b_2": 2, "x" * 64: 3}
    assert not values_of([Datum(label="gone", value=None)])


@given(st.text())
def test_any_text_at_all_is_read_without_an_error(text: str) -> None:
    output = parse_output(text)
    assert "\n" not in output.summary
    assert len(values_of(output.data)) <= 64


# ------------------------------------------------------------------------------------------ real plugins


@needs_plugins
@pytest.mark.parametrize(
    ("code", "verdict", "reason"),
    [
        ("0", Verdict.PASS, "ok"),
        ("1", Verdict.WARN, "warning"),
        ("2", Verdict.FAIL, "critical"),
        ("3", Verdict.UNKNOWN, "unknown"),
    ],
)
async def test_a_plugins_exit_code_is_its_verdict(code: str, verdict: Verdict, reason: str) -> None:
    result = await run(str(PLUGINS / "check_dummy"), code, "as you said")
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.summary.endswith("as you said")


@needs_plugins
async def test_check_disk_gives_its_figures_in_bytes() -> None:
    result = await run(str(PLUGINS / "check_disk"), "-w", "1%", "-c", "0%", "-p", "/")
    assert (result.verdict, result.summary[:7]) == (Verdict.PASS, "DISK OK")
    assert result.values["/"] > 1_000_000


@needs_plugins
async def test_check_load_gives_three_figures() -> None:
    result = await run(str(PLUGINS / "check_load"), "-w", "1000", "-c", "2000")
    assert result.verdict is Verdict.PASS
    assert set(result.values) == {"load1", "load5", "load15"}


@needs_plugins
async def test_check_tcp_on_a_closed_port_fails() -> None:
    result = await run(str(PLUGINS / "check_tcp"), "-H", "127.0.0.1", "-p", "1")
    assert (result.verdict, result.reason) == (Verdict.FAIL, "critical")
    assert "refused" in result.summary


# ------------------------------------------------------------------------------------------ bad manners


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        pytest.param("import sys; sys.exit(4)", "exit_code", id="a code beyond 3"),
        pytest.param("import sys; sys.exit(127)", "not_run", id="127: a shell script that missed its program"),
        pytest.param("import os; os.kill(os.getpid(), 9)", "signal", id="killed by a signal"),
    ],
)
async def test_a_program_that_breaks_says_nothing_about_the_target(code: str, reason: str) -> None:
    result = await run(*script(code))
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, reason)


async def test_a_missing_plugin_says_nothing_about_the_target() -> None:
    result = await run("/nowhere/check_it")
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "missing")
    assert "/nowhere/check_it" in result.summary


@pytest.mark.parametrize(("timeout_is", "verdict"), [("fail", Verdict.FAIL), ("unknown", Verdict.UNKNOWN)])
async def test_a_plugin_that_does_not_end_is_ended_within_the_timeout(
    timeout_is: str, verdict: Verdict, mark: str
) -> None:
    deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    spawns = f"import subprocess,sys; subprocess.run([sys.executable, '-I', '-S', '-c', {deaf!r}])"
    result = await run(*script(spawns), timeout=1.0, timeout_is=timeout_is, env={"M": mark})
    assert (result.verdict, result.reason) == (verdict, "timeout")
    assert result.took.total_seconds() < 1.1
    await eventually(lambda: not marked(mark))


async def test_a_plugin_that_leaves_a_child_on_its_output_is_read_at_once(mark: str) -> None:
    code = "import os,time\nif os.fork() == 0: time.sleep(60)\nprint('OK - parent is done | left=1')"
    result = await run(*script(code), env={"M": mark})
    assert (result.verdict, result.summary, dict(result.values)) == (Verdict.PASS, "OK - parent is done", {"left": 1})
    assert result.took.total_seconds() < 5
    await eventually(lambda: not marked(mark))


async def test_a_megabyte_of_output_is_bounded() -> None:
    result = await run(*script("print('OK | a=1'); print('x' * 1_048_576)"))
    assert (result.verdict, result.summary, dict(result.values)) == (Verdict.PASS, "OK", {"a": 1})
    assert len(result.evidence["output"]) == 4096


async def test_a_summary_of_a_megabyte_is_cut() -> None:
    result = await run(*script("print('x' * 1_048_576)"))
    assert len(result.summary) == 500


async def test_no_output_at_all_is_said() -> None:
    result = await run("/bin/true")
    assert (result.verdict, result.summary) == (Verdict.PASS, "true printed nothing")


async def test_what_is_only_on_stderr_is_shown() -> None:
    result = await run(*script("import sys; print('no route', file=sys.stderr); sys.exit(2)"))
    assert (result.verdict, result.summary) == (Verdict.FAIL, "no route")


async def test_binary_garbage_is_no_error_and_leaves_no_control_characters() -> None:
    result = await run(*script("import sys; sys.stdout.buffer.write(bytes(range(256)) * 10)"))
    assert result.verdict is Verdict.PASS
    assert not any(ord(letter) < 32 for letter in result.summary)


async def test_environment_and_working_directory_are_as_configured(tmp_path: Path) -> None:
    code = "import os; print(os.environ['REALM'], os.getcwd())"
    result = await run(*script(code), env={"REALM": "eu"}, cwd=str(tmp_path))
    assert result.summary == f"eu {tmp_path}"


@pytest.mark.parametrize(
    "argv",
    [
        pytest.param(["check_disk"], id="a relative path"),
        pytest.param([], id="no program"),
        pytest.param(["/bin/echo", "a\0b"], id="NUL"),
        pytest.param("/bin/echo hello", id="a string, as for a shell"),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused(argv: object) -> None:
    with pytest.raises(ValidationError):
        CommandOptions.model_validate({"argv": argv})
