import os
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError, Cron
from agent.core.policy import CheckPolicy, RestartPolicy
from agent.ports import LogSpec, ProcessSpec
from tests.config.reading import complaints, read
from tests.config.small_tables import TABLES, HeartbeatOptions, HttpOptions, TcpOptions, WebhookOptions

GOOD = Path(__file__).parent / "good"
WHOLE = load(GOOD / "whole.yaml", TABLES, {"WORKER_TOKEN": "knock-knock", "SLACK_BOT_TOKEN": "xoxb-1"})


def test_a_check_in_short_form_has_the_options_and_the_defaults() -> None:
    [http, port, worker] = WHOLE.services["photos-api"].checks
    assert (http.service, http.name, http.type.name) == ("photos-api", "http", "http")
    assert http.options == HttpOptions(url="http://127.0.0.1:8080/health")
    assert (http.every, http.cron, http.timeout, http.token) == (timedelta(seconds=10), None, 3.0, None)
    assert http.policy == CheckPolicy(misses=2, recover=2, retry=timedelta(seconds=2))
    assert (port.name, port.options, port.every) == (
        "port",
        TcpOptions(address="127.0.0.1:8080"),
        timedelta(seconds=5),
    )
    assert worker.options == HeartbeatOptions(every=timedelta(minutes=1), grace=timedelta(seconds=30))
    assert worker.token
    assert worker.token.get_secret_value() == "knock-knock"


def test_a_check_in_long_form_overrides_the_defaults() -> None:
    [http] = WHOLE.services["hello"].checks
    assert isinstance(http.options, HttpOptions)
    assert http.options.expect.status == [200, 204]
    assert http.policy == CheckPolicy(misses=3, recover=2, retry=timedelta(0))


def test_a_cron_check_has_no_interval_and_may_take_longer_than_one() -> None:
    [nightly] = WHOLE.services["nightly"].checks
    assert (nightly.every, nightly.timeout) == (None, 300.0)
    assert nightly.cron == Cron(expression="0 2 * * *", zone="Europe/Berlin")


def test_a_restart_has_its_limits_and_its_action() -> None:
    service = WHOLE.services["photos-api"]
    assert service.policy.restart == RestartPolicy(
        action="systemd",
        at_most=3,
        per=timedelta(hours=1),
        backoff=timedelta(seconds=10),
        verify=timedelta(seconds=30),
    )
    assert len(service.actions) == 1
    assert service.actions[0].type is TABLES.actions["systemd"]
    assert service.actions[0].options.model_dump() == {"unit": "photos-api.service"}


def test_a_service_knows_where_its_pages_go_when_a_channel_does_not_take_them() -> None:
    assert WHOLE.services["photos-api"].policy.fallback == {"oncall": ("ops-hook",), "ops-hook": ("terminal",)}
    assert WHOLE.services["host"].policy.fallback == {}


def test_a_secret_file_is_read_from_beside_the_configuration_and_stripped() -> None:
    options = WHOLE.channels["ops-hook"].options
    assert isinstance(options, WebhookOptions)
    assert options.secret
    assert options.secret.get_secret_value() == "hush hush"


def test_every_file_that_was_read_is_there_to_be_watched() -> None:
    assert WHOLE.files == (GOOD / "whole.yaml", GOOD / "hook-secret.txt")


def test_paths_start_from_the_folder_of_the_configuration() -> None:
    assert WHOLE.agent.store == f"sqlite:///{GOOD}/codeblue.db"
    assert WHOLE.processes["hello"] == ProcessSpec(
        name="hello", command=("python", "-m", "examples.hello", "1"), cwd=str(GOOD), env={"PORT": "8321"}
    )
    assert WHOLE.logs == (
        LogSpec(service="photos-api", files=("/var/log/nginx/*.log", f"{GOOD}/app/*.log")),
        LogSpec(service="photos-api", units=("photos-api.service",)),
    )


@pytest.mark.parametrize(
    ("written", "resolved"),
    [
        pytest.param("sqlite:////var/lib/codeblue.db", "sqlite:////var/lib/codeblue.db", id="an absolute path stays"),
        pytest.param("sqlite://", "sqlite://", id="memory stays"),
        pytest.param("sqlite:///:memory:", "sqlite:///:memory:", id="memory by its other name stays"),
        pytest.param("sqlite:///a.db?timeout=5", "sqlite:///{here}/a.db?timeout=5", id="what follows ? stays"),
        pytest.param("sqlite:///state/a.db", "sqlite:///{here}/state/a.db", id="a folder below is made absolute"),
    ],
)
def test_the_database_is_absolute(written: str, resolved: str, tmp_path: Path) -> None:
    config = read(tmp_path, f"agent: {{store: '{written}'}}\nservices: [{{name: a, checks: [host]}}]")
    assert config.agent.store == resolved.format(here=tmp_path)


def test_the_built_in_defaults_are_those_of_the_documentation(tmp_path: Path) -> None:
    config = read(tmp_path, "services: [{name: a, checks: [host], restart: {systemd: a.service}}]")
    [service] = config.services.values()
    [check] = service.checks
    assert (check.every, check.timeout) == (timedelta(seconds=10), 3.0)
    assert check.policy == CheckPolicy()
    assert service.policy.restart == RestartPolicy(action="systemd")
    policy = service.policy
    assert (policy.remind, policy.page_deadline) == (timedelta(hours=4), timedelta(minutes=1))
    assert policy.unknown_after == timedelta(minutes=5)
    assert config.agent.listen == "127.0.0.1:9797"
    assert config.agent.name


def test_what_the_defaults_block_says_holds_where_nothing_else_is_said(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
defaults:
  {every: 1m, timeout: 10s, misses: 5, retry: 0s, recover: 1, page: [a], notify: b, remind: 1h, page_deadline: 2m,
   unknown_after: 0s, restart: {at_most: 1 per day, verify: 2m, backoff: 0s}}
services:
  - {name: plain, checks: [host], restart: {systemd: a.service}}
  - {name: own, checks: [{host: {}, misses: 1}], page: [], notify: [a], remind: 0s, restart: {systemd: b, verify: 5s}}
channels: {a: {type: console}, b: {type: console}}
""",
    )
    plain, own = config.services["plain"], config.services["own"]
    assert (plain.checks[0].every, plain.checks[0].timeout) == (timedelta(minutes=1), 10.0)
    assert plain.policy.checks == {"host": CheckPolicy(misses=5, recover=1, retry=timedelta(0))}
    assert (plain.policy.page, plain.policy.notify) == (("a",), ("b",))
    assert (plain.policy.remind, plain.policy.page_deadline) == (timedelta(hours=1), timedelta(minutes=2))
    assert plain.policy.unknown_after == timedelta(0)
    assert plain.policy.restart == RestartPolicy(
        action="systemd", at_most=1, per=timedelta(days=1), verify=timedelta(minutes=2), backoff=timedelta(0)
    )
    assert own.policy.checks["host"].misses == 1
    assert (own.policy.page, own.policy.notify, own.policy.remind) == ((), ("a",), timedelta(0))
    assert own.policy.restart
    assert (own.policy.restart.at_most, own.policy.restart.verify) == (1, timedelta(seconds=5))


def test_a_cadence_shorter_than_the_default_timeout_shortens_it(tmp_path: Path) -> None:
    config = read(tmp_path, "services: [{name: a, checks: [{host: {}, every: 1s}]}]")
    assert config.services["a"].checks[0].timeout == 1.0


def test_included_files_are_merged_and_their_paths_start_from_their_own_folder(tmp_path: Path) -> None:
    part = tmp_path / "conf.d" / "web.yaml"
    part.parent.mkdir()
    part.write_text(
        """
services: [{name: web, checks: [host], page: hook}]
channels: {hook: {type: webhook, url: "https://hooks.internal/", secret_file: key}}
processes: {web: {command: [/bin/true], cwd: work}}
logs: [{files: web.log, service: db}]
"""
    )
    (part.parent / "key").write_text("the-key\n")
    (part.parent / ".hidden.yaml").write_text("not: read")
    config = read(tmp_path, "include: [conf.d]\nservices: [{name: db, checks: [host]}]")
    assert list(config.services) == ["db", "web"]
    assert config.processes["web"].cwd == str(part.parent / "work")
    assert config.logs == (LogSpec(service="db", files=(str(part.parent / "web.log"),)),)
    assert config.channels["hook"].options.model_dump()["secret"].get_secret_value() == "the-key"
    assert config.files == (tmp_path / "config.yaml", part.parent, part, part.parent / "key")


def test_a_secret_may_be_given_in_a_file_wherever_a_secret_is_an_option(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("first-token\nsecond-token\n")
    (tmp_path / "one").write_text(" only-token \n")
    config = read(
        tmp_path,
        """
agent: {listen: "0.0.0.0:9797", tokens_file: tokens}
services:
  - name: a
    checks:
      - {heartbeat: {every: 1m, grace: 1m}, token_file: one}
      - http: {url: "http://127.0.0.1/", login: {user: me, password_file: one}}
channels: {hook: {type: webhook, url: "https://hooks.internal/", keys_file: tokens}}
""",
    )
    beat, http = config.services["a"].checks
    assert [token.get_secret_value() for token in config.agent.tokens] == ["first-token", "second-token"]
    assert beat.token
    assert beat.token.get_secret_value() == "only-token"
    assert isinstance(http.options, HttpOptions)
    assert http.options.login
    assert http.options.login.password.get_secret_value() == "only-token"
    keys = config.channels["hook"].options.model_dump()["keys"]
    assert [key.get_secret_value() for key in keys] == ["first-token", "second-token"]


def test_no_secret_shows_when_a_configuration_is_printed() -> None:
    assert "knock-knock" not in repr(WHOLE)
    assert "xoxb-1" not in repr(WHOLE)
    assert "hush" not in repr(WHOLE)


@pytest.mark.parametrize(
    ("listen", "fine"),
    [
        pytest.param("127.0.0.1:0", True, id="loopback, any free port"),
        pytest.param("127.8.9.10:9797", True, id="all of 127.0.0.0/8 is loopback"),
        pytest.param("[::1]:9797", True, id="loopback of IPv6"),
        pytest.param("localhost:9797", True, id="loopback by name"),
        pytest.param("0.0.0.0:9797", False, id="every interface"),
        pytest.param("[::]:9797", False, id="every interface, IPv6"),
        pytest.param("192.0.2.1:9797", False, id="an address that others reach"),
        pytest.param("web-1.internal:9797", False, id="a name of which nothing is known"),
    ],
)
def test_a_public_bind_needs_tokens(listen: str, fine: bool, tmp_path: Path) -> None:
    rest = "services: [{name: a, checks: [host]}]"
    found = complaints(tmp_path, f'agent: {{listen: "{listen}"}}\n{rest}')
    assert found == (
        [] if fine else [f"agent.listen: {listen} can be reached by others: set agent.tokens, or listen on 127.0.0.1"]
    )
    assert not complaints(tmp_path, f'agent: {{listen: "{listen}", tokens: [a-long-token]}}\n{rest}')


def test_the_environment_of_the_process_is_used_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEBLUE_TEST_NAME", "from-the-environment")
    path = tmp_path / "config.yaml"
    path.write_text("agent: {name: '${CODEBLUE_TEST_NAME}'}\nservices: [{name: a, checks: [host]}]")
    assert load(path, TABLES).agent.name == os.environ["CODEBLUE_TEST_NAME"]


def test_services_that_say_the_same_share_what_they_say(tmp_path: Path) -> None:
    text = "channels: {a: {type: console}}\nservices:\n"
    text += "".join(f"  - {{name: s{n}, checks: [{{host: {{}}, misses: 9999}}], page: [a]}}\n" for n in range(3))
    first, *others = read(tmp_path, text).services.values()
    for other in others:
        assert other.policy.checks is first.policy.checks
        assert other.policy.page is first.policy.page
        assert other.checks[0].policy is first.checks[0].policy
        assert other.checks[0].every is first.checks[0].every


LADDER = """
services:
  - name: photos
    checks: [tcp: "127.0.0.1:1"]
    group: web
    restart:
      steps:
        - {systemd: photos.service, verify: 5s}
        - {command: [/bin/true]}
      at_most: 4 per 2h
      mode: shadow
      min_success: 0.25
"""


def test_a_ladder_has_its_steps_in_order_each_with_its_window(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(LADDER)
    service = load(file, TABLES).services["photos"]
    restart = service.policy.restart
    assert restart is not None
    assert [(step.action, step.verify) for step in restart.ladder] == [
        ("systemd", timedelta(seconds=5)),
        ("command", timedelta(seconds=30)),
    ]
    assert [action.type.name for action in service.actions] == ["systemd", "command"]
    assert (restart.at_most, restart.per, restart.mode, restart.min_success) == (4, timedelta(hours=2), "shadow", 0.25)
    assert service.policy.group == "web"


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        pytest.param("[]", "expected a list of two steps or more", id="no step"),
        pytest.param("[{systemd: a.service}]", "expected a list of two steps or more", id="one step is no ladder"),
        pytest.param("[{systemd: a.service}, {sistemd: b.service}]", "did you mean", id="a step of an unknown type"),
        pytest.param("[{systemd: a.service}, {systemd: b.service, verifi: 3s}]", "verifi", id="an unknown key"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_a_located_problem(tmp_path: Path, steps: str, problem: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f'services: [{{name: a, checks: [tcp: "127.0.0.1:1"], restart: {{steps: {steps}}}}}]')
    with pytest.raises(ConfigError) as error:
        load(file, TABLES)
    assert problem in str(error.value)
    assert "services.a.restart.steps" in str(error.value)
