"""The API over a real warehouse: values, pages, forms, refusals."""

from __future__ import annotations

import io
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote, unquote

import polars as pl
import pyarrow as pa
import pytest
from fastapi import FastAPI

from aq_resources.services import Services
from aq_science.tables.gaps import GAPS
from aq_serving.app import create_app
from aq_serving.queries import MOST_ROWS
from aq_serving.reader import Reader
from aq_serving.routers.about import SERVED
from aq_serving.settings import ApiSettings
from aq_serving.stations import Directory
from tests.conftest import ROOT
from tests.unit.serving.conftest import NOW, ODD, Ask, asker, rows_of

pytestmark = pytest.mark.server

INSTANTS = "start=2024-03-01T00:00:00Z&end=2024-03-11T00:00:00Z"
DAYS = "start=2024-03-01&end=2024-03-11"
# Resource, table and range: those whose rows are a table's.
TABLES = [
    ("stations", "stations", ""),
    ("hourly-readings", "hourly_readings", INSTANTS),
    ("daily-averages", "daily_averages", DAYS),
    ("gaps", "gaps", DAYS),
    ("exceedances", "exceedances", ""),
    ("forecasts", "forecasts", INSTANTS),
    ("scores", "forecast_scores", DAYS),
]
HOURS = f"/v1/hourly-readings?{INSTANTS}"


def pages(ask: Ask, path: str) -> list[dict[str, Any]]:
    """All rows, by the links."""
    found: list[dict[str, Any]] = []
    address: str | None = path
    while address is not None:
        answer = ask(address)
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        address = answer.json()["next"]
    return found


def stored(services: Services, table: str) -> pl.DataFrame:
    """All rows of a table, as they are in the warehouse."""
    return services.warehouse.read(f"SELECT * FROM air_quality.{table}")


def as_parsed(rows: pl.DataFrame, like: pl.DataFrame) -> pl.DataFrame:
    """Rows of JSON in the types of a table."""
    of = {type(dtype): [n for n, d in like.schema.items() if d == dtype] for dtype in like.dtypes}
    return rows.with_columns(
        pl.col(of.get(pl.Datetime, [])).str.to_datetime(time_zone="UTC", time_unit="us"),
        pl.col(of.get(pl.Date, [])).str.to_date(),
    ).cast(dict(like.schema))  # type: ignore[arg-type]


class TestValues:
    @pytest.mark.parametrize(("resource", "table", "asked"), TABLES)
    def test_every_row_is_the_warehouses(
        self, ask: Ask, services: Services, resource: str, table: str, asked: str
    ) -> None:
        expected = stored(services, table)
        assert expected.height > 0
        key = [name for name in SERVED[table].key if name in expected.columns]
        rows = pages(ask, f"/v1/{resource}?{asked}&limit=101")
        text = {
            name: pl.String for name, d in expected.schema.items() if isinstance(d, pl.Datetime)
        }
        found = pl.DataFrame(rows, infer_schema_length=None, schema_overrides=text)
        found = as_parsed(found.select(expected.columns), expected)
        assert found.sort(key).equals(expected.sort(key))

    @pytest.mark.parametrize(("resource", "table", "asked"), TABLES)
    def test_every_form_has_the_same_rows(
        self, ask: Ask, resource: str, table: str, asked: str
    ) -> None:
        path = f"/v1/{resource}?{asked}&limit=200"
        rows = ask(path).json()["data"]
        parquet = pl.read_parquet(io.BytesIO(ask(f"{path}&format=parquet").content))
        arrow = pl.from_arrow(pa.ipc.open_stream(ask(f"{path}&format=arrow").content).read_all())
        assert isinstance(arrow, pl.DataFrame)
        assert arrow.equals(parquet)
        assert parquet.height == len(rows)
        key = SERVED[table].key
        as_json = pl.DataFrame(rows, infer_schema_length=None).select(key)
        csv = pl.read_csv(io.BytesIO(ask(f"{path}&format=csv").content), infer_schema=False)
        assert csv.columns == parquet.columns == SERVED[table].schema.names()
        assert csv.select(key).equals(as_json.cast(pl.String))

    def test_a_range_is_half_open_in_any_offset(self, ask: Ask) -> None:
        path = "/v1/hourly-readings?station_id=s1&parameter=pm25"
        rows = pages(ask, f"{path}&start=2024-03-02T01:00:00%2B01:00&end=2024-03-02T02:00:00Z")
        assert [row["hour"] for row in rows] == ["2024-03-02T00:00:00Z", "2024-03-02T01:00:00Z"]

    def test_filters_choose(self, ask: Ask) -> None:
        flagged = pages(ask, f"{HOURS}&flag=suspect&flag=invalid")
        assert [(row["station_id"], row["flag"]) for row in flagged] == [("s2", "suspect")]
        assert {row["network"] for row in pages(ask, f"{HOURS}&network=irceline")} == {"irceline"}
        assert pages(ask, "/v1/exceedances?exceeded=false&year=2024&standard=who_2021")
        assert pages(ask, "/v1/exceedances?exceeded=true") == []
        assert pages(ask, f"/v1/daily-averages?{DAYS}&valid=false") == []
        horizons = pages(ask, f"/v1/forecasts?{INSTANTS}&horizon=2&mode=live")
        assert {row["horizon"] for row in horizons} == {2}

    def test_a_station_may_be_called_anything(self, ask: Ask) -> None:
        path = f"{HOURS}&station_id={quote(ODD)}&limit=2"
        rows = pages(ask, path)
        assert [row["station_id"] for row in rows] == [ODD] * 3
        assert ask("/v1/stations").json()["data"]


class TestPages:
    def test_a_page_begins_behind_the_last_whatever_comes_meanwhile(self, ask: Ask) -> None:
        first = ask(f"{HOURS}&limit=5").json()
        again = ask(f"{HOURS}&limit=7").json()
        behind = ask(first["next"].replace("limit=5", "limit=2")).json()
        assert again["data"] == first["data"] + behind["data"]

    def test_the_form_may_change_from_page_to_page(self, ask: Ask) -> None:
        following = ask(f"/v1/hourly-readings.csv?{INSTANTS}&limit=5").links["next"]["url"]
        assert following.startswith("/v1/hourly-readings.csv?")
        as_json = ask(following.replace(".csv", "")).json()["data"]
        assert ask(following).text.splitlines()[1].startswith(as_json[0]["network"])

    def test_a_cursor_of_another_request_is_refused(self, ask: Ask) -> None:
        following = ask(f"{HOURS}&limit=5").json()["next"]
        answer = ask(following.replace("start=2024-03-01", "start=2024-03-02"))
        assert answer.status_code == 400
        assert "other parameters" in answer.json()["detail"]

    def test_a_cursor_beyond_the_range_ends_it(self, ask: Ask) -> None:
        last = ask(f"{HOURS}&limit={MOST_ROWS}").json()
        assert last["next"] is None

    def test_stations_by_distance_page_too(self, ask: Ask) -> None:
        near = "/v1/stations?latitude=5.3&longitude=-4.0&within_km=500&limit=1"
        rows = pages(ask, near)
        assert [(row["station_id"], row["distance_km"]) for row in rows] == [("s1", 0), ("s2", 0)]


class TestStations:
    @pytest.mark.parametrize(
        ("asked", "stations"),
        [
            ("network=irceline", ["b1"]),
            ("country=be", ["b1"]),
            ("bbox=4,50,5,51", ["b1"]),
            ("bbox=170,-90,-170,90", []),
            ("latitude=50.8&longitude=4.3&within_km=10", ["b1"]),
            ("latitude=50.8&longitude=4.3&within_km=1", []),
            ("parameter=co", ["s1", "s2"]),
        ],
    )
    def test_they_are_found_by(self, ask: Ask, asked: str, stations: list[str]) -> None:
        assert [row["station_id"] for row in pages(ask, f"/v1/stations?{asked}")] == stations

    def test_distance_is_along_the_surface(self, ask: Ask) -> None:
        [row] = pages(ask, "/v1/stations?latitude=51.21&longitude=4.40&within_km=100")
        # Antwerp to Brussels.
        assert row["distance_km"] == pytest.approx(40.2, abs=0.5)

    def test_geojson_has_a_point_or_none(self, ask: Ask) -> None:
        collection = ask("/v1/stations.geojson").json()
        points = {f["properties"]["station_id"]: f["geometry"] for f in collection["features"]}
        assert points["b1"] == {"type": "Point", "coordinates": [4.35, 50.85]}
        assert points[ODD] is None


class TestNow:
    def test_latest_has_reading_and_forecast_side_by_side(self, ask: Ask) -> None:
        rows = pages(ask, "/v1/latest")
        by_series = {(row["station_id"], row["parameter"]): row for row in rows}
        assert set(by_series) == {("s1", "pm25"), ("s1", "co"), ("b1", "pm25")}
        row = by_series["s1", "pm25"]
        assert (row["hour"], row["value"]) == ("2024-03-10T09:00:00Z", 10.0 + 225 % 7)
        assert row["issued_for"] == "2024-03-10T10:00:00Z"
        assert (row["forecast_1_hour"], row["forecast_1_value"]) == ("2024-03-10T10:00:00Z", 12.0)
        assert (row["forecast_2_hour"], row["latitude"]) == ("2024-03-10T11:00:00Z", 5.3)
        assert by_series["s1", "co"]["forecast_1_value"] is None

    def test_latest_can_be_narrowed(self, ask: Ask) -> None:
        rows = pages(ask, "/v1/latest?country=CI&parameter=pm25")
        assert [row["station_id"] for row in rows] == ["s1"]
        assert len(ask("/v1/latest.geojson").json()["features"]) == 3

    def test_category_of_a_station(self, ask: Ask) -> None:
        answer = ask("/v1/category?station_id=s1").json()
        assert answer["station"]["distance_km"] is None
        rows = [(row["horizon"], row["basis"], row["category"]) for row in answer["data"]]
        assert rows == [
            (0, "nowcast", "Moderate"),
            (1, "forecast", "Good"),
            (2, "forecast", "Good"),
        ]
        hours = [one["hour"] for one in answer["overall"]]
        assert hours == [f"2024-03-10T{hour}:00:00Z" for hour in ("09", "10", "11")]

    def test_category_of_a_point_is_that_of_the_nearest_station_with_any(self, ask: Ask) -> None:
        answer = ask("/v1/category?latitude=5.31&longitude=-4.0&within_km=5").json()
        assert answer["station"]["station_id"] == "s1"
        assert answer["station"]["distance_km"] == pytest.approx(1.1, abs=0.1)

    @pytest.mark.parametrize(
        ("asked", "status", "said"),
        [
            ("", 400, "either station_id"),
            ("station_id=s1&latitude=5&longitude=-4", 400, "either station_id"),
            ("latitude=5", 400, "go together"),
            ("station_id=nowhere", 404, "No such station"),
            ("station_id=s2", 404, "No category is known now"),
            ("latitude=0&longitude=0", 404, "No station within 25 km"),
            ("latitude=nan&longitude=0", 400, "latitude"),
        ],
    )
    def test_category_says_why_there_is_none(
        self, ask: Ask, asked: str, status: int, said: str
    ) -> None:
        answer = ask(f"/v1/category?{asked}")
        assert answer.status_code == status
        assert said in answer.json()["detail"]


class TestAnswers:
    def test_json_says_columns_units_and_whom_to_credit(self, ask: Ask) -> None:
        answer = ask(f"{HOURS}&limit=1000&network=irceline").json()
        columns = {column["name"]: column for column in answer["columns"]}
        assert columns["value"]["unit"] == "unit"
        assert [*columns] == [*answer["data"][0]]
        assert answer["attribution"] == [
            {
                "network": "irceline",
                "attribution": "IRCEL-CELINE (https://www.irceline.be), CC BY 4.0",
                "licence": "CC BY 4.0",
            }
        ]

    def test_files_say_it_in_their_metadata(self, ask: Ask) -> None:
        parquet = ask(f"/v1/hourly-readings.parquet?{INSTANTS}&network=irceline").content
        metadata = pl.read_parquet_metadata(io.BytesIO(parquet))
        assert json.loads(metadata["attribution"])[0]["licence"] == "CC BY 4.0"
        stream = ask(f"/v1/hourly-readings.arrow?{INSTANTS}&network=irceline").content
        schema = pa.ipc.open_stream(stream).schema
        assert json.loads(schema.metadata[b"attribution"])[0]["network"] == "irceline"
        assert schema.field("value").metadata[b"unit"] == b"unit"

    def test_csv_says_it_in_its_headers(self, ask: Ask) -> None:
        answer = ask(f"/v1/hourly-readings.csv?{INSTANTS}&network=irceline")
        assert unquote(answer.headers["attribution"]).endswith("CC BY 4.0")
        assert answer.links["describedby"]["url"] == "/v1/tables/hourly_readings"
        assert ask(answer.links["describedby"]["url"]).json()["key"][-1] == "hour"
        assert ask(answer.links["license"]["url"]).status_code == 200

    @pytest.mark.parametrize("table", sorted(SERVED))
    def test_every_table_is_described(self, ask: Ask, table: str) -> None:
        assert len(ask(f"/v1/tables/{table}").json()["columns"]) == len(SERVED[table].columns)

    def test_what_the_client_has_is_not_sent_again(self, ask: Ask) -> None:
        answer = ask(HOURS)
        again = ask(HOURS, if_none_match=answer.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
        assert ask(HOURS, if_none_match='W/"other"').status_code == 200
        assert answer.headers["cache-control"] == "public, max-age=60"
        assert answer.headers["vary"].startswith("Accept, Accept-Encoding")

    def test_text_is_compressed_and_files_are_not(self, ask: Ask) -> None:
        assert ask(HOURS, accept_encoding="gzip").headers["content-encoding"] == "gzip"
        parquet = ask(f"{HOURS}&format=parquet", accept_encoding="gzip")
        assert "content-encoding" not in parquet.headers

    def test_pages_of_known_origins_may_read_it(self, ask: Ask) -> None:
        allowed = ask("/v1/stations", origin="https://air.example.org").headers
        assert allowed["access-control-allow-origin"] == "https://air.example.org"
        other = ask("/v1/stations", origin="https://other.example").headers
        assert "access-control-allow-origin" not in other

    def test_health(self, ask: Ask) -> None:
        assert ask("/healthz").json() == {"status": "ok"}
        assert ask("/readyz").json() == {"status": "ready", "publication": "none"}
        assert ask("/healthz", "HEAD").status_code == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("path", "status", "said"),
        [
            ("/v1/hourly-readings", 400, "start: is required"),
            ("/v1/hourly-readings?start=2024-03-01T00:00:00&end=2024-03-02T00:00:00Z", 400, "Z"),
            ("/v1/hourly-readings?start=2024-03-01T00:00:00+01:00&end=x", 400, "%2B"),
            ("/v1/hourly-readings?start=1900-01-01T00:00Z&end=2200-01-01T00:00Z", 400, "31 are"),
            ("/v1/daily-averages?start=2024-03-01T00:00:00Z&end=2024-03-02", 400, "YYYY-MM-DD"),
            (f"{HOURS}&station_id=nowhere", 404, "/v1/stations"),
            (f"{HOURS}&station_id=s1&network=irceline", 404, "No such station of irceline"),
            (f"{HOURS}&station_id=%27%20OR%201%3D1%20--", 404, "No such station"),
            (f"{HOURS}&station_id=%00", 404, "No such station"),
            (f"{HOURS}&station_id=..%2F..%2Fetc%2Fpasswd", 404, "No such station"),
            (f"{HOURS}&station_id={'s' * 201}", 400, "at most 200"),
            (f"{HOURS}&{'&'.join(f'station_id={n}' for n in range(51))}", 400, "at most 50"),
            (f"{HOURS}&network=..", 400, "airqino"),
            (f"{HOURS}&parameter=pm25%27--", 400, "pm25"),
            (f"{HOURS}&limit=50001", 400, "50000"),
            (f"{HOURS}&limit=0", 400, "limit"),
            (f"{HOURS}&limit=1e3", 400, "limit"),
            (f"{HOURS}&cursor=x", 400, "cursor"),
            (f"{HOURS}&cursor={'x' * 2001}", 400, "2000"),
            (f"{HOURS}&sql=SELECT", 400, "no such parameter"),
            (f"{HOURS}&format=exe", 400, "json"),
            (f"/v1/hourly-readings.exe?{INSTANTS}", 404, ".csv"),
            ("/v1/stations?bbox=1,2,3", 400, "west,south,east,north"),
            ("/v1/stations?latitude=91&longitude=0", 400, "90"),
            ("/v1/stations?country=Belgium", 400, "country"),
            ("/v1/exceedances?year=99999999999999999999", 400, "year"),
            ("/v1/tables/secrets", 404, "hourly_readings"),
            ("/v1/..%2f..%2fetc%2fpasswd", 404, "openapi.json"),
            ("/v2/stations", 404, "openapi.json"),
        ],
    )
    def test_they_say_what_to_do(self, ask: Ask, path: str, status: int, said: str) -> None:
        answer = ask(path)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["cache-control"] == "no-store"
        problem = answer.json()
        assert problem["status"] == status
        assert said in problem["detail"]

    def test_a_form_that_is_not_there(self, ask: Ask) -> None:
        answer = ask(HOURS, accept="image/png")
        assert answer.status_code == 406
        assert "text/csv" in answer.json()["detail"]

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_nothing_can_be_written(self, ask: Ask, method: str) -> None:
        answer = ask("/v1/stations", method)
        assert answer.status_code == 405
        assert "read-only" in answer.json()["detail"]


class TestReading:
    def test_the_connections_cannot_write_or_look_beside_the_lake(
        self, services: Services, tmp_path: Any
    ) -> None:
        import duckdb

        from aq_serving.reader import Reader

        reader = Reader(services, 1, 5.0)
        reader.query("SELECT 1")
        _, connection = reader._take()
        for statement in (
            "DELETE FROM airqino.stations",
            "CREATE TABLE airqino.more (a INT)",
            f"COPY (SELECT 1) TO '{tmp_path}/x.csv'",
            "SELECT * FROM read_text('/etc/passwd')",
            "SET enable_external_access = true",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement)

    def test_what_is_written_meanwhile_is_read_at_once(self, services: Services, ask: Ask) -> None:
        path = f"/v1/gaps?{DAYS}&network=irceline"
        assert pages(ask, path) == []
        gap = {
            "network": "irceline",
            "station_id": "b1",
            "parameter": "pm25",
            "date": NOW.date(),
            "first_hour": NOW.replace(minute=0),
            "last_hour": NOW.replace(minute=0),
            "hours": 1,
            "cause": "not_yet_due",
        }
        window = (NOW.date(), NOW.date() + timedelta(days=1))
        services.warehouse.replace("irceline", GAPS, rows_of(GAPS, gap), window)
        assert [row["cause"] for row in pages(ask, path)] == ["not_yet_due"]

    def test_a_query_that_takes_too_long_is_ended(self, services: Services) -> None:
        from aq_serving.problems import ProblemError
        from aq_serving.reader import Reader

        reader = Reader(services, 1, 0.2)
        with pytest.raises(ProblemError, match="Ask for less") as caught:
            reader.query("SELECT count(*) FROM range(1000000000) a, range(1000000) b")
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"]
        # The connection is as good as before.
        reader.seconds = 60.0
        assert reader.query("SELECT 1 AS one").rows() == [(1,)]

    def test_who_gets_no_turn_is_asked_to_come_back(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from aq_serving import reader as module
        from aq_serving.problems import ProblemError

        monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
        reader = module.Reader(services, 1, 5.0)
        with reader.turn(), pytest.raises(ProblemError, match="Too many requests"):
            reader.query("SELECT 1")
        assert reader.query("SELECT 1 AS one").height == 1

    def test_without_a_warehouse_it_is_not_ready_and_says_no_more(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("AQ_HOME", str(tmp_path / "nothing"))
        empty = Services.from_environment(now=lambda: NOW)
        ask = asker(create_app(empty, ApiSettings()))
        assert ask("/healthz").status_code == 200
        answer = ask("/readyz")
        assert answer.status_code == 503
        assert str(tmp_path) not in answer.text
        assert "aq backfill" in caplog.text

    def test_a_damaged_file_is_a_503_with_its_reason_in_the_log_alone(
        self, services: Services, ask: Ask, caplog: pytest.LogCaptureFixture
    ) -> None:
        key = "airqino/hourly_readings/date=2024-02-01/readings.parquet"
        services.object_store.put(key, b"PAR1 no parquet")
        try:
            day = "start=2024-02-01T00:00Z&end=2024-02-02T00:00Z"
            answer = ask(f"/v1/hourly-readings?{day}")
        finally:
            services.object_store.delete(key)
        assert answer.status_code == 503
        assert "parquet" not in answer.text
        assert "date=2024-02-01" in caplog.text or "arquet" in caplog.text

    def test_stations_are_read_again_after_a_while(
        self, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from aq_serving import stations as module
        from aq_serving.reader import Reader

        directory = Directory(Reader(services, 1, 5.0))
        first = directory.stations
        assert directory.stations is first
        monkeypatch.setattr(module, "KEEP_SECONDS", 0.0)
        assert directory.stations is not first

    def test_a_defect_says_so_and_nothing_of_the_code(
        self, application: FastAPI, ask: Ask, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Directory, "networks_with", lambda *_: 1 / 0)
        answer = ask("/v1/stations")
        assert answer.status_code == 500
        assert "ZeroDivision" not in answer.text
        assert answer.headers["content-type"] == "application/problem+json"


class TestDocuments:
    def test_the_examples_are_answered(self, ask: Ask) -> None:
        examples = [
            address
            for name in ("README.md", "docs/using-the-data.md")
            for address in re.findall(r"'http://127.0.0.1:8700(/[^']+)'", (ROOT / name).read_text())
        ]
        assert len(examples) >= 6
        for address in examples:
            if address.startswith("/v1/explain"):
                # Needs a raw pull: the contract tests of AirQino have one.
                continue
            answer = ask(address.replace("283164601", "s1").replace("-3.98", "-4.0"))
            assert answer.status_code == 200, answer.text

    def test_every_resource_is_described(self, application: FastAPI) -> None:
        text = (ROOT / "docs" / "using-the-data.md").read_text()
        for path in application.openapi()["paths"]:
            assert f"`{path.partition('{')[0]}" in text


class TestOpenApi:
    def test_every_resource_has_examples_and_refusals(self, ask: Ask) -> None:
        document = ask("/v1/openapi.json").json()
        paths = {path: item["get"] for path, item in document["paths"].items()}
        for resource, _, _ in TABLES:
            responses = paths[f"/v1/{resource}"]["responses"]
            example = responses["200"]["content"]["application/json"]["example"]
            assert example["data"][0]["network"] == "airqino"
            assert {"400", "404", "406", "503"} <= set(responses)
        assert "ProblemDetails" in document["components"]["schemas"]

    def test_no_parameter_goes_unexplained(self, ask: Ask) -> None:
        document = ask("/v1/openapi.json").json()
        for path, item in document["paths"].items():
            for parameter in item["get"].get("parameters", []):
                known = parameter.get("description") or parameter["in"] == "path"
                assert known, f"{path}: {parameter['name']}"

    def test_references_lead_somewhere(self, ask: Ask) -> None:
        text = ask("/v1/openapi.json").text
        names = set(re.findall(r"#/components/schemas/(\w+)", text))
        assert names <= set(json.loads(text)["components"]["schemas"])


def test_the_clock_decides_what_is_now(services: Services) -> None:
    later = Services(services.settings, services.networks, now=lambda: NOW + timedelta(days=30))
    ask = asker(create_app(later, ApiSettings()))
    assert ask("/v1/latest").json()["data"] == []
    assert ask("/v1/category?station_id=s1").status_code == 404


def test_stations_that_are_none_cost_no_query_each(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = Reader.query

    def query(self: Reader, sql: str, values: Any = ()) -> pl.DataFrame:
        asked.append(sql)
        return real(self, sql, values)

    monkeypatch.setattr(Reader, "query", query)
    for path in (
        f"{HOURS}&station_id=",
        "/v1/daily-averages?start=2024-03-01&end=2024-04-01&station_id=",
        "/v1/overview?station_id=",
        "/v1/category?station_id=",
        "/sensorthings/v1.1/Things/",
    ):
        ask(f"{path}unknown")
        asked.clear()
        for number in range(5):
            assert ask(f"{path}unknown{number}").status_code == 404
        # The list of stations is kept for half a minute, whatever a loaded machine makes of it.
        assert len(asked) <= 2, path
