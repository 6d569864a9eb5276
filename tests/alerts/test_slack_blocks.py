import json
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.commands import Notice, NoticeKind
from alerts.slack_blocks import (
    WHOLE,
    Message,
    View,
    bare_message,
    date_token,
    escape,
    full_message,
    news_message,
    small_message,
)
from alerts.slack_buttons import carried
from tests.alerts.builders import FALLBACK, INCIDENT, NOTE, OPENED, OPENED_AT, REMINDER, RESOLVED, UPDATE, hostile
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
    offers=st.lists(st.sampled_from(["ack", "silence", "restart", "seen:d"]) | NASTY.map("approve:{}".format)).map(
        tuple
    ),
    service=st.just("photos-api") | NASTY,
)
EVERYTHING = View("oncall", ("ack", "silence", "restart", "approve", "seen", "runbook"), {"alice": "U0ALICE"})
VIEWS = st.sampled_from([View(), EVERYTHING])
FULL = replace(
    OPENED,
    facts={
        "Failing": "http, port",
        "Since": "2026-03-01 03:12:03 UTC (1m6s)",
        "Tried": "03:12:06 restart by systemd: failed (Job for photos-api.service failed); "
        "03:12:31 restart by systemd: done",
        "Paged": "alice, carol",
        "Down upstream": "photos-db",
        "Heartbeat": "▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▁▁▁▁",
        "Agent": "web-1",
        "Dashboard": "https://grafana.internal/d/photos?var-service=photos-api",
        "Trace": "https://tempo.internal/trace/4bf92f3577b34da6a3ce929d0e0e4736",
    },
    offers=("ack", "restart", "silence"),
)
ASKED = replace(
    FULL,
    title="photos-api is down: may it be restarted?",
    offers=("ack", f"approve:{INCIDENT}/approve/1", "silence"),
)
TAKEN = replace(
    UPDATE,
    title="photos-api: alice (U0ALICE) has taken it on until 04:20 UTC",
    facts={**FULL.facts, "Acknowledged": "alice (U0ALICE) at 03:20 UTC until 04:20 UTC"},
    offers=("restart", "silence"),
)


def assert_slack_takes(message: Message) -> None:
    blocks = list(message.blocks)
    assert problems_of(blocks) == []
    assert not too_long(blocks)
    assert 0 < units(message.text) <= 4_000
    for kind, text in [("mrkdwn", message.text), *texts_of(blocks)]:
        assert kind == "plain_text" or mentions(text.replace("<@U0ALICE>", "")) == []


@settings(max_examples=150, deadline=None)
@given(NOTICES, VIEWS)
def test_slack_takes_any_notice_in_every_form(notice: Notice, view: View) -> None:
    full = full_message(notice, view=view)
    assert units(json.dumps(list(full.blocks), ensure_ascii=False)) <= WHOLE + 300
    assert_slack_takes(full)
    assert_slack_takes(full_message(replace(notice, evidence={}), full.evidence, view))
    assert_slack_takes(news_message(notice, view))
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
        ("slack_buttons.json", full_message(FULL, view=EVERYTHING)),
        ("slack_asked.json", full_message(ASKED, view=EVERYTHING)),
        ("slack_acknowledged.json", full_message(TAKEN, full_message(FULL).evidence, EVERYTHING)),
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


def test_a_note_about_what_healed_says_that_it_is_over_and_what_was_tried() -> None:
    healed = replace(OPENED, kind=NoticeKind.NOTE, title="photos-api healed itself: recovered after 2 s", evidence={})
    lines = small_message(healed).blocks[0]["text"]["text"].split("\n")
    assert lines == [
        "*ℹ️ photos-api healed itself: recovered after 2 s*",
        "Was: http: connection refused by 127.0.0.1:8080",
        "Tried: restart by systemd at 03:12:06 failed (Job for photos-api.service failed)",
    ]


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


# ------------------------------------------------------------------------------------------------ buttons


def labels(notice: Notice, view: View = EVERYTHING) -> list[str]:
    return [text for kind, text in texts_of(full_message(notice, view=view).blocks) if kind == "button"]


def elements(notice: Notice) -> list[dict[str, Any]]:
    rows = [block["elements"] for block in full_message(notice, view=EVERYTHING).blocks if block["type"] == "actions"]
    return [button for row in rows for button in row]


OFFERED = [
    pytest.param(("ack", "restart", "silence"), ["Ack", "Restart now", "Silence 1 h", "Runbook"], id="all, in order"),
    pytest.param(("approve:k",), ["Approve restart", "Runbook"], id="a question"),
    pytest.param((), [], id="nothing: not even the runbook, which is a link then"),
    pytest.param(("dance", "ack"), ["Ack", "Runbook"], id="what is not known is left out"),
    pytest.param((f"approve:{'k' * 3_000}", "ack"), ["Ack", "Runbook"], id="what does not fit is left out"),
]


@pytest.mark.parametrize(("offers", "shown_as"), OFFERED)
def test_a_message_has_the_buttons_of_what_is_offered(offers: tuple[str, ...], shown_as: list[str]) -> None:
    assert labels(replace(OPENED, offers=offers)) == shown_as


def test_what_nobody_may_do_has_no_button() -> None:
    assert labels(FULL, View("oncall", ("ack", "runbook"))) == ["Ack", "Runbook"]


def test_only_what_changes_a_service_asks_before_it_is_done() -> None:
    (row,) = [block for block in full_message(ASKED, view=EVERYTHING).blocks if block["type"] == "actions"]
    (other,) = [block for block in full_message(FULL, view=EVERYTHING).blocks if block["type"] == "actions"]
    asking = {
        e["text"]["text"]: e["confirm"]["title"]["text"] for e in row["elements"] + other["elements"] if "confirm" in e
    }
    assert asking == {
        "Approve restart": "Approve the restart of photos-api?",
        "Restart now": "Restart photos-api now?",
    }


def test_at_most_one_button_is_the_primary_one() -> None:
    for notice in (FULL, ASKED, TAKEN, REMINDER):
        rows = [
            block["elements"] for block in full_message(notice, view=EVERYTHING).blocks if block["type"] == "actions"
        ]
        assert sum(element.get("style") == "primary" for row in rows for element in row) <= 1


def test_a_button_carries_what_it_was_shown_with() -> None:
    told = [carried(button) for button in elements(ASKED)]
    assert [(c.action, c.channel, c.service, c.incident, c.key) for c in told if c is not None] == [
        ("ack", "oncall", "photos-api", INCIDENT, ""),
        ("approve", "oncall", "photos-api", INCIDENT, f"{INCIDENT}/approve/1"),
        ("silence", "oncall", "photos-api", INCIDENT, ""),
    ]


@given(st.text(min_size=1, max_size=60), st.text(max_size=80), st.text(max_size=80))
def test_whatever_is_carried_comes_back_as_it_was(service: str, incident: str, key: str) -> None:
    notice = replace(OPENED, service=service, incident=incident, offers=(f"approve:{key}",))
    for button in elements(notice):
        if (back := carried(button)) is not None:
            assert (back.service, back.incident, back.key) == (service, incident, key)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_what_is_no_button_of_ours_carries_nothing(action: object) -> None:
    assert carried(action) is None
    assert carried({"action_id": "codeblue_ack", "value": json.dumps(action)}) is None


def test_200_services_down_at_once_fit_and_the_rest_is_counted() -> None:
    names = [f"service-{number:03}.example" for number in range(200)]
    storm = replace(
        FULL,
        title=f"{len(names)} services are down: {', '.join(names)}",
        summary="; ".join(f"{name}: connection refused by 10.0.0.1:80" for name in names),
        facts={**FULL.facts, "Failing": ", ".join(names), "Paged": ", ".join(names)},
        evidence={"Tree": "\n".join(f"└─ {name} is down <!channel>" for name in names)},
    )
    message = full_message(storm, view=EVERYTHING)
    assert_slack_takes(message)
    said = "\n".join(text for _, text in texts_of(message.blocks))
    assert said.count(" more") >= 4
    assert labels(storm) == ["Ack", "Restart now", "Silence 1 h", "Runbook"]
