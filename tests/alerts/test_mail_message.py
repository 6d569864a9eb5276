"""What a mail says, and how a mail client finds the others of its incident."""

from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind
from agent.ports import Receipt
from alerts.mail_message import mail, receipt
from alerts.short_text import short_text
from tests.alerts.builders import FALLBACK, NOTE, OPENED, REMINDER, RESOLVED, UPDATE, hostile

SENDER, TO = "codeblue@example.com", "oncall@example.com"


def made(notice: Notice, opening: Receipt | None = None) -> EmailMessage:
    return mail(notice, opening, SENDER, TO)


def after_the_page() -> Receipt:
    return receipt(made(OPENED), None)


class TestOneConversation:
    def test_all_mails_of_an_incident_have_the_subject_of_its_page(self) -> None:
        opening = after_the_page()
        subjects = [made(notice, opening)["Subject"] for notice in (UPDATE, REMINDER, RESOLVED)]
        assert made(OPENED)["Subject"] == "photos-api is down"
        assert subjects == ["Re: photos-api is down"] * 3

    def test_each_answers_the_page_and_names_the_root_that_all_of_them_share(self) -> None:
        page, opening = made(OPENED), after_the_page()
        root = page["References"]
        for notice in (UPDATE, REMINDER, RESOLVED):
            follower = made(notice, opening)
            assert follower["In-Reply-To"] == page["Message-ID"]
            assert follower["References"] == f"{root} {page['Message-ID']}"

    def test_where_the_page_never_arrived_they_still_share_the_root(self) -> None:
        root = made(OPENED)["References"]
        closing = made(RESOLVED)
        assert (closing["References"], closing["In-Reply-To"]) == (root, root)
        assert closing["Subject"] == "photos-api is up again after 5m12s"

    def test_another_incident_and_another_address_are_other_conversations(self) -> None:
        roots = {
            made(notice)["References"]
            for notice in (OPENED, replace(OPENED, incident="other"), replace(OPENED, channel="mail/alice"))
        }
        assert len(roots) == 3

    def test_a_mail_that_is_sent_twice_has_the_same_id_and_any_other_mail_another_one(self) -> None:
        notices = (OPENED, UPDATE, REMINDER, RESOLVED, NOTE)
        assert made(OPENED).as_bytes() == made(OPENED).as_bytes()
        assert len({made(notice)["Message-ID"] for notice in notices}) == len(notices)

    def test_the_subject_goes_on_through_every_receipt(self) -> None:
        update = receipt(made(UPDATE, after_the_page()), after_the_page())
        assert update.data["subject"] == "photos-api is down"


class TestWhatItSays:
    @pytest.mark.parametrize(
        ("notice", "name"),
        [
            (OPENED, "codeblue DOWN"),
            (REMINDER, "codeblue STILL DOWN"),
            (UPDATE, "codeblue update"),
            (RESOLVED, "codeblue RESOLVED"),
            (NOTE, "codeblue note"),
        ],
        ids=lambda value: str(getattr(value, "kind", value)),
    )
    def test_the_senders_name_says_what_has_become_of_it(self, notice: Notice, name: str) -> None:
        assert made(notice)["From"] == f"{name} <{SENDER}>"

    def test_the_text_is_the_whole_notice(self) -> None:
        text = made(FALLBACK).get_content()
        for part in ("connection refused by 127.0.0.1:8080", "exit 74", "invalid_auth", "wiki.internal/photos"):
            assert part in text

    def test_only_a_page_and_a_reminder_are_urgent(self) -> None:
        urgent = [notice for notice in (OPENED, UPDATE, REMINDER, RESOLVED, NOTE) if made(notice)["Importance"]]
        assert urgent == [OPENED, REMINDER]

    def test_it_asks_for_no_automatic_answers(self) -> None:
        assert made(OPENED)["Auto-Submitted"] == "auto-generated"

    def test_a_note_belongs_to_no_conversation(self) -> None:
        assert made(NOTE)["References"] is None

    @given(st.text(), st.sampled_from(list(NoticeKind)))
    def test_no_text_from_outside_gets_into_the_headers_as_a_header(self, text: str, kind: NoticeKind) -> None:
        notice = replace(hostile(kind, key=text or "k", incident=text, service=text), title=f"{text}\r\nBcc: eve@x")
        opening = Receipt(data={"subject": "a page", "message_id": "<a@b>"})
        raw = mail(notice, opening, SENDER, TO).as_bytes()
        head = raw.split(b"\r\n\r\n", 1)[0]
        assert b"\r\nBcc" not in head
        assert max(map(len, raw.split(b"\r\n"))) <= 998


class TestShort:
    @pytest.mark.parametrize(
        ("notice", "text"),
        [
            pytest.param(
                OPENED,
                "DOWN: photos-api is down since 03:12 UTC; http: connection refused by 127.0.0.1:8080; "
                "https://wiki.internal/photos?a=1&b=2",
                id="a page: what, since when, why, and what to do",
            ),
            pytest.param(
                RESOLVED,
                "OK: photos-api is up again after 5m12s; Was: http: connection refused by 127.0.0.1:8080; "
                "https://wiki.internal/photos?a=1&b=2",
                id="the end",
            ),
            pytest.param(
                FALLBACK,
                "DOWN: photos-api is down since 03:12 UTC; http: connection refused by 127.0.0.1:8080; "
                "#oncall did not take this page: invalid_auth",
                id="another channel failed: that goes before the runbook",
            ),
        ],
    )
    def test_one_line_of_the_essential(self, notice: Notice, text: str) -> None:
        assert short_text(notice, 160) == text

    def test_accents_and_typography_are_made_plain_so_that_a_text_message_holds_twice_as_much(self) -> None:
        notice = replace(OPENED, title="café is down", summary="“täglich” – zu spät…", runbook="")
        assert short_text(notice) == 'DOWN: photos-api: cafe is down since 03:12 UTC; "taglich" - zu spat...'

    @given(st.text(max_size=500), st.text(max_size=500), st.integers(40, 320))
    def test_it_is_never_longer_than_it_may_be_and_never_more_than_a_line(
        self, title: str, summary: str, limit: int
    ) -> None:
        text = short_text(replace(OPENED, title=title, summary=summary, note=title), limit)
        assert 0 < len(text) <= limit
        assert len(text.splitlines()) == 1
