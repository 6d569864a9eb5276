"""Rotation at every awkward moment, and the agent killed at every awkward moment: each line comes once."""

import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.logs.position import key_of
from agent.logs.rotation import OpenFiles
from tests.logs.watch import Watch


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


@pytest.fixture
def watch(log: Path) -> Iterable[Callable[..., Watch]]:
    opened: list[Watch] = []

    def begin(glob: str = "app.log", saved: dict[str, str] | None = None, most_open: int = 500) -> Watch:
        opened.append(Watch(log.parent / glob, saved=saved, most_open=most_open))
        return opened[-1]

    yield begin
    for found in opened:
        found.follower.close()
        assert found.follower.open_files == 0


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rotate(log: Path) -> None:
    """Give it the next higher number that is free."""
    log.rename(log.with_name(f"app.log.{len(list(log.parent.glob('app.log*')))}"))


def shift(log: Path) -> None:
    """Give it the number 1, after each of the rotated ones got the next number."""
    for n in range(len(list(log.parent.glob("app.log.*"))), 0, -1):
        log.with_name(f"app.log.{n}").rename(log.with_name(f"app.log.{n + 1}"))
    log.rename(log.with_name("app.log.1"))


@pytest.fixture
def before(log: Path, watch: Callable[..., Watch]) -> dict[str, str]:
    """What was stored when an agent that had read one line of the log was killed."""
    add(log, "one\n")
    first = watch()
    assert first.look() == ["one"]
    return first.saved


def test_a_quiet_file_that_is_written_to_once_and_rotated_is_read_on_and_so_is_what_comes_late(
    log: Path, watch: Callable[..., Watch]
) -> None:
    add(log, "one\n")
    seen = watch()
    assert seen.look() == ["one"]
    assert seen.look(3600) == []
    with log.open("a") as service:
        service.write("two\n")
        service.flush()
        rotate(log)
        add(log, "three\n")
        assert seen.look() == ["two", "three"]
        assert seen.look() == []
        service.write("late\n")
    assert seen.look() == ["late"]


def test_the_writer_of_a_quiet_file_has_time_to_notice_the_rotation(log: Path, watch: Callable[..., Watch]) -> None:
    add(log, "one\n")
    seen = watch()
    assert seen.look() == ["one"]
    assert seen.look(3600) == []
    with log.open("a") as service:
        rotate(log)
        add(log, "two\n")
        assert seen.look() == ["two"]
        assert seen.look(25) == []
        service.write("late\n")
    assert seen.look() == ["late"]
    seen.look(40)
    seen.look(40)
    assert seen.follower.open_files == 1, "the rotated one was let go"


def test_a_known_file_that_is_rotated_between_the_start_and_the_first_look_is_read_on(
    log: Path, before: dict[str, str], watch: Callable[..., Watch]
) -> None:
    add(log, "two\n")
    second = watch(saved=before)
    rotate(log)
    add(log, "three\n")
    assert second.look() == ["two", "three"]


def test_a_new_file_that_is_rotated_between_the_start_and_the_first_look_is_read(
    log: Path, before: dict[str, str], watch: Callable[..., Watch]
) -> None:
    rotate(log)
    add(log, "two\n")
    second = watch(saved=before)
    rotate(log)
    add(log, "three\n")
    assert second.look() == ["two", "three"]


def test_a_file_that_was_at_its_end_at_the_start_and_is_written_to_and_rotated_before_the_next_look_is_read_on(
    log: Path, before: dict[str, str], watch: Callable[..., Watch]
) -> None:
    second = watch(saved=before)
    assert second.look() == []
    add(log, "two\n")
    rotate(log)
    add(log, "three\n")
    assert second.look(0.1) == ["two", "three"]


def test_a_file_that_was_at_its_end_at_the_start_is_read_on_also_when_no_new_one_is_made(
    log: Path, before: dict[str, str], watch: Callable[..., Watch]
) -> None:
    second = watch(saved=before)
    assert second.look() == []
    add(log, "two\n")
    rotate(log)
    assert second.look() == ["two"]
    add(log, "three\n")
    assert second.look() == ["three"]


def test_an_idle_file_that_was_closed_and_is_written_to_and_rotated_before_the_next_look_is_read_on(
    log: Path, watch: Callable[..., Watch]
) -> None:
    other = log.with_name("other.log")
    add(log, "one\n")
    seen = watch("*.log", most_open=1)
    assert seen.look() == ["one"]
    add(other, "other\n")
    assert seen.look() == ["other"]
    assert seen.look() == []
    assert seen.follower.open_files == 1
    add(log, "two\n")
    rotate(log)
    add(log, "three\n")
    assert seen.look() == ["two", "three"]


@pytest.mark.parametrize("kept", range(5))
def test_whatever_got_into_the_store_of_a_look_the_next_life_reads_the_rest(
    kept: int, log: Path, before: dict[str, str], watch: Callable[..., Watch]
) -> None:
    """The file in between has no whole line yet: only its position tells of it."""
    second = watch(saved=before)
    second.look()
    rotate(log)
    add(log, "half a ")
    rotate(log)
    add(log, "three\n")
    second.now += 1.1
    second.poll(kept)
    second.follower.close()
    third = watch(saved=second.saved)
    assert sorted(second.lines + third.look() + third.look(6)) == ["half a ", "three"]


def test_a_log_whose_first_lines_are_those_of_every_log_is_not_taken_for_a_copy(
    log: Path, watch: Callable[..., Watch]
) -> None:
    add(log, "one\n")
    seen = watch()
    seen.look()
    rotate(log)
    add(log, "time,level,text\ntwo\n")
    rotate(log)
    add(log, "time,level,text\n")
    assert seen.look() == ["time,level,text", "two", "time,level,text"]


def test_a_pattern_that_found_nothing_is_known_to_have_been_looked_for(log: Path, watch: Callable[..., Watch]) -> None:
    first = watch()
    first.look()
    first.follower.close()
    add(log, "line\n" * 20_000)
    assert len(watch(saved=first.saved).look()) == 20_000, "it came while the agent was away"


def test_another_file_than_the_one_that_was_found_there_is_not_opened(log: Path) -> None:
    add(log, "one\n")
    key = key_of(log.stat())
    rotate(log)
    add(log, "two\n")
    files = OpenFiles({})
    assert files.open(str(log), "photos", key, from_end=True) is None
    assert not files.tails
    assert not files.changes


DO = st.sampled_from(["begin a line", "end it", "rotate", "rotate", "look", "scan", "kill"])


@given(
    deeds=st.lists(DO, max_size=40),
    kept=st.lists(st.integers(0, 6), min_size=40, max_size=40),
    way=st.sampled_from([rotate, shift]),
    glob=st.sampled_from(["app.log", "app.log*"]),
    most_open=st.sampled_from([1, 500]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_line_comes_once_whatever_is_done_in_whatever_order(
    deeds: list[str],
    kept: list[int],
    way: Callable[[Path], None],
    glob: str,
    most_open: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A killed agent has stored the first few chunks of its last look. The next one starts, and only then looks."""
    log = tmp_path_factory.mktemp("var") / "app.log"
    log.touch()
    written = Counter[str]()
    read = Counter[str]()
    agent = Watch(log.parent / glob, most_open=most_open)
    agent.look()

    def write(text: str) -> None:
        written[text.strip()] += 1
        add(log, text)

    for n, deed in enumerate(deeds):
        if deed == "begin a line":
            write(f"<{n}")
        elif deed == "end it":
            write(f">{n}\n")
        elif deed == "rotate" and log.exists():
            way(log)
        elif deed in ("look", "scan"):
            agent.look(0.1 if deed == "look" else 1.1)
        elif deed == "kill":
            agent.now += 0.1
            agent.poll(kept[n])
            read += tokens(agent)
            agent.follower.close()
            agent = Watch(log.parent / glob, saved=agent.saved, most_open=most_open)
    write("<end\n")
    for _ in range(4):
        agent.look(6)
    read += tokens(agent)
    agent.follower.close()
    assert read == written


def tokens(agent: Watch) -> Counter[str]:
    return Counter(re.findall(r"[<>]\w+", " ".join(agent.lines)))


def test_a_log_that_is_rotated_as_fast_as_can_be_while_it_is_looked_at(log: Path) -> None:
    """Between a look at a path, the opening of it and the listing of its folder there are rotations."""
    files, lines = 400, 3

    def serve() -> None:
        for n in range(files):
            add(log, "".join(f"<{n * lines + m}\n" for m in range(lines)))
            os.rename(log, f"{log}.{n + 1}")
        log.touch()

    log.touch()
    agent = Watch(log)
    with closing(agent.follower):
        agent.look()
        service = threading.Thread(target=serve)
        service.start()
        while service.is_alive():
            agent.look(0.1)
        service.join()
        for _ in range(3):
            agent.look()
        assert tokens(agent) == Counter(f"<{n}" for n in range(files * lines))
