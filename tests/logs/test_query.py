"""Finding lines again."""

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.logs.query import LogQueryError, follow, search, tail
from agent.logs.store import LogStore
from tests.logs.lines import NOW, line

LINES = [
    line("connection refused by 10.0.0.7:5432", ago=50, level="error", service="photos"),
    line("connection accepted from 10.0.0.8", ago=40),
    line("refused a connection: too many", ago=30, level="warning", service="orders"),
    line("GET /photos/17?size=big took 31 ms", ago=20, trace_id="4bf92f3577b34da6", fields={"user": "ann@example.org"}),
    line("Zürich: the OutOfMemoryError in worker_3", ago=10, level="critical", service="orders"),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    store = LogStore(tmp_path_factory.mktemp("logs") / "logs.db")
    store.start()
    store.put(LINES)
    assert store.flush(30)
    yield store.path
    store.close()


def found(path: Path, query: str, **more: object) -> list[int]:
    return [LINES.index(hit) for hit in search(path, query, **more)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        pytest.param("", [4, 3, 2, 1, 0], id="nothing asked: all, newest first"),
        pytest.param("connection", [2, 1, 0], id="a word"),
        pytest.param("CONNECTION Refused", [2, 0], id="all words, in any case and order"),
        pytest.param('"connection refused"', [0], id="a phrase"),
        pytest.param('"connection refused', [0], id="a phrase without its end"),
        pytest.param("10.0.0.7", [0], id="an address"),
        pytest.param("10.0.0.9", [], id="an address that is not there"),
        pytest.param("conn*", [2, 1, 0], id="the beginning of a word"),
        pytest.param("/photos/17?size=big", [3], id="a path"),
        pytest.param("ann@example.org", [3], id="in a field"),
        pytest.param("4bf92f3577b34da6", [3], id="a trace id"),
        pytest.param("zürich", [4], id="letters beyond ASCII"),
        pytest.param("worker_3", [4], id="an underscore"),
        pytest.param("too many:", [], id="punctuation is taken at its word"),
        pytest.param("connection:", [2], id="punctuation is looked at"),
        pytest.param("AND OR NOT NEAR(", [], id="the index's own language is only words"),
        pytest.param("?", [3], id="no word at all"),
    ],
)
def test_a_query_finds_lines_with_all_its_terms(path: Path, query: str, lines: list[int]) -> None:
    assert found(path, query) == lines


def test_the_other_conditions_narrow_it_down(path: Path) -> None:
    assert found(path, "refused", service="orders") == [2]
    assert found(path, "", service="nobody") == []
    assert found(path, "", level="warning") == [4, 2, 0], "that level and worse"
    assert found(path, "connection", level="error") == [0]
    assert found(path, "", since=NOW - timedelta(seconds=30)) == [4, 3, 2]
    assert found(path, "", until=NOW - timedelta(seconds=40)) == [1, 0]
    assert found(path, "connection", limit=2) == [2, 1]
    assert found(path, "", limit=0) == []


def test_a_regular_expression_is_looked_for_in_the_text(path: Path) -> None:
    assert found(path, r"took \d+ ms$", regex=True) == [3]
    assert found(path, r"(?i)outofmemory", regex=True, service="orders") == [4]


def test_what_cannot_be_asked_is_said_in_words(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LogQueryError, match="not a regular expression"):
        search(path, "(", regex=True)
    with pytest.raises(LogQueryError, match="level 'loud' is not one of debug, info"):
        search(path, level="loud")
    with pytest.raises(LogQueryError, match="no log store at"):
        search(tmp_path / "none.db")
    (tmp_path / "letter.db").write_text("dear aunt\n" * 1000)
    with pytest.raises(LogQueryError, match="cannot be read"):
        tail(tmp_path / "letter.db")


@given(query=st.text(max_size=60) | st.from_regex(r'["*()^:{}\w\s+-]{0,30}', fullmatch=True), regex=st.just(False))
def test_any_input_is_a_valid_query(path: Path, query: str, regex: bool) -> None:
    assert len(search(path, query, regex=regex)) <= len(LINES)


@given(st.sampled_from(LINES), st.data())
def test_any_words_of_a_line_find_it(path: Path, wanted: object, data: st.DataObject) -> None:
    words = wanted.text.split()  # type: ignore[attr-defined]
    query = " ".join(data.draw(st.lists(st.sampled_from(words), min_size=1, max_size=4)))
    assert wanted in search(path, query)


def test_tail_gives_the_last_lines_oldest_first(path: Path) -> None:
    assert [LINES.index(hit) for hit in tail(path, lines=2)] == [3, 4]
    assert [LINES.index(hit) for hit in tail(path, "photos", before=NOW - timedelta(seconds=20), lines=2)] == [1, 3]
    assert tail(path, "nobody") == []


def test_follow_gives_what_comes_and_nothing_twice(tmp_path: Path) -> None:
    store = LogStore(tmp_path / "logs.db")
    store.start()
    store.put([line("before")])
    assert store.flush(30)
    batches = iter([[line("one"), line("debug", level="debug")], [], [line("two")]])

    def write_more(_seconds: float) -> None:
        store.put(next(batches))
        assert store.flush(30)

    lines = follow(store.path, level="info", sleep=write_more)
    assert [hit.text for hit in islice(lines, 2)] == ["one", "two"]
    store.close()
