import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext
from checks.host import HOST, Host, run
from checks.host_clock import KernelClock, read_clock
from checks.host_limits import HostOptions
from checks.host_proc import size

GB = 1_000_000_000
RIGHT = KernelClock(synchronised=True, offset=0.000_2, error=0.001)


def tree(root: Path, **other: str) -> Path:
    """A /proc of a host with 4 cores, 16 GB of memory of which 8 are available, 2 GB of swap, a load of 2."""
    files = {
        "meminfo": "MemTotal:       16000000 kB\nMemFree:        500000 kB\nMemAvailable:   8000000 kB\n"
        "SwapTotal:      2000000 kB\nSwapFree:       1900000 kB\nHugePages_Total:       0\n",
        "loadavg": "9.50 2.00 1.00 3/812 4242\n",
        "stat": "cpu  1 2 3 4\ncpu0 1 2 3 4\ncpu1 1 2 3 4\ncpu2 1 2 3 4\ncpu3 1 2 3 4\nintr 5\n",
        "sys/fs/file-nr": "1100\t100\t10000\n",
    } | {name.replace("__", "/").replace("_", "-"): text for name, text in other.items()}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def statvfs(
    used: float = 0.5, inodes: float = 0.1, *, reserved: int = 0, files: int = 1000
) -> Callable[[str], os.statvfs_result]:
    """A file system of a million blocks of 4 KiB."""
    blocks = 1_000_000
    free = round((blocks - reserved) * (1 - used))
    unused = round(files * (1 - inodes))
    found = os.statvfs_result((4096, 4096, blocks, free + reserved, free, files, unused, unused, 0, 255))
    return lambda path: found


HALF_FULL = statvfs()


async def look(
    tmp_path: Path, given: Any, *, fs: Callable[[str], os.statvfs_result] = HALF_FULL, clock: Any = RIGHT, **proc: str
) -> CheckResult:
    def ask() -> KernelClock:
        if isinstance(clock, Exception):
            raise clock
        return clock  # type: ignore[no-any-return]

    tools: Any = None
    host = Host(proc=tree(tmp_path / "proc", **proc), statvfs=fs, clock=ask)
    return await run(HostOptions.model_validate(given), CheckContext("web-1", "host", 3.0, tools), host)


MEMINFO = "MemTotal: 1000 kB\nMemAvailable: {} kB\nSwapTotal: 1000 kB\nSwapFree: {} kB\n"


async def test_a_host_that_is_well_passes_and_shows_its_figures(tmp_path: Path) -> None:
    result = await look(tmp_path, {})
    assert (result.verdict, result.reason) == (Verdict.PASS, "ok")
    assert result.summary == (
        "disk / 50%, inodes / 10%, memory 50% available, load 0.50 per core, descriptors 10%, clock within 0.0012 s"
    )
    assert result.values == {
        "disk_used_ratio:/": 0.5,
        "inodes_used_ratio:/": 0.1,
        "memory_available_ratio": 0.5,
        "load_per_core": 0.5,
        "descriptors_used_ratio": 0.1,
        "clock_offset_seconds": 0.0002,
        "clock_error_seconds": 0.001,
    }


@pytest.mark.parametrize(
    ("given", "host", "verdict", "reason", "summary"),
    [
        pytest.param(
            {}, {"fs": statvfs(0.949)}, Verdict.WARN, "disk", "disk / 94.9% in use (limit 85%), 209 MB left",
            id="a disk that fills up is a warning",
        ),
        pytest.param(
            {}, {"fs": statvfs(0.96)}, Verdict.FAIL, "disk", "disk / 96% in use (limit 95%), 164 MB left",
            id="a disk that is nearly full fails",
        ),
        pytest.param(
            {"disk": "95%"}, {"fs": statvfs(0.95)}, Verdict.FAIL, "disk",
            "disk / 95% in use (limit 95%), 205 MB left",
            id="the limit itself is too much",
        ),
        pytest.param(
            {"disk": "60%"}, {"fs": statvfs(0.5, reserved=200_000)}, Verdict.PASS, "ok", "disk / 50%",
            id="what is reserved for root counts as neither, as in df",
        ),
        pytest.param(
            {"inodes": "on"}, {"fs": statvfs(inodes=0.97)}, Verdict.FAIL, "inodes",
            "inodes / 97% in use (limit 95%), 30 left",
            id="inodes run out before the space does",
        ),
        pytest.param(
            {"inodes": "on"}, {"fs": statvfs(inodes=0, files=0)}, Verdict.PASS, "ok", "inodes / without a limit",
            id="a file system without a limit of inodes",
        ),
        pytest.param(
            {"memory": "on"}, {"meminfo": MEMINFO.format(99, 0)}, Verdict.WARN, "memory",
            "memory 9.9% available (limit 10%), 101 kB of 1.02 MB",
            id="little memory is a warning",
        ),
        pytest.param(
            {"memory": "on"}, {"meminfo": MEMINFO.format(49, 0)}, Verdict.FAIL, "memory",
            "memory 4.9% available (limit 5%), 50.2 kB of 1.02 MB",
            id="hardly any memory fails",
        ),
        pytest.param(
            {"memory": "5%"}, {"meminfo": MEMINFO.format(50, 0)}, Verdict.PASS, "ok", "memory 5% available",
            id="the limit itself is enough",
        ),
        pytest.param(
            {"swap": "on"}, {"meminfo": MEMINFO.format(500, 10)}, Verdict.FAIL, "swap",
            "swap 99% in use (limit 95%), 10.2 kB left",
            id="swap used up",
        ),
        pytest.param(
            {"swap": "1%"}, {"meminfo": "MemTotal: 9 kB\nMemAvailable: 9 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"},
            Verdict.PASS, "ok", "no swap",
            id="a host without swap",
        ),
        pytest.param(
            {"load": "on"}, {"loadavg": "1.00 17.2 90.0 1/1 1\n"}, Verdict.WARN, "load",
            "load 4.30 per core over 5 minutes (limit 4), 4 cores",
            id="the load of five minutes, per core",
        ),
        pytest.param(
            {"load": 2.5}, {"loadavg": "1.00 10.0 90.0 1/1 1\n"}, Verdict.FAIL, "load",
            "load 2.50 per core over 5 minutes (limit 2.5), 4 cores",
            id="a bare number is the limit to fail at",
        ),
        pytest.param(
            {"descriptors": "on"}, {"sys__fs__file_nr": "9100 0 10000\n"}, Verdict.FAIL, "descriptors",
            "descriptors 91% in use (limit 90%), 9,100 of 10,000",
            id="open files",
        ),
        pytest.param(
            {"clock": "100ms"}, {"clock": KernelClock(True, -0.25, 0.001)}, Verdict.FAIL, "clock",
            "clock off by up to 0.251 s (limit 100ms)",
            id="a clock that is off, to either side",
        ),
        pytest.param(
            {"clock": "on"}, {"clock": KernelClock(False, 0.0, 16.0)}, Verdict.PASS, "ok", "clock not synchronised",
            id="nobody asked for NTP",
        ),
        pytest.param(
            {"clock": {"synchronised": True}}, {"clock": KernelClock(False, 0.0, 16.0)}, Verdict.WARN, "clock",
            "clock not synchronised",
            id="NTP was asked for and is not there",
        ),
        pytest.param(
            {"clock": "on"}, {"clock": PermissionError(1, "Operation not permitted")}, Verdict.UNKNOWN, "unreadable",
            "clock cannot be read: [Errno 1] Operation not permitted",
            id="a sandbox hides the clock",
        ),
        pytest.param(
            {}, {"clock": PermissionError(1, "Operation not permitted")}, Verdict.PASS, "ok",
            "disk / 50%, inodes / 10%, memory 50% available, load 0.50 per core, descriptors 10%",
            id="a sandbox hides a clock that nobody named",
        ),
        pytest.param(
            {"memory": "on"}, {"meminfo": "MemTotal: 9 kB\n"}, Verdict.UNKNOWN, "unreadable",
            "meminfo has no MemAvailable",
            id="meminfo without the figure",
        ),
        pytest.param(
            {"load": "on"}, {"loadavg": "garbage"}, Verdict.UNKNOWN, "unreadable", "load cannot be read", id="garbage"
        ),
        pytest.param(
            {"memory": "on"}, {"meminfo": MEMINFO.format("many", 0)}, Verdict.UNKNOWN, "unreadable",
            "memory cannot be read",
            id="more garbage",
        ),
        pytest.param(
            {"memory": "on", "load": "on", "descriptors": "on"},
            {"meminfo": MEMINFO.format(99, 0), "loadavg": "1 99 1 1/1 1", "sys__fs__file_nr": "x"},
            Verdict.FAIL, "load",
            "load 24.75 per core over 5 minutes (limit 8), 4 cores; descriptors cannot be read",
            id="several things are all said, the worst first, and it gives the reason",
        ),
    ],
)  # fmt: skip
async def test_what_is_said_of_a_host(
    tmp_path: Path, given: Any, host: dict[str, Any], verdict: Verdict, reason: str, summary: str
) -> None:
    result = await look(tmp_path, given, **host)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert summary in result.summary


async def test_every_path_has_its_own_limits_and_the_worst_decides(tmp_path: Path) -> None:
    def fs(path: str) -> os.statvfs_result:
        return statvfs({"/": 0.5, "/data": 0.9, "/logs": 0.9}[path])(path)

    given = {"disk": {"/": "on", "/data": "99%", "/logs": {"warn": "70%", "fail": "80%"}}}
    result = await look(tmp_path, given, fs=fs)
    assert (result.verdict, result.reason) == (Verdict.FAIL, "disk")
    assert result.summary == "disk /logs 90% in use (limit 80%), 410 MB left"
    assert [round(result.values[f"disk_used_ratio:{path}"], 2) for path in ("/", "/data", "/logs")] == [0.5, 0.9, 0.9]


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        pytest.param(FileNotFoundError(2, "No such file or directory"), Verdict.FAIL, "disk", id="not there"),
        pytest.param(OSError(5, "Input/output error"), Verdict.FAIL, "disk", id="a dying disk"),
        pytest.param(OSError(116, "Stale file handle"), Verdict.FAIL, "disk", id="a stale NFS handle"),
        pytest.param(PermissionError(13, "Permission denied"), Verdict.UNKNOWN, "unreadable", id="not for our eyes"),
    ],
)
async def test_a_file_system_that_answers_with_an_error(
    tmp_path: Path, error: OSError, verdict: Verdict, reason: str
) -> None:
    def fs(path: str) -> os.statvfs_result:
        raise error

    result = await look(tmp_path, {"disk": ["/data"], "inodes": ["/data"]}, fs=fs)
    assert (result.verdict, result.reason) == (verdict, reason)
    assert result.summary == f"disk /data: {error.strerror}", "said once, though asked for twice"


async def test_a_file_system_that_hangs_is_unknown_and_hides_nothing_else(tmp_path: Path) -> None:
    release = Event()

    def fs(path: str) -> os.statvfs_result:
        if path == "/nfs":
            release.wait()
        return statvfs(0.9)(path)

    tools: Any = None
    host = Host(proc=tree(tmp_path), statvfs=fs, clock=lambda: RIGHT)
    options = HostOptions.model_validate({"disk": ["/", "/nfs"]})
    began = monotonic()
    result = await run(options, CheckContext("web-1", "host", 0.2, tools), host)
    again = await run(options, CheckContext("web-1", "host", 60.0, tools), host)
    release.set()
    assert monotonic() - began < 10.0
    for found in (result, again):
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "stuck")
        assert found.summary == ("the file system at /nfs does not answer; disk / 90% in use (limit 85%), 410 MB left")


async def test_who_holds_the_memory_is_evidence_when_there_is_little_of_it() -> None:
    tools: Any = None
    options = HostOptions.model_validate({"memory": "100%"})
    result = await HOST.run(options, CheckContext("web-1", "host", 3.0, tools))
    assert (result.verdict, result.reason) == (Verdict.FAIL, "memory")
    assert f"(pid {os.getpid()})" in result.evidence["largest processes"]
    assert len(result.evidence["largest processes"].splitlines()) <= 5


async def test_the_host_that_this_runs_on_is_read_as_the_system_says_it_is() -> None:
    tools: Any = None
    options = HostOptions.model_validate(
        {"disk": "100%", "inodes": "100%", "memory": "0%", "swap": "100%", "load": 1000, "descriptors": "100%"}
    )
    result = await HOST.run(options, CheckContext("web-1", "host", 3.0, tools))
    assert result.verdict is Verdict.PASS, result.summary
    found = os.statvfs("/")
    used = (found.f_blocks - found.f_bfree) / (found.f_blocks - found.f_bfree + found.f_bavail)
    assert result.values["disk_used_ratio:/"] == pytest.approx(used, abs=0.01)
    assert result.values["load_per_core"] == pytest.approx(os.getloadavg()[1] / (os.cpu_count() or 1), abs=0.5)
    assert 0 < result.values["memory_available_ratio"] <= 1


def test_this_kernel_tells_what_it_thinks_of_its_clock() -> None:
    try:
        clock = read_clock()
    except OSError as error:
        pytest.skip(f"not let: {error}")
    assert abs(clock.offset) < 1, "seconds, whatever unit the kernel uses"
    assert 0 <= clock.error <= 1000
    assert clock.off_by >= clock.error


# ---------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("given", "disk"),
    [
        pytest.param("90%", {"/": (None, 0.9)}, id="a bare share is the limit of / to fail at"),
        pytest.param({"warn": "70%"}, {"/": (0.7, None)}, id="limits without a path are those of /"),
        pytest.param("on", {"/": (0.85, 0.95)}, id="on is the default"),
        pytest.param(True, {"/": (0.85, 0.95)}, id="in YAML 1.1 on is true"),
        pytest.param(["/", "/data"], {"/": (0.85, 0.95), "/data": (0.85, 0.95)}, id="a list of paths"),
        pytest.param(
            {"/": "90%", "/data": {"warn": "80%", "fail": "95.5%"}, "/logs": True},
            {"/": (None, 0.9), "/data": (0.8, 0.955), "/logs": (0.85, 0.95)},
            id="limits by path",
        ),
    ],
)
def test_disks_are_written_in_the_form_that_says_enough(given: Any, disk: dict[str, tuple[float, float]]) -> None:
    options = HostOptions.model_validate({"disk": given})
    assert {path: (limits.warn, limits.fail) for path, limits in (options.disk or {}).items()} == disk
    assert options.memory is options.load is options.clock is None, "only what is named is looked at"


def test_nothing_named_means_the_defaults() -> None:
    options = HostOptions.model_validate({})
    assert options.memory is not None
    assert (options.memory.warn, options.memory.fail) == (0.10, 0.05)
    assert options.load is not None
    assert (options.load.warn, options.load.fail) == (4, 8)
    assert options.swap is None


def test_options_survive_being_written_and_read() -> None:
    given = {"disk": ["/", "/data"], "memory": "12.5%", "load": 3, "clock": "250ms", "swap": {"warn": "1%"}}
    options = HostOptions.model_validate(given)
    assert HostOptions.model_validate_json(options.model_dump_json()) == options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"disk": 90}, "expected a share such as 90%, got 90", id="a number without the percent sign"),
        pytest.param({"disk": "900%"}, "expected a share such as 90%", id="more than all"),
        pytest.param({"disk": {"data": "90%"}}, "expected an absolute path such as /data", id="a relative path"),
        pytest.param({"disk": {}}, "expected at least one path", id="no path"),
        pytest.param({"disk": {"warn": "90%", "fail": "80%"}}, "warn must be less than fail", id="never warns"),
        pytest.param({"memory": {"warn": "5%", "fail": "10%"}}, "warn must be more than fail", id="never warns either"),
        pytest.param({"memory": {}}, "expected a limit", id="no limit"),
        pytest.param({"load": 0}, "greater than 0", id="a load that every host has"),
        pytest.param({"clock": 5}, "has no unit", id="a duration without a unit"),
        pytest.param({"dsk": "90%"}, "Extra inputs", id="a typo"),
    ],
)
def test_limits_that_make_no_sense_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HostOptions.model_validate(given)


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        pytest.param({}, True, id="nothing named"),
        pytest.param({"disk": {"/": "90%"}, "memory": "10%", "load": 4, "clock": "1s"}, True, id="bare limits"),
        pytest.param(
            {"disk": ["/", "/data"], "inodes": "on", "swap": True, "load": {"warn": 2}}, True, id="on and lists"
        ),
        pytest.param({"disk": {"warn": "80%", "fail": "90%"}, "clock": {"optional": True}}, True, id="in full"),
        pytest.param({"disk": {"/": {"warm": "80%"}}}, False, id="a typo deep inside"),
        pytest.param({"memory": 10}, False, id="a number for a share"),
        pytest.param({"disk": ["data"]}, False, id="a relative path"),
    ],
)
def test_the_schema_that_editors_read_takes_what_the_check_takes(given: Any, valid: bool) -> None:
    assert jsonschema.Draft202012Validator(HostOptions.model_json_schema()).is_valid(given) is valid
    if valid:
        HostOptions.model_validate(given)
    else:
        with pytest.raises(ValidationError):
            HostOptions.model_validate(given)


def test_every_option_is_described_for_the_reference_page() -> None:
    assert all(field.get("description") for field in HostOptions.model_json_schema()["properties"].values())


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (1536, "1.54 kB"), (12.34 * GB, "12.3 GB"), (999_600, "1000 kB")],
)
def test_sizes_are_said_in_decimal_units(count: float, text: str) -> None:
    assert size(count) == text
