"""The rules that hold the whole together, each checked on the source itself."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import agent.actions
import alerts.channels
import checks
from agent.actions import ACTIONS
from agent.ports import ActionType, ChannelType, CheckType
from alerts.channels import CHANNELS
from checks import CHECKS

ROOT = Path(__file__).parents[1]
PRODUCT = ("agent", "checks", "alerts")
CORE = ROOT / "agent" / "core"
HEAVY = ("slack_sdk", "aiohttp", "requests", "opentelemetry", "jinja2")

PROMISES = {
    1: "no decision on one miss",
    2: "never more restarts than the budget, over restarts of the agent and reboots",
    3: "a restart only on FAIL, never when a dependency is the cause",
    4: "every page arrives, or its failure is paged by another path; retries, then dead letters that can be replayed",
    5: "exactly one closing message per channel that was asked",
    6: "kill -9 at any instruction loses no page, doubles none beyond its key, repeats no restart",
    7: "suppressing suppresses only the sending, and is looked at again at the end",
    8: "a late run is never the target's failure; a slow target, channel or disk never delays another's cadence",
    9: "a bad config never replaces a good one, a bad pager never starts, a reload keeps counters and incidents",
    10: "no shell, no string commands; no secret in a log, a page, a trace or a metric",
}


def sources(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, ast.parse(path.read_text(), str(path))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def imported(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ""


# ---------------------------------------------------------------------------------------------------- promises


def test_every_promise_has_tests_that_are_named_after_it() -> None:
    named: dict[int, int] = dict.fromkeys(PROMISES, 0)
    for _, tree in sources("tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and node.name.startswith("TestPromise"):
                digits = node.name.removeprefix("TestPromise")
                number = int(digits[:2]) if digits[:2].isdigit() else int(digits[:1])
                tests = [n for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
                named[number] += sum(test.name.startswith("test_") for test in tests)
    assert [number for number, tests in named.items() if not tests] == []


# ---------------------------------------------------------------------------------------------------- imports


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout


def test_the_core_imports_the_standard_library_alone_and_no_clock_no_chance_and_no_io() -> None:
    ours = {"agent"}
    without = {"time", "asyncio", "logging", "random", "secrets", "uuid", "os", "io", "pathlib", "socket", "threading"}
    wrong = [
        f"{place(path, node)} imports {name}"
        for path, tree in sources("agent/core")
        for node, name in imported(tree)
        if (root := name.split(".")[0]) in without or (root not in ours and root not in sys.stdlib_module_names)
    ]
    assert wrong == []


def test_the_core_asks_nobody_what_time_it_is_and_opens_nothing() -> None:
    wrong = []
    for path, tree in sources("agent/core"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in ("now", "utcnow", "today"):
                wrong.append(place(path, node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("open", "print"):
                wrong.append(place(path, node))
    assert wrong == []


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """10,000 checks have to fit into little memory: what an agent does not use it does not load."""
    code = f"import sys, agent.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------------------------------------------- tables


def constants(package: ModuleType, kind: type[Any]) -> dict[str, Any]:
    """Every constant of that type that a module of the package makes, by the name that it gives itself."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name, value in vars(module).items():
            if isinstance(value, kind) and name.isupper():
                found[value.name] = value
    return found


@pytest.mark.parametrize(
    ("package", "kind", "table"),
    [
        pytest.param(checks, CheckType, CHECKS, id="checks"),
        pytest.param(agent.actions, ActionType, ACTIONS, id="actions"),
        pytest.param(alerts.channels, ChannelType, CHANNELS, id="channels"),
    ],
)
def test_a_table_names_all_that_its_folder_makes_and_nothing_else(
    package: ModuleType, kind: type[Any], table: dict[str, Any]
) -> None:
    assert dict(table) == constants(package, kind)
    assert {name: each.name for name, each in table.items()} == {name: name for name in table}


@pytest.mark.parametrize("kind", [*CHECKS.values(), *ACTIONS.values(), *CHANNELS.values()], ids=lambda kind: kind.name)
def test_every_type_takes_only_options_that_it_knows_and_says_what_it_is(kind: Any) -> None:
    config = kind.options.model_config
    assert (config.get("frozen"), config.get("extra")) == (True, "forbid")
    assert kind.about.strip()
    assert kind.short is None or kind.short in kind.options.model_fields if hasattr(kind, "short") else True


# ---------------------------------------------------------------------------------------------------- no shell

SHELLS = {
    ("os", "system"),
    ("os", "popen"),
    ("subprocess", "getoutput"),
    ("subprocess", "getstatusoutput"),
    ("asyncio", "create_subprocess_shell"),
    ("asyncio.subprocess", "create_subprocess_shell"),
    ("commands", "getoutput"),
    ("pty", "spawn"),
}
STARTERS = {"run", "Popen", "call", "check_call", "check_output", "create_subprocess_exec", "execv", "execve", "execvp"}


def shells(tree: ast.Module) -> Iterator[ast.AST]:
    """Whatever starts a shell, or a program from one string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any((node.module, alias.name) in SHELLS for alias in node.names):
            yield node
        if isinstance(node, ast.Attribute) and (ast.unparse(node.value), node.attr) in SHELLS:
            yield node
        if isinstance(node, ast.Call):
            yield from _string_commands(node)


def _string_commands(call: ast.Call) -> Iterator[ast.AST]:
    for keyword in call.keywords:
        if keyword.arg == "shell" and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield call
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    first = call.args[0] if call.args else None
    text = isinstance(first, ast.JoinedStr | ast.BinOp) or (
        isinstance(first, ast.Constant) and isinstance(first.value, str)
    )
    owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    alone = name == "create_subprocess_exec" and len(call.args) > 1  # a program, and its arguments beside it
    if name in STARTERS and owner in ("", "subprocess", "os", "asyncio") and text and not alone:
        yield call


class TestPromise10NoShell:
    def test_no_code_of_the_agent_starts_a_shell_or_a_program_from_a_string(self) -> None:
        wrong = [place(path, node) for path, tree in sources(*PRODUCT) for node in shells(tree)]
        assert wrong == []

    @pytest.mark.parametrize(
        "code",
        [
            "import os; os.system('ls')",
            "import os; os.popen('ls')",
            "import subprocess; subprocess.run('ls -l')",
            "import subprocess; subprocess.run(['ls'], shell=True)",
            "import subprocess; subprocess.run(['ls'], shell=maybe)",
            "from subprocess import Popen; Popen(f'ls {x}')",
            "import subprocess; subprocess.check_output('ls ' + x)",
            "import subprocess; subprocess.getoutput('ls')",
            "from os import system",
            "import asyncio; asyncio.create_subprocess_shell('ls')",
        ],
    )
    def test_each_way_of_starting_one_is_seen(self, code: str) -> None:
        assert list(shells(ast.parse(code)))

    @pytest.mark.parametrize(
        "code",
        [
            "import subprocess; subprocess.run(['ls', '-l'], shell=False)",
            "import asyncio; asyncio.create_subprocess_exec('ls', '-l')",
            "import asyncio; asyncio.run(main())",
            "uvicorn.run('x')",
        ],
    )
    def test_and_an_argv_is_not(self, code: str) -> None:
        assert list(shells(ast.parse(code))) == []

    def test_every_program_that_is_started_in_the_agents_own_thread_has_a_timeout(self) -> None:
        wrong = [
            place(path, node)
            for path, tree in sources(*PRODUCT)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("subprocess.run", "subprocess.check_output", "subprocess.check_call")
            and not any(keyword.arg == "timeout" for keyword in node.keywords)
        ]
        assert wrong == []


class TestPromise8NothingBlocksTheLoop:
    def test_no_coroutine_sleeps_or_waits_for_a_program_in_the_loops_thread(self) -> None:
        blocking = {"time.sleep", "subprocess.run", "subprocess.check_output", "requests.get", "requests.post"}
        wrong = [
            place(path, node)
            for path, tree in sources(*PRODUCT)
            for function in ast.walk(tree)
            if isinstance(function, ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and ast.unparse(node.func) in blocking
        ]
        assert wrong == []
