"""The dashboard in a stock Superset: every chart says what `aq query` says. `make superset`."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import yaml

from aq_resources.services import Services
from aq_science.tables.daily_averages import DAILY_AVERAGES
from aq_science.tables.data_quality import DATA_QUALITY
from aq_science.tables.forecasts import FORECASTS
from tests.conftest import ROOT
from tests.factories import DAY, HOUR, daily_frame, forecast_frame, utc
from tests.servers.superset import PROGRAM, SupersetServer, superset_server
from tests.system.integration.harness import Installation
from tests.unit.serving.conftest import NETWORKS, NOW, fill, rows_of

pytestmark = pytest.mark.skipif(
    PROGRAM not in os.environ, reason=f"{PROGRAM} names no Superset: run `make superset`"
)

BUNDLE = ROOT / "deploy" / "superset" / "air_quality"

STATION = "coalesce(s.name, t.station_id) || ' (' || t.station_id || ')' AS station"
NAMED = "LEFT JOIN air_quality.stations AS s USING (network, station_id)"


def days_of(parameter: str) -> str:
    return f"""SELECT epoch_ms(t.date::TIMESTAMP) AS date, {STATION}, t.mean AS daily_mean
        FROM air_quality.daily_averages AS t {NAMED}
        WHERE t.valid AND t.parameter = '{parameter}'"""


def hours_of(parameter: str) -> str:
    return f"""SELECT epoch_ms(t.hour) AS hour, {STATION}, t.value AS forecast,
          (SELECT value FROM air_quality.hourly_readings AS r
           WHERE r.network = t.network AND r.station_id = t.station_id AND r.flag = 'valid'
             AND r.parameter = t.parameter AND r.hour = t.hour) AS reading
        FROM air_quality.forecasts AS t {NAMED}
        WHERE t.horizon = 1 AND t.parameter = '{parameter}'"""


# What each chart shows, written without its query.
EXPECTED = {
    "Daily PM2.5 by station": days_of("pm25"),
    "Daily CO by station": days_of("co"),
    "Days above the WHO's 24-hour guideline by month": f"""
        SELECT epoch_ms(date_trunc('month', t.date)::TIMESTAMP) AS date, {STATION}, t.parameter,
          count_if(coalesce(t.who_2021_exceeded, false)) AS days_over_who
        FROM air_quality.daily_averages AS t {NAMED} GROUP BY ALL""",
    "Limits of WHO and EU by year": f"""
        SELECT t.year, {STATION}, t.parameter, t.standard, t.metric, t.level, t.unit, t.days_over,
          t.days_allowed, t.annual_mean, t.data_capture, t.exceeded
        FROM air_quality.exceedances AS t {NAMED}""",
    "Forecasts one hour ahead and readings of PM2.5": hours_of("pm25"),
    "Forecasts one hour ahead and readings of CO": hours_of("co"),
    "Forecast errors by station": f"""
        SELECT {STATION}, t.parameter, t.horizon, t.unit, count(r.value) AS compared,
          avg(abs(t.value - r.value)) AS mean_absolute_error, avg(t.value - r.value) AS bias,
          count_if(r.value BETWEEN t.lower_80 AND t.upper_80) / nullif(count(r.value), 0)
            AS within_80
        FROM air_quality.forecasts AS t {NAMED}
        LEFT JOIN (SELECT * FROM air_quality.hourly_readings WHERE flag = 'valid') AS r
          USING (network, station_id, parameter, hour) GROUP BY ALL""",
    "Share of valid hours by station and day": f"""
        SELECT epoch_ms(t.date::TIMESTAMP) AS date, {STATION},
          sum(t.hours_valid) / sum(t.hours_expected) AS share_valid
        FROM air_quality.data_quality AS t {NAMED} GROUP BY ALL""",
    "Hours by flag and day": """
        SELECT epoch_ms(date::TIMESTAMP) AS date, sum(hours_valid) AS valid_hours,
          sum(hours_suspect) AS suspect_hours, sum(hours_invalid) AS invalid_hours,
          sum(hours_missing) AS missing_hours
        FROM air_quality.data_quality GROUP BY ALL""",
}


def more_rows(services: Services) -> None:
    """What the charts show and the API's tests do not need."""
    first = date(2024, 2, 27)
    days = [first + n * DAY for n in range(12)]
    bounds = (days[0], days[-1] + DAY)
    frames = [
        daily_frame(*days, station="s1"),
        daily_frame(*days[:6], station="s1", parameter="co", mean=0.4, unit="mg/m³"),
        daily_frame(*days, station="s2", mean=31.5, who_2021_exceeded=True),
        daily_frame(days[-1], station="unknown", valid=False, who_2021_exceeded=None),
    ]
    services.warehouse.replace("airqino", DAILY_AVERAGES, pl.concat(frames), bounds)
    for hour in range(6):
        issued = utc(2024, 3, 9, hour)
        pm25 = forecast_frame(issued, 11.0 + hour)
        co = forecast_frame(issued, 0.45).with_columns(
            parameter=pl.lit("co"), unit=pl.lit("mg/m³"), lower_80=pl.lit(0.3), upper_80=pl.lit(0.6)
        )
        both = pl.concat([pm25, co.cast(FORECASTS.schema)])
        services.warehouse.replace("airqino", FORECASTS, both, (issued, issued + HOUR))
    series = {"network": "airqino", "parameter": "pm25", "hours_expected": 24}
    counted = {"hours_present": 22, "hours_suspect": 1, "hours_missing": 2, "hours_revised": 0}
    for number, day in enumerate(days):
        hours = {"hours_valid": 21 - number, "hours_invalid": number, **counted}
        rows = [{**series, **hours, "date": day, "station_id": station} for station in ("s1", "s2")]
        quality = rows_of(DATA_QUALITY, *rows)
        services.warehouse.replace("airqino", DATA_QUALITY, quality, (day, day + DAY))


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A warehouse of two networks."""
    folder = tmp_path_factory.mktemp("warehouse of superset")
    networks = folder / "networks.yaml"
    networks.write_text(NETWORKS, "utf-8")
    found = Installation(folder).with_settings(AQ_NETWORKS=str(networks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AQ_HOME", str(found.home))
        patch.setenv("AQ_NETWORKS", str(networks))
        services = Services.from_environment(now=lambda: NOW)
    try:
        services.warehouse.prepare()
        fill(services)
        more_rows(services)
    finally:
        services.close()
    return found


def zipped(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The bundle as Superset takes it, with its connection changed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(BUNDLE.rglob("*.yaml")):
            text = path.read_text("utf-8")
            if path.parent.name == "databases":
                database = yaml.safe_load(text)
                change(database)
                text = yaml.safe_dump(database)
            archive.writestr(str(path.relative_to(BUNDLE.parent)), text)
    return packed.getvalue()


@pytest.fixture(scope="module")
def superset() -> Iterator[SupersetServer]:
    with superset_server() as server:
        yield server


@pytest.fixture(scope="module")
def client(superset: SupersetServer, installation: Installation) -> Iterator[httpx.Client]:
    """Logged in to one that has the dashboard."""

    def here(database: dict[str, Any]) -> None:
        database["sqlalchemy_uri"] = (
            f"duckdb:///ducklake:sqlite:{installation.home}/warehouse.sqlite"
        )
        arguments = database["extra"]["engine_params"]["connect_args"]
        arguments["config"]["extension_directory"] = str(superset.extensions)

    with superset.client() as client:
        files = {"formData": ("air_quality.zip", zipped(here), "application/zip")}
        client.post("/api/v1/dashboard/import/", files=files).raise_for_status()
        yield client


def charts(client: httpx.Client) -> dict[str, int]:
    listed = client.get("/api/v1/chart/", params={"q": "(page_size:100)"}).raise_for_status()
    return {chart["slice_name"]: chart["id"] for chart in listed.json()["result"]}


def comparable(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Rows in one order, numbers to twelve digits: sums of the same terms differ in the last."""
    return sorted([text(value) for value in row.values()] for row in rows)


def text(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:.12g}" if number else repr(value)


def test_all_charts_are_on_the_dashboard(client: httpx.Client) -> None:
    placed = client.get("/api/v1/dashboard/air-quality/charts").raise_for_status().json()["result"]
    assert {chart["slice_name"] for chart in placed} == set(charts(client)) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_charts_rows_are_those_of_aq_query(
    name: str, client: httpx.Client, installation: Installation
) -> None:
    answer = client.get(f"/api/v1/chart/{charts(client)[name]}/data/", params={"force": "true"})
    assert answer.is_success, answer.text
    [result] = answer.json()["result"]
    assert result["error"] is None
    expected = installation.query(EXPECTED[name])
    assert expected, "nothing is compared"
    assert {tuple(row) for row in result["data"]} == {tuple(expected[0])}
    assert comparable(result["data"]) == comparable(expected)


def test_a_station_and_a_time_chosen_in_the_filters_narrow_the_rows(client: httpx.Client) -> None:
    """As the page asks: the chart's own query with the filters' added."""
    name = "Daily PM2.5 by station"
    saved = client.get(f"/api/v1/chart/{charts(client)[name]}").raise_for_status().json()["result"]
    context = yaml.safe_load(saved["query_context"])
    [query] = context["queries"]
    wanted = "2024-03-01 : 2024-03-04"
    query["filters"] = [
        *({**f, "val": wanted} if f["op"] == "TEMPORAL_RANGE" else f for f in query["filters"]),
        {"col": "network", "op": "IN", "val": ["airqino"]},
    ]
    answer = client.post("/api/v1/chart/data", json=context)
    assert answer.is_success, answer.text
    rows = answer.json()["result"][0]["data"]
    assert len(rows) == 3 * 2
    assert len({row["station"] for row in rows}) == 2


def test_it_exports_what_was_imported(client: httpx.Client) -> None:
    """So that a change made in Superset comes back into the repository as a small diff."""
    listed = client.get("/api/v1/dashboard/air-quality").raise_for_status().json()["result"]
    exported = client.get("/api/v1/dashboard/export/", params={"q": f"!({listed['id']})"})
    with zipfile.ZipFile(io.BytesIO(exported.raise_for_status().content)) as archive:
        files = {Path(n).relative_to(Path(n).parts[0]): archive.read(n) for n in archive.namelist()}
    theirs = {
        loaded["uuid"]: loaded for f in files.values() if "uuid" in (loaded := yaml.safe_load(f))
    }
    for path in sorted(BUNDLE.rglob("*.yaml")):
        ours = yaml.safe_load(path.read_text("utf-8"))
        if "uuid" not in ours or path.parent.name == "databases":
            continue
        for member in ("table_name", "sql", "slice_name", "viz_type", "dashboard_title", "slug"):
            assert ours.get(member) == theirs[ours["uuid"]].get(member), (path.name, member)
        for part, key in (("columns", "column_name"), ("metrics", "metric_name")):
            names = {entry[key] for entry in ours.get(part, [])}
            assert names == {entry[key] for entry in theirs[ours["uuid"]].get(part, [])}, path.name


def test_nobody_writes_to_the_warehouse_by_it(
    superset: SupersetServer, installation: Installation, client: httpx.Client
) -> None:
    [database] = client.get("/api/v1/database/").raise_for_status().json()["result"]
    assert database["expose_in_sqllab"] is False
    statement = "DELETE FROM air_quality.daily_averages"
    before = installation.query("SELECT count(*) AS n FROM air_quality.daily_averages")
    body = {"database_id": database["id"], "sql": statement, "runAsync": False}
    assert client.post("/api/v1/sqllab/execute/", json=body).is_error
    assert installation.query("SELECT count(*) AS n FROM air_quality.daily_averages") == before
