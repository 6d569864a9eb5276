"""From a configuration to what the runtime holds."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from agent.assembly import alarm_policy, assemble, beat_tokens, host_and_port, log_path, owners, secrets_of
from agent.config.load import load
from agent.config.model import Config
from agent.core.state import Health, ServiceState
from agent.ports import Stored
from agent.tables import TABLES

CONFIG: dict[str, Any] = {
    "agent": {
        "name": "test",
        "listen": "127.0.0.1:9797",
        "store": "sqlite:///state.db",
        "tokens": ["agent-token-1"],
        "traces": {"endpoint": "http://127.0.0.1:4318", "headers": {"X-Key": "trace-header-2"}},
    },
    "services": [
        {"name": "db", "checks": [{"tcp": "127.0.0.1:5432"}]},
        {
            "name": "api",
            "checks": [
                {"http": {"url": "http://192.0.2.7/", "headers": {"X-Api": "http-header-3"}}, "every": "10s"},
                {"heartbeat": {"every": "1m"}, "name": "worker", "token": "beat-token-4"},
                {"file": "/etc/hostname", "name": "nightly", "cron": "0 3 * * 0", "zone": "Europe/Berlin"},
            ],
            "depends_on": ["db"],
            "restart": {"process": "api-server"},
            "page": ["hook"],
        },
        {"name": "web", "checks": [{"file": "/etc/hostname"}], "depends_on": ["api"]},
    ],
    "processes": {"api-server": {"command": ["/bin/true"]}, "alone": {"command": ["/bin/true"]}},
    "channels": {
        "hook": {"type": "webhook", "url": "https://hooks.internal/url-secret-5", "secret": "hook-secret-6"},
    },
}
SECRETS = {
    "agent-token-1",
    "trace-header-2",
    "http-header-3",
    "beat-token-4",
    "https://hooks.internal/url-secret-5",
    "hook-secret-6",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return load(path, TABLES)


def test_every_check_becomes_a_probe_with_what_config_says_of_it(config: Config) -> None:
    table = assemble(config, {}, {})
    probes = {probe.key: probe for watched in table.values() for probe in watched.probes.values()}
    assert set(probes) == {"db/tcp", "api/http", "api/worker", "api/nightly", "web/file"}
    assert probes["api/http"].every is not None
    assert probes["api/http"].every.total_seconds() == 10
    assert probes["api/http"].host == "192.0.2.7"
    assert (probes["api/nightly"].every, probes["api/nightly"].cron) == (None, ("0 3 * * 0", "Europe/Berlin"))
    assert all(probe.row is table[probe.service].row.checks[probe.name] for probe in probes.values())


def test_dependencies_reach_near_and_far(config: Config) -> None:
    table = assemble(config, {}, {})
    assert table["web"].upstream == ("api", "db")
    assert table["db"].downstream == ("api", "web")
    assert table["web"].row.depends_on == ("api",)


def test_a_service_is_remote_when_any_check_of_it_needs_the_network(config: Config) -> None:
    table = assemble(config, {}, {})
    assert {name: watched.remote for name, watched in table.items()} == {"db": False, "api": True, "web": False}


def test_what_was_stored_before_goes_on_and_what_was_not_begins(config: Config) -> None:
    stored = {"api": Stored(version=9, state=ServiceState(service="api", health=Health.DOWN))}
    table = assemble(config, stored, {})
    assert (table["api"].version, table["api"].row.health) == (9, Health.DOWN)
    assert (table["web"].version, table["web"].row.health) == (0, Health.PENDING)


def test_beats_are_expected_of_pushed_checks_alone_with_their_tokens(config: Config) -> None:
    assert beat_tokens(config) == {("api", "worker"): "beat-token-4"}


def test_the_output_of_a_process_belongs_to_the_service_that_restarts_it(config: Config) -> None:
    assert owners(config) == {"api-server": "api", "alone": "alone"}


def test_the_log_store_stands_beside_the_state(config: Config, tmp_path: Path) -> None:
    assert log_path(config) == tmp_path / "state-logs.db"


@pytest.mark.parametrize(
    ("listen", "parts"), [("127.0.0.1:9797", ("127.0.0.1", 9797)), ("[::1]:80", ("::1", 80)), (":0", ("", 0))]
)
def test_an_address_has_two_parts(listen: str, parts: tuple[str, int]) -> None:
    assert host_and_port(listen) == parts


class TestPromise10EverySecretIsKnown:
    def test_wherever_it_stands_in_the_configuration_it_is_found(self, config: Config) -> None:
        found = set(secrets_of(config))
        assert found >= SECRETS, f"not found: {SECRETS - found}"

    def test_none_is_in_what_a_configuration_says_of_itself(self, config: Config) -> None:
        text = repr(config)
        assert [secret for secret in SECRETS if secret in text] == []

    def test_mappings_lists_and_tuples_are_looked_into(self) -> None:
        one, two, three = SecretStr("one"), SecretStr("two"), SecretStr("three")
        assert list(secrets_of({"a": [one, {"b": (two,)}], "c": three, "d": "plain"})) == ["one", "two", "three"]


def alarmed(folder: Path, channel: str, broken: set[str], **changed: Any) -> tuple[tuple[str, ...], str]:
    """Which channels are told, and by which escalation policy."""
    config = {
        "services": [{"name": "web", "checks": [{"file": "/etc/hostname"}], "page": ["oncall"]}],
        "channels": {
            "oncall": {"type": "console", "fallback": ["mail"]},
            "mail": {"type": "console", "fallback": ["sms"]},
            "sms": {"type": "console"},
        },
        "escalation": {"default": {"steps": [{"notify": ["channel:sms"]}]}},
        **changed,
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    found = alarm_policy(load(path, TABLES, {}), channel, broken)
    assert not broken & {name for others in found.fallback.values() for name in others}
    return found.page, found.escalation.name if found.escalation else ""


@pytest.mark.parametrize(
    ("channel", "broken", "told"),
    [
        pytest.param("oncall", {"oncall"}, ("mail",), id="its fallback"),
        pytest.param("oncall", {"oncall", "mail"}, ("sms",), id="the fallback of a fallback that is broken too"),
        pytest.param("sms", {"sms"}, ("oncall",), id="without a fallback those that services are paged by"),
        pytest.param("sms/alice", {"mail"}, ("oncall",), id="an address"),
    ],
)
def test_who_is_told_of_a_channel_that_does_not_work(
    tmp_path: Path, channel: str, broken: set[str], told: tuple[str, ...]
) -> None:
    assert alarmed(tmp_path, channel, broken) == (told, "")


def test_config_may_say_who_is_told_of_it(tmp_path: Path) -> None:
    assert alarmed(tmp_path, "oncall", {"oncall"}, agent={"page": ["sms"]}) == (("sms",), "")
    assert alarmed(tmp_path, "sms", {"sms"}, agent={"page": ["sms"]}) == (("oncall",), "")


def test_where_no_channel_is_left_the_default_escalation_is_tried(tmp_path: Path) -> None:
    assert alarmed(tmp_path, "oncall", {"oncall", "mail", "sms"}) == ((), "default")
