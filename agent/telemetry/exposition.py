"""The series of checks and services, written straight from the live table.

A general metrics library needs 1.5 s of CPU for the series of 10,000 checks, in which no check could run. Here one
label block per row is escaped once and cached in `row.series`, a sample is one byte format over it, and the text
leaves in chunks of some hundred rows, so that the caller can let other work pass in between.

Formats: Prometheus text 0.0.4, and OpenMetrics 1.0 (which differs here only in the headers of counters).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import inf, isnan

from agent.core.result import Verdict
from agent.core.state import Health
from agent.ports import CheckRow, ServiceRow

ROWS_PER_CHUNK = 500

UP = {Verdict.PASS: 1, Verdict.WARN: 1, Verdict.FAIL: 0}  # UNKNOWN: no sample
NAGIOS = {Verdict.PASS: 0, Verdict.WARN: 1, Verdict.FAIL: 2, Verdict.UNKNOWN: 3}  # plugin exit codes
RUN_VERDICTS = (Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.UNKNOWN)  # the order of CheckRow.runs

RowSamples = Callable[[CheckRow, bytes], bytes]


def escaped(value: str) -> bytes:
    """A label value as both formats want it: backslash, quote and line feed escaped, always valid UTF-8."""
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return value.encode("utf-8", "replace")


def number(value: float) -> bytes:
    """A sample's value: as many digits as it takes to read the very same number back."""
    if isnan(value):
        return b"NaN"
    if value in (inf, -inf):
        return b"+Inf" if value > 0 else b"-Inf"
    return b"%a" % value


@lru_cache(maxsize=4096)
def _name(value: str) -> bytes:
    return escaped(value)


@lru_cache(maxsize=1024)
def _phase_format(phases: tuple[str, ...]) -> bytes:
    """One format for all samples of a run with these phases; it takes (labels, seconds) for each, the total last."""
    line = b'codeblue_check_duration_seconds{%%b,phase="%b"} %%.9g\n'
    return b"".join(line % _name(phase).replace(b"%", b"%%") for phase in (*phases, "total"))


_RUNS_FORMAT = b"".join(
    b'codeblue_check_runs_total{%%b,verdict="%b"} %%d\n' % verdict.value.encode() for verdict in RUN_VERDICTS
)


def _labels(row: CheckRow) -> bytes:
    if row.series is None:
        values = (escaped(row.service), escaped(row.check), escaped(row.type))
        row.series = b'service="%b",check="%b",type="%b"' % values
    return row.series


def _up(row: CheckRow, labels: bytes) -> bytes:
    value = UP.get(row.verdict) if row.verdict is not None else None
    return b"" if value is None else b"codeblue_check_up{%b} %d\n" % (labels, value)


def _verdict(row: CheckRow, labels: bytes) -> bytes:
    return b"" if row.verdict is None else b"codeblue_check_verdict{%b} %d\n" % (labels, NAGIOS[row.verdict])


def _duration(row: CheckRow, labels: bytes) -> bytes:
    if row.verdict is None:
        return b""
    phases = row.phases
    values: list[bytes | float] = []
    for seconds in phases.values():
        values += (labels, seconds)
    return _phase_format(tuple(phases)) % (*values, labels, row.took)


def _runs(row: CheckRow, labels: bytes) -> bytes:
    passed, warned, failed, unknown = row.runs
    return _RUNS_FORMAT % (labels, passed, labels, warned, labels, failed, labels, unknown)


def _misses(row: CheckRow, labels: bytes) -> bytes:
    return b"codeblue_check_misses{%b} %d\n" % (labels, row.misses)


def _last_run(row: CheckRow, labels: bytes) -> bytes:
    if row.verdict is None:
        return b""
    return b"codeblue_check_last_run_timestamp_seconds{%b} %.3f\n" % (labels, row.at)


def _values(row: CheckRow, labels: bytes) -> bytes:
    if not row.values:
        return b""
    lines = [b'codeblue_check_value{%b,name="%b"} %b\n' % (labels, _name(n), number(v)) for n, v in row.values.items()]
    return b"".join(lines)


CHECK_SERIES: Mapping[str, RowSamples] = {
    "codeblue_check_up": _up,
    "codeblue_check_verdict": _verdict,
    "codeblue_check_duration_seconds": _duration,
    "codeblue_check_runs_total": _runs,
    "codeblue_check_misses": _misses,
    "codeblue_check_last_run_timestamp_seconds": _last_run,
    "codeblue_check_value": _values,
}


def header(name: str, kind: str, about: str, *, openmetrics: bool) -> bytes:
    """The HELP and TYPE lines. OpenMetrics names a counter without the `_total` that its samples carry."""
    if openmetrics and kind == "counter":
        name = name.removesuffix("_total")
    about = about.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        about = about.replace('"', '\\"')
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n".encode()


def check_chunks(rows: Sequence[CheckRow], samples: RowSamples) -> Iterator[bytes]:
    """All samples of one metric, some hundred rows at a time."""
    for start in range(0, len(rows), ROWS_PER_CHUNK):
        part = rows[start : start + ROWS_PER_CHUNK]
        yield b"".join([samples(row, row.series or _labels(row)) for row in part])


_HEALTHS = tuple(Health)
_HEALTH_FORMAT = b"".join(
    b'codeblue_service_health{%%b,health="%b"} %%d\n' % health.value.encode() for health in _HEALTHS
)


def health_chunks(services: Sequence[ServiceRow]) -> Iterator[bytes]:
    """A state set for each service: one series per health, of which exactly one is 1."""
    for start in range(0, len(services), ROWS_PER_CHUNK):
        yield b"".join(map(_health, services[start : start + ROWS_PER_CHUNK]))


def _health(row: ServiceRow) -> bytes:
    labels, now = b'service="%b"' % escaped(row.name), row.state.health
    values: list[bytes | int] = []
    for health in _HEALTHS:
        values += (labels, health is now)
    return _HEALTH_FORMAT % tuple(values)


def gathered(chunks: Iterable[bytes], size: int = 32_768) -> Iterator[bytes]:
    """Joins small chunks, so that each is worth a write of its own; large ones pass as they are."""
    waiting: list[bytes] = []
    length = 0
    for chunk in chunks:
        waiting.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
