"""The mail channel against a real SMTP server: encryption, login, and what each refusal means."""

import socket
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.ports import DeliveryError
from alerts.channels.mail import MailChannel, MailOptions
from tests.alerts.builders import OPENED, RESOLVED, UPDATE
from tests.servers import Authority
from tests.smtp_server import MailBox, smtp_server

TO, EVE = "oncall@example.com", "eve@example.com"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def box(authority: Authority) -> Iterator[MailBox]:
    with smtp_server(authority.issue("localhost").context()) as made:
        yield made


@pytest.fixture
def channel(box: MailBox, authority: Authority) -> MailChannel:
    return make(box, authority)


def make(box: MailBox, authority: Authority | None = None, **more: Any) -> MailChannel:
    given: dict[str, Any] = {
        "host": "localhost",
        "port": box.port,
        "user": box.user,
        "password": box.password,
        "from": "codeblue@example.com",
        "to": TO,
        "timeout": "20s",
        "ca_file": authority.file if authority else None,
    }
    return MailChannel("mail", MailOptions(**given | more))


async def refused(channel: MailChannel) -> DeliveryError:
    with pytest.raises(DeliveryError) as raised:
        await channel.send(OPENED, None)
    shown = "".join(traceback.format_exception(raised.value))
    assert "s3cr3t" not in shown
    return raised.value


async def test_a_page_and_its_end_arrive_encrypted_logged_in_and_as_one_conversation(
    box: MailBox, channel: MailChannel
) -> None:
    await channel.verify()
    opening = await channel.send(OPENED, None)
    await channel.send(RESOLVED, opening)
    (to, page), (_, closing) = box.got
    assert to == [TO]
    assert page["Subject"] == "photos-api is down"
    assert "exit 74" in page.get_content()
    assert closing["In-Reply-To"] == page["Message-ID"] == opening.data["message_id"]
    assert closing["Subject"] == "Re: photos-api is down"
    assert box.logins == 3


async def test_tls_from_the_start(authority: Authority) -> None:
    with smtp_server(authority.issue("localhost").context(), at_once=True) as box:
        channel = make(box, authority, security="tls")
        await channel.verify()
        await channel.send(OPENED, None)
        assert len(box.got) == 1


async def test_a_page_to_a_person_goes_to_that_persons_address_alone(box: MailBox, channel: MailChannel) -> None:
    await channel.send(replace(OPENED, channel="mail/alice", to="alice@example.com", person="alice"), None)
    ((to, message),) = box.got
    assert (to, message["To"]) == (["alice@example.com"], "alice@example.com")


async def test_updates_can_be_left_out(box: MailBox, authority: Authority) -> None:
    channel = make(box, authority, updates=False)
    receipt = await channel.send(UPDATE, None)
    assert receipt.data == {"left_out": "updates: false"}
    assert box.got == []


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"),
    [
        pytest.param("450 4.2.1 mailbox busy", "server", True, id="a busy mailbox"),
        pytest.param("451 4.7.1 greylisted", "server", True, id="greylisting"),
        pytest.param("452 4.2.2 over quota", "server", True, id="a full mailbox for now"),
        pytest.param("550 5.1.1 no such user", "not_found", False, id="no such mailbox"),
        pytest.param("554 5.7.1 you are spam", "invalid", False, id="a policy that says no"),
    ],
)
async def test_what_a_refused_address_means(
    box: MailBox, channel: MailChannel, answer: str, reason: str, retryable: bool
) -> None:
    box.refuse[TO] = [answer]
    error = await refused(channel)
    assert (error.reason, error.retryable) == (reason, retryable)
    assert str(error) == f"localhost answered {answer}"


@pytest.mark.parametrize(
    ("answer", "reason", "retryable"),
    [
        pytest.param("451 4.3.0 try again", "server", True, id="trouble on their side"),
        pytest.param("552 5.3.4 too big", "invalid", False, id="too big"),
    ],
)
async def test_what_a_refused_message_means(
    box: MailBox, channel: MailChannel, answer: str, reason: str, retryable: bool
) -> None:
    box.data = [answer]
    error = await refused(channel)
    assert (error.reason, error.retryable, str(error)) == (reason, retryable, f"localhost answered {answer}")
    await channel.send(OPENED, None)
    assert len(box.got) == 1


async def test_a_wrong_password_is_final_and_found_before_the_first_page(box: MailBox, authority: Authority) -> None:
    channel = make(box, authority, password="s3cr3t-wrong")
    with pytest.raises(DeliveryError) as raised:
        await channel.verify()
    assert (raised.value.reason, raised.value.retryable) == ("auth", False)
    assert (await refused(channel)).reason == "auth"


async def test_a_login_that_fails_for_now_is_tried_again(box: MailBox, channel: MailChannel) -> None:
    box.login = ["454 4.7.0 temporary authentication failure"] * 2  # both ways to log in are tried
    error = await refused(channel)
    assert (error.reason, error.retryable) == ("server", True)


async def test_of_several_addresses_a_retry_goes_only_to_those_that_have_not_got_it(
    box: MailBox, authority: Authority
) -> None:
    channel = make(box, authority, to=[TO, EVE])
    box.refuse[EVE] = ["451 4.7.1 greylisted"]
    assert (await refused(channel)).retryable
    await channel.send(OPENED, None)
    assert [to for to, _ in box.got] == [[TO], [EVE]]
    await channel.send(RESOLVED, None)
    assert box.got[-1][0] == [TO, EVE]


async def test_a_certificate_that_nobody_trusts_is_refused_and_nothing_is_said(box: MailBox) -> None:
    error = await refused(make(box))
    assert (error.reason, error.retryable) == ("network", True)
    assert "no TLS that can be trusted" in str(error)
    assert box.logins == 0


async def test_a_server_without_encryption_never_sees_the_password() -> None:
    with smtp_server(auth=False) as box:
        error = await refused(make(box))
    assert (error.reason, error.retryable) == ("invalid", False)
    assert "offers no encryption" in str(error)


async def test_without_a_login_and_encryption_on_loopback() -> None:
    with smtp_server(auth=False) as box:
        channel = make(box, security="none", user="", password="")
        await channel.verify()
        await channel.send(OPENED, None)
        assert len(box.got) == 1


async def test_a_server_that_wants_a_login_says_so_for_good(box: MailBox, authority: Authority) -> None:
    error = await refused(make(box, authority, user="", password=""))
    assert (error.reason, error.retryable) == ("auth", False)


async def test_a_server_that_is_away_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    error = await refused(make(MailBox(port=port)))
    assert (error.reason, error.retryable) == ("network", True)


async def test_a_server_that_never_says_a_word_is_left_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = make(MailBox(port=silent.getsockname()[1]), host="127.0.0.1", timeout="1s")
        error = await refused(channel)
    assert (error.reason, error.retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({"security": "none"}, "in the clear", id="a password without encryption"),
        pytest.param({"password": ""}, "user and password together", id="a user without a password"),
        pytest.param({"from": "codeblue"}, "an address such as", id="a sender that is none"),
        pytest.param({"to": ["a@b.c", "Eve <e@x.y>"]}, "an address such as", id="a name with the address"),
        pytest.param({"to": "a@b.c\r\nBcc: e@x.y"}, "an address such as", id="a header in the address"),
        pytest.param({"port": 0}, "greater than or equal to 1", id="no such port"),
    ],
)
def test_bad_options_are_refused(more: dict[str, Any], expected: str) -> None:
    given = {"host": "smtp.example.com", "user": "u", "password": "s3cr3t", "from": "c@example.com", "to": TO}
    with pytest.raises(ValidationError) as raised:
        MailOptions(**given | more)
    assert expected in str(raised.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("to", "said"), [("", "say `to:`"), ("+49 30 1234", "no mail address")], ids=["none", "a number"]
)
async def test_an_address_that_is_none_is_final(to: str, said: str) -> None:
    channel = make(MailBox(port=1), to=[])
    with pytest.raises(DeliveryError, match=said) as raised:
        await channel.send(replace(OPENED, to=to), None)
    assert not raised.value.retryable
