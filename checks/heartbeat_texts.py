"""How a heartbeat check says what it found, for people."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from agent.core.durations import format_duration
from agent.ports import Beat, BeatState
from checks.heartbeat_due import Due, HeartbeatOptions
from checks.heartbeat_slots import last_slot, next_slot, zone_mismatch


def newest(*beats: Beat | None) -> Beat | None:
    return max((beat for beat in beats if beat is not None), key=lambda beat: beat.at, default=None)


def well_text(
    options: HeartbeatOptions, state: BeatState, due: Due, now: datetime, lost: timedelta | None = None
) -> str:
    """`lost` is how long the agent was away where a beat may have been lost in that time."""
    until = _moment(due.at, now, options.zone)
    away = f"; one may have been lost while the agent was away for {format_duration(rounded(lost))}" if lost else ""
    if state.success is None:
        return f"waiting for the first beat, due {until}{away}"
    off = _off_its_slot(options, state.success, due)
    return f"last beat {_age(state.success.at, now)} ago, next due {until}{off}{away}"


def running_text(options: HeartbeatOptions, run: Beat, limit: datetime, now: datetime) -> str:
    return f"running for {_age(run.at, now)}, must end by {_moment(limit, now, options.zone)}"


def unended_text(options: HeartbeatOptions, run: Beat, limit: datetime, now: datetime) -> str:
    allowed = format_duration(rounded(limit - run.at))
    began = _moment(run.at, now, options.zone)
    return f"the run that started {began} has not ended after {_age(run.at, now)}, at most {allowed} is allowed"


def failed_text(options: HeartbeatOptions, failed: Beat, run: Beat | None, now: datetime) -> str:
    how = f"exit code {failed.exit_code}" if failed.exit_code else "the service said so"
    again = f"; a new run is under way for {_age(run.at, now)}" if run is not None else ""
    return f"failed {_age(failed.at, now)} ago, {_moment(failed.at, now, options.zone)}: {how}{again}"


def overdue_text(options: HeartbeatOptions, state: BeatState, due: Due, now: datetime) -> str:
    grace = format_duration(rounded(due.grace))
    if options.every is not None:
        expected = f"expected every {format_duration(options.every)} with {grace} grace"
    else:
        expected = f"expected {_moment(due.at, now, options.zone)} ({options.cron}) with {grace} grace"
    end = newest(state.success, state.fail)
    if end is None:
        text = f"no beat ever, {expected}, since {_moment(state.first_at, now, options.zone)}"
    else:
        last = f"last one {_moment(end.at, now, options.zone)}" + (", a fail" if end is state.fail else "")
        text = f"no beat for {_age(end.at, now)}, {expected}; {last}{_off_its_slot(options, end, due)}"
    if state.start is not None:
        text += f"; a run started {_age(state.start.at, now)} ago, too late, and has not ended"
    return text


def _off_its_slot(options: HeartbeatOptions, beat: Beat, due: Due) -> str:
    """Why a beat that came does not stand for the slot that it was perhaps meant for."""
    if options.cron is None:
        return ""
    zone = options.zone or "UTC"
    slot = last_slot(options.cron, zone, beat.at)
    in_time = beat.at - slot <= due.grace or next_slot(options.cron, zone, beat.at) - beat.at <= due.at - due.opens
    if not in_time and (mismatch := zone_mismatch(options.cron, zone, beat.at)):
        return f"; {mismatch}"
    ahead = due.at - beat.at
    if not in_time and ahead <= (due.at - slot) / 4:
        early = format_duration(rounded(due.at - due.opens))
        return f"; it came {format_duration(rounded(ahead))} before its slot, only {early} early is allowed"
    return ""


def _age(at: datetime, now: datetime) -> str:
    return format_duration(rounded(max(now - at, timedelta(0))))


def rounded(length: timedelta) -> timedelta:
    """As exact as a person needs it."""
    unit = 60 if length >= timedelta(hours=6) else 1 if length >= timedelta(seconds=10) else 0.1
    return timedelta(seconds=round(round(length.total_seconds() / unit) * unit, 1))


def _moment(at: datetime, now: datetime, zone: str | None) -> str:
    """A time of day, with its date when that is not today's, in UTC and in the zone where one is set."""
    utc = _clock(at, now, UTC) + " UTC"
    if zone is None or zone == "UTC":
        return utc
    local = ZoneInfo(zone)
    return f"{_clock(at, now, local)} {at.astimezone(local).tzname()} ({utc})"


def _clock(at: datetime, now: datetime, zone: tzinfo) -> str:
    there, today = at.astimezone(zone), now.astimezone(zone)
    return there.strftime("%H:%M:%S" if there.date() == today.date() else "%Y-%m-%d %H:%M:%S")
