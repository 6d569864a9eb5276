from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import LogCapture

from agent.ports import Beat, BeatState
from agent.runtime.beats import BODY_LIMIT, CUT, Beats

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
KEY = ("photos", "worker")


class Clock:
    def __init__(self) -> None:
        self.at = NOON

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def beats(clock: Clock) -> Beats:
    book = Beats(clock)
    book.configure({KEY: None}, NOON)
    return book


def push(
    book: Beats, kind: str, after: float = 0, *, exit_code: int | None = None, run: str = "", body: bytes = b""
) -> BeatState:
    beat = Beat(at=NOON + timedelta(seconds=after), kind=kind, exit_code=exit_code, run_id=run)
    assert book.take(*KEY, beat, body)
    return book.state(*KEY)


# ---------------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize("kind", ["start", "success", "fail", "log"])
def test_a_beat_is_kept_as_the_last_of_its_kind_and_as_the_last_of_all(beats: Beats, kind: str) -> None:
    state = push(beats, kind, 5)
    assert getattr(state, kind) == state.last == Beat(at=NOON + 5 * SECOND, kind=kind)
    assert [k for k in ("start", "success", "fail", "log") if getattr(state, k)] == [kind]
    assert state.total == 1


def test_a_kind_that_is_none_is_refused_and_counts_as_nothing(beats: Beats) -> None:
    with pytest.raises(ValueError, match="'sucess' is no kind of beat"):
        push(beats, "sucess")
    assert beats.state(*KEY).total == 0


@pytest.mark.parametrize(
    ("exit_code", "kept_as"),
    [
        pytest.param(None, "success", id="no exit code"),
        pytest.param(0, "success", id="zero is success"),
        pytest.param(1, "fail", id="one is a fail"),
        pytest.param(137, "fail", id="killed is a fail"),
    ],
)
def test_an_exit_code_other_than_zero_makes_a_fail(beats: Beats, exit_code: int | None, kept_as: str) -> None:
    state = push(beats, "success", exit_code=exit_code)
    assert state.last is not None
    assert (state.last.kind, state.last.exit_code) == (kept_as, exit_code)


def test_a_late_arrival_does_not_replace_what_is_newer(beats: Beats) -> None:
    push(beats, "success", 10)
    state = push(beats, "success", 5)
    assert state.success is not None
    assert state.success.at == NOON + 10 * SECOND
    assert state.total == 2


# ---------------------------------------------------------------------------------------------------- runs


@pytest.mark.parametrize("end", ["success", "fail"])
def test_a_start_begins_a_run_and_either_end_ends_it_and_times_it(beats: Beats, end: str) -> None:
    assert push(beats, "start", 0).start is not None
    state = push(beats, end, 42)
    assert state.start is None
    assert state.took == 42 * SECOND


def test_an_end_without_a_start_has_no_duration(beats: Beats) -> None:
    assert push(beats, "success", 3).took is None


def test_a_log_does_not_end_a_run(beats: Beats) -> None:
    push(beats, "start", 0)
    assert push(beats, "log", 1).start is not None


def test_overlapping_runs_are_told_apart_by_their_ids(beats: Beats) -> None:
    push(beats, "start", 0, run="a")
    push(beats, "start", 10, run="b")
    state = push(beats, "success", 15, run="a")
    assert state.took == 15 * SECOND
    assert state.start is not None, "b is still running"
    assert state.start.run_id == "b"
    state = push(beats, "success", 30, run="b")
    assert state.took == 20 * SECOND
    assert state.start is None


def test_runs_that_start_and_never_end_do_not_pile_up(beats: Beats) -> None:
    for number in range(1000):
        push(beats, "start", number / 100, run=f"run-{number}")
    assert push(beats, "success", 10, run="run-0").took is None, "forgotten long ago"
    assert push(beats, "success", 11, run="run-990").took == 1.1 * SECOND


@given(st.lists(st.tuples(st.sampled_from(["start", "success", "fail", "log"]), st.sampled_from(["", "a", "b"]))))
def test_a_duration_is_never_negative_and_an_end_of_any_run_never_leaves_its_start_behind(
    pushed: list[tuple[str, str]],
) -> None:
    book = Beats(Clock())
    book.configure({KEY: None}, NOON)
    for second, (kind, run) in enumerate(pushed):
        state = push(book, kind, second / 1000, run=run)
        assert state.took is None or state.took >= timedelta(0)
        if kind in ("success", "fail") and state.start is not None:
            assert "" != state.start.run_id != run != ""
    assert book.state(*KEY).total == len(pushed)


# ---------------------------------------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        pytest.param(b"", "", id="none"),
        pytest.param(b"done: 3 files", "done: 3 files", id="text"),
        pytest.param("Größe".encode(), "Größe", id="more than ASCII"),
        pytest.param(b"ok\xff\xfe", "ok\ufffd\ufffd", id="binary garbage is replaced"),
        pytest.param(b"a\0b", "a\ufffdb", id="NUL is replaced: databases refuse it"),
        pytest.param(b"x" * BODY_LIMIT, "x" * BODY_LIMIT, id="exactly the limit is whole"),
        pytest.param(b"x" * (BODY_LIMIT + 1), "x" * BODY_LIMIT + CUT, id="one byte more is cut and marked"),
        pytest.param(b"x" + "é".encode() * 6000, "x" + "é" * 5119 + CUT, id="cut between characters"),
        pytest.param(b"\xff" * BODY_LIMIT, "\ufffd" * (BODY_LIMIT // 3) + CUT, id="replacements count too"),
    ],
)
def test_a_body_is_kept_as_text_up_to_ten_kibibytes(beats: Beats, body: bytes, kept: str) -> None:
    state = push(beats, "success", body=body)
    assert state.success is not None
    assert state.success.body == kept


def test_a_body_that_comes_as_text_is_bounded_too(beats: Beats) -> None:
    beats.take(*KEY, Beat(at=NOON, kind="log", body="y\ud800" + "x" * 20_000))
    kept = beats.state(*KEY).log
    assert kept is not None
    assert kept.body.startswith("y?xx")
    assert len(kept.body.encode()) == BODY_LIMIT + len(CUT.encode())


@given(st.binary(max_size=100).flatmap(lambda part: st.integers(0, 400).map(lambda times: part * times)))
def test_any_body_is_kept_as_valid_text_within_its_bound(body: bytes) -> None:
    book = Beats(Clock())
    book.configure({KEY: None}, NOON)
    state = push(book, "log", body=body)
    assert state.log is not None
    assert len(state.log.body.removesuffix(CUT).encode()) <= BODY_LIMIT
    if len(body) <= BODY_LIMIT // 3:
        assert state.log.body == body.decode("utf-8", "replace").replace("\0", "\ufffd")


# ---------------------------------------------------------------------------------------------------- whose beats


def test_a_beat_for_a_check_that_config_does_not_name_is_not_taken(beats: Beats) -> None:
    assert not beats.take("photos", "cron", Beat(at=NOON, kind="success"))
    assert not beats.knows("photos", "cron")
    assert beats.knows(*KEY)
    assert beats.changed().keys() == {KEY}


@pytest.mark.parametrize(
    ("expected", "given_token", "admitted"),
    [
        pytest.param("s3cret", "s3cret", True, id="the right token"),
        pytest.param("s3cret", "s3cre", False, id="a part of it"),
        pytest.param("s3cret", "", False, id="an empty one"),
        pytest.param("s3cret", None, False, id="none"),
        pytest.param("s3cret", "s3cret\ud800", False, id="what is no text"),
        pytest.param("schlüssel", "schlüssel", True, id="more than ASCII"),
        pytest.param(None, None, True, id="no token is configured"),
        pytest.param(None, "any", True, id="no token is configured, one is given"),
    ],
)
def test_a_beat_is_admitted_by_the_token_of_its_check(
    expected: str | None, given_token: str | None, admitted: bool
) -> None:
    book = Beats(Clock())
    book.configure({KEY: expected}, NOON)
    assert book.admits(*KEY, given_token) is admitted


# ---------------------------------------------------------------------------------------------------- reload, restart


def test_a_reload_keeps_what_is_remembered_and_counts_new_checks_from_now(beats: Beats) -> None:
    push(beats, "success", 5)
    later = NOON + timedelta(hours=1)
    beats.configure({KEY: "new token", ("photos", "backup"): None}, later)
    assert beats.state(*KEY).first_at == NOON
    assert beats.state(*KEY).total == 1
    assert beats.state("photos", "backup") == BeatState(first_at=later)
    assert not beats.admits(*KEY, None)


def test_a_check_that_config_drops_is_forgotten_and_starts_anew_when_it_comes_back(beats: Beats) -> None:
    push(beats, "success", 5)
    beats.configure({}, NOON)
    assert beats.changed() == {}
    beats.configure({KEY: None}, NOON + timedelta(days=1))
    assert beats.state(*KEY) == BeatState(first_at=NOON + timedelta(days=1))


def test_what_was_saved_comes_back_after_a_restart(beats: Beats, clock: Clock) -> None:
    push(beats, "start", 1)
    push(beats, "fail", 5, body=b"disk full")
    saved = beats.changed()
    clock.at += timedelta(hours=1)
    born_again = Beats(clock)
    born_again.restore(saved, (NOON + 6 * SECOND, clock.at))
    born_again.configure({KEY: None}, clock.at)
    assert born_again.state(*KEY) == beats.state(*KEY)
    assert born_again.blind_since() == (NOON + 6 * SECOND, NOON + timedelta(hours=1))
    assert born_again.changed() == {}, "nothing is new"


def test_a_first_start_has_no_blind_span(beats: Beats) -> None:
    begin, end = beats.blind_since()
    assert begin == end


def test_a_store_that_comes_back_late_does_not_undo_beats_that_came_meanwhile(beats: Beats) -> None:
    stored = BeatState(
        first_at=NOON - timedelta(days=9),
        success=Beat(at=NOON - timedelta(minutes=2), kind="success"),
        fail=Beat(at=NOON - timedelta(minutes=3), kind="fail"),
        start=Beat(at=NOON - timedelta(minutes=1), kind="start"),
        total=7,
    )
    push(beats, "success", 5)
    beats.restore({KEY: stored})
    state = beats.state(*KEY)
    assert state.first_at == NOON - timedelta(days=9)
    assert state.success == Beat(at=NOON + 5 * SECOND, kind="success")
    assert state.fail == stored.fail
    assert state.start is None, "the run that was stored has ended meanwhile"
    assert state.total == 8


# ---------------------------------------------------------------------------------------------------- saving


def test_each_change_is_handed_out_once_and_again_when_it_could_not_be_saved(beats: Beats) -> None:
    push(beats, "success", 1)
    first = beats.changed()
    assert first.keys() == {KEY}
    assert beats.changed() == {}
    beats.unsaved(first)
    assert beats.changed() == first


def test_what_was_handed_out_does_not_change_any_more(beats: Beats) -> None:
    push(beats, "success", 1)
    handed_out = beats.changed()
    before = replace(handed_out[KEY])
    push(beats, "success", 2)
    assert handed_out[KEY] == before


def test_a_check_that_never_beat_is_saved_too_so_that_it_is_overdue_across_restarts(beats: Beats) -> None:
    assert beats.changed() == {KEY: BeatState(first_at=NOON)}


# ---------------------------------------------------------------------------------------------------- clocks


@pytest.fixture
def logged() -> Iterator[LogCapture]:
    before, capture = structlog.get_config(), LogCapture()
    structlog.configure(processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0))
    yield capture
    structlog.configure(**before)


def test_a_time_from_the_future_is_flagged_and_not_trusted(beats: Beats, logged: LogCapture) -> None:
    state = push(beats, "success", 7200, body=b"done")
    assert state.success is not None
    assert state.success.at == NOON
    assert state.success.body == "(stamped 2h in the future: the time of its arrival is used)\ndone"
    assert [(line["event"], line["ahead"]) for line in logged.entries] == [("beat_from_the_future", "2h")]


def test_a_minute_of_difference_between_clocks_is_trusted(beats: Beats) -> None:
    state = push(beats, "success", 60)
    assert state.success is not None
    assert state.success.at == NOON + 60 * SECOND


def test_beats_count_at_once_after_the_clock_was_set_back_while_the_agent_was_down(clock: Clock) -> None:
    far = NOON + timedelta(days=1)
    book = Beats(clock)
    book.restore(
        {KEY: BeatState(first_at=NOON, success=Beat(at=far, kind="success"), start=Beat(at=far, kind="start"))}
    )
    book.configure({KEY: None}, NOON)
    state = push(book, "success", 1)
    assert state.success is not None
    assert state.success.at == NOON + SECOND
    assert (state.start, state.took) == (None, None)


@given(st.timedeltas(timedelta(days=-30), timedelta(days=30)))
def test_a_clock_step_moves_every_remembered_time(by: timedelta) -> None:
    book = Beats(Clock())
    book.configure({KEY: None}, NOON)
    for second, kind in enumerate(("success", "fail", "log", "start")):
        push(book, kind, second)
    push(book, "start", 4, run="x")
    book.changed()
    book.shift(by)
    state = book.state(*KEY)
    moments = [beat.at for beat in (state.success, state.fail, state.log, state.start, state.last) if beat]
    assert moments == [NOON + by + n * SECOND for n in (0, 1, 2, 4, 4)]
    assert state.first_at == book.blind_since()[0] == NOON + by
    assert book.changed().keys() == {KEY}
