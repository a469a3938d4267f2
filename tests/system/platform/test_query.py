"""`aq query`: the result alone on standard output, in three forms, and nothing changed."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest
from rich.console import Console

from aq_platform.query import END_ROWS, WHOLE_ROWS, TablesNow, _attributions, run_query
from aq_resources.networks.airqino import ATTRIBUTION as AIRQINO
from tests.system.integration.harness import Installation
from tests.system.platform.conftest import STATIONS, Invoke, Loaded

DAYS = "SELECT station_id, date, hours_present, mean FROM air_quality.daily_averages "


def test_json_is_a_list_of_objects(loaded: Loaded, invoke: Invoke) -> None:
    sql = DAYS + "WHERE parameter = 'pm25' ORDER BY station_id, date"
    result = invoke(loaded.installation, "query", sql, "--format", "json")
    assert result.exit_code == 0
    assert result.stderr == f"Attribution: {AIRQINO}\n"
    rows = json.loads(result.stdout)
    assert len(rows) == 3 * len(STATIONS)
    assert list(rows[0]) == ["station_id", "date", "hours_present", "mean"]
    assert rows[0]["station_id"] == STATIONS[0]
    assert rows[0]["date"] == loaded.first
    assert isinstance(rows[0]["hours_present"], int)
    assert isinstance(rows[0]["mean"], float)


def test_json_has_iso_times_null_numbers_and_lists(loaded: Loaded, invoke: Invoke) -> None:
    sql = """SELECT TIMESTAMPTZ '2024-03-01 12:00:00+02' AS instant, DATE '2024-03-01' AS day,
        TIMESTAMP '2024-03-01 12:00:00' AS naive, TIME '12:30' AS clock,
        'nan'::DOUBLE AS no_number, 'inf'::DOUBLE AS endless, NULL AS nothing,
        1.50::DECIMAL(9, 2) AS price, 2::HUGEINT AS huge, ['a', 'b'] AS names,
        [1.5, NULL] AS numbers, {'x': 1, 'y': DATE '2024-03-02'} AS pair, true AS yes,
        [TIMESTAMPTZ '2024-03-01 12:00:00+00'] AS instants, 'µg/m³ "x"' AS text"""
    result = invoke(loaded.installation, "query", sql, "--format", "json")
    assert result.exit_code == 0, result.stderr
    (row,) = json.loads(result.stdout)
    (instant,) = row.pop("instants")
    assert datetime.fromisoformat(instant) == datetime.fromisoformat("2024-03-01T12:00:00+00:00")
    assert row == {
        "instant": "2024-03-01T10:00:00+00:00",
        "day": "2024-03-01",
        "naive": "2024-03-01T12:00:00",
        "clock": "12:30:00",
        "no_number": None,
        "endless": None,
        "nothing": None,
        "price": 1.5,
        "huge": 2,
        "names": ["a", "b"],
        "numbers": [1.5, None],
        "pair": {"x": 1, "y": "2024-03-02"},
        "yes": True,
        "text": 'µg/m³ "x"',
    }


def test_csv_has_a_header_and_iso_times(loaded: Loaded, invoke: Invoke) -> None:
    sql = "SELECT hour, value, NULL AS nothing, 'a,\"b\"' AS odd FROM airqino.hourly_readings"
    sql += " ORDER BY hour LIMIT 2"
    result = invoke(loaded.installation, "query", sql, "--format", "csv")
    assert result.exit_code == 0
    assert result.stderr == f"Attribution: {AIRQINO}\n"
    header, *rows = csv.reader(io.StringIO(result.stdout))
    assert header == ["hour", "value", "nothing", "odd"]
    assert len(rows) == 2
    assert rows[0][0] == f"{loaded.first}T00:00:00+00:00"
    assert math.isfinite(float(rows[0][1]))
    assert rows[0][2:] == ["", 'a,"b"']


@pytest.mark.parametrize(("form", "printed"), [("json", "[]\n"), ("csv", "station_id\n")])
def test_no_rows_is_a_result_too(loaded: Loaded, invoke: Invoke, form: str, printed: str) -> None:
    sql = "SELECT station_id FROM airqino.stations WHERE false"
    result = invoke(loaded.installation, "query", sql, "--format", form)
    assert (result.exit_code, result.stdout) == (0, printed)


def test_a_table_shows_every_column_however_many(loaded: Loaded, invoke: Invoke) -> None:
    sql = "SELECT * FROM airqino.daily_averages WHERE parameter = 'pm25' ORDER BY ALL LIMIT 1"
    result = invoke(loaded.installation, "query", sql)
    assert result.exit_code == 0
    for text in ("station_id", "completeness", "who_2021_exceeded", STATIONS[0], loaded.first):
        assert text in result.stdout
    assert "75_percent_of_hours_civil_day" in result.stdout


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM airqino.daily_averages",
        "UPDATE airqino.stations SET name = 'x'",
        "DROP TABLE airqino.stations",
        "CREATE TABLE airqino.mine (x INTEGER)",
        "CREATE SCHEMA mine",
        "SELECT 1; DELETE FROM airqino.stations",
        "ATTACH 'ducklake:sqlite:home/warehouse.sqlite' AS mine",
        "COPY (SELECT 1) TO 'home/objects/mine.csv'",
        "CREATE TABLE memory.main.mine AS SELECT 1",
        "SET memory_limit = '1GB'",
    ],
)
@pytest.mark.parametrize("form", ["table", "json"])
def test_nothing_can_be_written(loaded: Loaded, invoke: Invoke, sql: str, form: str) -> None:
    before = loaded.installation.table("stations", timeless=False)
    result = invoke(loaded.installation, "query", sql, "--format", form)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "read-only" in result.stderr
    assert "Traceback" not in result.stderr
    assert loaded.installation.table("stations", timeless=False).equals(before)


@pytest.mark.parametrize("form", ["table", "csv", "json"])
@pytest.mark.parametrize("sql", ["", "  ; ", "/* nothing yet */"])
def test_an_empty_query_is_a_mistake(loaded: Loaded, invoke: Invoke, sql: str, form: str) -> None:
    result = invoke(loaded.installation, "query", sql, "--format", form)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "aq: The query is empty. Write one, such as: SELECT" in result.stderr


def test_files_beyond_the_lake_are_not_read(loaded: Loaded, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("a\n1\n")
    for sql in (f"FROM '{tmp_path}/mine.csv'", f"FROM read_text('{tmp_path}/mine.csv')"):
        result = invoke(loaded.installation, "query", sql)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"reads the lake alone: {loaded.installation.home}/warehouse/" in result.stderr
    # Nor is what this process has in its hands.
    assert invoke(loaded.installation, "query", "FROM services").exit_code == 1
    hours = f"FROM '{loaded.installation.home}/objects/airqino/hourly_readings/*/*.parquet' LIMIT 1"
    assert invoke(loaded.installation, "query", hours).exit_code == 0


def test_a_value_that_would_steer_the_terminal_is_shown_as_text(
    loaded: Loaded, invoke: Invoke
) -> None:
    sql = """SELECT '[bold red]x[/] [/nothing]' AS "[link=a]b",
        chr(27) || ']0;title' || chr(7) AS t, chr(155) || '2J' AS c1, chr(8238) || 'abc' AS turned,
        'Côte d''Ivoire' AS said"""
    result = invoke(loaded.installation, "query", sql)
    assert result.exit_code == 0, result.stderr
    shown = ("[bold red]x[/] [/nothing]", "[link=a]b", r"\u001b]0;title\u0007", r"\u009b2J")
    for text in (*shown, r"\u202eabc", "Côte d'Ivoire"):
        assert text in result.stdout
    wrong = invoke(loaded.installation, "query", "SELECT (chr(27) || '[31m')::INTEGER")
    assert r"'\u001b[31m'" in wrong.stderr
    for printed in (result.stdout, wrong.stderr):
        assert not set(printed) & set("\x07\x1b\x9b\u202e")
    # CSV and JSON keep what is there, as long as no terminal shows it.
    csv_sql = ("query", "SELECT chr(155) AS c1", "--format", "csv")
    assert invoke(loaded.installation, *csv_sql).stdout == "c1\n\x9b\n"
    tables = TablesNow(loaded.installation.location, str(loaded.installation.home / "objects"))
    for form, printed in (("csv", "c1\n\\u009b\n"), ("json", '[{"c1":"\\u009b"}]\n')):
        terminal = Terminal()
        run_query(tables, "SELECT chr(155) AS c1", form, Console(), terminal)
        assert terminal.getvalue() == printed


class Terminal(io.StringIO):
    """Text that is looked at."""

    def isatty(self) -> bool:
        return True


def test_a_long_table_shows_its_ends_and_all_rows_on_request(
    loaded: Loaded, invoke: Invoke
) -> None:
    count = 5_600
    sql = f"SELECT range AS n FROM range({count}) -- counted;"
    result = invoke(loaded.installation, "query", sql)
    assert result.exit_code == 0
    assert _numbers(result.stdout) == [*range(END_ROWS), *range(count - END_ROWS, count)]
    assert " ⋮ │" in result.stdout
    assert result.stdout.endswith(f"5,600 rows: the first {END_ROWS} and the last {END_ROWS}\n")
    assert result.stderr == "All rows: --all, or --format csv > rows.csv.\n"
    whole = invoke(loaded.installation, "query", sql, "--all")
    assert _numbers(whole.stdout) == list(range(count))
    assert whole.stdout.endswith("5,600 rows\n")
    assert whole.stderr == ""
    file = invoke(loaded.installation, "query", sql, "--format", "csv")
    assert file.stdout.count("\n") == count + 1


@pytest.mark.parametrize(("rows", "said"), [(0, "0 rows"), (1, "1 row"), (WHOLE_ROWS, "200 rows")])
def test_a_short_table_is_whole(loaded: Loaded, invoke: Invoke, rows: int, said: str) -> None:
    result = invoke(loaded.installation, "query", f"FROM range({rows});")
    assert _numbers(result.stdout) == list(range(rows))
    assert result.stdout.endswith(f"\n{said}\n")
    assert result.stderr == ""


def test_a_table_says_the_types_of_its_columns(loaded: Loaded, invoke: Invoke) -> None:
    sql = "SELECT station_id, hour, value, reasons FROM airqino.hourly_readings LIMIT 1"
    result = invoke(loaded.installation, "query", sql)
    heading, kinds = (line.strip("│").split("│") for line in result.stdout.splitlines()[1:3])
    assert [name.strip() for name in heading] == ["station_id", "hour", "value", "reasons"]
    assert [kind.strip() for kind in kinds] == ["varchar", "timestamptz", "double", "varchar[]"]


def _numbers(table: str) -> list[int]:
    return [int(number) for number in re.findall(r"│ +(\d+) │", table)]


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELEKT 1", "syntax error"),
        ("SELECT * FROM airqino.daily_average", "daily_averages"),
        ("SELECT nothing_such FROM airqino.stations", "nothing_such"),
        ("SELECT [bold]", "bold"),
    ],
)
def test_a_wrong_query_is_explained(loaded: Loaded, invoke: Invoke, sql: str, says: str) -> None:
    for form in ("table", "csv", "json"):
        result = invoke(loaded.installation, "query", sql, "--format", form)
        assert result.exit_code == 1
        assert result.stdout == ""
        assert "The query failed" in result.stderr
        assert says in result.stderr
        assert "Traceback" not in result.stderr


def test_without_a_warehouse_it_says_what_to_run(fresh: Installation, invoke: Invoke) -> None:
    result = invoke(fresh, "query", "SELECT 1")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"There is no warehouse at {fresh.home / 'warehouse.sqlite'} yet" in result.stderr
    assert "aq backfill" in result.stderr
    assert not fresh.home.exists()


def test_an_unknown_form_is_a_usage_error(loaded: Loaded, invoke: Invoke) -> None:
    result = invoke(loaded.installation, "query", "SELECT 1", "--format", "xml")
    assert result.exit_code == 2
    assert "json" in result.stderr


def test_the_command_alone_prints_the_result_alone(loaded: Loaded) -> None:
    done = loaded.installation.run("query", "SELECT 1 AS n", "--format", "json")
    assert (done.returncode, done.stdout, done.stderr) == (0, '[{"n":1}]\n', "")


def test_json_keeps_columns_of_one_name_and_integers_of_any_size(
    loaded: Loaded, invoke: Invoke
) -> None:
    sql = "SELECT 1 AS a, 2 AS a, 170141183460469231731687303715884105727::HUGEINT AS huge"
    result = invoke(loaded.installation, "query", sql, "--format", "json")
    assert json.loads(result.stdout) == [{"a": 1, "a_1": 2, "huge": 2**127 - 1}]


def test_a_query_to_look_at_or_about_no_network_names_nobody(
    loaded: Loaded, invoke: Invoke
) -> None:
    assert invoke(loaded.installation, "query", DAYS).stderr == ""
    sql = "SELECT count(*) FROM information_schema.tables"
    assert invoke(loaded.installation, "query", sql, "--format", "csv").stderr == ""


KNOWN = [
    ("airqino", "1", "Alpha"),
    ("openaq", "1", "Beta; via OpenAQ"),
    ("openaq", "2", "Gamma; via OpenAQ"),
    ("airqino", "3", None),
]


@pytest.mark.parametrize(
    ("sql", "names", "rows", "named"),
    [
        ("FROM openaq.stations", ["n"], [(1,)], ["Beta; via OpenAQ", "Gamma; via OpenAQ"]),
        ("from OpenAQ.stations", ["station_id"], [("2",)], ["Gamma; via OpenAQ"]),
        (
            "FROM air_quality.forecasts",
            ["station_id", "network"],
            [("1", "airqino")],
            ["Alpha"],
        ),
        ("FROM air_quality.x", ["station_id"], [("1",)], ["Alpha", "Beta; via OpenAQ"]),
        ("FROM airqino.x", ["station_id"], [("other",)], [AIRQINO, "Alpha"]),
        ("FROM airqino.x", ["station_id"], [("3",)], [AIRQINO]),
        ("FROM airqino.x", ["station_id"], [], []),
        ("SELECT 1", ["station_id"], [("1",)], []),
    ],
)
def test_whom_a_result_names(
    sql: str, names: list[str], rows: list[tuple[str, ...]], named: list[str]
) -> None:
    assert _attributions(KNOWN, sql, names, rows) == named


class TestFiles:
    SQL = DAYS + "WHERE parameter = 'pm25' ORDER BY station_id, date"

    @pytest.mark.parametrize("form", ["parquet", "arrow", "csv", "json"])
    def test_every_form_has_the_same_rows(
        self, loaded: Loaded, invoke: Invoke, tmp_path: Path, form: str
    ) -> None:
        path = tmp_path / f"rows.{form}"
        arguments = ("--format", form, "--output", str(path))
        result = invoke(loaded.installation, "query", self.SQL, *arguments)
        assert (result.exit_code, result.stdout) == (0, ""), result.stderr
        assert result.stderr == f"Attribution: {AIRQINO}\n"
        readers: dict[str, Callable[[Path], pl.DataFrame]] = {
            "parquet": pl.read_parquet,
            "arrow": pl.read_ipc,
            "csv": lambda source: pl.read_csv(source, try_parse_dates=True),
            "json": lambda source: pl.read_json(source).with_columns(pl.col("date").str.to_date()),
        }
        rows = readers[form](path)
        assert len(rows) == 3 * len(STATIONS)
        assert rows.columns == ["station_id", "date", "hours_present", "mean"]
        assert rows["date"].dtype == pl.Date()
        if form == "parquet":
            assert json.loads(pl.read_parquet_metadata(path)["attribution"]) == [AIRQINO]

    def test_sql_comes_from_a_file_as_well(
        self, loaded: Loaded, invoke: Invoke, tmp_path: Path
    ) -> None:
        (tmp_path / "days.sql").write_text(f"-- Days\n{self.SQL}", "utf-8")
        result = invoke(
            loaded.installation, "query", "--file", str(tmp_path / "days.sql"), "--format", "csv"
        )
        assert result.exit_code == 0, result.stderr
        assert len(result.stdout.splitlines()) == 1 + 3 * len(STATIONS)

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "needs its SQL"),
            (("SELECT 1", "--format", "parquet"), "needs --output FILE"),
            (("SELECT 1", "--output", "x"), "--output needs --format"),
        ],
    )
    def test_what_does_not_go_together_is_refused(
        self, loaded: Loaded, invoke: Invoke, arguments: tuple[str, ...], said: str
    ) -> None:
        result = invoke(loaded.installation, "query", *arguments)
        assert result.exit_code == 1
        assert said in result.stderr

    def test_a_query_that_fails_leaves_the_file_as_it_was(
        self, loaded: Loaded, invoke: Invoke, tmp_path: Path
    ) -> None:
        path = tmp_path / "rows.csv"
        path.write_text("before")
        arguments = ("--format", "csv", "--output", str(path))
        result = invoke(loaded.installation, "query", "SELECT nothing", *arguments)
        assert result.exit_code == 1
        assert path.read_text() == "before"
        assert list(tmp_path.iterdir()) == [path]


def test_an_export_is_read_by_any_engine_without_the_lake(
    loaded: Loaded, invoke: Invoke, tmp_path: Path
) -> None:
    arguments = ("export", "airqino", "--table", "daily_averages", "--to", str(tmp_path))
    result = invoke(loaded.installation, *arguments)
    assert result.exit_code == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert paths
    assert all(path.is_relative_to(tmp_path / "daily_averages" / "airqino") for path in paths)
    again = invoke(loaded.installation, *arguments)
    assert (again.exit_code, again.stdout) == (0, "")
    assert again.stderr == f"0 written, {len(paths)} unchanged, 0 removed\n"
    exported = pl.read_parquet(paths).select("station_id", "parameter", "date", "mean")
    sql = "SELECT station_id, parameter, date, mean FROM airqino.daily_averages"
    result = invoke(loaded.installation, "query", sql, "--format", "json")
    rows = json.loads(result.stdout)
    assert sorted(map(repr, exported.rows())) == sorted(
        repr((row["station_id"], row["parameter"], date.fromisoformat(row["date"]), row["mean"]))
        for row in rows
    )
    metadata = pl.read_parquet_metadata(paths[0])
    assert AIRQINO in metadata["attribution"]
    assert json.loads(metadata["units"])["parameters"]["co"] == "mg/m³"


def test_connect_prints_what_opens_the_warehouse(loaded: Loaded, invoke: Invoke) -> None:
    result = invoke(loaded.installation, "connect", "--offline")
    assert result.exit_code == 0, result.stderr
    with closing(duckdb.connect()) as connection:
        assert len(connection.execute(result.stdout).fetchall()) == 5
    for language in ("python", "r", "jdbc", "text"):
        result = invoke(loaded.installation, "connect", "--format", language)
        assert result.exit_code == 0, result.stderr
        assert "duckdb" in result.stdout.casefold()
