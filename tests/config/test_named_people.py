"""People whom the options of a channel name are people of the configuration."""

from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError
from agent.tables import TABLES

CONFIG = """\
agent: {name: test}
services: [{name: web, checks: [{file: /etc/hostname}], page: [oncall]}]
people: {alice: {contacts: {oncall: U0ALICE}}}
channels:
  oncall:
    type: slack
    token: xoxb-1
    channel: C0000000001
    may: {restart: [WHO], approve: U0BOB, ack: [everyone, "@sre", S0000SRE]}
"""


def read(folder: Path, who: str) -> None:
    path = folder / "config.yaml"
    path.write_text(CONFIG.replace("WHO", who))
    load(path, TABLES)


@pytest.mark.parametrize("who", ["alice", "U0BOB", "'@sre'", "everyone"])
def test_who_is_known_may_be_named(tmp_path: Path, who: str) -> None:
    read(tmp_path, who)


@pytest.mark.parametrize(
    ("who", "says"),
    [
        pytest.param(
            "alcie", r":9: channels.oncall.may.restart: there is no person 'alcie': did you mean 'alice'", id="typo"
        ),
        pytest.param("<!channel>", "expected user ids", id="no name at all"),
        pytest.param("'two words'", "expected user ids", id="a blank"),
    ],
)
def test_who_is_not_is_told_with_the_place(tmp_path: Path, who: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        read(tmp_path, who)
