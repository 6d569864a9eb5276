"""Following real files through real rotations, one look at a time."""

import gzip
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from agent.logs.files import FileFollower
from agent.logs.parsing import RAW_LIMIT
from agent.logs.tail import CHUNK
from agent.ports import LogSpec
from tests.logs.conftest import Said
from tests.logs.watch import Watch


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def watch(log: Path) -> Callable[..., Watch]:
    opened: list[Watch] = []

    def begin(*globs: Path | str, **more: object) -> Watch:
        found = Watch(*(globs or (log,)), **more)  # type: ignore[arg-type]
        opened.append(found)
        return found

    return begin


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open(watch: Callable[..., Watch]) -> Iterable[None]:
    yield
    for cell in watch.__closure__ or ():
        if isinstance(cell.cell_contents, list):
            for found in cell.cell_contents:
                found.follower.close()
                assert found.follower.open_files == 0


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def age(path: Path, seconds: float) -> None:
    when = path.stat().st_mtime - seconds
    os.utime(path, (when, when))


def test_lines_come_as_they_are_written_and_a_half_line_waits_for_its_end(
    log: Path, watch: Callable[..., Watch]
) -> None:
    seen = watch()
    add(log, "one\ntw")
    assert seen.look() == ["one"]
    add(log, "o\n")
    assert seen.look(0.1) == ["two"]
    assert seen.look() == []
    assert set(seen.sources) == {f"file:{log}"}


def test_an_old_file_is_read_from_its_end_at_first_sight(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "old\nhalf of an old")
    age(log, 3600)
    seen = watch()
    assert seen.look() == []
    add(log, " line\nnew\n")
    assert seen.look() == ["new"]


def test_a_small_fresh_file_is_read_whole_at_first_sight(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "the job said 20 byte\n")
    assert watch().look() == ["the job said 20 byte"]


def test_a_one_shot_log_of_20_bytes_that_appears_later_is_read(log: Path, watch: Callable[..., Watch]) -> None:
    seen = watch(log.parent / "*.log")
    seen.look()
    add(log, "done in 12 s, 3 errs")
    assert seen.look() == []
    assert seen.look(6) == ["done in 12 s, 3 errs"], "its last line has no newline, and nobody writes any more"


def test_a_renamed_file_is_read_to_its_end_then_the_new_one(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch()
    seen.look()
    with log.open("a") as writer:
        writer.write("two\n")
        log.rename(log.with_name("app.log.1"))
        add(log, "four\n")
        writer.write("three\n")
        writer.flush()
        assert seen.look(0.1) == ["two", "three", "four"]
        writer.write("late\n")  # the service has not reopened its log yet
    assert seen.look(0.1) == ["late"]


def test_a_file_that_was_deleted_between_two_looks_is_still_read(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch()
    seen.look()
    add(log, "two\n")
    log.unlink()
    add(log, "three\n")
    assert seen.look() == ["two", "three"]
    seen.look(40)
    assert seen.follower.open_files == 1, "the deleted one was let go"


def test_two_rotations_between_two_looks_lose_nothing(log: Path, watch: Callable[..., Watch]) -> None:
    add(log.with_name("app.log.9"), "ancient\n")
    age(log.with_name("app.log.9"), 3600)
    add(log, "one\n")
    seen = watch()
    seen.look()
    add(log, "two\n")
    log.rename(log.with_name("app.log.2"))
    add(log, "three\n")
    log.rename(log.with_name("app.log.1"))
    add(log, "four\n")
    assert seen.look(0.1) == ["two", "three", "four"]


@pytest.mark.parametrize("glob", ["app.log", "app.log*"])
def test_copytruncate_loses_nothing_and_doubles_nothing(glob: str, log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch(log.parent / glob)
    seen.look()
    add(log, "two\n")
    shutil.copy(log, log.with_name("app.log.1"))
    log.write_text("")
    add(log, "three\n")
    assert seen.look(0.1) == ["two", "three"]
    assert seen.look() == []
    assert seen.look(40) == []


def test_a_copy_that_is_seen_before_the_truncation_is_not_read_twice(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch(log.parent / "app.log*")
    seen.look()
    add(log, "two\n")
    shutil.copy(log, log.with_name("app.log.1"))
    assert seen.look() == ["two"]
    log.write_text("")
    assert seen.look() == []
    add(log, "three\n")
    assert seen.look() == ["three"]
    assert seen.look(40) == []


def test_a_truncated_file_that_has_grown_beyond_the_old_place_is_read_from_its_start(
    log: Path, watch: Callable[..., Watch]
) -> None:
    add(log, "one\n")
    seen = watch()
    seen.look()
    log.write_text("a first line that is longer than all that was there\n")
    assert seen.look(0.1) == ["a first line that is longer than all that was there"]


def test_rotated_files_that_the_glob_also_finds_are_not_read_again(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch(log.parent / "*")
    seen.look()
    for n in range(3):
        for older in (2, 1):
            if log.with_name(f"app.log.{older}").exists():
                log.with_name(f"app.log.{older}").rename(log.with_name(f"app.log.{older + 1}"))
        log.rename(log.with_name("app.log.1"))
        add(log, f"new {n}\n")
        assert seen.look() == [f"new {n}"]
    assert seen.look(40) == []


@pytest.mark.parametrize("name", ["app.log.1.gz", "app-archive.log"], ids=["by name", "by content"])
def test_the_compressed_file_of_a_rotation_is_never_read(name: str, log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch(log.parent / "*")
    seen.look()
    log.with_name(name).write_bytes(gzip.compress(log.read_bytes()))
    assert seen.look() == []
    assert seen.look() == []


def test_reading_goes_on_where_it_was_after_a_restart(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch()
    add(log, "one\n")
    first.look()
    first.follower.close()
    add(log, "two\n")
    assert watch(saved=first.saved).look() == ["two"]


def test_rotations_while_the_agent_was_away_lose_nothing(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch()
    add(log, "one\n")
    first.look()
    first.follower.close()
    add(log, "two\n")
    log.rename(log.with_name("app.log.3"))
    add(log, "three\n")
    log.rename(log.with_name("app.log.2"))
    add(log, "four\n")
    log.rename(log.with_name("app.log.1"))
    add(log, "five\n")
    second = watch(saved=first.saved)
    assert second.look() == ["two", "three", "four", "five"]
    second.follower.close()
    assert watch(saved=second.saved).look() == []


def test_a_copytruncate_while_the_agent_was_away_loses_nothing(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch()
    add(log, "one\n")
    first.look()
    first.follower.close()
    add(log, "two\n")
    shutil.copy(log, log.with_name("app.log.1"))
    log.write_text("")
    add(log, "3\n")
    assert watch(saved=first.saved).look() == ["two", "3"]


def test_a_file_that_appeared_while_the_agent_was_away_is_read_whole(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch(log.parent / "*.log")
    add(log, "one\n")
    first.look()
    first.follower.close()
    other = log.with_name("job.log")
    other.write_text("job\n" * 50_000)
    assert watch(log.parent / "*.log", saved=first.saved).look() == ["job"] * 50_000


def test_an_inode_that_was_given_to_another_file_is_not_mistaken_for_the_old_one(
    log: Path, watch: Callable[..., Watch]
) -> None:
    first = watch()
    add(log, "one\n")
    first.look()
    first.follower.close()
    log.write_text("something else that is longer\n")  # the same inode, other content
    assert watch(saved=first.saved).look() == ["something else that is longer"]


def test_saved_positions_that_make_no_sense_are_as_good_as_none(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    status = log.stat()
    key = f"file:{status.st_dev}:{status.st_ino}"
    for text in ("", "{}", '{"path": 1, "bogus": 2}', "[]"):
        assert watch(saved={key: text}).look() == ["one"]


def test_a_10_mb_line_is_bounded_and_the_next_one_is_whole(log: Path, watch: Callable[..., Watch]) -> None:
    seen = watch()
    seen.look()
    with log.open("wb") as file:
        file.write(b"x" * 10_000_000)
    found = seen.look()
    add(log, "\nnext\n")
    found += seen.look()
    assert [len(line) for line in found] == [CHUNK, 4]
    assert CHUNK > RAW_LIMIT


def test_after_a_restart_in_a_long_line_its_rest_is_still_passed_over(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch()
    log.write_text("x" * 300_000)
    first.look()
    first.follower.close()
    add(log, "rest of it\nnext\n")
    assert watch(saved=first.saved).look() == ["next"]


def test_a_noisy_file_does_not_keep_others_waiting(log: Path, watch: Callable[..., Watch]) -> None:
    seen = watch(log.parent / "*.log")
    quiet = log.with_name("quiet.log")
    seen.look()
    log.write_text("noise\n" * 2_000_000)
    quiet.write_text("alone\n")
    seen.now += 2
    chunks = seen.follower.poll()
    assert b"alone" in [line for chunk in chunks for line in chunk.lines]
    assert sum(len(line) for chunk in chunks for line in chunk.lines) < 2 * CHUNK


def test_a_file_that_cannot_be_opened_is_said_once(log: Path, watch: Callable[..., Watch], said: Said) -> None:
    """Root may open everything, so it is the limit of open files that stands in the way."""
    seen = watch()
    seen.look()
    add(log, "one\n")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
    try:
        assert seen.look() == []
        assert seen.look() == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert [(entry["event"], entry["path"]) for entry in said] == [("log_file_unreadable", str(log))]
    assert seen.look() == ["one"]


def test_a_link_that_is_pointed_at_another_file_is_followed(log: Path, watch: Callable[..., Watch]) -> None:
    monday, tuesday = log.with_name("monday"), log.with_name("tuesday")
    monday.write_text("m1\n")
    log.symlink_to(monday)
    seen = watch()
    assert seen.look() == ["m1"]
    add(monday, "m2\n")
    tuesday.write_text("t1\n")
    log.unlink()
    log.symlink_to(tuesday)
    assert seen.look() == ["m2", "t1"]


def test_pipes_folders_and_dead_links_are_passed_over(log: Path, watch: Callable[..., Watch]) -> None:
    os.mkfifo(log.with_name("pipe.log"))
    log.with_name("folder.log").mkdir()
    log.with_name("dead.log").symlink_to("nowhere")
    add(log, "one\n")
    assert watch(log.parent / "*.log").look() == ["one"]


def test_the_agents_own_files_are_left_out_and_that_is_said_once(
    log: Path, watch: Callable[..., Watch], said: Said
) -> None:
    own, database = log.with_name("codeblue.log"), log.with_name("logs.db")
    for path in (own, database, log.with_name("logs.db-wal")):
        path.write_text("mine\n")
    seen = watch(log.parent / "*", exclude=[own, database])
    assert seen.look() == []
    add(own, "mine again\n")
    assert seen.look() == []
    assert sorted(entry["path"] for entry in said) == sorted(
        str(path) for path in (own, database, log.with_name("logs.db-wal"))
    )


def test_the_agents_own_stdout_is_found_out_by_itself(log: Path) -> None:
    """A process whose stdout is a file under the glob reads that glob."""
    program = (
        "import sys, time; from agent.logs.files import FileFollower; from agent.ports import LogSpec\n"
        f"f = FileFollower([LogSpec(service='x', files=({str(log.parent / '*.log')!r},))], {{}})\n"
        "print('mine', flush=True)\n"
        "sys.stderr.write(repr([line for chunk in f.poll() for line in chunk.lines]))\n"
    )
    add(log.with_name("other.log"), "theirs\n")
    with log.open("a") as stdout:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=True
        )
    assert done.stderr.decode() == "[b'theirs']"


def test_more_files_than_may_be_open_are_all_read(tmp_path: Path) -> None:
    now = [1000.0]
    follower = FileFollower(
        [LogSpec(service="x", files=(str(tmp_path / "*.log"),))], {}, most_open=5, clock=lambda: now[0]
    )
    lines: list[bytes] = []
    for round_ in range(4):
        for n in range(20):
            add(tmp_path / f"{n}.log", f"{n} {round_}\n")
        for _ in range(5):
            now[0] += 1.1
            lines += [line for chunk in follower.poll() for line in chunk.lines]
            assert follower.open_files <= 20
    follower.poll()
    assert sorted(lines) == sorted(f"{n} {r}".encode() for n in range(20) for r in range(4))
    now[0] += 1.1
    follower.poll()
    assert follower.open_files == 5
    follower.close()


def test_changing_what_is_followed_keeps_the_place_in_what_stays(log: Path) -> None:
    now = [1000.0]
    other = log.with_name("other.log")
    add(log, "one\n")
    add(other, "other\n")
    both = LogSpec(service="x", files=(str(log), str(other)))
    alone = LogSpec(service="y", files=(str(log),))
    follower = FileFollower([both], {}, clock=lambda: now[0])
    assert len([line for chunk in follower.poll() for line in chunk.lines]) == 2
    follower.follow([alone])
    add(log, "two\n")
    add(other, "unseen\n")
    now[0] += 0.1
    found = [(chunk.service, line) for chunk in follower.poll() for line in chunk.lines]
    assert found == [("y", b"two")]
    follower.follow([both])
    now[0] += 0.1
    assert [line for chunk in follower.poll() for line in chunk.lines] == [b"unseen"]
    follower.close()
