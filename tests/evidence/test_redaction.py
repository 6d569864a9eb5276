"""No secret of a command line goes into a page."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.evidence.redaction import redact_arguments, redact_line

SECRET = "hunter2Xy9"


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["app", "--password", SECRET], id="the next argument"),
        pytest.param(["app", f"--password={SECRET}"], id="after ="),
        pytest.param(["app", "--db-password", SECRET], id="a longer name"),
        pytest.param(["app", "--API_KEY", SECRET], id="in capitals"),
        pytest.param(["app", "-token", SECRET], id="one dash, as in Go"),
        pytest.param(["app", "--slack-token", f"-{SECRET}"], id="a value that begins with a dash"),
        pytest.param(["app", f"DB_PASSWD={SECRET}"], id="a variable"),
        pytest.param(["env", f"SECRET={SECRET}", "app"], id="given through env"),
        pytest.param(["java", f"-Djavax.net.ssl.keyStorePassword={SECRET}"], id="a Java property"),
        pytest.param(["app", f"postgres://photos:{SECRET}@db/photos"], id="a URL's password"),
        pytest.param(["app", f"redis://:{SECRET}@cache"], id="a URL's password without a name"),
        pytest.param(["app", f"https://x.test/?page=1&token={SECRET}&z=2"], id="a query"),
        pytest.param(["app", f"host=db password={SECRET} dbname=photos"], id="a libpq string"),
        pytest.param(["app", f'{{"password": "{SECRET}"}}'], id="JSON"),
        pytest.param(["curl", "-H", f"Authorization: Bearer {SECRET}", "u"], id="a header"),
        pytest.param(["curl", "-H", f"X-Api-Key: {SECRET}", "u"], id="another header"),
        pytest.param(["/usr/bin/curl", "-u", f"me:{SECRET}", "u"], id="curl -u"),
        pytest.param(["mysql", f"-p{SECRET}", "photos"], id="mysql -p"),
        pytest.param(["sshpass", "-p", SECRET, "ssh", "h"], id="sshpass -p"),
        pytest.param(["redis-cli", "-a", SECRET], id="redis-cli -a"),
        pytest.param(["app", f"xoxb-{SECRET}-abcdef"], id="a Slack token anywhere"),
        pytest.param(["app", f"AccountName=a;AccountKey={SECRET}=="], id="an Azure connection string"),
    ],
)
def test_a_secret_is_hidden_whatever_way_it_is_given(arguments: list[str]) -> None:
    shown = redact_arguments(arguments)
    assert SECRET not in " ".join(shown)
    assert "***" in " ".join(shown)
    assert shown[0] == arguments[0]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["nginx", "-g", "daemon off;"], id="nginx"),
        pytest.param(["python", "app.py", "--port", "80", "--config=/etc/photos.yaml"], id="plain options"),
        pytest.param(["app", "-p", "8080"], id="-p is a port elsewhere"),
        pytest.param(["java", "-Xmx512m", "-jar", "/srv/photos.jar"], id="java"),
        pytest.param(["app", "https://photos.test:8443/path?page=2"], id="a URL without a password"),
        pytest.param(["app", "--monkey=1"], id="a key inside a word"),
    ],
)
def test_what_is_no_secret_is_shown(arguments: list[str]) -> None:
    assert redact_arguments(arguments) == arguments


def test_an_option_without_a_value_hides_no_other_option() -> None:
    assert redact_arguments(["app", "--no-password", "--port", "80"]) == ["app", "--no-password", "--port", "80"]


def test_a_joined_line_is_redacted_as_its_arguments_are() -> None:
    assert redact_line(f"Process 7: app --token {SECRET} run") == "Process 7: app --token *** run"


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_arguments_stay_as_many(arguments: list[str]) -> None:
    assert len(redact_arguments(arguments)) == len(arguments)
