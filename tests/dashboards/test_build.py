"""What the dashboards' files promise to Grafana, as far as it can be seen without one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import build
from dashboards.promql import counted
from tests.dashboards.promql_parts import complaints

FILES = sorted(build.DASHBOARDS)
FOLDER = build.FOLDER


@pytest.fixture(scope="module", params=FILES)
def board(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return loaded


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All panels but the headings of rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def test_the_committed_files_are_what_the_source_gives() -> None:
    assert build.main(["--check"]) == 0


def test_check_tells_which_file_is_out_of_date_or_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([], tmp_path) == 0
    assert build.main(["--check"], tmp_path) == 0
    (tmp_path / "agent.json").write_text("{}")
    (tmp_path / "overview.json").unlink()
    capsys.readouterr()
    assert build.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "agent.json is out of date" in said
    assert "overview.json is out of date" in said
    assert not (tmp_path / "overview.json").exists()


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_files_do_not_depend_on_the_order_of_hashes(seed: str, tmp_path: Path) -> None:
    code = "import sys, pathlib; from dashboards import build; build.main([], pathlib.Path(sys.argv[1]))"
    argv = [sys.executable, "-c", code, str(tmp_path)]
    root = FOLDER.parent
    subprocess.run(
        argv, check=True, cwd=root, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, timeout=60
    )
    assert build.stale(tmp_path) == []
    assert all((tmp_path / name).read_bytes() == (FOLDER / name).read_bytes() for name in FILES)


def test_grafanas_own_types_read_every_field_back(board: dict[str, Any]) -> None:
    register_default_plugins()
    again = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(board)))
    assert again == board


def test_uids_are_the_ones_that_links_and_bookmarks_use() -> None:
    assert {name: read(name)["uid"] for name in FILES} == {
        "agent.json": "codeblue-agent",
        "overview.json": "codeblue-overview",
    }


def test_each_dashboard_links_to_the_other_and_takes_time_and_variables_along() -> None:
    uids = {read(name)["uid"] for name in FILES}
    for name in FILES:
        board = read(name)
        assert {link["url"] for link in board["links"]} == {f"/d/{uid}" for uid in uids - {board["uid"]}}
        assert all(link["keepTime"] and link["includeVars"] for link in board["links"])


def test_panels_have_numbers_of_their_own_and_do_not_overlap(board: dict[str, Any]) -> None:
    places = [panel["gridPos"] for panel in board["panels"]]
    assert len({panel["id"] for panel in board["panels"]}) == len(places)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def test_rows_are_filled_to_their_ends(board: dict[str, Any]) -> None:
    widths: dict[int, int] = {}
    for panel in board["panels"]:
        widths[panel["gridPos"]["y"]] = widths.get(panel["gridPos"]["y"], 0) + panel["gridPos"]["w"]
    assert set(widths.values()) == {24}, widths


def test_every_panel_says_what_it_shows_and_what_to_do(board: dict[str, Any]) -> None:
    for panel in panels(board):
        assert len(panel["description"].split()) >= 9, panel["title"]
    titles = [panel["title"] for panel in panels(board)]
    assert "" not in titles


def test_whatever_can_turn_red_says_what_to_do_then(board: dict[str, Any]) -> None:
    for panel in panels(board):
        steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
        colors = {step["color"] for step in steps}
        if colors & {"red", "orange"}:
            text = panel["description"].lower()
            words = ("red", "orange", "near", "above zero", "does not run", "worst", "left out")
            assert any(word in text for word in words), panel["title"]


def test_every_panel_asks_the_prometheus_that_the_reader_chose(board: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    for panel in panels(board):
        assert panel["datasource"] == chosen
        assert panel["targets"]
        assert all(target["datasource"] == chosen for target in panel["targets"])
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs)


def test_every_expression_asks_only_for_metrics_and_labels_of_the_catalogue(board: dict[str, Any]) -> None:
    found = {
        (panel["title"], target["refId"]): wrong
        for panel in panels(board)
        for target in panel["targets"]
        if (wrong := complaints(target["expr"]))
    }
    assert found == {}


def test_a_legend_names_only_labels_that_its_expression_keeps(board: dict[str, Any]) -> None:
    for panel in panels(board):
        for target in panel["targets"]:
            named = {part.split("}}")[0] for part in target.get("legendFormat", "").split("{{")[1:]}
            assert all(label in target["expr"] for label in named), (panel["title"], named)


def test_a_wrong_name_would_be_noticed() -> None:
    assert complaints('sum by (servise) (codeblue_check_misses{chekc="x"} + codeblue_check_mises)') == [
        "codeblue_check_misses has no label chekc",
        "nobody exports codeblue_check_mises",
        "no metric here has a label servise",
    ]


def test_variables_come_in_the_order_in_which_they_depend_on_each_other() -> None:
    names = {name: [each["name"] for each in read(name)["templating"]["list"]] for name in FILES}
    assert names == {
        "agent.json": ["datasource", "job", "instance"],
        "overview.json": ["datasource", "job", "instance", "service"],
    }


def test_counted_keeps_its_parentheses_to_itself() -> None:
    assert counted("x", "1h") == "(((x) - (x offset 1h)) >= 0 or x)"


def test_provisioning_files_are_what_grafana_reads() -> None:
    source = yaml.safe_load((FOLDER / "provisioning/datasources/codeblue.yaml").read_text())
    assert source["apiVersion"] == 1
    assert [(each["type"], each["access"]) for each in source["datasources"]] == [("prometheus", "proxy")]
    provider = yaml.safe_load((FOLDER / "provisioning/dashboards/codeblue.yaml").read_text())
    assert provider["apiVersion"] == 1
    assert [each["type"] for each in provider["providers"]] == ["file"]
    assert Path(provider["providers"][0]["options"]["path"]).is_absolute()
