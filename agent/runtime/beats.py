"""The book of pushed heartbeats: taken in from HTTP, read by the heartbeat check, written to the store in batches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

import structlog

from agent.core.durations import format_duration
from agent.ports import Beat, BeatState

Key = tuple[str, str]  # service, check

BODY_LIMIT = 10 * 1024
CUT = "\n… (cut at 10 KiB)"
AHEAD = timedelta(minutes=1)  # further than this in the future is a wrong clock, not jitter
OPEN_RUNS = 64  # runs of one check, told apart by their ids, whose start is remembered for `took`

log = structlog.get_logger()


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Beats:
    """BeatBook and BeatIntake in memory. Everything happens on the event loop's thread; nothing here waits.

    A start begins a run and a success or a fail ends it: the one with the same run id, or the latest where either
    side gives none. An exit code other than 0 makes a success a fail. A fail is a beat like any other for the
    question whether beats still come: "failed" and "missing" are different things.
    """

    def __init__(self, now: Callable[[], datetime] = _utc_now) -> None:
        self._now = now
        self._states: dict[Key, BeatState] = {}
        self._tokens: dict[Key, bytes | None] = {}
        self._starts: dict[Key, dict[str, datetime]] = {}
        self._changed: set[Key] = set()
        started = now()
        self._blind = (started, started)

    # ------------------------------------------------------------------ start and reload

    def restore(self, states: Mapping[Key, BeatState], blind: tuple[datetime, datetime] | None = None) -> None:
        """Take over what the store remembers, before `configure` or, where the store was away at the start, later:
        beats that were taken in meanwhile are kept. `blind` is the span in which no beat could be taken in."""
        for key, stored in states.items():
            fresh = self._states.get(key)
            self._states[key] = _copy(stored) if fresh is None else _merged(stored, fresh)
        if blind is not None:
            self._blind = blind

    def configure(self, expected: Mapping[Key, str | None], now: datetime) -> None:
        """Expect beats of exactly these checks, each with its token (None: any beat is let in). What is remembered of a
        check that stays is kept; a new one counts from now; one that is gone is forgotten."""
        self._tokens = {key: None if token is None else token.encode() for key, token in expected.items()}
        for key in expected:
            if key not in self._states:
                self._states[key] = BeatState(first_at=now)
                self._changed.add(key)
        for key in self._states.keys() - expected.keys():
            del self._states[key]
            self._starts.pop(key, None)
        self._changed &= expected.keys()

    # ------------------------------------------------------------------ intake

    def knows(self, service: str, check: str) -> bool:
        return (service, check) in self._tokens

    def admits(self, service: str, check: str, token: str | None) -> bool:
        expected = self._tokens.get((service, check))
        return expected is None or compare_digest(expected, (token or "").encode("utf-8", "replace"))

    def take(self, service: str, check: str, beat: Beat, body: bytes = b"") -> bool:
        key = (service, check)
        state = self._states.get(key)
        if state is None or key not in self._tokens:
            return False
        latest = self._now() + AHEAD
        beat = _readable(beat, body)
        if beat.at > latest:
            beat = _restamped(key, beat, latest - AHEAD)
        if beat.kind == "start":
            self._begin(key, state, beat, latest)
        elif beat.kind in ("success", "fail"):
            self._end(key, state, beat, latest)
        elif beat.kind == "log":
            state.log = _newer(state.log, beat, latest)
        else:
            raise ValueError(f"{beat.kind!r} is no kind of beat: expected start, success, fail or log")
        state.last = _newer(state.last, beat, latest)
        state.total += 1
        self._changed.add(key)
        return True

    def _begin(self, key: Key, state: BeatState, beat: Beat, latest: datetime) -> None:
        state.start = _newer(state.start, beat, latest)
        if beat.run_id:
            starts = self._starts.setdefault(key, {})
            starts[beat.run_id] = beat.at
            if len(starts) > OPEN_RUNS:
                del starts[next(iter(starts))]

    def _end(self, key: Key, state: BeatState, beat: Beat, latest: datetime) -> None:
        began = self._starts[key].pop(beat.run_id, None) if beat.run_id and key in self._starts else None
        start = state.start
        if start is not None and (start.at <= beat.at or start.at > latest) and _same_run(start, beat):
            began = start.at
            state.start = None
        if began is not None and began <= beat.at:
            state.took = beat.at - began
        if beat.kind == "fail":
            state.fail = _newer(state.fail, beat, latest)
        else:
            state.success = _newer(state.success, beat, latest)

    # ------------------------------------------------------------------ reading

    def state(self, service: str, check: str) -> BeatState:
        """What is remembered, to be read only. A check that is not known is one that never beat, from now on."""
        return self._states.get((service, check)) or BeatState(first_at=self._now())

    def blind_since(self) -> tuple[datetime, datetime]:
        return self._blind

    # ------------------------------------------------------------------ the store's side

    def changed(self) -> dict[Key, BeatState]:
        """Copies of what changed since the last call, for the store. A batch that could not be saved is handed back
        with `unsaved`, and its checks come again."""
        keys, self._changed = self._changed, set()
        return {key: _copy(self._states[key]) for key in keys if key in self._states}

    def unsaved(self, keys: Iterable[Key]) -> None:
        self._changed.update(key for key in keys if key in self._states)

    def shift(self, by: timedelta) -> None:
        """The wall clock jumped: move every remembered time along, so that nothing is overdue or excused by it."""
        self._states = {key: _shifted(state, by) for key, state in self._states.items()}
        self._starts = {
            key: {run: at + by for run, at in starts.items()} for key, starts in self._starts.items() if starts
        }
        self._blind = (self._blind[0] + by, self._blind[1] + by)
        self._changed.update(self._states)


def _readable(beat: Beat, body: bytes) -> Beat:
    """The beat with its body decoded and bounded, and as a fail where its exit code says so."""
    kind = "fail" if beat.kind == "success" and beat.exit_code else beat.kind
    text = _text(body or beat.body.encode("utf-8", "replace")) if body or beat.body else ""
    if kind == beat.kind and text == beat.body:
        return beat
    return replace(beat, kind=kind, body=text)


def _text(body: bytes) -> str:
    """At most 10 KiB of UTF-8, cut between characters and marked; what is no text becomes U+FFFD."""
    # Invalid bytes grow on replacement, so the limit is applied to the result; three bytes of slack keep a character
    # that lies across the limit whole until then.
    text = body[: BODY_LIMIT + 3].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
    kept = text.encode()
    if len(kept) <= BODY_LIMIT and len(body) <= BODY_LIMIT:
        return text
    return kept[:BODY_LIMIT].decode("utf-8", "ignore") + CUT


def _same_run(start: Beat, end: Beat) -> bool:
    return start.run_id == end.run_id or not start.run_id or not end.run_id


def _newer(known: Beat | None, beat: Beat, latest: datetime) -> Beat:
    """The beat, unless a later one is known already; one from beyond `latest` was stamped by a wrong clock."""
    return beat if known is None or beat.at >= known.at or known.at > latest else known


def _restamped(key: Key, beat: Beat, now: datetime) -> Beat:
    """A time from the future is replaced by the time of arrival, and the beat says so."""
    ahead = format_duration(timedelta(seconds=round((beat.at - now).total_seconds())))
    log.warning("beat_from_the_future", service=key[0], check=key[1], ahead=ahead)
    note = f"(stamped {ahead} in the future: the time of its arrival is used)\n"
    return replace(beat, at=now, body=note + beat.body)


def _copy(state: BeatState) -> BeatState:
    return replace(state)


def _merged(stored: BeatState, fresh: BeatState) -> BeatState:
    """What was stored, brought up to date by what has come since."""
    run_ended = stored.start is not None and any(
        end is not None and end.at >= stored.start.at and _same_run(stored.start, end)
        for end in (fresh.success, fresh.fail)
    )
    return BeatState(
        first_at=min(stored.first_at, fresh.first_at),
        success=fresh.success or stored.success,
        fail=fresh.fail or stored.fail,
        start=fresh.start or (None if run_ended else stored.start),
        log=fresh.log or stored.log,
        last=fresh.last or stored.last,
        took=stored.took if fresh.took is None else fresh.took,
        total=stored.total + fresh.total,
    )


def _shifted(state: BeatState, by: timedelta) -> BeatState:
    def moved(beat: Beat | None) -> Beat | None:
        return None if beat is None else replace(beat, at=beat.at + by)

    return replace(
        state,
        first_at=state.first_at + by,
        success=moved(state.success),
        fail=moved(state.fail),
        start=moved(state.start),
        log=moved(state.log),
        last=moved(state.last),
    )
