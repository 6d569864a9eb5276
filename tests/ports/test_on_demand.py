"""A table of types that imports one when it is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from agent.ports import OnDemand

ROOT = Path(__file__).parent.parent.parent


def test_its_names_are_known_without_an_import() -> None:
    table: OnDemand[object] = OnDemand({"a": "no_such_module:A", "b": "no_such_module:B"})
    assert (list(table), len(table), "a" in table, "c" in table) == (["a", "b"], 2, True, False)


def test_a_name_that_it_does_not_have_is_a_key_error_and_get_gives_none() -> None:
    table: OnDemand[object] = OnDemand({})
    assert table.get("a") is None
    with pytest.raises(KeyError):
        table["a"]


def test_the_same_thing_is_given_each_time() -> None:
    table: OnDemand[object] = OnDemand({"path": "pathlib:Path"})
    assert table["path"] is table["path"] is Path


def test_reading_the_tables_imports_no_type_but_the_one_that_is_asked_for() -> None:
    code = (
        "import sys; from checks import CHECKS; from alerts.channels import CHANNELS; "
        "from agent.actions import ACTIONS; "
        "'tcp' in CHECKS, 'mail' in CHANNELS, sorted(ACTIONS), CHECKS['http']; "
        "print([name for name in sys.modules if name in ('checks.http', 'checks.tcp', 'alerts.channels.mail', "
        "'agent.actions.systemd')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "['checks.http']"
