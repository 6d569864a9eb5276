"""kill -9 after a message to a person has arrived and before the agent noted that: never lost, never under a second
key, and told a second time only where the channel cannot be read back."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.endtoend.agent import wait_for
from tests.endtoend.around import Receiver, Service, slack
from tests.endtoend.conftest import MakeAgent
from tests.endtoend.ledger import open_incidents, outbox, unsettled
from tests.smtp_server import smtp_server

LONG = 60.0  # seconds without an answer: the agent is killed long before


@dataclass(frozen=True)
class Line:
    """A way to a person. `arrived`: under which keys messages of a kind came, as that person sees them. `hold`: what
    comes now arrives, and is answered after `LONG` seconds only."""

    channel: dict[str, Any]
    address: str
    arrived: Callable[[str], list[str]]
    hold: Callable[[bool], object]


@contextmanager
def by_slack() -> Iterator[Line]:
    with slack() as standin:

        def arrived(kind: str) -> list[str]:
            return [told["key"] for told in standin.told("direct-U0ALICE") if told["kind"] == kind]

        def hold(yes: bool) -> None:
            if yes:
                standin.fail_next(method="chat.postMessage", delay=LONG, done=True, times=1_000)
            else:
                standin.mend()

        yield Line(standin.channel | {"timeout": "30s"}, "U0ALICE", arrived, hold)


@contextmanager
def by_mail() -> Iterator[Line]:
    states = {"opened": "DOWN", "resolved": "RESOLVED"}
    with smtp_server() as box:

        def arrived(kind: str) -> list[str]:
            mine = [mail for to, mail in box.got if to == ["alice@example.com"]]
            return [
                str(mail["Message-ID"]) for mail in mine if str(mail["From"]).startswith(f"codeblue {states[kind]} ")
            ]

        options = {"type": "mail", "host": "127.0.0.1", "port": box.port, "security": "none", "timeout": "30s"}
        login = {"user": box.user, "password": box.password, "from": "codeblue@example.com"}
        channel = options | login | {"per_second": 50}
        yield Line(channel, "alice@example.com", arrived, lambda yes: setattr(box, "late", LONG if yes else 0.0))


@contextmanager
def by_webhook() -> Iterator[Line]:
    with Receiver().serving() as receiver:

        def arrived(kind: str) -> list[str]:
            return [body["key"] for body in [*receiver.bodies] if (body["kind"], body["to"]) == (kind, "+4930123")]

        def hold(yes: bool) -> None:
            receiver.rule = lambda _: (200, LONG if yes else 0.0)

        yield Line(receiver.channel | {"timeout": "30s"}, "+4930123", arrived, hold)


@pytest.mark.parametrize(
    ("line", "copies"),
    [
        pytest.param(by_slack, 1, id="Slack: what stands in the direct message is found by its key"),
        pytest.param(by_mail, 2, id="mail: the same Message-ID is shown once"),
        pytest.param(by_webhook, 2, id="webhook: the receiver knows the key"),
    ],
)
def test_a_person_is_told_under_one_key_though_the_agent_is_killed_before_it_notes_that(
    make_agent: MakeAgent, web: Service, line: Callable[[], AbstractContextManager[Line]], copies: int
) -> None:
    with line() as way:
        agent = make_agent(
            {
                "services": [{"name": "web", "checks": [{"http": web.url}]}],
                "channels": {"pager": way.channel},
                "people": {"alice": {"contacts": {"pager": way.address}}},
                "escalation": {"default": {"steps": [{"notify": ["alice"], "wait": "1h"}]}},
            }
        )
        agent.start()
        agent.wait_until_ready()
        for kind, status in (("opened", 503), ("resolved", 200)):
            wait_for(lambda: not unsettled(agent.database), 20, "what was said before is settled")
            way.hold(True)
            web.status = status
            wait_for(lambda kind=kind: way.arrived(kind), 20, f"nothing {kind} arrived")
            assert [row.kind for row in unsettled(agent.database)] == [kind]
            agent.kill()
            way.hold(False)
            agent.start()
            agent.wait_until_ready()
        wait_for(lambda: not open_incidents(agent.database) and not unsettled(agent.database), 20)
        assert agent.stop() == 0

        rows = [row for row in outbox(agent.database) if row.kind in ("opened", "resolved")]
        assert [(row.kind, row.status) for row in rows] == [("opened", "done"), ("resolved", "done")]
        for kind in ("opened", "resolved"):
            arrived = way.arrived(kind)
            assert len(set(arrived)) == 1
            assert len(arrived) == copies
