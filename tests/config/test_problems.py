"""Every bad file in bad/ is refused with exactly the problems that are written in the text file beside it.

UPDATE_EXPECTED=1 rewrites those text files; read the difference before it is committed.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import ConfigError, Problem
from tests.config.small_tables import TABLES

BAD = Path(__file__).parent / "bad"
ROOT = Path(__file__).parents[2]
ENV = {"A_SECRET": "correct horse 'battery'"}


def problems(path: Path, env: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        load(path, TABLES, ENV if env is None else env)
    return caught.value.problems


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_a_bad_file_is_refused_with_every_problem_and_its_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    said = "".join(f"{problem}\n" for problem in problems(Path(f"{name}.yaml")))
    expected = BAD / f"{name}.txt"
    if os.environ.get("UPDATE_EXPECTED"):
        expected.write_text(said)
    assert said == expected.read_text()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = tmp_path / "nowhere.yaml"
    assert problems(path) == [Problem(str(path), 0, "", "cannot be read: No such file or directory")]


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    assert problems(tmp_path) == [Problem(str(tmp_path), 0, "", "cannot be read: Is a directory")]


@pytest.mark.parametrize("rights", [0o711, 0], ids=["names may be asked for", "not even that"])
def test_a_folder_that_the_agent_may_not_read_is_told_and_not_taken_for_an_empty_one(
    tmp_path: Path, rights: int
) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "a.yaml").write_text("services: [{name: b, checks: [host]}]")
    for number, pattern in enumerate(["conf.d", "conf.d/*.yaml", "conf.d/a.yaml", "*/a.yaml", "conf.d/**/*.yaml"]):
        text = f"services: [{{name: a, checks: [host]}}]\ninclude: ['{pattern}']"
        (tmp_path / f"{number}.yaml").write_text(text)
    ordinary = []
    if os.geteuid() == 0:  # an ordinary user's eyes, with root's way to the interpreter
        ordinary = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        os.chown(folder, 65534, 65534)
        os.chown(folder / "a.yaml", 65534, 65534)
    (folder / "a.yaml").chmod(0)
    folder.chmod(rights)
    argv = [*ordinary, sys.executable, "-c", READ, *sorted(tmp_path.glob("*.yaml"))]
    try:
        found = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    finally:
        folder.chmod(0o755)
    said = found.splitlines()
    assert len(said) == 5
    assert [line for line in said if "conf.d" not in line or "Permission denied" not in line] == []


READ = """
import sys
from pathlib import Path
from agent.config.load import load
from agent.config.model import ConfigError
from tests.config.small_tables import TABLES
for name in sys.argv[1:]:
    try:
        print(list(load(Path(name), TABLES).services))
    except ConfigError as error:
        print(error)
"""


def test_a_name_that_no_file_can_have_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"services: [{{name: a, checks: [host]}}]\ninclude: [{'a' * 300}]")
    [problem] = problems(path)
    assert problem.message.endswith(": File name too long")


def test_a_secret_never_shows_in_a_problem_wherever_it_was_put(tmp_path: Path) -> None:
    secret = "hunter2-and-more"
    path = tmp_path / "config.yaml"
    path.write_text(
        """
agent: {listen: "${S}", store: "${S}", control: ["${S}"], traces: {endpoint: "${S}"}, restarts: "${S}"}
services:
  - name: ${S}x!
    checks: [{http: "${S}"}, {"http": {url: "${S}", method: "${S}"}, every: "${S}", cron: "${S}", zone: "${S}"}, "${S}"]
    depends_on: ["${S}"]
    page: ["${S}"]
    restart: {process: "${S}", at_most: "${S}"}
channels: {a: {type: "${S}"}, b: {type: console, fallback: "${S}"}}
logs: [{files: x, service: "${S}"}]
"""
    )
    found = problems(path, {"S": secret})
    assert len(found) > 12
    assert not [problem for problem in found if secret in str(problem)]


def test_ten_thousand_times_the_same_mistake_is_told_with_every_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "services:\n" + "".join(f"  - name: s{n}\n    checks: [host]\n    pgae: [x]\n" for n in range(10_000))
    )
    found = problems(path)
    assert [problem.line for problem in found] == [4 + 3 * n for n in range(10_000)]


def test_a_long_chain_of_dependencies_is_no_circle_and_closing_it_is_one(tmp_path: Path) -> None:
    def chain(last: str) -> Path:
        path = tmp_path / "config.yaml"
        links = "".join(f"  - {{name: s{n}, checks: [host], depends_on: [s{n + 1}]}}\n" for n in range(5000))
        path.write_text(f"services:\n{links}  - {{name: s5000, checks: [host]{last}}}\n")
        return path

    assert len(load(chain(""), TABLES, {}).services) == 5001
    [problem] = problems(chain(", depends_on: [s0]"))
    assert problem.message.startswith("goes round in a circle: s0 → s1 → s2 → ")
    assert problem.message.endswith("→ s5000 → s0")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        pytest.param(Problem("a.yaml", 3, "agent.name", "no"), "a.yaml:3: agent.name: no", id="all of it"),
        pytest.param(Problem("a.yaml", 0, "", "cannot be read"), "a.yaml: cannot be read", id="a whole file"),
        pytest.param(Problem("", 0, "channels.x", "no"), "channels.x: no", id="found at work, not in a line"),
    ],
)
def test_a_problem_says_where_it_is_as_far_as_that_is_known(problem: Problem, said: str) -> None:
    assert str(problem) == said
