"""What people type after /codeblue, by a table, and whatever else they may type."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.slack_command import NotUnderstood, Order, understand_command

HOUR = timedelta(hours=1)

UNDERSTOOD = [
    ("", Order(what="status")),
    ("  STATUS  web ", Order(what="status", subject="web")),
    ("on-call", Order(what="oncall")),
    ("acknowledge web 1h30m", Order(what="ack", subject="web", span=timedelta(minutes=90))),
    ("ack web-2d", Order(what="ack", subject="web-2d")),
    ("ack web for 1h 30m", Order(what="ack", subject="web", span=timedelta(minutes=90))),
    ("silence web", Order(what="silence", subject="service=web", span=HOUR)),
    ("mute web 2d", Order(what="silence", subject="service=web", span=timedelta(days=2))),
    ("silence group=~“db.*”", Order(what="silence", subject='group=~"db.*"', span=HOUR)),
    ("silence a!=b &amp; c", Order(what="silence", subject="a!=b & c", span=HOUR)),
    ("silence a=b until-resolved", Order(what="silence", subject="a=b", span=None)),
    (
        "silence web 2h -- the disk is swapped, see OPS-12",
        Order(what="silence", subject="service=web", span=2 * HOUR, comment="the disk is swapped, see OPS-12"),
    ),
]


@pytest.mark.parametrize(("text", "order"), UNDERSTOOD, ids=[text.strip() or "nothing" for text, _ in UNDERSTOOD])
def test_what_is_meant(text: str, order: Order) -> None:
    assert understand_command(text) == order


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sttaus", "did you mean `/codeblue status`?"),
        ("onccal", "did you mean `/codeblue oncall`?"),
        ("xyzzy", "try `/codeblue help`."),
        ("ack", "Say which service: `/codeblue ack SERVICE`"),
        ("ack two words", "Say which service"),
        ("ack web for ever", "`ever` is no length of time: write 30m, 2h or 1h30m."),
        ("ack web for 30", "`30` is no length of time"),
        ("silence", "Say what to silence"),
        ("silence for 2h", "Say what to silence"),
        ("silence web 2m 3h", "is not a duration"),
        ("silence web for 9999999d", "longer than a hundred years"),
        ("`<!channel>`", "There is no `/codeblue '<!channel>'`"),
    ],
)
def test_what_is_not_understood_says_what_to_type_instead(text: str, says: str) -> None:
    with pytest.raises(NotUnderstood) as error:
        understand_command(text)
    assert says in str(error.value)


@given(st.sampled_from(["", "ack ", "silence ", "status "]), st.text(max_size=200))
def test_whatever_is_typed_is_understood_or_answered(word: str, rest: str) -> None:
    with suppress(NotUnderstood):
        assert understand_command(word + rest).what in ("status", "ack", "silence", "oncall", "help")
