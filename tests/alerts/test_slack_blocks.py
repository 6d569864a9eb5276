import json
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.model import Notice, NoticeKind
from alerts.slack_blocks import WHOLE, Message, bare_message, date_token, escape, full_message, small_message
from tests.alerts.builders import FALLBACK, NOTE, OPENED, OPENED_AT, RESOLVED, hostile
from tests.slack_limits import mentions, problems_of, shown, texts_of, too_long, units

NASTY = st.one_of(
    st.text(max_size=400),
    st.text(alphabet='&<>`"\\\n🔥', max_size=400).map(lambda text: text * 20),
    st.sampled_from(
        ["<!channel>", "```", "<@U0123>", "2026-03-01 03:12:05 UTC ", "x" * 5_000, "https://a.b/" + "&" * 790]
    ),
)
NOTICES = st.builds(
    replace,
    st.just(OPENED),
    kind=st.sampled_from(NoticeKind),
    incident=st.sampled_from(["", "i"]),
    title=NASTY,
    summary=NASTY,
    note=NASTY,
    runbook=NASTY,
    trace_id=NASTY,
    facts=st.dictionaries(NASTY, NASTY, max_size=15),
    evidence=st.dictionaries(NASTY, NASTY.map(lambda text: text * 30), max_size=12),
)


def assert_slack_takes(message: Message) -> None:
    blocks = list(message.blocks)
    assert problems_of(blocks) == []
    assert not too_long(blocks)
    assert 0 < units(message.text) <= 4_000
    for kind, text in [("mrkdwn", message.text), *texts_of(blocks)]:
        assert kind == "plain_text" or mentions(text) == []


@settings(max_examples=150, deadline=None)
@given(NOTICES)
def test_slack_takes_any_notice_in_every_form(notice: Notice) -> None:
    full = full_message(notice)
    assert units(json.dumps(list(full.blocks), ensure_ascii=False)) <= WHOLE + 300
    assert_slack_takes(full)
    assert_slack_takes(full_message(replace(notice, evidence={}), full.evidence))
    assert_slack_takes(small_message(notice))
    assert_slack_takes(bare_message(notice))


@given(st.text(alphabet=string.ascii_letters + "<>&`!@#| \n", max_size=200))
def test_escaped_text_is_shown_as_it_was_written(text: str) -> None:
    assert shown(escape(text)) == text
    assert "```" not in escape(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("slack_opened.json", full_message(OPENED)),
        ("slack_fallback.json", full_message(FALLBACK)),
        ("slack_resolved.json", full_message(RESOLVED, full_message(OPENED).evidence)),
        ("slack_note.json", small_message(NOTE)),
    ],
)
def test_the_blocks_are_as_agreed(name: str, message: Message, golden) -> None:
    assert_slack_takes(message)
    golden(name, {"text": message.text, "blocks": message.blocks})


def test_an_attack_from_outside_pings_and_links_nobody() -> None:
    message = full_message(hostile())
    assert_slack_takes(message)
    links = [text for kind, text in texts_of(message.blocks) if "<https://evil" in text]
    assert links == []


def test_the_note_stands_before_everything_but_the_headline() -> None:
    headline, note, *_ = full_message(FALLBACK).blocks
    assert headline["type"] == "header"
    assert note["text"]["text"] == "⚠ *#oncall did not take this page: invalid_auth*"


def test_moments_are_shown_in_the_readers_own_zone() -> None:
    assert date_token(OPENED_AT) == "<!date^1772334725^{date_short_pretty} {time_secs}|2026-03-01 03:12:05 UTC>"
    assert "Since <!date^1772334723^" in full_message(OPENED).blocks[1]["text"]["text"]


@pytest.mark.parametrize(
    "runbook",
    [
        pytest.param("wiki/photos", id="no address"),
        pytest.param("javascript:alert(1)", id="another scheme"),
        pytest.param("https://wiki/ x", id="a space"),
        pytest.param("https://wiki/|x>", id="the end of a link"),
        pytest.param("https://wiki/" + "a" * 3_000, id="too long"),
    ],
)
def test_a_runbook_that_is_no_address_is_shown_as_text(runbook: str) -> None:
    message = full_message(replace(OPENED, runbook=runbook))
    (said,) = [text for _, text in texts_of(message.blocks) if text.startswith("*Runbook*")]
    assert "<" not in said
    assert_slack_takes(message)


def test_a_trace_link_among_the_facts_is_a_link() -> None:
    traced = replace(OPENED, runbook="", facts={"Trace": "https://tempo.internal/trace/4bf9"})
    texts = [text for _, text in texts_of(full_message(traced).blocks)]
    assert "*Trace*: <https://tempo.internal/trace/4bf9|tempo.internal/trace/4bf9>" in texts


def test_what_is_too_much_is_counted_out() -> None:
    many = replace(
        OPENED,
        facts={f"Fact {n}": "x" for n in range(14)},
        evidence={f"Log {n}": "line\n" * 900 for n in range(11)},
    )
    assert_slack_takes(full_message(many))
    said = "\n".join(text for _, text in texts_of(full_message(many).blocks))
    assert "… 5 more facts" in said
    assert "… 3 more pieces of evidence" in said
    assert " more lines\nline\n" in said


def test_the_last_log_lines_survive_the_cut() -> None:
    lines = [f"line {n} <&>" for n in range(1_000)]
    blocks = full_message(replace(OPENED, evidence={"Log": "\n".join(lines)})).blocks
    assert blocks[-1]["text"]["text"].endswith("line 998 &lt;&amp;&gt;\nline 999 &lt;&amp;&gt;\n```")
