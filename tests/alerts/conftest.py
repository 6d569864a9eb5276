"""Golden files: what channels show, word by word. `pytest tests/alerts --update-golden` writes them anew."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write tests/alerts/golden anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, Any], None]:
    """`golden("name.txt", text)` or `golden("name.json", value)`: fails unless it equals the stored file."""

    def compare(name: str, value: Any) -> None:
        path = GOLDEN / name
        text = value if name.endswith(".txt") else json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        # the option is only known where this folder is named on the command line
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
