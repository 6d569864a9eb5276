from dataclasses import replace

import pytest

from agent.core.commands import Notice, NoticeKind
from agent.core.notices import UNDELIVERED
from agent.ports import Receipt
from alerts.rendering import NEVER_OPENED, as_seen_here, evidence, facts, headline, plain_text, title
from tests.alerts.builders import FALLBACK, HOSTILE_TEXT, NOTE, OPENED, REMINDER, RESOLVED, UPDATE, hostile

STORIES = {
    "opened": OPENED,
    "fallback": FALLBACK,
    "update": UPDATE,
    "reminder": REMINDER,
    "resolved": RESOLVED,
    "resolved_never_opened": as_seen_here(RESOLVED, None),
    "note": NOTE,
    "hostile": hostile(evidence={HOSTILE_TEXT: f"{HOSTILE_TEXT}\n" * 3}),
}


@pytest.mark.parametrize("name", STORIES)
def test_every_kind_of_notice_reads_as_agreed(name: str, golden) -> None:
    golden(f"{name}.txt", plain_text(STORIES[name]) + "\n")


@pytest.mark.parametrize("notice", [OPENED, UPDATE, REMINDER, RESOLVED, NOTE], ids=lambda notice: str(notice.kind))
def test_the_first_line_says_which_service(notice: Notice) -> None:
    assert "photos-api" in plain_text(notice).split("\n")[0]


def test_a_title_without_the_service_gets_it_in_front() -> None:
    assert title(replace(OPENED, title="is it up?")) == "photos-api: is it up?"
    assert headline(replace(OPENED, title="")) == "🔴 photos-api: opened"


@pytest.mark.parametrize(
    ("notice", "mark"),
    [
        pytest.param(replace(OPENED, severity="critical"), "🔴", id="critical"),
        pytest.param(replace(OPENED, severity="error"), "🔴", id="error"),
        pytest.param(replace(REMINDER, severity="warning"), "🟡", id="a warning is seen to be one"),
        pytest.param(replace(UPDATE, severity="info"), "🟡", id="info"),
        pytest.param(replace(RESOLVED, severity="warning"), "✅", id="what is over is over"),
        pytest.param(replace(OPENED, severity="warning", drill=True), "🔵", id="a drill is a drill"),
    ],
)
def test_the_mark_says_how_bad_it_is(notice: Notice, mark: str) -> None:
    assert headline(notice).startswith(f"{mark} ")


def test_since_is_always_the_first_fact() -> None:
    assert facts(OPENED)[0] == ("Since", "2026-03-01 03:12:03 UTC (1m6s)")
    assert facts(replace(OPENED, facts={"Tried": "nothing"}))[0] == ("Since", "2026-03-01 03:12:05 UTC (1m4s)")
    assert "Since" not in dict(facts(NOTE))


def test_a_piece_of_evidence_is_headed_like_everything_else() -> None:
    said = evidence(replace(OPENED, evidence={"output after the restart": "x", "HTTP": "y"}))
    assert said == [("Output after the restart", "x"), ("HTTP", "y")]


def test_empty_facts_and_empty_evidence_are_not_shown() -> None:
    bare = replace(OPENED, facts={"Tried": " "}, evidence={"Log": "\n \n"})
    assert "Tried" not in dict(facts(bare))
    assert evidence(bare) == []


@pytest.mark.parametrize(
    ("kind", "opening", "says_so"),
    [
        pytest.param(NoticeKind.RESOLVED, None, True, id="a closing one without its opening"),
        pytest.param(NoticeKind.REMINDER, None, True, id="a reminder without its opening"),
        pytest.param(NoticeKind.UPDATE, None, True, id="an update without its opening"),
        pytest.param(NoticeKind.OPENED, None, False, id="the opening one itself"),
        pytest.param(NoticeKind.NOTE, None, False, id="a note needs none"),
        pytest.param(NoticeKind.RESOLVED, Receipt(), False, id="a closing one after its opening"),
    ],
)
def test_a_notice_says_that_the_opening_never_arrived(kind: NoticeKind, opening: Receipt | None, says_so: bool) -> None:
    seen = as_seen_here(replace(OPENED, kind=kind, note="By hand."), opening)
    assert seen.note == (f"By hand. {NEVER_OPENED}" if says_so else "By hand.")


def test_it_is_said_once_where_the_core_says_it_already() -> None:
    told = replace(RESOLVED, note=UNDELIVERED)
    assert as_seen_here(told, None) is told
