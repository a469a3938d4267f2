"""The Superset bundle by itself: it hangs together, and nothing in it writes or is secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aq_science.tables.registry import WAREHOUSE_TABLES, WAREHOUSE_VIEWS
from tests.conftest import ROOT

SUPERSET = ROOT / "deploy" / "superset"
FILES: dict[str, dict[str, Any]] = {
    path.relative_to(SUPERSET / "air_quality").as_posix(): yaml.safe_load(path.read_text("utf-8"))
    for path in sorted((SUPERSET / "air_quality").rglob("*.yaml"))
}


def of(folder: str) -> dict[str, dict[str, Any]]:
    """Files of a folder by uuid."""
    return {f["uuid"]: f for name, f in FILES.items() if name.startswith(f"{folder}/")}


DATABASES, DATASETS, CHARTS, DASHBOARDS = map(of, ("databases", "datasets", "charts", "dashboards"))
BY_NAME = pytest.mark.parametrize(
    "chart", CHARTS.values(), ids=[chart["slice_name"] for chart in CHARTS.values()]
)


def names(dataset: dict[str, Any]) -> tuple[set[str], set[str]]:
    columns = {column["column_name"] for column in dataset["columns"]}
    return columns, {metric["metric_name"] for metric in dataset["metrics"]}


def test_it_is_a_dashboard_to_superset() -> None:
    assert FILES["metadata.yaml"]["type"] == "Dashboard"
    assert [len(part) for part in (DATABASES, DATASETS, CHARTS, DASHBOARDS)] == [1, 4, 9, 1]


def test_the_connection_only_reads_and_holds_no_secret() -> None:
    [database] = DATABASES.values()
    assert database["extra"]["engine_params"]["connect_args"]["read_only"] is True
    assert database["expose_in_sqllab"] is False
    assert not [name for name in database if name.startswith("allow_") and database[name]]
    assert not re.search(r"password|//[^/]*@", str(database), re.IGNORECASE)


def test_every_dataset_reads_tables_that_there_are() -> None:
    for dataset in DATASETS.values():
        assert dataset["database_uuid"] in DATABASES
        tables = set(re.findall(r"(?:FROM|JOIN) air_quality\.(\w+)", dataset["sql"]))
        assert tables
        assert tables <= {*WAREHOUSE_TABLES, *WAREHOUSE_VIEWS}
        assert dataset["sql"].startswith("SELECT")


@BY_NAME
def test_a_chart_asks_for_columns_and_metrics_of_its_dataset(chart: dict[str, Any]) -> None:
    columns, metrics = names(DATASETS[chart["dataset_uuid"]])
    context = json.loads(chart["query_context"])
    [query] = context["queries"]
    asked = {c if isinstance(c, str) else c["sqlExpression"] for c in query["columns"]}
    asked |= {f["col"] for f in query["filters"]}
    assert asked <= columns
    assert set(query["metrics"] or []) <= metrics


@BY_NAME
def test_its_settings_and_its_query_are_of_one_mind(chart: dict[str, Any]) -> None:
    """The page makes the query of the settings; reports and this project's check use the query."""
    settings = chart["params"]
    context = json.loads(chart["query_context"])
    assert context["form_data"] == settings
    [query] = context["queries"]
    metrics = [settings["metric"]] if "metric" in settings else settings.get("metrics")
    assert query["metrics"] == metrics
    wanted = {(f["subject"], f["operator"], f["comparator"]) for f in settings["adhoc_filters"]}
    assert {(f["col"], f["op"], f["val"]) for f in query["filters"]} == wanted
    assert settings["viz_type"] == chart["viz_type"]


def test_all_charts_are_placed_and_filters_name_columns() -> None:
    [dashboard] = DASHBOARDS.values()
    places = [p for p in dashboard["position"].values() if isinstance(p, dict)]
    placed = [place["meta"] for place in places if place["type"] == "CHART"]
    assert {meta["uuid"] for meta in placed} == set(CHARTS)
    assert all(meta["sliceName"] == CHARTS[meta["uuid"]]["slice_name"] for meta in placed)
    ids = {meta["chartId"] for meta in placed}
    filters = dashboard["metadata"]["native_filter_configuration"]
    assert {f["name"] for f in filters} == {"Network", "Station", "Parameter", "Time"}
    for own in filters:
        assert set(own["scope"]["excluded"]) <= ids
        for target in own["targets"]:
            if target:
                assert target["column"]["name"] in names(DATASETS[target["datasetUuid"]])[0]


def test_its_duckdb_is_the_platforms() -> None:
    """A lake is read by the version that writes it, and an extension fits one version."""
    duckdb = re.compile(r"^(duckdb(?:-extension-[\w-]+)?)==(\S+)", re.MULTILINE)
    ours, theirs = (
        dict(duckdb.findall(Path(lock).read_text("utf-8")))
        for lock in (ROOT / "requirements.lock", ROOT / "deploy" / "superset.lock")
    )
    assert ours
    assert {name: theirs[name] for name in ours} == ours
