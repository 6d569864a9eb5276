"""One raw line of a log to a `LogLine`. Pure: no clock, no I/O.

JSON objects (also Docker's wrapping of another line), logfmt, and plain lines: ISO times, syslog (RFC 3164 and 5424),
nginx error and access logs, Apache's, klog, the CRI format of containers. A plain line keeps its whole text but for
colours and other terminal escapes; of a JSON or logfmt line the message becomes the text and the other keys become
fields.

Times without a zone are taken as UTC unless `zone` says otherwise. A line without a credible time gets the time at
which it was received.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import orjson

from agent.core.few import NO_TEXT
from agent.core.plain_text import without_escapes
from agent.logs.levels import level_in, level_of_number, level_of_priority, level_of_status, level_of_word
from agent.logs.times import credible, from_access, from_iso, from_month, from_value, from_yearless
from agent.ports import LogLine

RAW_LIMIT = 65_536  # bytes of a raw line that are looked at
TEXT_LIMIT = 16_384  # characters of a line's text that are kept
FIELD_LIMIT = 1_024  # characters of one field's value that are kept
FIELDS = 32  # fields that are kept
CUT = " [cut]"

_TIME_KEYS = ("time", "timestamp", "ts", "@timestamp", "datetime", "asctime")
_LEVEL_KEYS = ("level", "severity", "lvl", "levelname", "log.level", "levelno")
_TEXT_KEYS = ("msg", "message", "event", "log", "MESSAGE")
_TRACE_KEYS = ("trace_id", "traceId", "traceID", "TraceId", "otelTraceID", "trace.id", "trace")

_LOGFMT_START = re.compile(r'[A-Za-z_@][\w.@/-]*=(?:"|[^\s=]|$)')
_LOGFMT = re.compile(r'([A-Za-z_@][\w.@/-]*)=(?:"((?:[^"\\]|\\.)*)"|(\S*))')
_PRIORITY = re.compile(r"<(\d{1,3})>(?:1 )?")
_ISO = re.compile(r"\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z| ?[+-]\d\d:?\d\d\b)?)")
_CRI = re.compile(r"(\d{4}-\d\d-\d\dT\S+) (?:stdout|stderr) [FP] ")
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)\b")
_NGINX_ERROR = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d:\d\d:\d\d)")
_APACHE = re.compile(r"\[[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d(?:\.\d{1,6})?) (\d{4})\]")
_KLOG = re.compile(r"([IWEF])(\d\d)(\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,6})?) ")
_ACCESS = re.compile(r'(\S+) \S+ \S+ \[([^\]]{20,30})\] "([A-Z]+) ([^" ]*)[^"]*" (\d{3}) ')
_TRACE = re.compile(r"(?:trace[_.-]?id\W{1,4}|traceparent\W{1,4}00-)([0-9a-f]{16,32})\b", re.IGNORECASE)
_LEVEL_WITHIN = 120  # characters from the line's start in which a level word means the level


def parse(
    raw: str | bytes, *, source: str, service: str, received: datetime, zone: tzinfo = UTC, level: str = ""
) -> LogLine:
    """Read one line, with or without its newline. Never raises, whatever the bytes: those that are not UTF-8 become
    U+FFFD, NULs vanish, and what is longer than the limits is cut and marked. `level` is what the transport says of
    the line (a journal priority), used where the line itself says nothing."""
    text = clean(raw)
    if text.startswith("{") and (found := _json(text, source, service, received, zone, level)) is not None:
        return found
    if _LOGFMT_START.match(text) and (found := _logfmt(text, source, service, received, zone, level)) is not None:
        return found
    at, own_level, fields = _plain(text, received, zone)
    trace = _TRACE.search(text) if "race" in text else None
    return LogLine(
        at=credible(at, received),
        source=source,
        service=service,
        level=own_level or level,
        text=cut(text, TEXT_LIMIT),
        trace_id=trace[1] if trace else "",
        fields=fields,
    )


def clean(raw: str | bytes) -> str:
    """The characters of a raw line: bounded, without NULs, terminal escapes and trailing white space, encodable as
    UTF-8."""
    if isinstance(raw, bytes):
        cut_off = len(raw) > RAW_LIMIT
        text = raw[:RAW_LIMIT].decode("utf-8", "replace")
    else:
        cut_off = len(raw) > RAW_LIMIT
        text = raw[:RAW_LIMIT].encode("utf-8", "replace").decode("utf-8", "replace")
    if "\0" in text:
        text = text.replace("\0", "")
    text = without_escapes(text).rstrip()
    return text + CUT if cut_off else text


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them saying so if any had to go."""
    return text if len(text) <= limit else text[: limit - len(CUT)] + CUT


def _json(text: str, source: str, service: str, received: datetime, zone: tzinfo, level: str) -> LogLine | None:
    try:
        values = orjson.loads(text)
    except ValueError:
        return None
    inner = values.get("log")
    if isinstance(inner, str) and "stream" in values and len(values) <= 5:  # Docker's json-file driver
        at = credible(from_value(values.get("time"), zone), received)
        return parse(inner, source=source, service=service, received=at, zone=zone, level=level)
    return _keyed(values, text, source, service, received, zone, level)


def _logfmt(text: str, source: str, service: str, received: datetime, zone: tzinfo, level: str) -> LogLine | None:
    values: dict[str, Any] = {}
    for key, quoted, bare in _LOGFMT.findall(text):
        values.setdefault(key, quoted.replace('\\"', '"').replace("\\n", "\n") if quoted else bare)
    if len(values) < 2 and not any(key in values for key in (*_LEVEL_KEYS, *_TEXT_KEYS)):
        return None  # one lonely "a=b" at the start of a sentence
    return _keyed(values, text, source, service, received, zone, level)


def _keyed(
    values: dict[str, Any], text: str, source: str, service: str, received: datetime, zone: tzinfo, level: str
) -> LogLine:
    """A line whose keys are known. Keys that mean something are taken out, the rest become fields."""
    at = None
    for key in _TIME_KEYS:
        if key in values and (at := from_value(values[key], zone)) is not None:
            del values[key]
            break
    for key in _LEVEL_KEYS:
        if key in values and (found := _level_of(key, values[key])):
            level = found
            del values[key]
            break
    for key in _TEXT_KEYS:
        if isinstance(values.get(key), str):
            text = without_escapes(values.pop(key).replace("\0", ""))
            break
    trace_id = ""
    for key in _TRACE_KEYS:
        value = values.get(key)
        if isinstance(value, str) and not value[:64].count(" "):  # with blanks in it, it is a stack's
            trace_id = values.pop(key)[:64]
            break
    return LogLine(
        at=credible(at, received),
        source=source,
        service=service,
        level=level,
        text=cut(text, TEXT_LIMIT),
        trace_id=trace_id.replace("\0", ""),
        fields=_fields(values) if values else NO_TEXT,
    )


def _level_of(key: str, value: object) -> str:
    if isinstance(value, str):
        if not value.isdecimal():
            return level_of_word(value)
        value = int(value[:3])
    if isinstance(value, int | float) and not isinstance(value, bool):
        return level_of_number(value, python=key == "levelno")
    return ""


def _fields(values: Mapping[str, Any]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for key, value in values.items():
        if len(fields) == FIELDS:
            break
        word = value if isinstance(value, str) else orjson.dumps(value).decode()
        fields[key[:128].replace("\0", "")] = cut(word, FIELD_LIMIT).replace("\0", "")
    return fields


def _plain(text: str, received: datetime, zone: tzinfo) -> tuple[datetime | None, str, Mapping[str, str]]:
    """Time, level and fields of a line in one of the plain formats; none of them where it is in no known one."""
    level = ""
    if text.startswith("<") and (priority := _PRIORITY.match(text)):
        level = level_of_priority(int(priority[1]))
        text = text[priority.end() : priority.end() + 256]
    if access := _ACCESS.match(text):
        client, at, method, path, status = access.groups()
        fields = {"client": client, "method": method, "path": cut(path, FIELD_LIMIT), "status": status}
        return from_access(at), level_of_status(status), fields
    if cri := _CRI.match(text):
        at_once = from_iso(cri[1], zone)
        inner, own, fields_ = _plain(text[cri.end() :], received, zone)
        return at_once or inner, own or level, fields_
    if klog := _KLOG.match(text):
        month = int(klog[2])
        return from_yearless(month, klog[3], klog[4], received, zone), level_of_word(klog[1]), NO_TEXT
    level = level_in(text, _LEVEL_WITHIN) or level
    return _leading_time(text, received, zone), level, NO_TEXT


def _leading_time(text: str, received: datetime, zone: tzinfo) -> datetime | None:
    first = text[:1]
    if first.isdigit() or first == "[":
        if iso := _ISO.match(text):
            return from_iso(iso[1].replace(" +", "+").replace(" -", "-"), zone)
        if nginx := _NGINX_ERROR.match(text):
            return from_iso(f"{nginx[1]}-{nginx[2]}-{nginx[3]}T{nginx[4]}", zone)
        if apache := _APACHE.match(text):
            return from_month(apache[4], apache[1], apache[2], apache[3], zone)
    elif syslog := _SYSLOG.match(text):
        return from_yearless(syslog[1], syslog[2], syslog[3], received, zone)
    return None
