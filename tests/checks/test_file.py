import os
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from agent.core.result import CheckResult, Verdict
from agent.ports import CheckContext
from checks.file import FILE, FileOptions

HELLO = sha256(b"hello").hexdigest()
HOUR = 3600.0


def put(path: Path, *, age: float = 0.0, size: int = 0, content: bytes | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size if content is None else content)
    changed = time() - age
    os.utime(path, (changed, changed))
    return path


async def look(path: Path | str, *, timeout: float = 5.0, **given: Any) -> CheckResult:
    tools: Any = None
    options = FileOptions.model_validate({"path": str(path), **given})
    return await FILE.run(options, CheckContext("backup", "file", timeout, tools))


@pytest.mark.parametrize(
    ("given", "age", "size", "verdict", "reason", "text"),
    [
        pytest.param({}, 10, 5, Verdict.PASS, "ok", "5 B, changed 10s ago", id="it is there"),
        pytest.param({"max_age": "1h"}, HOUR - 60, 5, Verdict.PASS, "ok", "changed 59m", id="young enough"),
        pytest.param(
            {"max_age": "1h"}, 2 * HOUR, 5, Verdict.FAIL, "old", "was last changed 2h ago, more than 1h", id="too old"
        ),
        pytest.param({"min_age": "1m"}, 5, 5, Verdict.FAIL, "young", "5s ago, less than 1m", id="too young"),
        pytest.param({"min_age": "1m"}, 90, 5, Verdict.PASS, "ok", "changed 1m30s ago", id="old enough"),
        pytest.param({"min_size": "1kB"}, 0, 999, Verdict.FAIL, "small", "has 999 B, less than 1 kB", id="too small"),
        pytest.param({"min_size": "1kB"}, 0, 1000, Verdict.PASS, "ok", "1 kB", id="just large enough"),
        pytest.param({"max_size": "1KiB"}, 0, 1025, Verdict.FAIL, "large", "more than 1.02 kB", id="too large"),
        pytest.param({"max_size": 1024}, 0, 1024, Verdict.PASS, "ok", "1.02 kB", id="a bare number is bytes"),
        pytest.param({"max_size": 0}, 0, 1, Verdict.FAIL, "large", "has 1 B, more than 0 B", id="it should be empty"),
        pytest.param({"exists": False}, 0, 5, Verdict.FAIL, "present", "must not exist", id="it should not be there"),
        pytest.param(
            {"max_age": "1h", "min_size": 10}, 2 * HOUR, 5, Verdict.FAIL, "old", "; ", id="both faults are said"
        ),
        pytest.param({"max_age": "1h"}, -30, 5, Verdict.PASS, "ok", "changed 0s ago", id="a clock slightly ahead"),
        pytest.param(
            {"max_age": "1h"}, -2 * HOUR, 5, Verdict.UNKNOWN, "future", "is stamped 2h in the future",
            id="a time from the future is not trusted",
        ),
        pytest.param({}, -2 * HOUR, 5, Verdict.PASS, "ok", "5 B", id="nor does it matter if nobody asks for the age"),
    ],
)  # fmt: skip
async def test_what_is_said_of_one_file(
    tmp_path: Path, given: Any, age: float, size: int, verdict: Verdict, reason: str, text: str
) -> None:
    result = await look(put(tmp_path / "dump.gz", age=age, size=size), **given)
    assert (result.verdict, result.reason) == (verdict, reason), result.summary
    assert text in result.summary
    assert str(tmp_path / "dump.gz") in result.summary


async def test_figures_are_age_size_and_number(tmp_path: Path) -> None:
    result = await look(put(tmp_path / "dump.gz", age=100, size=7))
    assert result.values["age_seconds"] == pytest.approx(100, abs=5)
    assert (result.values["size_bytes"], result.values["files"]) == (7, 1)


async def test_nothing_there_is_missing_or_just_right(tmp_path: Path) -> None:
    missing = await look(tmp_path / "flag")
    assert (missing.verdict, missing.reason) == (Verdict.FAIL, "missing")
    assert missing.summary == f"{tmp_path}/flag does not exist"
    assert (await look(tmp_path / "flag", exists=False)).verdict is Verdict.PASS
    assert (await look(tmp_path / "no" / "flag", max_age="1h")).reason == "missing"
    put(tmp_path / "file")
    assert (await look(tmp_path / "file" / "flag")).reason == "missing", "below a file there is nothing"


async def test_a_link_is_followed_and_one_to_nowhere_is_missing(tmp_path: Path) -> None:
    put(tmp_path / "dump-1.gz", size=9)
    (tmp_path / "latest").symlink_to(tmp_path / "dump-1.gz")
    (tmp_path / "gone").symlink_to(tmp_path / "dump-0.gz")
    assert (await look(tmp_path / "latest", min_size=9)).verdict is Verdict.PASS
    gone = await look(tmp_path / "gone")
    assert (gone.reason, gone.summary) == ("missing", f"{tmp_path}/gone is a link to nowhere")


@pytest.mark.parametrize(
    ("digest", "verdict", "reason"),
    [
        pytest.param(HELLO, Verdict.PASS, "ok", id="the same"),
        pytest.param(HELLO.upper(), Verdict.PASS, "ok", id="in capitals"),
        pytest.param("0" * 64, Verdict.FAIL, "checksum", id="another"),
    ],
)
async def test_the_content_is_compared_by_its_checksum(
    tmp_path: Path, digest: str, verdict: Verdict, reason: str
) -> None:
    result = await look(put(tmp_path / "app.jar", content=b"hello"), sha256=digest)
    assert (result.verdict, result.reason) == (verdict, reason)


async def test_what_is_no_regular_file_has_no_checksum_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    result = await look(tmp_path / "pipe", sha256=HELLO)
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "unreadable")


async def test_a_checksum_that_takes_too_long_is_unknown(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)
    result = await look(tmp_path / "huge", sha256=HELLO, timeout=0.1)
    assert (result.verdict, result.reason) == (Verdict.UNKNOWN, "stuck")


# ---------------------------------------------------------------------------------------------------- many files


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """Three dumps: an old large one, a middle one, and a young small one, beside a folder and a link to nowhere."""
    put(tmp_path / "a.gz", age=48 * HOUR, size=300)
    put(tmp_path / "b.gz", age=24 * HOUR, size=200)
    put(tmp_path / "c.gz", age=1 * HOUR, size=100)
    put(tmp_path / "deep" / "d.gz", age=0, size=1)
    (tmp_path / "gone.gz").symlink_to(tmp_path / "nowhere")
    return tmp_path


@pytest.mark.parametrize("pattern", ["", "*.gz", "?.gz", "[abc].gz"])
@pytest.mark.parametrize(
    ("given", "verdict", "reason"),
    [
        pytest.param({}, Verdict.PASS, "ok", id="there are some"),
        pytest.param({"max_age": "2h"}, Verdict.PASS, "ok", id="the newest counts"),
        pytest.param({"max_age": "30m"}, Verdict.FAIL, "old", id="the newest is too old"),
        pytest.param({"max_age": "25h", "of": "oldest"}, Verdict.FAIL, "old", id="the oldest is too old"),
        pytest.param({"max_age": "49h", "of": "each"}, Verdict.PASS, "ok", id="each is young enough"),
        pytest.param({"max_age": "25h", "of": "each"}, Verdict.FAIL, "old", id="not each is young enough"),
        pytest.param({"min_size": 150}, Verdict.FAIL, "small", id="the newest is too small"),
        pytest.param({"min_size": 150, "of": "oldest"}, Verdict.PASS, "ok", id="the oldest is large enough"),
        pytest.param({"min_size": 150, "of": "each"}, Verdict.FAIL, "small", id="not each is large enough"),
        pytest.param({"max_size": 250, "of": "each"}, Verdict.FAIL, "large", id="not each is small enough"),
        pytest.param({"min_age": "2h", "of": "each"}, Verdict.FAIL, "young", id="not each is old enough"),
        pytest.param({"count": 3}, Verdict.PASS, "ok", id="exactly three"),
        pytest.param({"count": 2}, Verdict.FAIL, "count", id="not exactly two"),
        pytest.param({"count": {"min": 4}}, Verdict.FAIL, "count", id="fewer than expected"),
        pytest.param({"count": {"max": 2}}, Verdict.FAIL, "count", id="a spool that piles up"),
        pytest.param({"exists": False}, Verdict.FAIL, "present", id="there should be none"),
    ],
)
async def test_what_is_said_of_a_folder_or_a_pattern(
    backups: Path, pattern: str, given: Any, verdict: Verdict, reason: str
) -> None:
    result = await look(backups / pattern if pattern else backups, **given)
    assert (result.verdict, result.reason) == (verdict, reason), result.summary


async def test_two_stars_go_down(backups: Path) -> None:
    result = await look(backups / "**" / "*.gz", count=4)
    assert result.summary == f"4 files at {backups}/**/*.gz, the newest is {backups}/deep/d.gz: 1 B, changed 0s ago"


async def test_an_empty_folder_is_there_but_has_no_file_to_judge(tmp_path: Path) -> None:
    assert (await look(tmp_path)).verdict is Verdict.PASS
    empty = await look(tmp_path, max_age="1h")
    assert (empty.reason, empty.summary) == ("missing", f"no files in {tmp_path}")
    assert (await look(tmp_path, max_age="1h", count={"min": 0, "max": 5})).verdict is Verdict.PASS


async def test_a_pattern_without_a_match_is_missing(tmp_path: Path) -> None:
    for pattern in ("*.gz", "no/such/*.gz"):
        result = await look(tmp_path / pattern)
        assert (result.reason, result.summary) == ("missing", f"no files at {tmp_path}/{pattern}")
    assert (await look(tmp_path / "*.gz", exists=False)).verdict is Verdict.PASS


# ---------------------------------------------------------------------------------------------------- permission


@pytest.mark.parametrize("pattern", ["secret", "*.gz", "secret/x"])
def test_what_we_may_not_read_is_unknown_not_missing(tmp_path: Path, pattern: str) -> None:
    """In a process of its own, which gives up root where the tests have it."""
    closed = tmp_path / "closed"
    put(closed / "secret")
    code = f"""
        import asyncio, os
        from agent.ports import CheckContext
        from checks.file import FILE, FileOptions
        os.chmod({str(closed)!r}, 0)
        if os.geteuid() == 0:
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
        options = FileOptions(path={str(closed / pattern)!r})
        result = asyncio.run(FILE.run(options, CheckContext("a", "b", 5.0, None)))
        print(result.verdict.value, result.reason, result.summary)
    """
    try:
        argv = [sys.executable, "-c", textwrap.dedent(code)]
        found = subprocess.run(argv, capture_output=True, text=True, timeout=20, cwd=Path.cwd(), check=True)
    finally:
        closed.chmod(0o700)
    assert found.stdout.startswith("unknown unreadable ")
    assert found.stdout.endswith(": Permission denied\n")


# ---------------------------------------------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({}, "Field required", id="no path"),
        pytest.param({"path": "var/backup"}, "expected an absolute path", id="a relative path"),
        pytest.param({"path": "/a\0b"}, "expected an absolute path", id="a NUL"),
        pytest.param({"path": "/a", "exists": False, "max_age": "1h"}, "has no max_age", id="absent and young"),
        pytest.param({"path": "/a", "sha256": "abc"}, "expected 64 hexadecimal digits", id="half a checksum"),
        pytest.param({"path": "/a/*", "sha256": "0" * 64, "of": "each"}, "of one file", id="a checksum of many"),
        pytest.param({"path": "/a", "min_size": "2kB", "max_size": "1kB"}, "min_size is more than", id="no such size"),
        pytest.param({"path": "/a", "min_age": "2h", "max_age": "1h"}, "min_age is more than", id="no such age"),
        pytest.param({"path": "/a", "count": {"min": 2, "max": 1}}, "min is more than max", id="no such number"),
        pytest.param({"path": "/a", "count": -1}, "greater than or equal to 0", id="less than none"),
        pytest.param({"path": "/a", "max_size": "10 apples"}, "(?i)size|byte", id="no size"),
        pytest.param({"path": "/a", "maxage": "1h"}, "Extra inputs", id="a typo"),
    ],
)
def test_options_that_make_no_sense_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        FileOptions.model_validate(given)


@pytest.mark.parametrize(
    ("given", "valid"),
    [
        pytest.param({"path": "/a", "count": 3, "max_size": "10MB", "max_age": "1h"}, True, id="bare values"),
        pytest.param({"path": "/a", "count": {"min": 1}, "max_size": 10}, True, id="in full"),
        pytest.param({"path": "/a", "count": {"least": 1}}, False, id="a typo deep inside"),
        pytest.param({"path": "/a", "count": -1}, False, id="less than none"),
    ],
)
def test_the_schema_that_editors_read_takes_what_the_check_takes(given: Any, valid: bool) -> None:
    assert jsonschema.Draft202012Validator(FileOptions.model_json_schema()).is_valid(given) is valid


def test_every_option_is_described_for_the_reference_page() -> None:
    assert all(field.get("description") for field in FileOptions.model_json_schema()["properties"].values())
    assert FILE.short == "path"
