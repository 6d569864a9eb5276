import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from alerts import channels
from alerts.channels import CHANNELS


def test_the_table_names_every_module_of_the_folder_and_no_other() -> None:
    folder = Path(channels.__file__).parent
    assert set(CHANNELS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert all(name == kind.name for name, kind in CHANNELS.items())


def test_the_default_rates() -> None:
    rates = {name: kind.per_second for name, kind in CHANNELS.items()}
    assert rates == {
        "slack": 1.0,
        "mail": 5.0,
        "apprise": 5.0,
        "alertmanager": 25.0,
        "jira": 5.0,
        "webhook": 25.0,
        "console": 1000.0,
    }


def test_the_table_loads_no_heavy_library_and_neither_does_making_a_channel() -> None:
    program = """
import sys
from alerts.channels import CHANNELS
given = {"slack": {"token": "xoxb-1", "channel": "#a"}, "webhook": {"url": "http://a"}, "console": {}}
given |= {"mail": {"host": "a", "from": "a@b.c"}, "apprise": {"url": "ntfys://topic"}}
given |= {"jira": {"url": "http://j", "token": "x", "project": "OPS"}}
given |= {"alertmanager": {"urls": ["http://am:9093"]}}
for name, options in given.items():
    CHANNELS[name].build(name, CHANNELS[name].options(**options))
heavy = {"slack_sdk", "aiohttp", "requests", "urllib3", "smtplib", "apprise"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        pytest.param("slack", {"token": "", "channel": "#a"}, "expected a bot token", id="an empty token"),
        pytest.param("slack", {"token": "xoxb-1\n", "channel": "#a"}, "expected a bot token", id="a newline in it"),
        pytest.param("slack", {"token": "xoxb-1", "channel": ""}, "at least 1", id="no channel"),
        pytest.param("slack", {"token": "xoxb-1", "channel": "<!here>"}, "pattern", id="a mention as channel"),
        pytest.param(
            "slack", {"token": "xoxb-1", "channel": "#a", "api_url": "slack.com"}, "https://slack", id="api_url"
        ),
        pytest.param(
            "slack", {"token": "xoxb-1", "channel": "#a", "timeout": 5}, "write 5s", id="a timeout without unit"
        ),
        pytest.param("webhook", {"url": "hooks.internal/s3cr3t"}, "https://hooks.internal/x", id="no scheme"),
        pytest.param("webhook", {"url": "ftp://hooks/s3cr3t"}, "https://hooks.internal/x", id="another scheme"),
        pytest.param("webhook", {"url": "http://h:99999/s3cr3t"}, "https://hooks.internal/x", id="no such port"),
        pytest.param("webhook", {"url": "http://h/s3cr3t\r\nX: y"}, "https://hooks.internal/x", id="a newline"),
        pytest.param("webhook", {"url": "http://h", "secret": ""}, "secret is empty", id="an empty secret"),
        pytest.param("webhook", {"url": "http://h", "headers": {"a b": "c"}}, "no name of a header", id="header name"),
        pytest.param("webhook", {"url": "http://h", "headers": {"a": "s3cr3t\n"}}, "can't hold", id="header value"),
        pytest.param("webhook", {"url": "http://h", "headers": {"Host": "x"}}, "by codeblue itself", id="our header"),
        pytest.param("webhook", {"url": "http://h", "timeout": "0s"}, "greater than", id="no time at all"),
        pytest.param("console", {"color": "blue"}, "'auto', 'always' or 'never'", id="no such choice"),
        pytest.param("console", {"colour": "auto"}, "Extra inputs", id="an unknown option"),
    ],
)
def test_bad_options_are_refused_without_showing_a_secret(kind: str, options: dict, expected: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CHANNELS[kind].options(**options)
    (error,) = refused.value.errors()
    assert expected in error["msg"]
    assert "s3cr3t" not in error["msg"]
