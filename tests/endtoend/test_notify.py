"""`codeblue notify` with the real agent: a terminal, a webhook, a mail server, Slack."""

import json
from email.message import EmailMessage

import pytest

from tests.endtoend.agent import Agent, cli
from tests.endtoend.around import Receiver, Service, Slack
from tests.endtoend.conftest import MakeAgent
from tests.smtp_server import MailBox, smtp_server


def config(web: Service, **channels: object) -> dict[str, object]:
    return {
        "people": {
            "alice": {"contacts": {"mail": "alice@example.com"} if "mail" in channels else {}},
            "bob": {"contacts": {}},
        },
        "channels": channels,
        "services": [{"name": "web", "checks": [{"http": web.url}], "page": [*channels]}],
    }


def mail(box: MailBox) -> dict[str, object]:
    return {
        "type": "mail",
        "host": "127.0.0.1",
        "port": box.port,
        "security": "none",
        "user": box.user,
        "password": box.password,
        "from": "codeblue@example.com",
        "to": ["oncall@example.com"],
    }


def text_of(message: EmailMessage) -> str:
    return str(message.get_content())


def nothing_is_left(agent: Agent) -> None:
    """Neither a dead letter nor an incident nor a message that waits."""
    assert agent.get("/api/dead-letters") == []
    assert agent.get("/api/incidents")["open"] == []
    assert [one["waiting"] for one in agent.get("/api/notify")] == [0] * len(agent.get("/api/notify"))


def test_a_test_arrives_on_the_terminal_by_webhook_and_by_mail_and_says_that_it_is_one(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    with smtp_server() as box:
        agent = make_agent(config(web, term={"type": "console"}, hook=hook.channel, mail=mail(box)))
        with agent.running():
            said = cli(agent, "notify", "test", "term", "--by", "ann")
            assert (said.returncode, said.stdout.startswith("term (console): delivered in ")) == (0, True), said.stderr
            assert "TEST of term by codeblue: nothing is wrong" in agent.log
            assert cli(agent, "notify", "test", "hook", "--by", "ann").returncode == 0
            [got] = hook.got
            assert (got.kind, got.incident) == ("note", "")
            assert got.body["title"] == "TEST of hook by codeblue: nothing is wrong"
            assert got.body["facts"]["Asked by"] == "ann"
            to_all = json.loads(cli(agent, "notify", "test", "mail", "--json").stdout)
            to_one = json.loads(cli(agent, "notify", "test", "mail", "--person", "alice", "--json").stdout)
            assert [to_all["outcome"], to_one["outcome"]] == ["delivered", "delivered"]
            assert [recipients for recipients, _ in box.got] == [["oncall@example.com"], ["alice@example.com"]]
            assert box.got[0][1]["Subject"] == "TEST of mail by codeblue: nothing is wrong"
            assert "Nobody needs to do anything" in text_of(box.got[0][1])
            assert to_one["where"] == {"to": "alice@example.com", "message_id": box.got[1][1]["Message-ID"]}
            listed = cli(agent, "notify", "list")
            assert (listed.returncode, listed.stdout.count("delivered")) == (0, 3)
            assert agent.value('codeblue_notices_total{channel="mail",kind="test",outcome="delivered"}') == 2
            nothing_is_left(agent)


def test_what_does_not_arrive_ends_with_1_the_channels_own_error_and_what_to_do(
    make_agent: MakeAgent, web: Service, hook: Receiver
) -> None:
    hook.rule = lambda _: (403, 0.0)
    with smtp_server() as box:
        box.refuse = {"oncall@example.com": ["550 no such mailbox"]}
        agent = make_agent(config(web, hook=hook.channel, mail=mail(box)))
        with agent.running():
            said = cli(agent, "notify", "test", "hook")
            assert said.returncode == 1
            assert "hook (webhook): not delivered\n" in said.stdout
            assert "auth: 127.0.0.1 answered 403" in said.stdout
            assert "What to do: renew" in said.stdout
            refused = json.loads(cli(agent, "notify", "test", "mail", "--json").stdout)
            assert (refused["outcome"], "no such mailbox" in refused["error"]) == ("failed", True)
            assert cli(agent, "notify", "test", "mail").returncode == 0, "the mailbox is there again"
            listed = cli(agent, "notify", "list")
            assert listed.returncode == 1
            assert "given up" in listed.stdout
            assert len(hook.got) == 1
            nothing_is_left(agent)


def test_slack_says_where_the_message_is_and_takes_its_errors_as_they_come(
    make_agent: MakeAgent, web: Service, slack: Slack
) -> None:
    agent = make_agent(config(web, oncall=slack.channel))
    with agent.running():
        found = json.loads(cli(agent, "notify", "test", "oncall", "--json").stdout)
        [message] = slack.posted()
        assert found["outcome"] == "delivered"
        assert (found["where"]["channel"], found["where"]["ts"]) == ("#oncall", message["ts"])
        assert "TEST of oncall" in json.dumps(message)
        slack.fail_next(error="is_archived")
        said = cli(agent, "notify", "test", "oncall")
        assert (said.returncode, "is_archived" in said.stdout) == (1, True), said.stdout
        nothing_is_left(agent)


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        pytest.param(["hok"], 2, "there is no channel 'hok': did you mean 'hook'?", id="no such channel"),
        pytest.param(["hook", "--person", "alcie"], 2, "did you mean 'alice'?", id="no such person"),
        pytest.param(["hook", "--person", "bob"], 1, "bob has no address on hook", id="no address there"),
    ],
)
def test_whom_it_cannot_be_sent_to_is_refused_with_a_hint(
    make_agent: MakeAgent, web: Service, hook: Receiver, arguments: list[str], code: int, hint: str
) -> None:
    agent = make_agent(config(web, hook=hook.channel))
    with agent.running():
        said = cli(agent, "notify", "test", *arguments)
        assert (said.returncode, hint in said.stderr) == (code, True), said.stderr
        assert hook.got == []
