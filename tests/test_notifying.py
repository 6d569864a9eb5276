"""Trying out a channel: whom it may go to, what it says, and what is said of what became of it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from agent.config.load import load
from agent.core.commands import Notice, NoticeKind
from agent.notifying import ADVICE, Notifier
from agent.operations import Refused
from agent.ports import DeliveryError, Receipt, Vitals
from agent.runtime.clock import Clock
from agent.runtime.outbox import Outbox
from agent.stores.memory import MemoryStore
from agent.tables import TABLES
from tests.core.story import START
from tests.world import Counts, FakeChannel

CONFIG = {
    "people": {"alice": {"contacts": {"mail": "alice@example.com"}}, "bob": {"contacts": {"term": "b"}}},
    "channels": {
        "term": {"type": "console"},
        "mail": {"type": "mail", "host": "127.0.0.1", "security": "none", "from": "c@example.com", "to": "a@b.example"},
        "hook": {"type": "webhook", "url": "http://127.0.0.1:9/?key=s3cret", "per_second": 2},
    },
    "services": [{"name": "api", "checks": [{"tcp": "127.0.0.1:9"}]}],
}


class Desk:
    """A notifier on a real outbox, whose channels are fakes."""

    def __init__(self, folder: Path, *, within: float = 5.0) -> None:
        (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
        self.config = load(folder / "config.yaml", TABLES, {})
        self.vitals = Vitals(started=START)
        self.channels = {name: FakeChannel() for name in CONFIG["channels"]}
        self.outbox = Outbox(
            clock=Clock(),
            store=MemoryStore(),
            vitals=self.vitals,
            report=lambda _service, _event: None,
            counts=Counts(),
        )
        self.outbox.use({name: (channel, 100.0) for name, channel in self.channels.items()}, {})
        self.notifier = Notifier(
            config=lambda: self.config, outbox=self.outbox, vitals=self.vitals, now=_now, within=within
        )


def _now() -> datetime:
    return START


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Desk]:
    return lambda **more: Desk(tmp_path, **more)


async def test_a_test_says_that_it_is_one_who_asked_and_that_nobody_need_do_anything(make: Callable[..., Desk]) -> None:
    desk = make()
    found = await desk.notifier.test("mail", by="ann")
    assert (found.outcome, found.type, found.person, found.error, found.advice) == ("delivered", "mail", "", "", "")
    [sent] = desk.channels["mail"].sent
    assert sent.title == "TEST of mail by codeblue: nothing is wrong"
    assert "Nobody needs to do anything" in sent.summary
    assert (sent.kind, sent.incident, sent.to, sent.facts["Asked by"]) == (NoticeKind.NOTE, "", "", "ann")
    assert found.where == {"to": "a@b.example"}


async def test_a_persons_test_goes_to_that_persons_address_in_the_channels_lane(make: Callable[..., Desk]) -> None:
    desk = make()
    found = await desk.notifier.test("mail", person="alice", by="ann")
    [sent] = desk.channels["mail"].sent
    assert (sent.channel, sent.to, sent.person) == ("mail/alice", "alice@example.com", "alice")
    assert (found.person, found.where) == ("alice", {"to": "alice@example.com"})


@dataclass
class Telling(FakeChannel):
    """Says where the message is, beside what only concerns itself."""

    async def send(self, notice: Notice, opening: Receipt | None) -> Receipt:
        await super().send(notice, opening)
        own = {"evidence": "[]", "key": notice.key}
        return Receipt(data={"channel": "C1", "ts": "17.2", "issue": "OPS-7", "url": "https://j/OPS-7", **own})


async def test_where_the_message_is_comes_from_the_channel(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.outbox.use({"mail": (Telling(), 100.0)}, {})
    found = await desk.notifier.test("mail", by="ann")
    told = {"channel_id": "C1", "ts": "17.2", "issue": "OPS-7", "url": "https://j/OPS-7"}
    assert found.where == {"to": "a@b.example", **told}


async def test_two_tests_are_two_messages(make: Callable[..., Desk]) -> None:
    desk = make()
    for _ in range(2):
        await desk.notifier.test("term", by="ann")
    assert len({notice.key for notice in desk.channels["term"].sent}) == 2


@pytest.mark.parametrize(
    ("channel", "person", "error", "text"),
    [
        pytest.param("mial", "", LookupError, "there is no channel 'mial': did you mean 'mail'?", id="no channel"),
        pytest.param("mail", "alcie", LookupError, "no person 'alcie': did you mean 'alice'?", id="no person"),
        pytest.param("mail", "bob", Refused, r"bob has no address on mail \(has: term\)", id="no address"),
    ],
)
async def test_what_there_is_not_is_refused_with_what_was_meant(
    make: Callable[..., Desk], channel: str, person: str, error: type[Exception], text: str
) -> None:
    desk = make()
    with pytest.raises(error, match=text):
        await desk.notifier.test(channel, person=person, by="ann")
    assert all(not fake.sent for fake in desk.channels.values())


async def test_one_test_of_a_channel_at_a_time(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.channels["term"].errors = deque([DeliveryError("rate_limited", retryable=True, retry_after=0.3)])
    first = asyncio.get_running_loop().create_task(desk.notifier.test("term", by="ann"))
    await asyncio.sleep(0)
    with pytest.raises(Refused, match="a test of term is under way"):
        await desk.notifier.test("term", by="bob")
    assert (await desk.notifier.test("mail", by="bob")).outcome == "delivered"
    assert (await first).outcome == "delivered"


async def test_the_channels_own_error_comes_with_what_to_do(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.channels["hook"].broken = DeliveryError("auth", "127.0.0.1 answered 401", retryable=False)
    found = await desk.notifier.test("hook", by="ann")
    assert (found.outcome, found.reason, found.error) == ("failed", "auth", "127.0.0.1 answered 401")
    assert found.advice == ADVICE["auth"]
    assert "s3cret" not in repr(found)
    assert "s3cret" not in repr(desk.notifier.channels())


async def test_an_error_that_nobody_has_heard_of_sends_to_the_log(make: Callable[..., Desk]) -> None:
    desk = make()
    desk.channels["hook"].broken = DeliveryError("eclipse", "the sun is gone", retryable=False)
    assert "log" in (await desk.notifier.test("hook", by="ann")).advice


async def test_what_is_not_sent_in_time_says_what_it_waited_for(make: Callable[..., Desk]) -> None:
    desk = make(within=0.2)
    desk.channels["hook"].errors = deque([DeliveryError("rate_limited", "slow down", retryable=True, retry_after=60)])
    limited = await desk.notifier.test("hook", by="ann")
    assert (limited.outcome, limited.reason, limited.tries) == ("waiting", "rate_limited", 1)
    behind = await desk.notifier.test("hook", by="ann")
    assert (behind.outcome, behind.reason) == ("waiting", "")
    assert behind.error == "not sent within 0.2 s: 1 message is before it"
    await desk.outbox.stop(grace=0)


async def test_channels_are_listed_with_their_trouble_their_people_and_the_last_outcome(
    make: Callable[..., Desk],
) -> None:
    desk = make()
    desk.vitals.channel_trouble = {"hook": "network: refused"}
    await desk.notifier.test("mail", by="ann")

    assert [one.name for one in desk.notifier.channels()] == ["term", "mail", "hook"]
    term, mail, hook = desk.notifier.channels()
    assert (term.people, term.trouble, term.last, term.waiting) == (("bob",), "", None, 0)
    assert (mail.people, mail.last and mail.last.outcome, mail.last and mail.last.kind) == (
        ("alice",),
        "delivered",
        "test",
    )
    assert (hook.trouble, hook.per_second) == ("network: refused", 2)


def test_every_reason_of_the_contract_has_advice() -> None:
    words = (DeliveryError.__doc__ or "").partition("(")[2].partition(")")[0].replace("\n", " ")
    assert {word.strip() for word in words.split(",")} <= set(ADVICE)
