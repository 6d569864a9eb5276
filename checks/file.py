"""The file check: a file is there (or not), and is as old, as large and as it should be. Backups, spools, flags."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ByteSize, Field, WithJsonSchema, model_validator

from agent.core.durations import format_duration
from agent.core.result import CheckResult
from agent.durations import Duration
from agent.ports import CheckContext, CheckType, Options
from checks.blocking import Stuck, answer
from checks.file_survey import Entry, Survey, TooSlow, sha256, survey
from checks.host_proc import size as spoken_size

AHEAD = 60.0  # seconds; a file from further in the future was written by a wrong clock
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


def _absolute(path: str) -> str:
    if not os.path.isabs(path) or "\0" in path:
        raise ValueError(f"expected an absolute path such as /var/backups/*.gz, got {path!r}")
    return path


def _checksum(text: str) -> str:
    if not _SHA256.fullmatch(text.lower()):
        raise ValueError("expected 64 hexadecimal digits, as sha256sum prints them")
    return text.lower()


Size = Annotated[
    ByteSize, WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string"}], "examples": ["10MB"]})
]
Number = Annotated[int, Field(ge=0)]


class Count(Options):
    """How many files there should be. A bare number means exactly that many."""

    min: Number | None = Field(None, description="At least this many.")
    max: Number | None = Field(None, description="At most this many.")

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: object) -> object:
        return value if isinstance(value, Mapping | Count) else {"min": value, "max": value}

    @model_validator(mode="after")
    def _order(self) -> Self:
        _in_order(self, "min", "max")
        return self


_COUNT_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 0}, Count.model_json_schema()]}


class FileOptions(Options):
    """Which files, and what is expected of them."""

    path: Annotated[str, AfterValidator(_absolute)] = Field(
        description="A file, a folder (its files, not those below), or a pattern such as /var/backups/**/*.gz."
    )
    exists: bool = Field(True, description="Set to false where the file must not be there.")
    max_age: Duration | None = Field(None, description="FAIL when its content was last changed longer ago than this.")
    min_age: Duration | None = Field(None, description="FAIL when it was last changed more recently than this.")
    min_size: Size | None = Field(None, description="FAIL when it is smaller than this (10MB, 1GiB, bytes).")
    max_size: Size | None = Field(None, description="FAIL when it is larger than this.")
    count: Annotated[Count, WithJsonSchema(_COUNT_SCHEMA)] | None = Field(
        None, description="How many files: `3` for exactly three, or `{min: 1, max: 100}`. With `min: 0` none is fine."
    )
    sha256: Annotated[str, AfterValidator(_checksum)] | None = Field(
        None, description="FAIL when the checksum of its content is another one."
    )
    of: Literal["newest", "oldest", "each"] = Field(
        "newest", description="Which of several files is held against the ages and sizes."
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        asked = self.model_fields_set - {"path", "exists"}
        if not self.exists and asked:
            raise ValueError(f"a file that must not exist has no {', '.join(sorted(asked))}")
        if self.sha256 and self.of == "each":
            raise ValueError("a checksum is of one file: of must be newest or oldest")
        _in_order(self, "min_age", "max_age")
        _in_order(self, "min_size", "max_size")
        return self


def _in_order(options: Options, low: str, high: str) -> None:
    least, most = getattr(options, low), getattr(options, high)
    if least is not None and most is not None and least > most:
        raise ValueError(f"nothing satisfies both: {low} is more than {high}")


# ---------------------------------------------------------------------------------------------------- judging


@dataclass(frozen=True, slots=True)
class Fault:
    reason: str
    text: str


class CannotTell(Exception):
    """Why no verdict is possible: a reason slug and a text."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def faults(options: FileOptions, found: Survey, now: float) -> Iterator[Fault]:
    """Everything that is not as it should be, but the checksum. Raises CannotTell."""
    if not options.exists:
        if found.found or found.count:
            yield Fault("present", f"{options.path} must not exist: {_what(options, found)}")
        return
    if options.count is not None:
        yield from _count_faults(options.count, options, found)
    elif not found.count and (not found.found or _asks_for_files(options)):
        yield Fault("missing", _what(options, found))
    yield from _age_faults(options, found, now)
    yield from _size_faults(options, found)


def chosen(options: FileOptions, found: Survey) -> Entry | None:
    return found.oldest if options.of == "oldest" else found.newest


def _asks_for_files(options: FileOptions) -> bool:
    asked = (options.max_age, options.min_age, options.min_size, options.max_size, options.sha256)
    return any(limit is not None for limit in asked)


def _count_faults(count: Count, options: FileOptions, found: Survey) -> Iterator[Fault]:
    if count.min is not None and found.count < count.min:
        yield Fault("count", f"{_what(options, found)}, at least {count.min} expected")
    if count.max is not None and found.count > count.max:
        yield Fault("count", f"{_what(options, found)}, at most {count.max} expected")


def _age_faults(options: FileOptions, found: Survey, now: float) -> Iterator[Fault]:
    each = options.of == "each"
    old = found.oldest if each else chosen(options, found)
    young = found.newest if each else chosen(options, found)
    if (options.max_age is not None or options.min_age is not None) and young and young.changed > now + AHEAD:
        ahead = _length(young.changed - now)
        raise CannotTell("future", f"{young.path} is stamped {ahead} in the future: its age cannot be told")
    if options.max_age is not None and old and now - old.changed > options.max_age.total_seconds():
        age, limit = _length(now - old.changed), format_duration(options.max_age)
        yield Fault("old", f"{old.path} was last changed {age} ago, more than {limit}")
    if options.min_age is not None and young and now - young.changed < options.min_age.total_seconds():
        age, limit = _length(now - young.changed), format_duration(options.min_age)
        yield Fault("young", f"{young.path} was last changed {age} ago, less than {limit}")


def _size_faults(options: FileOptions, found: Survey) -> Iterator[Fault]:
    each = options.of == "each"
    small = found.smallest if each else chosen(options, found)
    large = found.largest if each else chosen(options, found)
    if options.min_size is not None and small and small.size < options.min_size:
        yield Fault("small", f"{small.path} has {spoken_size(small.size)}, less than {spoken_size(options.min_size)}")
    if options.max_size is not None and large and large.size > options.max_size:
        yield Fault("large", f"{large.path} has {spoken_size(large.size)}, more than {spoken_size(options.max_size)}")


def _what(options: FileOptions, found: Survey) -> str:
    if found.kind == "file":
        if found.count:
            return f"{options.path} exists"
        return f"{options.path} {'is a link to nowhere' if os.path.islink(options.path) else 'does not exist'}"
    files = "1 file" if found.count == 1 else f"{found.count or 'no'} files"
    return f"{files} in {options.path}" if found.kind == "folder" else f"{files} at {options.path}"


def _length(seconds: float) -> str:
    return format_duration(timedelta(seconds=round(max(seconds, 0.0))))


# ---------------------------------------------------------------------------------------------------- running


def _look(options: FileOptions, now: float, deadline: float) -> tuple[Survey, list[Fault]]:
    """All that touches the disk."""
    found = survey(options.path, deadline)
    said = list(faults(options, found, now))
    entry = chosen(options, found)
    if options.sha256 is not None and entry is not None:
        if not entry.regular:
            raise CannotTell("unreadable", f"{entry.path} is no regular file: it has no checksum")
        digest = sha256(entry.path, deadline)
        if digest != options.sha256:
            text = f"{entry.path} has the checksum {digest[:12]}…, not {options.sha256[:12]}…"
            said.append(Fault("checksum", text))
    return found, said


async def run(options: FileOptions, ctx: CheckContext) -> CheckResult:
    now, limit = ctx.started.timestamp(), ctx.timeout * 0.9
    call: Callable[[], tuple[Survey, list[Fault]]] = partial(_look, options, now, monotonic() + limit)
    try:
        found, said = await answer(f"file {ctx.service} {ctx.check} {options.path}", call, limit)
    except (Stuck, TooSlow):
        return ctx.unknown("stuck", f"{options.path} could not be read within {limit:.3g} s")
    except CannotTell as why:
        return ctx.unknown(why.reason, str(why))
    except OSError as error:
        return ctx.unknown("unreadable", f"{error.filename or options.path}: {error.strerror}")
    values: dict[str, float] = {"files": found.count}
    entry = chosen(options, found)
    if entry is not None:
        values |= {"age_seconds": max(0.0, now - entry.changed), "size_bytes": entry.size}
    if said:
        return ctx.failed(said[0].reason, "; ".join(fault.text for fault in said), values=values)
    return ctx.passed(_well(options, found, entry, now), values=values)


def _well(options: FileOptions, found: Survey, entry: Entry | None, now: float) -> str:
    if entry is None:
        return _what(options, found)
    which = "" if found.kind == "file" else f"{_what(options, found)}, the {_which(options)} is "
    return f"{which}{entry.path}: {spoken_size(entry.size)}, changed {_length(now - entry.changed)} ago"


def _which(options: FileOptions) -> str:
    return "oldest" if options.of == "oldest" else "newest"


FILE = CheckType(
    name="file",
    options=FileOptions,
    run=run,
    about="A file, or those in a folder or of a pattern, are there, and as old and as large as they should be.",
    short="path",
    keeps_time=True,
    local=True,
)
